// SPDX-License-Identifier: Apache-2.0
// Reading, framing and writing of client connections. All connections share one read buffer; a connection
// owns memory only while a request or an answer of it is unfinished, so that ten thousand idle ones cost
// little.
#include "role/gateway/conn.h"

#include "role/gateway/gate.h"
#include "role/gateway/journal.h"
#include "role/gateway/reply.h"
#include "settings/settings.h"
#include "wire/coding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_A_TURN = 64,
    DRAIN_ACCEPTS = 64, // times that many when draining
    CLOSING_MS = 2000,
    DRAIN_IDLE_MS = 1000, // idle connections are kept open for so long after SIGTERM
    IN_SLACK = 64 << 10
};

static struct conn *conn_of(struct watch *w)
{
    return (struct conn *)((char *)w - offsetof(struct conn, watch));
}

static void set_deadline(struct conn *c, uint64_t ms)
{
    c->deadline_ns = loop_now_ns(c->g->loop) + ms * 1000000u;
}

static void link_in(struct conn *c, struct conn **list)
{
    c->next = *list;
    c->link = list;
    if (c->next)
        c->next->link = &c->next;
    *list = c;
}

static void unlink_from_list(struct conn *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
}

static void watch_events(struct conn *c, uint32_t events)
{
    struct err e;
    if (c->events == events || c->is_dead)
        return;
    c->events = events;
    if (loop_change(c->g->loop, &c->watch, events, &e))
        conn_close(c);
}

// What the connection waits for: who does not read gets no more work done.
static void watch_wanted(struct conn *c)
{
    bool idles = c->is_held || (c->out.n == 0 && c->state == CONN_WAITING && c->paused);
    watch_events(c, idles ? 0 : c->out.n ? EPOLLOUT : EPOLLIN);
}

// Frees the answers that the client took, or will not take any more.
static void drop_out(struct conn *c)
{
    c->g->answer_bytes -= c->out.cap;
    buf_done(&c->out);
}

void conn_close(struct conn *c)
{
    if (c->is_dead)
        return;
    c->is_dead = true;
    loop_remove(c->g->loop, &c->watch);
    close(c->watch.fd);
    if (c->state == CONN_WAITING)
        gate_abandon(c);
    if (c->is_held)
        journal_forget(c->g, c);
    c->g->buffered_bytes -= c->in.cap; // freed with c: a request that is being read may lie in it
    drop_out(c);
    unlink_from_list(c);
    link_in(c, &c->g->dead);
    c->g->n_conns--;
    c->g->metrics->connections--;
}

void conn_free_dead(struct gateway *g)
{
    for (struct conn *c = g->dead, *next; c; c = next) {
        next = c->next;
        buf_done(&c->in);
        free(c);
    }
    g->dead = NULL;
}

// ---- writing ----

// Beyond what all may hold together nobody gets more than an equal share of it, so that small answers still
// have room: it is twice as much at most.
static bool holds_too_much(const struct conn *c)
{
    const struct gateway *g = c->g;
    return g->answer_bytes > GATEWAY_ANSWERS_MAX &&
           c->out.cap > GATEWAY_ANSWERS_MAX / g->settings->max_connections;
}

static void write_done(struct conn *c)
{
    if (c->state == CONN_CLOSING) {
        shutdown(c->watch.fd, SHUT_WR);
        set_deadline(c, CLOSING_MS);
    }
    watch_wanted(c);
}

void conn_send(struct conn *c, struct str bytes)
{
    if (c->is_dead)
        return;
    if (c->out.n == 0 && !c->is_held) {
        ssize_t n = send(c->watch.fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            conn_close(c);
            return;
        }
        size_t sent = n > 0 ? (size_t)n : 0;
        c->g->metrics->bytes_out += sent;
        bytes = (struct str){bytes.p + sent, bytes.n - sent};
    }
    if (bytes.n == 0)
        return;
    size_t before = c->out.cap;
    buf_put(&c->out, bytes.p, bytes.n);
    c->g->answer_bytes += c->out.cap - before;
    set_deadline(c, c->g->settings->body_timeout_ms);
    if (c->out.failed || holds_too_much(c))
        conn_close(c);
    else
        watch_wanted(c);
}

