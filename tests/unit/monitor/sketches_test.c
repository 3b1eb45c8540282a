// SPDX-License-Identifier: Apache-2.0
// The error bounds that the sketches promise, of streams in several orders, and that they add.
#include "monitor/distinct.h"
#include "monitor/kll.h"
#include "monitor/tops.h"
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum order { SHUFFLED, ASCENDING, DESCENDING, ORDERS };

static uint64_t value_at(enum order order, uint64_t i, uint64_t n)
{
    if (order == ASCENDING)
        return i;
    if (order == DESCENDING)
        return n - 1 - i;
    return i * 7919 % n; // n has no factor 7919
}

// The largest error of any rank, as a share of n, of a sketch of 0 … n - 1.
static double worst_rank(const struct kll *s, uint64_t n)
{
    size_t size;
    double worst = 0, below = 0;
    struct kll_point *p = kll_sorted(s, &size);
    ck_assert_ptr_nonnull(p);
    for (size_t i = 0; i < size; i++) {
        worst = fmax(worst, fabs(below - p[i].value) / (double)n);
        below += (double)p[i].weight;
        worst = fmax(worst, fabs(below - p[i].value - 1) / (double)n);
    }
    ck_assert_double_eq(below, (double)n); // weights sum to n
    free(p);
    return worst;
}

START_TEST(ranks_of_a_kll_are_within_its_bound)
{
    enum { N = 200000, RUNS = 20 };
    const uint32_t ks[] = {200, 512};
    for (size_t j = 0; j < 2; j++)
        for (enum order order = 0; order < ORDERS; order++) {
            int beyond = 0;
            double mean = 0;
            for (uint64_t seed = 0; seed < RUNS; seed++) {
                struct kll s;
                kll_init(&s, ks[j], seed);
                for (uint64_t i = 0; i < N; i++)
                    kll_add(&s, (double)value_at(order, i, N));
                double worst = worst_rank(&s, N);
                beyond += worst > KLL_RANK_ERROR / ks[j];
                mean += worst / RUNS;
                ck_assert_uint_le(kll_bytes(&s), 8 * (8 * ks[j] + 16 * s.n_levels));
                kll_done(&s);
            }
            ck_assert_int_le(beyond, 1); // 99 % confidence, of 20
            ck_assert_double_gt(mean, 0);
        }
}
END_TEST

START_TEST(a_small_kll_is_exact)
{
    struct kll s;
    size_t size;
    kll_init(&s, 512, 1);
    for (int i = 0; i < 500; i++)
        kll_add(&s, i * 7 % 500);
    struct kll_point *p = kll_sorted(&s, &size);
    ck_assert_uint_eq(size, 500);
    for (size_t i = 0; i < size; i++) {
        ck_assert_double_eq(p[i].value, (double)i);
        ck_assert_uint_eq(p[i].weight, 1);
    }
    ck_assert_double_eq(kll_quantile(p, size, 0), 0);
    ck_assert_double_eq(kll_quantile(p, size, .5), 250);
    ck_assert_double_eq(kll_quantile(p, size, 1), 499);
    free(p);
    kll_done(&s);
}
END_TEST

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Whether `up` is every second value of the others in ascending order, all from the same end.
static bool is_every_second(const double *up, uint32_t n_up, const double *all)
{
    bool first = true, second = true;
    for (uint32_t i = 0; i < n_up; i++) {
        first = first && up[i] == all[2 * i];
        second = second && up[i] == all[2 * i + 1];
    }
    return first != second;
}

// The first compaction of each size: few values are sorted in another way than many.
START_TEST(what_goes_up_is_every_second_value_in_order)
{
    enum { K_MAX = 80 };
    double in[K_MAX + 1];
    for (uint32_t k = 8; k <= K_MAX; k++)
        for (enum order order = 0; order < ORDERS; order++)
            for (uint64_t seed = 0; seed < 4; seed++) {
                struct kll s;
                uint32_t n = k + 1, left = n % 2;
                kll_init(&s, k, seed);
                for (uint32_t i = 0; i < n; i++) {
                    uint64_t place = order == SHUFFLED ? (i + seed) * 7919 % n : value_at(order, i, n);
                    kll_add(&s, in[i] = (double)(place * place) - 40);
                }
                qsort(in + left, n - left, sizeof in[0], ascending);
                ck_assert(s.n_levels == 2 && s.levels[0].n == left && s.levels[1].n == n / 2);
                ck_assert_msg(is_every_second(s.levels[1].items, n / 2, in + left), "of %u in order %d", n,
                              (int)order);
                ck_assert(!left || s.levels[0].items[0] == in[0]);
                kll_done(&s);
            }
}
END_TEST

