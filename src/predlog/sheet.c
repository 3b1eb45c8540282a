// SPDX-License-Identifier: Apache-2.0
// Both passes walk a line in the same order, and lines are mostly alike: a column is looked for behind the
// one found last.
#include "predlog/sheet.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/num.h"
#include "os/file.h"
#include "predlog/parquet.h"
#include "predlog/query.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { LIST_MAX = 64, OUT_BYTES = 256 << 10, SPOOL_BYTES = 256 << 10 };
enum { SEEN_BOOL = 1, SEEN_INT = 2, SEEN_REAL = 4, SEEN_TEXT = 8, SEEN_OTHER = 16 };

struct column {
    struct str name; // ours
    unsigned seen;
    bool is_value; // of an input or output
};

struct sheet {
    int spool_fd;
    struct column *columns;
    uint32_t n_columns, cap_columns, hint;
    uint64_t n_rows;
    struct buf name, spool;
    // Second pass
    yyjson_val **cells; // (n_columns) of the row at hand; NULL: none
    struct buf out;
};

typedef int cell_fn(struct sheet *t, struct str name, bool is_value, yyjson_val *v, struct err *e);

int sheet_new(int spool_fd, struct sheet **ret, struct err *e)
{
    struct sheet *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, ERR_NOMEM, "out of memory for a table");
    t->spool_fd = spool_fd;
    buf_init(&t->name, 1 << 20);
    buf_init(&t->spool, LIMIT_LOG_LINE_BYTES);
    buf_init(&t->out, LIMIT_LOG_LINE_BYTES);
    *ret = t;
    return 0;
}

void sheet_free(struct sheet *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->n_columns; i++)
        free((char *)(uintptr_t)t->columns[i].name.p);
    free(t->columns);
    free(t->cells);
    buf_done(&t->name);
    buf_done(&t->spool);
    buf_done(&t->out);
    free(t);
}

uint64_t sheet_n_rows(const struct sheet *t)
{
    return t->n_rows;
}

// ---- walking a line

static int cell(struct sheet *t, struct str prefix, struct str key, int64_t index, yyjson_val *v, cell_fn *fn,
                struct err *e)
{
    buf_clear(&t->name);
    buf_put_str(&t->name, prefix);
    buf_put_str(&t->name, key);
    if (index >= 0)
        buf_printf(&t->name, "_%" PRId64, index);
    if (t->name.failed)
        return err_set(e, ERR_TOO_LARGE, "a column's name is too long");
    return fn(t, buf_str(&t->name), prefix.n > 0, v, e);
}

static bool is_short_list(yyjson_val *v)
{
    size_t i, n;
    yyjson_val *one;
    if (!yyjson_is_arr(v) || yyjson_arr_size(v) == 0 || yyjson_arr_size(v) > LIST_MAX)
        return false;
    yyjson_arr_foreach(v, i, n, one)
    {
        if (!yyjson_is_num(one) && !yyjson_is_null(one))
            return false;
    }
    return true;
}

static int walk_values(struct sheet *t, struct str prefix, yyjson_val *object, cell_fn *fn, struct err *e)
{
    size_t i, n, k, m;
    yyjson_val *key, *v, *one;
    int rc = 0;
    yyjson_obj_foreach(object, i, n, key, v)
    {
        const struct str name = {yyjson_get_str(key), yyjson_get_len(key)};
        if (!is_short_list(v)) {
            if ((rc = cell(t, prefix, name, -1, v, fn, e)))
                return rc;
            continue;
        }
        yyjson_arr_foreach(v, k, m, one)
        {
            if ((rc = cell(t, prefix, name, (int64_t)k, one, fn, e)))
                return rc;
        }
    }
    return 0;
}

static int walk(struct sheet *t, yyjson_val *root, cell_fn *fn, struct err *e)
{
    size_t i, n;
    yyjson_val *key, *v;
    int rc = 0;
    t->hint = 0;
    yyjson_obj_foreach(root, i, n, key, v)
    {
        const struct str name = {yyjson_get_str(key), yyjson_get_len(key)};
        if (str_eq(name, STR("inputs")))
            rc = walk_values(t, STR("input_"), v, fn, e);
        else if (str_eq(name, STR("outputs")))
            rc = walk_values(t, STR("output_"), v, fn, e);
        else
            rc = cell(t, (struct str){0}, name, -1, v, fn, e);
        if (rc)
            return rc;
    }
    return 0;
}

