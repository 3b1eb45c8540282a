// SPDX-License-Identifier: Apache-2.0
// Responses out of the bytes of one connection.
#include "cli/reader.h"

#include "base/limits.h"

#include <string.h>

void reader_init(struct reader *r)
{
    memset(r, 0, sizeof *r);
    buf_init(&r->in, LIMIT_CLIENT_ANSWER_BYTES);
    buf_init(&r->body, LIMIT_CLIENT_ANSWER_BYTES);
}

void reader_done(struct reader *r)
{
    buf_done(&r->in);
    buf_done(&r->body);
}

void reader_reset(struct reader *r)
{
    buf_clear(&r->in);
    buf_clear(&r->body);
    r->in_body = r->taken = false;
}

static int take_head(struct reader *r, bool end, bool no_body, struct err *e)
{
    for (;;) {
        int rc = r->in.n ? http1_response_parse(r->in.p, r->in.n, &r->head, e) : 0;
        if (rc == 0 && end)
            return err_set(e, ERR_UNAVAILABLE, "the server closed the connection without an answer");
        if (rc != 1)
            return rc;
        struct str version = r->head.model_version;
        size_t n = version.n < sizeof r->model_version ? version.n : 0;
        if (n)
            memcpy(r->model_version, version.p, n);
        r->model_version[n] = '\0';
        buf_consume(&r->in, r->head.head_bytes);
        if (r->head.status >= 200)
            break;
    }
    r->in_body = true;
    r->chunked = (struct http1_chunked){0};
    r->left = r->head.content_length;
    if (no_body || r->head.status == 204 || r->head.status == 304) {
        r->head.chunked = false;
        r->left = 0;
    }
    return 1;
}

static int put_body(struct reader *r, size_t n, struct err *e)
{
    if (r->sink && r->head.status == 200)
        return n ? r->sink(r->sink_ctx, r->in.p, n, e) : 0;
    buf_put(&r->body, r->in.p, n);
    return 0;
}

static int take_chunks(struct reader *r, struct err *e)
{
    size_t used, payload;
    if (r->in.n == 0)
        return 0;
    int rc = http1_chunked_decode(&r->chunked, r->in.p, r->in.n, &used, &payload, e);
    if (rc < 0)
        return rc;
    int put = put_body(r, payload, e);
    buf_consume(&r->in, used);
    return put ? put : rc;
}

static int take_length(struct reader *r, bool end, struct err *e)
{
    size_t n = r->left < r->in.n ? (size_t)r->left : r->in.n;
    int rc = put_body(r, n, e);
    if (rc)
        return rc;
    buf_consume(&r->in, n);
    if (r->left == UINT64_MAX)
        return end;
    r->left -= n;
    return r->left == 0;
}

int reader_take(struct reader *r, bool end, bool no_body, struct reply *ret, struct err *e)
{
    int rc = 1;
    if (r->taken)
        buf_clear(&r->body);
    r->taken = false;
    if (!r->in_body && (rc = take_head(r, end, no_body, e)) != 1)
        return rc;
    rc = r->head.chunked ? take_chunks(r, e) : take_length(r, end, e);
    if (r->body.failed || r->in.failed)
        return err_set(e, ERR_TOO_LARGE, "the server's answer is larger than %d bytes",
                       LIMIT_CLIENT_ANSWER_BYTES);
    if (rc == 0 && end)
        return err_set(e, ERR_UNAVAILABLE, "the server closed the connection in the middle of an answer");
    if (rc != 1)
        return rc;
    r->in_body = false;
    r->taken = true;
    *ret = (struct reply){r->head.status, r->head.keep_alive, buf_str(&r->body), r->model_version};
    return 1;
}
