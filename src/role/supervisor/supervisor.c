// SPDX-License-Identifier: Apache-2.0
// The supervisor's loop: signals, what follows from the children's moves at the end of each turn, the drain.
#include "role/supervisor/supervisor.h"

#include "base/clock.h"
#include "os/signals.h"
#include "role/supervisor/crew.h"
#include "role/supervisor/handover.h"
#include "role/supervisor/state.h"
#include "role/supervisor/upgrade.h"
#include "settings/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static unsigned count(const struct supervisor *s, unsigned from, unsigned to, enum board_state state)
{
    unsigned n = 0;
    for (unsigned i = from; i < to; i++)
        n += s->children[i].row.state == state;
    return n;
}

static unsigned n_predecessors(const struct supervisor *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->n_gateways; i++)
        n += s->children[i].old.pid > 0;
    return n;
}

static void announce_listening(const struct supervisor *s)
{
    if (!isatty(s->log.fd))
        log_event(&s->log, LOG_LEVEL_INFO, "listening", LOG_Z("url", s->url),
                  LOG_INT("gateways", s->n_gateways), LOG_Z("data_dir", s->settings->data_dir));
}

static void announce_ready(struct supervisor *s)
{
    int64_t startup_ms = (int64_t)((clock_mono_ns() - s->started_mono_ns) / 1000000);
    s->announced = true;
    service_ready(s);
    if (isatty(s->log.fd))
        dprintf(s->log.fd, "Slipway answers at %s (%u gateways, started in %d ms). Ctrl-C stops it.\n",
                s->url, s->n_gateways, (int)startup_ms);
    else
        log_event(&s->log, LOG_LEVEL_INFO, "ready", LOG_Z("url", s->url), LOG_INT("startup_ms", startup_ms));
}

static void stop_all(struct supervisor *s, unsigned from, int sig)
{
    for (unsigned i = from; i < s->n_children; i++)
        child_stop(&s->children[i], sig);
}

static void kill_all(struct supervisor *s)
{
    stop_all(s, 0, SIGKILL);
    crew_stop(s->crew); // no successors
    crew_kill(s->crew);
}

static void on_drain_due(struct timer *t)
{
    struct supervisor *s = (struct supervisor *)((char *)t - offsetof(struct supervisor, drain_due));
    unsigned left = s->n_children - count(s, 0, s->n_children, BOARD_STOPPED) + crew_n_processes(s->crew);
    log_event(&s->log, LOG_LEVEL_WARN, "drain_timeout", LOG_INT("children_killed", left));
    kill_all(s);
}

// Gateways first: what they still answer may need the controller and the replicas.
static void begin_stop(struct supervisor *s, int exit_code)
{
    struct err e;
    s->stopping = true;
    service_stopping();
    s->exit_code = exit_code;
    log_event(&s->log, LOG_LEVEL_INFO, "draining", LOG_INT("timeout_ms", s->settings->drain_timeout_ms));
    for (unsigned i = 0; i < s->n_gateways; i++) {
        struct child *c = &s->children[i];
        if (c->listen_fd >= 0)
            close(c->listen_fd); // the gateway has its own copy and empties the queue
        c->listen_fd = -1;
        child_stop(c, SIGTERM);
    }
    s->drain_due.on_due = on_drain_due;
    uint64_t due = loop_now_ns(s->loop) + s->settings->drain_timeout_ms * UINT64_C(1000000);
    if (loop_timer_set(s->loop, &s->drain_due, due, &e))
        on_drain_due(&s->drain_due);
}

static void on_signal(struct watch *w, uint32_t events)
{
    (void)events;
    struct supervisor *s = (struct supervisor *)((char *)w - offsetof(struct supervisor, signals));
    for (int sig; (sig = signals_read(w->fd)) != 0;) {
        if (sig == SIGHUP) {
            if (s->announced)
                service_reloading();
            supervisor_reload(s);
            if (s->announced)
                service_ready(s);
        } else if (!s->stopping) {
            begin_stop(s, EXIT_SUCCESS);
        } else {
            log_event(&s->log, LOG_LEVEL_WARN, "drain_cut_short");
            s->exit_code = EXIT_FAILURE;
            kill_all(s);
        }
    }
}

// What follows from the children's states together.
static void follow_up(struct supervisor *s)
{
    bool no_gateway = count(s, 0, s->n_gateways, BOARD_FAILED) == s->n_gateways;
    bool no_controller = supervisor_controller(s)->row.state == BOARD_FAILED;
    uint32_t monitor = supervisor_monitor(s)->row.state; // without it nothing is watched, but all is answered
    if (s->stopping) {
        if (count(s, 0, s->n_gateways, BOARD_STOPPED) == s->n_gateways) {
            stop_all(s, s->n_gateways, SIGTERM);
            crew_stop(s->crew);
        }
        if (count(s, 0, s->n_children, BOARD_STOPPED) == s->n_children && !n_predecessors(s) &&
            crew_is_gone(s->crew))
            loop_stop(s->loop);
    } else if (no_gateway || (no_controller && !s->announced)) {
        log_event(&s->log, LOG_LEVEL_ERROR, "giving_up",
                  LOG_Z("reason", no_gateway ? "every gateway failed" : "the controller never became ready"));
        begin_stop(s, EXIT_FAILURE);
    } else if (!s->announced && count(s, 0, s->n_gateways + 1, BOARD_READY) == s->n_gateways + 1 &&
               (monitor == BOARD_READY || monitor == BOARD_FAILED)) {
        announce_ready(s);
    }
}

