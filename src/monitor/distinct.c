// SPDX-License-Identifier: Apache-2.0
// A register holds the longest run of zero bits that followed its number, plus one.
#include "monitor/distinct.h"

#include <math.h>

enum { RUN_MAX = 64 - DISTINCT_BITS }; // the longest run of zeros, all that is left

void distinct_add(struct distinct *d, uint64_t hash)
{
    uint64_t rest = hash << DISTINCT_BITS;
    uint8_t run = (uint8_t)((rest ? __builtin_clzll(rest) : RUN_MAX) + 1);
    uint8_t *r = &d->registers[hash >> RUN_MAX];
    if (run > *r)
        *r = run;
}

// Both converge to the last bit within some 60 steps.
static double sigma(double x)
{
    double weight = 1, sum = x, last = -1;
    if (x == 1)
        return (double)INFINITY;
    while (sum != last) {
        last = sum;
        x *= x;
        sum += x * weight;
        weight *= 2;
    }
    return sum;
}

static double tau(double x)
{
    double weight = 1, sum = 1 - x, last = -1;
    if (x == 0 || x == 1)
        return 0;
    while (sum != last) {
        last = sum;
        x = sqrt(x);
        weight /= 2;
        sum -= (1 - x) * (1 - x) * weight;
    }
    return sum / 3;
}

double distinct_count(const struct distinct *d)
{
    const double m = DISTINCT_REGISTERS;
    uint32_t n[RUN_MAX + 2] = {0};
    for (int i = 0; i < DISTINCT_REGISTERS; i++)
        n[d->registers[i]]++;
    double z = m * tau(1 - n[RUN_MAX + 1] / m);
    for (int run = RUN_MAX; run >= 1; run--)
        z = (z + n[run]) / 2;
    z += m * sigma(n[0] / m);
    return m * m / (2 * M_LN2 * z);
}

uint64_t distinct_hash(uint64_t key)
{
    key += 0x9e3779b97f4a7c15u;
    key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9u;
    key = (key ^ key >> 27) * 0x94d049bb133111ebu;
    return key ^ key >> 31;
}
