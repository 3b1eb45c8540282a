// SPDX-License-Identifier: Apache-2.0
// Chooses the variant of the loop over numbers by what the processor can do.
#include "wire/json_numbers.h"

#if defined(__x86_64__)

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

size_t json_scan_floats(struct json_scan *s, float *out, size_t n_max)
{
    return has_avx2() ? json_numbers_floats_avx2(s, out, n_max) : json_numbers_floats_any(s, out, n_max);
}

size_t json_scan_doubles(struct json_scan *s, double *out, size_t n_max)
{
    return has_avx2() ? json_numbers_doubles_avx2(s, out, n_max) : json_numbers_doubles_any(s, out, n_max);
}

#else

size_t json_scan_floats(struct json_scan *s, float *out, size_t n_max)
{
    return json_numbers_floats_any(s, out, n_max);
}

size_t json_scan_doubles(struct json_scan *s, double *out, size_t n_max)
{
    return json_numbers_doubles_any(s, out, n_max);
}

#endif
