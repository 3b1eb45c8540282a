// SPDX-License-Identifier: Apache-2.0
// Doubles and floats to their shortest decimal text, after Giulietti's Schubfach (2020): the candidates with
// one digit fewer and with all digits are checked against the interval of numbers that round to v. Reading
// numbers is num.c.
#include "base/num.h"

#include "base/assert.h"
#include "num_pow10.h"

#include <math.h>
#include <string.h>

typedef unsigned __int128 u128;

// 7.038531e-26f: the only float, with its negative, whose shortest text lies so near to a midpoint of floats
// that reading it as a double and narrowing that, as JSON clients do, gives the neighbour. One digit more.
enum { READS_AS_NEIGHBOUR = 0x15ae43fd };

// digits × 10^exp10
struct decimal {
    uint64_t digits;
    int exp10;
};

static int floor_log2_pow10(int e)
{
    return (e * 1741647) >> 19;
}

// floor(log10(2^e)), or of 3/4 × 2^e where the neighbour below is nearer than the one above.
static int floor_log10_pow2(int e, bool near_below)
{
    return (e * 1262611 - (near_below ? 524031 : 0)) >> 22;
}

// The top of 10^exp10 × cp with the last bit set when anything was cut off, so that comparisons stay exact.
static uint64_t scale_double(int exp10, uint64_t cp)
{
    const uint64_t *top = POW10_TOP[exp10 - POW10_FIRST];
    bool exact = exp10 >= 0 && exp10 <= POW10_EXACT_LAST;
    u128 g = (((u128)top[0] << 64) | top[1]) + !exact;
    u128 x = (u128)(uint64_t)g * cp, y = (u128)(uint64_t)(g >> 64) * cp + (x >> 64);
    return (uint64_t)(y >> 64) | ((uint64_t)y > 1);
}

// The same for 32-bit cp, with 64 bits of the power.
static uint64_t scale_float(int exp10, uint64_t cp)
{
    const uint64_t *top = POW10_TOP[exp10 - POW10_FIRST];
    bool exact = exp10 >= 0 && top[1] == 0;
    u128 y = (u128)(top[0] + !exact) * cp;
    return (uint64_t)(y >> 64) | ((uint64_t)y >> 32 > 1);
}

// Picks among the decimals in the interval around c × 2^exp2. All bounds are four times the scaled number.
static struct decimal shortest(uint64_t c, int exp2, bool near_below, uint64_t (*scale)(int, uint64_t))
{
    int k = floor_log10_pow2(exp2, near_below);
    int h = exp2 + floor_log2_pow10(-k) + 1;
    uint64_t odd = c & 1;
    uint64_t low = scale(-k, (4 * c - 2 + near_below) << h) + odd;
    uint64_t mid = scale(-k, (4 * c) << h);
    uint64_t high = scale(-k, (4 * c + 2) << h) - odd;
    uint64_t s = mid / 4;
    if (s >= 10) {
        uint64_t t = s / 10;
        bool below_inside = low <= 40 * t, above_inside = 40 * t + 40 <= high;
        if (below_inside != above_inside)
            return (struct decimal){t + above_inside, k + 1};
    }
    bool below_inside = low <= 4 * s, above_inside = 4 * s + 4 <= high;
    if (below_inside != above_inside)
        return (struct decimal){s + above_inside, k};
    uint64_t half = 4 * s + 2;
    return (struct decimal){s + (mid > half || (mid == half && (s & 1))), k};
}

// Writes v's digits and returns how many; nothing for 0.
static size_t put_digits(uint64_t v, char *to)
{
    char text[20];
    size_t at = sizeof text;
    while (v >= 100) {
        unsigned pair = (unsigned)(v % 100);
        v /= 100;
        text[--at] = (char)('0' + pair % 10);
        text[--at] = (char)('0' + pair / 10);
    }
    for (; v; v /= 10)
        text[--at] = (char)('0' + v % 10);
    memcpy(to, text + at, sizeof text - at);
    return sizeof text - at;
}

