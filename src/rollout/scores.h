// SPDX-License-Identifier: Apache-2.0
// Scores as events. Quantiles of what the stable version answers first cut the numbers into ranges; from then
// on a request is an event of the range that its score lies in. Of two versions whose scores are spread alike
// each range gets the same share. Where the cuts are costs no validity, because they are made before what is
// counted by them.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    SCORE_RANGES = 6,       // 5, 20, 25, 25, 20 and 5 % of the stable version's scores
    SCORE_SAMPLE = 200,     // scores that the cuts are made of,
    SCORE_SAMPLE_MAX = 512, // and at most
};

struct score_gate {
    uint32_t n_cuts;               // 0: not made yet
    double cuts[SCORE_RANGES - 1]; // ascending; a cut itself lies in the range below it
};

// sample: n scores of the stable version, finite; they are sorted. False while there are fewer than
// SCORE_SAMPLE. Fewer cuts than could be where many scores are equal, but at least one.
bool scores_freeze(double *sample, uint32_t n, struct score_gate *ret);
// The range of a finite score: 0 … n_cuts.
uint32_t scores_range(const struct score_gate *g, double score);
// The score of a row of values: the value itself, or of several the index of the greatest. NaN: none.
double scores_of_row(const double *values, uint32_t n);
