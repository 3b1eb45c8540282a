// SPDX-License-Identifier: Apache-2.0
// The new program is asked first, in a process of its own: it must read the present state and say which
// version it is. If it ends, hangs or lacks the protocol afterwards nevertheless, the controller, which is
// still the old program, starts an old supervisor again (controller/upgrade.c).
#include "role/supervisor/upgrade.h"

#include "base/clock.h"
#include "role/entry.h"
#include "role/ipc.h"
#include "role/link.h"
#include "role/supervisor/crew.h"
#include "role/supervisor/handover.h"
#include "role/supervisor/post.h"
#include "role/supervisor/state.h"
#include "settings/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHECK_MS = 5000, QUIET_MS = 2000, ROLL_MS = 60000, ABOVE_CHILD_FDS = 64 };
static const char GOOD[] = "slipway can go on as ";

enum state { NONE, CHECKING, QUIET, ROLLING };

struct upgrade {
    struct supervisor *sup;
    enum state state;
    int program_fd; // -1: none
    struct proc check;
    struct watch check_ended;
    int report_fd;
    struct timer due; // of the state
    unsigned at;      // ROLLING: the child that is being replaced
    bool is_begun;    // it is
    bool is_crew_begun;
};

static void end(struct upgrade *u, enum err_code code, const char *why)
{
    struct supervisor *s = u->sup;
    struct supervision_failed f = {.code = code};
    snprintf(f.why, sizeof f.why, "%s", why);
    if (u->check.pid > 0) {
        loop_remove(s->loop, &u->check_ended);
        proc_end(&u->check);
    }
    loop_timer_clear(s->loop, &u->due);
    if (u->report_fd >= 0)
        close(u->report_fd);
    if (u->program_fd >= 0)
        close(u->program_fd);
    u->report_fd = u->program_fd = -1;
    u->state = NONE;
    log_event(&s->log, code ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, code ? "upgrade_failed" : "upgraded",
              LOG_Z("reason", why));
    (void)child_tell(&s->children[s->n_gateways], SUPERVISION_UPGRADED, &f, NULL, 0);
}

bool upgrade_is_check(const struct supervisor *s, pid_t pid)
{
    return s->upgrade && pid > 0 && s->upgrade->check.pid == pid;
}

void upgrade_failed(struct supervisor *s, const char *why)
{
    if (s->upgrade->state != NONE)
        end(s->upgrade, ERR_UNAVAILABLE, why);
}

static int set_due(struct upgrade *u, unsigned ms, struct err *e)
{
    return loop_timer_set(u->sup->loop, &u->due, clock_mono_ns() + ms * UINT64_C(1000000), e);
}

static void on_due(struct timer *t)
{
    struct upgrade *u = (struct upgrade *)((char *)t - offsetof(struct upgrade, due));
    if (u->state == CHECKING)
        end(u, ERR_BAD_MODEL, "the program does not answer within 5 s when it is asked what it is");
    else if (u->state == QUIET)
        end(u, ERR_BUSY, "processes are being started or told something; try again");
    else if (u->state == ROLLING)
        end(u, ERR_UNAVAILABLE, "the new processes were not all ready within 60 s");
}

// Where this program lies now: a package that replaced the file leaves a trace in the link's text.
static int own_path(char *ret, size_t size, struct err *e)
{
    static const char GONE[] = " (deleted)";
    ssize_t n = readlink("/proc/self/exe", ret, size - 1);
    if (n < 0)
        return err_errno(e, errno, "find this program");
    ret[n] = '\0';
    char *gone = strstr(ret, GONE);
    if (gone && gone[sizeof GONE - 1] == '\0')
        *gone = '\0';
    return 0;
}

// Who may ask for an upgrade is not asked who he is, so only what could be run as this user anyway is run:
// files of this user or of root that nobody else may write.
static int open_program(const char *path, int *ret_fd, struct err *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); // a pipe would wait for a writer
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, ABOVE_CHILD_FDS), why = errno;
    if (fd >= 0)
        close(fd);
    if (high < 0)
        return err_set(e, ERR_NOT_FOUND, "'%.200s' cannot be opened: %s", path, strerrordesc_np(why));
    *ret_fd = high;
    if (fstat(high, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & S_IXUSR))
        return err_set(e, ERR_INVALID, "'%.200s' is no program", path);
    if ((st.st_uid != 0 && st.st_uid != geteuid()) || st.st_mode & (S_IWGRP | S_IWOTH))
        return err_set(e, ERR_REFUSED, "'%.200s' may be written by others than this server's user and root",
                       path);
    return 0;
}

