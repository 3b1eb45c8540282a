// SPDX-License-Identifier: Apache-2.0
// What state/monitor keeps of versions that are not watched any more: they may come back, and go on where
// they were then, so it stays a while after they left.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum { DRIFT_KEEP_DAYS = 30, DRIFT_KEEP_VERSIONS = 128 };

struct drift_sweep {
    int dir_fd; // state/monitor
    bool (*is_watched)(const void *ctx, uint64_t deployment);
    const void *ctx;
    uint64_t wall_ns;
};

// Removes the files drift-N.* of versions that left more than DRIFT_KEEP_DAYS ago, and of the others but for
// the DRIFT_KEEP_VERSIONS that left last. Adds to *ret how many files. ERR_IO, ERR_NOMEM.
int drift_sweep(const struct drift_sweep *s, uint64_t *ret, struct err *e) ERR_CHECKED;
