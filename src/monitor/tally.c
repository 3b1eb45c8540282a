// SPDX-License-Identifier: Apache-2.0
// Counting, and the comparison of counts.
#include "monitor/tally.h"

#include "base/assert.h"
#include "monitor/bins.h"
#include "monitor/drift.h"
#include "stats/special.h"

#include <math.h>
#include <string.h>

_Static_assert((int)PROFILE_BINS_MAX <= (int)DRIFT_BINS_MAX && (int)PROFILE_VALUES < (int)DRIFT_BINS_MAX,
               "fit on the stack");
enum { DRAWS = DRIFT_DRAWS_MAX };

static void add_key(struct tally *t, const struct profile_column *c, uint64_t key)
{
    uint32_t i = 0;
    while (i < c->n_bins && c->keys[i] != key)
        i++;
    t->cells[i]++;
    t->n_unseen += i == c->n_bins && c->is_complete;
}

void tally_number(struct tally *t, const struct profile_column *c, double v)
{
    if (isnan(v)) {
        t->n_missing++;
        return;
    }
    t->n++;
    if (isfinite(v)) {
        t->sum += v;
        if (!t->has_range || v < t->min)
            t->min = v;
        if (!t->has_range || v > t->max)
            t->max = v;
        t->has_range = true;
    }
    if (!c || !t->cells)
        return;
    t->n_wrong += !isfinite(v) || (c->is_whole && v != rint(v));
    if (c->kind == PROFILE_CATEGORY) {
        add_key(t, c, profile_key_of_number(v));
        return;
    }
    t->n_below += v < c->min;
    t->n_above += v > c->max;
    t->cells[bins_find(c->edges, c->n_bins, v)]++;
}

void tally_text(struct tally *t, const struct profile_column *c, struct str text)
{
    t->n++;
    if (!c || !t->cells)
        return;
    if (c->kind == PROFILE_CATEGORY)
        add_key(t, c, profile_key_of_text(text));
    else
        t->n_wrong++;
}

void tally_merge(struct tally *into, const struct tally *from, uint32_t n_cells)
{
    into->n += from->n;
    into->n_missing += from->n_missing;
    into->n_below += from->n_below;
    into->n_above += from->n_above;
    into->n_unseen += from->n_unseen;
    into->n_wrong += from->n_wrong;
    into->sum += from->sum;
    if (from->has_range) {
        into->min = into->has_range ? fmin(into->min, from->min) : from->min;
        into->max = into->has_range ? fmax(into->max, from->max) : from->max;
        into->has_range = true;
    }
    for (uint32_t i = 0; into->cells && from->cells && i < n_cells; i++)
        into->cells[i] += from->cells[i];
}

// ---- comparing

static void compare_share(struct drift_rate *r, double k, double n, double l, double m)
{
    if (n <= 0 || m <= 0)
        return;
    double pooled = (k + l) / (n + m), error = sqrt(pooled * (1 - pooled) * (1 / n + 1 / m));
    r->before = k / n;
    r->now = l / m;
    r->z = drift_share_z(k, n, l, m);
    r->noise = stats_normal_quantile(1 - DRIFT_ALPHA / 2) * error;
}

static void compare_shares(const struct tally *t, const struct profile_column *c, struct verdict *ret)
{
    double n = (double)c->n, m = (double)t->n, missing = (double)t->n_missing;
    compare_share(&ret->rates[DRIFT_MISSING], (double)c->n_missing, n + (double)c->n_missing, missing,
                  m + missing);
    compare_share(&ret->rates[DRIFT_OUTSIDE], 0, n, (double)(t->n_below + t->n_above), m);
    compare_share(&ret->rates[DRIFT_UNSEEN], 0, n, (double)t->n_unseen, m);
    compare_share(&ret->rates[DRIFT_WRONG], 0, n, (double)t->n_wrong, m);
}

