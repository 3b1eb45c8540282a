// SPDX-License-Identifier: Apache-2.0
// Where predictions go.
#include "cli/predict_out.h"

#include "cli/digits.h"
#include "cli/predict_tensors.h"

#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yyjson.h>

enum { FLUSH_BYTES = 256 << 10 };

int predict_out_open(struct predict_out *o, const char *path, bool jsonl, struct err *e)
{
    struct stat st;
    *o = (struct predict_out){.fd = STDOUT_FILENO, .jsonl = jsonl};
    buf_init(&o->buffer, LIMIT_CLIENT_ANSWER_BYTES);
    if (!path || strcmp(path, "-") == 0)
        return 0;
    bool special = stat(path, &st) == 0 && !S_ISREG(st.st_mode); // /dev/null, a pipe: no name to take
    size_t n = strlen(path) + sizeof ".part";
    o->path = strdup(path);
    o->part = malloc(n);
    if (!o->path || !o->part)
        return err_set(e, ERR_NOMEM, "out of memory");
    snprintf(o->part, n, "%s%s", path, special ? "" : ".part");
    o->fd = open(o->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return o->fd >= 0 ? 0 : err_errno(e, errno, "write '%s'", o->part);
}

static int flush(struct predict_out *o, struct err *e)
{
    size_t at = 0;
    if (o->buffer.failed)
        return err_set(e, ERR_NOMEM, "out of memory");
    while (at < o->buffer.n) {
        ssize_t n = write(o->fd, o->buffer.p + at, o->buffer.n - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, errno, "write %s", o->path ? o->path : "standard output");
        at += (size_t)n;
    }
    buf_clear(&o->buffer);
    return 0;
}

// Numbers come as they were sent; null stands for a value that JSON cannot hold.
static bool put_scalar(yyjson_val *v, bool jsonl, struct buf *out)
{
    if (yyjson_is_raw(v))
        buf_put(out, yyjson_get_raw(v), yyjson_get_len(v));
    else if (yyjson_is_null(v))
        buf_puts(out, jsonl ? "null" : "");
    else
        return false;
    return true;
}

static void put_header(struct predict_out *o, bool list)
{
    if (o->jsonl)
        return;
    for (uint32_t i = 0; i < o->n_columns; i++)
        buf_printf(&o->buffer, list ? "%sprediction_%u" : "%sprediction", i ? "," : "", i);
    buf_putc(&o->buffer, '\n');
}

static bool put_row(struct predict_out *o, yyjson_val *row)
{
    size_t i, n;
    yyjson_val *v;
    bool list = yyjson_is_arr(row), fine = true;
    if (o->outputs)
        return predict_tensors_put(o, row);
    uint32_t width = list ? (uint32_t)yyjson_arr_size(row) : 1;
    if (o->n_columns == 0) {
        o->n_columns = width;
        put_header(o, list);
    }
    if (width != o->n_columns || width == 0)
        return false;
    if (!list) {
        fine = put_scalar(row, o->jsonl, &o->buffer);
    } else {
        if (o->jsonl)
            buf_putc(&o->buffer, '[');
        yyjson_arr_foreach(row, i, n, v)
        {
            if (i)
                buf_putc(&o->buffer, ',');
            fine = fine && put_scalar(v, o->jsonl, &o->buffer);
        }
        if (o->jsonl)
            buf_putc(&o->buffer, ']');
    }
    buf_putc(&o->buffer, '\n');
    return fine;
}

// Copies one row of numbers, as put_row writes it; *to moves. Returns what follows, NULL when it is something
// else.
static const char *copy_row(const struct predict_out *o, const char *p, const char *end, char **to)
{
    char *at = *to;
    bool list = *p == '[', brackets = list && o->jsonl;
    uint32_t width = list ? o->n_columns : 1;
    if (width != o->n_columns)
        return NULL;
    p += list;
    if (brackets)
        *at++ = '[';
    for (uint32_t i = 0; i < width; i++) {
        bool more = i + 1 < width;
        size_t n = digits_copy(p, (size_t)(end - p), at);
        p += n;
        at += n;
        if (n == 0 || (list && (p == end || *p++ != (more ? ',' : ']'))))
            return NULL;
        if (more)
            *at++ = ',';
    }
    if (brackets)
        *at++ = ']';
    *at++ = '\n';
    *to = at;
    return p;
}

// The answer as our server writes it, without blanks and with numbers only: they are copied. False: it is
// another, nothing is written.
static bool put_plain(struct predict_out *o, struct str answer, uint32_t n_rows)
{
    const struct str head = STR("{\"predictions\":[");
    if (o->n_columns == 0 || n_rows == 0 || !str_starts(answer, head))
        return false;
    const char *p = answer.p + head.n, *end = answer.p + answer.n;
    char *from = buf_reserve(&o->buffer, answer.n + DIGITS_WINDOW), *to = from;
    for (uint32_t i = 0; from && i < n_rows; i++) {
        p = p < end ? copy_row(o, p, end, &to) : NULL;
        if (!p || p == end || *p++ != (i + 1 < n_rows ? ',' : ']'))
            return false;
    }
    if (!from || !str_eq((struct str){p, (size_t)(end - p)}, STR("}")))
        return false;
    buf_advance(&o->buffer, (size_t)(to - from));
    return true;
}

// Any JSON, and all errors.
static int put_parsed(struct predict_out *o, struct str answer, uint32_t n_rows, struct err *e)
{
    size_t i, n;
    yyjson_val *row;
    int rc = 0;
    yyjson_doc *doc = yyjson_read(answer.p, answer.n, YYJSON_READ_NUMBER_AS_RAW);
    yyjson_val *rows = yyjson_obj_get(yyjson_doc_get_root(doc), "predictions");
    if (!doc || !yyjson_is_arr(rows))
        rc = err_set(e, ERR_BAD_JSON, "the server's answer has no list of predictions");
    else if (yyjson_arr_size(rows) != n_rows)
        rc = err_set(e, ERR_WRONG_COUNT, "the server answered %zu predictions for %u rows",
                     yyjson_arr_size(rows), n_rows);
    if (rc == 0) {
        yyjson_arr_foreach(rows, i, n, row)
        {
            if (!put_row(o, row)) {
                rc =
                    err_set(e, ERR_WRONG_TYPE, "the server's predictions have a form that is not understood");
                if (o->outputs && !o->jsonl)
                    err_hint(e, "Values that differ in number from row to row need --format jsonl.");
                break;
            }
        }
    }
    yyjson_doc_free(doc);
    return rc;
}

int predict_out_put(struct predict_out *o, struct str answer, uint32_t n_rows, struct err *e)
{
    int rc = put_plain(o, answer, n_rows) ? 0 : put_parsed(o, answer, n_rows, e);
    if (rc)
        return rc;
    o->n_rows += n_rows;
    return o->buffer.n >= FLUSH_BYTES ? flush(o, e) : 0;
}

int predict_out_close(struct predict_out *o, bool keep, struct err *e)
{
    struct err ignored;
    bool opened = o->path ? o->fd > STDERR_FILENO : o->buffer.max > 0;
    bool renames = o->path && o->part && strcmp(o->path, o->part) != 0;
    // Rows before the one that failed are shown on standard output; a file is kept only whole.
    int rc = opened && (keep || !o->path) ? flush(o, keep ? e : &ignored) : 0;
    if (opened && o->path && close(o->fd) != 0 && rc == 0 && keep)
        rc = err_errno(e, errno, "write %s", o->path);
    if (opened && renames && keep && rc == 0 && rename(o->part, o->path) != 0)
        rc = err_errno(e, errno, "rename '%s' to '%s'", o->part, o->path);
    if (opened && renames && (!keep || rc != 0))
        (void)unlink(o->part);
    free(o->path);
    free(o->part);
    buf_done(&o->buffer);
    *o = (struct predict_out){.n_rows = o->n_rows};
    return rc;
}
