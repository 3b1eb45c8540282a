// SPDX-License-Identifier: Apache-2.0
// The footer: the tree of columns, of which those of the first level without children are read, and where
// the parts of each lie. Field numbers are those of parquet.thrift.
#include "predlog/parquet_parts.h"

#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

enum { TAIL_BYTES = 8, REPEATED = 2 };

// A node of the schema, and what its annotations say.
struct element {
    struct str name;
    int64_t type, repetition, n_children, converted, logical, bits;
    bool has_type, is_signed;
};

int parquet_bad(struct err *e, const char *what)
{
    return err_set(e, ERR_INVALID, "the Parquet file is damaged: %s", what);
}

const char *parquet_codec_name(int64_t codec)
{
    static const char *const NAMES[PARQUET_CODECS] = {"UNCOMPRESSED", "SNAPPY", "GZIP", "LZO",
                                                      "BROTLI",       "LZ4",    "ZSTD", "LZ4_RAW"};
    return codec >= 0 && codec < PARQUET_CODECS ? NAMES[codec] : "";
}

const char *parquet_encoding_name(int64_t encoding)
{
    static const char *const NAMES[PARQUET_ENCODINGS] = {"PLAIN",
                                                         "",
                                                         "PLAIN_DICTIONARY",
                                                         "RLE",
                                                         "BIT_PACKED",
                                                         "DELTA_BINARY_PACKED",
                                                         "DELTA_LENGTH_BYTE_ARRAY",
                                                         "DELTA_BYTE_ARRAY",
                                                         "RLE_DICTIONARY",
                                                         "BYTE_STREAM_SPLIT"};
    return encoding >= 0 && encoding < PARQUET_ENCODINGS ? NAMES[encoding] : "";
}

// ---- columns

// LogicalType: a union, of which the field says which it is.
static void read_logical(struct thrift_in *t, enum thrift_type type, struct element *x)
{
    int16_t id = 0, inner = 0;
    enum thrift_type kind = type;
    t->failed |= type != THRIFT_IN_STRUCT;
    while (thrift_in_field(t, &id, &kind)) {
        x->logical = id;
        if (id != 10 || kind != THRIFT_IN_STRUCT) {
            thrift_in_skip(t, kind);
            continue;
        }
        while (thrift_in_field(t, &inner, &kind)) { // INTEGER
            if (inner == 2)
                x->is_signed = thrift_in_bool(t, kind);
            else
                thrift_in_skip(t, kind);
        }
    }
}

static void read_element(struct thrift_in *t, struct element *x)
{
    int16_t id = 0;
    enum thrift_type type;
    *x = (struct element){.name = STR(""), .converted = -1, .is_signed = true};
    while (thrift_in_field(t, &id, &type)) {
        if (id == 1) {
            x->type = thrift_in_int(t, type);
            x->has_type = true;
        } else if (id == 3) {
            x->repetition = thrift_in_int(t, type);
        } else if (id == 4) {
            x->name = thrift_in_text(t, type);
        } else if (id == 5) {
            x->n_children = thrift_in_int(t, type);
        } else if (id == 6) {
            x->converted = thrift_in_int(t, type);
        } else if (id == 10) {
            read_logical(t, type, x);
        } else {
            thrift_in_skip(t, type);
        }
    }
}

// Annotations that make something else of a column than its values: NULL where there is none.
static const char *refused_as(const struct element *x)
{
    enum { DECIMAL = 5, DATE, TIME_MS, TIME_US, TIMESTAMP_MS, TIMESTAMP_US, INTERVAL = 21 };
    enum {
        LOGICAL_DECIMAL = 5,
        LOGICAL_DATE,
        LOGICAL_TIME,
        LOGICAL_TIMESTAMP,
        LOGICAL_UUID = 14,
        LOGICAL_FLOAT16
    };
    if (x->repetition == REPEATED)
        return "a list";
    if (x->type == PARQUET_PHYSICAL_INT96)
        return "a time (INT96)";
    if (x->converted == DECIMAL || x->logical == LOGICAL_DECIMAL)
        return "a decimal number (DECIMAL)";
    if ((x->converted >= DATE && x->converted <= TIMESTAMP_US) || x->converted == INTERVAL ||
        (x->logical >= LOGICAL_DATE && x->logical <= LOGICAL_TIMESTAMP))
        return "a date or a time";
    if (x->logical == LOGICAL_FLOAT16)
        return "a half float (FLOAT16)";
    return x->type == PARQUET_PHYSICAL_FIXED ? "bytes of a fixed length (FIXED_LEN_BYTE_ARRAY)" : NULL;
}

