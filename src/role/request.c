// SPDX-License-Identifier: Apache-2.0
// Admin requests: finding the route, reading the body, sending the answer as fast as the gateway takes it.
#include "role/request.h"

#include "api/predict.h"
#include "role/ipc.h"
#include "role/peer.h"
#include "wire/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum {
    LINES_MAX = 256 << 20,    // bytes of lines held in memory; their sender heeds on_drained
    PENDING_HIGH = 256 << 10, // bytes queued for the gateway before it must read some
};

// Matches segment by segment; the variable ones go to args, still encoded.
static bool path_matches(struct str pattern, struct str path, struct str *args)
{
    size_t n_args = 0;
    while (pattern.n && path.n) {
        struct str want = str_split(&pattern, '/'), have = str_split(&path, '/');
        if (str_eq(want, STR("{}")) && have.n && n_args < REQUEST_ARGS_MAX)
            args[n_args++] = have;
        else if (!str_eq(want, have))
            return false;
    }
    return pattern.n == 0 && path.n == 0;
}

static int route_find(struct request *r, struct str method, struct str path, struct err *e)
{
    char allowed[64] = "";
    const struct request_route *routes = r->peer->peers->ops->routes;
    for (size_t i = 0; i < r->peer->peers->ops->n_routes; i++) {
        struct str args[REQUEST_ARGS_MAX] = {{0}};
        if (!path_matches(str_of(routes[i].pattern), path, args))
            continue;
        if (str_eq(str_of(routes[i].method), method)) {
            r->route = &routes[i];
            memcpy(r->args, args, sizeof args);
            return 0;
        }
        size_t used = strlen(allowed);
        snprintf(allowed + used, sizeof allowed - used, "%s%s", used ? ", " : "", routes[i].method);
    }
    if (!allowed[0])
        return err_set(e, ERR_NO_ROUTE, "nothing is served at '" STR_FMT "'", STR_ARG(path));
    err_set(e, ERR_METHOD, STR_FMT " is not answered at '" STR_FMT "'", STR_ARG(method), STR_ARG(path));
    err_hint(e, "Allowed: %s.", allowed);
    return ERR_METHOD;
}

// Decodes the variable segments in place: a decoded segment is never longer.
static int args_decode(struct request *r, struct err *e)
{
    for (size_t i = 0; i < REQUEST_ARGS_MAX; i++) {
        if (r->args[i].n == 0)
            continue;
        char decoded[LIMIT_HTTP_TARGET_BYTES];
        struct str text;
        int rc = url_segment_decode(r->args[i], decoded, sizeof decoded, &text, e);
        if (rc)
            return rc;
        char *to = r->path + (r->args[i].p - r->path);
        memmove(to, text.p, text.n);
        r->args[i] = (struct str){to, text.n};
    }
    return 0;
}

static void request_end(struct request *r)
{
    if (r->is_over)
        return;
    r->is_over = true;
    r->peer->peers->n_requests--;
    if (r->state_free)
        r->state_free(r);
    r->state_free = NULL;
    r->refill = NULL;
}

void request_abandon(struct request *r)
{
    request_end(r);
}

void request_free(struct request *r)
{
    if (!r)
        return;
    buf_done(&r->body);
    buf_done(&r->out);
    buf_done(&r->lines);
    free(r->path);
    free(r->once_text);
    free(r);
}

void request_pump(struct request *r)
{
    while ((r->is_answered || r->lines.n) && !r->is_over && msg_conn_pending(&r->peer->conn) < PENDING_HIGH) {
        struct buf *from = r->lines.n ? &r->lines : &r->out;
        struct outgoing *sent = r->lines.n ? &r->lines_sent : &r->out_sent;
        int more = from->n ? 1 : r->refill ? r->refill(r) : 0;
        if (more < 0) {
            peer_close(r->peer);
            return;
        }
        if (more == 0) {
            if (peer_send(r->peer, IPC_END, STR(""), NULL, 0))
                request_end(r);
            break;
        }
        struct str piece = outgoing_next(sent, from, IPC_BODY_MAX);
        if (!peer_send(r->peer, IPC_BODY, piece, NULL, 0))
            return;
        outgoing_sent(sent, from, piece.n);
    }
    if (!r->is_over && r->lines.n == 0 && r->on_drained && msg_conn_pending(&r->peer->conn) < PENDING_HIGH)
        r->on_drained(r);
    // A body that is still coming is read to its end, so that the gateway's writes do not fail.
    if (r->is_over && r->body_done && msg_conn_pending(&r->peer->conn) == 0)
        peer_close(r->peer);
}

