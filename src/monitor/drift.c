// SPDX-License-Identifier: Apache-2.0
// Plain sums over bins. Differences are of shares, never of counts, so that windows of any size compare.
#include "monitor/drift.h"

#include "base/assert.h"
#include "stats/special.h"

#include <math.h>
#include <stdlib.h>

static double sum_of(const uint64_t *counts, size_t n_bins)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n_bins; i++)
        sum += counts[i];
    return (double)sum;
}

void drift_shares(const uint64_t *counts, size_t n_bins, double *ret)
{
    double n = sum_of(counts, n_bins) + (double)n_bins / 2;
    for (size_t i = 0; i < n_bins; i++)
        ret[i] = ((double)counts[i] + 0.5) / n;
}

double drift_psi(const double *p, const double *q, size_t n_bins)
{
    double sum = 0;
    for (size_t i = 0; i < n_bins; i++)
        sum += (p[i] - q[i]) * log(p[i] / q[i]);
    return sum;
}

static double divergence_part(double share, double middle)
{
    return share > 0 ? share * log2(share / middle) : 0;
}

double drift_js(const double *p, const double *q, size_t n_bins)
{
    double sum = 0;
    for (size_t i = 0; i < n_bins; i++) {
        double middle = (p[i] + q[i]) / 2;
        sum += divergence_part(p[i], middle) + divergence_part(q[i], middle);
    }
    return sqrt(fmax(0, sum / 2));
}

double drift_hellinger(const double *p, const double *q, size_t n_bins)
{
    double sum = 0;
    for (size_t i = 0; i < n_bins; i++)
        sum += sqrt(p[i] * q[i]);
    return sqrt(fmax(0, 1 - sum));
}

double drift_total_variation(const double *p, const double *q, size_t n_bins)
{
    double sum = 0;
    for (size_t i = 0; i < n_bins; i++)
        sum += fabs(p[i] - q[i]);
    return sum / 2;
}

double drift_largest(const double *p, const double *q, size_t n_bins)
{
    double most = 0;
    for (size_t i = 0; i < n_bins; i++)
        most = fmax(most, fabs(p[i] - q[i]));
    return most;
}

double drift_psi_noise(size_t n_bins, double n, double m, double alpha)
{
    return stats_chi2_critical(alpha, (double)(n_bins - 1)) * (1 / n + 1 / m);
}

double drift_js_noise(size_t n_bins, double n, double m, double alpha)
{
    return sqrt(drift_psi_noise(n_bins, n, m, alpha) / (8 * M_LN2));
}

double drift_chi2(const uint64_t *ref, const uint64_t *cur, size_t n_bins, double *ret_statistic)
{
    double n = sum_of(ref, n_bins), m = sum_of(cur, n_bins), sum = 0;
    size_t filled = 0;
    for (size_t i = 0; i < n_bins; i++) {
        double both = (double)ref[i] + (double)cur[i], d = (double)cur[i] / m - (double)ref[i] / n;
        if (both == 0)
            continue;
        filled++;
        sum += d * d / (both / (n + m));
    }
    *ret_statistic = sum * n * m / (n + m);
    return filled < 2 ? 1 : stats_chi2_tail(*ret_statistic, (double)(filled - 1));
}

double drift_ks(const uint64_t *ref, const uint64_t *cur, size_t n_bins)
{
    double n = sum_of(ref, n_bins), m = sum_of(cur, n_bins), most = 0;
    uint64_t below_ref = 0, below_cur = 0;
    for (size_t i = 0; i < n_bins; i++) {
        below_ref += ref[i];
        below_cur += cur[i];
        most = fmax(most, fabs((double)below_ref / n - (double)below_cur / m));
    }
    return most;
}

double drift_ks_p(double distance, double n, double m)
{
    double l = sqrt(n * m / (n + m)) * distance, sum = 0;
    if (l < 0.3) // the series converges too slowly there; the value is 1 to five digits
        return 1;
    for (int k = 1; k <= 100; k++) {
        double term = exp(-2.0 * k * k * l * l);
        sum += k % 2 ? term : -term;
        if (term < 1e-17)
            break;
    }
    return fmin(1, fmax(0, 2 * sum));
}

// The integral of |a straight line| from a to b over a width.
static double area(double a, double b, double width)
{
    if (a * b >= 0)
        return width * fabs(a + b) / 2;
    return width * (a * a + b * b) / (2 * (fabs(a) + fabs(b)));
}

double drift_w1(const uint64_t *ref, const uint64_t *cur, const double *edges, size_t n_bins)
{
    double n = sum_of(ref, n_bins), m = sum_of(cur, n_bins), before = 0, sum = 0;
    uint64_t below_ref = 0, below_cur = 0;
    for (size_t i = 0; i < n_bins; i++) {
        below_ref += ref[i];
        below_cur += cur[i];
        double after = (double)below_ref / n - (double)below_cur / m;
        sum += area(before, after, edges[i + 1] - edges[i]);
        before = after;
    }
    return sum;
}

