// SPDX-License-Identifier: Apache-2.0
// The AVX-512 heap walk with double values.
#include "engine/trees/kernel_list.h"

#if defined(__x86_64__)
#include "engine/trees/bits_avx512.h"
#include "engine/trees/heap_avx2.h"

#define VALUE   double
#define NAME(x) heap_avx512_##x##_f64
#include "engine/trees/heap_avx512_run.h"

#endif
