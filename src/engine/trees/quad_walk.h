// SPDX-License-Identifier: Apache-2.0
// The walk through blocks of four levels, shared by both value types. Plain C: on x86-64 it asks for the
// instruction that counts bits.
#pragma once

#include "engine/trees/kernel.h"
#include "engine/trees/quad.h"
#include "engine/trees/sparse.h"

#if defined(__x86_64__)
#define QUAD_TARGET __attribute__((target("bmi,bmi2,popcnt")))
#else
#define QUAD_TARGET
#endif
#define QUAD_INLINE QUAD_TARGET __attribute__((always_inline)) static inline

enum { QUAD_LANES = 4 }; // walks side by side: as many as have room in the registers

struct quad_walk {
    const struct quad *quads;
    const char *values;
    const uint8_t *codes;
    size_t value_bytes, row_bytes;
    uint32_t *at;   // by walk: its block, or QUAD_LEAF | the place of its leaf
    uint32_t *open; // the walks that are not at a leaf
};

// Where heap number i of level `steps` leads. Masks, not a condition: whether a walk ends here is as good as
// random, and compilers make it a branch.
QUAD_INLINE uint32_t quad_next(const struct quad *q, uint32_t i, int steps)
{
    uint32_t e = (i << (QUAD_LEVELS - steps)) & (QUAD_EXITS - 1);
    uint32_t before = (uint32_t)__builtin_popcount(q->below & ((1u << e) - 1));
    uint32_t leaf = (q->leaves + e - before) | QUAD_LEAF, block = q->quads + before;
    return leaf ^ ((leaf ^ block) & (0u - (q->below >> e & 1)));
}

QUAD_INLINE void quad_prefetch(const struct quad_walk *w, uint32_t next)
{
    uintptr_t leaf = (uintptr_t)w->values + (size_t)(next & ~(uint32_t)QUAD_LEAF) * w->value_bytes;
    uintptr_t block = (uintptr_t)w->quads + (size_t)next * sizeof(struct quad);
    uintptr_t is_leaf = (uintptr_t)0 - (next >> 31);
    __builtin_prefetch((const void *)(block ^ ((block ^ leaf) & is_leaf)));
}

// One block further for `lanes` of the open walks; returns how many of them are still open.
QUAD_INLINE uint32_t quad_lanes(const struct quad_walk *w, const uint32_t *from, uint32_t *open, int lanes,
                                int steps)
{
    const struct quad *q[QUAD_LANES];
    const uint8_t *codes[QUAD_LANES];
    uint32_t walk[QUAD_LANES], i[QUAD_LANES], n_open = 0;
    for (int l = 0; l < lanes; l++) {
        walk[l] = from[l];
        q[l] = &w->quads[w->at[walk[l]]];
        codes[l] = w->codes + walk[l] * w->row_bytes;
        i[l] = 1;
    }
    for (int s = 0; s < steps; s++)
        for (int l = 0; l < lanes; l++)
            i[l] = 2 * i[l] + (codes[l][q[l]->f[i[l]]] > q[l]->k[i[l]]);
    for (int l = 0; l < lanes; l++) {
        uint32_t next = quad_next(q[l], i[l], steps);
        if (!w->row_bytes) // one row: what comes next is in no near cache
            quad_prefetch(w, next);
        w->at[walk[l]] = next;
        open[n_open] = walk[l];
        n_open += (next >> 31) ^ 1;
    }
    return n_open;
}

QUAD_INLINE uint32_t quad_wave(const struct quad_walk *w, uint32_t n, int steps)
{
    uint32_t n_open = 0, i = 0;
    for (; i + QUAD_LANES <= n; i += QUAD_LANES)
        n_open += quad_lanes(w, w->open + i, w->open + n_open, QUAD_LANES, steps);
    for (; i < n; i++)
        n_open += quad_lanes(w, w->open + i, w->open + n_open, 1, steps);
    return n_open;
}

// Takes walks 0 … n - 1 from the blocks in `at` to their leaves, in trees of at most `depth` levels.
QUAD_INLINE void quad_to_leaves(const struct quad_walk *w, uint32_t n, uint32_t depth)
{
    for (uint32_t i = 0; i < n; i++)
        w->open[i] = i;
    for (; n; depth = depth > QUAD_LEVELS ? depth - QUAD_LEVELS : 0)
        n = depth == 1   ? quad_wave(w, n, 1)
            : depth == 2 ? quad_wave(w, n, 2)
            : depth == 3 ? quad_wave(w, n, 3)
                         : quad_wave(w, n, QUAD_LEVELS);
}
