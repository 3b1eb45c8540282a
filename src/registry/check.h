// SPDX-License-Identifier: Apache-2.0
// Is the registry of a data directory sound? Looks at every byte while no server runs: the database and what
// it says, each blob and its bytes, what lies there and belongs to nothing. Works on a backup, too.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct registry_finding {
    bool is_error;    // something is lost or wrong; else only space is wasted
    const char *code; // "blob_damaged": stable, for programs
    char what[640];   // a sentence without its full stop
    char remedy[256]; // what to do, likewise
    bool is_repaired;
};

struct registry_check_spec {
    const char *dir;
    bool repair; // sets damaged blobs aside and removes what belongs to nothing; never touches the database
    bool skip_blobs; // the database only
    // May be NULL.
    void (*on_finding)(void *ctx, const struct registry_finding *f);
    void (*on_progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
    void *ctx;
};

struct registry_check_sum {
    int schema; // 0: it cannot be read
    uint64_t n_models, n_versions, n_blobs, n_bytes;
    uint64_t n_errors, n_notes, n_repaired; // findings; repaired ones are in the first two as well
};

// Blocks for as long as reading all takes. 0 whatever was found; ERR_REFUSED while a server uses the
// directory, ERR_NOT_FOUND when there is no registry, ERR_IO, ERR_NOMEM.
int registry_check(const struct registry_check_spec *s, struct registry_check_sum *ret,
                   struct err *e) ERR_CHECKED;
