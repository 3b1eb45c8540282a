// SPDX-License-Identifier: Apache-2.0
// How far the values of a window are from those of a reference, from counts in the same bins: effect sizes,
// what they come to by chance alone, and when to alert. Pure. Bins come from the reference only (bins.h).
// Counts: ref of the reference, cur of the window, n_bins each; both sums above zero.
#pragma once

#include "stats/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DRIFT_BINS_MAX = 1024, DRIFT_DRAWS_MAX = 1000 };

// Shares with half a count added to every bin, so that an empty one does not decide all.
void drift_shares(const uint64_t *counts, size_t n_bins, double *ret);

// Distances between shares p and q that each sum to one; 0 ln 0 is 0.
double drift_psi(const double *p, const double *q, size_t n_bins); // population stability index; shares > 0
double drift_js(const double *p, const double *q, size_t n_bins);  // Jensen-Shannon distance, base 2: 0 … 1
double drift_hellinger(const double *p, const double *q, size_t n_bins);
double drift_total_variation(const double *p, const double *q, size_t n_bins);
double drift_largest(const double *p, const double *q, size_t n_bins); // L-infinity

// What PSI and JS distance exceed with probability alpha when nothing changed, n and m values.
double drift_psi_noise(size_t n_bins, double n, double m, double alpha);
double drift_js_noise(size_t n_bins, double n, double m, double alpha);

// Two-sample chi-square; bins that are empty in both do not count. The p-value; 1 with fewer than two bins.
double drift_chi2(const uint64_t *ref, const uint64_t *cur, size_t n_bins, double *ret_statistic);
// Kolmogorov and Smirnov's distance at the edges of the bins, and the asymptotic p-value of a distance.
double drift_ks(const uint64_t *ref, const uint64_t *cur, size_t n_bins);
double drift_ks_p(double distance, double n, double m);

// Wasserstein distance in the unit of the values, with values spread evenly within each bin; edges: n_bins +
// 1, ascending, the outer two wide enough for both samples.
double drift_w1(const uint64_t *ref, const uint64_t *cur, const double *edges, size_t n_bins);
// What that exceeds with probability alpha by chance: the pooled bins drawn again n_draws times (at most
// 1,000).
double drift_w1_noise(const uint64_t *ref, const uint64_t *cur, const double *edges, size_t n_bins,
                      double alpha, uint32_t n_draws, struct stats_random *random);
// The same from normal draws with the covariance of such counts, a hundredth of the cost: for windows of a
// hundred values and more. n_draws at most 1,000.
double drift_w1_floor(const uint64_t *ref, const uint64_t *cur, const double *edges, size_t n_bins,
                      double alpha, uint32_t n_draws, struct stats_random *random);
// Wasserstein distance of weighted points, x and y ascending; weights NULL: all one. Exact, for small
// samples.
double drift_w1_points(const double *x, const double *x_weights, size_t n, const double *y,
                       const double *y_weights, size_t m);

// z of the difference of two shares, k of n and l of m: missing values, range, unseen categories, types. 0
// when both are none or all.
double drift_share_z(double k, double n, double l, double m);

// Alerts: in two of the last three windows the effect was at least the threshold and more than chance gives.
struct drift_alert {
    uint8_t recent; // a bit for each of the last three windows, the newest lowest
    bool raised;
};

// Adds a window; whether the alert is raised now.
bool drift_alert_next(struct drift_alert *a, double effect, double threshold, double noise);
