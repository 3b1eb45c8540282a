// SPDX-License-Identifier: Apache-2.0
// A bump allocator with a cap: memory for one request, one turn of a loop, or one parse, given back all at
// once. Address space for the whole cap is reserved at once and touched only as far as it is used.
#pragma once

#include "base/err.h"

#include <stddef.h>

struct arena {
    unsigned char *base;
    size_t used, cap; // bytes
    size_t high;      // most bytes ever used since the last trim
};

// Reserves cap bytes of address space. ERR_NOMEM when that fails.
int arena_init(struct arena *a, size_t cap, struct err *e) ERR_CHECKED;
void arena_done(struct arena *a); // NULL and zeroed are fine
// n bytes, 16-byte aligned, not cleared; NULL when the cap is reached. n may be 0.
void *arena_alloc(struct arena *a, size_t n);
// n × size bytes, cleared, with the product checked; NULL as above.
void *arena_calloc(struct arena *a, size_t n, size_t size);
// Everything allocated so far becomes invalid. Pages above keep_bytes are given back to the kernel.
void arena_reset(struct arena *a, size_t keep_bytes);
