// SPDX-License-Identifier: Apache-2.0
// Results of a run, kept to hold those of later runs against: a row alone against the same row among others,
// and one run against the same once more. Private to src/admission.
#pragma once

#include "admission/subject.h"

struct together {
    uint32_t n_outputs, n_rows;
    struct tensor *results; // (n_outputs)
    struct buf *memory;     // (n_outputs)
    double *scale;          // (n_outputs) largest finite magnitude, of numbers with a point
    double worst;           // largest difference seen, relative to that
};

// Copies the results of the last run, of n_rows rows. ERR_NOMEM.
int together_keep(struct together *t, const struct subject *s, uint32_t n_rows, struct err *e) ERR_CHECKED;
void together_done(struct together *t); // zeroed is fine
// Whether the last run, of row `row` alone, gave the same: the same bits, or unless s->is_exact the same but
// for rounding.
bool together_has_row(struct together *t, const struct subject *s, uint32_t row);
// Whether the last run gave the same bits everywhere.
bool together_is(const struct together *t, const struct subject *s);
// The first output with a number that is not finite, or -1.
int together_not_finite(const struct subject *s);
