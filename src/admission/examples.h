// SPDX-License-Identifier: Apache-2.0
// Rows to try a model with: one tensor for each of its inputs, given or made up.
#pragma once

#include "base/buf.h"
#include "tensor/interface.h"

// Owned as a whole. A model of rows (trees) has one input that holds all features.
struct examples {
    uint32_t n_inputs;
    struct tensor *inputs; // (n_inputs) DTYPE_NONE where one is left out
    struct buf *memory;    // (n_inputs) of their values
    uint32_t n_rows;       // first size that all inputs have in common; 0: they have none
};

// Without inputs so far. ERR_NOMEM.
int examples_init(struct examples *x, uint32_t n_inputs, struct err *e) ERR_CHECKED;
void examples_done(struct examples *x); // NULL, zeroed and half-built are fine
// Copies n rows from `first` on, round and round when there are fewer; all there is where there are no rows.
// ERR_NOMEM.
int examples_take(const struct examples *from, uint32_t first, uint32_t n, struct examples *ret,
                  struct err *e) ERR_CHECKED;
// Sets n_rows from what the inputs' shapes have in common.
void examples_count(struct examples *x);

// What goes beyond what a model was trained with.
enum extreme {
    EXTREME_ZERO, // texts are empty
    EXTREME_LARGEST,
    EXTREME_LOWEST,
    EXTREME_TINY, // the smallest above zero
    EXTREME_INFINITE,
    EXTREME_MINUS_INFINITE,
    EXTREME_MISSING, // NaN
    EXTREMES
};
const char *extreme_name(enum extreme x);
// Sets all numbers with a point, and texts, to it. Integers and truth values stay as they are, because they
// may be indices or divisors. False when nothing was changed.
bool examples_set(struct examples *x, enum extreme to);
