// SPDX-License-Identifier: Apache-2.0
// The table of datatypes.
#include "tensor/dtype.h"

static const struct {
    const char *name;
    size_t size;
} TABLE[] = {
    [DTYPE_NONE] = {"NONE", 0},     [DTYPE_BOOL] = {"BOOL", 1},     [DTYPE_UINT8] = {"UINT8", 1},
    [DTYPE_UINT16] = {"UINT16", 2}, [DTYPE_UINT32] = {"UINT32", 4}, [DTYPE_UINT64] = {"UINT64", 8},
    [DTYPE_INT8] = {"INT8", 1},     [DTYPE_INT16] = {"INT16", 2},   [DTYPE_INT32] = {"INT32", 4},
    [DTYPE_INT64] = {"INT64", 8},   [DTYPE_FP16] = {"FP16", 2},     [DTYPE_FP32] = {"FP32", 4},
    [DTYPE_FP64] = {"FP64", 8},     [DTYPE_BYTES] = {"BYTES", 0},
};

const char *dtype_name(enum dtype t)
{
    return TABLE[t].name;
}

enum dtype dtype_find(struct str name)
{
    for (unsigned t = DTYPE_BOOL; t < sizeof TABLE / sizeof TABLE[0]; t++)
        if (str_eq(name, str_of(TABLE[t].name)))
            return (enum dtype)t;
    return DTYPE_NONE;
}

size_t dtype_size(enum dtype t)
{
    return TABLE[t].size;
}
