// SPDX-License-Identifier: Apache-2.0
// There is never more than one supervisor: a new one is started only after the handle of the old process said
// that it has ended, and by nobody but this process, of which the supervisor keeps exactly one.
//
//   KEPT ──── the supervisor's process ended ────→ ADOPTING ──── its successor sends a state ────→ KEPT
//                                                   │    ^
//                                                   └────┘ the successor ended: another, a little later
#include "role/controller/adoption.h"

#include "base/clock.h"
#include "os/proc.h"
#include "role/board.h"
#include "role/controller/replicas.h"
#include "role/controller/upgrade.h"
#include "role/entry.h"
#include "role/supervision.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEPT_MAX = 4096, AGAIN_STEP_MS = 40, AGAIN_MAX_MS = 1000 };

struct kept {
    int fds[KEPT_MAX];
    unsigned n;
};

struct adoption {
    struct controller *c;
    struct kept kept, coming;
    int state_fd;          // -1: nothing was kept yet
    struct watch ended;    // handle of the supervisor's process; fd -1: not watched
    struct proc successor; // the supervisor, if this process started it
    struct timer again;
    bool is_adopting;
    unsigned n_tries; // since there was a supervisor
    uint64_t lost_mono_ns;
};

static void close_kept(struct kept *k)
{
    for (unsigned i = 0; i < k->n; i++)
        close(k->fds[i]);
    k->n = 0;
}

static void unwatch(struct adoption *a)
{
    if (a->ended.fd >= 0)
        loop_remove(a->c->loop, &a->ended);
    a->ended.fd = -1;
}

static int start(struct adoption *a, struct err *e)
{
    struct controller *c = a->c;
    int pair[2], rc = supervision_pair(pair, e);
    if (rc)
        return rc;
    char **argv = entry_argv_new("@supervisor", 0, c->args->n_gateways, "-", c->args->settings);
    char **env = entry_environ_new(environ, c->args->settings);
    struct proc_spec spec = {.argv = argv, .envp = env, .fds = &pair[1], .n_fds = 1, .outlives_us = true};
    rc = argv && env ? proc_spawn(&spec, &a->successor, e) : err_set(e, ERR_NOMEM, "out of memory");
    entry_argv_free(argv);
    entry_argv_free(env);
    close(pair[1]);
    if (rc)
        close(pair[0]);
    else
        rc = replicas_connect(c, pair[0], e);
    return rc;
}

static int hand_over(struct adoption *a, struct err *e)
{
    struct supervision_state state = {.n_kept = a->kept.n};
    int rc = 0;
    for (unsigned at = 0; rc == 0 && at < a->kept.n; at += MSG_FDS_MAX) {
        unsigned n = a->kept.n - at < MSG_FDS_MAX ? a->kept.n - at : MSG_FDS_MAX;
        rc = replicas_tell(a->c, SUPERVISION_KEEP, NULL, &a->kept.fds[at], n, e);
    }
    return rc ? rc : replicas_tell(a->c, SUPERVISION_STATE, &state, &a->state_fd, 1, e);
}

static void on_ended(struct watch *w, uint32_t events);

static void try_again(struct adoption *a)
{
    struct err e;
    uint64_t ms = a->n_tries * AGAIN_STEP_MS;
    a->n_tries++;
    ms = ms < AGAIN_MAX_MS ? ms : AGAIN_MAX_MS;
    if (loop_timer_set(a->c->loop, &a->again, clock_mono_ns() + ms * 1000000u, &e))
        log_event(&a->c->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("message", e.msg));
}

static void on_again(struct timer *t)
{
    struct adoption *a = (struct adoption *)((char *)t - offsetof(struct adoption, again));
    struct err e;
    if (a->c->draining)
        return;
    int rc = start(a, &e);
    if (rc == 0) {
        a->ended = (struct watch){a->successor.pidfd, on_ended};
        rc = loop_add(a->c->loop, &a->ended, EPOLLIN, &e);
        if (rc)
            a->ended.fd = -1;
    }
    if (rc == 0)
        rc = hand_over(a, &e);
    if (rc == 0)
        return;
    log_event(&a->c->log, LOG_LEVEL_ERROR, "supervisor_not_started", LOG_Z("message", e.msg));
    unwatch(a);
    proc_end(&a->successor); // never two
    try_again(a);
}

