// SPDX-License-Identifier: Apache-2.0
#include "divided.h"

#include "base/clock.h"
#include "os/msg.h"
#include "os/sock.h"
#include "role/gateway/control.h"
#include "role/ipc.h"
#include "tempdir.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TURN_NS = 20000000, TURNS = 1000, REPORTS_MAX = 1 << 20 };

struct gateway divided_gateway;
static struct gateway *const g = &divided_gateway;
static struct deployment of[2];
static struct deployment *pool[2] = {&of[0], &of[1]};
static char dir[TEMPDIR_SIZE], path[TEMPDIR_SIZE + 16];
static int listen_fd;
static struct msg_conn controller;
static struct timer turn;
static struct buf reports;

static void on_table(struct gateway *ignored)
{
    (void)ignored;
}

void divided_start(void)
{
    struct err e;
    tempdir_new(dir);
    snprintf(path, sizeof path, "%s/c.sock", dir);
    ck_assert_int_eq(sock_listen_unix(path, 0600, &listen_fd, &e), 0);
    for (uint32_t i = 0; i < 2; i++)
        of[i] = (struct deployment){.id = 7 + 2 * i, .refs = 1, .version = "1"};
    *g = (struct gateway){.n_gateways = 1, .control_path = path, .table = table_empty()};
    ids_maker_init(&g->ids);
    ck_assert_int_eq(loop_new(&g->loop, &e), 0);
    ck_assert_int_eq(arena_init(&g->arena, 1 << 20, &e), 0);
    ck_assert_int_eq(control_start(g, on_table, &e), 0);
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    msg_conn_init(&controller, fd, IPC_PAYLOAD_MAX);
    buf_init(&reports, REPORTS_MAX);
}

void divided_route(const char *more)
{
    char json[2048];
    struct table *t;
    struct err e;
    static unsigned epoch;
    epoch++;
    int n =
        snprintf(json, sizeof json,
                 "{\"generation\":%u,\"ready\":true,\"models\":[{\"name\":\"m\",\"default\":7,\"versions\":"
                 "[{\"version\":1,\"deployment\":7},{\"version\":2,\"deployment\":9}],\"aliases\":[]",
                 epoch);
    if (more)
        snprintf(json + n, sizeof json - (size_t)n,
                 ",\"split\":{\"rollout\":12,\"epoch\":%u,%s\"salt\":\"0123456789abcdeffedcba9876543210\","
                 "\"baseline\":7,\"timeout_ns\":5000000000}}]}",
                 epoch, more);
    else
        snprintf(json + n, sizeof json - (size_t)n, "}]}");
    int rc = table_parse(str_of(json), pool, 2, &t, &e);
    ck_assert_msg(rc == 0, "%s: %s", json, rc ? e.msg : "");
    table_divide(g->table, false);
    table_free(g->table);
    g->table = t;
    table_divide(t, true);
    trials_routed(g);
}

struct trial_part *divided_begin(const char *user, const char *arm, struct deployment **ret)
{
    static struct conn c;
    static char text[512];
    struct http1_request req;
    struct route_match m = {.model = STR("m")};
    struct trial_part *part = NULL;
    struct err e;
    c.g = g;
    int n = snprintf(text, sizeof text, "POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\n%s%s%s%s%s%s\r\n",
                     user ? "X-User: " : "", user ? user : "", user ? "\r\n" : "", arm ? "Slipway-Arm: " : "",
                     arm ? arm : "", arm ? "\r\n" : "");
    ck_assert_int_eq(http1_request_parse(text, (size_t)n, &req, &e), 1);
    ck_assert_int_eq(table_route(g->table, m.model, m.version, ret, &e), 0);
    ck_assert_int_eq(trial_begin(&c, &req, &m, STR("{}"), ret, &part, &e), 0);
    arena_reset(&g->arena, 0);
    return part;
}

static void on_turn(struct timer *t)
{
    (void)t;
    loop_stop(g->loop);
}

static void take_reports(void)
{
    struct err e;
    struct msg m;
    struct pollfd p = {.fd = controller.fd, .events = POLLIN};
    if (poll(&p, 1, 0) == 1)
        ck_assert_int_eq(msg_conn_fill(&controller, &e), 0);
    while (msg_conn_take(&controller, &m, &e) > 0)
        if (m.type == IPC_COHORTS) {
            buf_put_str(&reports, m.payload);
            buf_putc(&reports, '\n');
        }
    buf_putc(&reports, '\0');
    reports.n--;
    ck_assert(!reports.failed);
}

void divided_turn(void)
{
    struct err e;
    turn.on_due = on_turn;
    ck_assert_int_eq(loop_timer_set(g->loop, &turn, clock_mono_ns() + TURN_NS, &e), 0);
    ck_assert_int_eq(loop_run(g->loop, &e), 0);
    take_reports();
}

const char *divided_wait(const char *text)
{
    for (int i = 0; i < TURNS; i++) {
        divided_turn();
        if (strstr(reports.p, text))
            return reports.p;
    }
    ck_abort_msg("no %s in %s", text, reports.p);
    return NULL;
}

unsigned divided_sum(const char *name)
{
    char quoted[64];
    unsigned sum = 0;
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    for (const char *p = reports.p; (p = strstr(p, quoted)) != NULL;) {
        p += strlen(quoted);
        sum += (unsigned)strtoul(p, NULL, 10);
    }
    return sum;
}

void divided_end(void)
{
    control_free(g->control);
    table_divide(g->table, false);
    table_free(g->table);
    trials_free(g);
    loop_free(g->loop);
    arena_done(&g->arena);
    msg_conn_done(&controller);
    close(listen_fd);
    buf_done(&reports);
    for (int i = 0; i < 2; i++) // all that was taken was given back
        ck_assert_uint_eq(of[i].refs, 1);
    tempdir_remove(dir);
}
