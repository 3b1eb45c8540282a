// SPDX-License-Identifier: Apache-2.0
// Pages of a column, one after the other, each taken apart when its first value is asked for.
#include "predlog/parquet_parts.h"

#include "base/limits.h"
#include "predlog/snappy.h"

#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST // next_in is const
#include <zlib.h>

enum { PAGE_DATA, PAGE_INDEX, PAGE_DICTIONARY, PAGE_DATA_2 };
enum { WIDTH_MAX = 32, GZIP_OR_ZLIB = 15 + 32 };

// What a page's header says; -1: nothing.
struct header {
    int64_t type, plain_bytes, bytes, n_values, encoding, level_encoding;
    int64_t level_bytes, repetition_bytes; // of version 2
    bool is_plain;                         // of version 2: its values are not compressed
};

// ---- numbers in runs

void parquet_hybrid_init(struct parquet_hybrid *h, const uint8_t *p, const uint8_t *end, unsigned width)
{
    *h = (struct parquet_hybrid){.p = p, .end = end, .width = width};
}

// The next run. The last packed one may end in the middle of its eight.
static bool next_run(struct parquet_hybrid *h)
{
    uint64_t head = 0, have = 0;
    unsigned shift = 0, bytes = (h->width + 7) / 8;
    do {
        if (h->p == h->end || shift > 28)
            return false;
        head |= (uint64_t)(*h->p & 0x7f) << shift;
        shift += 7;
    } while (*h->p++ & 0x80);
    have = (uint64_t)(h->end - h->p);
    h->is_packed = head & 1;
    if (h->is_packed) {
        uint64_t want = (head >> 1) * h->width, take = want < have ? want : have;
        h->left = want == take ? (head >> 1) * 8 : take * 8 / h->width;
        h->run = h->p;
        h->bit = 0;
        h->p += take;
        return true;
    }
    if (have < bytes)
        return false;
    h->left = head >> 1;
    h->value = 0;
    for (unsigned i = 0; i < bytes; i++)
        h->value |= (uint32_t)*h->p++ << 8 * i;
    return true;
}

bool parquet_hybrid_next(struct parquet_hybrid *h, uint32_t *ret)
{
    while (h->left == 0)
        if (!next_run(h))
            return false;
    h->left--;
    *ret = h->value;
    if (h->is_packed) {
        uint64_t v = 0;
        for (unsigned k = 0; k < h->width; k += (unsigned)(8 - (h->bit + k) % 8))
            v |= (uint64_t)(h->run[(h->bit + k) / 8] >> (h->bit + k) % 8) << k;
        *ret = (uint32_t)(v & ((UINT64_C(1) << h->width) - 1));
        h->bit += h->width;
    }
    return true;
}

// ---- headers and compression

// version 0: of a dictionary.
static void read_data_header(struct thrift_in *t, enum thrift_type type, int version, struct header *h)
{
    int16_t id = 0;
    enum thrift_type inner;
    t->failed |= type != THRIFT_IN_STRUCT;
    while (thrift_in_field(t, &id, &inner)) {
        if (id == 1)
            h->n_values = thrift_in_int(t, inner);
        else if (id == (version == 2 ? 4 : 2))
            h->encoding = thrift_in_int(t, inner);
        else if (version == 1 && id == 3)
            h->level_encoding = thrift_in_int(t, inner);
        else if (version == 2 && id == 5)
            h->level_bytes = thrift_in_int(t, inner);
        else if (version == 2 && id == 6)
            h->repetition_bytes = thrift_in_int(t, inner);
        else if (version == 2 && id == 7)
            h->is_plain = !thrift_in_bool(t, inner);
        else
            thrift_in_skip(t, inner);
    }
}

static bool read_header(struct thrift_in *t, struct header *h)
{
    int16_t id = 0;
    enum thrift_type type;
    *h = (struct header){-1, -1, -1, -1, -1, PARQUET_RLE, 0, 0, false};
    while (thrift_in_field(t, &id, &type)) {
        if (id == 1)
            h->type = thrift_in_int(t, type);
        else if (id == 2)
            h->plain_bytes = thrift_in_int(t, type);
        else if (id == 3)
            h->bytes = thrift_in_int(t, type);
        else if (id == 5)
            read_data_header(t, type, 1, h);
        else if (id == 7)
            read_data_header(t, type, 0, h);
        else if (id == 8)
            read_data_header(t, type, 2, h);
        else
            thrift_in_skip(t, type);
    }
    return !t->failed && h->bytes >= 0 && h->bytes <= t->end - t->p && h->plain_bytes >= 0;
}

