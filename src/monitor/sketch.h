// SPDX-License-Identifier: Apache-2.0
// A log-linear histogram of positive and negative numbers, for scores and sizes: bucket i holds the absolute
// values in (g^(i-1), g^i] with g = 2^(1/32), so a quantile is off by at most 1.1 %. Histograms add; halving
// the resolution is exact, as Prometheus' native histograms have it (their schema is 5 here). Plain counters,
// no pointers.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    SKETCH_SCHEMA = 5,
    SKETCH_EXP_MIN = -30, // 2^-30: smaller absolute values count as zero
    SKETCH_EXP_MAX = 34,  // 2^34: greater ones count as that
    SKETCH_BUCKETS = (SKETCH_EXP_MAX - SKETCH_EXP_MIN) << SKETCH_SCHEMA,
};

struct sketch {
    uint64_t n, zeros, not_finite;
    double sum;
    uint64_t positive[SKETCH_BUCKETS], negative[SKETCH_BUCKETS];
};

double sketch_base(int schema); // of a schema: 2^(2^-schema)
void sketch_add(struct sketch *s, double value);
void sketch_merge(struct sketch *into, const struct sketch *from);
// The q-quantile of the finite values, 0 <= q <= 1; 0 when there are none.
double sketch_quantile(const struct sketch *s, double q);
// Counts of absolute values by the buckets of a coarser schema (0 … SKETCH_SCHEMA); ret has
// SKETCH_BUCKETS >> (SKETCH_SCHEMA - schema) elements.
void sketch_downscale(const uint64_t *buckets, int schema, uint64_t *ret);
