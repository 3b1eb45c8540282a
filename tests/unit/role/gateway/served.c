// SPDX-License-Identifier: Apache-2.0
#include "served.h"

#include "base/clock.h"
#include "os/sock.h"
#include "role/gateway/journal.h"
#include "settings/settings.h"
#include "tempdir.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct gateway served_gateway;
static struct gateway *const g = &served_gateway;
static struct settings settings;
static struct metrics_shard shard;
static char dir[TEMPDIR_SIZE], path[TEMPDIR_SIZE + 16];
static int listen_fd;
static struct timer turn;

static void on_turn(struct timer *t)
{
    (void)t;
    loop_stop(g->loop);
}

static void on_turn_end(void *ctx)
{
    (void)ctx;
    journal_turn_end(g);
    conn_free_dead(g);
}

void served_start(void)
{
    struct err e;
    tempdir_new(dir);
    snprintf(path, sizeof path, "%s/g.sock", dir);
    ck_assert_int_eq(sock_listen_unix(path, 0600, &listen_fd, &e), 0);
    settings_init(&settings);
    *g = (struct gateway){.settings = &settings,
                          .n_gateways = 1,
                          .metrics = &shard,
                          .log = {STDERR_FILENO, LOG_LEVEL_ERROR, "gateway", 0},
                          .monitor_path = "/nonexistent"};
    ck_assert_int_eq(loop_new(&g->loop, &e), 0);
    loop_on_turn_end(g->loop, on_turn_end, g);
    turn.on_due = on_turn;
    conn_listen_start(g, listen_fd);
    ck_assert(g->accepting);
}

struct conn *served_connect(int *ret_fd)
{
    struct err e;
    ck_assert_int_eq(sock_unix_connect(path, ret_fd, &e), 0);
    ck_assert_int_eq(fcntl(*ret_fd, F_SETFL, O_NONBLOCK), 0);
    uint32_t n = g->n_conns;
    served_turn();
    ck_assert_uint_eq(g->n_conns, n + 1);
    return g->conns;
}

void served_turn(void)
{
    struct err e;
    ck_assert_int_eq(loop_timer_set(g->loop, &turn, clock_mono_ns(), &e), 0);
    ck_assert_int_eq(loop_run(g->loop, &e), 0);
}

const char *served_read(int fd)
{
    static char text[4096];
    ssize_t n = recv(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

void served_end(void)
{
    while (g->conns)
        conn_close(g->conns);
    conn_free_dead(g);
    ck_assert_uint_eq(g->buffered_bytes + g->answer_bytes, 0);
    journal_close(g);
    loop_free(g->loop);
    close(listen_fd);
    tempdir_remove(dir);
}
