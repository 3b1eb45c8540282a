// SPDX-License-Identifier: Apache-2.0
// Predictions and labels by prediction id and row, whichever comes first: a table of a fixed number of rows
// whose oldest go. Pure; all memory is asked for at once, and is used as rows come.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What was predicted for a row.
enum outcome_kind {
    OUTCOME_NUMBER, // one number: of a regression, or the probability of true
    OUTCOME_PAIR,   // the probability of the second of two classes
    OUTCOME_CLASS,  // one of n_classes; score is NaN where it has no probability
};

struct outcome {
    uint64_t deployment, wall_ns; // of the prediction
    double score;                 // OUTCOME_CLASS: of the class, once it is judged of the true one
    double squares;               // OUTCOME_CLASS, judged: sum of those of its probabilities; 0: not known
    int32_t class;
    uint32_t n_classes, version;
    uint8_t arm, kind;          // kind: enum outcome_kind
    uint16_t weight_bp, bucket; // of the arm that a rollout drew, and of the request's key; 0: not known
    uint8_t rank;     // OUTCOME_CLASS, judged: of the true class (odds.h), 1 is the best; 0: not known
    float confidence; // OUTCOME_CLASS: the greatest probability; 0: not known
};

enum label_kind { LABEL_NUMBER, LABEL_TEXT };

struct label {
    uint64_t wall_ns; // when it became known
    union {
        double number;
        uint64_t text; // label_text_hash
    };
    uint8_t kind;
};

uint64_t label_text_hash(const char *p, size_t n);
bool label_equals(const struct label *a, const struct label *b); // but for the time

enum join_state { JOIN_PREDICTED = 1, JOIN_WAITING, JOIN_JUDGED }; // WAITING: the label is here alone

struct join_row {
    uint8_t id[16];
    uint32_t row;
    uint32_t next; // in its chain
    uint8_t state;
    bool is_told;           // by a token, before its record came (role/feedback_token.h)
    uint8_t odds_size;      // bytes of each of its probabilities
    uint32_t odds;          // their place in odds.h; 0: none
    struct outcome outcome; // not while WAITING
    struct label label;     // not while PREDICTED
    double truth;           // JUDGED: the label as a number or the index of a class
};

struct join_counts {
    uint64_t rows, capacity, bytes; // bytes: at most
    uint64_t waiting, judged;
    uint64_t evicted_predictions, evicted_labels; // labels: WAITING ones that nothing came for
};

struct join;

// ERR_NOMEM.
int join_new(uint32_t capacity, struct join **ret, struct err *e) ERR_CHECKED;
void join_free(struct join *j); // NULL is fine
// NULL: not here, or not any more. What is returned is good until the next join_add. The first look after
// many join_add takes as long as they would have: 50 ms after half a million.
struct join_row *join_find(struct join *j, const uint8_t id[16], uint32_t row);
bool join_has_labels(const struct join *j); // a row that is WAITING or JUDGED
// The row that the next join_add makes go; NULL: none.
const struct join_row *join_oldest(const struct join *j);
// A zeroed row, which must not be there; the oldest goes where the table is full.
struct join_row *join_add(struct join *j, const uint8_t id[16], uint32_t row, enum join_state state);
void join_set_state(struct join *j, struct join_row *r, enum join_state state);
void join_count(const struct join *j, struct join_counts *ret);
