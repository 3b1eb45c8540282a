// SPDX-License-Identifier: Apache-2.0
// How good predictions are that have no labels, from their scores alone: where of those with a score of 0.8
// eight in ten are true, the number that is right is known on average. The idea is NannyML's CBPE. It holds
// as long as a score means what it did: inputs may shift, what follows from them may not. Pure.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    ESTIMATE_BINS = 200, // by logit from -12 to 12; a score of 0.5 and more is in the upper half
    ESTIMATE_LABELS_MIN = 200,
};

// A score: the probability of true, or of the class that was predicted.
struct score_counts {
    uint32_t predicted[ESTIMATE_BINS];
    uint32_t labelled[2][ESTIMATE_BINS]; // [it was true, or right]
};

unsigned estimate_bin(double score); // 0 <= score <= 1
void score_counts_merge(struct score_counts *into, const struct score_counts *from);

// What scores mean: as they say, or with enough labels as these say: the isotonic regression of the labels,
// to which each bin has one besides that says what the score does.
struct score_map {
    double p[ESTIMATE_BINS]; // ascending
    double variance[ESTIMATE_BINS];
    uint8_t block[ESTIMATE_BINS]; // bins of one are wrong together
    uint64_t labels;              // that it was learned from; 0: scores are taken at their word
};
void score_map_learn(struct score_map *m, const struct score_counts *c); // c NULL: none

// NaN where something is not defined; all but accuracy are of the class true alone.
struct estimate {
    uint64_t rows;
    double accuracy, low, high; // low, high: what labels would say lies between in 95 %
    double precision, recall, f1, auc;
};
// is_binary: scores are of true, and 0.5 and more is predicted to be true; else of the class predicted.
void estimate_of(const struct score_counts *c, const struct score_map *m, bool is_binary,
                 struct estimate *ret);