static bool gunzip(struct str from, char *to, size_t size)
{
    z_stream z = {.next_in = (const Bytef *)from.p,
                  .avail_in = (uInt)from.n,
                  .next_out = (Bytef *)to,
                  .avail_out = (uInt)size};
    if (inflateInit2(&z, GZIP_OR_ZLIB) != Z_OK)
        return false;
    int state = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return state == Z_STREAM_END && z.avail_out == 0;
}

static int refuse(const struct parquet_column_in *c, const char *what, const char *name, struct err *e)
{
    struct str shown = {c->name.p, c->name.n < 80 ? c->name.n : 80};
    err_set(e, ERR_INVALID, "column '" STR_FMT "' of the Parquet file has the %s %s, which is not read",
            STR_ARG(shown), what, *name ? name : "of a later version");
    err_hint(e, "Write it with pandas' or Polars' defaults, or as CSV.");
    return ERR_INVALID;
}

// Bytes as they were before compression: of `out`, or where they lie.
static int unpack(struct parquet_file *f, const struct parquet_column_in *c, struct str from, size_t size,
                  struct buf *out, struct str *ret, struct err *e)
{
    bool is_good = false;
    if (c->codec == PARQUET_PLAIN_BYTES) {
        *ret = from;
        return from.n == size ? 0 : parquet_bad(e, "a page is not as long as it says");
    }
    if (size > LIMIT_PARQUET_PAGE_BYTES)
        return err_set(e, ERR_TOO_LARGE, "a page of the Parquet file has %zu bytes, and %d are taken", size,
                       LIMIT_PARQUET_PAGE_BYTES);
    buf_clear(out);
    char *to = buf_reserve(out, size + 1);
    if (!to)
        return err_set(e, ERR_NOMEM, "no memory for a page of a Parquet file");
    if (c->codec == PARQUET_SNAPPY)
        is_good = snappy_decode(from.p, from.n, to, size);
    else if (c->codec == PARQUET_GZIP)
        is_good = gunzip(from, to, size);
    else if (c->codec == PARQUET_ZSTD)
        is_good = ZSTD_decompressDCtx(f->zstd, to, size, from.p, from.n) == size;
    else
        return refuse(c, "codec", parquet_codec_name(c->codec), e);
    buf_advance(out, size);
    *ret = buf_str(out);
    return is_good ? 0 : parquet_bad(e, "a page does not decompress");
}

// ---- dictionaries

static size_t value_bytes(enum parquet_physical p)
{
    return p == PARQUET_PHYSICAL_INT32 || p == PARQUET_PHYSICAL_FLOAT ? 4 : 8;
}

// A text at *p, which is advanced behind it.
static bool take_text(const uint8_t **p, const uint8_t *end, struct str *ret)
{
    uint32_t n;
    if (end - *p < 4)
        return false;
    memcpy(&n, *p, sizeof n);
    if (n > (size_t)(end - *p) - 4)
        return false;
    *ret = (struct str){(const char *)*p + 4, n};
    *p += 4 + (size_t)n;
    return true;
}

static int index_texts(struct parquet_column_in *c, struct err *e)
{
    const uint8_t *p = c->entries;
    free(c->texts);
    c->texts = calloc((size_t)c->n_entries + 1, sizeof *c->texts);
    if (!c->texts)
        return err_set(e, ERR_NOMEM, "no memory for a dictionary of a Parquet file");
    for (uint32_t i = 0; i < c->n_entries; i++)
        if (!take_text(&p, c->entries_end, &c->texts[i]))
            return parquet_bad(e, "a dictionary has fewer texts than it says");
    return 0;
}

static int take_dictionary(struct parquet_file *f, struct parquet_column_in *c, const struct header *h,
                           struct str body, struct err *e)
{
    bool texts = c->physical == PARQUET_PHYSICAL_BYTES;
    struct str plain = {0};
    if (h->encoding != PARQUET_PLAIN && h->encoding != PARQUET_PLAIN_DICTIONARY)
        return refuse(c, "encoding", parquet_encoding_name(h->encoding), e);
    int rc = unpack(f, c, body, (size_t)h->plain_bytes, &c->dictionary, &plain, e);
    if (rc)
        return rc;
    if (h->n_values < 0 || (uint64_t)h->n_values > plain.n / (texts ? 4 : value_bytes(c->physical)) ||
        c->physical == PARQUET_PHYSICAL_BOOLEAN)
        return parquet_bad(e, "a dictionary has fewer values than it says");
    c->entries = (const uint8_t *)plain.p;
    c->entries_end = c->entries + plain.n;
    c->n_entries = (uint32_t)h->n_values;
    return texts ? index_texts(c, e) : 0;
}

