// SPDX-License-Identifier: Apache-2.0
// Single values and rows inside a tensor's memory. Private to src/admission.
#pragma once

#include "tensor/tensor.h"

#include <stdbool.h>

bool cells_are_floats(enum dtype t); // FP16, FP32, FP64
// The value of such a type at p, as a double: exact.
double cells_float(enum dtype t, const char *p);
// Where row `row` of a tensor lies whose first size is n > row.
struct str cells_row(const struct tensor *t, uint32_t n, uint32_t row);
