// SPDX-License-Identifier: Apache-2.0
// Random work of a registry and its blobs on a data directory, for power_cut.c: what a controller and its
// store processes do for uploads, pushes, promotions, rollbacks and deletions. Whatever fails ends the
// program: here nothing is meant to.
#pragma once

#include "disk_model.h"

#include "registry/registry.h"

#include <limits.h>

enum {
    WORK_STEPS_MAX = 300, // enough for SQLite to empty its log now and then
    WORK_STEPS_FEW = 40,  // mostly not more
    WORK_POOL = 24,       // blobs that may be stored
    WORK_BLOB_BYTES_MAX = 20000,
    WORK_ARENA_BYTES = 16 << 20,
};

struct work_blob {
    size_t n;
    uint8_t bytes[WORK_BLOB_BYTES_MAX];
    struct registry_digest digest;
};

// One operation, acknowledged at its end.
struct work_step {
    size_t begin, end; // bytes of records before and after it
    const char *what;
    char *state;    // of the registry afterwards, as text
    uint32_t blobs; // acknowledged afterwards: bit i is pool[i]
};

struct work {
    uint64_t seed;
    struct dice dice;
    char dir[PATH_MAX]; // the data directory
    int log_fd;         // for the records
    struct registry *registry;
    struct blobs *store;
    struct work_step steps[WORK_STEPS_MAX + 1]; // [0]: to open what was there
    size_t n_steps;
    struct work_blob pool[WORK_POOL];
};

void work_init(struct work *w, uint64_t seed);
// Opens the data directory and works; registry and blobs stay open. `state`, unless NULL, and `blobs` are
// what is there already.
void work_run(struct work *w, const char *state, uint32_t blobs);
void work_close(struct work *w);
size_t work_recorded(const struct work *w); // bytes of records
// All that callers can see of the registry, as text on the heap; NULL when it cannot be read.
char *work_state(struct registry *r, struct err *e);
