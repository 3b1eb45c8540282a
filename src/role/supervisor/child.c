// SPDX-License-Identifier: Apache-2.0
// The life of one child: start, ready, end, restart. Each step is a move on the board.
#include "base/clock.h"
#include "role/entry.h"
#include "role/supervisor/crew.h"
#include "role/supervisor/handover.h"
#include "role/supervisor/state.h"
#include "role/supervisor/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// Settings travel as flags.
static const char *const PASSED[] = {
    "TZ=",
    "TMPDIR=",
    "LANG=",
    "LC_ALL=",
    "LD_LIBRARY_PATH=",
    "ASAN_OPTIONS=",
    "UBSAN_OPTIONS=",
    "TSAN_OPTIONS=",
    "LLVM_PROFILE_FILE=",
};
enum { N_PASSED = sizeof PASSED / sizeof PASSED[0] };
_Static_assert((int)N_PASSED < (int)CHILD_ENVIRON_MAX, "all of them and NULL fit");

void child_environ(char *ret[CHILD_ENVIRON_MAX])
{
    size_t n = 0;
    for (char **v = environ; *v; v++)
        for (size_t i = 0; i < N_PASSED && n < N_PASSED; i++)
            if (strncmp(*v, PASSED[i], strlen(PASSED[i])) == 0)
                ret[n++] = *v;
    ret[n] = NULL;
}

static const struct {
    const char *role;
    enum supervision_sender sender;
} KINDS[BOARD_KINDS] = {
    [BOARD_GATEWAY] = {"@gateway", SUPERVISION_FROM_GATEWAY},
    [BOARD_CONTROLLER] = {"@controller", SUPERVISION_FROM_CONTROLLER},
    [BOARD_MONITOR] = {"@monitor", SUPERVISION_FROM_MONITOR},
};

static bool is_gateway(const struct child *c)
{
    return c->row.kind == BOARD_GATEWAY;
}

unsigned supervisor_n_shards(const struct supervisor *s)
{
    return 2 * s->n_gateways;
}

unsigned child_shard(const struct child *c)
{
    return c->row.replica;
}

static void log_child(const struct child *c, enum log_level level, const char *event, int pid,
                      const char *detail_key, int64_t detail)
{
    log_event(&c->sup->log, level, event, LOG_Z("child", board_kind_name(c->row.kind)),
              LOG_INT("child_index", c->row.index), LOG_INT("child_pid", pid), LOG_INT(detail_key, detail));
}

static void move(struct child *c, enum board_state to)
{
    c->row.state = to;
    c->row.pid = c->proc.pid;
    board_write(c->sup->board, (unsigned)(c - c->sup->children), &c->row);
    c->sup->moved = c->sup->unsaved = true;
}

static void stop_listening_for_ready(struct child *c)
{
    if (c->says_ready.fd < 0)
        return;
    loop_remove(c->sup->loop, &c->says_ready);
    close(c->says_ready.fd);
    c->says_ready.fd = -1;
}

static void stop_listening(struct child *c)
{
    if (c->says.fd < 0)
        return;
    loop_remove(c->sup->loop, &c->says);
    msg_conn_done(&c->supervision);
    c->says.fd = -1;
}

static int hear(struct child *c, struct err *e)
{
    struct supervision_message m;
    enum supervision_sender from = KINDS[c->row.kind].sender;
    int got = 0;
    while (c->says.fd >= 0 && (got = supervision_take(&c->supervision, from, &m, e)) > 0) {
        if (m.type == SUPERVISION_UPGRADE)
            upgrade_begin(c->sup, m.upgrade.path);
        int rc = crew_message(c->sup->crew, &m, e);
        if (rc)
            return rc;
    }
    return got;
}

