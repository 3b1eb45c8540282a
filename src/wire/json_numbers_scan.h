// SPDX-License-Identifier: Apache-2.0
// The loop over numbers separated by commas, included by each variant of json_numbers_*.c after it defined
// not_digits and value16 for its instructions:
//   uint64_t not_digits(p)             bit i set when p[i] is no decimal digit, for WINDOW bytes, and from
//   there on uint64_t value16(end, n, n_frac)   the value of the n <= 16 characters before `end`: digits, and
//   a point n_frac
//                                      characters before the end unless that is NO_POINT; 16 bytes are loaded
// Where a number ends is read from one mask of its next 32 bytes, so that finding the next number waits for
// few instructions and no guess of the branch predictor; beside that its last 16 characters are valued at
// once.
#include "base/num.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    NEEDED = 40,  // readable bytes from a number's start
    BEFORE = 15,  // readable bytes before a number: 16 before its end
    TAIL = 64,    // the last bytes of a body, which are scanned in a copy that has NEEDED bytes behind it
    LONGEST = 24, // digits and point of a plain number
    SPACES = 64,  // between two numbers
    AT_ONCE = 1 << 14, // numbers, about a quarter of a millisecond
};

INLINE bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// By the sign and the digits after the point; dividing by -1 keeps the sign of -0.0.
static const double DIVISORS[2][23] = {
    {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
     1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22},
    {-1e0,  -1e1,  -1e2,  -1e3,  -1e4,  -1e5,  -1e6,  -1e7,  -1e8,  -1e9,  -1e10, -1e11,
     -1e12, -1e13, -1e14, -1e15, -1e16, -1e17, -1e18, -1e19, -1e20, -1e21, -1e22},
};

// The n <= 8 characters before `end`, with a point n_frac characters before the end if `point`.
INLINE uint64_t value8(const char *end, unsigned n, bool point, unsigned n_frac)
{
    uint64_t v;
    memcpy(&v, end - 8, sizeof v);
    v = (v ^ 0x3030303030303030u) >> (64 - 8 * n) << (64 - 8 * n);
    if (point) {
        uint64_t frac = ~(uint64_t)0 << (56 - 8 * n_frac) << 8;
        v = (v & frac) | (v << 8 & ~frac);
    }
    v = v * 10 + (v >> 8); // pairs, then fours, then all eight
    return (((v & 0x000000ff000000ffu) * 0x000f424000000064u) +
            ((v >> 16 & 0x000000ff000000ffu) * 0x0000271000000001u)) >>
           32;
}

// A number of 16 to LONGEST characters without its sign; false when it is not plain.
INLINE bool long_number(const char *end, unsigned negative, unsigned n, bool point, unsigned n_frac,
                        double *ret)
{
    if (n > LONGEST || (point && n_frac == 0))
        return false;
    bool point_in_front = point && n_frac >= 16, point_behind = point && n_frac < 16;
    uint64_t digits = value16(end, n < 16 ? n : 16, point_behind ? n_frac : NO_POINT);
    if (n > 16) {
        uint64_t front = value8(end - 16, n - 16, point_in_front, n_frac & 15);
        if (front > (point_behind ? 9999 : 999)) // else 64 bits hold all
            return false;
        digits += front * (point_behind ? 1000000000000000u : 10000000000000000u);
    }
    if (digits >> 53 == 0) {
        *ret = (double)(int64_t)digits / DIVISORS[negative][n_frac];
    } else {
        double v = num_from_decimal(digits, -(int)n_frac);
        *ret = negative ? -v : v;
    }
    return true;
}

// The number at p: its length, or 0 when it is not plain; whether an exponent follows is for the caller.
INLINE unsigned plain_number(const char *p, double *ret)
{
    unsigned negative = *p == '-';
    uint64_t stops = not_digits(p) ^ negative; // the sign is no stop
    unsigned at = (unsigned)__builtin_ctzll(stops), end = at, n_frac = 0, n_point_frac = NO_POINT;
    bool point = p[at] == '.', is_long;
    if (point) {
        end = (unsigned)__builtin_ctzll(stops & (stops - 1));
        n_point_frac = n_frac = end - at - 1;
        is_long = n_frac - 1 > 14;
    } else {
        is_long = false;
    }
    unsigned n = end - negative, n_int_max = p[negative] == '0' ? 1 : WINDOW;
    if (at - negative - 1 >= n_int_max)
        return 0;
    if (__builtin_expect(is_long | (n > 15), 0))
        return long_number(p + end, negative, n, point, n_frac, ret) ? end : 0;
    *ret = (double)(int64_t)value16(p + end, n, n_point_frac) / DIVISORS[negative][n_frac];
    return end;
}

INLINE size_t scan(struct json_scan *s, void *out, bool wide, size_t n_max)
{
    char tail[TAIL + NEEDED];
    const char *p = s->p, *end = s->end, *limit = end - NEEDED;
    ptrdiff_t left = end - p; // bytes after the last number taken
    size_t n = 0;
    if (end - s->start < TAIL || p - s->start < BEFORE)
        return 0;
    n_max = n_max < AT_ONCE ? n_max : AT_ONCE;
    for (;;) {
        double v;
        if (__builtin_expect(p > limit, 0)) { // go on in the copy
            memcpy(tail, s->end - TAIL, TAIL);
            memset(tail + TAIL, 0, NEEDED);
            p = tail + TAIL - (end - p);
            end = limit = tail + TAIL;
        }
        unsigned used = plain_number(p, &v);
        p += used;
        char c = *p;
        if (used == 0 || (c != ',' && (c | 0x20) == 'e'))
            break;
        if (wide)
            ((double *)out)[n] = v;
        else
            ((float *)out)[n] = (float)v; // 24 digits are far below the largest float
        left = end - p;
        if (++n == n_max || c != ',')
            break;
        p++;
        // A little space only: more is left to the caller, who pauses in it.
        for (int k = 0; k < SPACES && p < end && (unsigned char)*p <= ' ' && is_space(*p); k++)
            p++;
    }
    s->p = s->end - left;
    return n;
}
