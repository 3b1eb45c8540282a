// SPDX-License-Identifier: Apache-2.0
// Copies of a registry: a backup of one that is in use, and a data directory made of a backup. Both are a
// snapshot of the database and exactly the blobs that it names, in the layout of a data directory.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct registry_finding;

struct registry_copy_spec {
    const char *from, *to; // folders
    bool partial;          // a restore goes on although files are missing or damaged
    bool verify;           // a backup reads again what the target has already
    // May be NULL. Findings: files that are missing or damaged at the source, which the copy lacks.
    void (*on_finding)(void *ctx, const struct registry_finding *f);
    void (*on_progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
    void *ctx;
};

struct registry_copy_sum {
    int schema;
    uint64_t n_models, n_versions, n_blobs, n_bytes; // of the snapshot
    uint64_t n_copied, copied_bytes;                 // the others were there
    uint64_t n_removed;                              // of the target, needed no more
    uint64_t n_missing;                              // findings
};

// Copies the registry of data directory `from`, whether or not a server uses it, to `to`: a new or empty
// folder, or an earlier backup, which is replaced at once and all the state it has until then. What is there
// already is not copied. The snapshot is one committed state; no blob of it is collected meanwhile. Durable
// before it returns. ERR_NOT_FOUND: there is no registry; ERR_CONFLICT: `to` is something else, or another
// backup to it runs; ERR_NO_SPACE, ERR_IO, ERR_NOMEM leave the earlier backup as it was.
int registry_backup(const struct registry_copy_spec *s, struct registry_copy_sum *ret,
                    struct err *e) ERR_CHECKED;
// Makes data directory `to` of backup `from`: verifies the database and each byte while it copies, beside
// `to`, and moves all into place at once when it is whole. ERR_CONFLICT: `to` is there and not empty;
// ERR_DIGEST: the backup is damaged (see `partial`); ERR_NOT_FOUND, ERR_NO_SPACE, ERR_IO, ERR_NOMEM. After
// an error there is nothing at `to`.
int registry_restore(const struct registry_copy_spec *s, struct registry_copy_sum *ret,
                     struct err *e) ERR_CHECKED;