// The column of this name, or n_columns.
static uint32_t find(struct sheet *t, struct str name)
{
    uint32_t at = t->hint;
    for (uint32_t k = 0; k < t->n_columns; k++, at++) {
        if (at >= t->n_columns)
            at = 0;
        if (str_eq(t->columns[at].name, name)) {
            t->hint = at + 1;
            return at;
        }
    }
    return t->n_columns;
}

// ---- first pass

static unsigned kind_of(yyjson_val *v)
{
    if (yyjson_is_null(v))
        return 0;
    if (yyjson_is_bool(v))
        return SEEN_BOOL;
    if (yyjson_is_int(v))
        return yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX ? SEEN_REAL : SEEN_INT;
    return yyjson_is_real(v) ? SEEN_REAL : yyjson_is_str(v) ? SEEN_TEXT : SEEN_OTHER;
}

static int learn(struct sheet *t, struct str name, bool is_value, yyjson_val *v, struct err *e)
{
    uint32_t at = find(t, name);
    if (at == t->n_columns) {
        if (t->n_columns == LIMIT_LOG_COLUMNS)
            return err_set(e, ERR_TOO_LARGE, "more than %d columns", (int)LIMIT_LOG_COLUMNS);
        uint32_t cap = t->n_columns < t->cap_columns ? t->cap_columns : 2 * t->cap_columns + 64;
        struct column *grown = cap > t->cap_columns ? realloc(t->columns, cap * sizeof *grown) : t->columns;
        char *copy = str_dup(name);
        if (grown) {
            t->columns = grown;
            t->cap_columns = cap;
        }
        if (!grown || !copy) {
            free(copy);
            return err_set(e, ERR_NOMEM, "out of memory for the columns of a table");
        }
        t->columns[t->n_columns++] = (struct column){.name = {copy, name.n}, .is_value = is_value};
    }
    t->columns[at].seen |= kind_of(v);
    return 0;
}

static int flush(struct buf *b, int fd, size_t above, struct err *e)
{
    if (b->failed)
        return err_set(e, ERR_NOMEM, "out of memory for a table");
    if (b->n <= above)
        return 0;
    int rc = file_write_all(fd, b->p, b->n, e);
    buf_clear(b);
    return rc;
}

int sheet_add(struct sheet *t, struct str line, struct yyjson_val *root, struct err *e)
{
    int rc = walk(t, root, learn, e);
    if (rc)
        return rc;
    t->n_rows++;
    buf_put_str(&t->spool, line);
    buf_putc(&t->spool, '\n');
    return flush(&t->spool, t->spool_fd, SPOOL_BYTES, e);
}

// ---- second pass

static int collect(struct sheet *t, struct str name, bool is_value, yyjson_val *v, struct err *e)
{
    (void)is_value, (void)e;
    uint32_t at = find(t, name);
    if (at < t->n_columns)
        t->cells[at] = v;
    return 0;
}

static enum parquet_type type_of(const struct column *c)
{
    if (str_eq(c->name, STR("time")))
        return PARQUET_TIMESTAMP;
    switch (c->seen) {
    case 0:
        return c->is_value ? PARQUET_DOUBLE : PARQUET_TEXT;
    case SEEN_BOOL:
        return PARQUET_BOOLEAN;
    case SEEN_INT:
        return PARQUET_INT64;
    case SEEN_REAL:
    case SEEN_INT | SEEN_REAL:
        return PARQUET_DOUBLE;
    default:
        return PARQUET_TEXT;
    }
}

// A value as text: what it says, or its JSON.
static struct str text_of(yyjson_val *v, char **ret_owned)
{
    size_t n = 0;
    *ret_owned = NULL;
    if (yyjson_is_str(v))
        return (struct str){yyjson_get_str(v), yyjson_get_len(v)};
    *ret_owned = yyjson_val_write(v, 0, &n);
    return (struct str){*ret_owned, n};
}

static void parquet_cell(struct parquet *p, uint32_t i, enum parquet_type type, yyjson_val *v)
{
    uint64_t ns;
    char *owned;
    switch (type) {
    case PARQUET_BOOLEAN:
        parquet_put_bool(p, i, yyjson_get_bool(v));
        break;
    case PARQUET_INT64:
        parquet_put_i64(p, i, yyjson_get_sint(v));
        break;
    case PARQUET_DOUBLE:
        parquet_put_double(p, i, yyjson_get_num(v));
        break;
    case PARQUET_TIMESTAMP:
        if (predlog_time_read((struct str){yyjson_get_str(v), yyjson_get_len(v)}, &ns))
            parquet_put_i64(p, i, (int64_t)(ns / 1000));
        break;
    case PARQUET_TEXT:
        parquet_put_text(p, i, text_of(v, &owned));
        free(owned);
        break;
    }
}