void request_line(struct request *r, struct str json)
{
    static const struct str HEAD =
        STR("{\"status\":200,\"content_type\":\"application/x-ndjson\",\"lines\":true}");
    if (!r->takes_lines || r->is_over || r->is_answered)
        return;
    if (!r->has_lines && !peer_send(r->peer, IPC_RESPONSE, HEAD, NULL, 0))
        return;
    r->has_lines = true;
    buf_put_str(&r->lines, json);
    buf_putc(&r->lines, '\n');
    request_pump(r);
}

void request_answer(struct request *r, int status, const char *content_type)
{
    if (r->is_answered || r->is_over)
        return;
    if (r->out.failed) { // it is not whole
        struct err e;
        err_set(&e, ERR_TOO_LARGE, "the answer has more than %d bytes, or there is no memory for it",
                IPC_ANSWER_MAX);
        err_hint(&e, "Ask for less.");
        request_fail(r, &e);
        return;
    }
    r->is_answered = true;
    if (r->has_lines) { // one more, whatever its status
        buf_putc(&r->out, '\n');
        request_pump(r);
        return;
    }
    char head[160], length[40] = "";
    if (r->has_length)
        snprintf(length, sizeof length, ",\"length\":%llu", (unsigned long long)r->length);
    int n = snprintf(head, sizeof head, "{\"status\":%d,\"content_type\":\"%s\"%s}", status, content_type,
                     length);
    if (r->is_head)
        buf_clear(&r->out);
    if (peer_send(r->peer, IPC_RESPONSE, (struct str){head, (size_t)n}, NULL, 0))
        request_pump(r);
}

void request_fail(struct request *r, const struct err *e)
{
    request_fail_with(r, e, STR(""));
}

void request_fail_with(struct request *r, const struct err *e, struct str members)
{
    buf_clear(&r->out);
    r->refill = NULL;
    r->has_length = false;
    api_error_encode(e, str_of(r->request_id), &r->out);
    if (members.n && r->out.n) {
        r->out.n--; // the object goes on
        buf_putc(&r->out, ',');
        buf_put_str(&r->out, members);
        buf_putc(&r->out, '}');
    }
    if (r->out.failed)
        buf_clear(&r->out); // the status has to do
    if (err_http_status(e->code) >= 500)
        log_event(r->peer->peers->log, LOG_LEVEL_ERROR, "request_failed", LOG_Z("request_id", r->request_id),
                  LOG_Z("code", err_name(e->code)), LOG_Z("message", e->msg));
    request_answer(r, err_http_status(e->code), "application/json");
}

// A blob is stored under its digest: once by its nature.
static bool is_change(const struct request *r)
{
    return r->once.key.n && r->route->body != REQUEST_BODY_STREAM && strcmp(r->route->method, "GET") != 0 &&
           strcmp(r->route->method, "HEAD") != 0;
}

// The body is whole: what the route does with it.
static void request_run(struct request *r)
{
    struct err e = {0};
    r->body_done = true;
    if (r->is_answered) {
        request_pump(r); // refused earlier; now the connection may end
        return;
    }
    int rc = is_change(r) && r->peer->peers->ops->once ? r->peer->peers->ops->once(r, &e) : 0;
    if (rc == 0)
        rc = r->route->handle(r, &e);
    if (rc < 0)
        request_fail(r, &e);
}

int request_message(struct request *r, const struct msg *m, struct err *e)
{
    if (m->type == IPC_END) {
        if (!r->body_done)
            request_run(r);
        return 0;
    }
    if (m->type != IPC_BODY || r->body_done)
        return err_set(e, ERR_INVALID, "message type %u came in a request", m->type);
    if (r->is_answered)
        return 0;
    struct err why = {0};
    int rc = 0;
    if (r->route->body == REQUEST_BODY_STREAM) {
        rc = r->route->take(r, m->payload, &why);
    } else {
        buf_put_str(&r->body, m->payload);
        if (r->body.failed)
            rc = err_set(&why, ERR_TOO_LARGE, "the body is over %d bytes, or there is no memory for it",
                         LIMIT_MANIFEST_BYTES);
    }
    if (rc)
        request_fail(r, &why);
    return 0;
}

static struct str text_of(yyjson_val *v)
{
    return (struct str){yyjson_get_str(v), yyjson_get_len(v)};
}

