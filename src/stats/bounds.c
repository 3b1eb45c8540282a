// SPDX-License-Identifier: Apache-2.0
// The bounds of bounds.h, as their papers write them. Where a bound has no closed form it is the root of the
// mixture's logarithm, found by bisection: these are read once a second at most.
#include "stats/bounds.h"

#include "base/assert.h"
#include "stats/special.h"

#include <float.h>
#include <math.h>

double stats_normal_mixture_rho(double v_opt, double alpha, bool one_sided)
{
    double l = 2 * log(1 / (one_sided ? 2 * alpha : alpha));
    return v_opt / (l + log1p(l));
}

double stats_normal_mixture_log(double s, double v, double rho, bool one_sided)
{
    double quadratic = s * s / (2 * (v + rho));
    if (!one_sided)
        return 0.5 * log(rho / (v + rho)) + quadratic;
    return 0.5 * log(4 * rho / (v + rho)) + quadratic + stats_normal_log_cdf(s / sqrt(v + rho));
}

struct normal_target {
    double v, rho, log_threshold;
};

static double normal_above(double s, void *arg)
{
    const struct normal_target *t = arg;
    return stats_normal_mixture_log(s, t->v, t->rho, true) - t->log_threshold;
}

double stats_normal_mixture_bound(double v, double alpha, double rho, bool one_sided)
{
    double two_sided = sqrt((v + rho) * (log1p(v / rho) + 2 * log(1 / alpha)));
    if (!one_sided)
        return two_sided;
    // The one-sided e-value at s > 0 is between the two-sided one and twice that.
    struct normal_target t = {v, rho, log(1 / alpha)};
    return stats_bisect(normal_above, &t, 0, two_sided);
}

void stats_beta_binomial_init(struct stats_beta_binomial *m, double v_opt, double alpha_opt, double g,
                              double h, bool one_sided)
{
    double rho = stats_normal_mixture_rho(v_opt, alpha_opt, one_sided);
    *m = (struct stats_beta_binomial){g, h, fmax(rho - g * h, 1e-3 * g * h), one_sided};
}

static double log_beta_part(double a, double b, double x)
{
    return stats_log_beta(a, b) + stats_log_beta_inc(a, b, x);
}

double stats_beta_binomial_log(const struct stats_beta_binomial *m, double s, double v)
{
    double g = m->g, h = m->h, sum = g + h, x = m->one_sided ? h / sum : 1;
    double downs = (v - g * s) / (g * sum), ups = (v + h * s) / (h * sum);
    return v / (g * h) * log(sum) - ups * log(g) - downs * log(h) +
           log_beta_part(m->r / (g * sum) + downs, m->r / (h * sum) + ups, x) -
           log_beta_part(m->r / (g * sum), m->r / (h * sum), x);
}

struct beta_target {
    const struct stats_beta_binomial *m;
    double v, log_threshold;
};

static double beta_above(double s, void *arg)
{
    const struct beta_target *t = arg;
    return stats_beta_binomial_log(t->m, s, t->v) - t->log_threshold;
}

double stats_beta_binomial_bound(const struct stats_beta_binomial *m, double v, double alpha)
{
    struct beta_target t = {m, v, log(1 / alpha)};
    double most = v / m->g; // all steps up
    return beta_above(most, &t) < 0 ? most : stats_bisect(beta_above, &t, 0, most);
}

struct share_target {
    double k, n, t_opt, log_threshold;
};

static double share_above(double p, void *arg)
{
    const struct share_target *t = arg;
    struct stats_beta_binomial m;
    stats_beta_binomial_init(&m, t->t_opt * p * (1 - p), 0.05, p, 1 - p, false);
    return stats_beta_binomial_log(&m, t->k - t->n * p, t->n * p * (1 - p)) - t->log_threshold;
}

void stats_bernoulli_interval(double k, double n, double alpha, double t_opt, double *ret_lo, double *ret_hi)
{
    enum { TINY_EXP = -30 }; // a share of 1e-9 is called none
    double tiny = ldexp(1, TINY_EXP), mean = k / n;
    struct share_target t = {k, n, t_opt, log(1 / alpha)};
    *ret_lo = mean <= tiny || share_above(tiny, &t) < 0 ? 0 : stats_bisect(share_above, &t, tiny, mean);
    *ret_hi =
        mean >= 1 - tiny || share_above(1 - tiny, &t) < 0 ? 1 : stats_bisect(share_above, &t, mean, 1 - tiny);
}

