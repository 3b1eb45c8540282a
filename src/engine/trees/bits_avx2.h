// SPDX-License-Identifier: Apache-2.0
// The comparisons of bits.h, 32 or 16 nodes an instruction. Included by the AVX2 kernels only; `groups` is
// the number of 16-column registers that hold the row and must be a constant.
#pragma once

#include "engine/trees/bits.h"
#include "engine/trees/kernel.h"

#include <immintrin.h>

#define AVX2        __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define AVX2_INLINE AVX2 __attribute__((always_inline)) static inline

enum { BITS_GROUPS = BITS_MAX_COLS / 16 };

struct bits_row {
    __m256i group[BITS_GROUPS]; // 16 codes, twice
};

AVX2_INLINE struct bits_row bits_row_load(const uint8_t *codes, int groups)
{
    struct bits_row r;
    for (int g = 0; g < groups; g++)
        r.group[g] =
            _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)(codes + 16 * g)));
    return r;
}

AVX2_INLINE __m256i bits_load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

// codes[f] for 32 nodes: pshufb looks at the low four bits of f, bits 4 and 5 choose among its results.
AVX2_INLINE __m256i bits_codes(const struct bits_row *r, __m256i f, int groups)
{
    __m256i x = _mm256_shuffle_epi8(r->group[0], f);
    if (groups == 1)
        return x;
    __m256i bit4 = _mm256_slli_epi16(f, 3);
    x = _mm256_blendv_epi8(x, _mm256_shuffle_epi8(r->group[1], f), bit4);
    if (groups == 2)
        return x;
    __m256i y = _mm256_shuffle_epi8(r->group[2], f);
    if (groups == 4)
        y = _mm256_blendv_epi8(y, _mm256_shuffle_epi8(r->group[3], f), bit4);
    return _mm256_blendv_epi8(x, y, _mm256_slli_epi16(f, 2));
}

AVX2_INLINE uint32_t bits_decide(const struct bits_row *r, __m256i f, __m256i c, __m256i d, int groups)
{
    __m256i x = _mm256_add_epi8(bits_codes(r, f, groups), d);
    return (uint32_t)_mm256_movemask_epi8(_mm256_avg_epu8(x, c));
}

AVX2_INLINE uint32_t bits_decide32(const struct bits_row *r, const uint8_t *f, const uint8_t *c,
                                   const uint8_t *d, int groups)
{
    return bits_decide(r, bits_load(f), bits_load(c), bits_load(d), groups);
}

AVX2_INLINE uint32_t bits_decide16(const struct bits_row *r, const uint8_t *f, const uint8_t *c,
                                   const uint8_t *d, int groups)
{
    __m256i v[3];
    const uint8_t *const from[3] = {f, c, d};
    for (int i = 0; i < 3; i++)
        v[i] = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)from[i]));
    return bits_decide(r, v[0], v[1], v[2], groups) & 0xffff;
}

// The decisions on categories of one row, a word of `bytes` bytes a tree; NULL when the forest has none.
const uint64_t *bits_row_words(struct trees *m, const void *row, enum image_section masks, uint32_t bytes);
