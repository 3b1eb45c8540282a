// SPDX-License-Identifier: Apache-2.0
// The gate: every request comes through gate_head and gate_request, whatever its route.
#include "role/gateway/gate.h"

#include "role/gateway/admin.h"
#include "role/gateway/call.h"
#include "role/gateway/describe.h"
#include "role/gateway/job.h"
#include "role/gateway/parked.h"
#include "role/gateway/predict.h"
#include "role/gateway/reply.h"
#include "role/gateway/table.h"
#include "settings/settings.h"
#include "wire/url.h"

#include <stdio.h>
#include <string.h>

int gate_body_too_large(const struct gateway *g, uint64_t bytes, struct err *e)
{
    err_set(e, ERR_TOO_LARGE, "the body has %llu bytes or more; the limit is %llu", (unsigned long long)bytes,
            (unsigned long long)g->settings->max_body_bytes);
    err_hint(e, "Send fewer rows per request, or raise max_body_bytes.");
    return ERR_TOO_LARGE;
}

// A browser names the page it acts for; no page of ours changes anything, so such a change is somebody
// else's.
static int check_rule(const struct route_match *m, const struct http1_request *req, struct err *e)
{
    if (m->route->rule == RULE_ADMIN && req->method != HTTP_GET && req->origin.n)
        return err_set(e, ERR_REFUSED, "changes are not accepted from web pages (Origin: " STR_FMT ")",
                       STR_ARG(req->origin));
    return 1;
}

static int check_media_type(const struct route_match *m, const struct http1_request *req, struct err *e)
{
    static const struct str READ_AS_JSON[] = {
        // curl -d says the second; what the body is decides, and it must be JSON
        {"application/json", 16},
        {"application/x-www-form-urlencoded", 33},
        {"text/plain", 10}};
    if (m->route->rule != RULE_PREDICT ||
        str_eq(req->content_type, READ_AS_JSON[0])) // by far the most frequent
        return 1;
    struct str type = req->content_type, essence = str_trim(str_split(&type, ';'));
    if (essence.n == 0)
        return 1;
    for (size_t i = 0; i < sizeof READ_AS_JSON / sizeof READ_AS_JSON[0]; i++)
        if (str_eq_nocase(essence, READ_AS_JSON[i]))
            return 1;
    err_set(e, ERR_MEDIA_TYPE, "Content-Type '" STR_FMT "' is not read here; expected application/json",
            STR_ARG(essence));
    return ERR_MEDIA_TYPE;
}

static int check_sizes(struct gateway *g, const struct route_match *m, const struct http1_request *req,
                       struct err *e)
{
    if (req->content_encoding == HTTP_CODING_UNKNOWN ||
        (m->route->rule == RULE_ADMIN && req->content_encoding)) {
        err_set(e, ERR_MEDIA_TYPE, "this Content-Encoding is not read here");
        err_hint(e, m->route->rule == RULE_ADMIN ? "Send the bytes as they are." : "Served: gzip, zstd.");
        return ERR_MEDIA_TYPE;
    }
    if (m->route->rule == RULE_ADMIN) {
        if (req->content_length > g->settings->max_upload_bytes)
            return err_set(e, ERR_TOO_LARGE, "the upload has %llu bytes; the limit max_upload_bytes is %llu",
                           (unsigned long long)req->content_length,
                           (unsigned long long)g->settings->max_upload_bytes);
        return 1;
    }
    if (req->content_length > g->settings->max_body_bytes)
        return gate_body_too_large(g, req->content_length, e);
    return 1;
}

static int check_timeout(const struct gateway *g, const struct route_match *m,
                         const struct http1_request *req, struct err *e)
{
    uint64_t most = g->settings->request_timeout_ms;
    if (m->route->rule != RULE_PREDICT || req->timeout_ms <= most)
        return 1;
    err_set(e, ERR_OUT_OF_RANGE, "Slipway-Timeout-Ms is %llu, but the setting request_timeout is %llu ms",
            (unsigned long long)req->timeout_ms, (unsigned long long)most);
    err_hint(e, "Ask for less, or raise request_timeout.");
    return ERR_OUT_OF_RANGE;
}

static void say_continue(struct conn *c)
{
    predict_finish(c->g); // answers to earlier requests go first
    conn_send(c, STR("HTTP/1.1 100 Continue\r\n\r\n"));
}

int gate_head(struct conn *c, const struct http1_request *req, bool body_began, struct route_match *ret,
              struct err *e)
{
    int rc = route_find(req->method, req->path, ret, e);
    if (rc == 0)
        rc = check_rule(ret, req, e);
    if (rc > 0)
        rc = check_media_type(ret, req, e);
    if (rc > 0)
        rc = check_sizes(c->g, ret, req, e);
    if (rc > 0)
        rc = check_timeout(c->g, ret, req, e);
    if (rc < 0)
        return rc;
    bool has_body = req->chunked || req->content_length > 0;
    if (has_body && req->expect_continue && !body_began && !c->head_seen)
        say_continue(c);
    if (ret->route->handler == ROUTE_ADMIN && has_body && !c->is_dead)
        return admin_start(c, req, e);
    return 1;
}

// Undoes percent-encoding where it stands, in a connection's read buffer: the text gets shorter.
static int decode_name(struct str *name, struct err *e)
{
    char *p;
    if (name->n == 0 || !memchr(name->p, '%', name->n))
        return 0;
    memcpy(&p, &name->p, sizeof p);
    return url_segment_decode(*name, p, name->n, name, e);
}

static int answer(struct conn *c, const struct http1_request *req, struct route_match *m, struct str body,
                  struct err *e)
{
    int rc = decode_name(&m->model, e);
    if (rc == 0)
        rc = decode_name(&m->version, e);
    if (rc)
        return rc;
    if (c->g->table->has_more && parked_concerns(c->g, m))
        return parked_begin(c, req, m, body, e);
    switch (m->route->handler) {
    case ROUTE_V1_PREDICT:
    case ROUTE_V2_INFER:
        return predict_gather(c, req, m, body, e);
    case ROUTE_ADMIN:
        return admin_start(c, req, e);
    case ROUTE_V1_MODELS:
    case ROUTE_V1_MODEL:
    case ROUTE_V2_SERVER:
    case ROUTE_V2_MODELS:
    case ROUTE_V2_MODEL:
    case ROUTE_V2_MODEL_READY:
    case ROUTE_LIVE:
    case ROUTE_READY:
    case ROUTE_METRICS:
    case ROUTE_INDEX:
        return describe_answer(c, req, m, e);
    }
    return err_set(e, ERR_INTERNAL, "nothing answers here");
}

void gate_request(struct conn *c, const struct http1_request *req, struct route_match *m, struct str body)
{
    struct err e;
    if (answer(c, req, m, body, &e) < 0)
        reply_error(c, req, &e);
}

size_t gate_forward(struct conn *c, struct str bytes)
{
    return admin_body(c, bytes);
}

void gate_written(struct conn *c)
{
    if (c->admin)
        admin_written(c);
}

void gate_abandon(struct conn *c)
{
    if (c->admin)
        admin_abandon(c);
    else if (c->call)
        call_abandon(c);
    else if (c->parked)
        parked_abandon(c);
    else
        job_abandon(c);
}
