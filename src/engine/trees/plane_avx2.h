// SPDX-License-Identifier: Apache-2.0
// What both value types of the AVX2 plane kernel share: making planes, and choosing the leaf's place.
#pragma once

#include "engine/trees/bits_avx2.h"
#include "engine/trees/plane.h"

// Codes the rows (at most PLANE_ROWS) into m->planes.
void plane_fill_avx2(struct trees *m, const void *rows, uint32_t n_rows);

struct plane_pair {
    __m256i low, high; // rows 0 … 31 and 32 … 63
};

AVX2_INLINE struct plane_pair plane_blend(const uint8_t *planes, const struct plane_tree *t, int heap,
                                          struct plane_pair left, struct plane_pair right)
{
    const uint8_t *plane = planes + t->plane[heap];
    __m256i c = _mm256_set1_epi8((char)t->c[heap]);
    left.low = _mm256_blendv_epi8(left.low, right.low, _mm256_avg_epu8(c, bits_load(plane)));
    left.high = _mm256_blendv_epi8(left.high, right.high, _mm256_avg_epu8(c, bits_load(plane + 32)));
    return left;
}

// The place chosen under a node of the last level …
AVX2_INLINE struct plane_pair plane_last(const uint8_t *planes, const struct plane_tree *t, int heap,
                                         int place)
{
    __m256i left = _mm256_set1_epi8((char)place), right = _mm256_set1_epi8((char)(place + 1));
    return plane_blend(planes, t, heap, (struct plane_pair){left, left}, (struct plane_pair){right, right});
}

// … and under one that has one, two, … levels below it. Macros because C inlines no recursion.
#define PLANE_LEVEL(name, below, half)                                                                       \
    AVX2_INLINE struct plane_pair name(const uint8_t *planes, const struct plane_tree *t, int heap,          \
                                       int place)                                                            \
    {                                                                                                        \
        struct plane_pair left = below(planes, t, 2 * heap, place);                                          \
        struct plane_pair right = below(planes, t, 2 * heap + 1, place + (half));                            \
        return plane_blend(planes, t, heap, left, right);                                                    \
    }
PLANE_LEVEL(plane_under1, plane_last, 2)
PLANE_LEVEL(plane_under2, plane_under1, 4)
PLANE_LEVEL(plane_under3, plane_under2, 8)
PLANE_LEVEL(plane_under4, plane_under3, 16)
PLANE_LEVEL(plane_under5, plane_under4, 32)
#undef PLANE_LEVEL

AVX2_INLINE struct plane_pair plane_places(const uint8_t *planes, const struct plane_tree *t, int levels)
{
    return levels == 6   ? plane_under5(planes, t, 1, 0)
           : levels == 5 ? plane_under4(planes, t, 1, 0)
                         : plane_under3(planes, t, 1, 0);
}
