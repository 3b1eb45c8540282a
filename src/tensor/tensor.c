// SPDX-License-Identifier: Apache-2.0
// Sizes of tensors, and the check of one that came from elsewhere.
#include "tensor/tensor.h"

int64_t tensor_n_elements(const int64_t *shape, uint32_t n_dims)
{
    int64_t n = 1;
    bool overflow = false, empty = false;
    for (uint32_t i = 0; i < n_dims; i++) {
        if (shape[i] < 0)
            return -1;
        empty |= shape[i] == 0;
        overflow |= __builtin_mul_overflow(n, shape[i], &n);
    }
    return empty ? 0 : overflow ? -1 : n;
}

static int wrong_size(const struct tensor *t, int64_t n, struct err *e)
{
    return err_set(e, ERR_WRONG_COUNT, "tensor '" STR_FMT "': %zu bytes do not hold %lld values of %s",
                   STR_ARG(t->name), t->bytes, (long long)n, dtype_name(t->dtype));
}

// One load of each length: what is compared is what is added.
static int check_lengths(const struct tensor *t, int64_t n, struct err *e)
{
    const volatile uint8_t *p = t->data;
    size_t left = t->bytes;
    for (int64_t i = 0; i < n; i++) {
        if (left < 4)
            return wrong_size(t, n, e);
        uint32_t len = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        left -= 4;
        if (len > left)
            return wrong_size(t, n, e);
        p += 4 + (size_t)len;
        left -= len;
    }
    return left ? wrong_size(t, n, e) : 0;
}

static int check_bools(const struct tensor *t, struct err *e)
{
    const uint8_t *p = t->data;
    uint8_t all = 0;
    for (size_t i = 0; i < t->bytes; i++)
        all |= p[i];
    return all <= 1 ? 0
                    : err_set(e, ERR_OUT_OF_RANGE, "tensor '" STR_FMT "': a BOOL is neither 0 nor 1",
                              STR_ARG(t->name));
}

int tensor_check(const struct tensor *t, struct err *e)
{
    size_t bytes;
    if (t->dtype <= DTYPE_NONE || t->dtype > DTYPE_BYTES)
        return err_set(e, ERR_OUT_OF_RANGE, "tensor '" STR_FMT "': %d is no datatype", STR_ARG(t->name),
                       (int)t->dtype);
    if (t->n_dims > TENSOR_DIMS_MAX)
        return err_set(e, ERR_WRONG_COUNT, "tensor '" STR_FMT "' has %u dimensions, at most %d are taken",
                       STR_ARG(t->name), t->n_dims, TENSOR_DIMS_MAX);
    int64_t n = tensor_n_elements(t->shape, t->n_dims);
    if (n < 0)
        return err_set(e, ERR_WRONG_COUNT, "tensor '" STR_FMT "' has an impossible shape", STR_ARG(t->name));
    if (t->dtype == DTYPE_BYTES)
        return check_lengths(t, n, e);
    if (__builtin_mul_overflow((uint64_t)n, dtype_size(t->dtype), &bytes) || bytes != t->bytes)
        return wrong_size(t, n, e);
    return t->dtype == DTYPE_BOOL ? check_bools(t, e) : 0;
}