static void on_turn_end(void *ctx)
{
    struct supervisor *s = ctx;
    while (s->moved) { // what follows may move children itself
        s->moved = false;
        follow_up(s);
        upgrade_step(s);
    }
    succession_save(s);
}

static int watch_signals(struct supervisor *s, struct err *e)
{
    s->signals = (struct watch){s->signal_fd, on_signal};
    loop_on_turn_end(s->loop, on_turn_end, s);
    service_begin(s);
    return loop_add(s->loop, &s->signals, EPOLLIN, e);
}

static int run(struct supervisor *s, struct err *e)
{
    int code = watch_signals(s, e);
    if (code)
        return code;
    announce_listening(s);
    // The controller first: the gateways wait for its routes.
    for (unsigned i = s->n_children; i-- > 0;)
        child_start(&s->children[i]);
    return loop_run(s->loop, e);
}

static void say_why(const struct supervisor *s, const struct err *e)
{
    if (isatty(s->log.fd))
        dprintf(s->log.fd, "slipway: %s%s%s\n", e->msg, e->hint[0] ? "\n" : "", e->hint);
    else
        log_event(&s->log, LOG_LEVEL_ERROR, "start_failed", LOG_Z("code", err_name(e->code)),
                  LOG_Z("error", e->msg), LOG_Z("hint", e->hint));
}

static struct supervisor *supervisor_new(struct settings *settings)
{
    struct supervisor *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->log = (struct log){STDERR_FILENO, (enum log_level)settings->log_level, "supervisor", -1};
    s->settings = settings;
    return s;
}

// Says how it ended, and frees everything.
static int end(struct supervisor *s, int code, const struct err *e)
{
    if (code)
        say_why(s, e);
    else
        log_event(&s->log, LOG_LEVEL_INFO, "stopped", LOG_INT("exit_code", s->exit_code));
    int exit_code = code ? EXIT_FAILURE : s->exit_code;
    supervisor_close(s);
    free(s);
    return exit_code;
}

int supervisor_main(struct settings *settings, int n_flags, char *const *flags, uint64_t started_mono_ns)
{
    struct err e = {0};
    struct supervisor *s = supervisor_new(settings);
    if (!s)
        return EXIT_FAILURE;
    s->started_mono_ns = started_mono_ns;
    s->n_flags = n_flags;
    s->flags = flags;
    int code = supervisor_open(s, &e);
    if (code == 0)
        code = run(s, &e);
    return end(s, code, &e);
}

// Goes on where the predecessor stopped.
static int run_on(struct supervisor *s, struct err *e)
{
    int code = watch_signals(s, e);
    if (code)
        return code;
    if (s->stopping)
        begin_stop(s, s->exit_code);
    on_turn_end(s);
    return loop_run(s->loop, e);
}

// Gets what the predecessor left. Of a new process `conn` is its socket to the controller, else it is none.
static int inherit(struct supervisor *s, enum entry_succession how, int fd, struct handover *h, struct err *e)
{
    struct msg_conn conn = {.fd = -1};
    if (how == ENTRY_ADOPTS)
        supervision_init(&conn, fd);
    int code = how == ENTRY_ADOPTS ? handover_receive(h, &conn, e) : handover_load(h, fd, true, e);
    if (how == ENTRY_BECOMES)
        close(fd);
    return code ? code : supervisor_reopen(s, h, how == ENTRY_ADOPTS ? &conn : NULL, e);
}

int supervisor_successor_main(struct settings *settings, enum entry_succession how, int fd)
{
    struct err e = {0};
    struct supervisor *s = supervisor_new(settings);
    struct handover *h = handover_new();
    if (!s || !h)
        return EXIT_FAILURE;
    if (how == ENTRY_CHECKS)
        return handover_load(h, fd, false, &e) ? EXIT_FAILURE : upgrade_check(h, fd + 1);
    int code = inherit(s, how, fd, h, &e);
    handover_free(h);
    if (code) { // the controller tries again; what is open here is not ours to end
        log_event(&s->log, LOG_LEVEL_ERROR, "adoption_failed", LOG_Z("error", e.msg));
        _exit(EXIT_FAILURE);
    }
    if (s->announced && !s->stopping)
        service_ready(s); // and that it is another process now
    if (how == ENTRY_BECOMES)
        upgrade_roll(s);
    else
        log_event(&s->log, LOG_LEVEL_WARN, "adopted", LOG_INT("supervisor_pid", getpid()),
                  LOG_INT("replicas", crew_n_processes(s->crew)));
    return end(s, run_on(s, &e), &e);
}