static bool is_unsigned(const struct element *x)
{
    enum { UINT_8 = 11, UINT_64 = 14 };
    return (x->converted >= UINT_8 && x->converted <= UINT_64) || !x->is_signed;
}

// A column of the first level, with all that is below it.
static int read_column(struct parquet_file *f, struct thrift_in *t, uint32_t *left, struct err *e)
{
    struct element x;
    struct parquet_column_in *c = &f->columns[f->n_columns++];
    read_element(t, &x);
    *c = (struct parquet_column_in){.name = x.name, .leaf = f->n_leaves, .may_be_null = x.repetition == 1};
    buf_init(&c->page, LIMIT_PARQUET_PAGE_BYTES);
    buf_init(&c->dictionary, LIMIT_PARQUET_PAGE_BYTES);
    --*left;
    if (x.has_type) {
        f->n_leaves++;
        if (x.type < 0 || x.type >= PARQUET_PHYSICALS || x.n_children)
            return parquet_bad(e, "a column of an unknown type");
        c->physical = (enum parquet_physical)x.type;
        c->is_unsigned = is_unsigned(&x);
        c->refused = refused_as(&x);
        return 0;
    }
    c->refused = "a list, a map or a struct";
    for (int64_t below = x.n_children; below > 0 && !t->failed; below--) {
        if (*left == 0)
            return parquet_bad(e, "its schema has fewer columns than it says");
        read_element(t, &x);
        --*left;
        f->n_leaves += x.has_type;
        if (x.n_children < 0 || x.n_children > *left)
            return parquet_bad(e, "its schema has fewer columns than it says");
        below += x.n_children;
    }
    return 0;
}

static int read_schema(struct parquet_file *f, struct thrift_in *t, enum thrift_type type, struct err *e)
{
    enum thrift_type inner;
    struct element root;
    uint32_t n = thrift_in_list(t, type, &inner);
    if (f->columns || n == 0 || inner != THRIFT_IN_STRUCT)
        return parquet_bad(e, "it has no schema");
    if (n > 2 * LIMIT_MODEL_FEATURES)
        return err_set(e, ERR_TOO_LARGE, "the Parquet file has %u columns, and %d are taken", n,
                       2 * LIMIT_MODEL_FEATURES);
    f->columns = calloc(n, sizeof *f->columns);
    if (!f->columns)
        return err_set(e, ERR_NOMEM, "no memory for the columns of a Parquet file");
    read_element(t, &root);
    int rc = 0;
    for (n--; n && !rc && !t->failed;)
        rc = read_column(f, t, &n, e);
    return rc;
}

// ---- row groups

static void read_place(struct thrift_in *t, enum thrift_type type, struct parquet_chunk *k, bool *is_sound)
{
    int16_t id = 0;
    int64_t codec = -1, data = 0, dictionary = 0, bytes = 0;
    enum thrift_type inner;
    t->failed |= type != THRIFT_IN_STRUCT;
    while (thrift_in_field(t, &id, &inner)) {
        if (id == 4)
            codec = thrift_in_int(t, inner);
        else if (id == 5)
            k->n_values = thrift_in_int(t, inner);
        else if (id == 7)
            bytes = thrift_in_int(t, inner);
        else if (id == 9)
            data = thrift_in_int(t, inner);
        else if (id == 11)
            dictionary = thrift_in_int(t, inner);
        else
            thrift_in_skip(t, inner);
    }
    int64_t from = dictionary > 0 && dictionary < data ? dictionary : data;
    *is_sound = codec >= 0 && codec < PARQUET_CODECS && from >= 0 && bytes >= 0 && k->n_values >= 0;
    k->codec = (uint8_t)codec;
    k->offset = (uint64_t)from;
    k->bytes = (uint64_t)bytes;
}

