// SPDX-License-Identifier: Apache-2.0
// A parked request owns copies of its head and body, so that it can be taken like a new one later.
#include "role/gateway/parked.h"

#include "role/gateway/control.h"
#include "role/gateway/gate.h"
#include "role/gateway/predict.h"
#include "role/gateway/reply.h"
#include "role/gateway/table.h"
#include "role/ipc_ask.h"
#include "settings/settings.h"

#include <stdlib.h>
#include <string.h>

struct parked {
    struct parked *next;
    struct conn *conn;
    struct http1_request req;
    struct route_match match;
    struct str body;
    char *memory; // owned: what the three point to
    size_t bytes;
    uint64_t deadline_ns;
};

struct parked_list {
    struct parked *first;
    uint32_t n;
    size_t bytes;
    // Names that are none, as of the generation of the table.
    uint64_t generation;
    uint32_t n_absent;
    struct {
        char model[LIMIT_MODEL_NAME_BYTES + 1], name[LIMIT_ALIAS_BYTES + 1];
        enum err_code code;
    } absent[PARKED_ABSENT];
};

static bool is_for(const struct parked *p, struct str model, struct str name)
{
    return str_eq(p->match.model, model) && str_eq(p->match.version, name);
}

bool parked_concerns(const struct gateway *g, const struct route_match *m)
{
    switch (m->route->handler) {
    case ROUTE_V1_PREDICT:
    case ROUTE_V2_INFER:
    case ROUTE_V1_MODEL:
    case ROUTE_V2_MODEL:
    case ROUTE_V2_MODEL_READY:
        return !table_has(g->table, m->model, m->version);
    default:
        return false;
    }
}

// ---- what is none ----

static int check_absent(struct gateway *g, const struct route_match *m, struct err *e)
{
    struct parked_list *l = g->parked;
    if (m->model.n > LIMIT_MODEL_NAME_BYTES || m->version.n > LIMIT_ALIAS_BYTES)
        return err_set(e, ERR_UNKNOWN_MODEL, "no model or version has a name as long");
    if (l->generation != g->table->generation)
        l->n_absent = 0;
    for (uint32_t i = 0; i < l->n_absent && i < PARKED_ABSENT; i++)
        if (str_eq(m->model, str_of(l->absent[i].model)) && str_eq(m->version, str_of(l->absent[i].name))) {
            struct deployment *d;
            int rc = table_route(g->table, m->model, m->version, &d, e); // with names that are near
            return rc == l->absent[i].code ? rc
                                           : err_set(e, l->absent[i].code,
                                                     "there is no model or version '" STR_FMT "/" STR_FMT "'",
                                                     STR_ARG(m->model), STR_ARG(m->version));
        }
    return 0;
}

static void remember_absent(struct gateway *g, struct str model, struct str name, enum err_code code)
{
    struct parked_list *l = g->parked;
    if ((code != ERR_UNKNOWN_MODEL && code != ERR_UNKNOWN_VERSION) || model.n > LIMIT_MODEL_NAME_BYTES ||
        name.n > LIMIT_ALIAS_BYTES)
        return;
    if (l->generation != g->table->generation)
        l->n_absent = 0;
    l->generation = g->table->generation;
    uint32_t at = l->n_absent++ % PARKED_ABSENT; // the oldest makes room
    memcpy(l->absent[at].model, model.p, model.n);
    l->absent[at].model[model.n] = '\0';
    memcpy(l->absent[at].name, name.p, name.n);
    l->absent[at].name[name.n] = '\0';
    l->absent[at].code = code;
}

// ---- keeping ----

// Moves the text to the memory at *to.
static void own(struct str *text, char **to)
{
    if (text->n)
        memcpy(*to, text->p, text->n);
    text->p = *to;
    *to += text->n;
}

static bool own_all(struct parked *p)
{
    struct str *texts[] = {&p->req.path,         &p->req.query,
                           &p->req.content_type, &p->req.accept,
                           &p->req.traceparent,  &p->req.inference_header_length,
                           &p->req.request_id,   &p->match.model,
                           &p->match.version,    &p->body};
    size_t n = 1;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        n += texts[i]->n;
    char *to = p->memory = malloc(n);
    for (size_t i = 0; to && i < sizeof texts / sizeof texts[0]; i++)
        own(texts[i], &to);
    p->bytes = n;
    return p->memory;
}

static uint64_t deadline(const struct gateway *g, const struct http1_request *req)
{
    uint64_t most = g->settings->request_timeout_ms;
    return loop_now_ns(g->loop) +
           (req->timeout_ms && req->timeout_ms < most ? req->timeout_ms : most) * 1000000u;
}

// What is looked at after the gate.
static struct http1_request head_of(const struct http1_request *req)
{
    return (struct http1_request){.method = req->method,
                                  .path = req->path,
                                  .query = req->query,
                                  .minor_version = req->minor_version,
                                  .keep_alive = req->keep_alive,
                                  .content_type = req->content_type,
                                  .accept = req->accept,
                                  .traceparent = req->traceparent,
                                  .inference_header_length = req->inference_header_length,
                                  .request_id = req->request_id,
                                  .timeout_ms = req->timeout_ms};
}

