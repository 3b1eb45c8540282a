// SPDX-License-Identifier: Apache-2.0
// The AVX-512 path match with float values.
#include "engine/trees/kernel_list.h"

#if defined(__x86_64__)
#include "engine/trees/bits_avx512.h"
#include "engine/trees/path.h"

#define VALUE   float
#define NAME(x) path_avx512_##x##_f32
#include "engine/trees/path_avx512_run.h"

#endif
