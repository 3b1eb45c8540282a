// SPDX-License-Identifier: Apache-2.0
// What both value types of the AVX-512 plane kernel share: choosing the leaf's place for 64 rows. A node is a
// compare of its plane and a masked addition, of the place under its right child to that under its left:
//
//     place(node) = decision(node) ? place(right child) + places under the left child : place(left child)
#pragma once

#include "engine/trees/avx512_intrinsics.h" // first: it decides where intrinsics come from

#include "engine/trees/plane_avx2.h"

// The tree's least codes that go right, 255 - c, four times each: a byte is broadcast by a shuffle, four
// bytes by the load alone.
AVX512_INLINE void plane512_least(const struct plane_tree *t, int levels, uint32_t *least)
{
    const __m512i four = _mm512_set_epi32(
        0x0f0f0f0f, 0x0e0e0e0e, 0x0d0d0d0d, 0x0c0c0c0c, 0x0b0b0b0b, 0x0a0a0a0a, 0x09090909, 0x08080808,
        0x07070707, 0x06060606, 0x05050505, 0x04040404, 0x03030303, 0x02020202, 0x01010101, 0x00000000);
    const __m512i all = _mm512_set1_epi8(-1);
    __m512i c = _mm512_xor_si512(_mm512_loadu_si512((const void *)t->c), all);
    for (int i = 0; i < 1 << levels; i += 16) {
        __m512i from = _mm512_add_epi8(four, _mm512_set1_epi8((char)i));
        _mm512_store_si512((void *)(least + i), _mm512_permutexvar_epi8(from, c));
    }
}

struct plane512_walk {
    const uint8_t *planes;
    const struct plane_tree *tree;
    const uint32_t *least;
};

AVX512_INLINE __mmask64 plane512_right(const struct plane512_walk *w, int heap)
{
    __m512i codes = _mm512_load_si512((const void *)(w->planes + w->tree->plane[heap]));
    return _mm512_cmpge_epu8_mask(codes, _mm512_set1_epi32((int)w->least[heap]));
}

// The place under a node of the last level …
AVX512_INLINE __m512i plane512_last(const struct plane512_walk *w, int heap)
{
    return _mm512_maskz_mov_epi8(plane512_right(w, heap), _mm512_set1_epi8(1));
}

// … and under one that has one, two, … levels below it. Macros because C inlines no recursion.
#define PLANE_LEVEL(name, below, half)                                                                       \
    AVX512_INLINE __m512i name(const struct plane512_walk *w, int heap)                                      \
    {                                                                                                        \
        __m512i left = below(w, 2 * heap), right = below(w, 2 * heap + 1);                                   \
        return _mm512_mask_add_epi8(left, plane512_right(w, heap), right, _mm512_set1_epi8(half));           \
    }
PLANE_LEVEL(plane512_under1, plane512_last, 2)
PLANE_LEVEL(plane512_under2, plane512_under1, 4)
PLANE_LEVEL(plane512_under3, plane512_under2, 8)
PLANE_LEVEL(plane512_under4, plane512_under3, 16)
PLANE_LEVEL(plane512_under5, plane512_under4, 32)
#undef PLANE_LEVEL

AVX512_INLINE __m512i plane512_places(const uint8_t *planes, const struct plane_tree *t, int levels)
{
    uint32_t least[PLANE_NODES] __attribute__((aligned(64)));
    plane512_least(t, levels, least);
    const struct plane512_walk w = {planes, t, least};
    return levels == 6   ? plane512_under5(&w, 1)
           : levels == 5 ? plane512_under4(&w, 1)
                         : plane512_under3(&w, 1);
}
