// SPDX-License-Identifier: Apache-2.0
// Writing: how many rows fit is computed first, then blocks are written in one pass. Reading: one pass that
// checks all sizes, after which walking is free of checks.
#include "predlog/record.h"

#include "base/assert.h"
#include "base/crc32c.h"

#include <math.h>
#include <string.h>

_Static_assert(sizeof(struct record_head) == RECORD_HEAD_BYTES, "no padding in a record's head");
_Static_assert(sizeof(struct record_gap) + RECORD_HEAD_BYTES == RECORD_GAP_BYTES, "nor in a gap");
_Static_assert(sizeof(struct record_block_head) == 16, "nor in a block's head");

enum { CRC_FROM = 8 };

static size_t padded(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static void put_crc(void *record, size_t n)
{
    uint32_t crc = crc32c(0, (char *)record + CRC_FROM, n - CRC_FROM);
    memcpy((char *)record + offsetof(struct record_head, crc), &crc, sizeof crc);
}

static size_t put_head(struct record_head *h, void *to, size_t n)
{
    memset((char *)to + n, 0, padded(n) - n);
    n = padded(n);
    h->bytes = (uint32_t)n;
    h->crc = 0;
    memcpy(to, h, sizeof *h);
    return n;
}

static size_t finish(struct record_head *h, void *to, size_t n)
{
    n = put_head(h, to, n);
    put_crc(to, n);
    return n;
}

static size_t block_head_bytes(const struct tensor *t)
{
    return sizeof(struct record_block_head) + t->n_dims * sizeof(uint64_t);
}

// ---- the plain case, which is nearly every prediction: a table in, a tensor out, both as they are

static bool is_plain(const struct record_plan *plan, const struct tensor *in, uint32_t n_in,
                     const struct tensor *out, uint32_t n_out)
{
    return plan->is_plain && n_in == 1 && n_out == 1 && in->dtype != DTYPE_NONE && out->dtype != DTYPE_NONE;
}

static size_t plain_bytes(const struct tensor *in, const struct tensor *out)
{
    return RECORD_HEAD_BYTES + block_head_bytes(in) + padded(in->bytes) + block_head_bytes(out) +
           padded(out->bytes);
}

static char *put_data(char *to, const void *data, size_t n)
{
    if (n % 8) // the padding of the last word
        memset(to + (n & ~(size_t)7), 0, 8);
    memcpy(to, data, n);
    return to + padded(n);
}

static char *put_plain(const struct tensor *t, uint16_t index, char *to)
{
    struct record_block_head b = {.dtype = (uint8_t)t->dtype,
                                  .n_dims = (uint8_t)t->n_dims,
                                  .form = RECORD_VALUES,
                                  .index = index,
                                  .bytes = (uint32_t)t->bytes};
    memcpy(to, &b, sizeof b);
    to += sizeof b;
    for (uint32_t i = 0; i < t->n_dims; i++, to += sizeof t->shape[0])
        memcpy(to, &t->shape[i], sizeof t->shape[0]);
    return put_data(to, t->data, t->bytes);
}

static size_t write_plain(const struct record_head *head, const struct record_plan *plan,
                          const struct tensor *in, const struct tensor *out, void *to)
{
    struct record_head *h = to;
    char *inputs = (char *)to + RECORD_HEAD_BYTES;
    char *outputs = put_plain(in, privacy_is_table(plan->inputs) ? RECORD_TABLE : 0, inputs);
    char *end = put_plain(out, privacy_is_table(plan->outputs) ? RECORD_TABLE : 0, outputs);
    *h = *head;
    h->crc = 0;
    h->bytes = (uint32_t)(end - (char *)to);
    h->rows_kept = h->rows;
    h->input_bytes = (uint32_t)(outputs - inputs);
    h->output_bytes = (uint32_t)(end - outputs);
    return (size_t)(end - (char *)to);
}

// ---- one side of a record: its inputs, or its outputs

struct side {
    const struct privacy *privacy;
    const struct tensor *t;
    uint32_t n;
    char *to; // where its next block goes
};

// Upper bound of the data of one tensor of a model of tensors.
static size_t tensor_room(const struct privacy *p, uint32_t i, const struct tensor *t)
{
    if (privacy_of(p, i) != PRIVACY_HASH || t->dtype == DTYPE_NONE)
        return t->bytes;
    return (t->dtype == DTYPE_BYTES ? t->bytes / sizeof(uint32_t) : t->bytes / dtype_size(t->dtype)) *
           sizeof(uint64_t);
}

static bool is_table(const struct side *s)
{
    return s->n == 1 && privacy_is_table(s->privacy);
}

// Not what may not be kept, nor what the request left out.
static bool has_block(const struct side *s, uint32_t i)
{
    return privacy_of(s->privacy, i) != PRIVACY_DROP && s->t[i].dtype != DTYPE_NONE;
}

// Heads and paddings, and bytes that each row takes; false when the rows cannot be cut.
static bool cost(const struct side *s, uint64_t rows, size_t *fixed, size_t *per_row)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const struct tensor *t = &s->t[i];
        if (t->dtype == DTYPE_NONE)
            continue;
        if (rows == 0 || t->n_dims == 0 || (uint64_t)t->shape[0] != rows || t->dtype == DTYPE_BYTES)
            return false;
        if (is_table(s)) {
            uint32_t plain = privacy_n_plain(s->privacy), hashed = privacy_n_hashed(s->privacy);
            *fixed += ((plain > 0) + (hashed > 0)) * (block_head_bytes(t) + sizeof(uint64_t));
            *per_row += plain * dtype_size(t->dtype) + hashed * sizeof(uint64_t);
        } else if (has_block(s, i)) {
            *fixed += block_head_bytes(t) + sizeof(uint64_t);
            *per_row += tensor_room(s->privacy, i, t) / rows;
        }
    }
    return true;
}

