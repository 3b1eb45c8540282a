// SPDX-License-Identifier: Apache-2.0
// A server whose gateways and controller are fakes: the real supervisor, entry, board and loop, and children
// that tests can make slow, crash or hang. Used by tests/flows/test_supervisor.py.
//
//   GET /            200, "PID INDEX STATE-OF-EACH-BOARD-ROW…"
//   GET /slow        200 after 300 ms
//   GET /exit        the gateway exits with code 3
//   GET /hang        no answer, and SIGTERM is ignored from now on
//   GET /fds         200, the numbers of the gateway's open descriptors
//   GET /env         200, its environment
//
// With the file DATA_DIR/fail-gateways there, gateways exit at once; with DATA_DIR/fail-controller the
// controller does.
#include "base/buf.h"
#include "base/clock.h"
#include "os/loop.h"
#include "os/signals.h"
#include "os/sock.h"
#include "role/board.h"
#include "role/entry.h"
#include "role/supervisor/supervisor.h"
#include "settings/settings.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool file_there(const struct settings *s, const char *name)
{
    char path[SETTINGS_STRING_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", s->data_dir, name);
    return access(path, F_OK) == 0;
}

struct fake {
    struct loop *loop;
    const struct gateway_args *a;
    const struct board *board;
    struct watch listener, signals;
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

static void put_answer(struct fake *f, const char *path, struct buf *b)
{
    if (strcmp(path, "/fds") == 0) {
        put_fds(b);
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
    if (loop_new(&f.loop, &e) || board_attach(a->board_fd, &f.board, &e) ||
        signals_open(SIGNALS, 1, &f.signals.fd, &e) || loop_add(f.loop, &f.listener, EPOLLIN, &e) ||
        loop_add(f.loop, &f.signals, EPOLLIN, &e))
        return 9;
    role_ready(a->ready_fd);
    return loop_run(f.loop, &e) ? 9 : 0;
}

static int fake_controller(const struct controller_args *a)
{
    if (file_there(a->settings, "fail-controller"))
        return 8;
    role_ready(a->ready_fd);
    for (;;)
        pause();
}

static const struct entry_mains MAINS = {.gateway = fake_gateway, .controller = fake_controller};

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
    return supervisor_main(&s, clock_mono_ns());
}
