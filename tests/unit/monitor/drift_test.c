// SPDX-License-Identifier: Apache-2.0
// Reference values, what the noise floors promise, and the false alarms of a week of fifty features.
#include "monitor/drift.h"

#include "monitor/bins.h"
#include "stats/special.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NEAR(got, want) ck_assert_double_eq_tol(got, want, 6e-11)

START_TEST(distances_reproduce_the_reference)
{
    const double even[10] = {.1, .1, .1, .1, .1, .1, .1, .1, .1, .1},
                 skewed[10] = {.05, .08, .09, .10, .10, .11, .11, .12, .12, .12};
    NEAR(drift_psi(even, skewed, 10), .0530193322);
    NEAR(drift_js(even, skewed, 10), .0971315709);
    NEAR(drift_js(even, skewed, 10) * sqrt(M_LN2), .0808673372);
    NEAR(drift_hellinger(even, skewed, 10), .0811354968);
    NEAR(drift_total_variation(even, skewed, 10), .08);
    NEAR(drift_largest(even, skewed, 10), .05);
    const double p[3] = {.5, .3, .2}, q[3] = {.4, .4, .2}, none[3] = {1, 0, 0}, other[3] = {0, 0, 1};
    NEAR(drift_psi(p, q, 3), .0510825624);
    NEAR(drift_js(p, q, 3), .0958432338);
    NEAR(drift_js(none, other, 3), 1);
    NEAR(drift_js(p, p, 3), 0);
}
END_TEST

START_TEST(tests_of_two_samples_reproduce_the_reference)
{
    const uint64_t ref[4] = {500, 300, 200, 0}, cur[4] = {420, 370, 210, 0}, one[2] = {7, 0};
    double statistic;
    ck_assert_double_eq_tol(drift_chi2(ref, cur, 4, &statistic), 7.052709e-4, 6e-11);
    ck_assert_double_eq_tol(statistic, 14.5138570, 6e-8);
    ck_assert_double_eq(drift_chi2(one, one, 2, &statistic), 1);
    ck_assert_double_eq_tol(drift_ks(ref, cur, 4), 0.08, 1e-12);
    ck_assert_double_eq_tol(drift_ks_p(.05, 1000, 1000), .164079, 6e-7);
    ck_assert_double_eq_tol(drift_ks_p(.02, 1e4, 1e4), .0366311, 6e-8);
    ck_assert_double_eq_tol(drift_ks_p(.005, 1e6, 1e5), .0212307, 6e-8);
    ck_assert_double_eq(drift_ks_p(.001, 1000, 1000), 1);
    ck_assert_double_eq_tol(drift_share_z(50, 10000, 90, 10000), 3.3925117, 6e-8);
    ck_assert_double_eq(drift_share_z(0, 10, 0, 10), 0);
}
END_TEST

START_TEST(wasserstein_distances_reproduce_the_reference)
{
    const double x[] = {0, 1, 3}, y[] = {5, 6, 8};
    NEAR(drift_w1_points(x, NULL, 3, y, NULL, 3), 5);
    NEAR(drift_w1_points(y, NULL, 3, x, NULL, 3), 5);
    const double a[] = {3.4, 3.9, 7.5, 7.8}, aw[] = {1.4, .9, 3.1, 7.2}, b[] = {1.4, 4.5}, bw[] = {3.5, 3.2};
    NEAR(drift_w1_points(a, aw, 4, b, bw, 2), 4.0781331438);
    // Uniform on [0, 1] against uniform on [1, 2], and a crossing: [0, 1] and [2, 3] against all of [0, 3].
    const uint64_t left[2] = {9, 0}, right[2] = {0, 9};
    const double edges[] = {0, 1, 2, 3};
    NEAR(drift_w1(left, right, edges, 2), 1);
    const uint64_t ends[3] = {3, 0, 3}, even[3] = {2, 2, 2};
    NEAR(drift_w1(ends, even, edges, 3), 2 * (1.0 / 12) + 2 * (1.0 / 24));
}
END_TEST

