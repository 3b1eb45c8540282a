// SPDX-License-Identifier: Apache-2.0
// Levels of compactors. Of a full one every second value in ascending order, beginning with the first or the
// second by the toss of a coin, goes up one level with twice the weight, and it is empty again. All levels
// but the lowest are kept in order: what goes up is merged into what is there.
#include "monitor/kll.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL_MIN = 8, FEW = 24, DEPTH = 24 };

void kll_init(struct kll *s, uint32_t k, uint64_t seed)
{
    *s = (struct kll){.k = k, .n_levels = 1, .room = k, .capacities = {k}};
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

// By exchange around a median of three, and few values by moving them: calling for each comparison, as qsort
// does, costs several times as much. Values that are made to be hard for this are qsort's after all.
static void sort(double *x, size_t n, unsigned depth)
{
    while (n > FEW) {
        ptrdiff_t i = 0, k = (ptrdiff_t)n - 1;
        double a = x[0], b = x[n / 2], c = x[k], low = a < b ? a : b, high = a < b ? b : a,
               pivot = c < low    ? low
                       : high < c ? high
                                  : c;
        if (depth-- == 0) {
            qsort(x, n, sizeof *x, ascending);
            return;
        }
        while (i <= k) {
            while (x[i] < pivot)
                i++;
            while (pivot < x[k])
                k--;
            if (i > k)
                break;
            double other = x[i];
            x[i++] = x[k];
            x[k--] = other;
        }
        sort(x, (size_t)(k + 1), depth);
        x += i;
        n -= (size_t)i;
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

// `n` values, every second one from `from` on, go where they belong among those of a level that has room.
static void merge(struct kll_level *to, const double *from, uint32_t n)
{
    uint32_t i = to->n, at = to->n + n;
    to->n = at;
    while (n) {
        double v = from[2 * (size_t)(n - 1)];
        bool is_before = i && v < to->items[i - 1];
        to->items[--at] = is_before ? to->items[i - 1] : v;
        i -= is_before;
        n -= !is_before;
    }
}

// An odd value stays behind, so that the weights go on summing to n.
static bool compact(struct kll *s, uint32_t level)
{
    struct kll_level *l = &s->levels[level], *up = l + 1;
    uint32_t pairs = l->n / 2, left = l->n % 2;
    if (!reserve(s, up, pairs))
        return false;
    if (level == 0)
        sort(l->items + left, 2 * (size_t)pairs, DEPTH);
    uint32_t coin = (uint32_t)(stats_random_u64(&s->random) >> 63);
    merge(up, l->items + left + coin, pairs);
    l->n = left;
    shrink(l, 2 * s->capacities[level]);
    return true;
}

static void set_levels(struct kll *s, uint32_t n)
{
    s->n_levels = n;
    s->room = 0;
    for (uint32_t i = 0; i < n; i++)
        s->room += s->capacities[i] = capacity(s, i);
}

// The lowest level that is full, and only while there are too many values in all: a compaction that is put
// off is one error less.
static void compress(struct kll *s)
{
    while (s->n_held > s->room && !s->failed) {
        uint32_t level = 0;
        while (level + 1 < s->n_levels && s->levels[level].n < s->capacities[level])
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
    for (uint32_t i = 0; i < s->n_levels; i++) {
        s->n_held += s->levels[i].n;
        if (i && s->levels[i].n) // builds before this one did not keep them so
            qsort(s->levels[i].items, s->levels[i].n, sizeof(double), ascending);
    }
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