// The request as it is compared with others of its key: the path as it came, before its parts are decoded.
static int once_keep(struct request *r, struct str key, struct str method)
{
    char *at = r->once_text = malloc(key.n + method.n + (size_t)(r->query.p - r->path) + r->query.n);
    if (!at)
        return ERR_NOMEM;
    struct str *parts[] = {&r->once.key, &r->once.method, &r->once.path};
    const struct str whole = {r->path, (size_t)(r->query.p - r->path) + r->query.n};
    const struct str from[] = {key, method, whole};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        memcpy(at, from[i].p, from[i].n);
        *parts[i] = (struct str){at, from[i].n};
        at += from[i].n;
    }
    return 0;
}

// Fills r from the payload of IPC_REQUEST; *ret_method is borrowed from doc.
static int head_parse(struct request *r, yyjson_val *root, bool *ret_has_body, struct str *ret_method,
                      struct str *ret_path, struct err *e)
{
    struct str path = str_of(yyjson_get_str(yyjson_obj_get(root, "path")));
    struct str query = str_of(yyjson_get_str(yyjson_obj_get(root, "query")));
    struct str id = str_of(yyjson_get_str(yyjson_obj_get(root, "request_id")));
    *ret_method = str_of(yyjson_get_str(yyjson_obj_get(root, "method")));
    *ret_has_body = yyjson_is_true(yyjson_obj_get(root, "body"));
    if (!path.n || !ret_method->n || path.n + query.n > 2 * LIMIT_HTTP_TARGET_BYTES)
        return err_set(e, ERR_INVALID, "a request's head is not as agreed");
    r->path = malloc(path.n + query.n + 1);
    if (!r->path)
        return err_set(e, ERR_NOMEM, "no memory for a request");
    memcpy(r->path, path.p, path.n);
    if (query.n)
        memcpy(r->path + path.n, query.p, query.n);
    *ret_path = (struct str){r->path, path.n};
    r->query = (struct str){r->path + path.n, query.n};
    r->is_head = str_eq(*ret_method, STR("HEAD"));
    struct str key = text_of(yyjson_obj_get(root, "idempotency_key"));
    if (key.n && once_keep(r, key, *ret_method))
        return err_set(e, ERR_NOMEM, "no memory for a request");
    r->takes_lines = yyjson_is_true(yyjson_obj_get(root, "lines"));
    snprintf(r->request_id, sizeof r->request_id, STR_FMT, STR_ARG(id));
    return 0;
}

// Finds the route and begins; errors here are the caller's to be told.
static int request_begin(struct request *r, struct str method, struct str path, bool has_body, struct err *e)
{
    int rc = route_find(r, method, path, e);
    if (!rc)
        rc = args_decode(r, e);
    if (!rc && r->once.key.n > LIMIT_ONCE_KEY_BYTES)
        rc = err_set(e, ERR_INVALID, "an Idempotency-Key has at most %d bytes", LIMIT_ONCE_KEY_BYTES);
    if (!rc && has_body && r->route->body == REQUEST_BODY_NONE)
        rc = err_set(e, ERR_INVALID, STR_FMT " '" STR_FMT "' takes no body", STR_ARG(method), STR_ARG(path));
    if (!rc && r->route->start)
        rc = r->route->start(r, e);
    return rc;
}

int request_start(struct peer *p, struct str payload, struct err *e)
{
    struct request *r = calloc(1, sizeof *r);
    yyjson_doc *doc = yyjson_read(payload.p, payload.n, 0);
    if (!r || !doc) {
        free(r);
        yyjson_doc_free(doc);
        return err_set(e, r ? ERR_INVALID : ERR_NOMEM, "a request's head cannot be read");
    }
    *r = (struct request){.peer = p, .owner = p->peers->owner};
    buf_init(&r->body, LIMIT_MANIFEST_BYTES);
    buf_init(&r->out, IPC_ANSWER_MAX);
    buf_init(&r->lines, LINES_MAX);
    struct str method = {0}, path = {0};
    bool has_body = false;
    int rc = head_parse(r, yyjson_doc_get_root(doc), &has_body, &method, &path, e);
    if (rc) {
        yyjson_doc_free(doc);
        request_free(r);
        return rc;
    }
    p->request = r;
    p->peers->n_requests++;
    r->body_done = !has_body;
    struct err why = {0};
    if (request_begin(r, method, path, has_body, &why))
        request_fail(r, &why);
    else if (!has_body)
        request_run(r);
    yyjson_doc_free(doc);
    return 0;
}
