// SPDX-License-Identifier: Apache-2.0
// A server whose gateways, controller and monitor are fakes: the real supervisor, entry, board and loop, and
// children that tests can make slow, crash or hang. Used by tests/flows/test_supervisor.py.
//
//   GET /            200, "PID INDEX STATE-OF-EACH-BOARD-ROW…"
//   GET /slow        200 after 300 ms
//   GET /exit        the gateway exits with code 3
//   GET /hang        no answer, and SIGTERM is ignored from now on
//   GET /fds         200, the numbers of the gateway's open descriptors
//   GET /env         200, its environment
//   GET /links       200, the numbers of the replicas that it is linked to, of those that said so themselves
//   GET /board       200, one line for each row of the board
//
// The controller declares what DATA_DIR/declare says, when it starts and when the file changes: lines
// "DEPLOYMENT MODEL VERSION REPLICAS THREADS HANG_MS BEHAVIOUR", "withdraw DEPLOYMENT" or "upgrade PATH".
// Behaviours of replicas: ok; fail (cannot load); crash (once ready); liar (its loader names itself as its
// fork); names-PID (it names that process); late (stops itself before it is ready, until somebody lets it go
// on).
//
// With the file DATA_DIR/fail-gateways there, gateways exit at once; with DATA_DIR/fail-controller the
// controller does.
#include "base/buf.h"
#include "base/clock.h"
#include "os/loop.h"
#include "os/shm.h"
#include "os/signals.h"
#include "os/sock.h"
#include "role/board.h"
#include "role/entry.h"
#include "role/supervision.h"
#include "role/supervisor/supervisor.h"
#include "settings/settings.h"

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool file_there(const struct settings *s, const char *name)
{
    char path[SETTINGS_STRING_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", s->data_dir, name);
    return access(path, F_OK) == 0;
}

enum { LINKS_MAX = 64 };

struct fake {
    struct loop *loop;
    const struct gateway_args *a;
    const struct board *board;
    struct watch listener, signals;
    struct watch supervision;
    struct msg_conn supervisor;
    int links[LINKS_MAX];
    unsigned n_links;
    int open; // connections not yet answered
    bool hangs, draining;
};

struct fake_conn {
    struct watch w;
    struct timer due;
    struct fake *f;
};

static void finish_if_drained(struct fake *f)
{
    if (f->draining && f->open == 0)
        loop_stop(f->loop);
}

static void put_fds(struct buf *b)
{
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *x; (x = readdir(d));)
        if (x->d_name[0] != '.' && atol(x->d_name) != dirfd(d))
            buf_printf(b, "%s ", x->d_name);
    closedir(d);
}

// A replica writes its number into each link; one that has ended is left out.
static void put_links(struct fake *f, struct buf *b)
{
    for (unsigned i = 0; i < f->n_links; i++) {
        uint32_t number[2];
        ssize_t n = recv(f->links[i], number, sizeof number, MSG_PEEK | MSG_DONTWAIT);
        struct pollfd p = {.fd = f->links[i]};
        poll(&p, 1, 0);
        if (n >= (ssize_t)sizeof number[0] && !(p.revents & POLLHUP))
            buf_printf(b, "%u ", number[0]);
    }
}

static void put_board(struct fake *f, struct buf *b)
{
    for (unsigned i = 0; i < board_n_rows(f->board); i++) {
        struct board_row r = board_read(f->board, i);
        if (r.state != BOARD_EMPTY)
            buf_printf(b, "%s %u %s %d %u %s/%u %u %s\n", board_kind_name(r.kind), r.index,
                       board_state_name(r.state), r.pid, r.restarts, r.model[0] ? r.model : "-", r.version,
                       r.replica, r.why);
    }
}

static void on_supervision(struct watch *w, uint32_t events)
{
    (void)events;
    struct fake *f = (struct fake *)((char *)w - offsetof(struct fake, supervision));
    struct supervision_message m;
    struct err e;
    if (msg_conn_fill(&f->supervisor, &e))
        _exit(0); // nobody is left
    while (supervision_take(&f->supervisor, SUPERVISION_FROM_SUPERVISOR, &m, &e) == 1)
        if (m.type == SUPERVISION_LINK && f->n_links < LINKS_MAX)
            f->links[f->n_links++] = m.fds[0];
}

