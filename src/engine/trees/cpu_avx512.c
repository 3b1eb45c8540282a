// SPDX-License-Identifier: Apache-2.0
// Whether this processor can run the AVX-512 kernels. A file of its own so that the test that emulates them
// can answer for itself.
#include "engine/trees/kernel.h"

bool cpu_avx512(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vbmi");
#else
    return false;
#endif
}
