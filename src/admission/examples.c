// SPDX-License-Identifier: Apache-2.0
// Copying and changing rows of tensors.
#include "admission/examples.h"

#include "admission/cells.h"
#include "base/limits.h"
#include "tensor/half.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_TEXT_BYTES = 1000 };

int examples_init(struct examples *x, uint32_t n_inputs, struct err *e)
{
    *x = (struct examples){.n_inputs = n_inputs,
                           .inputs = calloc(n_inputs + 1, sizeof *x->inputs),
                           .memory = calloc(n_inputs + 1, sizeof *x->memory)};
    for (uint32_t i = 0; x->memory && i < n_inputs; i++)
        buf_init(&x->memory[i], LIMIT_ADMISSION_INPUT_BYTES);
    return x->inputs && x->memory ? 0 : err_set(e, ERR_NOMEM, "no memory for rows to try the model with");
}

void examples_done(struct examples *x)
{
    if (!x)
        return;
    for (uint32_t i = 0; x->memory && i < x->n_inputs; i++)
        buf_done(&x->memory[i]);
    free(x->memory);
    free(x->inputs);
    *x = (struct examples){0};
}

void examples_count(struct examples *x)
{
    int64_t n = -1;
    for (uint32_t i = 0; i < x->n_inputs; i++) {
        const struct tensor *t = &x->inputs[i];
        if (t->dtype == DTYPE_NONE)
            continue;
        int64_t own = t->n_dims ? t->shape[0] : 0;
        n = n < 0 || n == own ? own : 0;
    }
    x->n_rows = n > 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

int examples_take(const struct examples *from, uint32_t first, uint32_t n, struct examples *ret,
                  struct err *e)
{
    int rc = examples_init(ret, from->n_inputs, e);
    bool whole = from->n_rows == 0;
    for (uint32_t k = 0; !rc && k < from->n_inputs; k++) {
        const struct tensor *t = &from->inputs[k];
        struct buf *memory = &ret->memory[k];
        ret->inputs[k] = *t;
        if (t->dtype == DTYPE_NONE)
            continue;
        if (whole)
            buf_put(memory, t->data, t->bytes);
        for (uint32_t i = 0; !whole && i < n; i++) {
            struct str row = cells_row(t, from->n_rows, (first + i) % from->n_rows);
            buf_put(memory, row.p, row.n);
        }
        if (!whole)
            ret->inputs[k].shape[0] = n;
        ret->inputs[k].data = memory->p;
        ret->inputs[k].bytes = memory->n;
        if (memory->failed)
            rc = err_set(e, ERR_NOMEM, "no memory for %u rows to try the model with", n);
    }
    ret->n_rows = whole ? 0 : n;
    if (rc)
        examples_done(ret);
    return rc;
}

const char *extreme_name(enum extreme x)
{
    static const char *const NAMES[EXTREMES] = {
        [EXTREME_ZERO] = "zeros",
        [EXTREME_LARGEST] = "the largest numbers",
        [EXTREME_LOWEST] = "the lowest numbers",
        [EXTREME_TINY] = "the smallest numbers above zero",
        [EXTREME_INFINITE] = "infinities",
        [EXTREME_MINUS_INFINITE] = "negative infinities",
        [EXTREME_MISSING] = "missing values",
    };
    return NAMES[x];
}

static double extreme_value(enum extreme x, enum dtype t)
{
    double largest = t == DTYPE_FP64 ? DBL_MAX : t == DTYPE_FP32 ? (double)FLT_MAX : 65504.0;
    double tiny = t == DTYPE_FP64   ? (double)DBL_TRUE_MIN
                  : t == DTYPE_FP32 ? (double)FLT_TRUE_MIN
                                    : half_to_double(1);
    switch (x) {
    case EXTREME_LARGEST:
        return largest;
    case EXTREME_LOWEST:
        return -largest;
    case EXTREME_TINY:
        return tiny;
    case EXTREME_INFINITE:
        return (double)INFINITY;
    case EXTREME_MINUS_INFINITE:
        return -(double)INFINITY;
    case EXTREME_MISSING:
        return (double)NAN;
    default:
        return 0;
    }
}

static void set_numbers(struct tensor *t, struct buf *memory, enum extreme to)
{
    double v = extreme_value(to, t->dtype);
    float fp32 = (float)v;
    uint16_t fp16 = half_from_double(v);
    const void *value = t->dtype == DTYPE_FP64 ? (void *)&v : t->dtype == DTYPE_FP32 ? (void *)&fp32 : &fp16;
    size_t size = dtype_size(t->dtype);
    for (size_t at = 0; at + size <= memory->n; at += size)
        memcpy(memory->p + at, value, size);
}

static void set_texts(struct tensor *t, struct buf *memory, enum extreme to)
{
    static const char LETTERS[LONG_TEXT_BYTES] = {[0 ... LONG_TEXT_BYTES - 1] = 'x'};
    uint32_t n = to == EXTREME_LARGEST ? LONG_TEXT_BYTES : 0;
    int64_t elements = tensor_n_elements(t->shape, t->n_dims);
    buf_clear(memory);
    for (int64_t i = 0; i < elements && !memory->failed; i++) {
        buf_put(memory, &n, sizeof n);
        buf_put(memory, LETTERS, n);
    }
    t->data = memory->p;
    t->bytes = memory->n;
}

bool examples_set(struct examples *x, enum extreme to)
{
    bool changed = false, failed = false;
    for (uint32_t i = 0; i < x->n_inputs; i++) {
        struct tensor *t = &x->inputs[i];
        bool texts = t->dtype == DTYPE_BYTES && (to == EXTREME_ZERO || to == EXTREME_LARGEST);
        bool numbers = cells_are_floats(t->dtype);
        if (numbers)
            set_numbers(t, &x->memory[i], to);
        if (texts)
            set_texts(t, &x->memory[i], to);
        changed |= numbers || texts;
        failed |= x->memory[i].failed;
    }
    return changed && !failed;
}
