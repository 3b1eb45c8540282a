// SPDX-License-Identifier: Apache-2.0
// A link to one gateway.
#include "base/limits.h"
#include "role/replica/serve.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void close_rings(struct peer *p)
{
    if (!p->is_open)
        return;
    loop_remove(p->serve->loop, &p->woken);
    link_end_done(&p->end);
    answer_drop(p);
    p->is_open = p->is_full = false;
}

// What waits is forgotten: its gateway is gone, or has nothing in flight.
static void reset_queue(struct peer *p)
{
    uint32_t n_inputs = p->serve->model->interface->n_inputs;
    p->first = p->free = NULL;
    p->last = &p->first;
    for (size_t i = LIMIT_REPLICA_QUEUE; i-- > 0;) {
        p->pool[i].peer = p;
        p->pool[i].item.inputs = &p->inputs[i * n_inputs];
        p->pool[i].next = p->free;
        p->free = &p->pool[i];
    }
}

// Freed when nothing of this turn points to it any more.
static void die(struct peer *p)
{
    if (p->is_dead)
        return;
    p->is_dead = true;
    loop_remove(p->serve->loop, &p->socket_ready);
    close_rings(p);
    reset_queue(p);
}

static void on_woken(struct watch *w, uint32_t events)
{
    // That the wait ended is all: the turn's end looks at the rings. Edge-triggered, so the eventfd need not
    // be read.
    (void)w;
    (void)events;
}

static int open_rings(struct peer *p, const struct msg *m, struct err *e)
{
    struct link_open o;
    int code = link_open_read(m, &o, e);
    if (code) {
        for (unsigned i = 0; i < m->n_fds; i++)
            close(m->fds[i]);
        return code;
    }
    close_rings(p);
    reset_queue(p);
    code = link_end_attach(&p->end, &o, m->fds, e);
    if (code)
        return code;
    p->woken = (struct watch){p->end.own_event, on_woken};
    code = loop_add(p->serve->loop, &p->woken, EPOLLIN | EPOLLET, e);
    if (code) {
        link_end_done(&p->end);
        return code;
    }
    p->is_open = true;
    struct link_accept a = {.protocol = LINK_PROTOCOL, .replica = p->serve->replica};
    return msg_conn_send(&p->socket, LINK_ACCEPT, (struct str){(const char *)&a, sizeof a}, NULL, 0, e);
}

static int on_messages(struct peer *p, struct err *e)
{
    struct msg m;
    int code = msg_conn_fill(&p->socket, e);
    while (code == 0) {
        int taken = msg_conn_take(&p->socket, &m, e);
        if (taken <= 0)
            return taken == 0 && p->socket.closed ? ERR_UNAVAILABLE : taken;
        code = open_rings(p, &m, e);
    }
    return code;
}

static void on_socket(struct watch *w, uint32_t events)
{
    struct peer *p = (struct peer *)((char *)w - offsetof(struct peer, socket_ready));
    struct err e;
    int code = 0;
    if (events & EPOLLOUT)
        code = msg_conn_flush(&p->socket, &e);
    if (code == 0)
        code = on_messages(p, &e);
    if (code == 0)
        code = loop_change(p->serve->loop, w, EPOLLIN | (msg_conn_pending(&p->socket) ? EPOLLOUT : 0), &e);
    if (code)
        die(p);
}

int peer_new(struct serve *s, int fd, struct err *e)
{
    uint32_t n_inputs = s->model->interface->n_inputs;
    struct peer *p = s->n_peers < LIMIT_REPLICA_LINKS ? calloc(1, sizeof *p) : NULL;
    if (!p) {
        close(fd);
        return err_set(e, ERR_NOMEM, "no room for another link");
    }
    p->serve = s;
    p->kept_last = &p->kept;
    msg_conn_init(&p->socket, fd, LINK_PAYLOAD_MAX);
    p->pool = calloc(LIMIT_REPLICA_QUEUE, sizeof *p->pool);
    p->inputs = calloc(LIMIT_REPLICA_QUEUE * (n_inputs ? n_inputs : 1), sizeof *p->inputs);
    p->socket_ready = (struct watch){fd, on_socket};
    int code = p->pool && p->inputs ? loop_add(s->loop, &p->socket_ready, EPOLLIN, e)
                                    : err_set(e, ERR_NOMEM, "no memory for a link");
    if (code) {
        peer_free(p);
        return code;
    }
    reset_queue(p);
    p->next = s->peers;
    s->peers = p;
    s->n_peers++;
    return 0;
}

void peer_free(struct peer *p)
{
    answer_drop(p);
    link_end_done(&p->end);
    msg_conn_done(&p->socket);
    free(p->pool);
    free(p->inputs);
    free(p);
}

struct waiting *peer_unqueue(struct peer *p, struct waiting **at)
{
    struct waiting *w = *at;
    *at = w->next;
    if (p->last == &w->next)
        p->last = at;
    return w;
}

static void answer_broken(struct waiting *w, const struct err *e)
{
    struct answer a = {.request = w, .started_mono_ns = w->since_mono_ns};
    answer_error(&a, e);
    answer_wake(w->peer);
}

// One message of the ring into the queue.
static void enqueue(struct peer *p, const void *message, size_t bytes)
{
    struct link_request r;
    struct err e;
    struct waiting *w = p->free;
    struct tensor *inputs = &p->inputs[(size_t)(w - p->pool) * p->serve->model->interface->n_inputs];
    int code = link_request_open(message, bytes, p->serve->model->interface, &r, inputs, &e);
    p->free = w->next;
    w->next = NULL;
    w->id = r.id;
    w->deadline_mono_ns = r.deadline_mono_ns;
    w->since_mono_ns = r.sent_mono_ns ? r.sent_mono_ns : loop_now_ns(p->serve->loop);
    w->item.outputs = r.outputs;
    w->item.n_rows = r.n_rows;
    w->item.alone = r.alone;
    if (code) {
        answer_broken(w, &e);
        return;
    }
    *p->last = w;
    p->last = &w->next;
}

void peer_collect(struct peer *p)
{
    struct err e;
    const void *message;
    size_t bytes;
    int taken = 1;
    if (!p->is_open)
        return;
    ring_free_to(&p->end.out, ring_told_read(&p->end.in, &p->end.out));
    p->is_full = !answer_flush(p);
    while (!p->is_full && p->free && (taken = ring_take(&p->end.in, &message, &bytes, &e)) == 1)
        enqueue(p, message, bytes);
    if (taken < 0)
        die(p);
}

bool peer_sleep(struct peer *p)
{
    if (!p->is_open)
        return true;
    return p->is_full ? ring_wait_room(&p->end.out, &p->end.in) : ring_sleep(&p->end.out, &p->end.in);
}

void peer_awake(struct peer *p)
{
    if (!p->is_open)
        return;
    ring_wake(&p->end.out);
    ring_stop_waiting(&p->end.out);
}
