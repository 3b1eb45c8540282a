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

// 10^9 * 2^(i / 8) * 2^BOUND_SHIFT, rounded down: of i in its octave.
enum { BOUND_SHIFT = 11, BOUNDS_AN_OCTAVE = 1 << HIST_NATIVE_SCHEMA };
#define ROOT_0 2048000000000ull
#define ROOT_1 2233359836498ull
#define ROOT_2 2435496171525ull
#define ROOT_3 2655927407925ull
#define ROOT_4 2896309375740ull
#define ROOT_5 3158447770435ull
#define ROOT_6 3444311716879ull
#define ROOT_7 3756048560966ull
static const uint64_t ROOTS[BOUNDS_AN_OCTAVE] = {ROOT_0, ROOT_1, ROOT_2, ROOT_3,
                                                 ROOT_4, ROOT_5, ROOT_6, ROOT_7};

// X(index from 1, bound in ns) of bound 8 * q + j; no two lie in one bucket.
#define BOUND(X, q, j) X((q)*8 + (j)-HIST_BOUND_FIRST + 1, ROOT_##j >> (BOUND_SHIFT - (q)))
#define MOST_OF_OCTAVE(X, q)                                                                                 \
    BOUND(X, q, 1) BOUND(X, q, 2) BOUND(X, q, 3) BOUND(X, q, 4) BOUND(X, q, 5) BOUND(X, q, 6) BOUND(X, q, 7)
#define OCTAVE(X, q)     BOUND(X, q, 0) MOST_OF_OCTAVE(X, q)
#define OCTAVES_4(X, q)  OCTAVE(X, (q)) OCTAVE(X, (q) + 1) OCTAVE(X, (q) + 2) OCTAVE(X, (q) + 3)
#define OCTAVES_10(X, q) OCTAVES_4(X, (q)) OCTAVES_4(X, (q) + 4) OCTAVE(X, (q) + 8) OCTAVE(X, (q) + 9)
#define BOUNDS(X)                                                                                            \
    MOST_OF_OCTAVE(X, -25)                                                                                   \
    OCTAVES_4(X, -24) OCTAVES_10(X, -20) OCTAVES_10(X, -10) OCTAVES_10(X, 0) BOUND(X, 10, 0) BOUND(X, 10, 1)

#define BUCKET_OF_LARGE(v) ((v) >> 40 ? HIST_BUCKETS - 1 : BUCKET(v))
#define BOUND_VALUE(i, ns) [i] = (ns),
static const uint64_t BOUND_NS[HIST_BOUNDS + 1] = {BOUNDS(BOUND_VALUE)};
// The bound that lies in a bucket; 0: none.
#define BOUND_BUCKET(i, ns) [BUCKET_OF_LARGE(ns)] = (i),
static const uint16_t BOUND_IN[HIST_BUCKETS] = {BOUNDS(BOUND_BUCKET)};

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
    unsigned b = bucket_of(dur_ns), edge = EDGE_IN[b], bound = BOUND_IN[b];
    h->buckets[b] += n;
    if (edge && dur_ns <= EDGE_NS[edge])
        h->at_edge[edge - 1] += n;
    if (bound && dur_ns <= BOUND_NS[bound])
        h->at_bound[bound - 1] += n;
}

void hist_add_bucket(struct hist *h, unsigned bucket, uint64_t n)
{
    if (n)
        hist_add_n(h, upper_edge(bucket), n);
}

static uint64_t get(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

void hist_merge(struct hist *into, const struct hist *from)
{
    into->sum_ns += get(&from->sum_ns);
    if (get(&from->max_ns) > into->max_ns)
        into->max_ns = get(&from->max_ns);
    for (unsigned b = 0; b < HIST_BUCKETS; b++) {
        uint64_t n = get(&from->buckets[b]);
        unsigned edge = EDGE_IN[b], bound = BOUND_IN[b];
        if (n == 0)
            continue;
        into->buckets[b] += n;
        into->count += n;
        uint64_t at_edge = edge ? get(&from->at_edge[edge - 1]) : 0;
        uint64_t at_bound = bound ? get(&from->at_bound[bound - 1]) : 0;
        if (edge)
            into->at_edge[edge - 1] += at_edge < n ? at_edge : n;
        if (bound)
            into->at_bound[bound - 1] += at_bound < n ? at_bound : n;
    }
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

uint64_t hist_bound(int i)
{
    ASSERT(i >= 8 * (BOUND_SHIFT - 63) && i <= HIST_BOUND_LAST);
    unsigned up = (unsigned)(i - 8 * (BOUND_SHIFT - 63)), shift = 63 - up / BOUNDS_AN_OCTAVE;
    return ROOTS[up % BOUNDS_AN_OCTAVE] >> shift;
}

void hist_native(const struct hist *h, struct hist_native *ret)
{
    int i = HIST_NATIVE_FIRST;
    *ret = (struct hist_native){.zero = h->buckets[0]};
    for (unsigned b = 1; b < HIST_BUCKETS; b++) {
        uint64_t n = h->buckets[b], least = upper_edge(b - 1) + 1;
        while (hist_bound(i) < least)
            i++;
        uint64_t below = BOUND_IN[b] && h->at_bound[BOUND_IN[b] - 1] < n ? h->at_bound[BOUND_IN[b] - 1] : n;
        ret->n[i - HIST_NATIVE_FIRST] += below;
        ret->n[i + 1 - HIST_NATIVE_FIRST] += n - below;
    }
}
