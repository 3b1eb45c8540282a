// SPDX-License-Identifier: Apache-2.0
// A record's blocks are looked at once; then each row writes its columns by the schema's order.
#include "predlog/line.h"

#include "base/num.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

// The blocks of one side, and where the next value of each lies.
struct side {
    const struct predlog_column *columns;
    uint32_t n;
    bool is_table, is_there;
    const char *plain, *hashed;                 // of a table: rows of values and of hashes
    size_t plain_stride, hashed_stride, n_rows; // bytes of a row
    enum dtype dtype;
    struct str blocks; // of tensors
};

void line_time(uint64_t wall_ns, char ret[LINE_TIME_SIZE])
{
    time_t s = (time_t)(wall_ns / 1000000000u);
    struct tm tm;
    char date[24];
    gmtime_r(&s, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret, LINE_TIME_SIZE, "%.19s.%06uZ", date, (unsigned)(wall_ns / 1000u % 1000000u));
}

static double half(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double x = ldexp(fraction, -24);
    if (exponent == 31)
        x = fraction ? (double)NAN : (double)INFINITY;
    else if (exponent)
        x = ldexp(1024 + fraction, exponent - 25);
    return bits & 0x8000 ? -x : x;
}

static void put_double(double x, bool single, struct buf *out)
{
    char text[NUM_TEXT_MAX];
    if (!isfinite(x))
        buf_puts(out, "null");
    else
        buf_put(out, text, single ? num_write_float((float)x, text) : num_write_double(x, text));
}

#define LOAD(type, from)                                                                                     \
    ({                                                                                                       \
        type value_;                                                                                         \
        memcpy(&value_, from, sizeof value_);                                                                \
        value_;                                                                                              \
    })

// One element that is no text.
static void put_cell(enum dtype t, const char *p, struct buf *out)
{
    switch (t) {
    case DTYPE_BOOL:
        buf_puts(out, *p ? "true" : "false");
        break;
    case DTYPE_UINT8:
        buf_put_u64(out, LOAD(uint8_t, p));
        break;
    case DTYPE_UINT16:
        buf_put_u64(out, LOAD(uint16_t, p));
        break;
    case DTYPE_UINT32:
        buf_put_u64(out, LOAD(uint32_t, p));
        break;
    case DTYPE_UINT64:
        buf_put_u64(out, LOAD(uint64_t, p));
        break;
    case DTYPE_INT8:
        buf_printf(out, "%d", LOAD(int8_t, p));
        break;
    case DTYPE_INT16:
        buf_printf(out, "%d", LOAD(int16_t, p));
        break;
    case DTYPE_INT32:
        buf_printf(out, "%" PRId32, LOAD(int32_t, p));
        break;
    case DTYPE_INT64:
        buf_printf(out, "%" PRId64, LOAD(int64_t, p));
        break;
    case DTYPE_FP16:
        put_double(half(LOAD(uint16_t, p)), true, out);
        break;
    case DTYPE_FP32:
        put_double((double)LOAD(float, p), true, out);
        break;
    case DTYPE_FP64:
        put_double(LOAD(double, p), false, out);
        break;
    default:
        buf_puts(out, "null");
        break;
    }
}

static void put_hash(const char *p, struct buf *out)
{
    uint64_t hash = LOAD(uint64_t, p);
    if (hash)
        buf_printf(out, "\"%016" PRIx64 "\"", hash);
    else
        buf_puts(out, "null");
}

// The dimensions from `dim` on as nested lists, *p being advanced. Sizes were checked with the record.
static void put_nested(const struct record_block *b, uint32_t dim, const char **p, struct buf *out)
{
    if (dim < b->t.n_dims) {
        buf_putc(out, '[');
        for (int64_t i = 0; i < b->t.shape[dim] && !out->failed; i++) {
            if (i)
                buf_putc(out, ',');
            put_nested(b, dim + 1, p, out);
        }
        buf_putc(out, ']');
    } else if (b->form == RECORD_HASHED) {
        put_hash(*p, out);
        *p += sizeof(uint64_t);
    } else if (b->t.dtype == DTYPE_BYTES) {
        uint32_t n = LOAD(uint32_t, *p);
        buf_put_json_str(out, (struct str){*p + sizeof n, n});
        *p += sizeof n + n;
    } else {
        put_cell(b->t.dtype, *p, out);
        *p += dtype_size(b->t.dtype);
    }
}

