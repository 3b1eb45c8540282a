// SPDX-License-Identifier: Apache-2.0
// The comparisons of bits.h with AVX-512 VBMI: one byte shuffle looks 64 nodes up in 64 columns. With the row
// inverted, "the carry comes out of (x + d) + c + 1" is one subtraction and one compare:
//
//     (x + d) >= 255 - c      is      ~x - d <= c
#pragma once

#include "engine/trees/avx512_intrinsics.h" // first: it decides where intrinsics come from

#include "engine/trees/bits_avx2.h"

// The inverted codes of a row.
AVX512_INLINE __m512i bits512_row(const uint8_t *codes)
{
    return _mm512_xor_si512(_mm512_load_si512((const void *)codes), _mm512_set1_epi8(-1));
}

AVX512_INLINE uint64_t bits512_decide64(__m512i row, const uint8_t *f, const uint8_t *c, const uint8_t *d)
{
    __m512i x = _mm512_permutexvar_epi8(_mm512_loadu_si512((const void *)f), row);
    x = _mm512_sub_epi8(x, _mm512_loadu_si512((const void *)d));
    return _mm512_cmple_epu8_mask(x, _mm512_loadu_si512((const void *)c));
}

AVX512_INLINE uint32_t bits512_decide32(__m512i row, const uint8_t *f, const uint8_t *c, const uint8_t *d)
{
    __m512i x = _mm512_permutexvar_epi8(_mm512_castsi256_si512(bits_load(f)), row);
    __m256i low = _mm256_sub_epi8(_mm512_castsi512_si256(x), bits_load(d));
    return _mm256_cmple_epu8_mask(low, bits_load(c));
}

AVX512_INLINE uint32_t bits512_decide16(__m512i row, const uint8_t *f, const uint8_t *c, const uint8_t *d)
{
    __m128i v[3];
    const uint8_t *const from[3] = {f, c, d};
    for (int i = 0; i < 3; i++)
        v[i] = _mm_loadu_si128((const __m128i *)(const void *)from[i]);
    __m512i x = _mm512_permutexvar_epi8(_mm512_castsi128_si512(v[0]), row);
    return _mm_cmple_epu8_mask(_mm_sub_epi8(_mm512_castsi512_si128(x), v[2]), v[1]);
}
