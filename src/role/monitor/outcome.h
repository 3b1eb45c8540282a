// SPDX-License-Identifier: Apache-2.0
// What a record of the log says was predicted, row by row, in the form that labels are compared with; and
// what a label means to it.
#pragma once

#include "monitor/join.h"
#include "predlog/record.h"
#include "role/monitor/models.h"

struct feedback_token;

struct outcomes {
    struct outcome base; // what all rows have
    struct tensor t;
    uint32_t rows, width;
};

// False when the version has no output that can be judged: it must be numbers, one for a row, or the
// probabilities of classes.
bool outcomes_of(const struct version *v, const struct record *r, struct outcomes *ret);
// The same from a token, which has one that can.
void outcomes_of_token(const struct feedback_token *t, struct outcomes *ret);
// The row's; false when its values are no probabilities, or no number.
bool outcome_at(const struct outcomes *o, uint32_t row, struct outcome *ret);
// The label as a number or the index of a class, for cohort_add; NaN when it cannot be compared.
double outcome_truth(const struct version *v, const struct outcome *o, const struct label *label);
// The classes of the version, in the order of their probabilities; 0 without names.
uint32_t outcome_names(const struct version *v, const struct str **ret);