// A child that breaks the protocol is not heard any more: its process goes on, its successor starts anew.
static void on_says(struct watch *w, uint32_t events)
{
    struct child *c = (struct child *)((char *)w - offsetof(struct child, says));
    struct err e;
    int rc = events & EPOLLOUT ? msg_conn_flush(&c->supervision, &e) : 0;
    if (rc == 0)
        rc = msg_conn_fill(&c->supervision, &e);
    int heard = rc == 0 || rc == ERR_UNAVAILABLE ? hear(c, &e) : 0;
    if (c->says.fd < 0) // an answer could not be sent
        return;
    if (rc == 0)
        rc = heard;
    if (rc == 0)
        rc = loop_change(c->sup->loop, w, msg_conn_pending(&c->supervision) ? EPOLLIN | EPOLLOUT : EPOLLIN,
                         &e);
    if (rc == 0)
        return;
    if (rc != ERR_UNAVAILABLE)
        log_event(&c->sup->log, LOG_LEVEL_ERROR, "supervision_failed",
                  LOG_Z("child", board_kind_name(c->row.kind)), LOG_INT("child_index", c->row.index),
                  LOG_Z("error", e.msg));
    stop_listening(c);
}

bool child_tell(struct child *c, enum supervision_type type, const void *payload, const int *fds,
                unsigned n_fds)
{
    struct err e;
    if (c->says.fd < 0)
        return false;
    int rc = supervision_send(&c->supervision, type, payload, fds, n_fds, &e);
    if (rc == 0 && msg_conn_pending(&c->supervision))
        rc = loop_change(c->sup->loop, &c->says, EPOLLIN | EPOLLOUT, &e);
    if (rc == 0)
        return true;
    stop_listening(c);
    return false;
}

static void on_says_ready(struct watch *w, uint32_t events)
{
    (void)events;
    struct child *c = (struct child *)((char *)w - offsetof(struct child, says_ready));
    char byte;
    bool ready = read(w->fd, &byte, 1) == 1; // else it closed the pipe, which says nothing: it may be dying
    stop_listening_for_ready(c);
    if (!ready || c->row.state != BOARD_STARTING)
        return;
    c->row.ready_mono_ns = clock_mono_ns();
    move(c, BOARD_READY);
    log_child(c, LOG_LEVEL_INFO, "child_ready", c->proc.pid, "start_ms",
              (int64_t)((c->row.ready_mono_ns - c->row.started_mono_ns) / 1000000));
    if (c->old.pid > 0)
        (void)proc_signal(&c->old, SIGTERM); // it answers what it has
}

// The end of the one before.
static void on_old_ended(struct watch *w, uint32_t events)
{
    (void)events;
    struct child *c = (struct child *)((char *)w - offsetof(struct child, old_ended));
    int pid = c->old.pid, status;
    loop_remove(c->sup->loop, w);
    if (!proc_reap(&c->old, &status))
        return;
    msg_conn_done(&c->old_supervision);
    log_child(c, LOG_LEVEL_INFO, "predecessor_ended", pid, "exit_code", status);
    c->sup->moved = true;
}

static unsigned other_shard(const struct child *c)
{
    unsigned n = c->sup->n_gateways;
    return c->row.replica < n ? c->row.replica + n : c->row.replica - n;
}

static bool adopt(struct child *c, struct msg_conn *conn);

// The successor died before it was ready: the one before, which still serves, stays.
static bool stays(struct child *c)
{
    if (c->old.pid <= 0 || c->row.ready_mono_ns)
        return false;
    loop_remove(c->sup->loop, &c->old_ended);
    c->proc = c->old;
    c->old = (struct proc){0, -1};
    c->row.replica = other_shard(c);
    if (!adopt(c, &c->old_supervision)) {
        proc_end(&c->proc);
        return false;
    }
    c->row.state = BOARD_READY;
    c->row.ready_mono_ns = c->row.started_mono_ns = c->old_started_mono_ns;
    c->row.pid = c->proc.pid;
    board_restore(c->sup->board, (unsigned)(c - c->sup->children), &c->row);
    c->sup->moved = c->sup->unsaved = true;
    log_child(c, LOG_LEVEL_ERROR, "child_kept", c->proc.pid, "restarts", c->row.restarts);
    upgrade_failed(c->sup, "a new gateway ended before it was ready");
    return true;
}

static void on_restart_due(struct timer *t)
{
    child_start((struct child *)((char *)t - offsetof(struct child, restart_due)));
}