// Bins put together until each has about a twentieth of the baseline.
static size_t coarsen(const uint64_t *ref, const uint64_t *cur, size_t n_bins, double n, uint64_t *ret_ref,
                      uint64_t *ret_cur)
{
    size_t used = 0;
    double below = 0;
    for (size_t i = 0; i < n_bins; i++) {
        ret_ref[used] += ref[i];
        ret_cur[used] += cur[i];
        below += (double)ref[i];
        if (i + 1 < n_bins && used + 1 < VERDICT_COARSE_BINS &&
            below >= (double)(used + 1) * n / VERDICT_COARSE_BINS)
            used++;
    }
    return used + 1;
}

static double median(const uint64_t *cur, const double *edges, size_t n_bins, double m)
{
    double below = 0;
    for (size_t i = 0; i < n_bins; i++) {
        double in = (double)cur[i];
        if (in > 0 && below + in >= m / 2)
            return edges[i] + (edges[i + 1] - edges[i]) * (m / 2 - below) / in;
        below += in;
    }
    return edges[n_bins];
}

static void compare_numbers(const uint64_t *cur, const struct profile_column *c, double m, double ask_from,
                            struct stats_random *random, struct verdict *ret)
{
    uint64_t few_ref[VERDICT_COARSE_BINS] = {0}, few_cur[VERDICT_COARSE_BINS] = {0};
    double p[VERDICT_COARSE_BINS], q[VERDICT_COARSE_BINS];
    size_t few = coarsen(c->counts, cur, c->n_bins, (double)c->n, few_ref, few_cur);
    drift_shares(few_ref, few, p);
    drift_shares(few_cur, few, q);
    ret->psi = drift_psi(p, q, few);
    ret->js = drift_js(p, q, few);
    ret->ks = drift_ks(c->counts, cur, c->n_bins);
    ret->median = median(cur, c->edges, c->n_bins, m);
    ret->effect = ret->w1 = drift_w1(c->counts, cur, c->edges, c->n_bins) / c->spread;
    if (ret->effect >= ask_from)
        ret->noise =
            drift_w1_floor(c->counts, cur, c->edges, c->n_bins, DRIFT_ALPHA, DRAWS, random) / c->spread;
}

static void compare_categories(const uint64_t *cur, const struct profile_column *c, double m,
                               struct verdict *ret)
{
    double p[PROFILE_VALUES + 1], q[PROFILE_VALUES + 1];
    uint32_t cells = profile_cells(c);
    drift_shares(c->counts, cells, p);
    drift_shares(cur, cells, q);
    ret->psi = drift_psi(p, q, cells);
    ret->effect = ret->js = drift_js(p, q, cells);
    ret->ks = drift_largest(p, q, cells);
    ret->noise = cells > 1 ? drift_js_noise(cells, (double)c->n, m, DRIFT_ALPHA) : 0;
}

void verdict_of(const struct tally *t, const struct profile_column *c, double ask_from,
                struct stats_random *random, struct verdict *ret)
{
    uint64_t cur[DRIFT_BINS_MAX], sum = 0;
    *ret = (struct verdict){
        .n = t->n, .n_missing = t->n_missing, .effect = (double)NAN, .noise = (double)NAN, .w1 = (double)NAN};
    ret->psi = ret->js = ret->ks = ret->median = (double)NAN;
    ret->mean = t->n ? t->sum / (double)t->n : (double)NAN;
    if (!c || !t->cells)
        return;
    compare_shares(t, c, ret);
    for (uint32_t i = 0; i < profile_cells(c); i++)
        sum += cur[i] = t->cells[i];
    if (sum < VERDICT_VALUES_MIN || c->n < VERDICT_VALUES_MIN)
        return;
    if (c->kind == PROFILE_NUMBER)
        compare_numbers(cur, c, (double)sum, ask_from, random, ret);
    else
        compare_categories(cur, c, (double)sum, ret);
}

bool verdict_largest_change(const struct tally *t, const struct profile_column *c, uint32_t *ret_cell,
                            double *ret_before, double *ret_now)
{
    double most = 0;
    for (uint32_t i = 0; t->n && c->n && i < profile_cells(c); i++) {
        double before = (double)c->counts[i] / (double)c->n, now = (double)t->cells[i] / (double)t->n;
        if (fabs(now - before) <= most)
            continue;
        most = fabs(now - before);
        *ret_cell = i;
        *ret_before = before;
        *ret_now = now;
    }
    return most > 0;
}
