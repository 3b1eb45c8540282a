// SPDX-License-Identifier: Apache-2.0
// Confidence bounds that hold at all times at once: one may look after every observation, and stop when one
// likes. Formulas after Howard, Ramdas, McAuliffe and Sekhon ("Time-uniform, nonparametric, nonasymptotic
// confidence sequences"), Howard and Ramdas (quantiles), Waudby-Smith et al. (asymptotic), Waudby-Smith and
// Ramdas (betting), Shin, Ramdas and Rinaldo (e-detectors); docs/rollouts.md explains them. Each is used by
// rollouts or by monitoring, which do not see each other.
// alpha is the probability of ever being wrong, 0 < alpha < 1; all else is said at the function.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Normal mixture, for sums s of centred sub-Gaussian values with summed variance v >= 0. rho > 0 tunes it to
// be tightest at v_opt.
double stats_normal_mixture_rho(double v_opt, double alpha, bool one_sided);
double stats_normal_mixture_log(double s, double v, double rho, bool one_sided); // ln of the e-value
double stats_normal_mixture_bound(double v, double alpha, double rho, bool one_sided);

// Beta-binomial mixture for sums of values that are -g or +h with mean 0; v = g h n.
struct stats_beta_binomial {
    double g, h;
    double r; // of the prior, from v_opt
    bool one_sided;
};

void stats_beta_binomial_init(struct stats_beta_binomial *m, double v_opt, double alpha_opt, double g,
                              double h, bool one_sided);
double stats_beta_binomial_log(const struct stats_beta_binomial *m, double s, double v);
double stats_beta_binomial_bound(const struct stats_beta_binomial *m, double v, double alpha);
// The share p of successes when k of n succeeded (0 <= k <= n, n >= 1), tightest at t_opt trials.
void stats_bernoulli_interval(double k, double n, double alpha, double t_opt, double *ret_lo, double *ret_hi);

// Polynomial stitching: an explicit bound for sums whose exponent is at most quadratic in v with scale c
// (0 for sub-Gaussian, negative for bounded below); s = 1.4, eta = 2; constant for v <= v_min.
double stats_poly_stitching_bound(double v, double alpha, double v_min, double c);

// How far the empirical distribution function of t values may be from the true one, at all points and all
// t >= t_min, as A sqrt((ln(1 + ln(t / t_min)) + C) / t); A > 1 / sqrt 2, commonly 0.85.
double stats_empirical_process_bound(double t, double alpha, double t_min, double a);

// Asymptotic bounds for means, from a few hundred values on: the mean is within sigma * margin(t).
double stats_asymp_rho2(double t_opt, double alpha); // rho squared, tightest at t_opt values
double stats_asymp_margin(double t, double alpha, double rho2, bool one_sided);

// Betting against "the mean is at most m" for values in [0, 1]: STATS_BETS constant bets, averaged.
enum { STATS_BETS = 32 };
struct stats_betting {
    double m; // 0 < m < 1
    double log_capital[STATS_BETS];
};

void stats_betting_init(struct stats_betting *b, double m);
void stats_betting_add(struct stats_betting *b, double x); // x is clipped to [0, 1]
void stats_betting_merge(struct stats_betting *into, const struct stats_betting *from); // of the same m
double stats_betting_log(const struct stats_betting *b); // reject when >= ln(1 / alpha)

// A detector of changes that runs forever (e-SR): M = (M + 1) L. An alarm at M >= A comes, without a change,
// on average after A values or later. Start at 0; L is a likelihood ratio of one value.
double stats_esr_next(double m, double likelihood_ratio);

// Wilson's interval for k of n successes (n > 0) with z standard deviations: for one look, not for many.
void stats_wilson(double k, double n, double z, double *ret_lo, double *ret_hi);
