// SPDX-License-Identifier: Apache-2.0
// Bucket b holds values whose top HIST_SUB_BITS + 1 bits are the same; the first 2^HIST_SUB_BITS buckets are
// exact.
#include "base/hist.h"

#include "base/assert.h"

enum { SUB = 1 << HIST_SUB_BITS };

#define TOP_BIT(v) (63 - (unsigned)__builtin_clzll(v))
// Of a value that is SUB or more.
#define BUCKET(v)                                                                                            \
    (((TOP_BIT(v) - HIST_SUB_BITS + 1) << HIST_SUB_BITS) +                                                   \
     (unsigned)((v) >> (TOP_BIT(v) - HIST_SUB_BITS) & (SUB - 1)))

// X(index from 1, edge in ns); no two lie in one bucket.
#define EDGES(X)                                                                                             \
    X(1, 10000ull)                                                                                           \
    X(2, 25000ull)                                                                                           \
    X(3, 50000ull)                                                                                           \
    X(4, 100000ull)                                                                                          \
    X(5, 250000ull)                                                                                          \
    X(6, 500000ull)                                                                                          \
    X(7, 1000000ull)                                                                                         \
    X(8, 2500000ull)                                                                                         \
    X(9, 5000000ull)                                                                                         \
    X(10, 10000000ull)                                                                                       \
    X(11, 25000000ull)                                                                                       \
    X(12, 50000000ull)                                                                                       \
    X(13, 75000000ull)                                                                                       \
    X(14, 100000000ull)                                                                                      \
    X(15, 250000000ull)                                                                                      \
    X(16, 500000000ull)                                                                                      \
    X(17, 750000000ull)                                                                                      \
    X(18, 1000000000ull)                                                                                     \
    X(19, 2500000000ull)                                                                                     \
    X(20, 5000000000ull)                                                                                     \
    X(21, 7500000000ull)                                                                                     \
    X(22, 10000000000ull)

#define EDGE_VALUE(i, ns) [i] = (ns),
static const uint64_t EDGE_NS[HIST_EDGES + 1] = {EDGES(EDGE_VALUE)};
// The edge that lies in a bucket; 0: none.
#define EDGE_BUCKET(i, ns) [BUCKET(ns)] = (i),
static const uint8_t EDGE_IN[HIST_BUCKETS] = {EDGES(EDGE_BUCKET)};

static unsigned bucket_of(uint64_t v)
{
    if (v < SUB)
        return (unsigned)v;
    unsigned b = BUCKET(v);
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
    unsigned b = bucket_of(dur_ns), edge = EDGE_IN[b];
    h->buckets[b] += n;
    if (edge && dur_ns <= EDGE_NS[edge])
        h->at_edge[edge - 1] += n;
}

void hist_add_bucket(struct hist *h, unsigned bucket, uint64_t n)
{
    if (n)
        hist_add_n(h, upper_edge(bucket), n);
}

void hist_merge(struct hist *into, const struct hist *from)
{
    into->count += from->count;
    into->sum_ns += from->sum_ns;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
    for (unsigned b = 0; b < HIST_BUCKETS; b++)
        into->buckets[b] += from->buckets[b];
    for (unsigned i = 0; i < HIST_EDGES; i++)
        into->at_edge[i] += from->at_edge[i];
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

uint64_t hist_edge(unsigned i)
{
    ASSERT(i < HIST_EDGES);
    return EDGE_NS[i + 1];
}

uint64_t hist_count_at_edge(const struct hist *h, unsigned i)
{
    uint64_t seen = h->at_edge[i];
    for (unsigned b = 0, end = bucket_of(hist_edge(i)); b < end; b++)
        seen += h->buckets[b];
    return seen;
}
