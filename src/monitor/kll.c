// SPDX-License-Identifier: Apache-2.0
// Levels of compactors. A full one is sorted, every second value of it, beginning with the first or the
// second by the toss of a coin, goes up one level with twice the weight, and it is empty again.
#include "monitor/kll.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL_MIN = 8, FEW = 32 };

void kll_init(struct kll *s, uint32_t k, uint64_t seed)
{
    *s = (struct kll){.k = k, .n_levels = 1, .room = k};
    stats_random_init(&s->random, seed);
}

void kll_done(struct kll *s)
{
    for (uint32_t i = 0; i < KLL_LEVELS; i++)
        free(s->levels[i].items);
    *s = (struct kll){0};
}

// Lower levels, whose values weigh little, hold fewer.
static uint32_t capacity(const struct kll *s, uint32_t level)
{
    double wanted = ceil(s->k * pow(2.0 / 3, s->n_levels - 1 - level));
    return wanted > LEVEL_MIN ? (uint32_t)wanted : LEVEL_MIN;
}

static bool reserve(struct kll *s, struct kll_level *l, uint32_t more)
{
    if (l->n + more <= l->cap)
        return true;
    uint32_t cap = l->cap ? l->cap : 16;
    while (cap < l->n + more)
        cap *= 2;
    double *grown = realloc(l->items, cap * sizeof *grown);
    if (!grown) {
        s->failed = true;
        return false;
    }
    l->items = grown;
    l->cap = cap;
    return true;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Nearly all levels that are sorted hold few values: moving them costs less than calling for each comparison.
static void sort(double *x, size_t n)
{
    if (n > FEW) {
        qsort(x, n, sizeof *x, ascending);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        double v = x[i];
        size_t at = i;
        for (; at > 0 && x[at - 1] > v; at--)
            x[at] = x[at - 1];
        x[at] = v;
    }
}

// A level that was once the highest held more than it ever will again.
static void shrink(struct kll_level *l, uint32_t cap)
{
    double *smaller = l->cap > cap && l->n <= cap ? realloc(l->items, cap * sizeof *smaller) : NULL;
    if (!smaller)
        return;
    l->items = smaller;
    l->cap = cap;
}

// An odd value stays behind, so that the weights go on summing to n.
static bool compact(struct kll *s, uint32_t level)
{
    struct kll_level *l = &s->levels[level], *up = l + 1;
    uint32_t pairs = l->n / 2, left = l->n % 2;
    if (!reserve(s, up, pairs))
        return false;
    sort(l->items + left, 2 * (size_t)pairs);
    uint32_t coin = (uint32_t)(stats_random_u64(&s->random) >> 63);
    for (uint32_t i = 0; i < pairs; i++)
        up->items[up->n++] = l->items[left + 2 * i + coin];
    l->n = left;
    shrink(l, 2 * capacity(s, level));
    return true;
}

static void set_levels(struct kll *s, uint32_t n)
{
    s->n_levels = n;
    s->room = 0;
    for (uint32_t i = 0; i < n; i++)
        s->room += capacity(s, i);
}

// The lowest level that is full, and only while there are too many values in all: a compaction that is put
// off is one error less.
static void compress(struct kll *s)
{
    while (s->n_held > s->room && !s->failed) {
        uint32_t level = 0;
        while (level + 1 < s->n_levels && s->levels[level].n < capacity(s, level))
            level++;
        if (level + 1 == KLL_LEVELS)
            return;
        if (level + 1 == s->n_levels)
            set_levels(s, s->n_levels + 1);
        uint32_t pairs = s->levels[level].n / 2;
        if (compact(s, level))
            s->n_held -= pairs;
    }
}

void kll_restored(struct kll *s)
{
    s->n_held = 0;
    for (uint32_t i = 0; i < s->n_levels; i++)
        s->n_held += s->levels[i].n;
    set_levels(s, s->n_levels);
}

void kll_add(struct kll *s, double value)
{
    struct kll_level *l = &s->levels[0];
    if (s->failed || !reserve(s, l, 1))
        return;
    l->items[l->n++] = value;
    s->n++;
    if (++s->n_held > s->room)
        compress(s);
}

static int by_value(const void *a, const void *b)
{
    const struct kll_point *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

struct kll_point *kll_sorted(const struct kll *s, size_t *ret_size)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->n_levels; i++)
        n += s->levels[i].n;
    struct kll_point *all = s->failed ? NULL : malloc((n + 1) * sizeof *all);
    *ret_size = 0;
    if (!all)
        return NULL;
    for (uint32_t i = 0; i < s->n_levels; i++)
        for (uint32_t k = 0; k < s->levels[i].n; k++)
            all[(*ret_size)++] = (struct kll_point){s->levels[i].items[k], UINT64_C(1) << i};
    qsort(all, n, sizeof *all, by_value);
    return all;
}

double kll_quantile(const struct kll_point *points, size_t size, double q)
{
    double all = 0, below = 0;
    for (size_t i = 0; i < size; i++)
        all += (double)points[i].weight;
    for (size_t i = 0; i < size; i++) {
        below += (double)points[i].weight;
        if (below > q * all)
            return points[i].value;
    }
    return points[size - 1].value;
}

size_t kll_bytes(const struct kll *s)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < KLL_LEVELS; i++)
        bytes += s->levels[i].cap * sizeof(double);
    return bytes;
}