START_TEST(smoothed_shares_sum_to_one)
{
    const uint64_t counts[3] = {0, 7, 3};
    double p[3];
    drift_shares(counts, 3, p);
    NEAR(p[0], .5 / 11.5);
    NEAR(p[0] + p[1] + p[2], 1);
}
END_TEST

static uint64_t draw_normal(struct stats_random *r, double shift, const double *edges, size_t n_bins,
                            uint64_t n, uint64_t *ret)
{
    memset(ret, 0, n_bins * sizeof *ret);
    for (uint64_t i = 0; i < n; i++)
        ret[bins_find(edges, n_bins, stats_random_normal(r) + shift)]++;
    return n;
}

static void even_edges(size_t n_bins, double *edges)
{
    for (size_t i = 1; i < n_bins; i++)
        edges[i] = stats_normal_quantile((double)i / (double)n_bins);
    edges[0] = -4;
    edges[n_bins] = 4;
}

START_TEST(noise_floors_are_exceeded_as_often_as_they_say)
{
    enum { BINS = 20, WINDOWS = 400 };
    double edges[BINS + 1], p[BINS], q[BINS];
    uint64_t ref[BINS], cur[BINS];
    struct stats_random r;
    int psi = 0, js = 0, w1 = 0;
    stats_random_init(&r, 21);
    even_edges(BINS, edges);
    for (int i = 0; i < WINDOWS; i++) {
        draw_normal(&r, 0, edges, BINS, 1000, ref);
        draw_normal(&r, 0, edges, BINS, 500, cur);
        drift_shares(ref, BINS, p);
        drift_shares(cur, BINS, q);
        psi += drift_psi(p, q, BINS) > drift_psi_noise(BINS, 1000, 500, 0.05);
        js += drift_js(p, q, BINS) > drift_js_noise(BINS, 1000, 500, 0.05);
        if (i < 60)
            w1 += drift_w1(ref, cur, edges, BINS) > drift_w1_noise(ref, cur, edges, BINS, 0.05, 200, &r);
    }
    ck_assert_int_ge(psi, WINDOWS * 2 / 100);
    ck_assert_int_le(psi, WINDOWS * 8 / 100);
    ck_assert_int_ge(js, WINDOWS * 2 / 100);
    ck_assert_int_le(js, WINDOWS * 8 / 100);
    ck_assert_int_ge(w1, 1);
    ck_assert_int_le(w1, 9);
}
END_TEST

// The fast floor against the slow one, of bins of any sizes.
START_TEST(both_noise_floors_of_wasserstein_agree)
{
    enum { BINS = 100 };
    double edges[BINS + 1];
    uint64_t ref[BINS], cur[BINS];
    struct stats_random r;
    stats_random_init(&r, 23);
    for (int i = 0; i < 12; i++) {
        size_t n_bins = i % 2 ? BINS : 7;
        even_edges(n_bins, edges);
        draw_normal(&r, 0, edges, n_bins, i < 6 ? 10000 : 500, ref);
        draw_normal(&r, i % 3 * .3, edges, n_bins, i % 4 ? 300 : 3000, cur);
        double slow = drift_w1_noise(ref, cur, edges, n_bins, .05, 400, &r);
        double fast = drift_w1_floor(ref, cur, edges, n_bins, .05, 1000, &r);
        ck_assert_double_eq_tol(fast / slow, 1, .2);
    }
}
END_TEST

