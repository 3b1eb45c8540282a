// SPDX-License-Identifier: Apache-2.0
// Values of tensors whose input has a rule. Private to src/api.
#pragma once

#include "api/tensor_read.h"

// What is not a plain number, as it is read: of kind k, of a float or an integer input with a rule. *v is
// what the model gets.
int ruled_value(struct tensor_read *r, enum json_kind k, double *v, struct err *e) ERR_CHECKED;
// A text of an input of texts.
int ruled_string(struct tensor_read *r, struct str text, struct err *e) ERR_CHECKED;
// All numbers of the tensor that r has read. On an error *ret_at is the place of the element.
int ruled_tensor(struct tensor_read *r, const struct tensor *t, uint64_t *ret_at, struct err *e) ERR_CHECKED;
