// SPDX-License-Identifier: Apache-2.0
// The AVX2 plane kernel with float values.
#include "engine/trees/kernel_list.h"

#if defined(__x86_64__)
#include "engine/trees/plane_avx2.h"

#define VALUE   float
#define NAME(x) plane_avx2_##x##_f32

AVX2_INLINE void NAME(add)(const VALUE *leaves, const uint8_t *places, VALUE *sum)
{
    for (uint32_t r = 0; r < PLANE_ROWS; r++)
        sum[r] += leaves[places[r]];
}

#include "engine/trees/plane_avx2_run.h"

#endif
