// SPDX-License-Identifier: Apache-2.0
// Cutting an answer into its lines.
#include "cli/lines.h"

#include <stdlib.h>
#include <string.h>

enum { LINES_BYTES_MAX = 64 << 20 };

struct lines {
    struct buf rest; // of the line that is not whole yet
    void (*on_line)(void *ctx, yyjson_val *line);
    void *ctx;
    yyjson_doc *last; // a line is handed on when the next one came
};

static int take_line(struct lines *l, struct str line, struct err *e)
{
    yyjson_doc *doc = yyjson_read(line.p, line.n, 0);
    if (!doc)
        return err_set(e, ERR_BAD_JSON, "the server sent a line that is not JSON");
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (yyjson_obj_get(root, "step") && yyjson_obj_get(root, "result")) {
        l->on_line(l->ctx, root);
        yyjson_doc_free(doc);
        return 0;
    }
    yyjson_doc_free(l->last);
    l->last = doc;
    return 0;
}

static int take(void *ctx, const char *p, size_t n, struct err *e)
{
    struct lines *l = ctx;
    int rc = 0;
    buf_put(&l->rest, p, n);
    for (const char *end; !rc && l->rest.n && (end = memchr(l->rest.p, '\n', l->rest.n)) != NULL;) {
        size_t line = (size_t)(end - l->rest.p);
        rc = take_line(l, (struct str){l->rest.p, line}, e);
        buf_consume(&l->rest, line + 1);
    }
    return rc               ? rc
           : l->rest.failed ? err_set(e, ERR_TOO_LARGE, "the server sent a line that is too long")
                            : 0;
}

// The last line: what the server made, or why not.
static int finish(struct lines *l, yyjson_doc **ret, struct err *e)
{
    yyjson_val *root = yyjson_doc_get_root(l->last);
    if (!l->last)
        return err_set(e, ERR_UNAVAILABLE, "the server's answer ends before it said what came out");
    *ret = l->last;
    l->last = NULL;
    if (!yyjson_obj_get(root, "error") || !yyjson_obj_get(root, "code"))
        return 0;
    size_t n;
    char *json = yyjson_val_write(root, 0, &n);
    struct reply refusal = {.status = 422, .body = {json, json ? n : 0}};
    int rc = client_refusal(&refusal, e);
    free(json);
    return rc;
}

int client_lines(struct client *c, const struct client_request *q,
                 void (*on_line)(void *ctx, yyjson_val *line), void *ctx, yyjson_doc **ret, struct err *e)
{
    struct lines l = {.on_line = on_line, .ctx = ctx};
    struct client_request asked = *q;
    struct reply r;
    *ret = NULL;
    buf_init(&l.rest, LINES_BYTES_MAX);
    asked.accept = "application/x-ndjson, application/json";
    c->reader.sink = take;
    c->reader.sink_ctx = &l;
    int rc = client_call(c, &asked, &r, e);
    c->reader.sink = NULL;
    if (rc == 0 && r.status == 200)
        rc = finish(&l, ret, e);
    else if (rc == 0)
        *ret = r.body.n ? yyjson_read(r.body.p, r.body.n, 0) : NULL;
    if (rc == 0 && r.status >= 300)
        rc = client_refusal(&r, e);
    else if (rc == 0 && !*ret)
        rc = err_set(e, ERR_BAD_JSON, "%s answered with something that is not JSON", c->url);
    yyjson_doc_free(l.last);
    buf_done(&l.rest);
    return rc;
}
