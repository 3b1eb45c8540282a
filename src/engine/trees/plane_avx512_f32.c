// SPDX-License-Identifier: Apache-2.0
// The AVX-512 plane kernel with float values.
#include "engine/trees/kernel_list.h"

#if defined(__x86_64__)
#include "engine/trees/plane_avx512.h"

#include <string.h>

#define VALUE   float
#define VECTOR  __m512
#define NAME(x) plane_avx512_##x##_f32

// Where row r's sum is kept: the order in which unpacking leaves the rows.
AVX512_INLINE uint32_t NAME(lane)(uint32_t r)
{
    return r % 16 / 4 * 16 + r / 16 * 4 + r % 4;
}

AVX512_INLINE __m512i NAME(table)(const uint8_t *bytes, int levels)
{
    return levels == 6   ? _mm512_loadu_si512((const void *)bytes)
           : levels == 5 ? _mm512_castsi256_si512(bits_load(bytes))
                         : _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

// The leaf's four bytes are looked up apart, each for all rows.
AVX512_INLINE void NAME(add)(const void *leaves, __m512i place, int levels, VECTOR sum[4])
{
    __m512i b[4], value[4];
    for (int i = 0; i < 4; i++)
        b[i] = _mm512_permutexvar_epi8(place,
                                       NAME(table)((const uint8_t *)leaves + ((size_t)i << levels), levels));
    __m512i low01 = _mm512_unpacklo_epi8(b[0], b[1]), high01 = _mm512_unpackhi_epi8(b[0], b[1]);
    __m512i low23 = _mm512_unpacklo_epi8(b[2], b[3]), high23 = _mm512_unpackhi_epi8(b[2], b[3]);
    value[0] = _mm512_unpacklo_epi16(low01, low23);
    value[1] = _mm512_unpackhi_epi16(low01, low23);
    value[2] = _mm512_unpacklo_epi16(high01, high23);
    value[3] = _mm512_unpackhi_epi16(high01, high23);
    for (int i = 0; i < 4; i++)
        sum[i] = _mm512_add_ps(sum[i], _mm512_castsi512_ps(value[i]));
}

#include "engine/trees/plane_avx512_run.h"

#endif
