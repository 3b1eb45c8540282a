// SPDX-License-Identifier: Apache-2.0
// In place of src/engine/trees/cpu_avx512.c where the AVX-512 kernels are emulated: with AVX2, they run.
#include "engine/trees/kernel.h"

bool cpu_avx512(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt");
}
