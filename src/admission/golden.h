// SPDX-License-Identifier: Apache-2.0
// Golden rows: inputs with the outputs that the training framework gave for them, which a version must give
// again, within a tolerance, before it serves and at each later load.
//   {"inputs": rows, "outputs": rows, "tolerance": 1e-5}
// inputs as in a V1 request, by the names and categories of the version's signature (docs/api.md): rows as
// arrays or as objects by name, or whole columns and tensors by name. outputs as in the V1 answer: a value or
// a list for each row, of a model with several outputs an object by output name, of which some may be left
// out; or an object with all rows of each output. tolerance is a number (absolute) or
// {"absolute":…,"relative":…}.
#pragma once

#include "admission/subject.h"

struct golden_tolerance {
    double absolute, relative; // a difference may be absolute + relative × |expected|
};

// The value that is furthest off, compared to what it may be off by.
struct golden_worst {
    bool is_known, is_beyond;
    uint32_t row;
    char output[160];           // "probability[2]"
    char expected[64], got[64]; // JSON
    double difference;          // infinite where it cannot be said
    double excess;              // difference / what is allowed
    struct golden_tolerance tolerance;
};

struct golden;

// Reads a file for a model: inputs and outputs are decoded and checked against what it takes and gives.
// Errors carry the JSON path: those of predict_decode_fn and tensors_decode_fn; ERR_INVALID for a field that
// is missing; ERR_WRONG_COUNT, ERR_WRONG_TYPE, ERR_UNKNOWN_OUTPUT in outputs.
int golden_open(struct str json, const struct subject *s, struct golden **ret, struct err *e) ERR_CHECKED;
void golden_close(struct golden *g); // NULL is fine
const struct examples *golden_inputs(const struct golden *g);
uint32_t golden_n_rows(const struct golden *g);

// Holds the results of rows [first, first + n) against what is expected of them, or all as a whole when the
// model has no rows: first 0 and n 0 then. *w is kept where it is worse. ERR_WRONG_COUNT, ERR_WRONG_TYPE with
// the path: what is expected does not have the shape of what came.
int golden_hold(const struct golden *g, const struct subject *s, uint32_t first, uint32_t n,
                struct golden_worst *w, struct err *e) ERR_CHECKED;

// What is taken where a file states no tolerance: rounding, of other kernels and of sums in another order.
struct golden_tolerance golden_default(enum dtype t);