static void flush(struct conn *c)
{
    ssize_t n = send(c->watch.fd, c->out.p, c->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            conn_close(c);
        return;
    }
    c->g->metrics->bytes_out += (uint64_t)n;
    if (c->g->answer_bytes <= GATEWAY_ANSWERS_MAX) // else who reads byte by byte would keep it so
        set_deadline(c, c->g->settings->body_timeout_ms);
    buf_consume(&c->out, (size_t)n);
    if (c->out.n)
        return;
    drop_out(c);
    write_done(c);
    if (!c->is_dead && c->admin)
        gate_written(c); // more of a long answer
    else if (!c->is_dead && c->state == CONN_READING && c->in.n)
        conn_resume(c);
}

void conn_release(struct conn *c, bool is_committed)
{
    static const char SAID[] = CONN_COMMITTED "\r\n";
    char *at = c->out.p, *end = c->out.p + c->out.n;
    // Line ends do not stand in JSON, so none of this is in a body.
    while (!is_committed && at && (at = memmem(at, (size_t)(end - at), SAID, sizeof SAID - 1)))
        at[sizeof SAID - sizeof "1\r\n"] = '0';
    c->is_held = false;
    if (c->out.n)
        flush(c);
    if (!c->is_dead)
        watch_wanted(c);
}

void conn_answered(struct conn *c, uint32_t n)
{
    c->unanswered -= n;
    if (c->unanswered == 0 && c->close_after)
        conn_finish(c);
}

void conn_finish(struct conn *c)
{
    c->close_after = true;
    c->state = CONN_CLOSING;
    if (!c->is_dead && c->out.n == 0)
        write_done(c);
}

// ---- reading ----

// Answers an error that ends the connection, since where the next request begins is not known.
static void refuse(struct conn *c, const struct http1_request *req, const struct err *e)
{
    c->close_after = true;
    c->unanswered++;
    reply_error(c, req, e);
}

// The body of a chunked request whose bytes so far are p[0 … n); see struct conn. Returns 1 with body and
// used set.
static int chunked_body(struct conn *c, const struct http1_request *req, char *p, size_t n, struct str *body,
                        size_t *used, struct err *e)
{
    size_t end = c->payload_end ? c->payload_end : req->head_bytes, raw_used, payload;
    int rc = http1_chunked_decode(&c->chunked, p + end, n - end, &raw_used, &payload, e);
    if (rc < 0)
        return rc;
    if (end + payload - req->head_bytes > c->g->settings->max_body_bytes)
        return gate_body_too_large(c->g, end + payload - req->head_bytes, e);
    *body = (struct str){p + req->head_bytes, end + payload - req->head_bytes};
    *used = rc ? end + raw_used : end + payload;
    c->payload_end = end + payload;
    return rc;
}

// Finds the body of the request whose head was parsed at p. Returns 1 when it is whole, 0 when more must be
// read; *used is then how many bytes at p to keep (they may be fewer than n: chunk framing is already
// removed).
static int frame_body(struct conn *c, const struct http1_request *req, char *p, size_t n, struct str *body,
                      size_t *used, struct err *e)
{
    if (req->chunked)
        return chunked_body(c, req, p, n, body, used, e);
    if (n - req->head_bytes < req->content_length) {
        c->need = req->head_bytes + (size_t)req->content_length;
        *used = n;
        return 0;
    }
    *body = (struct str){p + req->head_bytes, (size_t)req->content_length};
    *used = req->head_bytes + (size_t)req->content_length;
    return 1;
}

// Undoes the content coding into the gateway's shared body buffer.
static int decode_body(struct gateway *g, const struct http1_request *req, struct str *body, struct err *e)
{
    if (req->content_encoding == HTTP_CODING_NONE)
        return 0;
    buf_clear(&g->body);
    int rc = coding_decode(req->content_encoding, *body, g->settings->max_body_bytes, &g->body, e);
    *body = buf_str(&g->body);
    return rc;
}