// ---- pages of values

static int begin_values(struct parquet_column_in *c, const struct header *h, const uint8_t *p,
                        const uint8_t *end, struct err *e)
{
    uint32_t n = 0;
    c->values = p;
    c->values_end = end;
    c->bit = 0;
    if (h->encoding == PARQUET_PLAIN) {
        c->encoding = PARQUET_PLAIN;
    } else if (h->encoding == PARQUET_RLE_DICTIONARY || h->encoding == PARQUET_PLAIN_DICTIONARY) {
        c->encoding = PARQUET_RLE_DICTIONARY;
        // Without a byte there are no values, only nulls.
        if (p<end && * p> WIDTH_MAX)
            return parquet_bad(e, "a page of impossible numbers");
        parquet_hybrid_init(&c->indexes, p < end ? p + 1 : p, end, p < end ? *p : 0);
    } else if (h->encoding == PARQUET_RLE && c->physical == PARQUET_PHYSICAL_BOOLEAN) {
        c->encoding = PARQUET_RLE;
        if (end - p >= 4)
            memcpy(&n, p, sizeof n);
        if (end - p < 4 || n > (size_t)(end - p) - 4)
            return parquet_bad(e, "a page of booleans is cut off");
        parquet_hybrid_init(&c->indexes, p + 4, p + 4 + n, 1);
    } else {
        return refuse(c, "encoding", parquet_encoding_name(h->encoding), e);
    }
    return 0;
}

static int begin_page_1(struct parquet_file *f, struct parquet_column_in *c, const struct header *h,
                        struct str body, struct err *e)
{
    struct str plain = {0};
    uint32_t n = 0;
    int rc = unpack(f, c, body, (size_t)h->plain_bytes, &c->page, &plain, e);
    if (rc)
        return rc;
    const uint8_t *p = (const uint8_t *)plain.p, *end = p + plain.n;
    if (c->may_be_null) {
        if (h->level_encoding != PARQUET_RLE)
            return refuse(c, "encoding of nulls", parquet_encoding_name(h->level_encoding), e);
        if (end - p >= 4)
            memcpy(&n, p, sizeof n);
        if (end - p < 4 || n > (size_t)(end - p) - 4)
            return parquet_bad(e, "a page is cut off");
        parquet_hybrid_init(&c->levels, p + 4, p + 4 + n, 1);
        p += 4 + (size_t)n;
    }
    return begin_values(c, h, p, end, e);
}

// Levels are not compressed, and lie before the values.
static int begin_page_2(struct parquet_file *f, struct parquet_column_in *c, const struct header *h,
                        struct str body, struct err *e)
{
    struct str plain = {0};
    uint8_t codec = c->codec;
    if (h->repetition_bytes || h->level_bytes < 0 || (uint64_t)h->level_bytes > body.n ||
        h->level_bytes > h->plain_bytes)
        return parquet_bad(e, "a page is cut off");
    size_t levels = (size_t)h->level_bytes;
    const uint8_t *p = (const uint8_t *)body.p;
    parquet_hybrid_init(&c->levels, p, p + levels, 1);
    c->codec = h->is_plain ? PARQUET_PLAIN_BYTES : codec;
    // Without a value there may be nothing, not even an empty stream.
    bool is_empty = body.n == levels;
    int rc = is_empty ? 0
                      : unpack(f, c, (struct str){body.p + levels, body.n - levels},
                               (size_t)h->plain_bytes - levels, &c->page, &plain, e);
    c->codec = codec;
    if (rc)
        return rc;
    p = is_empty ? p + levels : (const uint8_t *)plain.p;
    return begin_values(c, h, p, is_empty ? p : p + plain.n, e);
}

static int next_page(struct parquet_file *f, struct parquet_column_in *c, struct err *e)
{
    struct header h;
    if (c->rest.p == c->rest.end)
        return parquet_bad(e, "a column has fewer values than there are rows");
    if (!read_header(&c->rest, &h))
        return parquet_bad(e, "the head of a page does not read");
    struct str body = {(const char *)c->rest.p, (size_t)h.bytes};
    c->rest.p += h.bytes;
    if (h.type == PAGE_DICTIONARY)
        return take_dictionary(f, c, &h, body, e);
    if (h.type == PAGE_INDEX)
        return 0;
    if ((h.type != PAGE_DATA && h.type != PAGE_DATA_2) || h.n_values < 0)
        return parquet_bad(e, "a page of an unknown kind");
    c->n_left = (uint64_t)h.n_values;
    c->has_levels = c->may_be_null;
    return h.type == PAGE_DATA ? begin_page_1(f, c, &h, body, e) : begin_page_2(f, c, &h, body, e);
}

