// SPDX-License-Identifier: Apache-2.0
// The processes of replicas. A member's process, socket and row on the board belong to its struct post, which
// it has while it is not EMPTY.
#include "role/supervisor/crew.h"

#include "base/assert.h"
#include "base/clock.h"
#include "role/entry.h"
#include "role/supervisor/post.h"
#include "role/supervisor/state.h"
#include "role/supervisor/upgrade.h"
#include "settings/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct deployment *deployment_of(const struct group *g)
{
    return g->ctx;
}

static void log_member(const struct member *m, enum log_level level, const char *event, int pid,
                       const char *key, struct str text)
{
    const struct group *g = m->group;
    log_event(&deployment_of(g)->crew->sup->log, level, event,
              LOG_Z("child", board_kind_name(m->is_loader ? BOARD_LOADER : BOARD_REPLICA)),
              LOG_Z("model", g->want.model), LOG_INT("version", g->want.version),
              LOG_INT("replica", m->number), LOG_INT("child_pid", pid), LOG_STR(key, text));
}

// --- Rows of the board

static unsigned row_take(struct crew *c)
{
    unsigned i = c->sup->n_children;
    while (i < BOARD_ROWS_MAX && c->rows_taken[i])
        i++;
    ASSERT(i < BOARD_ROWS_MAX); // has_rows looked before the deployment was accepted
    c->rows_taken[i] = true;
    return i;
}

struct board_row post_row(const struct post *p)
{
    const struct member *m = p->member;
    const struct supervision_serve *want = &m->group->want;
    struct board_row row = {
        .kind = m->is_loader ? BOARD_LOADER : BOARD_REPLICA,
        .index = m->place,
        .state = m->state,
        .pid = p->proc.pid,
        .restarts = m->restarts,
        .last_exit = m->last_exit,
        .started_mono_ns = m->started_mono_ns,
        .ready_mono_ns = m->ready_mono_ns,
        .version = want->version,
        .replica = m->number,
        .deployment = want->deployment,
        .load_ns = m->load_ns,
    };
    _Static_assert(sizeof row.model >= sizeof want->model && sizeof row.why >= sizeof m->why, "they fit");
    memcpy(row.model, want->model, sizeof want->model);
    memcpy(row.why, m->why, sizeof m->why);
    if (m->state == BOARD_EMPTY)
        row = (struct board_row){0};
    return row;
}

// --- A member's process and socket

static void disconnect(struct post *p)
{
    if (p->says.fd < 0)
        return;
    loop_remove(p->crew->sup->loop, &p->says);
    msg_conn_done(&p->conn);
    p->says.fd = -1;
}

void post_tell(struct post *p, enum supervision_type type, const void *payload, const int *fds,
               unsigned n_fds)
{
    struct err e;
    if (p->says.fd < 0)
        return;
    int rc = supervision_send(&p->conn, type, payload, fds, n_fds, &e);
    if (rc == 0 && msg_conn_pending(&p->conn))
        rc = loop_change(p->crew->sup->loop, &p->says, EPOLLIN | EPOLLOUT, &e);
    if (rc) // it takes nothing any more: it is ending, or it will be found hung
        disconnect(p);
}

static void on_ended(struct watch *w, uint32_t events)
{
    (void)events;
    struct post *p = (struct post *)((char *)w - offsetof(struct post, ended));
    struct member *m = p->member;
    struct deployment *d = deployment_of(m->group);
    int pid = p->proc.pid, status;
    bool asked = m->state == BOARD_STOPPING;
    loop_remove(p->crew->sup->loop, w); // before the descriptor is closed
    if (!proc_reap(&p->proc, &status))
        return;
    group_ended(m, status, loop_now_ns(p->crew->sup->loop));
    if (!asked)
        log_member(m, LOG_LEVEL_WARN, "replica_ended", pid, "reason", str_of(m->why));
    deployment_step(d);
}

bool crew_knows(const struct crew *c, pid_t pid)
{
    for (unsigned i = 0; i < c->sup->n_children; i++)
        if (c->sup->children[i].proc.pid == pid || c->sup->children[i].old.pid == pid)
            return true;
    if (upgrade_is_check(c->sup, pid))
        return true;
    for (const struct deployment *d = c->deployments; d; d = d->next)
        for (unsigned i = 0; i <= LIMIT_REPLICAS; i++)
            if (d->posts[i].proc.pid == pid)
                return true;
    return false;
}

