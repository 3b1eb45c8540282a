// SPDX-License-Identifier: Apache-2.0
// One forwarded request: head, body, end to the controller or the monitor; status, body, end back.
#include "role/gateway/admin.h"

#include "os/msg.h"
#include "os/sock.h"
#include "role/gateway/admin_owner.h"
#include "role/gateway/predict.h"
#include "role/gateway/reply.h"
#include "role/ipc.h"
#include "settings/settings.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

enum { ANSWER_MAX = IPC_ANSWER_MAX, UPLOAD_PENDING_MAX = 1 << 20 };
static const char LINES_TYPE[] = "application/x-ndjson";

struct admin_call {
    struct conn *c;
    struct msg_conn conn;
    struct watch watch;
    // The request
    enum http_method method;
    int minor_version;
    bool keep_alive, is_chunked, body_done;
    struct http1_chunked chunked;
    uint64_t body_left, body_bytes; // of a body with a known length; forwarded so far
    char request_id[128];
    // The answer
    int status;
    char content_type[64];
    struct buf body;
    bool is_streamed;    // its head was sent, the body goes on as it comes
    bool is_chunked_out; // its length is not known
    bool takes_lines;    // the client asked for lines of JSON
    uint64_t left;       // bytes of it to come
};

static void call_free(struct admin_call *a)
{
    loop_remove(a->c->g->loop, &a->watch);
    msg_conn_done(&a->conn);
    buf_done(&a->body);
    a->c->admin = NULL;
    free(a);
}

void admin_abandon(struct conn *c)
{
    call_free(c->admin);
}

// The request as reply() needs it.
static struct http1_request request_of(const struct admin_call *a)
{
    return (struct http1_request){.method = a->method,
                                  .minor_version = a->minor_version,
                                  .keep_alive = a->keep_alive,
                                  .request_id = str_of(a->request_id)};
}

// A body that was not read to its end cannot be told from a next request.
static void decide_close(struct admin_call *a)
{
    a->c->close_after = !a->keep_alive || !a->body_done || a->c->g->draining;
}

static void stream_begin(struct admin_call *a, uint64_t length)
{
    struct conn *c = a->c;
    struct http1_request req = request_of(a);
    predict_finish(c->g);
    if (c->is_dead)
        return;
    decide_close(a);
    a->is_streamed = true;
    a->is_chunked_out = length == (uint64_t)REPLY_CHUNKED;
    a->left = a->method == HTTP_HEAD || a->is_chunked_out ? 0 : length;
    reply_begin(c, &req, a->status, str_of(a->content_type), length);
}

// A head that was sent cannot be taken back: what is not whole ends with the connection.
static void stream_finish(struct admin_call *a, const struct err *e)
{
    struct conn *c = a->c;
    if (e || a->left) {
        conn_close(c);
        return;
    }
    if (a->is_chunked_out)
        reply_chunk(c, (struct str){0});
    if (c->is_dead)
        return;
    call_free(a);
    conn_answered(c, 1);
    conn_resume(c);
}

// Answers the client and goes on with what it sent meanwhile. e NULL: with what the controller answered.
static void finish(struct admin_call *a, const struct err *e)
{
    struct conn *c = a->c;
    struct http1_request req = request_of(a);
    if (a->is_streamed) {
        stream_finish(a, e);
        return;
    }
    predict_finish(c->g); // earlier answers go first; it may find that the client is gone
    if (c->is_dead)
        return;
    decide_close(a);
    if (e)
        reply_error(c, &req, e);
    else
        reply(c, &req, a->status, str_of(a->content_type), buf_str(&a->body));
    if (c->is_dead)
        return; // conn_close freed the call
    call_free(a);
    conn_resume(c);
}

static int take_message(struct admin_call *a, const struct msg *m, bool *ret_done, struct err *e)
{
    if (m->type == IPC_RESPONSE) {
        yyjson_doc *doc = yyjson_read(m->payload.p, m->payload.n, 0);
        yyjson_val *root = yyjson_doc_get_root(doc);
        struct str type = str_of(yyjson_get_str(yyjson_obj_get(root, "content_type")));
        a->status = (int)yyjson_get_int(yyjson_obj_get(root, "status"));
        if (type.n < sizeof a->content_type && type.n)
            memcpy(a->content_type, type.p, type.n + 1);
        yyjson_val *length = yyjson_obj_get(root, "length");
        bool is_known = yyjson_is_uint(length) && a->status == 200;
        bool lines = yyjson_is_true(yyjson_obj_get(root, "lines")) && a->takes_lines;
        uint64_t n = lines ? (uint64_t)REPLY_CHUNKED : yyjson_get_uint(length);
        yyjson_doc_free(doc);
        if (is_known || lines) {
            stream_begin(a, n);
            return 0;
        }
    } else if (m->type == IPC_BODY && a->is_chunked_out) {
        reply_chunk(a->c, m->payload);
        return 0;
    } else if (m->type == IPC_BODY && a->is_streamed) {
        if (m->payload.n > a->left)
            return err_set(e, ERR_INTERNAL, "the answer is longer than was said");
        a->left -= m->payload.n;
        conn_send(a->c, m->payload);
        return 0;
    } else if (m->type == IPC_BODY) {
        buf_put_str(&a->body, m->payload);
    } else if (m->type == IPC_END) {
        *ret_done = true;
    }
    return a->status < 200 || a->status > 599 || a->body.failed
               ? err_set(e, ERR_INTERNAL, "the answer of the process asked is not as agreed")
               : 0;
}

