// SPDX-License-Identifier: Apache-2.0
// Sorting a small sample; a handful of comparisons for each score.
#include "rollout/scores.h"

#include <math.h>
#include <stdlib.h>

static const double QUANTILES[SCORE_RANGES - 1] = {0.05, 0.25, 0.5, 0.75, 0.95};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool scores_freeze(double *sample, uint32_t n, struct score_gate *ret)
{
    if (n < SCORE_SAMPLE)
        return false;
    qsort(sample, n, sizeof *sample, ascending);
    double most = sample[n - 1];
    *ret = (struct score_gate){0};
    for (int i = 0; i < SCORE_RANGES - 1; i++) {
        double cut = sample[(uint32_t)ceil(QUANTILES[i] * n) - 1];
        bool is_new = ret->n_cuts == 0 || cut > ret->cuts[ret->n_cuts - 1];
        if (is_new && cut < most) // above the greatest there would be nothing to compare with
            ret->cuts[ret->n_cuts++] = cut;
    }
    // One that always says the same: below, at, and above that.
    if (ret->n_cuts == 0) {
        ret->cuts[ret->n_cuts++] = nextafter(most, -HUGE_VAL);
        ret->cuts[ret->n_cuts++] = most;
    }
    return true;
}

uint32_t scores_range(const struct score_gate *g, double score)
{
    uint32_t range = 0;
    while (range < g->n_cuts && score > g->cuts[range])
        range++;
    return range;
}

double scores_of_row(const double *values, uint32_t n)
{
    uint32_t best = 0;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += values[i];
        if (values[i] > values[best])
            best = i;
    }
    if (n == 0 || !isfinite(sum))
        return nan("");
    return n == 1 ? values[0] : best;
}
