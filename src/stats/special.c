// SPDX-License-Identifier: Apache-2.0
// Incomplete gamma and beta by series and by continued fractions (DLMF 8.7, 8.9, 8.17), evaluated from the
// front by Lentz's rule; inverses by Newton steps from a rough start, kept inside a bracket.
#include "stats/special.h"

#include "base/assert.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

enum { STEPS_MAX = 10000 }; // of a series or fraction: far more than any argument of ours needs

double stats_normal_cdf(double x)
{
    return 0.5 * erfc(-x / M_SQRT2);
}

double stats_normal_log_cdf(double x)
{
    if (x > -35)
        return log(stats_normal_cdf(x));
    double t = 1 / (x * x); // the asymptotic series of the tail
    return -0.5 * x * x - log(-x) - 0.5 * log(2 * M_PI) + log1p(-t * (1 - t * (3 - 15 * t)));
}

double stats_normal_quantile(double p)
{
    ASSERT(p > 0 && p < 1);
    if (p > 0.5)
        return -stats_normal_quantile(1 - p);
    double t = sqrt(-2 * log(p)); // Abramowitz and Stegun 26.2.22, good to 3e-3
    double x = (2.30753 + 0.27061 * t) / (1 + t * (0.99229 + 0.04481 * t)) - t;
    for (int i = 0; i < 6; i++) {
        // Newton's step on the logarithm: it neither overshoots nor loses digits in the tail.
        double log_cdf = stats_normal_log_cdf(x), log_pdf = -0.5 * x * x - 0.5 * log(2 * M_PI);
        x -= (log_cdf - log(p)) / exp(log_pdf - log_cdf);
    }
    return x;
}

double stats_log_gamma(double x)
{
    int sign;
    return lgamma_r(x, &sign);
}

double stats_log_beta(double a, double b)
{
    return stats_log_gamma(a) + stats_log_gamma(b) - stats_log_gamma(a + b);
}

// ln of x^a e^-x / Gamma(a), the factor before both forms.
static double gamma_factor(double a, double x)
{
    return a * log(x) - x - stats_log_gamma(a);
}

static double gamma_series(double a, double x)
{
    double term = 1 / a, sum = term;
    for (int n = 1; n < STEPS_MAX && term > sum * DBL_EPSILON / 4; n++) {
        term *= x / (a + n);
        sum += term;
    }
    return sum * exp(gamma_factor(a, x));
}

static double away_from_zero(double x)
{
    return fabs(x) < DBL_MIN ? DBL_MIN : x;
}

static double gamma_fraction(double a, double x)
{
    double b = x + 1 - a, c = 1 / DBL_MIN, d = 1 / away_from_zero(b), f = d;
    for (int n = 1; n < STEPS_MAX; n++) {
        double an = -n * (n - a);
        b += 2;
        d = 1 / away_from_zero(an * d + b);
        c = away_from_zero(b + an / c);
        f *= c * d;
        if (fabs(c * d - 1) < DBL_EPSILON)
            break;
    }
    return f * exp(gamma_factor(a, x));
}

double stats_gamma_p(double a, double x)
{
    if (x <= 0)
        return 0;
    return x < a + 1 ? gamma_series(a, x) : 1 - gamma_fraction(a, x);
}

double stats_gamma_q(double a, double x)
{
    if (x <= 0)
        return 1;
    return x < a + 1 ? 1 - gamma_series(a, x) : gamma_fraction(a, x);
}

// The fraction of DLMF 8.17.22, which converges quickly for x < (a + 1) / (a + b + 2).
static double beta_fraction(double a, double b, double x)
{
    double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), f = d;
    for (int m = 1; m < STEPS_MAX; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 / away_from_zero(1 + even * d);
        c = away_from_zero(1 + even / c);
        f *= c * d;
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / away_from_zero(1 + odd * d);
        c = away_from_zero(1 + odd / c);
        f *= c * d;
        if (fabs(c * d - 1) < DBL_EPSILON)
            break;
    }
    return f;
}

double stats_log_beta_inc(double a, double b, double x)
{
    if (x <= 0)
        return -HUGE_VAL;
    if (x >= 1)
        return 0;
    double factor = a * log(x) + b * log1p(-x) - stats_log_beta(a, b);
    if (x < (a + 1) / (a + b + 2))
        return factor + log(beta_fraction(a, b, x)) - log(a);
    return log1p(-exp(factor + log(beta_fraction(b, a, 1 - x)) - log(b)));
}

double stats_beta_inc(double a, double b, double x)
{
    return exp(stats_log_beta_inc(a, b, x));
}

double stats_chi2_tail(double x, double df)
{
    return stats_gamma_q(df / 2, x / 2);
}

struct chi2_target {
    double p, df;
};

static double chi2_above(double x, void *arg)
{
    const struct chi2_target *t = arg;
    return stats_chi2_tail(x, t->df) - t->p;
}

double stats_chi2_critical(double p, double df)
{
    ASSERT(p > 0 && p < 1 && df >= 1);
    struct chi2_target t = {p, df};
    double hi = df + 10;
    while (chi2_above(hi, &t) > 0)
        hi *= 2;
    return stats_bisect(chi2_above, &t, 0, hi);
}

double stats_lambert_lower(double x)
{
    ASSERT(x < 0 && x >= -exp(-1));
    double from_branch = 2 * (1 + M_E * x), l = log(-x);
    // Near the branch point the square-root series, elsewhere the logarithmic one.
    double w = from_branch < 0.5 ? -1 - sqrt(fmax(0, from_branch)) * (1 + sqrt(fmax(0, from_branch)) / 3)
                                 : l - log(-l) + log(-l) / l;
    for (int i = 0; i < 50 && w < -1; i++) {
        // Newton on ln(-w) + w = ln(-x), which stays accurate when e^w underflows.
        double step = (log(-w) + w - l) / (1 / w + 1);
        w -= step;
        if (fabs(step) <= DBL_EPSILON * fabs(w))
            break;
    }
    return w;
}

double stats_zeta(double s)
{
    ASSERT(s > 1);
    enum { HEAD = 32 };
    double sum = 0;
    for (int n = 1; n < HEAD; n++)
        sum += pow(n, -s);
    // Euler and Maclaurin for the rest.
    double f = pow(HEAD, -s);
    return sum + f * HEAD / (s - 1) + f / 2 + s * f / (12 * HEAD) -
           s * (s + 1) * (s + 2) * f / (720 * pow(HEAD, 3)) +
           s * (s + 1) * (s + 2) * (s + 3) * (s + 4) * f / (30240 * pow(HEAD, 5));
}

double stats_log_mean_exp(const double *x, size_t n)
{
    ASSERT(n > 0);
    double top = x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        top = fmax(top, x[i]);
    if (isinf(top))
        return top;
    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] - top);
    return top + log(sum / (double)n);
}

double stats_bisect(double (*f)(double x, void *arg), void *arg, double lo, double hi)
{
    bool rising = f(lo, arg) < 0;
    for (int i = 0; i < 200; i++) {
        double mid = lo + (hi - lo) / 2;
        if (mid <= lo || mid >= hi)
            break;
        if ((f(mid, arg) < 0) == rising)
            lo = mid;
        else
            hi = mid;
    }
    return lo + (hi - lo) / 2;
}
