// SPDX-License-Identifier: Apache-2.0
// A row group is gathered in memory, a buffer of values and one of levels (1: there, 0: null) a column. The
// field numbers are those of parquet.thrift.
#include "predlog/parquet.h"

#include "base/assert.h"
#include "os/file.h"
#include "predlog/thrift.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

static const char MAGIC[4] = "PAR1";

enum { LEVEL = 3, COLUMN_BYTES = 1 << 30, FOOTER_BYTES = 1 << 30 };
enum { TYPE_BOOLEAN = 0, TYPE_INT64 = 2, TYPE_DOUBLE = 5, TYPE_BYTE_ARRAY = 6 };
enum { ENCODING_PLAIN = 0, ENCODING_RLE = 3, CODEC_ZSTD = 6, PAGE_DATA = 0, REPETITION_OPTIONAL = 1 };
enum { CONVERTED_UTF8 = 0, CONVERTED_TIMESTAMP_MICROS = 10 };

struct column {
    struct buf values; // PLAIN; of booleans one byte each until the page is made
    struct buf levels; // one byte a row
    bool is_set;       // in the row at hand
};

struct chunk { // of a column in a row group that was written
    uint64_t offset, bytes, plain_bytes;
};

struct parquet {
    int fd;
    const struct parquet_column *columns;
    uint32_t n_columns, n_rows; // of the group at hand
    uint64_t offset, total_rows;
    struct column *data;
    struct buf chunks; // struct chunk[n_columns] for each group
    struct buf groups; // uint32_t rows of each
    size_t group_bytes;
    ZSTD_CCtx *zstd;
    struct buf page, packed;
};

static int out_of_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "out of memory for a Parquet file");
}

static int put(struct parquet *p, const void *bytes, size_t n, struct err *e)
{
    p->offset += n;
    return file_write_all(p->fd, bytes, n, e);
}

int parquet_new(int fd, const struct parquet_column *columns, uint32_t n, struct parquet **ret, struct err *e)
{
    struct parquet *p = calloc(1, sizeof *p);
    if (!p)
        return out_of_memory(e);
    *p = (struct parquet){.fd = fd, .columns = columns, .n_columns = n, .zstd = ZSTD_createCCtx()};
    p->data = calloc((size_t)n + 1, sizeof *p->data);
    buf_init(&p->chunks, FOOTER_BYTES);
    buf_init(&p->groups, FOOTER_BYTES);
    buf_init(&p->page, COLUMN_BYTES);
    buf_init(&p->packed, COLUMN_BYTES);
    for (uint32_t i = 0; p->data && i < n; i++) {
        buf_init(&p->data[i].values, COLUMN_BYTES);
        buf_init(&p->data[i].levels, COLUMN_BYTES);
    }
    int rc = p->data && p->zstd ? put(p, MAGIC, sizeof MAGIC, e) : out_of_memory(e);
    if (rc) {
        parquet_free(p);
        return rc;
    }
    *ret = p;
    return 0;
}

void parquet_free(struct parquet *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; p->data && i < p->n_columns; i++) {
        buf_done(&p->data[i].values);
        buf_done(&p->data[i].levels);
    }
    free(p->data);
    buf_done(&p->chunks);
    buf_done(&p->groups);
    buf_done(&p->page);
    buf_done(&p->packed);
    ZSTD_freeCCtx(p->zstd);
    free(p);
}

// ---- values

static struct buf *begin_value(struct parquet *p, uint32_t column, size_t n)
{
    ASSERT(column < p->n_columns && !p->data[column].is_set);
    p->data[column].is_set = true;
    p->group_bytes += n;
    return &p->data[column].values;
}

void parquet_put_bool(struct parquet *p, uint32_t column, bool v)
{
    buf_putc(begin_value(p, column, 1), (char)v);
}

void parquet_put_i64(struct parquet *p, uint32_t column, int64_t v)
{
    buf_put(begin_value(p, column, sizeof v), &v, sizeof v);
}

void parquet_put_double(struct parquet *p, uint32_t column, double v)
{
    buf_put(begin_value(p, column, sizeof v), &v, sizeof v);
}

void parquet_put_text(struct parquet *p, uint32_t column, struct str v)
{
    uint32_t n = (uint32_t)v.n;
    struct buf *b = begin_value(p, column, sizeof n + v.n);
    buf_put(b, &n, sizeof n);
    buf_put_str(b, v);
}

// ---- pages