// The call is gone when the connection is dead after this.
static int read_answer(struct admin_call *a, bool *ret_done, struct err *e)
{
    struct conn *c = a->c;
    int rc = msg_conn_fill(&a->conn, e), taken = 1;
    while (taken > 0 && !*ret_done && (rc == 0 || rc == ERR_UNAVAILABLE)) {
        struct msg m;
        taken = msg_conn_take(&a->conn, &m, e);
        if (taken > 0 && take_message(a, &m, ret_done, e))
            return ERR_INTERNAL;
        if (c->is_dead)
            return 0;
        if (taken < 0)
            return taken;
    }
    if (rc == ERR_UNAVAILABLE && !*ret_done)
        err_set(e, ERR_UNAVAILABLE,
                "the process that should answer ended before it did; look at the state of what you changed");
    return *ret_done ? 0 : rc;
}

static void on_ready(struct watch *w, uint32_t events)
{
    struct admin_call *a = (struct admin_call *)((char *)w - offsetof(struct admin_call, watch));
    struct conn *c = a->c;
    struct err e;
    bool done = false;
    int rc = 0;
    if (events & (EPOLLIN | EPOLLHUP))
        rc = read_answer(a, &done, &e);
    if (c->is_dead)
        return;
    if (rc == 0 && !done && events & EPOLLOUT && msg_conn_pending(&a->conn)) {
        rc = msg_conn_flush(&a->conn, &e);
        if (rc == ERR_UNAVAILABLE) // it may have answered and closed; its answer is still to be read
            rc = 0;
    }
    if (rc || done) {
        finish(a, rc ? &e : NULL);
        return;
    }
    size_t pending = msg_conn_pending(&a->conn);
    if (!a->body_done)
        conn_want_input(c, pending < UPLOAD_PENDING_MAX);
    // No more of the answer while the client does not take it.
    uint32_t in = a->is_streamed && c->out.n ? 0 : EPOLLIN;
    if (loop_change(c->g->loop, w, pending ? in | EPOLLOUT : in, &e))
        finish(a, &e);
}

void admin_written(struct conn *c)
{
    struct err e;
    if (loop_change(c->g->loop, &c->admin->watch, EPOLLIN, &e))
        finish(c->admin, &e);
}

// Sends one message; waits for room in the socket where it is slow.
static int send_message(struct admin_call *a, enum ipc_type type, struct str payload, struct err *e)
{
    int rc = msg_conn_send(&a->conn, (uint16_t)type, payload, NULL, 0, e);
    if (rc == ERR_UNAVAILABLE) // refused while uploading: the answer is on its way
        return 0;
    size_t pending = msg_conn_pending(&a->conn);
    if (rc == 0 && pending)
        rc = loop_change(a->c->g->loop, &a->watch, EPOLLIN | EPOLLOUT, e);
    if (pending >= UPLOAD_PENDING_MAX)
        conn_want_input(a->c, false);
    return rc;
}

static int send_head(struct admin_call *a, const struct http1_request *req, bool has_body, struct err *e)
{
    struct buf b;
    buf_init(&b, 4 * LIMIT_HTTP_HEAD_BYTES);
    buf_puts(&b, "{\"method\":");
    buf_put_json_str(&b, str_of(http_method_name(req->method)));
    buf_puts(&b, ",\"path\":");
    buf_put_json_str(&b, req->path);
    buf_puts(&b, ",\"query\":");
    buf_put_json_str(&b, req->query);
    buf_puts(&b, ",\"content_type\":");
    buf_put_json_str(&b, req->content_type);
    buf_puts(&b, ",\"request_id\":");
    buf_put_json_str(&b, str_of(a->request_id));
    buf_puts(&b, ",\"idempotency_key\":");
    buf_put_json_str(&b, req->idempotency_key);
    buf_puts(&b, ",\"traceparent\":");
    buf_put_json_str(&b, req->traceparent);
    buf_puts(&b, has_body ? ",\"body\":true" : ",\"body\":false");
    buf_puts(&b, a->takes_lines ? ",\"lines\":true}" : "}");
    int rc = b.failed ? err_set(e, ERR_NOMEM, "forward the request")
                      : send_message(a, IPC_REQUEST, buf_str(&b), e);
    if (rc == 0 && !has_body)
        rc = send_message(a, IPC_END, (struct str){0}, e);
    buf_done(&b);
    return rc;
}