// Parses and admits the head at p into *head, or points *head to what the same head was found to mean before.
// As http1_request_parse, with the errors of gate_head.
static int take_head(struct conn *c, const char *p, size_t n, struct head **head, struct err *e)
{
    struct head *known = head_memo_find(&c->g->head_memo, p, n, c->g->settings->max_body_bytes);
    if (known) {
        *head = known;
        return 1;
    }
    int rc = http1_request_parse(p, n, &(*head)->req, e); // fills req also when it fails
    if (rc > 0)
        rc = gate_head(c, &(*head)->req, n > (*head)->req.head_bytes, &(*head)->match, e);
    if (rc > 0)
        head_memo_keep(&c->g->head_memo, p, *head);
    return rc;
}

// One request at p. Returns the bytes it took; 0: it is not whole yet (*keep bytes of it are worth keeping).
static size_t take_request(struct conn *c, char *p, size_t n, size_t *keep)
{
    struct head fresh, *head = &fresh;
    struct str body = {0};
    struct err e;
    size_t used = 0;
    *keep = n;
    int rc = take_head(c, p, n, &head, &e);
    const struct http1_request *req = &head->req;
    if (rc == 0)
        return 0;
    if (c->is_dead) // found gone when it was told to send the body
        return n;
    if (rc > 0 && c->state == CONN_WAITING) // forwarded while its body arrives
        return req->head_bytes;
    if (rc > 0)
        rc = frame_body(c, req, p, n, &body, &used, &e);
    if (rc < 0) {
        refuse(c, req, &e);
        return n;
    }
    c->head_seen = rc == 0;
    if (rc == 0) {
        *keep = used;
        return 0;
    }
    c->need = c->payload_end = 0;
    c->chunked = (struct http1_chunked){0};
    c->deadline_ns = UINT64_MAX; // the next request has its own
    c->close_after = !req->keep_alive || c->g->draining;
    c->unanswered++;
    if (decode_body(c->g, req, &body, &e))
        reply_error(c, req, &e);
    else
        gate_request(c, req, &head->match, body);
    return used;
}

// All whole requests in p[0 … n), up to one whose answer the client does not read. Returns how many bytes are
// done with; *keep of the rest are worth keeping.
static size_t take_requests(struct conn *c, char *p, size_t n, size_t *keep)
{
    size_t done = 0;
    *keep = 0;
    while (done < n && !c->is_dead && c->state == CONN_READING && !c->close_after && c->out.n == 0) {
        size_t used = take_request(c, p + done, n - done, keep);
        if (used == 0)
            return done;
        done += used;
    }
    *keep = c->state == CONN_CLOSING || c->close_after ? 0 : n - done;
    return n - *keep;
}

static size_t in_max(const struct gateway *g)
{
    return (size_t)g->settings->max_body_bytes + LIMIT_HTTP_HEAD_BYTES + IN_SLACK;
}

static void keep_rest(struct conn *c, const char *p, size_t n)
{
    size_t before = c->in.cap;
    if (c->in.n == 0) // its request was admitted under the present settings
        c->in.max = in_max(c->g);
    buf_put(&c->in, p, n);
    c->g->buffered_bytes += c->in.cap - before;
}

// After requests were taken from the connection's own buffer: drops what is done with.
static void shrink_in(struct conn *c, size_t done, size_t keep)
{
    c->in.n = done + keep;
    buf_consume(&c->in, done);
    if (c->in.n == 0) {
        c->g->buffered_bytes -= c->in.cap;
        buf_done(&c->in);
    }
}

struct buf conn_take_body(struct conn *c, struct str body)
{
    struct gateway *g = c->g;
    struct buf *from = body.p >= c->in.p && body.p < c->in.p + c->in.n ? &c->in : &g->body, taken = *from;
    if (from == &c->in)
        g->buffered_bytes -= taken.cap;
    buf_init(from, taken.max);
    return taken;
}

