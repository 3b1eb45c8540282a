// SPDX-License-Identifier: Apache-2.0
// What both value types of the AVX2 walk through blocks of three levels share.
#pragma once

#include "engine/trees/bits_avx2.h"
#include "engine/trees/heap.h"
#include "engine/trees/oct.h"

enum { OCT_GROUPS = OCT_MAX_COLS / 16, OCT_NARROW_GROUPS = OCT_NARROW_COLS / 16 };

struct oct_row {
    struct bits_row near; // columns 0 … 63
    struct bits_row far;  // columns 64 … 127, when there are eight groups
};

struct oct_blocks { // of four trees
    __m256i f, c;
};

AVX2_INLINE struct oct_row oct_row_load(const uint8_t *codes, int groups)
{
    struct oct_row r;
    r.near = bits_row_load(codes, groups == OCT_GROUPS ? OCT_NARROW_GROUPS : groups);
    if (groups == OCT_GROUPS)
        r.far = bits_row_load(codes + OCT_NARROW_COLS, OCT_NARROW_GROUPS);
    return r;
}

// A byte of seven decisions for each tree. `left` is -1 where missing goes left.
AVX2_INLINE uint32_t oct_decide(const struct oct_row *r, struct oct_blocks b, int groups)
{
    __m256i left, x;
    if (groups == OCT_GROUPS) {
        __m256i f = _mm256_and_si256(b.f, _mm256_set1_epi8(OCT_LEFT_WIDE - 1));
        left = _mm256_cmpgt_epi8(_mm256_setzero_si256(), b.f);
        x = _mm256_blendv_epi8(bits_codes(&r->near, f, OCT_NARROW_GROUPS),
                               bits_codes(&r->far, f, OCT_NARROW_GROUPS), _mm256_slli_epi16(f, 1));
    } else {
        left = _mm256_cmpgt_epi8(b.f, _mm256_set1_epi8(OCT_LEFT - 1));
        x = bits_codes(&r->near, b.f, groups);
    }
    return (uint32_t)_mm256_movemask_epi8(_mm256_avg_epu8(_mm256_sub_epi8(x, left), b.c));
}

AVX2_INLINE struct oct_blocks oct_top(const uint8_t *at)
{
    return (struct oct_blocks){bits_load(at), bits_load(at + OCT_TOP_BYTES / 2)};
}

AVX2_INLINE __m256i oct_two(const uint8_t *low, const uint8_t *high)
{
    __m128i l = _mm_loadu_si128((const __m128i *)(const void *)low);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(l),
                                   _mm_loadu_si128((const __m128i *)(const void *)high), 1);
}

// The blocks of tree l at block[l] + constant + l * tree.
AVX2_INLINE struct oct_blocks oct_below(const uint8_t *const block[OCT_TREES], size_t constant, size_t tree)
{
    __m256i a = oct_two(block[0] + constant, block[2] + constant + 2 * tree);
    __m256i b = oct_two(block[1] + constant + tree, block[3] + constant + 3 * tree);
    return (struct oct_blocks){_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)};
}

AVX2_INLINE size_t oct_byte(uint32_t decisions, int l)
{
    return l == 3 ? decisions >> 24 : l == 2 ? _bextr_u32(decisions, 16, 8) : (decisions >> 8 * l) & 0xff;
}
