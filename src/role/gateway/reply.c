// SPDX-License-Identifier: Apache-2.0
// Writing answers. A prediction's length is patched into its head after its body is written, right-aligned in
// a field of fixed width (RFC 9110 allows spaces before a value), so that the body is never copied.
#include "role/gateway/reply.h"

#include "api/predict.h"
#include "api/routes.h"
#include "base/clock.h"
#include "base/num.h"
#include "role/gateway/predict.h"

#include <stdio.h>
#include <string.h>

enum { ERROR_BODY_MAX = 16 * LIMIT_HTTP_HEAD_BYTES }; // a request id may fill a head, all of it escaped

#define LENGTH_FIELD "Content-Length:           \r\n\r\n" // 10 digits' room behind one space

static struct str request_id_of(struct gateway *g, const struct http1_request *req, char fresh[IDS_UUID_SIZE])
{
    if (req && req->request_id.n)
        return req->request_id;
    ids_uuid7(&g->ids, gateway_wall_ns(g) / 1000000u, fresh);
    return str_of(fresh);
}

bool reply_keeps_alive(const struct http1_request *req)
{
    return req->minor_version == 0 && req->keep_alive;
}

static const char *retry_after(int status)
{
    return status == 429 || status == 503 ? "Retry-After: 1\r\n" : "";
}

// RFC 9110 section 15.5.6: a 405 names the methods that are answered.
static void put_allow(const struct http1_request *req, struct buf *out)
{
    char methods[ROUTE_METHODS_SIZE];
    route_methods(req->path, methods);
    buf_printf(out, "Allow: %s\r\n", methods);
}

static void put_head(struct conn *c, const struct http1_request *req, int status, struct str content_type,
                     uint64_t length)
{
    struct gateway *g = c->g;
    char fresh[IDS_UUID_SIZE];
    predict_finish(g);
    struct str id = request_id_of(g, req, fresh);
    buf_clear(&g->out);
    buf_printf(&g->out, "HTTP/1.1 %d %s\r\nDate: %s\r\nX-Request-Id: " STR_FMT "\r\n%s%s", status,
               http_status_reason(status), gateway_date(g), STR_ARG(id), retry_after(status),
               c->close_after                  ? "Connection: close\r\n"
               : req && reply_keeps_alive(req) ? "Connection: keep-alive\r\n"
                                               : "");
    if (status == 405 && req)
        put_allow(req, &g->out);
    if (c->arm.n)
        buf_printf(&g->out, "Slipway-Arm: " STR_FMT "\r\n", STR_ARG(c->arm));
    c->arm = (struct str){0};
    if (length)
        buf_printf(&g->out, "Content-Type: " STR_FMT "\r\n", STR_ARG(content_type));
    if (length == (uint64_t)REPLY_CHUNKED)
        buf_puts(&g->out, "Transfer-Encoding: chunked\r\n\r\n");
    else
        buf_printf(&g->out, "Content-Length: %llu\r\n\r\n", (unsigned long long)length);
}

static void count(struct conn *c, int status)
{
    if (!c->counted)
        c->g->metrics->unrouted[status / 100]++;
    c->counted = false;
}

void reply_begin(struct conn *c, const struct http1_request *req, int status, struct str content_type,
                 uint64_t length)
{
    put_head(c, req, status, content_type, length);
    count(c, status);
    if (c->g->out.failed)
        conn_close(c);
    conn_send(c, buf_str(&c->g->out));
}

void reply_chunk(struct conn *c, struct str bytes)
{
    char head[24];
    int n = snprintf(head, sizeof head, "%zx\r\n", bytes.n);
    conn_send(c, (struct str){head, (size_t)n});
    if (bytes.n && !c->is_dead)
        conn_send(c, bytes);
    if (!c->is_dead)
        conn_send(c, STR("\r\n"));
}

void reply(struct conn *c, const struct http1_request *req, int status, struct str content_type,
           struct str body)
{
    struct gateway *g = c->g;
    put_head(c, req, status, content_type, body.n);
    if (!req || req->method != HTTP_HEAD)
        buf_put_str(&g->out, body);
    if (g->out.failed)
        conn_close(c);
    conn_send(c, buf_str(&g->out));
    count(c, status);
    conn_answered(c, 1);
}

void reply_error(struct conn *c, const struct http1_request *req, const struct err *e)
{
    struct buf body;
    char fresh[IDS_UUID_SIZE];
    struct http1_request named = req ? *req : (struct http1_request){0};
    named.request_id = request_id_of(c->g, req, fresh);
    buf_init(&body, ERROR_BODY_MAX);
    api_error_encode(e, named.request_id, &body);
    int status = err_http_status(e->code);
    if (status >= 500)
        log_event(&c->g->log, LOG_LEVEL_ERROR, "request_failed", LOG_STR("request_id", named.request_id),
                  LOG_Z("code", err_name(e->code)), LOG_Z("message", e->msg));
    reply(c, &named, status, STR("application/json"), buf_str(&body));
    buf_done(&body);
}

static char *put(char *to, const char *p, size_t n)
{
    memcpy(to, p, n);
    return to + n;
}

#define PUT(to, literal) put(to, literal, sizeof(literal) - 1)

static __attribute__((noinline, cold)) char *put_warnings(char *to, uint32_t n)
{
    to = PUT(to, "\r\nSlipway-Warnings: ");
    return to + num_write_i64(n, to);
}

static __attribute__((noinline, cold)) char *put_arm(char *to, struct str arm)
{
    to = PUT(to, "\r\nSlipway-Arm: ");
    return put(to, arm.p, arm.n);
}

static __attribute__((noinline, cold)) char *put_token(char *to, struct str token)
{
    to = PUT(to, "\r\nSlipway-Feedback-Token: ");
    return put(to, token.p, token.n);
}

void reply_prediction_begin(struct gateway *g, const struct reply_prediction *p, struct buf *out,
                            size_t *ret_body)
{
    char *start = buf_reserve(out, 384 + p->version.n + p->prediction_id.n + p->request_id.n + p->arm.n +
                                       p->token.n),
         *to = start;
    *ret_body = 0;
    if (!to)
        return;
    to = PUT(to, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: ");
    to = put(to, gateway_date(g), CLOCK_HTTP_DATE_SIZE - 1);
    to = PUT(to, "\r\nSlipway-Model-Version: ");
    to = put(to, p->version.p, p->version.n);
    to = PUT(to, "\r\nSlipway-Prediction-Id: ");
    to = put(to, p->prediction_id.p, p->prediction_id.n);
    if (p->request_id.n) {
        to = PUT(to, "\r\nX-Request-Id: ");
        to = put(to, p->request_id.p, p->request_id.n);
    }
    if (p->arm.n)
        to = put_arm(to, p->arm);
    if (p->n_warnings)
        to = put_warnings(to, p->n_warnings);
    if (p->token.n)
        to = put_token(to, p->token);
    if (p->is_committed)
        to = PUT(to, CONN_COMMITTED);
    if (p->close)
        to = PUT(to, "\r\nConnection: close");
    else if (p->keep_alive)
        to = PUT(to, "\r\nConnection: keep-alive");
    to = PUT(to, "\r\n" LENGTH_FIELD);
    buf_advance(out, (size_t)(to - start));
    *ret_body = out->n;
}

void reply_prediction_end(struct buf *out, size_t body)
{
    if (out->failed)
        return;
    size_t length = out->n - body, at = body - sizeof "\r\n\r\n" + 1;
    do
        out->p[--at] = (char)('0' + length % 10);
    while (length /= 10);
}