static void take_from_own(struct conn *c)
{
    char *p = c->in.p;
    size_t n = c->in.n, keep, done = take_requests(c, p, n, &keep);
    if (c->is_dead)
        return;
    if (c->in.p != p) { // the buffer went with the request
        keep_rest(c, p + done, keep);
        return;
    }
    if (c->admin) {
        done += gate_forward(c, (struct str){c->in.p + done, c->in.n - done});
        keep = c->is_dead ? 0 : c->in.n - done;
    }
    if (!c->is_dead)
        shrink_in(c, done, keep);
}

static void take_from_shared(struct conn *c, size_t n)
{
    char *p = c->g->read_buf;
    size_t keep, done = take_requests(c, p, n, &keep);
    if (c->is_dead)
        return;
    if (c->admin) {
        done += gate_forward(c, (struct str){p + done, n - done});
        keep = n - done;
    }
    if (keep)
        keep_rest(c, p + done, keep);
}

static void after_input(struct conn *c)
{
    const struct settings *s = c->g->settings;
    if (c->state == CONN_WAITING && (c->call || c->parked) && c->in.n && !c->paused)
        conn_want_input(c, false); // it has requests enough; while it has none its leaving is noticed
    else if (c->state == CONN_WAITING && c->admin && !c->paused)
        set_deadline(c, s->body_timeout_ms); // of an upload
    if (c->is_dead || c->state != CONN_READING)
        return;
    if (c->in.failed || c->g->buffered_bytes > GATEWAY_BUFFERED_MAX) {
        struct err e;
        err_set(&e, ERR_BUSY, "too many unfinished requests hold memory");
        refuse(c, NULL, &e);
    } else if (c->in.n == 0) {
        set_deadline(c, s->idle_timeout_ms);
    } else if (!c->head_seen && c->deadline_ns > loop_now_ns(c->g->loop) + s->header_timeout_ms * 1000000u) {
        set_deadline(c, s->header_timeout_ms); // from its first byte, not extended by later ones
    } else if (c->head_seen) {
        set_deadline(c, s->body_timeout_ms);
    }
}

static void read_input(struct conn *c)
{
    struct gateway *g = c->g;
    bool own = c->in.n > 0;
    size_t before = c->in.cap;
    char *to = own ? buf_reserve(&c->in, GATEWAY_READ_BYTES) : g->read_buf;
    g->buffered_bytes += c->in.cap - before;
    ssize_t n = to ? recv(c->watch.fd, to, GATEWAY_READ_BYTES, MSG_DONTWAIT) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_close(c);
        return;
    }
    g->metrics->bytes_in += (uint64_t)n;
    if (c->state == CONN_CLOSING)
        return;
    if (own) {
        buf_advance(&c->in, (size_t)n);
        if (c->in.n >= c->need)
            take_from_own(c);
    } else {
        take_from_shared(c, (size_t)n);
    }
    after_input(c);
}

void conn_resume(struct conn *c)
{
    if (c->is_dead)
        return;
    if (c->state == CONN_WAITING)
        c->state = CONN_READING;
    if (c->state == CONN_CLOSING)
        return;
    c->paused = false;
    watch_wanted(c);
    if (c->in.n && c->out.n == 0)
        take_from_own(c);
    if (!c->is_dead)
        after_input(c);
}

void conn_want_input(struct conn *c, bool want)
{
    if (c->paused && want)
        set_deadline(c, c->g->settings->body_timeout_ms);
    c->paused = !want;
    watch_wanted(c);
}

static void on_ready(struct watch *w, uint32_t events)
{
    struct conn *c = conn_of(w);
    if (events & EPOLLOUT && c->out.n && !c->is_held) // since this turn, perhaps
        flush(c);
    if (!c->is_dead && events & (EPOLLIN | EPOLLHUP | EPOLLERR) && c->out.n == 0)
        read_input(c);
    else if (!c->is_dead && events & (EPOLLHUP | EPOLLERR))
        conn_close(c);
}

// ---- life ----