// FORKED: the new process is our child, or what the loader says is not true. Any child of ours could be
// named, so those that are known are no forks.
static void forked(struct post *loader, const struct supervision_forked *f)
{
    struct supervisor *s = loader->crew->sup;
    uint64_t now = loop_now_ns(s->loop);
    struct member *m = group_asked(loader->member->group, f->replica);
    struct err e = {0};
    if (!m)
        return; // not wanted any more: its socket is closed, so it ends, and the sweep finds it
    struct post *p = m->io;
    bool known = crew_knows(loader->crew, f->pid);
    if (f->pid < 0) {
        (void)err_errno(&e, -f->pid, "fork");
        group_not_forked(m, e.msg, now);
    } else if (known || proc_adopt(f->pid, &p->proc, &e)) {
        group_not_forked(m, known ? "the loader named another process" : e.msg, now);
    } else {
        if (post_watch(p, &e) == 0) {
            group_forked(m, now);
        } else {
            proc_end(&p->proc);
            group_not_forked(m, e.msg, now);
        }
    }
}

static void take(struct post *p, const struct supervision_message *m)
{
    uint64_t now = loop_now_ns(p->crew->sup->loop);
    switch (m->type) {
    case SUPERVISION_LOADED:
        group_loaded(p->member, &m->loaded, now);
        return;
    case SUPERVISION_FAILED:
        group_load_failed(p->member, &m->failed);
        return;
    case SUPERVISION_PONG:
        group_pong(p->member, now);
        return;
    case SUPERVISION_FORKED:
        if (p->member->is_loader)
            forked(p, &m->forked);
        else
            group_misbehaved(p->member, "it spoke as a loader");
        return;
    default:
        return;
    }
}

static void on_says(struct watch *w, uint32_t events)
{
    struct post *p = (struct post *)((char *)w - offsetof(struct post, says));
    struct deployment *d = deployment_of(p->member->group);
    struct supervision_message m;
    struct err e;
    int got = 0, rc = events & EPOLLOUT ? msg_conn_flush(&p->conn, &e) : 0;
    if (rc == 0)
        rc = msg_conn_fill(&p->conn, &e);
    while ((rc == 0 || rc == ERR_UNAVAILABLE) && p->says.fd >= 0 &&
           (got = supervision_take(&p->conn, SUPERVISION_FROM_REPLICA, &m, &e)) > 0)
        take(p, &m);
    if (p->says.fd >= 0) {
        if (got < 0)
            group_misbehaved(p->member, e.msg);
        if (rc == 0 && got == 0)
            rc = loop_change(p->crew->sup->loop, w, msg_conn_pending(&p->conn) ? EPOLLIN | EPOLLOUT : EPOLLIN,
                             &e);
        if (rc || got < 0)
            disconnect(p);
    }
    deployment_step(d);
}

int post_watch(struct post *p, struct err *e)
{
    p->ended = (struct watch){p->proc.pidfd, on_ended};
    return loop_add(p->crew->sup->loop, &p->ended, EPOLLIN, e);
}

int post_connect(struct post *p, int fd, struct err *e)
{
    disconnect(p);
    supervision_init(&p->conn, fd);
    p->says = (struct watch){fd, on_says};
    int rc = loop_add(p->crew->sup->loop, &p->says, EPOLLIN, e);
    if (rc)
        disconnect(p);
    return rc;
}

static int spawn(struct member *m, struct err *e)
{
    struct post *p = m->io;
    struct supervisor *s = p->crew->sup;
    const struct deployment *d = deployment_of(m->group);
    const struct supervision_serve *want = &m->group->want;
    int pair[2], rc = supervision_pair(pair, e);
    if (rc)
        return rc;
    char **argv = entry_replica_argv_new(&(struct replica_args){
        .is_loader = m->is_loader,
        .deployment = want->deployment,
        .replica = m->is_loader ? 0 : m->number,
        .model = want->model,
        .version = want->version,
        .engine = want->engine,
        .digest = want->digest,
        .threads = want->threads,
        .optimization = want->optimization,
        .provider = want->provider,
        .memory_bytes = want->memory_bytes,
        .batch_budget_us = want->batch_budget_us,
        .settings = s->settings,
    });
    char *env[CHILD_ENVIRON_MAX];
    child_environ(env);
    int fds[] = {
        [ENTRY_REPLICA_FD_SUPERVISION - PROC_FIRST_FD] = pair[1],
        [ENTRY_REPLICA_FD_MODEL - PROC_FIRST_FD] = d->model_fd,
        [ENTRY_REPLICA_FD_INTERFACE - PROC_FIRST_FD] = d->interface_fd,
    };
    struct proc_spec spec = {
        .argv = argv, .envp = env, .fds = fds, .n_fds = sizeof fds / sizeof fds[0], .outlives_us = true};
    rc = argv ? proc_spawn(&spec, &p->proc, e) : err_set(e, ERR_NOMEM, "out of memory");
    entry_argv_free(argv);
    close(pair[1]);
    if (rc) {
        close(pair[0]);
        return rc;
    }
    rc = post_connect(p, pair[0], e);
    if (rc == 0)
        rc = post_watch(p, e);
    if (rc) { // nobody would notice its end
        disconnect(p);
        proc_end(&p->proc);
    }
    return rc;
}