static char **argv_for(const struct supervisor *s, const char *role, int fd)
{
    char number[12];
    snprintf(number, sizeof number, "%d", fd);
    return entry_argv_new(role, 0, supervisor_n_shards(s), number, s->settings);
}

static void on_checked(struct watch *w, uint32_t events)
{
    (void)events;
    struct upgrade *u = (struct upgrade *)((char *)w - offsetof(struct upgrade, check_ended));
    struct err e;
    char said[400];
    int status;
    loop_remove(u->sup->loop, w);
    if (!proc_reap(&u->check, &status))
        return;
    ssize_t n = read(u->report_fd, said, sizeof said - 1);
    said[n > 0 ? n : 0] = '\0';
    close(u->report_fd);
    u->report_fd = -1;
    if (status == 0 && str_starts(str_of(said), str_of(GOOD))) {
        log_event(&u->sup->log, LOG_LEVEL_INFO, "upgrading", LOG_Z("version", said + sizeof GOOD - 1));
        u->state = QUIET;
        if (set_due(u, QUIET_MS, &e))
            end(u, e.code, e.msg);
        u->sup->moved = true;
        return;
    }
    char why[500];
    if (said[0] && status != 0)
        snprintf(why, sizeof why, "the program refuses: %s", said);
    else
        snprintf(why, sizeof why, "the file is no Slipway that can go on from here: it %s %d",
                 status < 0 ? "was ended by signal" : "ended with code", status < 0 ? -status : status);
    end(u, ERR_BAD_MODEL, why);
}

static int start_check(struct upgrade *u, struct err *e)
{
    struct supervisor *s = u->sup;
    struct handover *h = handover_new();
    int store_fd = -1, report[2] = {-1, -1};
    char path[32], *env[CHILD_ENVIRON_MAX];
    snprintf(path, sizeof path, "/proc/self/fd/%d", u->program_fd);
    child_environ(env);
    if (!h)
        return err_set(e, ERR_NOMEM, "out of memory");
    succession_put(s, h);
    int rc = handover_store(h, &store_fd, e);
    if (rc == 0 && pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0)
        rc = err_errno(e, errno, "open a pipe");
    char **argv = argv_for(s, "@check", 0);
    int fds[] = {store_fd, report[1]};
    struct proc_spec spec = {.argv = argv, .envp = env, .fds = fds, .n_fds = 2, .path = path};
    if (rc == 0)
        rc = argv ? proc_spawn(&spec, &u->check, e) : err_set(e, ERR_NOMEM, "out of memory");
    entry_argv_free(argv);
    handover_free(h);
    if (store_fd >= 0)
        close(store_fd);
    if (report[1] >= 0)
        close(report[1]);
    u->report_fd = report[0];
    u->check_ended = (struct watch){u->check.pidfd, on_checked};
    if (rc == 0 && (rc = loop_add(s->loop, &u->check_ended, EPOLLIN, e)) != 0)
        proc_end(&u->check);
    return rc;
}

void upgrade_begin(struct supervisor *s, const char *path)
{
    struct upgrade *u = s->upgrade;
    struct err e;
    char own[1024];
    if (u->state != NONE || s->stopping) {
        struct supervision_failed f = {.code = ERR_CONFLICT};
        snprintf(f.why, sizeof f.why, "%s", s->stopping ? "the server is stopping" : "an upgrade is running");
        (void)child_tell(&s->children[s->n_gateways], SUPERVISION_UPGRADED, &f, NULL, 0);
        return;
    }
    u->state = CHECKING;
    int rc = path[0] ? 0 : own_path(own, sizeof own, &e);
    if (rc == 0)
        rc = open_program(path[0] ? path : own, &u->program_fd, &e);
    if (rc == 0)
        rc = set_due(u, CHECK_MS, &e);
    if (rc == 0)
        rc = start_check(u, &e);
    if (rc)
        end(u, e.code, e.msg);
}

// Nothing is half said, and nobody is being started or replaced.
static bool is_quiet(const struct supervisor *s)
{
    for (unsigned i = 0; i < s->n_children; i++) {
        const struct child *c = &s->children[i];
        bool runs = c->row.state == BOARD_READY && c->says.fd >= 0 && c->old.pid <= 0;
        if ((!runs && c->row.state != BOARD_FAILED) || msg_conn_pending(&c->supervision))
            return false;
    }
    return crew_is_quiet(s->crew);
}