static void open_conn(struct gateway *g, int fd)
{
    struct err e;
    struct conn *c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return;
    }
    c->g = g;
    c->watch = (struct watch){fd, on_ready};
    c->events = EPOLLIN;
    buf_init(&c->in, in_max(g));
    buf_init(&c->out, GATEWAY_OUT_MAX);
    set_deadline(c, g->settings->header_timeout_ms);
    if (loop_add(g->loop, &c->watch, EPOLLIN, &e)) {
        close(fd);
        free(c);
        return;
    }
    link_in(c, &g->conns);
    g->n_conns++;
    g->metrics->connections++;
    g->metrics->connections_total++;
}

// Over the limit: said at once, so that the client can go elsewhere.
static void refuse_conn(struct gateway *g, int fd)
{
    static const char ANSWER[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
                                 "Content-Length: 0\r\n\r\n";
    ssize_t n = send(fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)n; // it is leaving either way
    g->metrics->refused_total++;
    close(fd);
}

// Returns whether there may be more.
static bool accept_some(struct gateway *g)
{
    for (int i = 0; i < ACCEPTS_A_TURN && g->accepting; i++) {
        int fd = accept4(g->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                conn_listen_stop(g); // until the next sweep; what is waiting stays in the listener's queue
            return false;
        }
        if (g->n_conns < g->settings->max_connections)
            open_conn(g, fd);
        else
            refuse_conn(g, fd);
    }
    return g->accepting;
}

static void on_accept(struct watch *w, uint32_t events)
{
    (void)events;
    accept_some((struct gateway *)((char *)w - offsetof(struct gateway, listener)));
}

void conn_listen_start(struct gateway *g, int listen_fd)
{
    struct err e;
    g->listener = (struct watch){listen_fd, on_accept};
    g->accepting = loop_add(g->loop, &g->listener, EPOLLIN, &e) == 0;
}

void conn_listen_stop(struct gateway *g)
{
    if (g->accepting)
        loop_remove(g->loop, &g->listener);
    g->accepting = false;
}

static void time_out(struct conn *c)
{
    struct err e;
    bool upload = c->state == CONN_WAITING;
    if (c->out.n || c->state == CONN_CLOSING || (!upload && c->in.n == 0)) {
        conn_close(c);
        return;
    }
    if (upload) {
        gate_abandon(c);
        c->state = CONN_READING;
        c->unanswered--; // refuse counts it again
    }
    err_set(&e, ERR_REQUEST_TIMEOUT, "the request did not arrive whole in time");
    refuse(c, NULL, &e);
}

static void close_idle(struct gateway *g)
{
    for (struct conn *c = g->conns, *next; c; c = next) {
        int unread = 0;
        next = c->next;
        if (c->state != CONN_READING || c->in.n || c->out.n || c->unanswered)
            continue;
        ioctl(c->watch.fd, FIONREAD, &unread);
        if (unread == 0)
            conn_close(c);
    }
}

void conn_sweep(struct gateway *g)
{
    uint64_t now = loop_now_ns(g->loop);
    for (struct conn *c = g->conns, *next; c; c = next) {
        next = c->next;
        bool on_client = c->state != CONN_WAITING || c->out.n || (c->admin && !c->paused);
        if (on_client && c->deadline_ns < now)
            time_out(c);
    }
    if (g->draining && now >= g->idle_close_ns)
        close_idle(g);
    if (!g->accepting && !g->draining && g->listener.on_ready)
        conn_listen_start(g, g->listener.fd);
}

void conn_drain(struct gateway *g)
{
    // Connections the kernel completed for us are still ours to answer.
    for (int i = 0; i < DRAIN_ACCEPTS && accept_some(g);)
        i++;
    // A client may be sending its next request while we look: it gets an answer that says goodbye, if it
    // comes soon.
    uint64_t grace_ms = g->settings->drain_timeout_ms / 2;
    g->idle_close_ns =
        loop_now_ns(g->loop) + (grace_ms < DRAIN_IDLE_MS ? grace_ms : DRAIN_IDLE_MS) * 1000000u;
    g->draining = true;
    conn_listen_stop(g);
}
