// SPDX-License-Identifier: Apache-2.0
// A real gateway process against a controller that this test plays: what it does about deployments that it
// cannot open.
#include "role/gateway/control.h"

#include "os/msg.h"
#include "os/shm.h"
#include "os/sock.h"
#include "role/board.h"
#include "role/ipc.h"
#include "role/role.h"
#include "settings/settings.h"
#include "tempdir.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Six pauses that double from 20 ms on take 1260 ms at least.
enum { WAIT_MS = 60000, ATTEMPTS = 6, PAUSES_MS = 1260 };

static char dir[TEMPDIR_SIZE], path[TEMPDIR_SIZE + 16];
static int listen_fd, log_fd;
static pid_t pid;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void run_gateway(void)
{
    static struct settings s;
    struct err e;
    struct sockaddr_storage a;
    socklen_t size;
    struct board *board;
    int board_fd, metrics_fd, client_fd;
    settings_init(&s);
    if (settings_address_parse(STR("127.0.0.1:0"), &a, &size, &e) || sock_listen_tcp(&a, 1, &client_fd, &e) ||
        board_new(&board, &board_fd, &e) || shm_new("metrics", metrics_segment_bytes(1), &metrics_fd, &e) ||
        shm_seal(metrics_fd, SHM_SEAL_SIZE, &e))
        exit(9);
    struct gateway_args args = {.n_gateways = 1,
                                .listen_fd = client_fd,
                                .board_fd = board_fd,
                                .metrics_fd = metrics_fd,
                                .ready_fd = -1,
                                .supervision_fd = -1,
                                .log_fd = -1,
                                .control_path = path,
                                .settings = &s};
    exit(gateway_main(&args));
}

static void start(void)
{
    struct err e;
    int log_pipe[2];
    tempdir_new(dir);
    snprintf(path, sizeof path, "%s/c.sock", dir);
    ck_assert_int_eq(sock_listen_unix(path, 0600, &listen_fd, &e), 0);
    ck_assert_int_eq(pipe2(log_pipe, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        dup2(log_pipe[1], STDERR_FILENO);
        run_gateway();
    }
    close(log_pipe[1]);
    log_fd = log_pipe[0];
}

// The gateway's next connection, its hello taken.
static void accept_gateway(struct msg_conn *c)
{
    struct err e;
    struct msg m;
    struct pollfd p = {.fd = listen_fd, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    msg_conn_init(c, fd, IPC_PAYLOAD_MAX);
    while (msg_conn_take(c, &m, &e) == 0) {
        p.fd = fd;
        ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
        ck_assert_int_eq(msg_conn_fill(c, &e), 0);
    }
    ck_assert_int_eq(m.type, IPC_HELLO);
}

// Until the gateway hangs up, or has acknowledged something.
static void wait_for_gateway(struct msg_conn *c, bool ack)
{
    struct err e;
    struct msg m;
    for (;;) {
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
        if (msg_conn_fill(c, &e)) {
            ck_assert(!ack);
            return;
        }
        if (msg_conn_take(c, &m, &e) > 0) {
            ck_assert(ack && m.type == IPC_ACK);
            return;
        }
    }
}

static void send_broken_deployment(struct msg_conn *c)
{
    struct err e;
    int image_fd;
    ck_assert_int_eq(shm_new("broken", 4096, &image_fd, &e), 0);
    ck_assert_int_eq(shm_seal(image_fd, SHM_SEAL_ALL, &e), 0);
    struct str json = STR("{\"deployment\":1,\"model\":\"m\",\"version\":1,\"slot\":0,\"engine\":\"trees\"}");
    ck_assert_int_eq(msg_conn_send(c, IPC_DEPLOY, json, &image_fd, 1, &e), 0);
    close(image_fd);
}

static unsigned count(const char *text, const char *word)
{
    unsigned n = 0;
    for (; (text = strstr(text, word)); text++)
        n++;
    return n;
}

START_TEST(a_deployment_that_cannot_be_opened_is_tried_ever_more_seldom_and_said_once)
{
    static char log[1 << 16];
    struct err e;
    struct msg_conn c;
    int64_t first_ms = 0;
    int status;
    start();
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        accept_gateway(&c);
        first_ms = i ? first_ms : now_ms();
        send_broken_deployment(&c);
        wait_for_gateway(&c, false);
        msg_conn_done(&c);
    }
    accept_gateway(&c); // a good controller: all is well again
    ck_assert_int_ge(now_ms() - first_ms, PAUSES_MS);
    ck_assert_int_eq(
        msg_conn_send(&c, IPC_ROUTES, STR("{\"generation\":1,\"ready\":true,\"models\":[]}"), NULL, 0, &e),
        0);
    wait_for_gateway(&c, true);
    kill(pid, SIGTERM);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    msg_conn_done(&c);
    ssize_t n = 0, got;
    while ((got = read(log_fd, log + n, sizeof log - 1 - (size_t)n)) > 0)
        n += got;
    ck_assert_msg(count(log, "\"control_error\"") == 1, "%s", log);
    ck_assert_msg(count(log, "\"control_restored\"") == 1, "%s", log);
    tempdir_remove(dir);
}
END_TEST

UNIT_MAIN("role/gateway/control", a_deployment_that_cannot_be_opened_is_tried_ever_more_seldom_and_said_once)
