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

START_TEST(counting_below_a_limit_is_cumulative)
{
    static struct hist h;
    hist_add(&h, 10);
    hist_add(&h, 1000);
    hist_add(&h, UINT64_MAX);
    ck_assert_uint_eq(hist_count_below(&h, 9), 0);
    ck_assert_uint_eq(hist_count_below(&h, 10), 1);
    ck_assert_uint_eq(hist_count_below(&h, 2000), 2);
    ck_assert_uint_eq(h.count, 3);
}
END_TEST

UNIT_MAIN("base/hist", quantiles_are_within_their_bucket, merged_histograms_equal_one,
          counting_below_a_limit_is_cumulative)
