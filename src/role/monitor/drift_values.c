// SPDX-License-Identifier: Apache-2.0
// Tensors of a record by their place, then row by row.
#include "role/monitor/drift_values.h"

#include "tensor/half.h"

#include <math.h>
#include <string.h>

struct view {
    enum dtype dtype;
    uint32_t width, element_bytes; // 0 of BYTES
    const char *data;
    uint64_t rows;
    struct str texts; // of BYTES: from element `next_text` on
    uint64_t next_text;
};

struct views {
    uint64_t has_in, has_out; // bit i: it is in the record
    struct view in[TENSORS_MAX], out[TENSORS_MAX];
};
_Static_assert(TENSORS_MAX <= 64, "a bit for each");

// Returns which there are; the others are left as they were.
static uint64_t collect(struct str blocks, struct view *views)
{
    struct record_block b;
    uint64_t has = 0;
    while (record_block_next(&blocks, &b)) {
        uint32_t i = b.index == RECORD_TABLE ? 0 : b.index;
        if (b.form != RECORD_VALUES || i >= TENSORS_MAX || b.t.n_dims == 0 || b.t.n_dims > 2)
            continue;
        has |= UINT64_C(1) << i;
        views[i] = (struct view){.dtype = b.t.dtype,
                                 .width = b.t.n_dims == 1 ? 1 : (uint32_t)b.t.shape[1],
                                 .element_bytes = (uint32_t)dtype_size(b.t.dtype),
                                 .data = b.t.data,
                                 .rows = (uint64_t)b.t.shape[0],
                                 .texts = {b.t.data, b.t.bytes}};
    }
    return has;
}

#define READ(type) ((double)*(const type *)(const void *)(p))

static double number_at(const struct view *v, uint64_t i)
{
    const char *p = v->data + i * v->element_bytes;
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

// Element i of BYTES: a length, then so many bytes, one after another. Elements are asked for in ascending
// order; those between are walked over.
static struct str text_at(struct view *v, uint64_t i)
{
    struct str text = {0};
    uint32_t n;
    for (; v->next_text <= i; v->next_text++) {
        if (v->texts.n < sizeof n)
            return (struct str){0};
        memcpy(&n, v->texts.p, sizeof n);
        if (n > v->texts.n - sizeof n)
            return (struct str){0};
        text = (struct str){v->texts.p + sizeof n, n};
        v->texts.p += sizeof n + n;
        v->texts.n -= sizeof n + n;
    }
    return text;
}

// The view that a column's values are in; NULL: there is none, or its rows are of another width.
static struct view *view_of(const struct drift_columns *columns, const struct drift_column *c,
                            struct views *views)
{
    bool is_of_table = columns->is_table && !c->as.is_output;
    uint32_t tensor = is_of_table ? 0 : c->tensor, width = is_of_table ? columns->table_width : c->width;
    uint64_t has = c->as.is_output ? views->has_out : views->has_in;
    if (tensor >= TENSORS_MAX || !(has >> tensor & 1))
        return NULL;
    struct view *v = c->as.is_output ? &views->out[tensor] : &views->in[tensor];
    return v->width == width ? v : NULL;
}

static void take_row(struct observer *o, const struct drift_columns *columns, struct views *views,
                     uint64_t row)
{
    for (uint32_t i = 0; i < columns->n; i++) {
        const struct drift_column *c = &columns->items[i];
        struct view *v = view_of(columns, c, views);
        if (!v || row >= v->rows)
            continue;
        uint64_t at = row * v->width + c->element;
        if (v->dtype == DTYPE_BYTES)
            observer_text(o, i, text_at(v, at));
        else
            observer_number(o, i, number_at(v, at));
    }
}

// Rows of which something may be in the record, where each value takes a byte at least: what a head says of
// itself is not believed.
static uint32_t rows_of(const struct record *r)
{
    uint64_t most = (uint64_t)r->inputs.n + r->outputs.n;
    uint32_t rows = r->head.rows_kept ? r->head.rows_kept : 1;
    return rows < most ? rows : (uint32_t)most;
}

// Under load few rows are looked at: of a record without one nothing is collected.
void drift_take_rows(struct observer *o, const struct drift_columns *columns, const struct record *r)
{
    struct views views; // what is not collected is not looked at
    uint32_t rows = rows_of(r), row = 0;
    while (row < rows && !observer_row(o))
        row++;
    if (row == rows)
        return;
    views.has_in = collect(r->inputs, views.in);
    views.has_out = collect(r->outputs, views.out);
    take_row(o, columns, &views, row);
    for (row++; row < rows; row++)
        if (observer_row(o))
            take_row(o, columns, &views, row);
}
