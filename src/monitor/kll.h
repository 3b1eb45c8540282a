// SPDX-License-Identifier: Apache-2.0
// A quantile sketch of a stream whose range is not known (Karnin, Lang and Liberty, "Optimal Quantile
// Approximation in Streams"): the rank of any value is right to about KLL_RANK_ERROR / k of all values with
// 99 % confidence, and exact while there are at most k. Grows with the logarithm of the stream, up
// to about 6 k numbers.
#pragma once

#include "stats/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KLL_LEVELS = 48 };
#define KLL_RANK_ERROR 3.4 // 1.65 % at k = 200, for all ranks at once

struct kll {
    uint32_t k;
    uint64_t n;
    uint32_t n_levels;
    uint32_t n_held, room; // values in all levels, and how many there may be before something is compacted
    uint32_t capacities[KLL_LEVELS]; // (n_levels) of each; lower ones hold fewer
    bool failed;                     // there was no memory; what was added since is lost
    struct stats_random random;
    struct kll_level {
        double *items; // (n) each stands for 2^level values; sorted above level 0
        uint32_t n, cap;
    } levels[KLL_LEVELS];
};

void kll_init(struct kll *s, uint32_t k, uint64_t seed); // k >= 8; allocates nothing
void kll_done(struct kll *s);
void kll_add(struct kll *s, double value); // no NaN

// The whole sketch in ascending order: values, and how many each stands for; the weights sum to n.
struct kll_point {
    double value;
    uint64_t weight;
};
// (*ret_size) points, to be freed by the caller; NULL without memory, or when something was lost for want of
// it.
struct kll_point *kll_sorted(const struct kll *s, size_t *ret_size);
// The value of rank q n, 0 <= q <= 1; size >= 1.
double kll_quantile(const struct kll_point *points, size_t size, double q);
// The levels were filled from elsewhere.
void kll_restored(struct kll *s);
size_t kll_bytes(const struct kll *s); // of memory
