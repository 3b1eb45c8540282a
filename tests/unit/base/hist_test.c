// SPDX-License-Identifier: Apache-2.0
#include "base/hist.h"

#include "unit.h"

START_TEST(quantiles_are_within_their_bucket)
{
    static struct hist h;
    for (uint64_t v = 1; v <= 100000; v++)
        hist_add(&h, v * 10);
    const double qs[] = {0.01, 0.5, 0.9, 0.99, 0.999};
    for (size_t i = 0; i < sizeof qs / sizeof qs[0]; i++) {
        double exact = qs[i] * 1000000, got = (double)hist_quantile(&h, qs[i]);
        ck_assert_double_ge(got, exact * 0.999);
        ck_assert_double_le(got, exact * 1.033);
    }
    ck_assert_uint_eq(hist_quantile(&h, 1), 1000000);
    ck_assert_uint_eq(h.count, 100000);
}
END_TEST

START_TEST(merged_histograms_equal_one)
{
    static struct hist a, b, both;
    for (uint64_t v = 0; v < 5000; v++) {
        hist_add(v % 2 ? &a : &b, v * v);
        hist_add(&both, v * v);
    }
    hist_merge(&a, &b);
    ck_assert_mem_eq(&a, &both, sizeof a);
}
END_TEST

// Counted one by one beside it: values around each edge, and all over.
START_TEST(counts_at_the_edges_are_exact)
{
    static struct hist h, parts[2];
    static uint64_t at_most[HIST_EDGES];
    uint64_t n = 0;
    for (unsigned i = 0; i < HIST_EDGES; i++)
        for (int64_t off = -40; off <= 40; off++, n++)
            for (unsigned k = 0; k < 1 + (unsigned)(off & 3); k++) {
                uint64_t v = hist_edge(i) + (uint64_t)(off * (int64_t)(1 + hist_edge(i) / 2000));
                hist_add(&h, v);
                hist_add_n(&parts[k & 1], v, 3);
                for (unsigned e = 0; e < HIST_EDGES; e++)
                    at_most[e] += v <= hist_edge(e);
            }
    for (uint64_t v = 1, k = 0; k < 60; v = v * 2 + k++) {
        hist_add(&h, v);
        hist_add_n(&parts[0], v, 3);
        for (unsigned e = 0; e < HIST_EDGES; e++)
            at_most[e] += v <= hist_edge(e);
    }
    hist_merge(&parts[0], &parts[1]);
    for (unsigned e = 0; e < HIST_EDGES; e++) {
        ck_assert_uint_gt(at_most[e], 0);
        ck_assert_uint_eq(hist_count_at_edge(&h, e), at_most[e]);
        ck_assert_uint_eq(hist_count_at_edge(&parts[0], e), 3 * at_most[e]);
        ck_assert(e == 0 || hist_edge(e) > hist_edge(e - 1));
    }
}
END_TEST

UNIT_MAIN("base/hist", quantiles_are_within_their_bucket, merged_histograms_equal_one,
          counts_at_the_edges_are_exact)
