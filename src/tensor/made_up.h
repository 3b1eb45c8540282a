// SPDX-License-Identifier: Apache-2.0
// Made-up values for the inputs of a model that nobody has given any for: to find out whether rows are
// independent, and to try a model out when it is admitted. The same every time.
#pragma once

#include "base/buf.h"
#include "tensor/interface.h"

// What a model may want to be asked with: sizes of dimensions that are free, small integers, because they may
// be indices, and not zero, because they may be divisors, unless nothing else is taken.
struct made_up {
    int64_t free_size;
    unsigned int_from, n_ints; // integers from int_from to int_from + n_ints - 1
};

// The i-th way to try, the likeliest first; false when there are no more.
bool made_up_way(unsigned i, struct made_up *ret);
// Makes *ret, an input with the rows rows[0..n): its first size is n unless the model fixes it. Row numbers
// choose the values, NULL is 0, 1 … . `input` tells the inputs of a model apart, `seed` one set of rows from
// another. The memory is cleared first and holds the values; memory->failed when they did not fit.
void made_up_input(const struct made_up *m, const struct tensor_spec *spec, uint32_t input, uint64_t seed,
                   const uint32_t *rows, uint32_t n, struct buf *memory, struct tensor *ret);