START_TEST(an_alert_needs_effect_and_noise_and_persistence)
{
    struct drift_alert a = {0};
    ck_assert(!drift_alert_next(&a, 0.2, 0.1, 0.05));
    ck_assert(!drift_alert_next(&a, 0.05, 0.1, 0.01));
    ck_assert(drift_alert_next(&a, 0.1, 0.1, 0.05)); // the first and this one
    ck_assert(!drift_alert_next(&a, 0.2, 0.1, 0.3)); // less than chance gives
    ck_assert(drift_alert_next(&a, 0.2, 0.1, 0.05));
    ck_assert(drift_alert_next(&a, 0.2, 0.1, 0.05));
    ck_assert(drift_alert_next(&a, 0.0, 0.1, 0.05)); // one quiet window does not resolve it
    ck_assert(!drift_alert_next(&a, 0.0, 0.1, 0.05));
}
END_TEST

enum { FEATURES = 50, HOURS = 168, BINS = 20, ROWS = 300, REFERENCE = 10000 };

// The number of windows, of all features, at which an alert was up; and the first hour for feature 0.
static int week(struct stats_random *r, int n_features, double shift, int hours, int *ret_first)
{
    static uint64_t ref[FEATURES][BINS], cur[BINS];
    double edges[BINS + 1], p[BINS], q[BINS], noise = drift_psi_noise(BINS, REFERENCE, ROWS, 1e-3);
    struct drift_alert alerts[FEATURES] = {{0}};
    int up = 0;
    even_edges(BINS, edges);
    *ret_first = hours;
    for (int f = 0; f < n_features; f++)
        draw_normal(r, 0, edges, BINS, REFERENCE, ref[f]);
    for (int hour = 0; hour < hours; hour++)
        for (int f = 0; f < n_features; f++) {
            draw_normal(r, f == 0 ? shift : 0, edges, BINS, ROWS, cur);
            drift_shares(ref[f], BINS, p);
            drift_shares(cur, BINS, q);
            if (!drift_alert_next(&alerts[f], drift_psi(p, q, BINS), 0.1, noise))
                continue;
            up++;
            if (f == 0 && *ret_first == hours)
                *ret_first = hour;
        }
    return up;
}

START_TEST(a_week_without_drift_is_quiet_and_a_shift_is_found_in_three_hours)
{
    struct stats_random r;
    int first, found = 0;
    stats_random_init(&r, 22);
    ck_assert_int_le(week(&r, FEATURES, 0, HOURS, &first), 1);
    for (int i = 0; i < 100; i++) {
        week(&r, 1, 0.5, 3, &first);
        found += first < 3;
    }
    ck_assert_int_ge(found, 99);
}
END_TEST

START_TEST(bins_hold_equal_shares_and_repeated_values_one)
{
    enum { N = 10000 };
    static double values[N];
    double edges[21];
    for (int i = 0; i < N; i++)
        values[i] = i < 6000 ? 0 : i; // most are zero
    size_t n = bins_from_sorted(values, N, 20, edges);
    ck_assert_uint_eq(n, 9); // zero, and eight of 500
    ck_assert_double_eq(edges[0], 0);
    ck_assert_double_eq(edges[n], N - 1);
    ck_assert_uint_eq(bins_find(edges, n, -5), 0);
    ck_assert_uint_eq(bins_find(edges, n, 0), 0);
    ck_assert_uint_eq(bins_find(edges, n, edges[1]), 1);
    ck_assert_uint_eq(bins_find(edges, n, nextafter(edges[1], 0)), 0);
    ck_assert_uint_eq(bins_find(edges, n, 1e300), n - 1);
    const double same[] = {2, 2, 2};
    ck_assert_uint_eq(bins_from_sorted(same, 3, 20, edges), 0);
}
END_TEST

UNIT_MAIN("monitor/drift", distances_reproduce_the_reference, tests_of_two_samples_reproduce_the_reference,
          wasserstein_distances_reproduce_the_reference, smoothed_shares_sum_to_one,
          noise_floors_are_exceeded_as_often_as_they_say, both_noise_floors_of_wasserstein_agree,
          an_alert_needs_effect_and_noise_and_persistence,
          a_week_without_drift_is_quiet_and_a_shift_is_found_in_three_hours,
          bins_hold_equal_shares_and_repeated_values_one)
