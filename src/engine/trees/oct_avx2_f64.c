// SPDX-License-Identifier: Apache-2.0
// The AVX2 walk through blocks of three levels with double values.
#include "engine/trees/kernel_list.h"

#if defined(__x86_64__)
#include "engine/trees/oct_avx2.h"

#define VALUE     double
#define NAME(x)   oct_avx2_##x##_f64
#define EXIT_LAST OCT_EXIT_F64
#include "engine/trees/oct_avx2_run.h"

#endif