// Draws n values with the shares of the pooled bins.
static void draw(const double *pooled, size_t n_bins, uint64_t n, struct stats_random *random, uint64_t *ret)
{
    double left = 1;
    for (size_t i = 0; i < n_bins; i++) {
        double share = left > 0 ? fmin(1, pooled[i] / left) : 0;
        ret[i] = i + 1 == n_bins ? n : stats_random_binomial(random, n, share);
        n -= ret[i];
        left -= pooled[i];
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double exceeded_by(double *distances, uint32_t n, double alpha)
{
    qsort(distances, n, sizeof distances[0], ascending);
    uint32_t rank = (uint32_t)ceil((1 - alpha) * n);
    return distances[rank >= n ? n - 1 : rank];
}

double drift_w1_noise(const uint64_t *ref, const uint64_t *cur, const double *edges, size_t n_bins,
                      double alpha, uint32_t n_draws, struct stats_random *random)
{
    double pooled[DRIFT_BINS_MAX], distances[DRIFT_DRAWS_MAX];
    uint64_t a[DRIFT_BINS_MAX], b[DRIFT_BINS_MAX];
    double n = sum_of(ref, n_bins), m = sum_of(cur, n_bins);
    ASSERT(n_bins <= DRIFT_BINS_MAX && n_draws > 0 && n_draws <= DRIFT_DRAWS_MAX);
    for (size_t i = 0; i < n_bins; i++)
        pooled[i] = ((double)ref[i] + (double)cur[i]) / (n + m);
    for (uint32_t k = 0; k < n_draws; k++) {
        draw(pooled, n_bins, (uint64_t)n, random, a);
        draw(pooled, n_bins, (uint64_t)m, random, b);
        distances[k] = drift_w1(a, b, edges, n_bins);
    }
    return exceeded_by(distances, n_draws, alpha);
}

// One draw of the difference of two distribution functions, and the area below it.
static double bridge_area(const double *roots, const double *edges, size_t n_bins, double scale,
                          struct stats_random *random)
{
    double steps[DRIFT_BINS_MAX], mean = 0, before = 0, sum = 0;
    for (size_t i = 0; i < n_bins; i++) {
        steps[i] = stats_random_normal(random);
        mean += roots[i] * steps[i];
    }
    for (size_t i = 0; i < n_bins; i++) {
        double after = before + scale * roots[i] * (steps[i] - roots[i] * mean);
        sum += area(before, after, edges[i + 1] - edges[i]);
        before = after;
    }
    return sum;
}

double drift_w1_floor(const uint64_t *ref, const uint64_t *cur, const double *edges, size_t n_bins,
                      double alpha, uint32_t n_draws, struct stats_random *random)
{
    double roots[DRIFT_BINS_MAX], distances[DRIFT_DRAWS_MAX];
    double n = sum_of(ref, n_bins), m = sum_of(cur, n_bins), scale = sqrt(1 / n + 1 / m);
    ASSERT(n_bins <= DRIFT_BINS_MAX && n_draws > 0 && n_draws <= DRIFT_DRAWS_MAX);
    for (size_t i = 0; i < n_bins; i++)
        roots[i] = sqrt(((double)ref[i] + (double)cur[i]) / (n + m));
    for (uint32_t k = 0; k < n_draws; k++)
        distances[k] = bridge_area(roots, edges, n_bins, scale, random);
    return exceeded_by(distances, n_draws, alpha);
}

static double weight_sum(const double *weights, size_t n)
{
    double sum = weights ? 0 : (double)n;
    for (size_t i = 0; weights && i < n; i++)
        sum += weights[i];
    return sum;
}

double drift_w1_points(const double *x, const double *x_weights, size_t n, const double *y,
                       const double *y_weights, size_t m)
{
    double all_x = weight_sum(x_weights, n), all_y = weight_sum(y_weights, m);
    double below_x = 0, below_y = 0, sum = 0, at = 0;
    for (size_t i = 0, k = 0; i < n || k < m;) {
        bool take_x = k == m || (i < n && x[i] <= y[k]);
        double next = take_x ? x[i] : y[k];
        if (i + k > 0)
            sum += fabs(below_x / all_x - below_y / all_y) * (next - at);
        at = next;
        if (take_x)
            below_x += x_weights ? x_weights[i++] : (i++, 1);
        else
            below_y += y_weights ? y_weights[k++] : (k++, 1);
    }
    return sum;
}

double drift_share_z(double k, double n, double l, double m)
{
    double pooled = (k + l) / (n + m), variance = pooled * (1 - pooled) * (1 / n + 1 / m);
    return variance > 0 ? (l / m - k / n) / sqrt(variance) : 0;
}

bool drift_alert_next(struct drift_alert *a, double effect, double threshold, double noise)
{
    a->recent = (uint8_t)((a->recent << 1 | (effect >= threshold && effect > noise)) & 7);
    a->raised = __builtin_popcount(a->recent) >= 2;
    return a->raised;
}
