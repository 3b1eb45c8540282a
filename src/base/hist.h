// SPDX-License-Identifier: Apache-2.0
// Log-linear histograms of durations: 32 sub-buckets to each power of two, so a quantile is off by at
// most 1.6 %. At some round limits, the edges, and at the limits of Prometheus' native histograms, the
// bounds, the count is exact. Plain counters without pointers: they may lie in shared memory, and histograms
// add.
#pragma once

#include <stdint.h>

enum {
    HIST_SUB_BITS = 5,
    HIST_BUCKETS = (41 - HIST_SUB_BITS) << HIST_SUB_BITS, // 0 ns … 2^40 ns (18 minutes)
    HIST_EDGES = 22,
    // Bound i is 2^(i / 8) seconds. Those below HIST_BOUND_FIRST lie where each value has a bucket of its
    // own.
    HIST_BOUND_FIRST = -199,
    HIST_BOUND_LAST = 81,
    HIST_BOUNDS = HIST_BOUND_LAST - HIST_BOUND_FIRST + 1,
    HIST_NATIVE_SCHEMA = 3,   // eight buckets to each power of two
    HIST_NATIVE_FIRST = -239, // the bucket of 1 ns
    HIST_NATIVE_BUCKETS = HIST_BOUND_LAST + 2 - HIST_NATIVE_FIRST,
    HIST_LAYOUT = 2, // raised with each change of struct hist
};

struct hist {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
    uint64_t buckets[HIST_BUCKETS];
    uint64_t at_edge[HIST_EDGES];   // of the bucket that edge i lies in: values at or below the edge
    uint64_t at_bound[HIST_BOUNDS]; // likewise of bound HIST_BOUND_FIRST + i
};

// The same values in the buckets of Prometheus' schema 3: bucket i holds those above bound i - 1 and at most
// bound i.
struct hist_native {
    uint64_t zero;                   // values of 0 ns
    uint64_t n[HIST_NATIVE_BUCKETS]; // of bucket HIST_NATIVE_FIRST + i; the last: all above HIST_BOUND_LAST
};

void hist_add(struct hist *h, uint64_t dur_ns);
void hist_add_n(struct hist *h, uint64_t dur_ns, uint64_t n);
// Values of which only the bucket is known (its index in buckets), taken to be its largest.
void hist_add_bucket(struct hist *h, unsigned bucket, uint64_t n);
// `from` may be counting meanwhile in another process: what is added agrees in itself, count and buckets.
void hist_merge(struct hist *into, const struct hist *from);
// The q-quantile in ns, 0 <= q <= 1, as the upper edge of its bucket and never above the maximum; 0 when
// empty.
uint64_t hist_quantile(const struct hist *h, double q);
// Edge i in ns, rising: OpenTelemetry's list for HTTP from 5 ms to 10 s, and 10 µs to 2.5 ms below it.
uint64_t hist_edge(unsigned i);
// How many values are at or below edge i: exact.
uint64_t hist_count_at_edge(const struct hist *h, unsigned i);
// Bound i in ns, rounded down, i at most HIST_BOUND_LAST: a whole number is at most the bound when it is at
// most this. From the first one that is above 0.
uint64_t hist_bound(int i);
// Exact; the buckets and zero together are h->count.
void hist_native(const struct hist *h, struct hist_native *ret);
