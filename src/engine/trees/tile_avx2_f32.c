// SPDX-License-Identifier: Apache-2.0
// The AVX2 tile walk with float values.
#include "engine/trees/kernel_list.h"

#if defined(__x86_64__)
#include "engine/trees/tile_avx2.h"

#define VALUE   float
#define NAME(x) tile_avx2_##x##_f32
#include "engine/trees/tile_avx2_run.h"

#endif
