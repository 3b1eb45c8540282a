// SPDX-License-Identifier: Apache-2.0
// Decimal text to double. Three ways, each taken only when the ones before cannot decide:
//   digits and power of ten exact as doubles   one division or product rounds correctly (Clinger 1990)
//   128 bits of the power of ten               the interval that holds the number lies on one side of the
//                                              midpoint of two doubles (after Eisel and Lemire 2021)
//   whole integers                             the number is compared with that midpoint exactly
// Writing numbers is num_text.c.
#include "base/num.h"

#include "base/assert.h"
#include "num_pow10.h"

#include <math.h>
#include <string.h>

typedef unsigned __int128 u128;

enum {
    DIGITS_MAX = 19,    // decimal digits that always fit 64 bits
    DIGITS_EXACT = 800, // more than the 767 that a midpoint of two doubles can have
    BIG_WORDS = 64,     // 4096 bits: 10^1142 and a 54-bit factor, the largest number compared, take 3848
    EXPONENT_CAP = 1 << 24,
};

static const double POW10_DOUBLE[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// Little-endian whole numbers for the exact comparison.
struct big {
    unsigned n;
    uint64_t w[BIG_WORDS];
};

static void big_mul_add(struct big *b, uint64_t factor, uint64_t add)
{
    u128 carry = add;
    for (unsigned i = 0; i < b->n; i++) {
        carry += (u128)b->w[i] * factor;
        b->w[i] = (uint64_t)carry;
        carry >>= 64;
    }
    if (carry) {
        ASSERT(b->n < BIG_WORDS);
        b->w[b->n++] = (uint64_t)carry;
    }
}

static void big_mul_pow10(struct big *b, int exponent)
{
    for (; exponent > 0; exponent -= DIGITS_MAX) {
        uint64_t factor = 1;
        for (int i = 0; i < DIGITS_MAX && i < exponent; i++)
            factor *= 10;
        big_mul_add(b, factor, 0);
    }
}

static void big_mul_pow2(struct big *b, int exponent)
{
    for (; exponent > 0; exponent -= 63)
        big_mul_add(b, (uint64_t)1 << (exponent < 63 ? exponent : 63), 0);
}

static int big_cmp(const struct big *a, const struct big *b)
{
    if (a->n != b->n)
        return a->n > b->n ? 1 : -1;
    for (unsigned i = a->n; i-- > 0;)
        if (a->w[i] != b->w[i])
            return a->w[i] > b->w[i] ? 1 : -1;
    return 0;
}

// digits × 10^exp10 lies between the double `below` (its bits) and the next one: which is nearer?
static uint64_t round_exactly(struct big *digits, int exp10, uint64_t below)
{
    uint64_t field = below >> 52;
    uint64_t mantissa = (below & (((uint64_t)1 << 52) - 1)) | (field ? (uint64_t)1 << 52 : 0);
    int exp2 = (int)(field ? field : 1) - 1075 - 1; // of the midpoint 2 × mantissa + 1
    struct big midpoint = {1, {2 * mantissa + 1}};
    big_mul_pow10(exp10 < 0 ? &midpoint : digits, exp10 < 0 ? -exp10 : exp10);
    big_mul_pow2(exp2 < 0 ? digits : &midpoint, exp2 < 0 ? -exp2 : exp2);
    int c = big_cmp(digits, &midpoint);
    return below + (c > 0 || (c == 0 && (mantissa & 1)));
}

// The double nearest to v × 10^exp10, as bits, where v == digits, or digits < v < digits + 1 if `more`.
// When 128 bits do not decide, *ret_sure is false and the double just below is returned.
static uint64_t round_by_interval(uint64_t digits, int exp10, bool more, bool *ret_sure)
{
    const uint64_t infinity = (uint64_t)0x7ff << 52;
    *ret_sure = true;
    if (digits == 0 || exp10 < POW10_FIRST) // 2^64 × 10^-343 is under half of the smallest double
        return 0;
    if (exp10 > 308)
        return infinity;
    int zeros = __builtin_clzll(digits);
    const uint64_t *top = POW10_TOP[exp10 - POW10_FIRST];
    uint64_t w = digits << zeros;
    // The number in units of 2^(floor(log2(10^exp10)) - 63 - zeros) is at least `low` and under low + slack.
    u128 tail = (u128)w * top[1], low = (u128)w * top[0] + (tail >> 64);
    bool power_exact = exp10 >= 0 && exp10 <= POW10_EXACT_LAST;
    bool above_low = more || !power_exact || (uint64_t)tail != 0;
    u128 slack = power_exact ? 1 : 2;
    if (more)
        slack += ((u128)top[0] + 1) << zeros;

    int msb = 126 + (int)(low >> 127);
    int field = msb + ((217706 * exp10) >> 16) - 63 - zeros + 1023;
    if (field > 2046)
        return infinity;
    int shift = msb - 52 + (field < 1 ? 1 - field : 0);
    if (shift > 128)
        return 0;
    uint64_t mantissa = shift == 128 ? 0 : (uint64_t)(low >> shift);
    u128 half = (u128)1 << (shift - 1), rest = shift == 128 ? low : low & (2 * half - 1);
    uint64_t below = ((uint64_t)(field < 1 ? 0 : field - 1) << 52) + mantissa;
    if (rest >= half)
        return below + (rest > half || above_low || (mantissa & 1));
    *ret_sure = rest + slack <= half;
    return below;
}

static double double_of(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

// The same for most numbers, with 64 bits of the power: false where the bits that were cut off could matter.
static bool round_quickly(uint64_t digits, int exp10, uint64_t *ret)
{
    int zeros = __builtin_clzll(digits);
    u128 product = (u128)(digits << zeros) * POW10_TOP[exp10 - POW10_FIRST][0];
    uint64_t top = (uint64_t)(product >> 64); // what was cut off adds at most 1
    int high = (int)(top >> 63), shift = 10 + high;
    uint64_t half = (uint64_t)1 << (shift - 1), rest = top & (2 * half - 1);
    if (rest - (half - 1) <= 1 || rest == 2 * half - 1)
        return false;
    int field = 126 + high + ((217706 * exp10) >> 16) - 63 - zeros + 1023;
    *ret = ((uint64_t)(field - 1) << 52) + (top >> shift) + (rest > half);
    return true;
}

double num_from_decimal(uint64_t digits, int exp10)
{
    if (digits >> 53 == 0 && exp10 >= -22 && exp10 <= 22)
        return exp10 < 0 ? (double)digits / POW10_DOUBLE[-exp10] : (double)digits * POW10_DOUBLE[exp10];
    bool sure;
    uint64_t bits;
    // Between these powers no result is subnormal or too large, whatever the digits.
    if (digits && exp10 >= -300 && exp10 <= 280 && round_quickly(digits, exp10, &bits))
        return double_of(bits);
    bits = round_by_interval(digits, exp10, false, &sure);
    if (!sure) {
        struct big b = {1, {digits}};
        bits = round_exactly(&b, exp10, bits);
    }
    return double_of(bits);
}

// The parts of a number's text: digits int_p[0..n_int) "." frac_p[0..n_frac), times 10^exponent.
struct text {
    bool negative;
    const char *int_p, *frac_p;
    size_t n_int, n_frac;
    int64_t exponent;
};

// Appends up to DIGITS_EXACT significant digits; the rest shows as one last digit 1 if any of it is not 0.
static int collect_exactly(const struct text *t, struct big *b)
{
    int64_t exp10 = t->exponent - (int64_t)t->n_frac;
    size_t n = 0, n_all = t->n_int + t->n_frac, i;
    bool more = false;
    *b = (struct big){0};
    for (i = 0; i < n_all && n < DIGITS_EXACT; i++) {
        uint64_t digit = (uint64_t)((i < t->n_int ? t->int_p[i] : t->frac_p[i - t->n_int]) - '0');
        n += n > 0 || digit != 0;
        big_mul_add(b, 10, digit);
    }
    exp10 += (int64_t)(n_all - i);
    for (; i < n_all && !more; i++)
        more = (i < t->n_int ? t->int_p[i] : t->frac_p[i - t->n_int]) != '0';
    if (more) {
        big_mul_add(b, 10, 1);
        exp10--;
    }
    return (int)exp10;
}

static double value_of(const struct text *t)
{
    uint64_t digits = 0;
    int n = 0;
    size_t n_all = t->n_int + t->n_frac, i;
    for (i = 0; i < n_all && n < DIGITS_MAX; i++) {
        unsigned digit = (unsigned)((i < t->n_int ? t->int_p[i] : t->frac_p[i - t->n_int]) - '0');
        digits = digits * 10 + digit;
        n += digits != 0;
    }
    bool more = false;
    int64_t exp10 = t->exponent - (int64_t)t->n_frac + (int64_t)(n_all - i);
    for (; i < n_all && !more; i++)
        more = (i < t->n_int ? t->int_p[i] : t->frac_p[i - t->n_int]) != '0';
    exp10 = exp10 < -EXPONENT_CAP ? -EXPONENT_CAP : exp10 > EXPONENT_CAP ? EXPONENT_CAP : exp10;
    if (!more)
        return num_from_decimal(digits, (int)exp10);
    bool sure;
    uint64_t bits = round_by_interval(digits, (int)exp10, true, &sure);
    if (!sure) {
        struct big b;
        int exact_exp10 = collect_exactly(t, &b);
        bits = round_exactly(&b, exact_exp10, bits);
    }
    return double_of(bits);
}

static size_t count_digits(const char *p, const char *end)
{
    const char *start = p;
    while (p < end && (unsigned)(*p - '0') < 10)
        p++;
    return (size_t)(p - start);
}

static bool parse(const char *start, size_t n, bool strict, double *ret, size_t *ret_used)
{
    const char *p = start, *end = start + n;
    struct text t = {0};
    if (p < end && (*p == '-' || (!strict && *p == '+')))
        t.negative = *p++ == '-';
    t.int_p = p;
    t.n_int = count_digits(p, end);
    if (strict && (t.n_int == 0 || (*p == '0' && t.n_int > 1)))
        return false;
    p += t.n_int;
    if (p < end && *p == '.') {
        t.frac_p = p + 1;
        t.n_frac = count_digits(p + 1, end);
        if (strict && t.n_frac == 0)
            return false;
        p += 1 + t.n_frac;
    }
    if (t.n_int + t.n_frac == 0)
        return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        const char *q = p + 1;
        bool minus = q < end && *q == '-';
        q += q < end && (*q == '-' || *q == '+');
        size_t n_exp = count_digits(q, end);
        if (n_exp == 0)
            return false;
        for (size_t i = 0; i < n_exp; i++)
            if (t.exponent < (int64_t)1 << 40) // a body cannot hold so many digits that this would matter
                t.exponent = t.exponent * 10 + (q[i] - '0');
        t.exponent = minus ? -t.exponent : t.exponent;
        p = q + n_exp;
    }
    double v = value_of(&t);
    *ret = t.negative ? -v : v;
    *ret_used = (size_t)(p - start);
    return true;
}

bool num_parse_double(const char *p, size_t n, double *ret, size_t *ret_used)
{
    return parse(p, n, true, ret, ret_used);
}

bool num_parse_loose(const char *p, size_t n, double *ret, size_t *ret_used)
{
    return parse(p, n, false, ret, ret_used);
}