// Does not return when it succeeds.
static int become(struct upgrade *u, struct err *e)
{
    struct supervisor *s = u->sup;
    struct handover *h = handover_new();
    int store_fd;
    char path[32];
    if (!h)
        return err_set(e, ERR_NOMEM, "out of memory");
    h->is_for_exec = true;
    succession_put(s, h);
    int rc = handover_store(h, &store_fd, e);
    if (rc) {
        handover_free(h);
        return rc;
    }
    char **argv = argv_for(s, "@upgraded", store_fd), **env = entry_environ_new(environ, s->settings);
    snprintf(path, sizeof path, "/proc/self/fd/%d", u->program_fd);
    if (argv && env && child_tell(&s->children[s->n_gateways], SUPERVISION_CHANGING, NULL, NULL, 0)) {
        handover_keep_open(h, store_fd, true);
        execve(path, argv, env);
        rc = err_errno(e, errno, "run the program");
        handover_keep_open(h, store_fd, false);
        s->unsaved = true; // the STATE that follows says that nothing has changed
    } else {
        rc = err_set(e, ERR_UNAVAILABLE, "the controller cannot be reached");
    }
    entry_argv_free(argv);
    entry_argv_free(env);
    handover_free(h);
    close(store_fd);
    return rc;
}

void upgrade_roll(struct supervisor *s)
{
    struct upgrade *u = s->upgrade;
    struct err e;
    u->state = ROLLING;
    if (set_due(u, ROLL_MS, &e))
        end(u, e.code, e.msg);
    s->moved = true;
}

// One gateway at a time: the others serve what a slow start would keep waiting. Then the monitor, whose work
// waits in the rings meanwhile; the controller is the last of all.
static void roll(struct upgrade *u)
{
    struct supervisor *s = u->sup;
    while (u->at <= s->n_gateways) {
        struct child *c = u->at < s->n_gateways ? &s->children[u->at] : supervisor_monitor(s);
        if (!u->is_begun) {
            u->is_begun = true;
            child_renew(c);
            if (u->state != ROLLING)
                return;
        }
        if (!child_is_renewed(c))
            return;
        u->at++;
        u->is_begun = false;
    }
    if (!u->is_crew_begun)
        crew_renew(s->crew);
    u->is_crew_begun = true;
    if (!crew_is_renewed(s->crew))
        return;
    end(u, 0, SLIPWAY_VERSION);
    child_renew(&s->children[s->n_gateways]); // it answers first who asked for this
}

void upgrade_step(struct supervisor *s)
{
    struct upgrade *u = s->upgrade;
    struct err e;
    if (u->state != NONE && s->stopping) {
        end(u, ERR_UNAVAILABLE, "the server is stopping");
    } else if (u->state == QUIET && is_quiet(s)) {
        (void)become(u, &e);
        end(u, e.code, e.msg);
    } else if (u->state == ROLLING) {
        roll(u);
    }
}

int upgrade_new(struct supervisor *s, struct err *e)
{
    s->upgrade = calloc(1, sizeof *s->upgrade);
    if (!s->upgrade)
        return err_set(e, ERR_NOMEM, "out of memory");
    *s->upgrade = (struct upgrade){
        .sup = s, .program_fd = -1, .report_fd = -1, .check.pidfd = -1, .due.on_due = on_due};
    return 0;
}

void upgrade_free(struct supervisor *s)
{
    struct upgrade *u = s->upgrade;
    if (!u)
        return;
    proc_end(&u->check);
    if (u->program_fd >= 0)
        close(u->program_fd);
    if (u->report_fd >= 0)
        close(u->report_fd);
    free(u);
}

static int check(struct handover *h, struct err *e)
{
    struct handover_server r = {0};
    struct board *board;
    struct loop *loop;
    int fd;
    if (handover_peek(h) == HANDOVER_SERVER)
        handover_next(h, &r, sizeof r);
    if (r.format != HANDOVER_FORMAT)
        return err_set(e, ERR_INVALID, "the server's state is of form %u, this program reads %d: restart it",
                       r.format, HANDOVER_FORMAT);
    if (r.ipc_protocol != IPC_PROTOCOL || r.link_protocol != LINK_PROTOCOL ||
        r.supervision_protocol != SUPERVISION_PROTOCOL ||
        r.supervision_bytes != sizeof(struct supervision_message))
        return err_set(
            e, ERR_INVALID,
            "the running processes speak another protocol: stop the server and start this program");
    int rc = board_new(&board, &fd, e);
    if (rc)
        return rc;
    close(fd);
    board_done(board);
    rc = loop_new(&loop, e);
    if (rc == 0)
        loop_free(loop);
    return rc;
}

int upgrade_check(struct handover *h, int report_fd)
{
    struct err e;
    int rc = check(h, &e);
    if (rc)
        dprintf(report_fd, "%s", e.msg);
    else
        dprintf(report_fd, "%s%s", GOOD, SLIPWAY_VERSION);
    return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
