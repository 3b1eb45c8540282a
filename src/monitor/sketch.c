// SPDX-License-Identifier: Apache-2.0
// The logarithm finds the bucket; at an edge it may round to the neighbour, which is 1 part in 10^15 of the
// values.
#include "monitor/sketch.h"

#include <math.h>

enum { PER_DOUBLING = 1 << SKETCH_SCHEMA, LOWEST = SKETCH_EXP_MIN * PER_DOUBLING };

double sketch_base(int schema)
{
    return exp2(exp2(-schema));
}

// Of an absolute value; -1 for what counts as zero.
static int bucket_of(double magnitude)
{
    double at = ceil(log2(magnitude) * PER_DOUBLING) - 1 - LOWEST;
    if (at < 0)
        return -1;
    return at >= SKETCH_BUCKETS ? SKETCH_BUCKETS - 1 : (int)at;
}

void sketch_add(struct sketch *s, double value)
{
    if (!isfinite(value)) {
        s->not_finite++;
        return;
    }
    s->n++;
    s->sum += value;
    int bucket = value == 0 ? -1 : bucket_of(fabs(value));
    if (bucket < 0)
        s->zeros++;
    else if (value > 0)
        s->positive[bucket]++;
    else
        s->negative[bucket]++;
}

void sketch_merge(struct sketch *into, const struct sketch *from)
{
    into->n += from->n;
    into->zeros += from->zeros;
    into->not_finite += from->not_finite;
    into->sum += from->sum;
    for (int i = 0; i < SKETCH_BUCKETS; i++) {
        into->positive[i] += from->positive[i];
        into->negative[i] += from->negative[i];
    }
}

// The point of a bucket that is off by the same factor at both ends.
static double middle(int bucket)
{
    double upper = exp2((bucket + 1 + LOWEST) / (double)PER_DOUBLING), g = sketch_base(SKETCH_SCHEMA);
    return 2 * upper / (1 + g);
}

double sketch_quantile(const struct sketch *s, double q)
{
    uint64_t rank = (uint64_t)(q * (double)s->n), seen = 0;
    if (s->n == 0)
        return 0;
    if (rank >= s->n)
        rank = s->n - 1;
    for (int i = SKETCH_BUCKETS - 1; i >= 0; i--) {
        seen += s->negative[i];
        if (seen > rank)
            return -middle(i);
    }
    seen += s->zeros;
    if (seen > rank)
        return 0;
    for (int i = 0; i < SKETCH_BUCKETS; i++) {
        seen += s->positive[i];
        if (seen > rank)
            return middle(i);
    }
    return 0;
}

void sketch_downscale(const uint64_t *buckets, int schema, uint64_t *ret)
{
    int shift = SKETCH_SCHEMA - schema;
    for (int i = 0; i < SKETCH_BUCKETS >> shift; i++)
        ret[i] = 0;
    for (int i = 0; i < SKETCH_BUCKETS; i++)
        ret[i >> shift] += buckets[i];
}
