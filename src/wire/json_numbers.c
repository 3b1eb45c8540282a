// SPDX-License-Identifier: Apache-2.0
// The hot loop of prediction: numbers separated by commas, straight into a row. Where a number ends is read
// from one mask of its next 32 bytes, so that finding the next number waits for few instructions, and the
// digits are valued eight at a time beside that. Whatever is not plain is left to json_scan_number.
#include "wire/json_scan.h"

#include "base/num.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { WINDOW = 32, PADDED = WINDOW + 8 }; // bytes looked at; readable bytes behind them

static const uint64_t POW10[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
static const double POW10_DOUBLE[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,
                                      1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19};

static inline uint64_t load8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

// Bit i is set when p[i] is no decimal digit, for 32 bytes.
static inline uint32_t not_digits(const char *p)
{
#if defined(__SSE2__)
    const __m128i bias = _mm_set1_epi8((char)(-128 - '0')), ten = _mm_set1_epi8(-128 + 9);
    __m128i a, b;
    memcpy(&a, p, sizeof a);
    memcpy(&b, p + 16, sizeof b);
    unsigned low = (unsigned)_mm_movemask_epi8(_mm_cmpgt_epi8(_mm_add_epi8(a, bias), ten));
    unsigned high = (unsigned)_mm_movemask_epi8(_mm_cmpgt_epi8(_mm_add_epi8(b, bias), ten));
    return low | high << 16;
#else
    uint32_t mask = 0;
    for (int i = 0; i < WINDOW; i++)
        mask |= (uint32_t)((unsigned)(p[i] - '0') > 9) << i;
    return mask;
#endif
}

// The value of the first n digits at p, 1 <= n <= 8; 8 bytes are read.
static inline uint64_t value8(const char *p, unsigned n)
{
    uint64_t v = (load8(p) ^ 0x3030303030303030u) << (64 - 8 * n);
    v = v * 10 + (v >> 8); // pairs, then fours, then all eight
    return (((v & 0x000000ff000000ffu) * 0x000f424000000064u) +
            ((v >> 16 & 0x000000ff000000ffu) * 0x0000271000000001u)) >>
           32;
}

// The same for 0 <= n <= 7.
static inline uint64_t value7(const char *p, unsigned n)
{
    uint64_t v = (load8(p) ^ 0x3030303030303030u) << (56 - 8 * n) << 8;
    v = v * 10 + (v >> 8);
    return (((v & 0x000000ff000000ffu) * 0x000f424000000064u) +
            ((v >> 16 & 0x000000ff000000ffu) * 0x0000271000000001u)) >>
           32;
}

// The plain number at p, of which PADDED bytes can be read: its length, or 0 when it is not plain.
static inline size_t plain_number(const char *p, double *ret)
{
    unsigned negative = *p == '-';
    uint32_t stops = not_digits(p) & ~negative; // the sign is no stop
    if (stops == 0)
        return 0;
    unsigned at = (unsigned)__builtin_ctz(stops), n_int = at - negative, end = at, n_frac = 0;
    if (n_int - 1 > 7 || (p[negative] == '0' && n_int > 1))
        return 0;
    uint64_t digits = value8(p + negative, n_int);
    if (p[at] == '.') {
        stops &= stops - 1;
        if (stops == 0)
            return 0;
        end = (unsigned)__builtin_ctz(stops);
        n_frac = end - at - 1;
        const char *f = p + at + 1;
        if (n_frac - 1 < 8) {
            digits = digits * POW10[n_frac] + value8(f, n_frac);
        } else {
            if (n_frac == 0 || n_frac + (digits ? n_int : 0) > 19)
                return 0;
            unsigned second = n_frac < 16 ? n_frac - 8 : 8, third = n_frac - 8 - second;
            digits = digits * POW10[8] + value8(f, 8);
            digits = digits * POW10[second] + value8(f + 8, second);
            digits = digits * POW10[third] + value7(f + 16, third);
        }
    }
    if ((p[end] | 0x20) == 'e')
        return 0;
    double v =
        digits >> 53 == 0 ? (double)digits / POW10_DOUBLE[n_frac] : num_from_decimal(digits, -(int)n_frac);
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits |= (uint64_t)negative << 63;
    memcpy(ret, &bits, sizeof bits);
    return end;
}

// Near the end of the body: the same on a copy with zeros behind it.
static size_t plain_number_at_end(const char *p, const char *end, double *ret)
{
    char copy[PADDED] = {0};
    if (p == end)
        return 0;
    memcpy(copy, p, (size_t)(end - p));
    return plain_number(copy, ret);
}

static inline __attribute__((always_inline)) size_t scan(struct json_scan *s, void *out, bool wide,
                                                         size_t n_max)
{
    const char *p = s->p, *end = s->end;
    size_t n = 0;
    for (;;) {
        double v;
        size_t used = end - p >= PADDED ? plain_number(p, &v) : plain_number_at_end(p, end, &v);
        if (used == 0)
            break;
        if (wide)
            ((double *)out)[n] = v;
        else
            ((float *)out)[n] = (float)v; // 19 digits are far below the largest float
        p += used;
        s->p = p;
        if (++n == n_max || p == end || *p != ',')
            break;
        p++;
        while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
            p++;
    }
    return n;
}

size_t json_scan_floats(struct json_scan *s, float *out, size_t n_max)
{
    return scan(s, out, false, n_max);
}

size_t json_scan_doubles(struct json_scan *s, double *out, size_t n_max)
{
    return scan(s, out, true, n_max);
}