static char *begin_block(struct side *s, const struct tensor *t, enum record_form form, uint16_t index,
                         enum dtype dtype)
{
    struct record_block_head b = {
        .dtype = (uint8_t)dtype, .n_dims = (uint8_t)t->n_dims, .form = (uint8_t)form, .index = index};
    memcpy(s->to, &b, sizeof b);
    memcpy(s->to + sizeof b, t->shape, t->n_dims * sizeof t->shape[0]);
    return s->to + block_head_bytes(t);
}

static void end_block(struct side *s, const struct tensor *t, size_t n)
{
    uint32_t bytes = (uint32_t)n;
    memcpy(s->to + offsetof(struct record_block_head, bytes), &bytes, sizeof bytes);
    char *data = s->to + block_head_bytes(t);
    memset(data + n, 0, padded(n) - n);
    s->to = data + padded(n);
}

static void write_table(struct side *s, uint64_t rows)
{
    struct tensor t = *s->t;
    uint32_t plain = privacy_n_plain(s->privacy), hashed = privacy_n_hashed(s->privacy);
    t.shape[0] = (int64_t)rows;
    if (plain) {
        if (t.n_dims > 1)
            t.shape[1] = plain;
        privacy_plain(s->privacy, t.dtype, t.data, rows,
                      begin_block(s, &t, RECORD_VALUES, RECORD_TABLE, t.dtype));
        end_block(s, &t, rows * plain * dtype_size(t.dtype));
    }
    if (hashed) {
        if (t.n_dims > 1)
            t.shape[1] = hashed;
        privacy_hashed(s->privacy, t.dtype, t.data, rows,
                       (uint64_t *)(void *)begin_block(s, &t, RECORD_HASHED, RECORD_TABLE, DTYPE_UINT64));
        end_block(s, &t, rows * hashed * sizeof(uint64_t));
    }
}

static void leave_out(struct side *s, uint32_t i)
{
    (void)begin_block(s, &s->t[i], RECORD_LEFT_OUT, is_table(s) ? RECORD_TABLE : (uint16_t)i, s->t[i].dtype);
    end_block(s, &s->t[i], 0);
}