static void name_request(struct admin_call *a, struct gateway *g, const struct http1_request *req)
{
    if (req->request_id.n && req->request_id.n < sizeof a->request_id) {
        memcpy(a->request_id, req->request_id.p, req->request_id.n);
        a->request_id[req->request_id.n] = '\0';
    } else {
        ids_uuid7(&g->ids, gateway_wall_ns(g) / 1000000u, a->request_id);
    }
}

int admin_start(struct conn *c, const struct http1_request *req, struct err *e)
{
    struct gateway *g = c->g;
    int fd;
    bool has_body = req->chunked || req->content_length > 0;
    if (str_starts(req->path, STR("/api/v1/upgrade")) && !sock_peer_is_local(c->watch.fd))
        return err_set(e, ERR_REFUSED, "an upgrade can be asked for on the server's own machine only");
    bool is_monitors = admin_owner_of(req->path) == ADMIN_MONITOR;
    if (sock_unix_connect(is_monitors ? g->monitor_path : g->control_path, &fd, e))
        return err_set(e, ERR_UNAVAILABLE,
                       is_monitors
                           ? "the monitor is not running; predictions go on, and are logged when it is back"
                           : "the controller is not running; predictions go on, changes have to wait");
    struct admin_call *a = calloc(1, sizeof *a);
    if (!a) {
        close(fd);
        return err_set(e, ERR_NOMEM, "forward the request");
    }
    *a = (struct admin_call){.c = c,
                             .method = req->method,
                             .minor_version = req->minor_version,
                             .keep_alive = req->keep_alive,
                             .is_chunked = req->chunked,
                             .body_left = req->content_length,
                             .body_done = !has_body,
                             .watch = {fd, on_ready}};
    // HTTP/1.0 has no chunks.
    a->takes_lines = req->minor_version > 0 && req->method != HTTP_HEAD &&
                     memmem(req->accept.p, req->accept.n, LINES_TYPE, sizeof LINES_TYPE - 1) != NULL;
    name_request(a, g, req);
    msg_conn_init(&a->conn, fd, IPC_PAYLOAD_MAX);
    buf_init(&a->body, ANSWER_MAX);
    int rc = loop_add(g->loop, &a->watch, EPOLLIN, e);
    c->admin = a;
    if (rc == 0)
        rc = send_head(a, req, has_body, e);
    if (rc) {
        call_free(a);
        return rc;
    }
    if (has_body)
        c->unanswered++; // one without a body was counted when it was whole
    c->state = CONN_WAITING;
    if (!has_body)
        conn_want_input(c, false);
    return 1;
}

// Forwards payload in pieces the controller accepts.
static int forward(struct admin_call *a, struct str bytes, struct err *e)
{
    int rc = 0;
    a->body_bytes += bytes.n;
    if (a->body_bytes > a->c->g->settings->max_upload_bytes)
        return err_set(e, ERR_TOO_LARGE, "the upload is larger than max_upload_bytes, %llu",
                       (unsigned long long)a->c->g->settings->max_upload_bytes);
    while (rc == 0 && bytes.n) {
        size_t n = bytes.n < IPC_BODY_MAX ? bytes.n : IPC_BODY_MAX;
        rc = send_message(a, IPC_BODY, (struct str){bytes.p, n}, e);
        bytes = (struct str){bytes.p + n, bytes.n - n};
    }
    if (rc == 0 && a->body_done) {
        conn_want_input(a->c, false);
        rc = send_message(a, IPC_END, (struct str){0}, e);
    }
    return rc;
}

// The part of bytes that is body: *ret_used of them are taken, *ret is what they carry.
static int cut_body(struct admin_call *a, struct str bytes, struct str *ret, size_t *ret_used, struct err *e)
{
    if (!a->is_chunked) {
        *ret_used = bytes.n < a->body_left ? bytes.n : (size_t)a->body_left;
        *ret = (struct str){bytes.p, *ret_used};
        a->body_left -= *ret_used;
        a->body_done = a->body_left == 0;
        return 0;
    }
    char *p;
    memcpy(&p, &bytes.p, sizeof p); // the bytes lie in a connection's read buffer, which is ours to change
    int rc = http1_chunked_decode(&a->chunked, p, bytes.n, ret_used, &ret->n, e);
    ret->p = p;
    a->body_done = rc > 0;
    return rc < 0 ? rc : 0;
}

size_t admin_body(struct conn *c, struct str bytes)
{
    struct admin_call *a = c->admin;
    struct err e;
    struct str payload;
    size_t used = 0;
    if (a->body_done || bytes.n == 0)
        return 0;
    int rc = cut_body(a, bytes, &payload, &used, &e);
    if (rc == 0)
        rc = forward(a, payload, &e);
    if (rc) {
        a->body_done = false;
        finish(a, &e);
        return bytes.n;
    }
    return used;
}