static int ask_for_fork(struct member *loader, struct member *m, struct err *e)
{
    struct post *p = m->io;
    int pair[2], rc = supervision_pair(pair, e);
    if (rc)
        return rc;
    rc = post_connect(p, pair[0], e);
    if (rc == 0)
        post_tell(loader->io, SUPERVISION_FORK, &(struct supervision_fork){.replica = m->number}, &pair[1],
                  1);
    close(pair[1]);
    return rc;
}

static void ping(struct member *m)
{
    post_tell(m->io, SUPERVISION_PING, NULL, NULL, 0);
}

static void signal_member(struct member *m, int sig)
{
    struct post *p = m->io;
    (void)proc_signal(&p->proc, sig);
}

static uint64_t memory_of(struct member *m)
{
    const struct post *p = m->io;
    struct proc_memory is;
    return proc_memory(p->proc.pid, &is) ? is.own_bytes : 0;
}

static uint32_t next_number(struct group *g)
{
    return ++deployment_of(g)->crew->last_number;
}

// --- Moves

static struct supervision_replica event_of(const struct group *g, const struct member *m)
{
    struct supervision_replica r = {
        .deployment = g->want.deployment,
        .replica = m ? m->number : 0,
        .state = m ? m->state : g->state,
        .ready = group_n_ready(g),
    };
    if (m) {
        r.last_exit = m->last_exit;
        r.load_ns = m->load_ns;
        r.memory_bytes = m->memory_bytes;
    }
    memcpy(r.why, m ? m->why : g->why, sizeof r.why);
    return r;
}

void crew_tell_controller(const struct group *g, const struct member *m)
{
    struct supervisor *s = deployment_of(g)->crew->sup;
    struct supervision_replica r = event_of(g, m);
    (void)child_tell(&s->children[s->n_gateways], SUPERVISION_REPLICA, &r, NULL, 0);
}

static void post_take(struct member *m)
{
    struct deployment *d = deployment_of(m->group);
    struct post *p = &d->posts[m->is_loader ? LIMIT_REPLICAS : m->place];
    *p = (struct post){
        .crew = d->crew, .member = m, .row = row_take(d->crew), .proc.pidfd = -1, .says.fd = -1};
    m->io = p;
}

static void post_leave(struct post *p)
{
    disconnect(p);
    p->crew->rows_taken[p->row] = false;
    p->member->io = NULL;
}

static void log_move(const struct member *m)
{
    const struct post *p = m->io;
    if (m->state == BOARD_READY) {
        char text[24];
        snprintf(text, sizeof text, "%llu", (unsigned long long)m->load_ns / 1000000);
        log_member(m, m->restarts ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "replica_ready", p->proc.pid, "load_ms",
                   str_of(text));
    }
}

static void changed(struct group *g, struct member *m)
{
    struct crew *c = deployment_of(g)->crew;
    c->sup->moved = c->sup->unsaved = true;
    if (!m) {
        if (g->state == BOARD_FAILED)
            log_event(&c->sup->log, LOG_LEVEL_ERROR, "deployment_failed", LOG_Z("model", g->want.model),
                      LOG_INT("version", g->want.version), LOG_Z("reason", g->why));
        crew_tell_controller(g, NULL);
        return;
    }
    if (!m->io)
        post_take(m);
    struct post *p = m->io;
    if (!m->has_process && !m->is_asked)
        disconnect(p);
    struct board_row row = post_row(p);
    board_write(c->sup->board, p->row, &row);
    if (m->state == BOARD_EMPTY) {
        post_leave(p);
        return;
    }
    if (m->is_loader)
        return;
    if (m->state == BOARD_READY)
        for (unsigned i = 0; i < c->sup->n_gateways; i++)
            crew_link_pair(p, &c->sup->children[i]);
    log_move(m);
    crew_tell_controller(g, m);
}

static const struct group_ops OPS = {
    .spawn = spawn,
    .fork = ask_for_fork,
    .ping = ping,
    .signal = signal_member,
    .memory = memory_of,
    .next_number = next_number,
    .changed = changed,
};

// --- Time

