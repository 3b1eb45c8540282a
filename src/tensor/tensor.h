// SPDX-License-Identifier: Apache-2.0
// A tensor of any datatype and shape, as a view of memory that somebody else owns. The memory is row-major
// and little-endian, the layout of the Open Inference Protocol's binary form: BOOL one byte 0 or 1, BYTES
// elements a u32 length and then the bytes, one after another.
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "tensor/dtype.h"

#include <stddef.h>
#include <stdint.h>

enum {
    TENSOR_DIMS_MAX = 8,
    TENSORS_MAX = 64, // inputs, or outputs, of one model: a set of them fits a u64
    TENSOR_ALIGN = 64,
};

struct tensor {
    struct str name; // may be empty where the place says which tensor it is
    enum dtype dtype;
    uint32_t n_dims;
    int64_t shape[TENSOR_DIMS_MAX]; // no negative sizes; 0 is allowed
    const void *data;               // TENSOR_ALIGN-aligned
    size_t bytes;
};

// Product of the sizes; -1 when one is negative or the product passes INT64_MAX. A scalar has 1.
int64_t tensor_n_elements(const int64_t *shape, uint32_t n_dims);
// Whether shape × datatype is exactly `bytes`, for BYTES by walking its lengths, and BOOL only holds 0 and 1.
// Reads each byte at most once, so that memory that another process may change cannot pass it and then
// differ in size. ERR_WRONG_COUNT, ERR_OUT_OF_RANGE name the tensor.
int tensor_check(const struct tensor *t, struct err *e) ERR_CHECKED;