// A death nobody asked for: a successor, or the end of this child.
static void died(struct child *c)
{
    uint64_t now = clock_mono_ns(), delay_ns;
    struct err e;
    if (stays(c))
        return;
    c->row.started_mono_ns = c->row.ready_mono_ns = 0;
    bool again = restart_after_death(&c->restart, now, &delay_ns);
    c->restart_due.on_due = on_restart_due;
    if (again && loop_timer_set(c->sup->loop, &c->restart_due, now + delay_ns, &e) == 0) {
        move(c, BOARD_RESTARTING);
        return;
    }
    // Without a listener the kernel gives new connections to the other gateways.
    if (is_gateway(c) && c->listen_fd >= 0) {
        (void)shutdown(c->listen_fd, SHUT_RDWR); // the controller keeps a copy
        close(c->listen_fd);
        c->listen_fd = -1;
    }
    move(c, BOARD_FAILED); // first: who reads the log may look at the board
    log_child(c, LOG_LEVEL_ERROR, "child_failed", 0, "deaths", RESTART_INTENSITY);
}

static void on_ended(struct watch *w, uint32_t events)
{
    (void)events;
    struct child *c = (struct child *)((char *)w - offsetof(struct child, ended));
    int pid = c->proc.pid, status;
    loop_remove(c->sup->loop, w); // before the descriptor is closed
    if (!proc_reap(&c->proc, &status))
        return;
    stop_listening_for_ready(c);
    stop_listening(c);
    c->row.last_exit = status == PROC_STATUS_UNKNOWN ? 0 : status;
    bool is_known = status != PROC_STATUS_UNKNOWN; // else its parent was a supervisor before us
    if (is_known)
        snprintf(c->row.why, sizeof c->row.why, status < 0 ? "ended by signal %d" : "ended with code %d",
                 status < 0 ? -status : status);
    else
        snprintf(c->row.why, sizeof c->row.why, "ended");
    if (c->sup->stopping && c->row.state != BOARD_STOPPING)
        move(c, BOARD_STOPPING); // it came first
    bool asked = c->row.state == BOARD_STOPPING;
    const char *how = !is_known ? "adopted" : status < 0 ? "signal" : "exit_code";
    log_child(c, asked ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "child_ended", pid, how,
              !is_known    ? 1
              : status < 0 ? -status
                           : status);
    if (c->is_stopped_for_renewal && !asked) {
        c->is_stopped_for_renewal = false;
        move(c, BOARD_RESTARTING);
        child_start(c);
    } else if (asked) {
        move(c, BOARD_STOPPED);
    } else {
        died(c);
    }
}

