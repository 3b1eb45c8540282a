// SPDX-License-Identifier: Apache-2.0
// The logarithm finds the bucket; at an edge it may round to the neighbour, which is 1 part in 10^15 of the
// values.
#include "monitor/sketch.h"

#include <math.h>

enum { LOWEST = SKETCH_EXP_MIN * SKETCH_PER_DOUBLING };

int sketch_bucket(double magnitude)
{
    if (magnitude == 0)
        return -1;
    double at = ceil(log2(magnitude) * SKETCH_PER_DOUBLING) - 1 - LOWEST;
    if (at < 0)
        return -1;
    return at >= SKETCH_BUCKETS ? SKETCH_BUCKETS - 1 : (int)at;
}

double sketch_middle(int bucket)
{
    double upper = exp2((bucket + 1 + LOWEST) / (double)SKETCH_PER_DOUBLING);
    return 2 * upper / (1 + exp2(1.0 / SKETCH_PER_DOUBLING));
}
