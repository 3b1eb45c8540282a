// SPDX-License-Identifier: Apache-2.0
// Made-up inputs for a model of tensors: what `slipway push` shows to try, and what `slipway bench` sends.
// Inputs are described as the Open Inference Protocol does: name, datatype, shape with -1 for any size.
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <yyjson.h>

// Whether a version's signature is one of tensors: its inputs have shapes. Models of rows name features.
bool sample_is_tensors(yyjson_val *signature);
// Whether every input takes rows along its first dimension, so that one row of each is an instance.
bool sample_takes_rows(yyjson_val *inputs);
// Values of one row of all inputs that must be there, sizes left open counted as 1; UINT64_MAX: too many.
uint64_t sample_size(yyjson_val *inputs);
// Appends one row as KServe V1 has instances: of one input its values, of several an object by name without
// the optional ones. `whole`: with the first dimension too, as under "inputs". Sizes left open become 1.
// state NULL: zeros and "a"; else random values drawn from it: integers of 0 and 1, which index any table.
void sample_put(yyjson_val *inputs, bool whole, uint64_t *state, struct buf *out);
