// SPDX-License-Identifier: Apache-2.0
// The values that the authors' own library (confseq) pins in its tests, at v_opt = 100 and alpha = 0.05, and
// simulations of what each bound promises.
#include "stats/bounds.h"
#include "stats/random.h"

#include "unit.h"

#include <math.h>

#define NEAR(got, want) ck_assert_double_eq_tol(got, want, 1e-5)

START_TEST(normal_mixtures_reproduce_the_published_values)
{
    double two = stats_normal_mixture_rho(100, 0.05, false), one = stats_normal_mixture_rho(100, 0.05, true);
    NEAR(two, 12.60056);
    NEAR(stats_normal_mixture_log(10, 100, two, false), -0.6510052);
    NEAR(stats_normal_mixture_log(10, 100, one, true), -0.06502391);
    NEAR(stats_normal_mixture_bound(100, 0.05, two, false), 30.35209);
    NEAR(stats_normal_mixture_bound(100, 0.05, one, true), 27.66071);
}
END_TEST

START_TEST(beta_binomial_mixtures_reproduce_the_published_values)
{
    struct stats_beta_binomial two, one;
    stats_beta_binomial_init(&two, 100, 0.05, 0.2, 0.8, false);
    stats_beta_binomial_init(&one, 100, 0.05, 0.2, 0.8, true);
    NEAR(stats_beta_binomial_log(&two, 10, 100), -0.6941012);
    NEAR(stats_beta_binomial_log(&one, 10, 100), -0.07134019);
    NEAR(stats_beta_binomial_bound(&two, 100, 0.05), 31.4308);
    NEAR(stats_beta_binomial_bound(&one, 100, 0.05), 28.41238);
}
END_TEST

START_TEST(bernoulli_intervals_reproduce_the_published_values)
{
    const double cases[][5] = {{700, 1000, 100, .651629, .745949},
                               {15, 50, 50, .129556, .511896},
                               {5, 50, 50, .013021, .269264},
                               {1, 50, 50, 0, .13489},
                               {100, 200, 1, .328923, .671076}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double lo, hi;
        stats_bernoulli_interval(cases[i][0], cases[i][1], 0.05, cases[i][2], &lo, &hi);
        NEAR(lo, cases[i][3]);
        NEAR(hi, cases[i][4]);
    }
}
END_TEST

START_TEST(stitching_and_the_empirical_process_reproduce_the_published_values)
{
    NEAR(stats_poly_stitching_bound(100, 0.05, 10, 3), 64.48755);
    NEAR(stats_poly_stitching_bound(100, 0.05, 10, -1), 28.99389);
    NEAR(stats_empirical_process_bound(1000, 0.05, 100, 0.85), 0.08204769);
}
END_TEST

START_TEST(asymptotic_margins_reproduce_the_reference)
{
    const double ts[] = {10, 100, 1e3, 1e4, 1e5}, want[] = {2.828719, .382353, .095979, .032463, .011278};
    double rho2 = stats_asymp_rho2(1000, 0.05);
    ck_assert_double_eq_tol(rho2, .008209163576, 1e-12);
    for (int i = 0; i < 5; i++)
        ck_assert_double_eq_tol(stats_asymp_margin(ts[i], 0.05, rho2, false), want[i], 6e-7);
    // One-sided is tighter at the alpha that its rho was chosen for.
    double one = stats_asymp_rho2(1000, 0.10);
    ck_assert_double_lt(stats_asymp_margin(1000, 0.05, one, true),
                        stats_asymp_margin(1000, 0.05, rho2, false));
}
END_TEST

START_TEST(wilson_intervals_reproduce_the_reference)
{
    const double cases[][4] = {
        {90, 100, .8256343, .9447709}, {0, 20, 0, .1611252}, {5, 1000, .0021375, .0116510}};
    for (size_t i = 0; i < 3; i++) {
        double lo, hi;
        stats_wilson(cases[i][0], cases[i][1], 1.959963984540054, &lo, &hi);
        ck_assert_double_eq_tol(lo, cases[i][2], 6e-8);
        ck_assert_double_eq_tol(hi, cases[i][3], 6e-8);
    }
}
END_TEST

