// SPDX-License-Identifier: Apache-2.0
// The buckets of a log-linear histogram of absolute values: bucket i holds those in (g^(i-1), g^i] with
// g = 2^(1/32), so a quantile is off by at most 1.1 %.
#pragma once

enum {
    SKETCH_PER_DOUBLING = 32,
    SKETCH_EXP_MIN = -30, // 2^-30: smaller absolute values count as zero
    SKETCH_EXP_MAX = 34,  // 2^34: greater ones count as that
    SKETCH_BUCKETS = (SKETCH_EXP_MAX - SKETCH_EXP_MIN) * SKETCH_PER_DOUBLING,
};

// The bucket of an absolute value, -1 for what counts as zero; and the point that stands for a bucket, off by
// the same factor at both ends.
int sketch_bucket(double magnitude);
double sketch_middle(int bucket);
