// SPDX-License-Identifier: Apache-2.0
// A record's blocks are looked at once; then each row writes its columns by the schema's order.
#include "predlog/line.h"

#include "base/num.h"

#include <inttypes.h>
#include <math.h>
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

static char *put_digits(char *to, uint32_t v, int n)
{
    for (int i = n; i-- > 0; v /= 10)
        to[i] = (char)('0' + v % 10);
    return to + n;
}

void line_time(uint64_t wall_ns, char ret[LINE_TIME_SIZE])
{
    time_t s = (time_t)(wall_ns / 1000000000u);
    struct tm tm;
    gmtime_r(&s, &tm);
    const struct {
        int value;
        char end;
    } parts[] = {
        {tm.tm_mon + 1, '-'}, {tm.tm_mday, 'T'}, {tm.tm_hour, ':'}, {tm.tm_min, ':'}, {tm.tm_sec, '.'}};
    char *to = put_digits(ret, (uint32_t)tm.tm_year + 1900, 4);
    *to++ = '-';
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        to = put_digits(to, (uint32_t)parts[i].value, 2);
        *to++ = parts[i].end;
    }
    to = put_digits(to, (uint32_t)(wall_ns / 1000u % 1000000u), 6);
    memcpy(to, "Z", 2);
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

// A line has thirty pieces: none of them is parsed as a format.
#define PUT(out, literal) buf_put(out, literal, sizeof(literal) - 1)

static void put_number(const char *name, uint64_t v, struct buf *out)
{
    buf_puts(out, name);
    buf_put_u64(out, v);
}

static void put_flag(const char *name, bool is, struct buf *out)
{
    buf_puts(out, name);
    buf_puts(out, is ? "true" : "false");
}

static void put_text(const char *name, const char *text, struct buf *out)
{
    buf_puts(out, name);
    buf_putc(out, '"');
    buf_puts(out, text);
    buf_putc(out, '"');
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
    buf_puts(out, name);
    if (!s->is_there) {
        PUT(out, "null");
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
    static const char HEX[] = "0123456789abcdef";
    uint8_t any = 0;
    buf_puts(out, name);
    for (size_t i = 0; i < n; i++)
        any |= p[i];
    if (!any) {
        PUT(out, "null");
        return;
    }
    buf_putc(out, '"');
    for (size_t i = 0; i < n; i++) {
        buf_putc(out, HEX[p[i] >> 4]);
        buf_putc(out, HEX[p[i] & 15]);
    }
    buf_putc(out, '"');
}

static void put_model(const struct predlog_schema *schema, struct buf *out)
{
    PUT(out, ",\"model\":");
    if (schema)
        buf_put_json_str(out, schema->model);
    else
        PUT(out, "null");
}

// All that the rows of a record have in common, behind "row".
static void put_head(const struct record_head *h, const struct predlog_schema *schema, struct buf *out)
{
    char id[37], time[LINE_TIME_SIZE];
    record_id_write(h->id, id);
    line_time(h->wall_ns, time);
    put_text(",\"kind\":", record_kind_name(h->kind), out);
    put_text(",\"id\":", id, out);
    put_text(",\"time\":", time, out);
    put_model(schema, out);
    put_number(",\"version\":", h->version, out);
    put_number(",\"arm\":", h->arm, out);
    put_number(",\"status\":", h->status, out);
    if (h->error)
        put_text(",\"error\":", err_name(-(int)h->error), out);
    else
        PUT(out, ",\"error\":null");
    put_number(",\"latency_us\":", h->latency_us, out);
    put_number(",\"queue_us\":", h->queue_us, out);
    put_number(",\"compute_us\":", h->compute_us, out);
    put_number(",\"rows\":", h->rows, out);
    put_number(",\"bucket\":", h->bucket, out);
    put_number(",\"weight_bp\":", h->weight_bp, out);
    PUT(out, ",\"sample_weight\":");
    put_double((double)h->sample_weight, true, out);
    put_flag(",\"truncated\":", h->flags & RECORD_TRUNCATED, out);
    put_flag(",\"fallback\":", h->flags & RECORD_FALLBACK, out);
    put_flag(",\"override\":", h->flags & RECORD_OVERRIDE, out);
    put_hex(",\"trace_id\":", h->trace, sizeof h->trace, out);
    put_hex(",\"parent_id\":", h->parent, sizeof h->parent, out);
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
        put_number("{\"seq\":", h->log_seq, out);
        put_number(",\"row\":", row, out);
        put_head(h, schema, out);
        put_side(",\"inputs\":", &in, by_row ? (int64_t)row : -1, n, out);
        put_side(",\"outputs\":", &to, by_row ? (int64_t)row : -1, n, out);
        PUT(out, "}\n");
    }
    return n;
}
