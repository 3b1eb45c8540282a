// SPDX-License-Identifier: Apache-2.0
// The AVX-512 plane kernel with double values.
#include "engine/trees/kernel_list.h"

#if defined(__x86_64__)
#include "engine/trees/plane_avx512.h"

#include <string.h>

#define VALUE   double
#define VECTOR  __m512d
#define NAME(x) plane_avx512_##x##_f64

// Where row r's sum is kept.
AVX512_INLINE uint32_t NAME(lane)(uint32_t r)
{
    return r;
}

// table[place] for eight rows: a permutation for each 16 entries, the place's bits 4 and 5 choose among them.
AVX512_INLINE __m512d NAME(values)(const double *table, __m512i place, __mmask8 bit4, __mmask8 bit5,
                                   int levels)
{
    __m512d v[4];
    for (int i = 0; i < 1 << (levels - 4); i++)
        v[i] = _mm512_permutex2var_pd(_mm512_loadu_pd(table + 16 * i), place,
                                      _mm512_loadu_pd(table + 16 * i + 8));
    if (levels == 4)
        return v[0];
    __m512d low = _mm512_mask_blend_pd(bit4, v[0], v[1]);
    if (levels == 5)
        return low;
    return _mm512_mask_blend_pd(bit5, low, _mm512_mask_blend_pd(bit4, v[2], v[3]));
}

AVX512_INLINE void NAME(add)(const void *leaves, __m512i place, int levels, VECTOR sum[8])
{
    uint8_t places[PLANE_ROWS] __attribute__((aligned(64)));
    _mm512_store_si512((void *)places, place);
    uint64_t bit4 = _mm512_test_epi8_mask(place, _mm512_set1_epi8(16));
    uint64_t bit5 = _mm512_test_epi8_mask(place, _mm512_set1_epi8(32));
    for (int i = 0; i < 8; i++) {
        __m512i at =
            _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)(const void *)(places + (size_t)8 * i)));
        sum[i] = _mm512_add_pd(
            sum[i], NAME(values)(leaves, at, (__mmask8)(bit4 >> 8 * i), (__mmask8)(bit5 >> 8 * i), levels));
    }
}

#include "engine/trees/plane_avx512_run.h"

#endif