// Eight values a byte, the first in the lowest bit; what follows `tail` of the eight is zero.
static void put_bits(const struct buf *bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes->n; i += 8) {
        unsigned bits = 0;
        for (size_t k = 0; k < 8 && i + k < bytes->n; k++)
            bits |= (unsigned)bytes->p[i + k] << k;
        buf_putc(out, (char)bits);
    }
}

static void put_varint(uint64_t v, struct buf *out)
{
    for (; v >= 0x80; v >>= 7)
        buf_putc(out, (char)(v | 0x80));
    buf_putc(out, (char)v);
}

// Levels in the RLE / bit-packed hybrid at a width of one bit: one run where all are alike, else packed.
static void put_levels(const struct buf *levels, struct buf *out)
{
    size_t at = out->n;
    bool alike = !memchr(levels->p, 1 - levels->p[0], levels->n);
    buf_put(out, "\0\0\0", 4);
    if (alike) {
        put_varint((uint64_t)levels->n << 1, out);
        buf_putc(out, levels->p[0]);
    } else {
        put_varint((uint64_t)(levels->n + 7) / 8 << 1 | 1, out);
        put_bits(levels, out);
    }
    uint32_t n = (uint32_t)(out->n - at - 4);
    if (!out->failed)
        memcpy(out->p + at, &n, sizeof n);
}

static void put_page_header(const struct parquet *p, size_t plain, size_t packed, struct buf *out)
{
    struct thrift t = {.out = out};
    thrift_i32(&t, 1, PAGE_DATA);
    thrift_i32(&t, 2, (int32_t)plain);
    thrift_i32(&t, 3, (int32_t)packed);
    thrift_struct(&t, 5);
    thrift_i32(&t, 1, (int32_t)p->n_rows);
    thrift_i32(&t, 2, ENCODING_PLAIN);
    thrift_i32(&t, 3, ENCODING_RLE);
    thrift_i32(&t, 4, ENCODING_RLE);
    thrift_end(&t);
    buf_putc(out, 0);
}

static int write_column(struct parquet *p, uint32_t i, struct err *e)
{
    struct column *c = &p->data[i];
    struct chunk chunk = {.offset = p->offset};
    struct buf header;
    buf_clear(&p->page);
    buf_clear(&p->packed);
    buf_init(&header, 256);
    put_levels(&c->levels, &p->page);
    if (p->columns[i].type == PARQUET_BOOLEAN)
        put_bits(&c->values, &p->page);
    else
        buf_put_str(&p->page, buf_str(&c->values));
    char *to = buf_reserve(&p->packed, ZSTD_compressBound(p->page.n));
    size_t n =
        to ? ZSTD_compressCCtx(p->zstd, to, ZSTD_compressBound(p->page.n), p->page.p, p->page.n, LEVEL) : 0;
    if (p->page.failed || c->values.failed || c->levels.failed || !to || ZSTD_isError(n))
        return out_of_memory(e);
    put_page_header(p, p->page.n, n, &header);
    chunk.bytes = header.n + n;
    chunk.plain_bytes = header.n + p->page.n;
    int rc = header.failed ? out_of_memory(e) : put(p, header.p, header.n, e);
    if (!rc)
        rc = put(p, to, n, e);
    buf_put(&p->chunks, &chunk, sizeof chunk);
    buf_done(&header);
    buf_clear(&c->values);
    buf_clear(&c->levels);
    return rc;
}

static int write_group(struct parquet *p, struct err *e)
{
    int rc = 0;
    if (p->n_rows == 0)
        return 0;
    for (uint32_t i = 0; !rc && i < p->n_columns; i++)
        rc = write_column(p, i, e);
    buf_put(&p->groups, &p->n_rows, sizeof p->n_rows);
    p->n_rows = 0;
    p->group_bytes = 0;
    return rc;
}

int parquet_end_row(struct parquet *p, struct err *e)
{
    for (uint32_t i = 0; i < p->n_columns; i++) {
        buf_putc(&p->data[i].levels, p->data[i].is_set);
        p->data[i].is_set = false;
    }
    p->total_rows++;
    p->group_bytes += p->n_columns; // the levels
    bool full = ++p->n_rows == PARQUET_GROUP_ROWS || p->group_bytes >= PARQUET_GROUP_BYTES;
    return full ? write_group(p, e) : 0;
}

// ---- the footer

static int32_t physical(enum parquet_type type)
{
    switch (type) {
    case PARQUET_BOOLEAN:
        return TYPE_BOOLEAN;
    case PARQUET_DOUBLE:
        return TYPE_DOUBLE;
    case PARQUET_TEXT:
        return TYPE_BYTE_ARRAY;
    case PARQUET_INT64:
    case PARQUET_TIMESTAMP:
        break;
    }
    return TYPE_INT64;
}