static int read_chunk(struct parquet_file *f, struct thrift_in *t, struct err *e)
{
    int16_t id = 0;
    enum thrift_type type;
    struct parquet_chunk k = {0};
    bool is_sound = false, is_elsewhere = false, is_secret = false;
    while (thrift_in_field(t, &id, &type)) {
        if (id == 3) {
            read_place(t, type, &k, &is_sound);
            continue;
        }
        is_elsewhere |= id == 1;
        is_secret |= id == 8;
        thrift_in_skip(t, type);
    }
    if (is_elsewhere)
        return err_set(e, ERR_INVALID, "the Parquet file has its columns in other files");
    if (is_secret)
        return err_set(e, ERR_INVALID, "the Parquet file is encrypted");
    if (!is_sound || k.offset > f->body_end || k.bytes > f->body_end - k.offset)
        return parquet_bad(e, "a column lies outside of it");
    buf_put(&f->chunks, &k, sizeof k);
    return f->chunks.failed ? err_set(e, ERR_NOMEM, "no memory for the places of columns") : 0;
}

static int read_group(struct parquet_file *f, struct thrift_in *t, struct err *e)
{
    int16_t id = 0;
    enum thrift_type type, inner;
    int64_t rows = -1;
    uint32_t n = 0;
    int rc = 0;
    while (!rc && thrift_in_field(t, &id, &type)) {
        if (id == 1 && n == 0) {
            n = thrift_in_list(t, type, &inner);
            if (n != f->n_leaves || inner != THRIFT_IN_STRUCT)
                return parquet_bad(e, "a row group has other columns than the schema");
            for (uint32_t i = 0; i < n && !rc; i++)
                rc = read_chunk(f, t, e);
        } else if (id == 3) {
            rows = thrift_in_int(t, type);
        } else {
            thrift_in_skip(t, type);
        }
    }
    if (!rc && (n != f->n_leaves || rows < 0))
        rc = parquet_bad(e, "a row group does not say what it has");
    buf_put(&f->groups, &rows, sizeof rows);
    f->n_groups++;
    return rc;
}

static int read_groups(struct parquet_file *f, struct thrift_in *t, enum thrift_type type, struct err *e)
{
    enum thrift_type inner;
    uint32_t n = thrift_in_list(t, type, &inner);
    int rc = f->columns && !f->n_groups && (n == 0 || inner == THRIFT_IN_STRUCT)
                 ? 0
                 : parquet_bad(e, "its row groups come before its schema");
    for (uint32_t i = 0; i < n && !rc && !t->failed; i++)
        rc = read_group(f, t, e);
    return rc;
}

int parquet_footer_read(struct parquet_file *f, struct err *e)
{
    const char *end = f->bytes.p + f->bytes.n;
    uint32_t size;
    if (f->bytes.n < 4 + TAIL_BYTES || memcmp(f->bytes.p, "PAR1", 4) != 0)
        return parquet_bad(e, "it does not begin as one");
    if (memcmp(end - 4, "PARE", 4) == 0)
        return err_set(e, ERR_INVALID, "the Parquet file is encrypted");
    if (memcmp(end - 4, "PAR1", 4) != 0)
        return parquet_bad(e, "it does not end as one");
    memcpy(&size, end - TAIL_BYTES, sizeof size);
    if (size > f->bytes.n - 4 - TAIL_BYTES)
        return parquet_bad(e, "its footer is longer than it");
    if (size > LIMIT_PARQUET_FOOTER_BYTES)
        return err_set(e, ERR_TOO_LARGE, "the footer of the Parquet file has %u bytes, and %d are taken",
                       size, LIMIT_PARQUET_FOOTER_BYTES);
    f->body_end = f->bytes.n - TAIL_BYTES - size;
    const uint8_t *from = (const uint8_t *)f->bytes.p + f->body_end;
    struct thrift_in t = {from, from + size, false};
    int16_t id = 0;
    enum thrift_type type;
    int rc = 0;
    while (!rc && thrift_in_field(&t, &id, &type)) {
        if (id == 2)
            rc = read_schema(f, &t, type, e);
        else if (id == 4)
            rc = read_groups(f, &t, type, e);
        else
            thrift_in_skip(&t, type);
    }
    if (!rc && (t.failed || !f->columns || f->groups.failed))
        rc = parquet_bad(e, "its footer does not read");
    return rc;
}