static void set_timer(struct crew *c)
{
    struct err e;
    uint64_t due = UINT64_MAX;
    for (const struct deployment *d = c->deployments; d; d = d->next)
        due = d->due_mono_ns < due ? d->due_mono_ns : due;
    if (due == UINT64_MAX)
        loop_timer_clear(c->sup->loop, &c->due);
    else if (loop_timer_set(c->sup->loop, &c->due, due, &e))
        log_event(&c->sup->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("error", e.msg));
}

static void deployment_free(struct deployment *d)
{
    struct deployment **at = &d->crew->deployments;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    close(d->model_fd);
    close(d->interface_fd);
    free(d);
}

void crew_step(struct crew *c)
{
    for (struct deployment *d = c->deployments, *next; d; d = next) {
        next = d->next;
        deployment_step(d);
    }
}

void deployment_step(struct deployment *d)
{
    struct crew *c = d->crew;
    d->due_mono_ns = group_step(&d->group, clock_mono_ns());
    if (group_is_gone(&d->group))
        deployment_free(d);
    set_timer(c);
}

static void on_due(struct timer *t)
{
    struct crew *c = (struct crew *)((char *)t - offsetof(struct crew, due));
    uint64_t now = clock_mono_ns();
    for (struct deployment *d = c->deployments, *next; d; d = next) {
        next = d->next;
        if (d->due_mono_ns <= now)
            deployment_step(d);
    }
    set_timer(c);
}

// A fork whose loader died before it could tell of it has no socket and ends; nobody else reaps it.
static void on_sweep(struct timer *t)
{
    struct crew *c = (struct crew *)((char *)t - offsetof(struct crew, sweep));
    struct supervisor *s = c->sup;
    struct err e;
    crew_link_again(c);
    s->unsaved |= s->save_failed;
    pid_t pid = proc_ended();
    if (pid > 0 && !crew_knows(c, pid)) // those that are known are reaped when their descriptor says so
        (void)waitpid(pid, NULL, WNOHANG);
    if (loop_timer_set(s->loop, &c->sweep, loop_now_ns(s->loop) + CREW_SWEEP_MS * UINT64_C(1000000), &e))
        log_event(&s->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("error", e.msg));
}

// --- The whole

struct deployment *crew_deployment_new(struct crew *c, const struct supervision_serve *want, int model_fd,
                                       int interface_fd)
{
    struct deployment *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    *d = (struct deployment){
        .crew = c, .next = c->deployments, .model_fd = model_fd, .interface_fd = interface_fd};
    c->deployments = d;
    group_init(&d->group, &OPS, d, want, c->sup->settings->drain_timeout_ms * UINT64_C(1000000));
    return d;
}

int crew_new(struct supervisor *s, struct crew **ret, struct err *e)
{
    struct crew *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, ERR_NOMEM, "out of memory");
    c->sup = s;
    c->due.on_due = on_due;
    c->sweep.on_due = on_sweep;
    int rc = loop_timer_set(s->loop, &c->sweep, clock_mono_ns() + CREW_SWEEP_MS * UINT64_C(1000000), e);
    if (rc)
        free(c);
    else
        *ret = c;
    return rc;
}

void crew_stop(struct crew *c)
{
    c->is_stopping = true;
    for (struct deployment *d = c->deployments, *next; d; d = next) {
        next = d->next;
        deployment_withdraw(d);
    }
}

static void each_post(const struct crew *c, void (*call)(struct post *p))
{
    for (struct deployment *d = c->deployments; d; d = d->next)
        for (unsigned i = 0; i <= LIMIT_REPLICAS; i++)
            if (d->posts[i].member && d->posts[i].member->io)
                call(&d->posts[i]);
}

static void kill_post(struct post *p)
{
    (void)proc_signal(&p->proc, SIGKILL);
}

void crew_kill(struct crew *c)
{
    each_post(c, kill_post);
}

unsigned crew_n_processes(const struct crew *c)
{
    unsigned n = 0;
    for (const struct deployment *d = c->deployments; d; d = d->next)
        for (unsigned i = 0; i <= LIMIT_REPLICAS; i++)
            n += d->posts[i].proc.pid > 0;
    return n;
}

bool crew_is_gone(const struct crew *c)
{
    return c->deployments == NULL;
}

static void end_post(struct post *p)
{
    if (p->proc.pid > 0)
        loop_remove(p->crew->sup->loop, &p->ended);
    proc_end(&p->proc);
    post_leave(p);
}

void crew_free(struct crew *c)
{
    if (!c)
        return;
    each_post(c, end_post);
    while (c->deployments)
        deployment_free(c->deployments);
    loop_timer_clear(c->sup->loop, &c->due);
    loop_timer_clear(c->sup->loop, &c->sweep);
    free(c);
}