double stats_poly_stitching_bound(double v, double alpha, double v_min, double c)
{
    const double s = 1.4, eta = 2;
    double at = fmax(v, v_min), k1 = (pow(eta, 0.25) + pow(eta, -0.25)) / M_SQRT2, k2 = (sqrt(eta) + 1) / 2;
    double ell = s * log(log(eta * at / v_min)) + log(stats_zeta(s) / (alpha * pow(log(eta), s)));
    double linear = k2 * c * ell;
    return sqrt(k1 * k1 * at * ell + linear * linear) + linear;
}

// The least error probability that theorem 2 of Howard and Ramdas gives for A and C, over its free eta.
static double empirical_process_error(double a, double c)
{
    enum { ETAS = 2000 };
    double best = HUGE_VAL;
    for (int i = 1; i < ETAS; i++) {
        double eta = 1 + (2 * a * a - 1) * i / ETAS;
        double gamma = sqrt(2 / eta) * (a - sqrt(2 * (eta - 1) / c));
        if (gamma > 1)
            best = fmin(best, 4 * exp(-gamma * gamma * c) * (1 + 1 / ((gamma * gamma - 1) * log(eta))));
    }
    return best;
}

struct process_target {
    double a, alpha;
};

static double process_error_above(double c, void *arg)
{
    const struct process_target *t = arg;
    return empirical_process_error(t->a, c) - t->alpha;
}

double stats_empirical_process_bound(double t, double alpha, double t_min, double a)
{
    ASSERT(a > M_SQRT1_2 && t >= t_min);
    struct process_target target = {a, alpha};
    double hi = 8;
    while (process_error_above(hi, &target) > 0)
        hi *= 2;
    double c = stats_bisect(process_error_above, &target, 0, hi);
    return a * sqrt((log1p(log(t / t_min)) + c) / t);
}

double stats_asymp_rho2(double t_opt, double alpha)
{
    double a2 = alpha * alpha;
    return (-stats_lambert_lower(-a2 * exp(a2 - 1)) - 1) / t_opt;
}

double stats_asymp_margin(double t, double alpha, double rho2, bool one_sided)
{
    double grown = t * rho2 + 1, root = sqrt(grown);
    double l = one_sided ? log1p(root / (2 * alpha)) : log(root / alpha);
    return sqrt(2 * grown / (t * t * rho2) * l);
}

// Bet j: the share of the capital that a value of 0 loses goes evenly through (0, 1).
static double bet(const struct stats_betting *b, int j)
{
    return (j + 0.5) / STATS_BETS / b->m;
}

void stats_betting_init(struct stats_betting *b, double m)
{
    ASSERT(m > 0 && m < 1);
    *b = (struct stats_betting){.m = m};
}

void stats_betting_add(struct stats_betting *b, double x)
{
    x = fmin(fmax(x, 0), 1);
    for (int j = 0; j < STATS_BETS; j++)
        b->log_capital[j] += log1p(bet(b, j) * (x - b->m));
}

void stats_betting_merge(struct stats_betting *into, const struct stats_betting *from)
{
    for (int j = 0; j < STATS_BETS; j++)
        into->log_capital[j] += from->log_capital[j];
}

double stats_betting_log(const struct stats_betting *b)
{
    return stats_log_mean_exp(b->log_capital, STATS_BETS);
}

double stats_esr_next(double m, double likelihood_ratio)
{
    double next = (m + 1) * likelihood_ratio;
    return next < DBL_MAX ? next : DBL_MAX; // an alarm anyway; infinity times zero would be none
}

void stats_wilson(double k, double n, double z, double *ret_lo, double *ret_hi)
{
    double p = k / n, z2 = z * z, grown = 1 + z2 / n, centre = p + z2 / (2 * n);
    double half = z * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    *ret_lo = k <= 0 ? 0 : (centre - half) / grown;
    *ret_hi = k >= n ? 1 : (centre + half) / grown;
}