// Whether the blocks are those of the schema's table, of so many rows.
static bool table_init(struct side *s, struct str blocks, uint32_t rows)
{
    struct record_block b;
    uint32_t plain = 0, hashed = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        hashed += s->columns[i].rule.what == PRIVACY_HASH;
        plain += s->columns[i].rule.what != PRIVACY_HASH && s->columns[i].rule.what != PRIVACY_DROP;
    }
    while (record_block_next(&blocks, &b)) {
        if (b.index != RECORD_TABLE || b.form == RECORD_LEFT_OUT || b.t.dtype == DTYPE_BYTES)
            return false;
        uint32_t n = b.form == RECORD_HASHED ? hashed : plain;
        if (n == 0 || (uint64_t)tensor_n_elements(b.t.shape, b.t.n_dims) != (uint64_t)rows * n)
            return false;
        if (b.form == RECORD_HASHED) {
            s->hashed = b.t.data;
            s->hashed_stride = n * sizeof(uint64_t);
        } else {
            s->plain = b.t.data;
            s->dtype = b.t.dtype;
            s->plain_stride = n * dtype_size(b.t.dtype);
        }
    }
    s->n_rows = rows;
    return (s->plain || !plain) && (s->hashed || !hashed);
}

static void put_key(const struct predlog_column *c, bool *first, struct buf *out)
{
    if (!*first)
        buf_putc(out, ',');
    *first = false;
    buf_put_json_str(out, c->name);
    buf_putc(out, ':');
}

static void put_table_row(const struct side *s, uint64_t row, struct buf *out)
{
    const char *plain = s->plain ? s->plain + row * s->plain_stride : NULL;
    const char *hashed = s->hashed ? s->hashed + row * s->hashed_stride : NULL;
    bool first = true;
    for (uint32_t i = 0; i < s->n; i++) {
        enum privacy_what what = s->columns[i].rule.what;
        if (what == PRIVACY_DROP)
            continue;
        put_key(&s->columns[i], &first, out);
        if (what == PRIVACY_HASH) {
            put_hash(hashed, out);
            hashed += sizeof(uint64_t);
        } else {
            put_cell(s->dtype, plain, out);
            plain += dtype_size(s->dtype);
        }
    }
}

// One row of a tensor whose first dimension are the rows; false where it is of another shape.
static bool put_tensor_row(const struct record_block *b, uint64_t row, uint32_t rows, struct buf *out)
{
    if (b->t.n_dims == 0 || b->t.shape[0] != rows || b->t.dtype == DTYPE_BYTES || b->form == RECORD_LEFT_OUT)
        return false;
    const char *p = (const char *)b->t.data + b->t.bytes / rows * row;
    put_nested(b, 1, &p, out);
    return true;
}

// row < 0: whole tensors.
static void put_tensors(const struct side *s, int64_t row, uint32_t rows, struct buf *out)
{
    struct str rest = s->blocks;
    struct record_block b;
    bool first = true;
    while (record_block_next(&rest, &b)) {
        if (b.index >= s->n)
            continue;
        put_key(&s->columns[b.index], &first, out);
        const char *p = b.t.data;
        if (row >= 0 && put_tensor_row(&b, (uint64_t)row, rows, out))
            continue;
        if (b.form == RECORD_LEFT_OUT || (row >= 0 && rows > 1))
            buf_puts(out, "null");
        else if (tensor_n_elements(b.t.shape, b.t.n_dims) == 0)
            buf_puts(out, "[]"); // whatever its other dimensions are
        else
            put_nested(&b, 0, &p, out);
    }
}

static void put_side(const char *name, const struct side *s, int64_t row, uint32_t rows, struct buf *out)
{
    buf_printf(out, ",\"%s\":", name);
    if (!s->is_there) {
        buf_puts(out, "null");
        return;
    }
    buf_putc(out, '{');
    if (s->is_table)
        put_table_row(s, (uint64_t)(row < 0 ? 0 : row), out);
    else
        put_tensors(s, row, rows, out);
    buf_putc(out, '}');
}

static void put_hex(const char *name, const uint8_t *p, size_t n, struct buf *out)
{
    uint8_t any = 0;
    buf_printf(out, ",\"%s\":", name);
    for (size_t i = 0; i < n; i++)
        any |= p[i];
    if (!any) {
        buf_puts(out, "null");
        return;
    }
    buf_putc(out, '"');
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%02x", p[i]);
    buf_putc(out, '"');
}