// Its first `kept` rows of `rows`.
static void write_tensor(struct side *s, uint32_t i, uint64_t rows, uint64_t kept)
{
    struct tensor t = s->t[i];
    bool hashes = privacy_of(s->privacy, i) == PRIVACY_HASH;
    if (kept < rows) {
        t.shape[0] = (int64_t)kept;
        t.bytes = t.bytes / rows * kept;
    }
    char *data = begin_block(s, &t, hashes ? RECORD_HASHED : RECORD_VALUES, (uint16_t)i,
                             hashes ? DTYPE_UINT64 : t.dtype);
    end_block(s, &t, privacy_tensor(s->privacy, i, &t, data));
}

// All rows, or the first of them.
static void write_rows(struct side *s, uint64_t rows, uint64_t kept)
{
    if (is_table(s)) {
        write_table(s, kept);
        return;
    }
    for (uint32_t i = 0; i < s->n; i++)
        if (has_block(s, i))
            write_tensor(s, i, rows, kept);
}

// Whole tensors as long as they fit; room is kept for the heads of those that follow. False when one is
// missing. A table comes here only when not even one row of it fits.
static bool write_whole(struct side *s, const char *end)
{
    bool all = true;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct tensor *t = &s->t[i];
        size_t left = (size_t)(end - s->to), heads = 0;
        if (!is_table(s) && !has_block(s, i))
            continue;
        for (uint32_t k = i + 1; k < s->n; k++)
            heads += block_head_bytes(&s->t[k]);
        bool fits = !is_table(s) && left >= heads &&
                    block_head_bytes(t) + padded(tensor_room(s->privacy, i, t)) <= left - heads;
        if (fits)
            write_tensor(s, i, 0, 0);
        else if (block_head_bytes(t) <= left)
            leave_out(s, i);
        all &= fits;
    }
    return all;
}

size_t record_bytes(const struct record_plan *plan, const struct tensor *in, uint32_t n_in,
                    const struct tensor *out, uint32_t n_out)
{
    if (is_plain(plan, in, n_in, out, n_out))
        return plain_bytes(in, out);
    const struct side sides[2] = {{plan->inputs, in, n_in, NULL}, {plan->outputs, out, n_out, NULL}};
    size_t n = RECORD_HEAD_BYTES;
    for (int k = 0; k < 2; k++) {
        const struct side *s = &sides[k];
        uint64_t rows = s->n && s->t[0].n_dims ? (uint64_t)s->t[0].shape[0] : 0;
        size_t fixed = 0, per_row = 0;
        if (is_table(s)) {
            if (cost(s, rows, &fixed, &per_row))
                n += fixed + rows * per_row;
            continue;
        }
        for (uint32_t i = 0; i < s->n; i++)
            n += block_head_bytes(&s->t[i]) + padded(tensor_room(s->privacy, i, &s->t[i])) + sizeof(uint64_t);
    }
    return n;
}

// How many rows fit; 0 where batches cannot be cut, or not even one row fits.
static uint64_t rows_that_fit(const struct side *in, const struct side *out, uint64_t rows, size_t cap)
{
    size_t fixed = RECORD_HEAD_BYTES, per_row = 0;
    if (!cost(in, rows, &fixed, &per_row) || !cost(out, rows, &fixed, &per_row) || fixed > cap)
        return 0;
    return per_row && (cap - fixed) / per_row < rows ? (cap - fixed) / per_row : rows;
}

