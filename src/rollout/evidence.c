// SPDX-License-Identifier: Apache-2.0
// The likelihood of r is, over the weights w, the product of (w r)^canary (1 - w)^stable / (1 + w (r -
// 1))^all; without the factors that do not depend on r one logarithm for each weight and point is left.
#include "rollout/evidence.h"

#include "base/siphash.h"
#include "stats/special.h"

#include <math.h>
#include <stdbool.h>

enum { MIDDLE = EVIDENCE_GRID / 2 };

static double ell_at(const struct counts *events, double r, double log_r)
{
    double sum = 0;
    for (uint32_t i = 0; i < events->n_rows; i++) {
        const struct counts_row *row = &events->rows[i];
        double w = row->weight / (double)WEIGHT_ONE, canary = (double)row->n[ARM_CANARY];
        sum += canary * log_r - (canary + (double)row->n[ARM_STABLE]) * log(1 + w * (r - 1));
    }
    return sum;
}

double evidence_ell(const struct counts *events, double r)
{
    return ell_at(events, r, log(r));
}

static double grid_log(int i)
{
    return M_LN2 * 12 * (i - MIDDLE) / (EVIDENCE_GRID - 1);
}

static double ell_on_grid(const struct counts *events, int i)
{
    return ell_at(events, exp2(12.0 * (i - MIDDLE) / (EVIDENCE_GRID - 1)), grid_log(i));
}

void evidence_curve(const struct counts *events, double ret_ell[EVIDENCE_GRID])
{
    for (int i = 0; i < EVIDENCE_GRID; i++)
        ret_ell[i] = ell_on_grid(events, i);
}

static double mean_above(const double ell[EVIDENCE_GRID], double log_at)
{
    int first = EVIDENCE_GRID;
    while (first > 0 && grid_log(first - 1) > log_at)
        first--;
    return stats_log_mean_exp(ell + first, (size_t)(EVIDENCE_GRID - first));
}

static double mean_below(const double ell[EVIDENCE_GRID], double log_at)
{
    int n = 0;
    while (n < EVIDENCE_GRID && grid_log(n) < log_at)
        n++;
    return stats_log_mean_exp(ell, (size_t)n);
}

void evidence_tests(const struct counts *events, double above, double below, double *ret_above,
                    double *ret_below)
{
    double ell[EVIDENCE_GRID];
    evidence_curve(events, ell);
    *ret_above = mean_above(ell, log(above)) - evidence_ell(events, above);
    *ret_below = mean_below(ell, log(below)) - evidence_ell(events, below);
}

double evidence_log_above(const struct counts *events, double at)
{
    double ell[EVIDENCE_GRID];
    evidence_curve(events, ell);
    return mean_above(ell, log(at)) - evidence_ell(events, at);
}

double evidence_log_below(const struct counts *events, double at)
{
    double ell[EVIDENCE_GRID];
    evidence_curve(events, ell);
    return mean_below(ell, log(at)) - evidence_ell(events, at);
}

struct likelihood_target {
    const struct counts *events;
    double level;
};

// Falls with ln r: its root is the most likely one.
static double slope(double log_r, void *arg)
{
    const struct likelihood_target *t = arg;
    double r = exp(log_r), sum = 0;
    for (uint32_t i = 0; i < t->events->n_rows; i++) {
        const struct counts_row *row = &t->events->rows[i];
        double w = row->weight / (double)WEIGHT_ONE, canary = (double)row->n[ARM_CANARY];
        sum += canary - (canary + (double)row->n[ARM_STABLE]) * w * r / (1 + w * (r - 1));
    }
    return sum;
}

static double above_level(double log_r, void *arg)
{
    const struct likelihood_target *t = arg;
    return evidence_ell(t->events, exp(log_r)) - t->level;
}

// Beyond this a ratio is called none, or infinite.
static const double LOG_R_MAX = 40;

double evidence_best(const struct counts *events)
{
    uint64_t canary = counts_of(events, ARM_CANARY), stable = counts_of(events, ARM_STABLE);
    struct likelihood_target t = {events, 0};
    if (canary == 0 || stable == 0)
        return canary ? HUGE_VAL : stable ? 0 : nan("");
    return exp(stats_bisect(slope, &t, -LOG_R_MAX, LOG_R_MAX));
}

void evidence_interval(const struct counts *events, double alpha, double *ret_lo, double *ret_hi)
{
    double ell[EVIDENCE_GRID], best = evidence_best(events);
    struct likelihood_target t = {events, 0};
    *ret_lo = 0;
    *ret_hi = HUGE_VAL;
    if (isnan(best))
        return;
    evidence_curve(events, ell);
    t.level = stats_log_mean_exp(ell, EVIDENCE_GRID) - log(1 / alpha);
    double middle = best <= 0 ? -LOG_R_MAX : isinf(best) ? LOG_R_MAX : log(best);
    if (best > 0 && above_level(-LOG_R_MAX, &t) < 0)
        *ret_lo = exp(stats_bisect(above_level, &t, -LOG_R_MAX, middle));
    if (!isinf(best) && above_level(LOG_R_MAX, &t) < 0)
        *ret_hi = exp(stats_bisect(above_level, &t, middle, LOG_R_MAX));
}

uint64_t evidence_digest(const struct counts *events)
{
    double ell[EVIDENCE_GRID];
    evidence_curve(events, ell);
    return siphash((struct siphash_key){0, 0}, (struct str){(const char *)ell, sizeof ell});
}

double evidence_log_rate_below(uint64_t k, uint64_t n, double p0)
{
    enum { GRID = 115 };
    double ell[GRID], bad = (double)k, good = (double)(n - k);
    size_t points = 0;
    for (int j = 0; j < GRID; j++) {
        double log_p = M_LN10 * (-6 + 5.7 * j / (GRID - 1)), p = exp(log_p);
        if (p >= p0)
            break;
        ell[points++] = bad * log_p + good * log1p(-p);
    }
    return stats_log_mean_exp(ell, points) - bad * log(p0) - good * log1p(-p0);
}

double evidence_log_unbalanced(const struct counts *requests)
{
    const double concentration = 100; // of the prior around the declared weight, as Lindon and Malek have it
    double sum = 0;
    for (uint32_t i = 0; i < requests->n_rows; i++) {
        const struct counts_row *row = &requests->rows[i];
        double w = row->weight / (double)WEIGHT_ONE, a = concentration * w, b = concentration * (1 - w);
        double canary = (double)row->n[ARM_CANARY], stable = (double)row->n[ARM_STABLE];
        sum += stats_log_beta(a + canary, b + stable) - stats_log_beta(a, b) -
               (canary * log(w) + stable * log1p(-w));
    }
    return sum;
}
