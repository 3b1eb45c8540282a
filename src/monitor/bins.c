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
    size_t lo = 0, hi = n_bins - 1; // the bin is in lo … hi
    while (lo < hi) {
        size_t mid = (lo + hi + 1) / 2;
        if (value >= edges[mid])
            lo = mid;
        else
            hi = mid - 1;
    }
    return lo;
}
