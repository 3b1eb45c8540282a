// SPDX-License-Identifier: Apache-2.0
// Tensors of a record by their place, then row by row.
#include "role/monitor/drift_values.h"

#include "tensor/half.h"

#include <math.h>
#include <string.h>

struct view {
    enum dtype dtype; // DTYPE_NONE: not in the record
    const char *data;
    struct str texts; // the rest, of BYTES
    uint64_t rows;
    uint32_t width;
};

struct views {
    struct view in[TENSORS_MAX], out[TENSORS_MAX];
};

static void collect(struct str blocks, struct view *views)
{
    struct record_block b;
    while (record_block_next(&blocks, &b)) {
        uint32_t i = b.index == RECORD_TABLE ? 0 : b.index;
        if (b.form != RECORD_VALUES || i >= TENSORS_MAX || b.t.n_dims == 0 || b.t.n_dims > 2)
            continue;
        views[i] = (struct view){.dtype = b.t.dtype,
                                 .data = b.t.data,
                                 .texts = {b.t.data, b.t.bytes},
                                 .rows = (uint64_t)b.t.shape[0],
                                 .width = b.t.n_dims == 1 ? 1 : (uint32_t)b.t.shape[1]};
    }
}

#define READ(type) ((double)*(const type *)(const void *)(p))

static double number_at(const struct view *v, uint64_t i)
{
    const char *p = v->data + i * dtype_size(v->dtype);
    switch (v->dtype) {
    case DTYPE_FP32:
        return READ(float);
    case DTYPE_FP64:
        return READ(double);
    case DTYPE_FP16:
        return half_to_double(*(const uint16_t *)(const void *)p);
    case DTYPE_INT64:
        return READ(int64_t);
    case DTYPE_INT32:
        return READ(int32_t);
    case DTYPE_INT16:
        return READ(int16_t);
    case DTYPE_INT8:
        return READ(int8_t);
    case DTYPE_UINT64:
        return READ(uint64_t);
    case DTYPE_UINT32:
        return READ(uint32_t);
    case DTYPE_UINT16:
        return READ(uint16_t);
    case DTYPE_UINT8:
    case DTYPE_BOOL:
        return READ(uint8_t);
    default:
        return (double)NAN;
    }
}

// The next element of BYTES: a length, then so many bytes.
static struct str next_text(struct view *v)
{
    uint32_t n;
    if (v->texts.n < sizeof n)
        return (struct str){0};
    memcpy(&n, v->texts.p, sizeof n);
    struct str text = {v->texts.p + sizeof n, n};
    if (n > v->texts.n - sizeof n)
        return (struct str){0};
    v->texts.p += sizeof n + n;
    v->texts.n -= sizeof n + n;
    return text;
}

static void take_row(struct observer *o, const struct drift_columns *columns, struct views *views,
                     uint64_t row, bool wanted)
{
    for (uint32_t i = 0; i < columns->n; i++) {
        const struct drift_column *c = &columns->items[i];
        uint32_t tensor = columns->is_table && !c->as.is_output ? 0 : c->tensor;
        struct view *v = tensor >= TENSORS_MAX ? NULL
                         : c->as.is_output     ? &views->out[tensor]
                                               : &views->in[tensor];
        uint32_t width = columns->is_table && !c->as.is_output ? columns->table_width : c->width;
        if (!v || v->dtype == DTYPE_NONE || row >= v->rows)
            continue;
        if (v->dtype == DTYPE_BYTES) {
            struct str text = next_text(v);
            if (wanted)
                observer_text(o, i, text);
        } else if (wanted && v->width == width) {
            observer_number(o, i, number_at(v, row * width + c->element));
        }
    }
}

// Under load few rows are looked at: of a record without one nothing is collected. Rows before the first are
// walked over only for their texts, which have no other way to be found.
void drift_take_rows(struct observer *o, const struct drift_columns *columns, const struct record *r)
{
    struct views views;
    uint32_t rows = r->head.rows_kept ? r->head.rows_kept : 1, first = 0;
    while (first < rows && !observer_row(o))
        first++;
    if (first == rows)
        return;
    memset(&views, 0, sizeof views);
    collect(r->inputs, views.in);
    collect(r->outputs, views.out);
    for (uint32_t row = 0; row < rows; row++)
        take_row(o, columns, &views, row, row == first || (row > first && observer_row(o)));
}
