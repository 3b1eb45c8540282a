// SPDX-License-Identifier: Apache-2.0
// Requests over several pipelined connections.
#include "cli/pump.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 256 << 10, FIRST_WAIT_MS = 50 };

void pump_init(struct pump *p, const struct client *client, int n_conns)
{
    ASSERT(n_conns > 0 && n_conns <= PUMP_CONNECTIONS_MAX);
    memset(p, 0, sizeof *p);
    p->client = client;
    p->n_conns = n_conns;
    p->n_slots = n_conns * PUMP_DEPTH;
    for (int i = 0; i < n_conns; i++) {
        p->conns[i].fd = -1;
        reader_init(&p->conns[i].reader);
    }
    for (int i = 0; i < p->n_slots; i++) {
        buf_init(&p->slots[i].request, LIMIT_CLIENT_ANSWER_BYTES);
        buf_init(&p->slots[i].answer, LIMIT_CLIENT_ANSWER_BYTES);
    }
}

void pump_done(struct pump *p)
{
    for (int i = 0; i < p->n_conns; i++) {
        if (p->conns[i].fd >= 0)
            close(p->conns[i].fd);
        reader_done(&p->conns[i].reader);
    }
    for (int i = 0; i < p->n_slots; i++) {
        buf_done(&p->slots[i].request);
        buf_done(&p->slots[i].answer);
    }
}

struct pump_slot *pump_next(struct pump *p)
{
    if (p->filled - p->emptied == (uint64_t)p->n_slots)
        return NULL;
    struct pump_slot *s = &p->slots[p->filled % (uint64_t)p->n_slots];
    ASSERT(s->state == PUMP_FREE);
    buf_clear(&s->request);
    buf_clear(&s->answer);
    s->attempts = 0;
    s->not_before_ns = 0;
    return s;
}

void pump_submit(struct pump *p, struct pump_slot *s)
{
    ASSERT(s->state == PUMP_FREE);
    s->state = PUMP_READY;
    p->filled++;
}

struct pump_slot *pump_answered(struct pump *p)
{
    struct pump_slot *s = &p->slots[p->emptied % (uint64_t)p->n_slots];
    return p->emptied < p->filled && s->state == PUMP_DONE ? s : NULL;
}

void pump_release(struct pump *p, struct pump_slot *s)
{
    ASSERT(s->state == PUMP_DONE);
    s->state = PUMP_FREE;
    p->emptied++;
}

// Lets a slot wait for another try, longer each time.
static void again(struct pump_slot *s, uint64_t now)
{
    s->state = PUMP_READY;
    s->not_before_ns = now + (FIRST_WAIT_MS * 1000000ull << s->attempts);
    s->attempts++;
}

// Closes a connection; what waited on it is sent again. e is the reason, returned when a slot was tried often
// enough.
static int give_up(struct pump_conn *c, struct err *e)
{
    uint64_t now = clock_mono_ns();
    int rc = 0;
    for (int i = 0; i < c->n_queue; i++) {
        if (c->queue[i]->attempts + 1 >= PUMP_ATTEMPTS)
            rc = e->code;
        again(c->queue[i], now);
    }
    c->n_queue = c->n_written = 0;
    c->written = 0;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    reader_reset(&c->reader);
    return rc;
}

// The oldest slot that may be sent now. *wait_ns becomes the shortest time until another may.
static struct pump_slot *next_ready(struct pump *p, uint64_t now, uint64_t *wait_ns)
{
    for (uint64_t i = p->emptied; i < p->filled; i++) {
        struct pump_slot *s = &p->slots[i % (uint64_t)p->n_slots];
        if (s->state != PUMP_READY)
            continue;
        if (s->not_before_ns <= now)
            return s;
        if (s->not_before_ns - now < *wait_ns)
            *wait_ns = s->not_before_ns - now;
    }
    return NULL;
}

