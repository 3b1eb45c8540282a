// SPDX-License-Identifier: Apache-2.0
// Bins are the steps of the curve: who is young enough to be within one is left out of it.
#include "monitor/delay.h"

#include <math.h>

static const double MATURE = 0.9;

unsigned delay_bin(uint64_t seconds)
{
    unsigned bin = seconds ? 64 - (unsigned)__builtin_clzll(seconds) : 0;
    return bin < DELAY_BINS ? bin : DELAY_BINS - 1;
}

void delay_curve_add(struct delay_curve *c, uint64_t predicted, const uint32_t labels[DELAY_BINS],
                     uint64_t age_s)
{
    double left = 0;
    for (unsigned i = 0; i < DELAY_BINS; i++)
        left += labels[i];
    left = fmax(left, (double)predicted); // those of tokens may be in no log
    for (unsigned i = 0; i < DELAY_BINS && age_s >= UINT64_C(1) << i; i++) {
        c->at_risk[i] += left;
        c->labelled[i] += labels[i];
        left -= labels[i];
    }
}

void delay_curve_finish(struct delay_curve *c)
{
    double missing = 1;
    for (c->n = 0; c->n < DELAY_BINS && c->at_risk[c->n] > 0; c->n++) {
        missing *= 1 - c->labelled[c->n] / c->at_risk[c->n];
        c->within[c->n] = 1 - missing;
    }
    // Behind a bin that all were labelled within nothing is at risk, and nothing comes.
    for (unsigned i = c->n; i > 0 && i < DELAY_BINS && missing <= 0; i++)
        c->within[i] = 1;
    c->n = c->n && missing <= 0 ? DELAY_BINS : c->n;
}

double delay_final(const struct delay_curve *c)
{
    return c->n ? c->within[c->n - 1] : nan("");
}

double delay_share(const struct delay_curve *c, uint64_t seconds)
{
    unsigned known = 0;
    while (known < c->n && UINT64_C(1) << known <= seconds)
        known++;
    double all = delay_final(c);
    return !(all > 0) ? nan("") : known ? c->within[known - 1] / all : 0;
}

double delay_quantile(const struct delay_curve *c, double q)
{
    double all = delay_final(c), below = 0;
    for (unsigned i = 0; all > 0 && i < c->n; i++) {
        double share = c->within[i] / all;
        if (share >= q && share > below) {
            double part = (q - below) / (share - below);
            return i ? ldexp(exp2(part), (int)i - 1) : part;
        }
        below = share;
    }
    return nan("");
}

uint64_t delay_maturity_s(const struct delay_curve *c)
{
    for (unsigned i = 0; i + 1 < c->n; i++)
        if (delay_final(c) > 0 && c->within[i] >= MATURE * delay_final(c))
            return UINT64_C(1) << i;
    return UINT64_MAX;
}