static int spawn(struct child *c, int ready_fd, int supervision_fd, struct err *e)
{
    struct supervisor *s = c->sup;
    char *env[CHILD_ENVIRON_MAX];
    child_environ(env);
    char **argv = entry_argv_new(KINDS[c->row.kind].role, child_shard(c), supervisor_n_shards(s),
                                 s->control_path, s->settings);
    // A gateway talks to the network and to nobody's webhook.
    bool has_secrets = c->row.kind != BOARD_GATEWAY;
    char **with_secrets = has_secrets ? entry_environ_new(env, s->settings) : NULL;
    if (!argv || (has_secrets && !with_secrets)) {
        entry_argv_free(argv);
        entry_argv_free(with_secrets);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    int fds[] = {
        [ENTRY_FD_BOARD - PROC_FIRST_FD] = s->board_fd,
        [ENTRY_FD_READY - PROC_FIRST_FD] = ready_fd,
        [ENTRY_FD_LISTEN - PROC_FIRST_FD] = c->listen_fd,
        [ENTRY_FD_SUPERVISION - PROC_FIRST_FD] = supervision_fd,
        [ENTRY_FD_METRICS - PROC_FIRST_FD] = s->metrics_fd,
        [ENTRY_FD_LOG - PROC_FIRST_FD] = s->log_fd,
    };
    struct proc_spec spec = {.argv = argv,
                             .envp = has_secrets ? with_secrets : env,
                             .fds = fds,
                             .n_fds = sizeof fds / sizeof fds[0],
                             .outlives_us = true};
    int code = proc_spawn(&spec, &c->proc, e);
    entry_argv_free(argv);
    entry_argv_free(with_secrets);
    return code;
}

// Starts the process; our ends of its pipe and of its socket are left in the watches.
static int launch(struct child *c, struct err *e)
{
    int ready[2], pair[2];
    if (pipe2(ready, O_CLOEXEC) < 0)
        return err_errno(e, errno, "open a pipe");
    int code = supervision_pair(pair, e);
    if (code == 0) {
        code = spawn(c, ready[1], pair[1], e);
        close(pair[1]);
        if (code)
            close(pair[0]);
    }
    close(ready[1]);
    if (code) {
        close(ready[0]);
        return code;
    }
    c->says_ready = (struct watch){ready[0], on_says_ready};
    c->says = (struct watch){pair[0], on_says};
    supervision_init(&c->supervision, pair[0]);
    return 0;
}

static int start(struct child *c, struct err *e)
{
    int code = launch(c, e);
    if (code)
        return code;
    c->ended = (struct watch){c->proc.pidfd, on_ended};
    code = loop_add(c->sup->loop, &c->ended, EPOLLIN, e);
    if (code == 0)
        code = loop_add(c->sup->loop, &c->says_ready, EPOLLIN, e);
    if (code == 0)
        code = loop_add(c->sup->loop, &c->says, EPOLLIN, e);
    if (code) { // nobody would notice its end
        loop_remove(c->sup->loop, &c->ended);
        stop_listening_for_ready(c);
        stop_listening(c);
        proc_end(&c->proc);
    }
    return code;
}

void child_start(struct child *c)
{
    struct err e;
    bool first = c->row.state == BOARD_EMPTY;
    c->row.started_mono_ns = clock_mono_ns();
    c->row.restarts += !first;
    if (start(c, &e) == 0) {
        log_child(c, first ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, first ? "child_started" : "child_restarted",
                  c->proc.pid, "restarts", c->row.restarts);
        move(c, BOARD_STARTING);
        if (is_gateway(c))
            crew_gateway_started(c->sup->crew, c->row.index);
        else if (c->row.kind == BOARD_CONTROLLER)
            crew_controller_started(c->sup->crew);
        return;
    }
    log_event(&c->sup->log, LOG_LEVEL_ERROR, "child_start_failed",
              LOG_Z("child", board_kind_name(c->row.kind)), LOG_INT("child_index", c->row.index),
              LOG_Z("error", e.msg));
    if (first)
        move(c, BOARD_STARTING);
    died(c);
}

void child_renew(struct child *c)
{
    struct err e;
    if (c->row.state != BOARD_READY)
        return; // what is started from now on is new
    if (!is_gateway(c)) {
        c->is_stopped_for_renewal = true;
        (void)proc_signal(&c->proc, SIGTERM);
        return;
    }
    loop_remove(c->sup->loop, &c->ended);
    loop_remove(c->sup->loop, &c->says);
    c->old = c->proc;
    c->old_supervision = c->supervision;
    c->old_started_mono_ns = c->row.started_mono_ns;
    c->proc = (struct proc){0, -1};
    c->says.fd = -1;
    c->old_ended = (struct watch){c->old.pidfd, on_old_ended};
    if (loop_add(c->sup->loop, &c->old_ended, EPOLLIN, &e))
        log_child(c, LOG_LEVEL_ERROR, "timer_failed", c->old.pid, "code", e.code);
    c->row.replica = other_shard(c);
    c->row.ready_mono_ns = 0;
    move(c, BOARD_RESTARTING);
    child_start(c);
}

bool child_is_renewed(const struct child *c)
{
    return (c->row.state == BOARD_READY && !c->is_stopped_for_renewal) || c->row.state == BOARD_FAILED;
}

void child_stop(struct child *c, int sig)
{
    if (c->old.pid > 0)
        (void)proc_signal(&c->old, sig);
    switch ((enum board_state)c->row.state) {
    case BOARD_STARTING:
    case BOARD_READY:
        (void)proc_signal(&c->proc, sig);
        move(c, BOARD_STOPPING);
        return;
    case BOARD_STOPPING:
        (void)proc_signal(&c->proc, sig);
        return;
    case BOARD_RESTARTING:
        loop_timer_clear(c->sup->loop, &c->restart_due);
        move(c, BOARD_STOPPED);
        return;
    case BOARD_FAILED:
        move(c, BOARD_STOPPED);
        return;
    case BOARD_EMPTY:
    case BOARD_STOPPED:
    case BOARD_STATES:
        return;
    }
}

void child_save(const struct child *c, struct handover *h)
{
    // In the middle of an upgrade: who serves.
    bool is_old = c->old.pid > 0 && c->row.state != BOARD_READY;
    struct handover_child r = {
        .row = c->row,
        .restart = c->restart,
        .handle = handover_keep(h, is_old ? c->old.pidfd : c->proc.pidfd),
        .listener = handover_keep(h, c->listen_fd),
        // The controller's is the one that all this goes through, unless this process itself goes on.
        .supervision = handover_keep(h, is_old ? c->old_supervision.fd
                                        : c->row.kind != BOARD_CONTROLLER || h->is_for_exec ? c->says.fd
                                                                                            : -1),
    };
    if (is_old) {
        r.row.pid = c->old.pid;
        r.row.state = BOARD_READY;
        r.row.replica = other_shard(c);
        r.row.started_mono_ns = r.row.ready_mono_ns = c->old_started_mono_ns;
    }
    handover_put(h, HANDOVER_CHILD, &r, sizeof r);
}

// Whether its process goes on under this supervisor.
static bool adopt(struct child *c, struct msg_conn *conn)
{
    struct err e;
    c->supervision = *conn;
    *conn = (struct msg_conn){.fd = -1};
    c->says = (struct watch){c->supervision.fd, on_says};
    c->ended = (struct watch){c->proc.pidfd, on_ended};
    int code = loop_add(c->sup->loop, &c->ended, EPOLLIN, &e);
    if (code == 0)
        code = loop_add(c->sup->loop, &c->says, EPOLLIN, &e);
    if (code == 0)
        return true;
    log_event(&c->sup->log, LOG_LEVEL_ERROR, "child_not_adopted", LOG_INT("child_pid", c->proc.pid),
              LOG_Z("error", e.msg));
    loop_remove(c->sup->loop, &c->ended);
    stop_listening(c);
    return false;
}

void child_restore(struct child *c, struct handover *h, struct msg_conn *conn)
{
    struct handover_child r;
    handover_next(h, &r, sizeof r);
    uint32_t kind = c->row.kind, index = c->row.index;
    c->row = r.row;
    c->row.kind = kind;
    c->row.index = index;
    c->restart = r.restart;
    c->listen_fd = handover_take(h, r.listener);
    c->proc = (struct proc){r.row.pid, handover_take(h, r.handle)};
    struct msg_conn own = {.fd = -1};
    int fd = handover_take(h, r.supervision);
    if (fd >= 0)
        supervision_init(&own, fd);
    bool is_controller = conn != NULL; // it lives, as it talks to us
    if (is_controller && c->row.state == BOARD_STARTING)
        c->row.state = BOARD_READY;
    bool runs = c->proc.pidfd >= 0 && (is_controller || fd >= 0) &&
                (c->row.state == BOARD_READY || c->row.state == BOARD_STOPPING);
    if (runs && adopt(c, is_controller ? conn : &own)) {
        board_restore(c->sup->board, (unsigned)(c - c->sup->children), &c->row);
        return;
    }
    if (c->proc.pidfd >= 0) {
        (void)proc_signal(&c->proc, SIGKILL);
        close(c->proc.pidfd);
    }
    c->proc = (struct proc){0, -1};
    c->row.pid = 0;
    board_restore(c->sup->board, (unsigned)(c - c->sup->children), &c->row);
    if (c->row.state == BOARD_STARTING || c->row.state == BOARD_READY || c->row.state == BOARD_RESTARTING)
        died(c);
    else if (c->row.state == BOARD_STOPPING)
        move(c, BOARD_STOPPED);
}
