// SPDX-License-Identifier: Apache-2.0
// The quality of what was predicted in one hour by one version in one arm, and the sum of several such: how
// much was predicted, how much of it is labelled, and what the labels say. Pure.
//
// Which task a version has is not said by anybody: its outputs and labels tell. One number for a row is a
// probability as long as every label is 0 or 1 and every score is from 0 to 1, and else a regression.
#pragma once

#include "base/buf.h"
#include "monitor/estimate.h"
#include "monitor/join.h"
#include "monitor/ledger.h"
#include "monitor/quality.h"
#include "monitor/sketch.h"

enum {
    COHORT_CLASSES_MAX = 100,
    COHORT_DELAYS = DELAY_BINS,
    COHORT_RANKS = 5,
    COHORT_SIZES = SKETCH_BUCKETS + 1,
};

// Several classes: [label * n + predicted], both below n.
struct class_counts {
    uint32_t n;
    uint64_t labelled, hits;
    uint32_t *pairs; // NULL over COHORT_CLASSES_MAX classes: hits alone
    // Of those whose probabilities were still known when the label came
    struct class_ranks {
        uint64_t n, by_rank[COHORT_RANKS]; // [i]: the label was the (i + 1)th most likely class
        double log_loss, log_loss2;        // sum, and sum of squares
    } ranks;
    // Of those, but for what older builds counted. Calibration: of the class that was predicted.
    struct class_scores {
        uint64_t n, calibration_n[CALIBRATION_BINS], calibration_true[CALIBRATION_BINS];
        double calibration_score[CALIBRATION_BINS], brier, brier2;
    } scores;
};

struct cohort {
    int64_t hour;                 // of the prediction, since 1970
    uint64_t predicted, labelled; // rows
    uint64_t not_binary;          // of numbers: labels or scores that are no probabilities
    struct quality *binary;       // NULL before the first
    struct quality_errors errors;
    uint32_t *sizes; // (COHORT_SIZES) of errors: [0] zeros, then by sketch_bucket; NULL before the first
    struct class_counts classes;
    uint64_t delays[COHORT_DELAYS]; // of labels, by delay_bin
    uint64_t not_scores, of_class;  // predicted: numbers that are no probabilities; those of a class
    struct score_counts *scores;    // NULL before the first
};

void cohort_done(struct cohort *c);
// A row that was predicted.
void cohort_predict(struct cohort *c, const struct outcome *o);
// sign -1 takes away what was added. ERR_NOMEM: nothing was added.
int cohort_add(struct cohort *c, const struct outcome *o, double truth, uint64_t labelled_ns, int sign,
               struct err *e) ERR_CHECKED;
int cohort_merge(struct cohort *into, const struct cohort *from, struct err *e) ERR_CHECKED;
// The same without what it keeps of scores and labels by themselves: how many, of what age.
void cohort_unit(const struct cohort *c, struct ledger_unit *ret);
// How long the label took.
uint64_t cohort_delay_s(const struct outcome *o, uint64_t labelled_ns);
// Whether the label says right or wrong, and *ret_wrong which.
bool cohort_judges(const struct outcome *o, double truth, bool *ret_wrong);
// Its estimate without labels; false where there are no scores that are probabilities.
bool cohort_estimate(const struct cohort *c, const struct score_map *map, struct estimate *ret);
size_t cohort_bytes(const struct cohort *c); // besides itself
// Whether the outcome can be compared with such a label.
bool cohort_takes(const struct outcome *o, double truth);
// "binary", "regression", "classes", "none" (no labels).
const char *cohort_task(const struct cohort *c);
// The metrics of its task, NaN where one is not defined; low and high: of 95 %, NaN where there is none.
struct cohort_metric {
    const char *name;
    double value, low, high;
    uint64_t k, n; // of a share: what it is of; else 0
};
enum { COHORT_METRICS_MAX = 10 };
#define COHORT_METRIC_NAMES                                                                                  \
    "accuracy, precision, recall, specificity, f1, auc, log_loss, brier, calibration_error, mae, rmse, "     \
    "bias, median_error, error_p90, quantile_loss_10, quantile_loss_90, top_2_accuracy, top_3_accuracy, "    \
    "top_5_accuracy, macro_precision, macro_recall, macro_f1"
bool cohort_metric_is_known(struct str name); // one of them
unsigned cohort_metrics(const struct cohort *c, struct cohort_metric ret[COHORT_METRICS_MAX]);
// Appends members, without braces: "predicted", "labelled", "coverage", "task", "metrics":{…}, …
// detail: also confusion, calibration, delays, and intervals of shares that hold at every look. names
// (n_names): of classes; may be NULL.
void cohort_put(const struct cohort *c, bool detail, const struct str *names, uint32_t n_names,
                struct buf *out);
