// SPDX-License-Identifier: Apache-2.0
// Bins end before they would hold more than their share, so that a value that is frequent gets one of its
// own.
#include "monitor/profile_build.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_FACTOR = 4, SEED = 5 }; // values that compete for a place among PROFILE_VALUES

bool profile_builder_init(struct profile_builder *b, bool is_category, uint32_t k)
{
    *b = (struct profile_builder){
        .is_category = is_category, .is_whole = true, .min = (double)INFINITY, .max = -(double)INFINITY};
    kll_init(&b->kll, k, SEED);
    return tops_init(&b->tops,
                     is_category ? PROFILE_VALUES * (k == PROFILE_BUILD_K ? TABLE_FACTOR : 1) : PROFILE_FEW);
}

void profile_builder_done(struct profile_builder *b)
{
    kll_done(&b->kll);
    tops_done(&b->tops);
}

void profile_builder_missing(struct profile_builder *b)
{
    b->n_missing++;
}

void profile_builder_number(struct profile_builder *b, double v)
{
    profile_builder_named(b, v, STR(""));
}

void profile_builder_named(struct profile_builder *b, double v, struct str label)
{
    if (isnan(v)) {
        b->n_missing++;
        return;
    }
    v = (v > DBL_MAX ? DBL_MAX : v < -DBL_MAX ? -DBL_MAX : v) + 0.0;
    double before = v - b->mean;
    b->n++;
    b->mean += before / (double)b->n;
    b->squares += before * (v - b->mean);
    b->min = v < b->min ? v : b->min;
    b->max = v > b->max ? v : b->max;
    b->is_whole = b->is_whole && v == rint(v);
    uint64_t key = profile_key_of_number(v);
    distinct_add(&b->distinct, distinct_hash(key));
    if (!b->is_category)
        kll_add(&b->kll, v);
    // Once there are more than a few different numbers, how often each occurs is of no interest.
    if (b->is_category || b->tops.is_exact)
        tops_add(&b->tops, key, label, 1);
}

void profile_builder_text(struct profile_builder *b, struct str text)
{
    uint64_t key = profile_key_of_text(text);
    b->n++;
    b->is_whole = false;
    distinct_add(&b->distinct, distinct_hash(key));
    tops_add(&b->tops, key, text.n ? text : STR("(empty)"), 1);
}

size_t profile_builder_bytes(const struct profile_builder *b)
{
    return sizeof *b + kll_bytes(&b->kll) + tops_bytes(&b->tops);
}

// ---- bins of numbers

static bool make_bins(const struct kll_point *points, size_t n, uint64_t total, struct profile *p,
                      struct profile_column *c)
{
    double share = (double)total / PROFILE_BINS;
    c->edges = profile_alloc(p, PROFILE_BINS_MAX + 1, sizeof *c->edges);
    c->counts = profile_alloc(p, PROFILE_BINS_MAX, sizeof *c->counts);
    if (!c->edges || !c->counts)
        return false;
    uint64_t *count = c->counts;
    c->edges[0] = points[0].value;
    for (size_t i = 0, next; i < n; i = next) {
        uint64_t weight = 0;
        for (next = i; next < n && points[next].value == points[i].value; next++)
            weight += points[next].weight;
        if (*count && (double)(*count + weight) > share && count + 1 < c->counts + PROFILE_BINS_MAX) {
            count++;
            c->edges[count - c->counts] = points[i].value;
        }
        *count += weight;
    }
    c->n_bins = (uint32_t)(count - c->counts) + 1;
    c->edges[c->n_bins] = points[n - 1].value;
    return true;
}

static bool end_number(struct profile_builder *b, struct profile *p, struct profile_column *c)
{
    size_t n;
    struct kll_point *points = kll_sorted(&b->kll, &n);
    if (!points)
        return false;
    // The sketch may have dropped the ends.
    points[0].value = b->min;
    points[n - 1].value = b->max;
    c->kind = PROFILE_NUMBER;
    c->is_complete = true;
    for (int i = 0; i < PROFILE_QUANTILES; i++)
        c->quantiles[i] = kll_quantile(points, n, PROFILE_SHARES[i]);
    double range = c->quantiles[PROFILE_MEDIAN + 1] - c->quantiles[PROFILE_MEDIAN - 1];
    if (range > 0 && isfinite(range))
        c->spread = range / 1.349;
    bool made = make_bins(points, n, b->n, p, c);
    free(points);
    return made;
}

// ---- values of categories

static bool end_category(struct profile_builder *b, struct profile *p, struct profile_column *c)
{
    uint32_t n = b->tops.n_items < PROFILE_VALUES ? b->tops.n_items : PROFILE_VALUES;
    c->kind = PROFILE_CATEGORY;
    c->keys = profile_alloc(p, n, sizeof *c->keys);
    c->labels = profile_alloc(p, n, sizeof *c->labels);
    c->counts = profile_alloc(p, n + 1, sizeof *c->counts);
    if (!c->keys || !c->labels || !c->counts)
        return false;
    tops_sort(&b->tops);
    c->n_bins = n;
    c->is_complete = b->tops.is_exact && b->tops.n_items == n;
    c->counts[n] = b->n;
    for (uint32_t i = 0; i < n; i++) {
        const struct top *t = &b->tops.items[i];
        uint64_t sure = t->n - t->error; // of a value that took another's place
        c->keys[i] = t->key;
        c->counts[i] = sure < c->counts[n] ? sure : c->counts[n];
        c->counts[n] -= c->counts[i];
        if (t->label[0] && !profile_text(p, str_of(t->label), &c->labels[i]))
            return false;
    }
    return true;
}

bool profile_builder_end(struct profile_builder *b, struct profile *p, struct profile_column *c)
{
    bool is_category = b->is_category || b->tops.is_exact;
    c->n = b->n;
    c->n_missing = b->n_missing;
    c->n_distinct = (uint64_t)llround(distinct_count(&b->distinct));
    c->is_whole = b->is_whole && b->n;
    c->min = b->min <= b->max ? b->min : 0;
    c->max = b->min <= b->max ? b->max : 0;
    c->mean = isfinite(b->mean) ? b->mean : 0;
    c->deviation = b->n > 1 && isfinite(b->squares) ? sqrt(b->squares / (double)(b->n - 1)) : 0;
    c->spread = c->deviation > 0 ? c->deviation : 1;
    return is_category ? end_category(b, p, c) : end_number(b, p, c);
}
