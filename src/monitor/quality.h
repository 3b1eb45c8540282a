// SPDX-License-Identifier: Apache-2.0
// How good predictions were, from labels that come later: counters to which a labelled prediction is added,
// or from which it is taken when its label is corrected, and the metrics of them. Counters add. Pure.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { QUALITY_BINS = 1000, CALIBRATION_BINS = 10 };

// Binary classification: scores are probabilities of the class true.
struct quality {
    uint64_t n[2][2];                   // [label][predicted]
    uint64_t by_score[2][QUALITY_BINS]; // [label], by logit from -12 to 12
    uint64_t calibration_n[CALIBRATION_BINS], calibration_true[CALIBRATION_BINS];
    double calibration_score[CALIBRATION_BINS];
    double log_loss, log_loss2, brier, brier2; // sums, and sums of squares
};

// Of QUALITY_BINS by logit; 0 <= score <= 1.
int quality_score_bin(double score);
int quality_calibration_bin(double score); // of CALIBRATION_BINS, of equal width
// sign +1 adds, -1 takes away what was added with the same arguments. score is clipped to [0, 1].
void quality_add(struct quality *q, double score, bool label, double threshold, int sign);
void quality_merge(struct quality *into, const struct quality *from);
uint64_t quality_count(const struct quality *q);

// NaN where a metric is not defined, as precision without positive predictions.
double quality_accuracy(const struct quality *q);
double quality_precision(const struct quality *q);
double quality_recall(const struct quality *q);
double quality_specificity(const struct quality *q);
double quality_f1(const struct quality *q);
double quality_log_loss(const struct quality *q);
double quality_brier(const struct quality *q);
double quality_calibration_error(const struct quality *q); // expected, over ten bins
// Area under the ROC curve; pairs within one of the 1,000 logit bins count half: off by 2e-5 as a rule.
double quality_auc(const struct quality *q);
// Its standard error after Hanley and McNeil, with n1 positives and n0 negatives.
double quality_auc_error(double auc, double n1, double n0);

// Regression: sums of the errors, prediction minus truth.
struct quality_errors {
    uint64_t n;
    double sum, absolute, squares;
    double over_squares; // of those above 0
};

void quality_error_add(struct quality_errors *e, double predicted, double truth, int sign);
void quality_error_merge(struct quality_errors *into, const struct quality_errors *from);
// Loss of a prediction that is meant to be the q-quantile (pinball loss), mean, and mean of its squares; NaN
// without any.
double quality_quantile_loss(const struct quality_errors *e, double q, double *ret_squares);
