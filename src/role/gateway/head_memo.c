// SPDX-License-Identifier: Apache-2.0
// The remembered head. Equal bytes are parsed equally, so nothing is looked at but the bytes and the number.
#include "role/gateway/head_memo.h"

#include <string.h>

struct head *head_memo_find(struct head_memo *m, const char *p, size_t n, uint64_t max_body_bytes)
{
    struct http1_request *req = &m->head.req;
    if (m->n == 0 || n < m->n || memcmp(p, m->bytes, m->length_at) != 0 ||
        memcmp(p + m->length_end, m->bytes + m->length_end, m->n - m->length_end) != 0)
        return NULL;
    struct str digits = {p + m->length_at, m->length_end - m->length_at};
    return str_to_u64(digits, max_body_bytes, &req->content_length) ? &m->head : NULL;
}

// The slice of the kept bytes that lies where s lies in the bytes at p.
static void rebase(struct str *s, const char *p, const char *bytes)
{
    if (s->p)
        s->p = bytes + (s->p - p);
}

void head_memo_keep(struct head_memo *m, const char *p, const struct head *h)
{
    const struct http1_request *req = &h->req;
    if (h->match.route->rule != RULE_PREDICT || req->length_text.n == 0 || req->expect_continue ||
        req->head_bytes > sizeof m->bytes)
        return;
    if (memchr(req->path.p, '%', req->path.n)) // a name is decoded where it stands
        return;
    m->n = req->head_bytes;
    m->length_at = (size_t)(req->length_text.p - p);
    m->length_end = m->length_at + req->length_text.n;
    memcpy(m->bytes, p, m->n);
    m->head = *h;
    struct http1_request *r = &m->head.req;
    struct str *slices[] = {&r->path,
                            &r->query,
                            &r->length_text,
                            &r->content_type,
                            &r->accept,
                            &r->accept_encoding,
                            &r->authorization,
                            &r->host,
                            &r->user_agent,
                            &r->traceparent,
                            &r->request_id,
                            &r->origin,
                            &r->inference_header_length,
                            &r->idempotency_key,
                            &r->arm,
                            &r->fields,
                            &m->head.match.model,
                            &m->head.match.version};
    for (size_t i = 0; i < sizeof slices / sizeof slices[0]; i++)
        rebase(slices[i], p, m->bytes);
}