int parked_begin(struct conn *c, const struct http1_request *req, const struct route_match *m,
                 struct str body, struct err *e)
{
    struct gateway *g = c->g;
    if (!g->parked && !(g->parked = calloc(1, sizeof *g->parked)))
        return err_set(e, ERR_NOMEM, "no memory for a request");
    struct parked_list *l = g->parked;
    int rc = check_absent(g, m, e);
    if (rc)
        return rc;
    if (l->n >= PARKED_MAX || l->bytes + body.n > PARKED_BYTES)
        return err_set(e, ERR_BUSY, "%u requests wait here for versions to be loaded, which is the limit",
                       l->n);
    struct parked *p = malloc(sizeof *p);
    if (p)
        *p = (struct parked){
            .conn = c, .req = head_of(req), .match = *m, .body = body, .deadline_ns = deadline(g, req)};
    if (!p || !own_all(p)) {
        free(p);
        return err_set(e, ERR_NOMEM, "no memory for a request");
    }
    bool is_asked = false;
    struct parked **end = &l->first;
    for (; *end; end = &(*end)->next)
        is_asked |= is_for(*end, m->model, m->version);
    *end = p;
    l->n++;
    l->bytes += p->bytes;
    c->state = CONN_WAITING;
    c->parked = p;
    if (!is_asked)
        control_ask(g->control, p->match.model, p->match.version);
    return 0;
}

static void leave(struct gateway *g, struct parked *p)
{
    struct parked **at = &g->parked->first;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    g->parked->n--;
    g->parked->bytes -= p->bytes;
}

static void parked_free(struct parked *p)
{
    free(p->memory);
    free(p);
}

void parked_abandon(struct conn *c)
{
    struct parked *p = c->parked;
    c->parked = NULL;
    leave(c->g, p);
    parked_free(p);
}

// ---- going on ----

// Answers with e, or takes the request anew.
static void go_on(struct gateway *g, struct parked *p, const struct err *e)
{
    struct conn *c = p->conn;
    leave(g, p);
    predict_finish(g); // what it asked before is answered first, and may find that it left
    if (c->is_dead) {
        parked_free(p);
        return;
    }
    c->parked = NULL;
    c->state = CONN_READING;
    c->close_after |= g->draining && c->in.n == 0;
    if (e) {
        reply_error(c, &p->req, e);
    } else {
        buf_clear(&g->body); // where a large body is taken over from
        buf_put_str(&g->body, p->body);
        gate_request(c, &p->req, &p->match, buf_str(&g->body));
    }
    parked_free(p);
    if (!c->is_dead && c->state != CONN_WAITING)
        conn_resume(c);
}

// Those that `is` chooses: with e, or anew. Going on may end others, or park more, so the list is read anew.
static void go_on_all(struct gateway *g, bool (*is)(struct gateway *, const struct parked *, void *),
                      void *ctx, const struct err *e)
{
    for (bool again = true; again;) {
        again = false;
        for (struct parked *p = g->parked ? g->parked->first : NULL; p; p = p->next) {
            if (!is(g, p, ctx))
                continue;
            go_on(g, p, e); // frees it
            again = true;
            break;
        }
    }
}

static bool is_routed(struct gateway *g, const struct parked *p, void *ctx)
{
    (void)ctx;
    return !g->table->has_more || !parked_concerns(g, &p->match);
}

void parked_routed(struct gateway *g)
{
    go_on_all(g, is_routed, NULL, NULL);
}

struct name {
    struct str model, name;
};

static bool is_named(struct gateway *g, const struct parked *p, void *ctx)
{
    const struct name *n = ctx;
    (void)g;
    return is_for(p, n->model, n->name);
}

int parked_absent(struct gateway *g, struct str json, struct err *e)
{
    struct ipc_absent m;
    int rc = ipc_absent_decode(json, &m, e);
    if (rc)
        return rc;
    if (g->parked) {
        struct name which = {m.model, m.name};
        remember_absent(g, which.model, which.name, m.why.code);
        go_on_all(g, is_named, &which, &m.why);
    }
    ipc_absent_done(&m);
    return 0;
}

static bool is_late(struct gateway *g, const struct parked *p, void *ctx)
{
    (void)ctx;
    return p->deadline_ns <= loop_now_ns(g->loop);
}

void parked_sweep(struct gateway *g)
{
    struct err e;
    err_set(&e, ERR_NOT_DEPLOYED,
            "the version is not loaded, and could not be in the time that the request has");
    err_hint(&e, "It goes on being loaded: repeat the request in a moment.");
    go_on_all(g, is_late, NULL, &e);
    for (struct parked *p = g->parked ? g->parked->first : NULL; p; p = p->next) {
        const struct parked *before = g->parked->first;
        while (before != p && !is_for(before, p->match.model, p->match.version))
            before = before->next;
        if (before == p)
            control_ask(g->control, p->match.model, p->match.version);
    }
}

void parked_close(struct gateway *g)
{
    free(g->parked); // its connections are closed
    g->parked = NULL;
}
