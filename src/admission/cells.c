// SPDX-License-Identifier: Apache-2.0
// Looking into tensors.
#include "admission/cells.h"

#include "tensor/half.h"

#include <string.h>

bool cells_are_floats(enum dtype t)
{
    return t == DTYPE_FP16 || t == DTYPE_FP32 || t == DTYPE_FP64;
}

double cells_float(enum dtype t, const char *p)
{
    double fp64;
    float fp32;
    uint16_t fp16;
    if (t == DTYPE_FP64) {
        memcpy(&fp64, p, sizeof fp64);
        return fp64;
    }
    if (t == DTYPE_FP32) {
        memcpy(&fp32, p, sizeof fp32);
        return (double)fp32;
    }
    memcpy(&fp16, p, sizeof fp16);
    return half_to_double(fp16);
}

// Texts are walked: where one begins is known from those before it.
struct str cells_row(const struct tensor *t, uint32_t n, uint32_t row)
{
    const char *p = t->data;
    if (t->dtype != DTYPE_BYTES)
        return (struct str){p + t->bytes / n * row, t->bytes / n};
    int64_t each = tensor_n_elements(t->shape + 1, t->n_dims - 1);
    size_t at = 0, start = 0;
    for (int64_t i = 0; i < each * (row + 1); i++) {
        uint32_t length;
        if (i == each * row)
            start = at;
        memcpy(&length, p + at, sizeof length);
        at += sizeof length + length;
    }
    return (struct str){p + start, each ? at - start : 0};
}
