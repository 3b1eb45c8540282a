// SPDX-License-Identifier: Apache-2.0
// The loop over numbers with the instructions that every processor of the architecture has: SSE2 on x86-64,
// else plain C.
#include "wire/json_numbers.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>

static inline __m128i load16(const void *p)
{
    __m128i v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t not_digits(const char *p)
{
    const __m128i bias = _mm_set1_epi8((char)(-128 - '0')), ten = _mm_set1_epi8(-128 + 10);
    uint32_t low = (uint32_t)_mm_movemask_epi8(_mm_cmpgt_epi8(ten, _mm_add_epi8(load16(p), bias)));
    uint32_t high = (uint32_t)_mm_movemask_epi8(_mm_cmpgt_epi8(ten, _mm_add_epi8(load16(p + 16), bias)));
    return ~(uint64_t)(low | high << 16);
}

// A mask of the last n <= 16 of 16 bytes.
static inline __m128i last(unsigned n)
{
    static const uint8_t STEP[32] = {[16] = 255, 255, 255, 255, 255, 255, 255, 255,
                                     255,        255, 255, 255, 255, 255, 255, 255};
    return load16(STEP + n);
}

static inline uint64_t value16(const char *end, unsigned n, unsigned n_frac)
{
    const __m128i low_bytes = _mm_set1_epi16(0xff), tens = _mm_set1_epi16(10);
    __m128i text = _mm_and_si128(_mm_sub_epi8(load16(end - 16), _mm_set1_epi8('0')), last(n));
    __m128i frac = last(n_frac); // what stands before the point moves over it
    __m128i v = _mm_or_si128(_mm_and_si128(frac, text), _mm_andnot_si128(frac, _mm_slli_si128(text, 1)));
    v = _mm_add_epi16(_mm_mullo_epi16(_mm_and_si128(v, low_bytes), tens), _mm_srli_epi16(v, 8));
    v = _mm_madd_epi16(v, _mm_set1_epi32(100 | 1 << 16));
    v = _mm_madd_epi16(_mm_packs_epi32(v, v), _mm_set1_epi32(10000 | 1 << 16));
    uint64_t halves = (uint64_t)_mm_cvtsi128_si64(v);
    return (halves & UINT32_MAX) * 100000000 + (halves >> 32);
}

#else

static inline uint64_t not_digits(const char *p)
{
    uint64_t mask = ~(uint64_t)UINT32_MAX;
    for (int i = 0; i < WINDOW; i++)
        mask |= (uint64_t)((unsigned)(p[i] - '0') > 9) << i;
    return mask;
}

static inline uint64_t value16(const char *end, unsigned n, unsigned n_frac)
{
    uint64_t v = 0;
    for (unsigned left = n; left > 0; left--)
        if (n_frac == NO_POINT || left != n_frac + 1)
            v = v * 10 + (uint64_t)(end[-(int)left] - '0');
    return v;
}

#endif

#include "wire/json_numbers_scan.h"

size_t json_numbers_floats_any(struct json_scan *s, float *out, size_t n_max)
{
    return scan(s, out, false, n_max);
}

size_t json_numbers_doubles_any(struct json_scan *s, double *out, size_t n_max)
{
    return scan(s, out, true, n_max);
}