static int assign(struct pump *p, uint64_t *wait_ns, struct err *e)
{
    uint64_t now = clock_mono_ns();
    // One each, before anybody gets a second: gateways should share the work.
    for (int depth = 0; depth < PUMP_DEPTH; depth++) {
        for (int i = 0; i < p->n_conns; i++) {
            struct pump_conn *c = &p->conns[i];
            if (c->n_queue != depth)
                continue;
            struct pump_slot *s = next_ready(p, now, wait_ns);
            if (!s)
                return 0;
            s->state = PUMP_SENT;
            c->queue[c->n_queue++] = s;
            if (c->fd >= 0)
                continue;
            int rc = client_connect(p->client, &c->fd, e);
            if (rc) // a server that was there may be restarting; one that never was is not waited for
                rc = p->emptied > 0 || s->attempts > 0 ? give_up(c, e) : rc;
            else if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0)
                rc = err_errno(e, errno, "set up a connection");
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int write_some(struct pump_conn *c, struct err *e)
{
    while (c->n_written < c->n_queue) {
        const struct buf *b = &c->queue[c->n_written]->request;
        ssize_t n = send(c->fd, b->p + c->written, b->n - c->written, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0;
        if (n < 0)
            return err_set(e, ERR_UNAVAILABLE, "the server closed the connection: %s",
                           strerrordesc_np(errno));
        c->written += (size_t)n;
        if (c->written == b->n) {
            c->n_written++;
            c->written = 0;
        }
    }
    return 0;
}

static int take_answer(struct pump_conn *c, const struct reply *r, struct err *e)
{
    if (c->n_queue == 0)
        return err_set(e, ERR_BAD_HTTP, "the server sent an answer that nobody asked for");
    struct pump_slot *s = c->queue[0];
    bool whole = c->n_written > 0;
    memmove(c->queue, c->queue + 1, (size_t)(c->n_queue - 1) * sizeof *c->queue);
    c->n_queue--;
    if (whole)
        c->n_written--;
    if ((r->status == 429 || r->status == 503) && s->attempts + 1 < PUMP_ATTEMPTS) {
        again(s, clock_mono_ns());
    } else {
        s->state = PUMP_DONE;
        s->status = r->status;
        memcpy(s->model_version, r->model_version, strlen(r->model_version) + 1);
        buf_put_str(&s->answer, r->body);
        if (s->answer.failed)
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    // Refused before it was sent whole, or the last answer of this connection: the rest goes elsewhere.
    if (!whole || !r->keep_alive)
        return err_set(e, ERR_UNAVAILABLE, "the server closed the connection");
    return 0;
}

static int read_some(struct pump_conn *c, struct err *e)
{
    struct reply r;
    bool end = false;
    char *to = buf_reserve(&c->reader.in, READ_BYTES);
    ssize_t n = to ? recv(c->fd, to, READ_BYTES, 0) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    if (n > 0)
        buf_advance(&c->reader.in, (size_t)n);
    end = n <= 0;
    for (;;) {
        int rc = reader_take(&c->reader, end, false, &r, e);
        if (rc == 1)
            rc = take_answer(c, &r, e);
        else if (rc == 0)
            return 0;
        if (rc)
            return rc;
    }
}

static int serve_conn(struct pump_conn *c, short events, struct err *e)
{
    int rc = 0;
    if (events & (POLLIN | POLLHUP | POLLERR))
        rc = read_some(c, e);
    if (rc == 0 && c->fd >= 0 && (events & POLLOUT))
        rc = write_some(c, e);
    return rc == ERR_UNAVAILABLE ? give_up(c, e) : rc;
}

int pump_turn(struct pump *p, struct err *e)
{
    struct pollfd polls[PUMP_CONNECTIONS_MAX];
    struct pump_conn *who[PUMP_CONNECTIONS_MAX];
    nfds_t n = 0;
    bool waits_only = true;
    uint64_t wait_ns = p->client->timeout_ms * 1000000;
    int rc = assign(p, &wait_ns, e);
    if (rc)
        return rc;
    for (int i = 0; i < p->n_conns; i++) {
        struct pump_conn *c = &p->conns[i];
        if (c->fd < 0)
            continue;
        waits_only = waits_only && c->n_queue == 0;
        who[n] = c;
        polls[n++] = (struct pollfd){c->fd, (short)(POLLIN | (c->n_written < c->n_queue ? POLLOUT : 0)), 0};
    }
    int ready = poll(polls, n, (int)(wait_ns / 1000000) + 1);
    if (ready < 0)
        return errno == EINTR ? 0 : err_errno(e, errno, "wait for the server");
    if (ready == 0 && !waits_only && wait_ns == p->client->timeout_ms * 1000000) {
        err_set(e, ERR_REQUEST_TIMEOUT, "%s did not answer within %" PRIu64 " seconds", p->client->url,
                p->client->timeout_ms / 1000);
        err_hint(e, "A longer wait is set by --timeout SECONDS, smaller requests by --batch ROWS.");
        return ERR_REQUEST_TIMEOUT;
    }
    for (nfds_t i = 0; rc == 0 && i < n; i++)
        if (polls[i].revents)
            rc = serve_conn(who[i], polls[i].revents, e);
    return rc;
}
