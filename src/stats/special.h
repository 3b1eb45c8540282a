// SPDX-License-Identifier: Apache-2.0
// Special functions that statistics stand on and the C library lacks. Pure; relative error about 1e-13 in the
// body of each function, and the logarithms stay right where the values themselves would underflow.
#pragma once

#include <stddef.h>

// P(Z <= x) of the standard normal, its logarithm, and the x at which it is p, 0 < p < 1.
double stats_normal_cdf(double x);
double stats_normal_log_cdf(double x);
double stats_normal_quantile(double p);

// ln |Gamma(x)|, x > 0, without lgamma's global sign.
double stats_log_gamma(double x);
// ln B(a, b), a > 0, b > 0.
double stats_log_beta(double a, double b);
// Regularised incomplete gamma functions, P(a, x) and Q(a, x) = 1 - P, a > 0, x >= 0.
double stats_gamma_p(double a, double x);
double stats_gamma_q(double a, double x);
// Regularised incomplete beta I_x(a, b), 0 <= x <= 1, and its logarithm.
double stats_beta_inc(double a, double b, double x);
double stats_log_beta_inc(double a, double b, double x);

// P(chi-square with df degrees of freedom > x), and the x at which it is p, 0 < p < 1, df >= 1.
double stats_chi2_tail(double x, double df);
double stats_chi2_critical(double p, double df);

// The lower real branch of Lambert's W: the w <= -1 with w e^w = x, -1/e <= x < 0.
double stats_lambert_lower(double x);
// Riemann's zeta function, s > 1.
double stats_zeta(double s);

// ln of the mean of e^x[i]; n >= 1. Never overflows.
double stats_log_mean_exp(const double *x, size_t n);

// A root of f in [lo, hi] by bisection down to the last bit; f(lo) and f(hi) must have different signs
// (or one be zero). At most 200 calls.
double stats_bisect(double (*f)(double x, void *arg), void *arg, double lo, double hi);