// d.ddde-07: at least two digits of exponent.
static size_t put_exponent_form(const char *digits, size_t n, int exponent, char *to)
{
    char *p = to;
    *p++ = digits[0];
    if (n > 1) {
        *p++ = '.';
        memcpy(p, digits + 1, n - 1);
        p += n - 1;
    }
    *p++ = 'e';
    *p++ = exponent < 0 ? '-' : '+';
    unsigned e = (unsigned)(exponent < 0 ? -exponent : exponent);
    if (e < 10)
        *p++ = '0';
    p += put_digits(e, p);
    return (size_t)(p - to);
}

static size_t put_decimal(struct decimal d, char *to)
{
    char digits[20];
    size_t n = put_digits(d.digits, digits);
    while (n > 1 && digits[n - 1] == '0') {
        n--;
        d.exp10++;
    }
    int point = (int)n + d.exp10; // digits before the point; value = 0.DIGITS × 10^point
    char *p = to;
    if (point < -3 || point > 16)
        return put_exponent_form(digits, n, point - 1, to);
    if (point <= 0) {
        memcpy(p, "0.000", 5);
        p += 2 - point;
        memcpy(p, digits, n);
        return (size_t)(p - to) + n;
    }
    size_t n_int = (size_t)point;
    if (n <= n_int) {
        memcpy(p, digits, n);
        memset(p + n, '0', n_int - n);
        memcpy(p + n_int, ".0", 2);
        return n_int + 2;
    }
    memcpy(p, digits, n_int);
    p[n_int] = '.';
    memcpy(p + n_int + 1, digits + n_int, n - n_int);
    return n + 1;
}

size_t num_write_double(double v, char ret[NUM_TEXT_MAX])
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    ASSERT(isfinite(v));
    size_t n_sign = bits >> 63;
    ret[0] = '-';
    char *to = ret + n_sign;
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1), field = (bits >> 52) & 0x7ff;
    double size = fabs(v);
    if (size < 0x1p53 && size == (double)(uint64_t)size) {
        if (size == 0) {
            memcpy(to, "0.0", 3);
            return n_sign + 3;
        }
        return n_sign + put_decimal((struct decimal){(uint64_t)size, 0}, to);
    }
    uint64_t c = field ? fraction | (uint64_t)1 << 52 : fraction;
    int exp2 = (int)(field ? field : 1) - 1075;
    return n_sign + put_decimal(shortest(c, exp2, fraction == 0 && field > 1, scale_double), to);
}

size_t num_write_float(float v, char ret[NUM_TEXT_MAX])
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    ASSERT(isfinite(v));
    size_t n_sign = bits >> 31;
    ret[0] = '-';
    char *to = ret + n_sign;
    uint32_t fraction = bits & 0x7fffff, field = (bits >> 23) & 0xff;
    float size = fabsf(v);
    if (size < 0x1p24f && size == (float)(uint32_t)size) {
        if (bits << 1 == 0) {
            memcpy(to, "0.0", 3);
            return n_sign + 3;
        }
        return n_sign + put_decimal((struct decimal){(uint32_t)size, 0}, to);
    }
    if (bits << 1 >> 1 == READS_AS_NEIGHBOUR)
        return n_sign + put_decimal((struct decimal){70385307, -33}, to);
    uint64_t c = field ? fraction | 1u << 23 : fraction;
    int exp2 = (int)(field ? field : 1) - 150;
    return n_sign + put_decimal(shortest(c, exp2, fraction == 0 && field > 1, scale_float), to);
}

size_t num_write_i64(int64_t v, char ret[NUM_TEXT_MAX])
{
    size_t n_sign = v < 0;
    ret[0] = '-';
    if (v == 0)
        ret[0] = '0';
    uint64_t size = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    return v == 0 ? 1 : n_sign + put_digits(size, ret + n_sign);
}