static void csv_text(struct str s, struct buf *out)
{
    bool quoted = s.n == 0;
    for (size_t i = 0; i < s.n; i++)
        quoted |= s.p[i] == ',' || s.p[i] == '"' || s.p[i] == '\n' || s.p[i] == '\r';
    if (!quoted) {
        buf_put_str(out, s);
        return;
    }
    buf_putc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"')
            buf_putc(out, '"');
        buf_putc(out, s.p[i]);
    }
    buf_putc(out, '"');
}

static void csv_cell(yyjson_val *v, enum parquet_type type, struct buf *out)
{
    char number[NUM_TEXT_MAX], *owned;
    if (type == PARQUET_DOUBLE) {
        buf_put(out, number, num_write_double(yyjson_get_num(v), number));
        return;
    }
    csv_text(text_of(v, &owned), out);
    free(owned);
}

// ---- writing

struct writing {
    enum sheet_format format;
    int fd;
    struct parquet *parquet;
    enum parquet_type *types;
};

static int write_row(struct sheet *t, const struct writing *w, yyjson_val *root, struct err *e)
{
    memset(t->cells, 0, t->n_columns * sizeof *t->cells);
    int rc = walk(t, root, collect, e);
    for (uint32_t i = 0; !rc && i < t->n_columns; i++) {
        yyjson_val *v = t->cells[i];
        bool there = v && !yyjson_is_null(v);
        if (w->format == SHEET_CSV && i)
            buf_putc(&t->out, ',');
        if (there && w->format == SHEET_CSV)
            csv_cell(v, w->types[i], &t->out);
        else if (there)
            parquet_cell(w->parquet, i, w->types[i], v);
    }
    if (rc)
        return rc;
    if (w->format == SHEET_PARQUET)
        return parquet_end_row(w->parquet, e);
    buf_putc(&t->out, '\n');
    return flush(&t->out, w->fd, OUT_BYTES, e);
}

static int write_rows(struct sheet *t, const struct writing *w, struct err *e)
{
    uint64_t offset = 0;
    size_t got = 1;
    int rc = 0;
    buf_clear(&t->spool);
    while (!rc && got) {
        char *to = buf_reserve(&t->spool, SPOOL_BYTES);
        rc = to ? file_read_at(t->spool_fd, to, SPOOL_BYTES, offset, &got, e)
                : err_set(e, ERR_NOMEM, "out of memory for a table");
        if (rc)
            break;
        buf_advance(&t->spool, got);
        offset += got;
        struct str rest = buf_str(&t->spool);
        const char *end;
        while (!rc && rest.n && (end = memchr(rest.p, '\n', rest.n))) {
            yyjson_doc *doc = yyjson_read(rest.p, (size_t)(end - rest.p), 0);
            rc = doc ? write_row(t, w, yyjson_doc_get_root(doc), e)
                     : err_set(e, ERR_NOMEM, "out of memory for a line");
            yyjson_doc_free(doc);
            (void)str_split(&rest, '\n');
        }
        buf_consume(&t->spool, t->spool.n - rest.n);
    }
    return rc;
}

int sheet_write(struct sheet *t, enum sheet_format format, int fd, struct err *e)
{
    struct writing w = {.format = format, .fd = fd};
    struct parquet_column *columns = calloc((size_t)t->n_columns + 1, sizeof *columns);
    w.types = calloc((size_t)t->n_columns + 1, sizeof *w.types);
    t->cells = calloc((size_t)t->n_columns + 1, sizeof(yyjson_val *));
    int rc = flush(&t->spool, t->spool_fd, 0, e);
    if (!rc && (!columns || !w.types || !t->cells))
        rc = err_set(e, ERR_NOMEM, "out of memory for the columns of a table");
    for (uint32_t i = 0; !rc && i < t->n_columns; i++) {
        w.types[i] = type_of(&t->columns[i]);
        columns[i] = (struct parquet_column){t->columns[i].name, w.types[i]};
        if (format != SHEET_CSV)
            continue;
        if (i)
            buf_putc(&t->out, ',');
        csv_text(t->columns[i].name, &t->out);
    }
    if (!rc && format == SHEET_CSV)
        buf_putc(&t->out, '\n');
    if (!rc && format == SHEET_PARQUET)
        rc = parquet_new(fd, columns, t->n_columns, &w.parquet, e);
    if (!rc)
        rc = write_rows(t, &w, e);
    if (!rc)
        rc = format == SHEET_PARQUET ? parquet_finish(w.parquet, e) : flush(&t->out, fd, 0, e);
    parquet_free(w.parquet);
    free(columns);
    free(w.types);
    return rc;
}
