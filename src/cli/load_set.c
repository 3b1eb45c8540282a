// SPDX-License-Identifier: Apache-2.0
// The requests of a load run: whole messages, made once, and the values their answers must have.
#include "base/buf.h"
#include "base/limits.h"
#include "cli/load_reply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

void load_set_done(struct load_set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free((void *)(uintptr_t)s->requests[i].message.p);
        free((void *)(uintptr_t)s->requests[i].known.p);
        free(s->requests[i].values);
    }
    free(s->requests);
    *s = (struct load_set){0};
}

static int make_room(struct load_set *s, struct err *e)
{
    if (s->n < s->cap)
        return 0;
    size_t cap = s->cap ? 2 * s->cap : 64;
    struct load_request *p = reallocarray(s->requests, cap, sizeof *p);
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for %zu requests", cap);
    s->requests = p;
    s->cap = cap;
    return 0;
}

static void put_message(struct buf *b, const struct load_target *t, struct str body)
{
    buf_printf(b, "%s %s HTTP/1.1\r\nHost: %s\r\n", t->method, t->path, t->host);
    if (t->content_type)
        buf_printf(b, "Content-Type: %s\r\n", t->content_type);
    if (t->headers)
        buf_puts(b, t->headers);
    if (body.n || strcmp(t->method, "GET") != 0)
        buf_printf(b, "Content-Length: %zu\r\n", body.n);
    buf_puts(b, "\r\n");
    buf_put_str(b, body);
}

int load_set_add(struct load_set *s, const struct load_target *t, struct str body, const double *values,
                 size_t n_values, struct err *e)
{
    int rc = make_room(s, e);
    if (rc)
        return rc;
    struct buf b;
    struct load_request q = {.n_values = n_values};
    buf_init(&b, LIMIT_LOAD_MESSAGE_BYTES);
    put_message(&b, t, body);
    if (values && (q.values = calloc(n_values + 1, sizeof *values)))
        memcpy(q.values, values, n_values * sizeof *values);
    if (b.failed || (values && !q.values)) {
        buf_done(&b);
        free(q.values);
        return err_set(e, ERR_NOMEM, "no memory for a request of %zu bytes", body.n);
    }
    q.message = buf_str(&b);
    s->requests[s->n++] = q;
    return 0;
}

// The flattened numbers of one line of JSON.
static int values_read(struct str line, double **ret, size_t *ret_n, struct err *e)
{
    yyjson_doc *doc = yyjson_read(line.p, line.n, 0);
    if (!doc)
        return err_set(e, ERR_INVALID, "not JSON");
    *ret_n = load_numbers(yyjson_doc_get_root(doc), NULL, 0);
    *ret = calloc(*ret_n + 1, sizeof **ret);
    if (*ret)
        load_numbers(yyjson_doc_get_root(doc), *ret, *ret_n);
    yyjson_doc_free(doc);
    return *ret ? 0 : err_set(e, ERR_NOMEM, "no memory for %zu values", *ret_n);
}

static int line_next(FILE *f, const char *path, char **line, size_t *cap, struct str *ret, struct err *e)
{
    errno = 0;
    ssize_t n = getline(line, cap, f);
    if (n < 0)
        return ferror(f) ? err_errno(e, errno, "read '%s'", path) : 0;
    while (n && ((*line)[n - 1] == '\n' || (*line)[n - 1] == '\r'))
        n--;
    *ret = (struct str){*line, (size_t)n};
    return 1;
}

struct lines {
    FILE *bodies, *expect; // expect NULL: none
    char *body, *want;
    size_t body_cap, want_cap, n;
};

static int pair_add(struct load_set *s, const struct load_target *t, struct lines *l, const char *expect_path,
                    struct str body, struct err *e)
{
    struct str want;
    double *values = NULL;
    size_t n_values = 0;
    if (l->expect) {
        int rc = line_next(l->expect, expect_path, &l->want, &l->want_cap, &want, e);
        if (rc <= 0)
            return rc ? rc
                      : err_set(e, ERR_WRONG_COUNT, "'%s' has fewer lines than there are requests",
                                expect_path);
        rc = values_read(want, &values, &n_values, e);
        if (rc)
            return err_wrap(e, "line %zu of '%s'", l->n, expect_path);
    }
    int rc = load_set_add(s, t, body, values, n_values, e);
    free(values);
    return rc;
}

int load_set_read(struct load_set *s, const struct load_target *t, const char *path, const char *expect_path,
                  struct err *e)
{
    struct lines l = {.bodies = fopen(path, "re")};
    struct str body;
    int rc = l.bodies ? 0 : err_errno(e, errno, "open '%s'", path);
    if (!rc && expect_path && !(l.expect = fopen(expect_path, "re")))
        rc = err_errno(e, errno, "open '%s'", expect_path);
    while (!rc && (rc = line_next(l.bodies, path, &l.body, &l.body_cap, &body, e)) == 1) {
        l.n++;
        rc = body.n ? pair_add(s, t, &l, expect_path, body, e)
                    : err_set(e, ERR_INVALID, "line %zu of '%s' is empty", l.n, path);
    }
    if (!rc && s->n == 0)
        rc = err_set(e, ERR_INVALID, "'%s' has no lines", path);
    free(l.body);
    free(l.want);
    if (l.bodies)
        fclose(l.bodies);
    if (l.expect)
        fclose(l.expect);
    return rc;
}