static void on_ended(struct watch *w, uint32_t events)
{
    (void)events;
    struct adoption *a = (struct adoption *)((char *)w - offsetof(struct adoption, ended));
    int status = PROC_STATUS_UNKNOWN;
    replicas_read_rest(a->c); // the newest state may not have been read yet
    close_kept(&a->coming);   // and what is not whole is of no use
    unwatch(a);
    (void)proc_reap(&a->successor, &status); // is none when another process started it
    if (a->c->draining)
        return; // the end of the server
    if (!a->is_adopting) {
        a->n_tries = 0;
        a->lost_mono_ns = clock_mono_ns();
    }
    a->is_adopting = true;
    upgrade_supervisor_lost(a->c);
    log_event(&a->c->log, LOG_LEVEL_ERROR, "supervisor_lost", LOG_INT("tries", a->n_tries));
    try_again(a);
}

// A set that broke off, because the supervisor lacked descriptors, came before this one.
static void drop_first(struct kept *k, unsigned n_left)
{
    unsigned n = k->n > n_left ? k->n - n_left : 0;
    for (unsigned i = 0; i < n; i++)
        close(k->fds[i]);
    k->n -= n;
    memmove(k->fds, &k->fds[n], k->n * sizeof k->fds[0]);
}

// The new set is whole: it replaces the old one.
static int take_state(struct adoption *a, struct supervision_message *m, struct err *e)
{
    drop_first(&a->coming, m->state.n_kept);
    if (m->state.n_kept != a->coming.n || a->coming.n == 0)
        return err_set(e, ERR_INVALID, "%u descriptors came with a state of %u", a->coming.n,
                       m->state.n_kept);
    unwatch(a);
    close_kept(&a->kept);
    a->kept = a->coming;
    a->coming.n = 0;
    if (a->state_fd >= 0)
        close(a->state_fd);
    a->state_fd = m->fds[0];
    m->n_fds = 0;
    a->ended = (struct watch){a->kept.fds[0], on_ended};
    int rc = loop_add(a->c->loop, &a->ended, EPOLLIN, e);
    if (rc)
        a->ended.fd = -1;
    upgrade_state_came(a->c);
    if (rc == 0 && a->is_adopting) {
        a->is_adopting = false;
        log_event(&a->c->log, LOG_LEVEL_WARN, "supervisor_replaced",
                  LOG_INT("took_ms", (int64_t)((clock_mono_ns() - a->lost_mono_ns) / 1000000)));
        replicas_declare_again(a->c);
    }
    return rc;
}

static int take_board(struct controller *c, int fd, struct err *e)
{
    const struct board *b;
    int rc = board_attach(fd, &b, e);
    if (rc == 0) {
        board_done(c->board);
        c->board = b;
    }
    return rc;
}

static int take(struct adoption *a, struct supervision_message *m, struct err *e)
{
    if (m->type == SUPERVISION_BOARD)
        return take_board(a->c, m->fds[0], e);
    if (m->type == SUPERVISION_STATE)
        return take_state(a, m, e);
    if (m->type == SUPERVISION_CHANGING || m->type == SUPERVISION_UPGRADED)
        upgrade_take(a->c, m, a->kept.n ? a->kept.fds[0] : -1);
    if (m->type != SUPERVISION_KEEP)
        return 0;
    if (a->coming.n + m->n_fds > KEPT_MAX)
        return err_set(e, ERR_TOO_LARGE, "more than %d descriptors to keep", KEPT_MAX);
    memcpy(&a->coming.fds[a->coming.n], m->fds, m->n_fds * sizeof m->fds[0]);
    a->coming.n += m->n_fds;
    m->n_fds = 0;
    return 0;
}

void adoption_take(struct controller *c, struct supervision_message *m)
{
    struct err e;
    if (take(c->adoption, m, &e))
        log_event(&c->log, LOG_LEVEL_ERROR, "adoption_not_prepared", LOG_Z("message", e.msg));
}

int adoption_open(struct controller *c, struct err *e)
{
    c->adoption = calloc(1, sizeof *c->adoption);
    if (!c->adoption)
        return err_set(e, ERR_NOMEM, "no memory to start");
    c->adoption->c = c;
    c->adoption->state_fd = c->adoption->ended.fd = c->adoption->successor.pidfd = -1;
    c->adoption->again.on_due = on_again;
    return 0;
}

void adoption_close(struct controller *c)
{
    struct adoption *a = c->adoption;
    if (!a)
        return;
    unwatch(a);
    loop_timer_clear(c->loop, &a->again);
    close_kept(&a->kept);
    close_kept(&a->coming);
    if (a->state_fd >= 0)
        close(a->state_fd);
    if (a->successor.pidfd >= 0)
        close(a->successor.pidfd); // it outlives us
    free(a);
    c->adoption = NULL;
}
