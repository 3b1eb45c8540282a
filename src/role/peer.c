// SPDX-License-Identifier: Apache-2.0
// Accepting connections, reading their messages, writing what waits.
#include "role/peer.h"

#include "base/clock.h"
#include "role/ipc.h"
#include "role/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PEERS_MAX = 512,
    ACCEPT_PER_TURN = 32,
    ACCEPT_PAUSE_MS = 100, // while there is no descriptor or memory for another connection
};

static struct peer *peer_of(struct watch *w)
{
    return (struct peer *)((char *)w - offsetof(struct peer, watch));
}

// What the loop is to wait for follows from what is queued.
static int watch_update(struct peer *p, struct err *e)
{
    uint32_t events = msg_conn_pending(&p->conn) ? EPOLLIN | EPOLLOUT : EPOLLIN;
    if (events == p->events)
        return 0;
    p->events = events;
    return loop_change(p->peers->loop, &p->watch, events, e);
}

static void log_peer(struct peer *p, const struct err *e)
{
    if (e->code != ERR_UNAVAILABLE) // the usual end of a connection
        log_event(p->peers->log, LOG_LEVEL_ERROR, "control_connection_failed", LOG_Z("message", e->msg));
}

void peer_close(struct peer *p)
{
    if (p->is_dead)
        return;
    struct peers *ps = p->peers;
    p->is_dead = true;
    loop_remove(ps->loop, &p->watch);
    msg_conn_done(&p->conn);
    if (p->routing)
        ps->ops->lost(p);
    if (p->request)
        request_abandon(p->request);
    p->routing = NULL;
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    p->next = ps->dead;
    ps->dead = p;
    ps->n_peers--;
    if (ps->is_full)
        peers_listen(ps);
    ps->ops->ended(ps->owner);
}

bool peer_send(struct peer *p, uint16_t type, struct str payload, const int *fds, uint16_t n_fds)
{
    struct err e;
    if (p->is_dead)
        return false;
    int rc = msg_conn_send(&p->conn, type, payload, fds, n_fds, &e);
    if (!rc)
        rc = watch_update(p, &e);
    if (!rc)
        return true;
    log_peer(p, &e);
    peer_close(p);
    return false;
}

static int take_message(struct peer *p, const struct msg *m, struct err *e)
{
    if (p->routing)
        return p->peers->ops->message(p, m, e);
    if (p->request)
        return request_message(p->request, m, e);
    if (m->type == IPC_HELLO && p->peers->ops->hello)
        return p->peers->ops->hello(p, m->payload, e);
    if (m->type == IPC_REQUEST)
        return request_start(p, m->payload, e);
    return err_set(e, ERR_INVALID, "a connection began with message type %u", m->type);
}

static int read_messages(struct peer *p, struct err *e)
{
    struct msg m;
    int rc;
    while (!p->is_dead && (rc = msg_conn_take(&p->conn, &m, e))) {
        if (rc < 0)
            return rc;
        rc = take_message(p, &m, e);
        for (int i = 0; i < m.n_fds; i++)
            close(m.fds[i]); // nobody has a descriptor to give
        if (rc)
            return rc;
    }
    return 0;
}

static void on_ready(struct watch *w, uint32_t events)
{
    struct peer *p = peer_of(w);
    struct err e;
    int rc = events & EPOLLOUT ? msg_conn_flush(&p->conn, &e) : 0;
    if (!rc && events & EPOLLOUT) {
        if (p->routing)
            p->peers->ops->pump(p);
        else if (p->request)
            request_pump(p->request);
    }
    if (!rc && !p->is_dead && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        rc = msg_conn_fill(&p->conn, &e);
        if (!rc)
            rc = read_messages(p, &e);
    }
    if (!rc && !p->is_dead)
        rc = watch_update(p, &e);
    if (rc && !p->is_dead) {
        log_peer(p, &e);
        peer_close(p);
    }
}

static void peer_new(struct peers *ps, int fd)
{
    struct err e;
    struct peer *p = calloc(1, sizeof *p);
    if (!p) {
        close(fd);
        log_event(ps->log, LOG_LEVEL_ERROR, "control_connection_failed", LOG_Z("message", "no memory"));
        return;
    }
    *p = (struct peer){.watch = {fd, on_ready}, .peers = ps, .events = EPOLLIN};
    msg_conn_init(&p->conn, fd, IPC_PAYLOAD_MAX);
    if (loop_add(ps->loop, &p->watch, EPOLLIN, &e)) {
        log_peer(p, &e);
        msg_conn_done(&p->conn);
        free(p);
        return;
    }
    p->next = ps->all;
    p->link = &ps->all;
    if (p->next)
        p->next->link = &p->next;
    ps->all = p;
    ps->n_peers++;
}

static void on_accept_due(struct timer *t)
{
    struct peers *ps = (struct peers *)((char *)t - offsetof(struct peers, accept_due));
    ps->is_paused = false;
    if (!ps->is_full)
        peers_listen(ps);
}

// Out of descriptors: the listener stays ready, so that watching it would only turn the loop. What waits in
// its queue is taken when something was closed, here or in another process.
static void pause_accepting(struct peers *ps, int why)
{
    struct err e;
    if (!ps->is_pause_said)
        log_event(ps->log, LOG_LEVEL_WARN, "accept_paused", LOG_Z("reason", strerrordesc_np(why)));
    ps->is_pause_said = true;
    ps->accept_due.on_due = on_accept_due;
    if (loop_timer_set(ps->loop, &ps->accept_due, clock_mono_ns() + ACCEPT_PAUSE_MS * UINT64_C(1000000), &e))
        return; // then it goes on turning
    peers_stop_listening(ps);
    ps->is_paused = true;
}

static void on_connection(struct watch *w, uint32_t events)
{
    (void)events;
    struct peers *ps = (struct peers *)((char *)w - offsetof(struct peers, listener));
    for (int i = 0; i < ACCEPT_PER_TURN; i++) {
        if (ps->n_peers >= PEERS_MAX) { // the others wait in the listener's queue
            peers_stop_listening(ps);
            ps->is_full = true;
            return;
        }
        int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                pause_accepting(ps, errno);
            return; // else nothing is there, or it has gone again
        }
        ps->is_pause_said = false;
        peer_new(ps, fd);
    }
}

void peers_listen(struct peers *ps)
{
    struct err e;
    ps->is_full = false;
    ps->listener = (struct watch){ps->listen_fd, on_connection};
    if (!ps->is_draining && !ps->is_paused && loop_add(ps->loop, &ps->listener, EPOLLIN, &e))
        log_event(ps->log, LOG_LEVEL_ERROR, "control_listener_failed", LOG_Z("message", e.msg));
}

void peers_stop_listening(struct peers *ps)
{
    loop_remove(ps->loop, &ps->listener);
}

void peers_free_dead(struct peers *ps)
{
    while (ps->dead) {
        struct peer *p = ps->dead;
        ps->dead = p->next;
        request_free(p->request);
        free(p);
    }
}

void peers_close_all(struct peers *ps)
{
    while (ps->all)
        peer_close(ps->all);
    peers_free_dead(ps);
}