size_t record_write(const struct record_head *head, const struct record_plan *plan, const struct tensor *in,
                    uint32_t n_in, const struct tensor *out, uint32_t n_out, void *to, size_t cap)
{
    if (cap < RECORD_HEAD_BYTES)
        return 0;
    if (cap > RECORD_BYTES_MAX)
        cap = RECORD_BYTES_MAX;
    if (is_plain(plan, in, n_in, out, n_out) && head->rows && plain_bytes(in, out) <= cap)
        return write_plain(head, plan, in, out, to);
    char *start = (char *)to + RECORD_HEAD_BYTES, *end = (char *)to + (cap & ~(size_t)7);
    struct record_head h = *head;
    struct side i = {plan->inputs, in, n_in, start}, o = {plan->outputs, out, n_out, NULL};
    uint64_t kept = n_in || n_out ? rows_that_fit(&i, &o, h.rows, cap) : 0;
    bool all = n_in || n_out ? kept == h.rows : true;
    if (kept) {
        write_rows(&i, h.rows, kept);
        o.to = i.to;
        write_rows(&o, h.rows, kept);
    } else {
        all = write_whole(&i, end);
        o.to = i.to;
        all &= write_whole(&o, end);
        kept = is_table(&i) || !(n_in || n_out) ? 0 : h.rows;
    }
    if (!all)
        h.flags |= RECORD_TRUNCATED;
    h.rows_kept = (uint32_t)kept;
    h.input_bytes = (uint32_t)(i.to - start);
    h.output_bytes = (uint32_t)(o.to - i.to);
    return put_head(&h, to, (size_t)(o.to - (char *)to));
}

size_t record_write_gap(const struct record_head *head, const struct record_gap *gap, void *to, size_t cap)
{
    struct record_head h = *head;
    if (cap < RECORD_GAP_BYTES)
        return 0;
    h.kind = RECORD_GAP;
    h.rows = h.rows_kept = h.output_bytes = 0;
    h.input_bytes = sizeof *gap;
    memcpy((char *)to + sizeof h, gap, sizeof *gap);
    return finish(&h, to, RECORD_GAP_BYTES);
}

size_t record_write_schema(const struct record_head *head, struct str json, void *to, size_t cap)
{
    struct record_head h = *head;
    if (json.n > RECORD_BYTES_MAX || RECORD_HEAD_BYTES + padded(json.n) > cap)
        return 0;
    h.kind = RECORD_SCHEMA;
    h.rows = h.rows_kept = h.output_bytes = 0;
    h.input_bytes = (uint32_t)json.n;
    if (json.n)
        memcpy((char *)to + sizeof h, json.p, json.n);
    return finish(&h, to, RECORD_HEAD_BYTES + json.n);
}

void record_set_log_seq(void *record, uint64_t log_seq)
{
    uint32_t bytes;
    memcpy(&bytes, record, sizeof bytes);
    memcpy((char *)record + offsetof(struct record_head, log_seq), &log_seq, sizeof log_seq);
    put_crc(record, bytes);
}

// ---- reading

static int bad(struct err *e, const char *what)
{
    return err_set(e, ERR_INVALID, "not a record of the prediction log: %s", what);
}

// One block at the start of *rest, which is advanced behind it; nothing is checked.
static void take_block(struct str *rest, const struct record_block_head *head, struct record_block *ret)
{
    struct record_block_head b = *head;
    size_t head_bytes = sizeof b + b.n_dims * sizeof(uint64_t);
    *ret = (struct record_block){.form = (enum record_form)b.form,
                                 .index = b.index,
                                 .t = {.dtype = (enum dtype)b.dtype,
                                       .n_dims = b.n_dims,
                                       .data = rest->p + head_bytes,
                                       .bytes = b.bytes}};
    for (uint32_t i = 0; i < b.n_dims; i++)
        memcpy(&ret->t.shape[i], rest->p + sizeof b + i * sizeof(uint64_t), sizeof(uint64_t));
    rest->p += head_bytes + padded(b.bytes);
    rest->n -= head_bytes + padded(b.bytes);
}

