// SPDX-License-Identifier: Apache-2.0
// Bucket b holds values whose top HIST_SUB_BITS + 1 bits are the same; the first 2^HIST_SUB_BITS buckets are
// exact.
#include "base/hist.h"

enum { SUB = 1 << HIST_SUB_BITS };

static unsigned bucket_of(uint64_t v)
{
    if (v < SUB)
        return (unsigned)v;
    unsigned top = 63 - (unsigned)__builtin_clzll(v);
    unsigned b =
        ((top - HIST_SUB_BITS + 1) << HIST_SUB_BITS) + (unsigned)(v >> (top - HIST_SUB_BITS) & (SUB - 1));
    return b < HIST_BUCKETS ? b : HIST_BUCKETS - 1;
}

static uint64_t upper_edge(unsigned b)
{
    if (b < SUB)
        return b;
    unsigned shift = (b >> HIST_SUB_BITS) - 1;
    return ((uint64_t)(SUB + (b & (SUB - 1)) + 1) << shift) - 1;
}

void hist_add(struct hist *h, uint64_t dur_ns)
{
    hist_add_n(h, dur_ns, 1);
}

void hist_add_n(struct hist *h, uint64_t dur_ns, uint64_t n)
{
    h->count += n;
    h->sum_ns += dur_ns * n;
    if (dur_ns > h->max_ns)
        h->max_ns = dur_ns;
    h->buckets[bucket_of(dur_ns)] += n;
}

void hist_merge(struct hist *into, const struct hist *from)
{
    into->count += from->count;
    into->sum_ns += from->sum_ns;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
    for (unsigned b = 0; b < HIST_BUCKETS; b++)
        into->buckets[b] += from->buckets[b];
}

uint64_t hist_quantile(const struct hist *h, double q)
{
    uint64_t rank = (uint64_t)(q * (double)h->count), seen = 0;
    if (rank >= h->count)
        return h->max_ns;
    for (unsigned b = 0; b < HIST_BUCKETS; b++) {
        seen += h->buckets[b];
        if (seen > rank) {
            uint64_t edge = upper_edge(b);
            return edge < h->max_ns ? edge : h->max_ns;
        }
    }
    return h->max_ns;
}

uint64_t hist_count_below(const struct hist *h, uint64_t limit_ns)
{
    uint64_t seen = 0;
    for (unsigned b = 0; b < HIST_BUCKETS && upper_edge(b) <= limit_ns; b++)
        seen += h->buckets[b];
    return seen;
}
