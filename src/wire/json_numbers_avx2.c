// SPDX-License-Identifier: Apache-2.0
// The loop over numbers with AVX2, BMI1 and BMI2; compiled with these switched on, called only where the
// processor has them.
#include "wire/json_numbers.h"

#include <immintrin.h>
#include <string.h>

static inline uint64_t not_digits(const char *p)
{
    __m256i text;
    memcpy(&text, p, sizeof text);
    text = _mm256_add_epi8(text, _mm256_set1_epi8((char)(-128 - '0')));
    return ~(uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi8(_mm256_set1_epi8(-128 + 10), text));
}

// A mask of the last n <= 16 of 16 bytes.
static inline __m128i last(unsigned n)
{
    static const uint8_t STEP[32] = {[16] = 255, 255, 255, 255, 255, 255, 255, 255,
                                     255,        255, 255, 255, 255, 255, 255, 255};
    __m128i v;
    memcpy(&v, STEP + n, sizeof v);
    return v;
}

static inline uint64_t value16(const char *end, unsigned n, unsigned n_frac)
{
    __m128i text;
    memcpy(&text, end - 16, sizeof text);
    text = _mm_and_si128(_mm_sub_epi8(text, _mm_set1_epi8('0')), last(n));
    // What stands before the point moves over it.
    __m128i v = _mm_blendv_epi8(_mm_slli_si128(text, 1), text, last(n_frac));
    v = _mm_maddubs_epi16(v, _mm_set1_epi16(10 | 1 << 8));
    v = _mm_madd_epi16(v, _mm_set1_epi32(100 | 1 << 16));
    v = _mm_madd_epi16(_mm_packus_epi32(v, v), _mm_set1_epi32(10000 | 1 << 16));
    uint64_t halves = (uint64_t)_mm_cvtsi128_si64(v);
    return (halves & UINT32_MAX) * 100000000 + (halves >> 32);
}

#include "wire/json_numbers_scan.h"

size_t json_numbers_floats_avx2(struct json_scan *s, float *out, size_t n_max)
{
    return scan(s, out, false, n_max);
}

size_t json_numbers_doubles_avx2(struct json_scan *s, double *out, size_t n_max)
{
    return scan(s, out, true, n_max);
}
