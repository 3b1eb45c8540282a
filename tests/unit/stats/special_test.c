// SPDX-License-Identifier: Apache-2.0
// Values from tables and from SciPy 1.x, and identities that tie the functions to each other.
#include "stats/special.h"

#include "unit.h"

#include <math.h>

START_TEST(the_normal_distribution_is_right_in_body_and_tail)
{
    ck_assert_double_eq_tol(stats_normal_cdf(1.959963984540054), 0.975, 1e-15);
    ck_assert_double_eq_tol(stats_normal_log_cdf(-10), -53.23128515051247, 1e-11);
    ck_assert_double_eq_tol(stats_normal_log_cdf(-40), -804.6084420137538, 1e-9);
    ck_assert_double_eq_tol(stats_normal_quantile(0.975), 1.959963984540054, 1e-12);
    ck_assert_double_eq_tol(stats_normal_quantile(1e-300), -37.0471, 1e-4);
    for (double p = 1e-12; p < 1; p += 0.01)
        ck_assert_double_eq_tol(stats_normal_cdf(stats_normal_quantile(p)), p, 1e-13);
}
END_TEST

START_TEST(incomplete_gamma_and_chi_square_agree_with_tables)
{
    ck_assert_double_eq_tol(stats_gamma_p(1, 2), 1 - exp(-2), 1e-15);
    ck_assert_double_eq_tol(stats_gamma_q(0.5, 2), erfc(sqrt(2)), 1e-15);
    ck_assert_double_eq_tol(stats_gamma_p(100, 90) + stats_gamma_q(100, 90), 1, 1e-14);
    ck_assert_double_eq_tol(stats_chi2_tail(3.841458820694124, 1), 0.05, 1e-13);
    ck_assert_double_eq_tol(stats_chi2_tail(30.143527205646159, 19), 0.05, 1e-13);
    ck_assert_double_eq_tol(stats_chi2_critical(0.05, 19), 30.143527205646159, 1e-10);
    ck_assert_double_eq_tol(stats_chi2_critical(0.001, 1), 10.827566170662733, 1e-10);
    ck_assert_double_eq(stats_gamma_q(3, 0), 1);
}
END_TEST

START_TEST(incomplete_beta_agrees_with_the_binomial)
{
    // P(Binomial(10, 0.3) >= 4) = I_0.3(4, 7)
    double tail = 0;
    for (int k = 4; k <= 10; k++)
        tail += exp(stats_log_gamma(11) - stats_log_gamma(k + 1) - stats_log_gamma(11 - k)) * pow(0.3, k) *
                pow(0.7, 10 - k);
    ck_assert_double_eq_tol(stats_beta_inc(4, 7, 0.3), tail, 1e-14);
    ck_assert_double_eq_tol(stats_beta_inc(7, 4, 0.7), 1 - tail, 1e-14);
    // The same with 500 of 502 at 0.01, far below the least double: 0.01^500 factored out.
    double rest = 502 * 501 / 2 * 0.99 * 0.99 + 502 * 0.01 * 0.99 + 0.01 * 0.01;
    ck_assert_double_eq_tol(stats_log_beta_inc(500, 3, 0.01), 500 * log(0.01) + log(rest), 1e-9);
    ck_assert_double_eq(stats_beta_inc(2, 3, 1), 1);
    ck_assert_double_eq(stats_beta_inc(2, 3, 0), 0);
}
END_TEST

START_TEST(lambert_and_zeta_satisfy_their_definitions)
{
    for (double w = -1.0001; w > -600; w *= 1.3) {
        double x = w * exp(w);
        ck_assert_double_eq_tol(stats_lambert_lower(x) / w, 1, 1e-9);
    }
    ck_assert_double_eq_tol(stats_zeta(2), M_PI * M_PI / 6, 1e-14);
    ck_assert_double_eq_tol(stats_zeta(1.4), 3.105547277, 1e-8);
}
END_TEST

START_TEST(the_mean_of_exponentials_does_not_overflow)
{
    const double x[] = {1000, 1000 + log(3)}, none[] = {-INFINITY, -INFINITY};
    ck_assert_double_eq_tol(stats_log_mean_exp(x, 2), 1000 + log(2), 1e-12);
    ck_assert(isinf(stats_log_mean_exp(none, 2)));
}
END_TEST

UNIT_MAIN("stats/special", the_normal_distribution_is_right_in_body_and_tail,
          incomplete_gamma_and_chi_square_agree_with_tables, incomplete_beta_agrees_with_the_binomial,
          lambert_and_zeta_satisfy_their_definitions, the_mean_of_exponentials_does_not_overflow)
