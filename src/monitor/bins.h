// SPDX-License-Identifier: Apache-2.0
// Bins of a numeric feature, frozen from a reference: each holds about as many of its values. Values beyond
// the outermost edges fall into the outermost bins.
#pragma once

#include <stddef.h>
#include <stdint.h>

// From the reference in ascending order (n >= 1): at most n_bins bins, fewer where values repeat. Writes the
// edges, one more than bins, ascending, the first and last being the least and the greatest value; returns
// the number of bins, 0 when all values are the same.
size_t bins_from_sorted(const double *values, size_t n, size_t n_bins, double *ret_edges);
// The bin of a value that is no NaN: bin i holds edges[i] <= value < edges[i + 1].
size_t bins_find(const double *edges, size_t n_bins, double value);
