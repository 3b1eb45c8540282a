// SPDX-License-Identifier: Apache-2.0
// Single values of a tensor from JSON. Private to tensor_read.
#pragma once

#include "api/tensor_read.h"

// Sets low and high of r from both datatypes.
void tensor_value_range(struct tensor_read *r);
// The next plain numbers of a list, at most n. Returns how many; 0 says nothing: use tensor_value_one.
size_t tensor_value_run(struct tensor_read *r, uint64_t n);
// The value that starts here.
int tensor_value_one(struct tensor_read *r, struct err *e) ERR_CHECKED;
