// SPDX-License-Identifier: Apache-2.0
// The AVX-512 intrinsics as SIMDe emulates them with AVX2, for the test build of the kernels only; and what
// SIMDe 0.7.4 lacks or names wrongly.
#pragma once

#include <immintrin.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wpointer-arith"
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#pragma GCC diagnostic pop

#undef _mm512_cmple_epu8_mask
#define _mm512_cmple_epu8_mask(a, b) simde_mm512_cmple_epu8_mask((a), (b))
#undef _mm256_cmple_epu8_mask
#define _mm256_cmple_epu8_mask(a, b) simde_mm256_cmple_epu8_mask((a), (b))
#undef _mm_cmple_epu8_mask
#define _mm_cmple_epu8_mask(a, b) simde_mm_cmple_epu8_mask((a), (b))

static inline __m512i emulated_cvtepu8_epi64(__m128i a)
{
    uint8_t bytes[16];
    int64_t wide[8];
    _mm_storeu_si128((__m128i *)(void *)bytes, a);
    for (int i = 0; i < 8; i++)
        wide[i] = bytes[i];
    return _mm512_loadu_si512((const void *)wide);
}
#undef _mm512_cvtepu8_epi64
#define _mm512_cvtepu8_epi64(a) emulated_cvtepu8_epi64(a)