static void put_schema_column(struct thrift *t, const struct parquet_column *c)
{
    thrift_struct(t, 0);
    thrift_i32(t, 1, physical(c->type));
    thrift_i32(t, 3, REPETITION_OPTIONAL);
    thrift_text(t, 4, c->name);
    if (c->type == PARQUET_TEXT) {
        thrift_i32(t, 6, CONVERTED_UTF8);
        thrift_struct(t, 10); // LogicalType
        thrift_struct(t, 1);  // STRING
        thrift_end(t);
        thrift_end(t);
    } else if (c->type == PARQUET_TIMESTAMP) {
        thrift_i32(t, 6, CONVERTED_TIMESTAMP_MICROS);
        thrift_struct(t, 10);
        thrift_struct(t, 8);     // TIMESTAMP
        thrift_bool(t, 1, true); // adjusted to UTC
        thrift_struct(t, 2);
        thrift_struct(t, 2); // microseconds
        thrift_end(t);
        thrift_end(t);
        thrift_end(t);
        thrift_end(t);
    }
    thrift_end(t);
}

static void put_chunk(struct thrift *t, const struct parquet_column *c, const struct chunk *chunk,
                      uint32_t rows)
{
    thrift_struct(t, 0);
    thrift_i64(t, 2, (int64_t)chunk->offset);
    thrift_struct(t, 3);
    thrift_i32(t, 1, physical(c->type));
    thrift_list(t, 2, THRIFT_I32, 2);
    thrift_element_i32(t, ENCODING_PLAIN);
    thrift_element_i32(t, ENCODING_RLE);
    thrift_list(t, 3, THRIFT_TEXT, 1);
    thrift_element_text(t, c->name);
    thrift_i32(t, 4, CODEC_ZSTD);
    thrift_i64(t, 5, rows);
    thrift_i64(t, 6, (int64_t)chunk->plain_bytes);
    thrift_i64(t, 7, (int64_t)chunk->bytes);
    thrift_i64(t, 9, (int64_t)chunk->offset);
    thrift_end(t);
    thrift_end(t);
}

static void put_group(struct thrift *t, const struct parquet *p, const struct chunk *chunks, uint32_t rows)
{
    uint64_t bytes = 0;
    thrift_struct(t, 0);
    thrift_list(t, 1, THRIFT_STRUCT, p->n_columns);
    for (uint32_t i = 0; i < p->n_columns; i++) {
        put_chunk(t, &p->columns[i], &chunks[i], rows);
        bytes += chunks[i].plain_bytes;
    }
    thrift_i64(t, 2, (int64_t)bytes);
    thrift_i64(t, 3, rows);
    thrift_end(t);
}

int parquet_finish(struct parquet *p, struct err *e)
{
    struct buf footer;
    struct thrift t = {.out = &footer};
    int rc = write_group(p, e);
    if (rc)
        return rc;
    uint32_t n_groups = (uint32_t)(p->groups.n / sizeof(uint32_t));
    const struct chunk *chunks = (const struct chunk *)(const void *)p->chunks.p;
    buf_init(&footer, FOOTER_BYTES);
    thrift_i32(&t, 1, 2);
    thrift_list(&t, 2, THRIFT_STRUCT, p->n_columns + 1);
    thrift_struct(&t, 0);
    thrift_text(&t, 4, STR("schema"));
    thrift_i32(&t, 5, (int32_t)p->n_columns);
    thrift_end(&t);
    for (uint32_t i = 0; i < p->n_columns; i++)
        put_schema_column(&t, &p->columns[i]);
    thrift_i64(&t, 3, (int64_t)p->total_rows);
    thrift_list(&t, 4, THRIFT_STRUCT, n_groups);
    for (uint32_t g = 0; g < n_groups; g++) {
        uint32_t rows;
        memcpy(&rows, p->groups.p + g * sizeof rows, sizeof rows);
        put_group(&t, p, chunks + (size_t)g * p->n_columns, rows);
    }
    thrift_text(&t, 6, STR("slipway"));
    buf_putc(&footer, 0);
    uint32_t n = (uint32_t)footer.n;
    buf_put(&footer, &n, sizeof n);
    buf_put(&footer, MAGIC, sizeof MAGIC);
    bool failed = footer.failed || p->chunks.failed || p->groups.failed;
    rc = failed ? out_of_memory(e) : put(p, footer.p, footer.n, e);
    buf_done(&footer);
    return rc;
}
