// SPDX-License-Identifier: Apache-2.0
// The process from start to end: load the model, then serve it, or, as a loader, fork processes that serve
// it. A fork shares the weights with all others as long as nobody writes to them.
#include "role/replica/serve.h"

#include "os/sandbox.h"
#include "os/signals.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct loader {
    const struct replica_args *args;
    const struct loaded *model;
    struct loop *loop;
    struct msg_conn supervisor;
    struct watch supervisor_ready, signals;
    int exit_code;
    // In a process that was forked: what it shall be.
    bool is_fork;
    uint32_t replica;
    int fork_fd;
};

static void set_title(const struct replica_args *a, const char *what)
{
    char text[256];
    snprintf(text, sizeof text, "slipway: %s %s/%u", what, a->model, a->version);
    role_title_set(a->title, a->title_bytes, text);
}

static void leave(struct loader *l, int exit_code)
{
    l->exit_code = exit_code;
    loop_stop(l->loop);
}

// A child of the supervisor, not of ours, so that it can wait for it. The C library is not told: there is one
// thread, and nothing of it depends on the process's number.
static int fork_sibling(void)
{
    long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
    return pid < 0 ? -errno : (int)pid;
}

static int on_fork(struct loader *l, const struct supervision_message *m, struct err *e)
{
    int pid = fork_sibling();
    if (pid == 0) {
        l->is_fork = true;
        l->replica = m->fork.replica;
        l->fork_fd = m->fds[0];
        loop_stop(l->loop);
        return 0;
    }
    close(m->fds[0]);
    struct supervision_forked f = {.replica = m->fork.replica, .pid = pid};
    return supervision_send(&l->supervisor, SUPERVISION_FORKED, &f, NULL, 0, e);
}

static int on_message(struct loader *l, const struct supervision_message *m, struct err *e)
{
    switch (m->type) {
    case SUPERVISION_FORK:
        return on_fork(l, m, e);
    case SUPERVISION_PING:
        return supervision_send(&l->supervisor, SUPERVISION_PONG, NULL, NULL, 0, e);
    default:
        for (unsigned i = 0; i < m->n_fds; i++)
            close(m->fds[i]);
        return err_set(e, ERR_INVALID, "message %d is not for a loader", (int)m->type);
    }
}

static void on_supervisor(struct watch *w, uint32_t events)
{
    struct loader *l = (struct loader *)((char *)w - offsetof(struct loader, supervisor_ready));
    struct supervision_message m;
    struct err e;
    int code = events & EPOLLOUT ? msg_conn_flush(&l->supervisor, &e) : 0;
    if (code == 0)
        code = msg_conn_fill(&l->supervisor, &e);
    int taken = 0;
    while (code == 0 &&
           (taken = supervision_take(&l->supervisor, SUPERVISION_FROM_SUPERVISOR, &m, &e)) == 1) {
        code = on_message(l, &m, &e);
        if (l->is_fork) // the rest is for the one that it was forked from
            return;
    }
    if (code == 0 && taken == 0 && !l->supervisor.closed)
        code = loop_change(l->loop, w, EPOLLIN | (msg_conn_pending(&l->supervisor) ? EPOLLOUT : 0), &e);
    if (code || taken < 0 || l->supervisor.closed)
        leave(l, EXIT_FAILURE);
}

static void on_signal(struct watch *w, uint32_t events)
{
    struct loader *l = (struct loader *)((char *)w - offsetof(struct loader, signals));
    (void)events;
    signals_read(w->fd);
    leave(l, EXIT_SUCCESS);
}

static int start(struct loader *l, struct err *e)
{
    int code = loop_new(&l->loop, e);
    l->signals.on_ready = on_signal;
    if (code == 0)
        code = signals_open((const int[]){SIGTERM, SIGINT}, 2, &l->signals.fd, e);
    if (code == 0)
        code = loop_add(l->loop, &l->signals, EPOLLIN, e);
    l->supervisor_ready = (struct watch){l->supervisor.fd, on_supervisor};
    if (code == 0)
        code = loop_add(l->loop, &l->supervisor_ready, EPOLLIN, e);
    if (code)
        return code;
    struct supervision_loaded loaded = {.load_ns = l->model->load_ns, .memory_bytes = load_memory_bytes()};
    snprintf(loaded.sandbox, sizeof loaded.sandbox, "%s", l->model->sandbox);
    return supervision_send(&l->supervisor, SUPERVISION_LOADED, &loaded, NULL, 0, e);
}

static int serve_as_fork(const struct loader *l)
{
    struct err e;
    if (sandbox_end_tasks(&e))
        return EXIT_FAILURE;
    set_title(l->args, "replica");
    return serve_run(l->args, l->model, l->replica, l->fork_fd);
}

static int loader_run(const struct replica_args *a, const struct loaded *m)
{
    struct err e;
    struct loader l = {.args = a, .model = m, .signals.fd = -1};
    supervision_init(&l.supervisor, a->supervision_fd);
    int code = start(&l, &e);
    if (code == 0)
        code = loop_run(l.loop, &e);
    // What a fork shares with the loader it only closes: the epoll instance still is the loader's.
    msg_conn_done(&l.supervisor);
    if (l.signals.fd >= 0)
        close(l.signals.fd);
    loop_free(l.loop);
    if (l.is_fork)
        return serve_as_fork(&l);
    return code ? EXIT_FAILURE : l.exit_code;
}

static void say_failed(const struct replica_args *a, const struct err *e)
{
    struct msg_conn c;
    struct err ignored;
    struct supervision_failed f = {.code = e->code};
    snprintf(f.why, sizeof f.why, "%s%s%s", e->msg, e->hint[0] ? " " : "", e->hint);
    supervision_init(&c, a->supervision_fd);
    if (supervision_send(&c, SUPERVISION_FAILED, &f, NULL, 0, &ignored))
        dprintf(STDERR_FILENO, "slipway: %s\n", f.why);
    msg_conn_done(&c);
}

static int load_and_run(const struct replica_args *a)
{
    static struct loaded model; // referred to for as long as the process lives
    struct err e = {0};
    int code = load_model(&model, a, &e);
    close(a->model_fd);
    close(a->interface_fd);
    if (code) {
        say_failed(a, &e);
        return code == ERR_NOMEM ? ROLE_EXIT_MEMORY : EXIT_FAILURE;
    }
    if (a->is_loader)
        return loader_run(a, &model);
    return serve_run(a, &model, a->replica, a->supervision_fd);
}

int replica_main(const struct replica_args *args)
{
    set_title(args, args->is_loader ? "loader" : "replica");
    // Not exit(): the library's own destructors must not run beside its threads, nor in a fork.
    _exit(load_and_run(args));
}