// The same of bytes that may be anything.
static int read_block(struct str *rest, struct record_block *ret, struct err *e)
{
    struct record_block_head b;
    if (rest->n < sizeof b)
        return bad(e, "a block's head is cut off");
    memcpy(&b, rest->p, sizeof b);
    if (b.n_dims > TENSOR_DIMS_MAX || b.form > RECORD_LEFT_OUT)
        return bad(e, "a block of an unknown form");
    size_t head = sizeof b + b.n_dims * sizeof(uint64_t);
    if (rest->n < head || padded(b.bytes) > rest->n - head)
        return bad(e, "a block is cut off");
    take_block(rest, &b, ret);
    if (b.form == RECORD_HASHED && b.dtype != DTYPE_UINT64)
        return bad(e, "hashes that are no UINT64");
    if (b.form != RECORD_LEFT_OUT)
        return tensor_check(&ret->t, e);
    if (b.bytes || b.dtype <= DTYPE_NONE || b.dtype > DTYPE_BYTES ||
        tensor_n_elements(ret->t.shape, b.n_dims) < 0)
        return bad(e, "a block that was left out and is there");
    return 0;
}

// Bytes of the block at the start of p[0..n), when it has one or two dimensions of numbers that agree with
// its size, as nearly all have. 0: it may still be a block, or not.
static size_t plain_block(const char *p, size_t n)
{
    const uint64_t DIM_MAX = 1 << 28; // no product of two, times a size, is too large
    const struct record_block_head *b = (const struct record_block_head *)(const void *)p;
    const uint64_t *shape = (const uint64_t *)(const void *)(b + 1);
    if (n < sizeof *b + 2 * sizeof *shape || b->form != RECORD_VALUES || b->n_dims - 1u > 1 ||
        b->dtype <= DTYPE_BOOL || b->dtype >= DTYPE_BYTES)
        return 0;
    uint64_t rows = shape[0], width = b->n_dims == 2 ? shape[1] : 1;
    size_t head = sizeof *b + b->n_dims * sizeof *shape, bytes = padded(b->bytes);
    bool is_sound = rows <= DIM_MAX && width <= DIM_MAX &&
                    rows * width * dtype_size((enum dtype)b->dtype) == b->bytes && bytes <= n - head;
    return is_sound ? head + bytes : 0;
}

static __attribute__((noinline)) int check_block(struct str *rest, struct err *e)
{
    struct record_block b;
    return read_block(rest, &b, e);
}

static int check_blocks(const char *p, size_t bytes, struct err *e)
{
    while (bytes) {
        struct str rest = {p, bytes};
        size_t n = plain_block(p, bytes);
        if (n == 0 && check_block(&rest, e))
            return ERR_INVALID;
        n = n ? n : bytes - rest.n;
        p += n;
        bytes -= n;
    }
    return 0;
}

static const char *fault_of(const struct record_head *h)
{
    if (h->bytes < RECORD_HEAD_BYTES || h->bytes % 8 || h->bytes > RECORD_BYTES_MAX)
        return "its length is impossible";
    size_t body = h->bytes - RECORD_HEAD_BYTES;
    if (h->input_bytes > body || h->output_bytes > body - h->input_bytes ||
        padded((size_t)h->input_bytes + h->output_bytes) != body)
        return "its parts are not as long as it is";
    if (!(h->sample_weight >= 1) || !isfinite(h->sample_weight))
        return "it weighs nothing";
    if (h->rows_kept > h->rows)
        return "more rows are kept than there were";
    return h->kind >= RECORD_PREDICTION && h->kind <= RECORD_SCHEMA ? NULL : "of an unknown kind";
}

bool record_is_likely(const void *p)
{
    struct record_head h;
    memcpy(&h, p, sizeof h);
    return !fault_of(&h);
}

