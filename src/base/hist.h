// SPDX-License-Identifier: Apache-2.0
// Log-linear histograms of durations: 32 sub-buckets to each power of two, so a quantile is off by at
// most 1.6 %. At some round limits, the edges, the count is exact. Plain counters without pointers: they may
// lie in shared memory, and histograms add.
#pragma once

#include <stdint.h>

enum {
    HIST_SUB_BITS = 5,
    HIST_BUCKETS = (41 - HIST_SUB_BITS) << HIST_SUB_BITS, // 0 ns … 2^40 ns (18 minutes)
    HIST_EDGES = 22,
};

struct hist {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
    uint64_t buckets[HIST_BUCKETS];
    uint64_t at_edge[HIST_EDGES]; // of the bucket that edge i lies in: values at or below the edge
};

void hist_add(struct hist *h, uint64_t dur_ns);
void hist_add_n(struct hist *h, uint64_t dur_ns, uint64_t n);
// Values of which only the bucket is known (its index in buckets), taken to be its largest.
void hist_add_bucket(struct hist *h, unsigned bucket, uint64_t n);
void hist_merge(struct hist *into, const struct hist *from);
// The q-quantile in ns, 0 <= q <= 1, as the upper edge of its bucket and never above the maximum; 0 when
// empty.
uint64_t hist_quantile(const struct hist *h, double q);
// Edge i in ns, rising: OpenTelemetry's list for HTTP from 5 ms to 10 s, and 10 µs to 2.5 ms below it.
uint64_t hist_edge(unsigned i);
// How many values are at or below edge i: exact.
uint64_t hist_count_at_edge(const struct hist *h, unsigned i);
