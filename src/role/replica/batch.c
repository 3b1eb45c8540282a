// SPDX-License-Identifier: Apache-2.0
// The policy of batches.
#include "role/replica/batch.h"

#include <string.h>

enum {
    WEIGHT = 8,          // the newest sample counts 1/8
    SETTLED = 4,         // samples after which one may not be far off
    FAR_OFF = 4,         // times the mean, is cut to that: the machine was busy with something else
    FORGOTTEN = 1 << 12, // samples after which a size that did not come is measured anew
};

static bool same_shape_but_rows(const struct tensor *a, const struct tensor *b)
{
    if (a->dtype != b->dtype || a->n_dims != b->n_dims)
        return false;
    return a->n_dims <= 1 || memcmp(a->shape + 1, b->shape + 1, (a->n_dims - 1) * sizeof a->shape[0]) == 0;
}

bool batch_may_join(const struct interface *i, const struct batch_item *a, const struct batch_item *b)
{
    if (a->alone || b->alone || a->n_rows == 0 || b->n_rows == 0 || a->outputs != b->outputs)
        return false;
    for (uint32_t k = 0; k < i->n_inputs; k++)
        if (!same_shape_but_rows(&a->inputs[k], &b->inputs[k]))
            return false;
    return true;
}

static unsigned size_index(uint32_t n_rows)
{
    unsigned k = n_rows ? 31u - (unsigned)__builtin_clz(n_rows) : 0;
    return k < BATCH_SIZES ? k : BATCH_SIZES - 1;
}

void batch_profile_note(struct batch_profile *p, uint32_t n_rows, uint64_t dur_ns)
{
    struct batch_size *s = &p->sizes[size_index(n_rows)];
    double dur = (double)dur_ns;
    if (s->n >= SETTLED && dur > FAR_OFF * s->dur_ns)
        dur = FAR_OFF * s->dur_ns;
    if (s->n < WEIGHT)
        s->n++;
    s->rows += (n_rows - s->rows) / s->n;
    s->dur_ns += (dur - s->dur_ns) / s->n;
    s->noted = ++p->n_noted;
}

struct point {
    double rows, dur_ns, weight;
};

// The known sizes in order; where a larger one seems faster, all between take their common mean (pool
// adjacent violators). Returns how many.
static unsigned fit(const struct batch_profile *p, struct point ret[BATCH_SIZES])
{
    double pooled[BATCH_SIZES], weight[BATCH_SIZES];
    unsigned first[BATCH_SIZES], n_pools = 0, n = 0;
    for (unsigned k = 0; k < BATCH_SIZES; k++) {
        const struct batch_size *s = &p->sizes[k];
        if (s->n == 0 || p->n_noted - s->noted > FORGOTTEN)
            continue;
        ret[n] = (struct point){s->rows, s->dur_ns, s->n};
        first[n_pools] = n++;
        pooled[n_pools] = s->dur_ns;
        weight[n_pools++] = s->n;
        for (; n_pools > 1 && pooled[n_pools - 2] > pooled[n_pools - 1]; n_pools--) {
            double both = weight[n_pools - 2] + weight[n_pools - 1];
            pooled[n_pools - 2] =
                (pooled[n_pools - 2] * weight[n_pools - 2] + pooled[n_pools - 1] * weight[n_pools - 1]) /
                both;
            weight[n_pools - 2] = both;
        }
    }
    for (unsigned k = 0, pool = 0; k < n; k++) {
        if (pool + 1 < n_pools && first[pool + 1] == k)
            pool++;
        ret[k].dur_ns = pooled[pool];
    }
    return n;
}

// Rows on the line through the fitted points; a straight line from the origin before the first and behind the
// last.
static double rows_at(const struct point *points, unsigned n, double budget)
{
    unsigned k = 0;
    while (k < n && points[k].dur_ns <= budget)
        k++;
    const struct point *below = &points[k ? k - 1 : 0], *above = &points[k];
    if (k == 0 || k == n) {
        double proportional = below->dur_ns > 0 ? below->rows * budget / below->dur_ns : 2 * below->rows;
        return proportional < 2 * below->rows ? proportional : 2 * below->rows;
    }
    return below->rows +
           (above->rows - below->rows) * (budget - below->dur_ns) / (above->dur_ns - below->dur_ns);
}

uint32_t batch_rows_within(const struct batch_profile *p, uint32_t max_rows, uint64_t budget_ns)
{
    if (budget_ns == 0)
        return max_rows;
    struct point points[BATCH_SIZES];
    unsigned n = fit(p, points);
    double rows = n ? rows_at(points, n, (double)budget_ns) : 1;
    if (rows < 1)
        rows = 1;
    return rows < max_rows ? (uint32_t)rows : max_rows;
}