static void put_answer(struct fake *f, const char *path, struct buf *b)
{
    if (strcmp(path, "/fds") == 0) {
        put_fds(b);
    } else if (strcmp(path, "/links") == 0) {
        put_links(f, b);
    } else if (strcmp(path, "/board") == 0) {
        put_board(f, b);
    } else if (strcmp(path, "/env") == 0) {
        for (char **v = environ; *v; v++)
            buf_printf(b, "%s\n", *v);
    } else {
        buf_printf(b, "%d %u", (int)getpid(), f->a->index);
        for (unsigned i = 0; i < board_n_rows(f->board); i++)
            buf_printf(b, " %s", board_state_name(board_read(f->board, i).state));
    }
}

static void answer(struct fake_conn *c, const char *path)
{
    struct buf body, out;
    buf_init(&body, 1 << 16);
    buf_init(&out, 1 << 17);
    put_answer(c->f, path, &body);
    buf_printf(&out, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", body.n);
    buf_put_str(&out, buf_str(&body));
    (void)!write(c->w.fd, out.p, out.n);
    buf_done(&body);
    buf_done(&out);
    loop_remove(c->f->loop, &c->w);
    close(c->w.fd);
    c->f->open--;
    finish_if_drained(c->f);
    free(c);
}

static void on_slow_due(struct timer *t)
{
    answer((struct fake_conn *)((char *)t - offsetof(struct fake_conn, due)), "/");
}

static void on_conn(struct watch *w, uint32_t events)
{
    (void)events;
    struct fake_conn *c = (struct fake_conn *)w;
    struct err e;
    char head[4096], path[64] = "";
    ssize_t n = read(w->fd, head, sizeof head - 1);
    head[n > 0 ? n : 0] = '\0';
    sscanf(head, "GET %63s", path);
    if (strcmp(path, "/exit") == 0)
        _exit(3);
    if (strcmp(path, "/hang") == 0) {
        c->f->hangs = true;
        loop_remove(c->f->loop, w);
    } else if (strcmp(path, "/slow") == 0) {
        loop_remove(c->f->loop, w);
        c->due.on_due = on_slow_due;
        if (loop_timer_set(c->f->loop, &c->due, loop_now_ns(c->f->loop) + 300000000, &e))
            abort();
    } else {
        answer(c, path);
    }
}

static void accept_all(struct fake *f)
{
    struct err e;
    int fd;
    while ((fd = accept4(f->listener.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct fake_conn *c = calloc(1, sizeof *c);
        c->w = (struct watch){fd, on_conn};
        c->f = f;
        f->open++;
        if (loop_add(f->loop, &c->w, EPOLLIN, &e))
            abort();
    }
}

static void on_listener(struct watch *w, uint32_t events)
{
    (void)events;
    accept_all((struct fake *)((char *)w - offsetof(struct fake, listener)));
}

static void on_signal(struct watch *w, uint32_t events)
{
    (void)events;
    struct fake *f = (struct fake *)((char *)w - offsetof(struct fake, signals));
    while (signals_read(w->fd))
        f->draining = true;
    if (f->hangs)
        return;
    accept_all(f);
    loop_remove(f->loop, &f->listener);
    close(f->listener.fd);
    finish_if_drained(f);
}

static int fake_gateway(const struct gateway_args *a)
{
    struct err e;
    struct fake f = {.a = a, .listener = {a->listen_fd, on_listener}};
    static const int SIGNALS[] = {SIGTERM};
    if (file_there(a->settings, "fail-gateways"))
        return 7;
    f.signals.on_ready = on_signal;
    f.supervision = (struct watch){a->supervision_fd, on_supervision};
    supervision_init(&f.supervisor, a->supervision_fd);
    if (loop_new(&f.loop, &e) || board_attach(a->board_fd, &f.board, &e) ||
        signals_open(SIGNALS, 1, &f.signals.fd, &e) || loop_add(f.loop, &f.listener, EPOLLIN, &e) ||
        loop_add(f.loop, &f.signals, EPOLLIN, &e) || loop_add(f.loop, &f.supervision, EPOLLIN, &e))
        return 9;
    role_ready(a->ready_fd);
    return loop_run(f.loop, &e) ? 9 : 0;
}

static int text_file(const char *text)
{
    struct err e;
    int fd;
    if (shm_new("fake", 0, &fd, &e) || write(fd, text, strlen(text)) < 0)
        abort();
    return fd;
}

static void declare(struct msg_conn *c, const char *line)
{
    struct err e;
    char behaviour[32];
    struct supervision_serve s = {
        .engine = "fake", .digest = "-", .optimization = "all", .provider = "cpu", .start_timeout_ms = 5000};
    struct supervision_upgrade u = {0};
    unsigned long long id;
    if (sscanf(line, "withdraw %llu", &id) == 1) {
        if (supervision_send(c, SUPERVISION_WITHDRAW, &(struct supervision_withdraw){id}, NULL, 0, &e))
            abort();
    } else if (sscanf(line, "upgrade %1023s", u.path) == 1) {
        if (supervision_send(c, SUPERVISION_UPGRADE, &u, NULL, 0, &e))
            abort();
    } else if (sscanf(line, "%llu %128s %u %u %u %u %31s", &id, s.model, &s.version, &s.replicas, &s.threads,
                      &s.hang_ms, behaviour) == 7) {
        int fds[2] = {text_file(behaviour), text_file("{}")};
        s.deployment = id;
        if (supervision_send(c, SUPERVISION_SERVE, &s, fds, 2, &e))
            abort();
        close(fds[0]);
        close(fds[1]);
    }
}

static void declare_all(struct msg_conn *c, const char *path)
{
    struct err e;
    char line[256];
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        declare(c, line);
    if (f)
        fclose(f);
    if (supervision_send(c, SUPERVISION_COMPLETE, NULL, NULL, 0, &e))
        abort();
}

static int fake_controller(const struct controller_args *a)
{
    struct msg_conn c;
    struct supervision_message m;
    struct err e;
    struct stat st = {0}, seen = {0};
    char path[SETTINGS_STRING_MAX + 32];
    if (file_there(a->settings, "fail-controller"))
        return 8;
    supervision_init(&c, a->supervision_fd);
    snprintf(path, sizeof path, "%s/declare", a->settings->data_dir);
    role_ready(a->ready_fd);
    for (bool first = true;; first = false) {
        bool changed = stat(path, &st) == 0 && (st.st_ino != seen.st_ino);
        if (first || changed)
            declare_all(&c, path);
        seen = st;
        struct pollfd p = {.fd = c.fd, .events = POLLIN};
        poll(&p, 1, 20);
        if (p.revents && msg_conn_fill(&c, &e))
            return 0; // it cannot adopt anybody
        while (supervision_take(&c, SUPERVISION_FROM_SUPERVISOR, &m, &e) == 1) {
            for (unsigned i = 0; i < m.n_fds; i++)
                close(m.fds[i]);
            if (m.type != SUPERVISION_REPLICA)
                continue;
            fprintf(stderr,
                    "{\"event\":\"told\",\"deployment\":%u,\"replica\":%u,\"state\":\"%s\",\"ready\":%u,"
                    "\"why\":\"%s\"}\n",
                    (unsigned)m.replica.deployment, m.replica.replica, board_state_name(m.replica.state),
                    m.replica.ready, m.replica.why);
        }
    }
}

// A loader or replica.
struct fake_replica {
    const struct replica_args *a;
    struct msg_conn c;
    uint32_t number;
    char behaviour[32];
};

static void say(struct fake_replica *r, enum supervision_type type, const void *payload)
{
    struct err e;
    if (supervision_send(&r->c, type, payload, NULL, 0, &e))
        _exit(9);
}

static void say_loaded(struct fake_replica *r)
{
    char title[256];
    snprintf(title, sizeof title, "slipway: %s %s/%u", r->number ? "replica" : "loader", r->a->model,
             r->a->version);
    role_title_set(r->a->title, r->a->title_bytes, title);
    say(r, SUPERVISION_LOADED, &(struct supervision_loaded){.load_ns = 3000000, .sandbox = "none"});
}

// True in the fork.
static bool fork_replica(struct fake_replica *r, const struct supervision_message *m)
{
    long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        msg_conn_done(&r->c);
        supervision_init(&r->c, m->fds[0]);
        r->number = m->fork.replica;
        say_loaded(r);
        return true;
    }
    close(m->fds[0]);
    struct supervision_forked f = {.replica = m->fork.replica, .pid = (int32_t)pid};
    if (strcmp(r->behaviour, "liar") == 0)
        f.pid = getpid();
    (void)sscanf(r->behaviour, "names-%d", &f.pid);
    say(r, SUPERVISION_FORKED, &f);
    return false;
}

static void hear(struct fake_replica *r, const struct supervision_message *m)
{
    if (m->type == SUPERVISION_PING) {
        if (strcmp(r->behaviour, "crash") == 0 && r->number)
            abort();
        say(r, SUPERVISION_PONG, NULL);
    } else if (m->type == SUPERVISION_LINK) {
        (void)!write(m->fds[0], &r->number, sizeof r->number);
    } else if (m->type == SUPERVISION_FORK) {
        (void)fork_replica(r, m);
    }
}

// Without a handler SIGTERM would end a stopped process, too.
static void on_term(int sig)
{
    (void)sig;
    _exit(0);
}

static int fake_replica(const struct replica_args *a)
{
    struct fake_replica r = {.a = a, .number = a->is_loader ? 0 : a->replica};
    struct supervision_message m;
    struct err e;
    ssize_t n = pread(a->model_fd, r.behaviour, sizeof r.behaviour - 1, 0);
    signal(SIGTERM, on_term);
    supervision_init(&r.c, a->supervision_fd);
    if (n <= 0)
        return 9;
    if (strcmp(r.behaviour, "fail") == 0) {
        say(&r, SUPERVISION_FAILED, &(struct supervision_failed){.why = "operator Foo(17) is not known"});
        return 1;
    }
    if (strcmp(r.behaviour, "late") == 0)
        raise(SIGSTOP);
    say_loaded(&r);
    for (;;) {
        struct pollfd p = {.fd = r.c.fd, .events = POLLIN};
        poll(&p, 1, -1);
        if (msg_conn_fill(&r.c, &e))
            return 0; // the supervisor has gone
        while (supervision_take(&r.c, SUPERVISION_FROM_SUPERVISOR, &m, &e) == 1)
            hear(&r, &m);
    }
}

static int fake_monitor(const struct monitor_args *a)
{
    struct msg_conn c;
    struct err e;
    signal(SIGTERM, on_term);
    supervision_init(&c, a->supervision_fd);
    role_ready(a->ready_fd);
    for (struct supervision_message m;;) {
        struct pollfd p = {.fd = c.fd, .events = POLLIN};
        poll(&p, 1, -1);
        if (msg_conn_fill(&c, &e))
            return 0; // the supervisor has gone
        while (supervision_take(&c, SUPERVISION_FROM_SUPERVISOR, &m, &e) == 1)
            for (unsigned i = 0; i < m.n_fds; i++)
                close(m.fds[i]);
    }
}

static const struct entry_mains MAINS = {.gateway = fake_gateway,
                                         .controller = fake_controller,
                                         .monitor = fake_monitor,
                                         .replica = fake_replica,
                                         .supervisor = supervisor_successor_main};

int main(int argc, char **argv)
{
    static struct settings s;
    struct err e;
    if (entry_is_role(argc, argv))
        return entry_main(&MAINS, argc, argv);
    if (settings_load(&s, argc - 1, argv + 1, environ, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        return 2;
    }
    return supervisor_main(&s, argc - 1, argv + 1, clock_mono_ns());
}