static int read_body(struct record *r, struct err *e)
{
    const struct record_head *h = &r->head;
    const char *p = r->bytes.p + RECORD_HEAD_BYTES;
    switch (h->kind) {
    case RECORD_PREDICTION:
    case RECORD_FAILURE:
        r->inputs = (struct str){p, h->input_bytes};
        r->outputs = (struct str){p + h->input_bytes, h->output_bytes};
        return check_blocks(p, h->input_bytes, e) || check_blocks(p + h->input_bytes, h->output_bytes, e)
                   ? ERR_INVALID
                   : 0;
    case RECORD_GAP:
        if (h->input_bytes != sizeof r->gap || h->output_bytes)
            return bad(e, "a gap of another size");
        memcpy(&r->gap, p, sizeof r->gap);
        return r->gap.reason && r->gap.reason < RECORD_GAP_REASONS ? 0 : bad(e, "a gap without a reason");
    case RECORD_SCHEMA:
        r->schema_json = (struct str){p, h->input_bytes};
        return h->output_bytes ? bad(e, "a schema with outputs") : 0;
    default:
        return bad(e, "of an unknown kind");
    }
}

static int read_record(const void *p, size_t n, bool has_crc, struct record *ret, struct err *e)
{
    struct record_head *h = &ret->head;
    ret->inputs = ret->outputs = ret->schema_json = ret->bytes = (struct str){0};
    ret->gap = (struct record_gap){0};
    if (n < RECORD_HEAD_BYTES) {
        *h = (struct record_head){0};
        return err_set(e, ERR_TOO_LARGE, "%zu bytes are not a whole record", n);
    }
    memcpy(h, p, sizeof *h);
    const char *fault = fault_of(h);
    if (fault)
        return bad(e, fault);
    if (h->bytes > n)
        return err_set(e, ERR_TOO_LARGE, "%zu bytes are not the whole record of %u", n, h->bytes);
    if (has_crc && crc32c(0, (const char *)p + CRC_FROM, h->bytes - CRC_FROM) != h->crc)
        return bad(e, "its checksum is another");
    ret->bytes = (struct str){p, h->bytes};
    return read_body(ret, e);
}

int record_read(const void *p, size_t n, struct record *ret, struct err *e)
{
    return read_record(p, n, true, ret, e);
}

int record_look(const void *p, size_t n, struct record *ret, struct err *e)
{
    return read_record(p, n, false, ret, e);
}

bool record_block_next(struct str *rest, struct record_block *ret)
{
    struct record_block_head b;
    if (rest->n == 0)
        return false;
    ASSERT(rest->n >= sizeof b);
    memcpy(&b, rest->p, sizeof b);
    ASSERT(sizeof b + b.n_dims * sizeof(uint64_t) + padded(b.bytes) <= rest->n);
    take_block(rest, &b, ret);
    return true;
}

const char *record_kind_name(uint8_t kind)
{
    static const char *const NAMES[] = {"", "prediction", "failure", "gap", "schema"};
    return kind < sizeof NAMES / sizeof NAMES[0] ? NAMES[kind] : "";
}

const char *record_gap_reason_name(uint32_t reason)
{
    static const char *const NAMES[RECORD_GAP_REASONS] = {"",          "overflow", "torn",   "damaged",
                                                          "ring_lost", "disk",     "hostile"};
    return reason < RECORD_GAP_REASONS ? NAMES[reason] : "";
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_dash(int i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

bool record_id_read(struct str text, uint8_t ret[16])
{
    int n = 0;
    if (text.n != 36)
        return false;
    for (int i = 0; i < 36; i++) {
        int digit = hex_of(text.p[i]);
        if (is_dash(i) ? text.p[i] != '-' : digit < 0)
            return false;
        if (is_dash(i))
            continue;
        ret[n / 2] = (uint8_t)(n % 2 ? ret[n / 2] | digit : digit << 4);
        n++;
    }
    return true;
}

void record_id_write(const uint8_t id[16], char ret[37])
{
    static const char HEX[] = "0123456789abcdef";
    int n = 0;
    for (int i = 0; i < 36; i++) {
        if (is_dash(i)) {
            ret[i] = '-';
            continue;
        }
        ret[i] = HEX[n % 2 ? id[n / 2] & 15 : id[n / 2] >> 4];
        n++;
    }
    ret[36] = '\0';
}