// ---- values

static void set_number(const struct parquet_column_in *c, const uint8_t *p, struct parquet_cell *ret)
{
    int32_t i32;
    float f32;
    ret->kind = c->is_unsigned ? PARQUET_CELL_UINT : PARQUET_CELL_INT;
    if (c->physical == PARQUET_PHYSICAL_INT32) {
        memcpy(&i32, p, sizeof i32);
        ret->i = i32;
        ret->u = (uint32_t)i32;
    } else if (c->physical == PARQUET_PHYSICAL_INT64) {
        memcpy(&ret->i, p, sizeof ret->i);
        ret->u = (uint64_t)ret->i;
    } else if (c->physical == PARQUET_PHYSICAL_FLOAT) {
        memcpy(&f32, p, sizeof f32);
        ret->kind = PARQUET_CELL_DOUBLE;
        ret->d = (double)f32;
    } else {
        memcpy(&ret->d, p, sizeof ret->d);
        ret->kind = PARQUET_CELL_DOUBLE;
    }
}

static int take_boolean(struct parquet_column_in *c, struct parquet_cell *ret, struct err *e)
{
    uint32_t v = 0;
    bool is_there = c->encoding == PARQUET_RLE     ? parquet_hybrid_next(&c->indexes, &v)
                    : c->encoding == PARQUET_PLAIN ? c->values < c->values_end
                                                   : false;
    if (!is_there)
        return parquet_bad(e, "a page has fewer values than it says");
    if (c->encoding == PARQUET_PLAIN) {
        v = *c->values >> c->bit & 1;
        c->bit = (c->bit + 1) % 8;
        c->values += c->bit == 0;
    }
    ret->kind = PARQUET_CELL_BOOL;
    ret->is_true = v;
    return 0;
}

static int take_by_dictionary(struct parquet_column_in *c, struct parquet_cell *ret, struct err *e)
{
    uint32_t i;
    if (!parquet_hybrid_next(&c->indexes, &i) || i >= c->n_entries)
        return parquet_bad(e, "a value is not in the dictionary");
    if (c->physical == PARQUET_PHYSICAL_BYTES) {
        ret->kind = PARQUET_CELL_TEXT;
        ret->text = c->texts[i];
    } else {
        set_number(c, c->entries + i * value_bytes(c->physical), ret);
    }
    return 0;
}

static int take_plain(struct parquet_column_in *c, struct parquet_cell *ret, struct err *e)
{
    size_t n = value_bytes(c->physical);
    if (c->physical == PARQUET_PHYSICAL_BYTES) {
        ret->kind = PARQUET_CELL_TEXT;
        return take_text(&c->values, c->values_end, &ret->text)
                   ? 0
                   : parquet_bad(e, "a page has fewer texts than it says");
    }
    if ((size_t)(c->values_end - c->values) < n)
        return parquet_bad(e, "a page has fewer values than it says");
    set_number(c, c->values, ret);
    c->values += n;
    return 0;
}

void parquet_chunk_begin(struct parquet_file *f, struct parquet_column_in *c, const struct parquet_chunk *k)
{
    const uint8_t *from = (const uint8_t *)f->bytes.p + k->offset;
    c->rest = (struct thrift_in){from, from + k->bytes, false};
    c->codec = k->codec;
    c->n_left = 0;
    c->n_entries = 0;
}

int parquet_value_next(struct parquet_file *f, struct parquet_column_in *c, struct parquet_cell *ret,
                       struct err *e)
{
    uint32_t level = 1;
    int rc = 0;
    while (!rc && c->n_left == 0)
        rc = next_page(f, c, e);
    if (rc)
        return rc;
    c->n_left--;
    *ret = (struct parquet_cell){.kind = PARQUET_CELL_NULL};
    if (c->has_levels && !parquet_hybrid_next(&c->levels, &level))
        return parquet_bad(e, "a page has fewer values than it says");
    if (level == 0)
        return 0;
    if (c->physical == PARQUET_PHYSICAL_BOOLEAN)
        return take_boolean(c, ret, e);
    return c->encoding == PARQUET_RLE_DICTIONARY ? take_by_dictionary(c, ret, e) : take_plain(c, ret, e);
}
