// SPDX-License-Identifier: Apache-2.0
// Datatypes of tensors, with the names of the Open Inference Protocol.
#pragma once

#include "base/str.h"

#include <stddef.h>

enum dtype {
    DTYPE_NONE,
    DTYPE_BOOL,
    DTYPE_UINT8,
    DTYPE_UINT16,
    DTYPE_UINT32,
    DTYPE_UINT64,
    DTYPE_INT8,
    DTYPE_INT16,
    DTYPE_INT32,
    DTYPE_INT64,
    DTYPE_FP16,
    DTYPE_FP32,
    DTYPE_FP64,
    DTYPE_BYTES
};

const char *dtype_name(enum dtype t);   // "FP32"
enum dtype dtype_find(struct str name); // DTYPE_NONE when unknown
size_t dtype_size(enum dtype t);        // bytes of one element; 0 for BYTES and NONE
