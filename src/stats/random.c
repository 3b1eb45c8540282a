// SPDX-License-Identifier: Apache-2.0
// xoshiro256** (Blackman and Vigna), seeded by splitmix64. Binomials by inversion that begins at the mode and
// walks outward, so that the usual draw takes few steps however large n is.
#include "stats/random.h"

#include "stats/special.h"

#include <math.h>

static uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

void stats_random_init(struct stats_random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        r->s[i] = z ^ z >> 31;
    }
}

uint64_t stats_random_u64(struct stats_random *r)
{
    uint64_t *s = r->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double stats_random_unit(struct stats_random *r)
{
    return (double)(stats_random_u64(r) >> 11) * 0x1p-53;
}

double stats_random_exponential(struct stats_random *r)
{
    return -log1p(-stats_random_unit(r));
}

double stats_random_normal(struct stats_random *r)
{
    double radius = sqrt(2 * stats_random_exponential(r));
    return radius * cos(2 * M_PI * stats_random_unit(r));
}

uint64_t stats_random_binomial(struct stats_random *r, uint64_t n, double p)
{
    if (p > 0.5)
        return n - stats_random_binomial(r, n, 1 - p);
    if (n == 0 || p <= 0)
        return 0;
    double size = (double)n, odds = p / (1 - p), u = stats_random_unit(r);
    uint64_t mode = (uint64_t)((size + 1) * p), lo = mode, hi = mode;
    double at = (double)mode;
    double at_mode = exp(stats_log_gamma(size + 1) - stats_log_gamma(at + 1) -
                         stats_log_gamma(size - at + 1) + at * log(p) + (size - at) * log1p(-p));
    double p_lo = at_mode, p_hi = at_mode;
    u -= at_mode;
    while (u >= 0 && (lo > 0 || hi < n)) {
        if (hi < n) {
            p_hi *= odds * (double)(n - hi) / (double)(hi + 1);
            hi++;
            u -= p_hi;
            if (u < 0)
                return hi;
        }
        if (lo > 0) {
            p_lo *= (double)lo / (odds * (double)(n - lo + 1));
            lo--;
            u -= p_lo;
            if (u < 0)
                return lo;
        }
        if (p_hi + p_lo < 1e-300) // rounding left a crumb of u
            break;
    }
    return mode;
}

uint64_t stats_random_tries(struct stats_random *r, double p)
{
    if (p >= 1)
        return 1;
    return 1 + (uint64_t)(log1p(-stats_random_unit(r)) / log1p(-p));
}
