// SPDX-License-Identifier: Apache-2.0
// Edges are values of the reference, so that a value that is frequent has a bin of its own.
#include "monitor/bins.h"

size_t bins_from_sorted(const double *values, size_t n, size_t n_bins, double *ret_edges)
{
    size_t used = 0;
    ret_edges[0] = values[0];
    for (size_t i = 1; i <= n_bins; i++) {
        double edge = i == n_bins ? values[n - 1] : values[i * n / n_bins];
        if (edge > ret_edges[used])
            ret_edges[++used] = edge;
    }
    return used;
}

size_t bins_find(const double *edges, size_t n_bins, double value)
{
    size_t lo = 0; // the bin is one of n from here on; chosen without a branch, which none could foresee
    for (size_t n = n_bins; n > 1;) {
        size_t half = n / 2;
        lo += value >= edges[lo + half] ? half : 0;
        n -= half;
    }
    return lo;
}
