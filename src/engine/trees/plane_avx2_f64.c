// SPDX-License-Identifier: Apache-2.0
// The AVX2 plane kernel with double values.
#include "engine/trees/kernel_list.h"

#if defined(__x86_64__)
#include "engine/trees/plane_avx2.h"

#define VALUE   double
#define NAME(x) plane_avx2_##x##_f64

// Where row r's sum is kept.
AVX2_INLINE uint32_t NAME(lane)(uint32_t r)
{
    return r;
}

AVX2_INLINE void NAME(add)(const void *leaves, struct plane_pair p, int levels, VALUE *sum)
{
    (void)levels;
    uint8_t places[PLANE_ROWS] __attribute__((aligned(32)));
    _mm256_store_si256((__m256i *)(void *)places, p.low);
    _mm256_store_si256((__m256i *)(void *)(places + 32), p.high);
    for (uint32_t r = 0; r < PLANE_ROWS; r++)
        sum[r] += ((const VALUE *)leaves)[places[r]];
}

#include "engine/trees/plane_avx2_run.h"

#endif
