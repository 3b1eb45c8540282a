// SPDX-License-Identifier: Apache-2.0
// Log-linear histograms of durations: 32 sub-buckets to each power of two, so a quantile is off by at
// most 1.6 %. Plain counters without pointers: they may lie in shared memory, and histograms add.
#pragma once

#include <stdint.h>

enum {
    HIST_SUB_BITS = 5,
    HIST_BUCKETS = (41 - HIST_SUB_BITS) << HIST_SUB_BITS
}; // 0 ns … 2^40 ns (18 minutes)

struct hist {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
    uint64_t buckets[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t dur_ns);
void hist_add_n(struct hist *h, uint64_t dur_ns, uint64_t n);
void hist_merge(struct hist *into, const struct hist *from);
// The q-quantile in ns, 0 <= q <= 1, as the upper edge of its bucket and never above the maximum; 0 when
// empty.
uint64_t hist_quantile(const struct hist *h, double q);
// How many values lie in buckets wholly at or below limit_ns (for cumulative Prometheus buckets).
uint64_t hist_count_below(const struct hist *h, uint64_t limit_ns);