START_TEST(distinct_counts_are_within_three_deviations)
{
    const double deviation = 1.04 / sqrt(DISTINCT_REGISTERS);
    static struct distinct d;
    for (double n = 1; n <= 3e6; n = ceil(n * 2.7)) {
        int beyond = 0, runs = n > 1e5 ? 5 : 40;
        double bias = 0;
        for (int run = 0; run < runs; run++) {
            memset(&d, 0, sizeof d);
            for (uint64_t i = 0; i < (uint64_t)n; i++) {
                uint64_t hash = distinct_hash(i + ((uint64_t)run << 40));
                distinct_add(&d, hash);
                if (i % 3 == 0)
                    distinct_add(&d, hash); // again: no change
            }
            double off = distinct_count(&d) / n - 1;
            bias += off / runs;
            beyond += fabs(off) > 3 * deviation;
        }
        ck_assert_int_le(beyond, 1);
        ck_assert_double_lt(fabs(bias), 4 * deviation / sqrt(runs));
    }
    memset(&d, 0, sizeof d);
    ck_assert_double_eq(distinct_count(&d), 0);
}
END_TEST

// Zipf: value i comes n / i times, in a mixed order.
START_TEST(the_most_frequent_values_are_held_with_bounded_errors)
{
    enum { VALUES = 20000, K = 256 };
    static uint32_t left[VALUES];
    struct tops t;
    uint64_t n = 0;
    ck_assert(tops_init(&t, K));
    for (int i = 0; i < VALUES; i++)
        n += left[i] = (uint32_t)(40000 / (i + 1));
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < VALUES; i++)
            if (left[i] && (left[i]--, more = true)) {
                char label[16];
                int length = snprintf(label, sizeof label, "v%d", i);
                tops_add(&t, (uint64_t)i, (struct str){label, (size_t)length}, 1);
            }
    }
    tops_sort(&t);
    ck_assert(!t.is_exact);
    ck_assert_uint_eq(t.n, n);
    uint64_t sum = 0;
    bool seen[K] = {0};
    for (uint32_t i = 0; i < t.n_items; i++) {
        uint64_t is = 40000 / (t.items[i].key + 1);
        sum += t.items[i].n;
        ck_assert_uint_ge(t.items[i].n, is);
        ck_assert_uint_le(t.items[i].n - t.items[i].error, is);
        ck_assert_uint_le(t.items[i].error, n / K);
        if (t.items[i].key < K)
            seen[t.items[i].key] = true;
    }
    ck_assert_uint_eq(sum, n);
    for (uint64_t i = 0; 40000 / (i + 1) > n / K; i++)
        ck_assert(seen[i]);
    ck_assert_str_eq(t.items[0].label, "v0");
    tops_done(&t);
}
END_TEST

START_TEST(few_values_are_counted_exactly_and_labels_are_cut_between_characters)
{
    struct tops t;
    char long_label[50];
    memset(long_label, 'x', sizeof long_label);
    memcpy(long_label + 38, "\xc3\xa9", 2); // would be cut in two
    ck_assert(tops_init(&t, 3));
    tops_add(&t, 1, (struct str){long_label, sizeof long_label}, 5);
    tops_add(&t, 2, STR(""), 7);
    tops_add(&t, 1, STR("other"), 1);
    tops_sort(&t);
    ck_assert(t.is_exact);
    ck_assert_uint_eq(t.items[0].key, 2);
    ck_assert_uint_eq(t.items[1].n, 6);
    ck_assert_uint_eq(strlen(t.items[1].label), 38);
    tops_done(&t);
}
END_TEST

UNIT_MAIN("monitor/sketches", ranks_of_a_kll_are_within_its_bound, a_small_kll_is_exact,
          what_goes_up_is_every_second_value_in_order, distinct_counts_are_within_three_deviations,
          the_most_frequent_values_are_held_with_bounded_errors,
          few_values_are_counted_exactly_and_labels_are_cut_between_characters)