static void put_model(const struct predlog_schema *schema, struct buf *out)
{
    buf_puts(out, ",\"model\":");
    if (schema)
        buf_put_json_str(out, schema->model);
    else
        buf_puts(out, "null");
}

// All that the rows of a record have in common, behind "row".
static void put_head(const struct record_head *h, const struct predlog_schema *schema, struct buf *out)
{
    char id[37], time[LINE_TIME_SIZE];
    record_id_write(h->id, id);
    line_time(h->wall_ns, time);
    buf_printf(out, ",\"kind\":\"%s\",\"id\":\"%s\",\"time\":\"%s\"", record_kind_name(h->kind), id, time);
    put_model(schema, out);
    buf_printf(out, ",\"version\":%u,\"arm\":%u,\"status\":%u,\"error\":", h->version, h->arm, h->status);
    if (h->error)
        buf_printf(out, "\"%s\"", err_name(-(int)h->error));
    else
        buf_puts(out, "null");
    buf_printf(out,
               ",\"latency_us\":%u,\"queue_us\":%u,\"compute_us\":%u,\"rows\":%u,\"bucket\":%u,"
               "\"weight_bp\":%u,\"sample_weight\":",
               h->latency_us, h->queue_us, h->compute_us, h->rows, h->bucket, h->weight_bp);
    put_double((double)h->sample_weight, true, out);
    buf_printf(out, ",\"truncated\":%s,\"fallback\":%s,\"override\":%s",
               h->flags & RECORD_TRUNCATED ? "true" : "false", h->flags & RECORD_FALLBACK ? "true" : "false",
               h->flags & RECORD_OVERRIDE ? "true" : "false");
    put_hex("trace_id", h->trace, sizeof h->trace, out);
    put_hex("parent_id", h->parent, sizeof h->parent, out);
}

static uint32_t put_gap(const struct record *r, const struct predlog_schema *schema, struct buf *out)
{
    char time[LINE_TIME_SIZE];
    line_time(r->head.wall_ns, time);
    buf_printf(out, "{\"seq\":%" PRIu64 ",\"kind\":\"gap\",\"time\":\"%s\"", r->head.log_seq, time);
    put_model(schema, out);
    buf_printf(out, ",\"reason\":\"%s\",\"records\":", record_gap_reason_name(r->gap.reason));
    if (r->gap.n_records)
        buf_put_u64(out, r->gap.n_records);
    else
        buf_puts(out, "null");
    buf_printf(out, ",\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n",
               r->gap.first_seq, r->gap.last_seq, r->gap.bytes);
    return 1;
}

uint32_t line_put(const struct record *r, const struct predlog_schema *schema, struct buf *out)
{
    const struct record_head *h = &r->head;
    if (h->kind == RECORD_SCHEMA)
        return 0;
    if (h->kind == RECORD_GAP)
        return put_gap(r, schema, out);
    struct side in = {0}, to = {0};
    if (schema) {
        in = (struct side){.columns = schema->inputs,
                           .n = schema->n_inputs,
                           .is_table = schema->is_table,
                           .blocks = r->inputs};
        to = (struct side){.columns = schema->outputs, .n = schema->n_outputs, .blocks = r->outputs};
        in.is_there = r->inputs.n && (!in.is_table || table_init(&in, r->inputs, h->rows_kept));
        // A table all of whose columns are dropped has no blocks, and rows none the less.
        in.is_there |=
            in.is_table && h->rows_kept && !r->inputs.n && table_init(&in, r->inputs, h->rows_kept);
        to.is_there = r->outputs.n > 0;
    }
    bool by_row = in.is_table && h->rows_kept > 0;
    uint32_t n = by_row ? h->rows_kept : 1;
    for (uint32_t row = 0; row < n && !out->failed; row++) {
        buf_printf(out, "{\"seq\":%" PRIu64 ",\"row\":%u", h->log_seq, row);
        put_head(h, schema, out);
        put_side("inputs", &in, by_row ? (int64_t)row : -1, n, out);
        put_side("outputs", &to, by_row ? (int64_t)row : -1, n, out);
        buf_puts(out, "}\n");
    }
    return n;
}
