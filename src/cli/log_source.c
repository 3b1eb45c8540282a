// SPDX-License-Identifier: Apache-2.0
// A server streams the lines that predlog_query gives it: GET /api/v1/log with the flags as parameters.
#include "cli/log_source.h"

#include "base/limits.h"

#include <inttypes.h>
#include <string.h>

static const char *const FILTERS[] = {"version", "arm", "status", "from", "to", "id", "after", "limit"};
enum { N_FILTERS = sizeof FILTERS / sizeof FILTERS[0] };

int log_source_open(struct log_source *s, const struct args *a, struct err *e)
{
    *s = (struct log_source){.data_dir = args_value(a, "data-dir"), .args = a};
    return s->data_dir ? 0 : client_init(&s->client, a, e);
}

void log_source_close(struct log_source *s)
{
    if (!s->data_dir)
        client_done(&s->client);
}

int log_source_query(const struct args *a, struct predlog_query *ret, struct err *e)
{
    int rc = 0;
    *ret = (struct predlog_query){.with_gaps = args_has(a, "gaps")};
    if (a->n_words > 1)
        rc = predlog_query_set(ret, STR("model"), str_of(a->words[1]), e);
    for (int i = 0; !rc && i < N_FILTERS; i++) {
        const char *value = args_value(a, FILTERS[i]);
        if (value)
            rc = predlog_query_set(ret, str_of(FILTERS[i]), str_of(value), e);
    }
    return rc;
}

// Lines of an answer, which comes in pieces.
struct pieces {
    predlog_line_fn *on_line;
    void *ctx;
    struct buf rest;
    uint64_t *last_seq;
};

static int take_line(struct pieces *p, struct str line, struct err *e)
{
    yyjson_doc *doc = yyjson_read(line.p, line.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    uint64_t seq = yyjson_get_uint(yyjson_obj_get(root, "seq"));
    int rc = 0;
    if (!root)
        rc = err_set(e, ERR_BAD_JSON, "the server sent a line of the log that is not JSON");
    else if (!yyjson_obj_get(root, "seq")) // a row has one, and an "error" of its own
        rc = err_set(e, ERR_IO, "the server ended the log: %s",
                     yyjson_is_str(yyjson_obj_get(root, "error"))
                         ? yyjson_get_str(yyjson_obj_get(root, "error"))
                         : "no reason was given");
    else
        rc = p->on_line(p->ctx, line, root, e);
    if (seq > *p->last_seq)
        *p->last_seq = seq;
    yyjson_doc_free(doc);
    return rc;
}

static int take_piece(void *ctx, const char *bytes, size_t n, struct err *e)
{
    struct pieces *p = ctx;
    const char *end;
    int rc = 0;
    buf_put(&p->rest, bytes, n);
    if (p->rest.failed)
        return err_set(e, ERR_TOO_LARGE, "a line of the log is too long");
    struct str rest = buf_str(&p->rest);
    while (!rc && rest.n && (end = memchr(rest.p, '\n', rest.n))) {
        rc = take_line(p, (struct str){rest.p, (size_t)(end - rest.p)}, e);
        (void)str_split(&rest, '\n');
    }
    buf_consume(&p->rest, p->rest.n - rest.n);
    return rc;
}

static void put_parameter(const char *name, struct str value, struct buf *path)
{
    buf_printf(path, "%c%s=", memchr(path->p, '?', path->n) ? '&' : '?', name);
    client_put_segment(value, path);
}

static void put_path(const struct log_source *s, const struct predlog_query *q, bool is_last,
                     struct buf *path)
{
    char number[24];
    buf_puts(path, "/api/v1/log");
    if (q->model.n)
        put_parameter("model", q->model, path);
    for (int i = 0; i < N_FILTERS; i++) {
        const char *value = args_value(s->args, FILTERS[i]);
        if (value && strcmp(FILTERS[i], "after") && strcmp(FILTERS[i], "limit"))
            put_parameter(FILTERS[i], str_of(value), path);
    }
    snprintf(number, sizeof number, "%" PRIu64, q->after_seq);
    if (q->after_seq)
        put_parameter("after", str_of(number), path);
    snprintf(number, sizeof number, "%" PRIu64, q->limit);
    if (q->limit)
        put_parameter(is_last ? "last" : "limit", str_of(number), path);
    if (q->with_gaps)
        put_parameter("gaps", STR("true"), path);
    buf_putc(path, '\0');
}

static int ask(struct log_source *s, const struct predlog_query *q, bool is_last, predlog_line_fn *on_line,
               void *ctx, uint64_t *ret_last_seq, struct err *e)
{
    struct pieces p = {.on_line = on_line, .ctx = ctx, .last_seq = ret_last_seq};
    struct buf path;
    buf_init(&path, 16384);
    buf_init(&p.rest, LIMIT_LOG_LINE_BYTES);
    put_path(s, q, is_last, &path);
    int rc = path.failed ? err_set(e, ERR_TOO_LARGE, "the search is too long")
                         : client_download(&s->client, path.p, take_piece, &p, e);
    if (!rc && p.rest.n)
        rc = err_set(e, ERR_UNAVAILABLE, "the server ended in the middle of a line");
    buf_done(&path);
    buf_done(&p.rest);
    return rc;
}

int log_source_lines(struct log_source *s, const struct predlog_query *q, bool is_last,
                     predlog_line_fn *on_line, void *ctx, uint64_t *ret_last_seq, struct err *e)
{
    struct predlog_query_done done;
    if (!s->data_dir)
        return ask(s, q, is_last, on_line, ctx, ret_last_seq, e);
    int rc = is_last ? predlog_query_last(s->data_dir, q, on_line, ctx, &done, e)
                     : predlog_query(s->data_dir, q, on_line, ctx, &done, e);
    if (done.last_seq > *ret_last_seq)
        *ret_last_seq = done.last_seq;
    return rc;
}