// Bets on paired differences with mean m: how many of 1,000 series of 2,000 ever reach ln 20.
static int betting_rejections(double mean)
{
    struct stats_random r;
    int n = 0;
    stats_random_init(&r, 11);
    for (int run = 0; run < 1000; run++) {
        struct stats_betting b;
        stats_betting_init(&b, 0.5);
        for (int i = 0; i < 2000; i++) {
            stats_betting_add(&b, stats_random_unit(&r) < mean ? 1 : 0);
            if (i % 10 == 9 && stats_betting_log(&b) >= log(20)) {
                n++;
                break;
            }
        }
    }
    return n;
}

START_TEST(bets_rarely_win_on_a_fair_coin_and_soon_on_another)
{
    ck_assert_int_le(betting_rejections(0.5), 66);
    ck_assert_int_ge(betting_rejections(0.6), 990);
}
END_TEST

START_TEST(bets_of_two_threads_add)
{
    struct stats_betting a, b, both;
    stats_betting_init(&a, 0.5);
    stats_betting_init(&b, 0.5);
    stats_betting_init(&both, 0.5);
    for (int i = 0; i < 100; i++) {
        stats_betting_add(i % 3 ? &a : &b, (i % 7) / 6.0);
        stats_betting_add(&both, (i % 7) / 6.0);
    }
    stats_betting_merge(&a, &b);
    ck_assert_double_eq_tol(stats_betting_log(&a), stats_betting_log(&both), 1e-9);
}
END_TEST

// Mean values until the detector for 0.1 -> 0.2 reaches 1,000, when the loss rate is `rate`.
static double mean_run_length(double rate)
{
    struct stats_random r;
    double sum = 0;
    stats_random_init(&r, 5);
    for (int run = 0; run < 2000; run++) {
        int n = 0;
        for (double m = 0; m < 1000; n++)
            m = stats_esr_next(m, stats_random_unit(&r) < rate ? 2 : 0.8 / 0.9);
        sum += n;
    }
    return sum / 2000;
}

START_TEST(the_change_detector_keeps_its_run_length)
{
    ck_assert_double_ge(mean_run_length(0.1), 1000);
    ck_assert_double_le(mean_run_length(0.1), 1700); // the reference: 1,380
    ck_assert_double_le(mean_run_length(0.2), 90);   // the reference: 78
}
END_TEST

START_TEST(binomial_draws_have_the_right_mean_and_variance)
{
    const double ps[] = {0.001, 0.1, 0.5, 0.97};
    struct stats_random r;
    stats_random_init(&r, 3);
    for (int i = 0; i < 4; i++) {
        double n = 1000, sum = 0, squares = 0, p = ps[i], draws = 20000;
        for (int k = 0; k < draws; k++) {
            double x = (double)stats_random_binomial(&r, 1000, p);
            sum += x;
            squares += x * x;
        }
        double mean = sum / draws, variance = squares / draws - mean * mean;
        ck_assert_double_eq_tol(mean, n * p, 4 * sqrt(n * p * (1 - p) / draws));
        ck_assert_double_eq_tol(variance / (n * p * (1 - p)), 1, 0.06);
    }
}
END_TEST

UNIT_MAIN("stats/bounds", normal_mixtures_reproduce_the_published_values,
          beta_binomial_mixtures_reproduce_the_published_values,
          bernoulli_intervals_reproduce_the_published_values,
          stitching_and_the_empirical_process_reproduce_the_published_values,
          asymptotic_margins_reproduce_the_reference, wilson_intervals_reproduce_the_reference,
          bets_rarely_win_on_a_fair_coin_and_soon_on_another, bets_of_two_threads_add,
          the_change_detector_keeps_its_run_length, binomial_draws_have_the_right_mean_and_variance)
