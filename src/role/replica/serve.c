// SPDX-License-Identifier: Apache-2.0
// The loop of a process that answers requests, and what the supervisor tells it.
#include "role/replica/serve.h"

#include "base/clock.h"
#include "os/signals.h"
#include "settings/settings.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SLICE_NS = 2000000 }; // computing is interrupted after it, to hear the supervisor

static void end(struct serve *s, int exit_code)
{
    s->exit_code = exit_code;
    loop_stop(s->loop);
}

static void bury(struct serve *s)
{
    for (struct peer **at = &s->peers; *at;) {
        struct peer *p = *at;
        if (!p->is_dead) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        s->n_peers--;
        s->turn = NULL;
        peer_free(p);
    }
}

// Whether there is nothing to do until somebody wakes us.
static bool may_sleep(struct serve *s)
{
    bool all = true;
    for (struct peer *p = s->peers; p && all; p = p->next)
        all = peer_sleep(p);
    return all;
}

static bool owes_answers(const struct serve *s)
{
    bool owes = false;
    for (struct peer *p = s->peers; p && !owes; p = p->next)
        owes = p->is_open && (p->kept || p->first);
    return owes;
}

static void on_turn_end(void *ctx)
{
    struct serve *s = ctx;
    uint64_t until = loop_now_ns(s->loop) + SLICE_NS;
    bool found = true;
    s->now_ns = loop_now_ns(s->loop);
    for (struct peer *p = s->peers; p; p = p->next)
        peer_awake(p);
    while (found && s->now_ns < until && s->exit_code == 0) {
        for (struct peer *p = s->peers; p; p = p->next)
            peer_collect(p);
        found = work_next(s);
    }
    bury(s);
    if (s->is_orphaned && !s->peers)
        end(s, EXIT_FAILURE);
    if (s->stopping && !found && !owes_answers(s))
        loop_stop(s->loop);
    loop_set_busy(s->loop, found || !may_sleep(s));
}

// Idle enough to give memory back, several times a second.
static void on_ping(struct serve *s)
{
    work_trim(s);
    for (struct peer *p = s->peers; p; p = p->next)
        if (p->is_open)
            ring_trim(&p->end.out);
}

static int on_message(struct serve *s, const struct supervision_message *m, struct err *e)
{
    struct err why;
    switch (m->type) {
    case SUPERVISION_LINK:
        // Without it the gateway sees that its end is closed; the others are served.
        if (peer_new(s, m->fds[0], &why))
            log_event(&s->log, LOG_LEVEL_WARN, "link_failed", LOG_Z("error", why.msg));
        return 0;
    case SUPERVISION_PING:
        on_ping(s);
        return supervision_send(&s->supervisor, SUPERVISION_PONG, NULL, NULL, 0, e);
    default:
        for (unsigned i = 0; i < m->n_fds; i++)
            close(m->fds[i]);
        return err_set(e, ERR_INVALID, "message %d is not for a replica", (int)m->type);
    }
}

// Neither a supervisor nor one who could start it is left, and nobody would replace or stop us: what serves
// its gateways goes on as long as they do.
static void orphaned(struct serve *s)
{
    loop_remove(s->loop, &s->supervisor_ready);
    msg_conn_done(&s->supervisor);
    s->is_orphaned = true;
}

static void on_supervisor(struct watch *w, uint32_t events)
{
    struct serve *s = (struct serve *)((char *)w - offsetof(struct serve, supervisor_ready));
    struct supervision_message m;
    struct err e;
    int code = events & EPOLLOUT ? msg_conn_flush(&s->supervisor, &e) : 0;
    if (code == 0)
        code = msg_conn_fill(&s->supervisor, &e);
    int taken = 0;
    while (code == 0 && (taken = supervision_take(&s->supervisor, SUPERVISION_FROM_SUPERVISOR, &m, &e)) == 1)
        code = on_message(s, &m, &e);
    if (code == 0 && taken == 0 && !s->supervisor.closed)
        code = loop_change(s->loop, w, EPOLLIN | (msg_conn_pending(&s->supervisor) ? EPOLLOUT : 0), &e);
    if (code == 0 && taken == 0 && s->supervisor.closed)
        orphaned(s);
    else if (code == ERR_UNAVAILABLE)
        orphaned(s);
    else if (code || taken < 0)
        end(s, EXIT_FAILURE);
}

static void on_signal(struct watch *w, uint32_t events)
{
    struct serve *s = (struct serve *)((char *)w - offsetof(struct serve, signals));
    (void)events;
    signals_read(w->fd);
    s->stopping = true;
}

static int say_loaded(struct serve *s, struct err *e)
{
    struct supervision_loaded l = {.load_ns = s->model->load_ns, .memory_bytes = load_memory_bytes()};
    snprintf(l.sandbox, sizeof l.sandbox, "%s", s->model->sandbox);
    return supervision_send(&s->supervisor, SUPERVISION_LOADED, &l, NULL, 0, e);
}

static int start(struct serve *s, struct err *e)
{
    int code = loop_new(&s->loop, e);
    if (code == 0)
        code = work_init(s, e);
    s->signals.on_ready = on_signal;
    if (code == 0)
        code = signals_open((const int[]){SIGTERM, SIGINT}, 2, &s->signals.fd, e);
    if (code == 0)
        code = loop_add(s->loop, &s->signals, EPOLLIN, e);
    s->supervisor_ready = (struct watch){s->supervisor.fd, on_supervisor};
    if (code == 0)
        code = loop_add(s->loop, &s->supervisor_ready, EPOLLIN, e);
    if (code)
        return code;
    loop_on_turn_end(s->loop, on_turn_end, s);
    return say_loaded(s, e);
}

int serve_run(const struct replica_args *a, const struct loaded *m, uint32_t replica, int supervision_fd)
{
    struct err e;
    struct serve *s = calloc(1, sizeof *s);
    if (!s)
        return ROLE_EXIT_MEMORY;
    s->args = a;
    s->model = m;
    s->replica = replica;
    s->log = (struct log){STDERR_FILENO, (enum log_level)a->settings->log_level, "replica", -1};
    supervision_init(&s->supervisor, supervision_fd);
    int code = start(s, &e);
    if (code == 0)
        code = loop_run(s->loop, &e);
    int exit_code = s->exit_code        ? s->exit_code
                    : code == ERR_NOMEM ? ROLE_EXIT_MEMORY
                    : code              ? EXIT_FAILURE
                                        : 0;
    for (struct peer *p = s->peers; p; p = s->peers) {
        s->peers = p->next;
        peer_free(p);
    }
    work_done(s);
    msg_conn_done(&s->supervisor);
    loop_free(s->loop);
    free(s);
    return exit_code;
}
