// SPDX-License-Identifier: Apache-2.0
// The controller and a supervisor that the test plays: what is declared, waited for, withdrawn.
#include "role/controller/replicas.h"

#include "base/clock.h"
#include "harness.h"
#include "role/board.h"
#include "role/entry.h"
#include "role/supervision.h"
#include "tempdir.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static char dir[TEMPDIR_SIZE];
static pid_t pid;
static struct answer a;
static struct harness_gateway g;
static struct supervision_message m;

static void close_fds(void)
{
    for (unsigned i = 0; i < m.n_fds; i++)
        close(m.fds[i]);
}

static void start(void)
{
    tempdir_new(dir);
    pid = harness_start_supervised(dir, 1);
    harness_supervisor_hears(SUPERVISION_COMPLETE, &m);
    harness_gateway_connect(&g, 0);
    harness_gateway_routes(&g);
    harness_gateway_ack(&g);
}

static void stop(void)
{
    ck_assert_int_eq(harness_stop(pid), 0);
    tempdir_remove(dir);
}

static void expect(const char *method, const char *target, int status, const char *in_body)
{
    harness_request(method, target, NULL, &a);
    ck_assert_msg(a.status == status && strstr(a.body, in_body), "%s %s: %d %s", method, target, a.status,
                  a.body);
}

// A push that is served by one replica; its deployment.
static uint64_t push(const char *text, const char *more_json)
{
    int fd = harness_push("churn", text, more_json);
    harness_supervisor_hears(SUPERVISION_SERVE, &m);
    close_fds();
    uint64_t id = m.serve.deployment;
    harness_supervisor_says(id, 12, BOARD_READY, 1, "");
    harness_gateway_routes(&g);
    harness_gateway_ack(&g);
    harness_receive(fd, &a);
    ck_assert_msg(a.status == 201, "%s", a.body);
    return id;
}

START_TEST(a_version_is_there_once_a_replica_has_loaded_it)
{
    char text[512];
    start();
    int fd = harness_push("churn", "onnx 4",
                          ",\"replicas\":3,\"threads\":2,\"optimization\":\"basic\",\"memory_mb\":512,"
                          "\"batch_budget_ms\":4,\"hang_ms\":900");
    harness_supervisor_hears(SUPERVISION_SERVE, &m);
    const struct supervision_serve *s = &m.serve;
    ck_assert_str_eq(s->model, "churn");
    ck_assert_str_eq(s->engine, "onnx");
    ck_assert_str_eq(s->optimization, "basic");
    ck_assert_str_eq(s->provider, "cpu");
    ck_assert_uint_eq(s->version, 1);
    ck_assert_uint_eq(s->replicas, 3);
    ck_assert_uint_eq(s->threads, 2);
    ck_assert_uint_eq(s->memory_bytes, 512 << 20);
    ck_assert_uint_eq(s->batch_budget_us, 4000);
    ck_assert_uint_eq(s->hang_ms, 900);
    ck_assert_uint_ge(s->start_timeout_ms, 1000);
    ck_assert_uint_eq(m.n_fds, 2);
    ssize_t n = pread(m.fds[0], text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    ck_assert_str_eq(text, "onnx 4");
    n = pread(m.fds[1], text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    ck_assert_msg(strstr(text, "\"x\""), "%s", text);
    close_fds();
    // Not before: a replica that is starting is none.
    harness_supervisor_says(s->deployment, 12, BOARD_STARTING, 0, "");
    expect("GET", "/api/v1/models/churn", 404, "unknown_model");
    ck_assert(!harness_is_answered(fd));
    harness_supervisor_says(s->deployment, 12, BOARD_READY, 1, "");
    harness_gateway_routes(&g);
    ck_assert_msg(strstr(g.last_deploy, "\"engine\":\"onnx\""), "%s", g.last_deploy);
    ck_assert_msg(strstr(g.routes, "\"churn\""), "%s", g.routes);
    harness_gateway_ack(&g);
    harness_receive(fd, &a);
    ck_assert_msg(a.status == 201 && strstr(a.body, "\"version\":1"), "%s", a.body);
    expect("GET", "/api/v1/models/churn/versions/1", 200, "\"replicas\":{\"wanted\":3,\"ready\":1}");
    ck_assert_msg(strstr(a.body, "\"settings\":{\"replicas\":3,\"threads\":2,"), "%s", a.body);
    stop();
}
END_TEST

START_TEST(a_version_that_cannot_be_loaded_is_refused_and_leaves_nothing)
{
    start();
    uint64_t first = push("onnx 4", "");
    int fd = harness_push("churn", "onnx 5", "");
    harness_supervisor_hears(SUPERVISION_SERVE, &m);
    close_fds();
    ck_assert_uint_eq(m.serve.version, 2);
    uint64_t id = m.serve.deployment;
    ck_assert_uint_ne(id, first);
    harness_supervisor_says(id, 0, BOARD_FAILED, 0, "cannot load: no kernel for Foo(17)");
    harness_receive(fd, &a);
    ck_assert_msg(a.status == 422 && strstr(a.body, "cannot load: no kernel for Foo(17)"), "%s", a.body);
    harness_supervisor_hears(SUPERVISION_WITHDRAW, &m);
    ck_assert_uint_eq(m.withdraw.deployment, id);
    expect("GET", "/api/v1/models/churn", 200, "\"default\":1");
    push("onnx 6", ""); // its number was never given
    ck_assert_msg(strstr(a.body, "\"version\":2"), "%s", a.body);
    stop();
}
END_TEST

START_TEST(pushes_at_once_get_numbers_of_their_own)
{
    start();
    int first = harness_push("churn", "onnx 4", "");
    harness_supervisor_hears(SUPERVISION_SERVE, &m);
    close_fds();
    struct supervision_serve one = m.serve;
    int second = harness_push("churn", "onnx 5", "");
    harness_supervisor_hears(SUPERVISION_SERVE, &m);
    close_fds();
    ck_assert_uint_eq(one.version, 1);
    ck_assert_uint_eq(m.serve.version, 2);
    ck_assert_uint_ne(one.deployment, m.serve.deployment);
    // One that is computed in the gateways comes between.
    int third = harness_push("churn", "fake ok 3", "");
    harness_gateway_until(&g, "\"version\":3");
    harness_receive(third, &a);
    ck_assert_msg(a.status == 201 && strstr(a.body, "\"version\":3"), "%s", a.body);
    harness_supervisor_says(m.serve.deployment, 12, BOARD_READY, 1, "");
    harness_gateway_until(&g, "\"version\":2");
    harness_receive(second, &a);
    ck_assert_msg(a.status == 201, "%s", a.body);
    harness_supervisor_says(one.deployment, 13, BOARD_READY, 1, "");
    harness_gateway_until(&g, "\"version\":1");
    harness_receive(first, &a);
    ck_assert_msg(a.status == 201 && strstr(a.body, "\"version\":1"), "%s", a.body);
    stop();
}
END_TEST

START_TEST(a_push_whose_client_left_is_withdrawn)
{
    start();
    int fd = harness_push("churn", "onnx 4", "");
    harness_supervisor_hears(SUPERVISION_SERVE, &m);
    close_fds();
    close(fd);
    uint64_t id = m.serve.deployment;
    harness_supervisor_hears(SUPERVISION_WITHDRAW, &m);
    ck_assert_uint_eq(m.withdraw.deployment, id);
    harness_supervisor_says(id, 12, BOARD_READY, 1, ""); // too late
    expect("GET", "/api/v1/models/churn", 404, "unknown_model");
    stop();
}
END_TEST

START_TEST(a_new_controller_declares_everything_again_and_waits_for_it)
{
    start();
    uint64_t id = push("onnx 4", ",\"replicas\":\"2:4\"");
    harness_kill(pid);
    msg_conn_done(&g.conn);
    pid = harness_start_supervised(dir, 1);
    harness_supervisor_hears(SUPERVISION_SERVE, &m);
    close_fds();
    ck_assert_uint_eq(m.serve.deployment, id);
    ck_assert_uint_eq(m.serve.replicas, 2);
    ck_assert_uint_eq(m.serve.version, 1);
    harness_supervisor_hears(SUPERVISION_COMPLETE, &m);
    expect("GET", "/api/v1/status", 200, "\"ready\":false");
    msg_conn_done(&g.conn);
    harness_gateway_connect(&g, 0);
    harness_supervisor_says(id, 12, BOARD_READY, 1, "");
    harness_gateway_until(&g, "\"ready\":true");
    ck_assert_msg(strstr(g.last_deploy, "\"deployment\":1,"), "%s", g.last_deploy);
    ck_assert_msg(strstr(g.routes, "\"versions\":[{\"version\":1,"), "%s", g.routes);
    stop();
}
END_TEST

START_TEST(replicas_end_after_the_gateways_let_go_of_them)
{
    start();
    uint64_t id = push("onnx 4", "");
    int fd = harness_send("DELETE", "/api/v1/models/churn", NULL, 0);
    harness_gateway_routes(&g);
    ck_assert_msg(!strstr(g.routes, "churn"), "%s", g.routes);
    expect("GET", "/api/v1/status", 200, "\"deployments\":[]");
    ck_assert(!harness_supervisor_is_told());
    harness_gateway_ack(&g);
    harness_receive(fd, &a);
    ck_assert_int_eq(a.status, 200);
    harness_supervisor_hears(SUPERVISION_WITHDRAW, &m);
    ck_assert_uint_eq(m.withdraw.deployment, id);
    stop();
}
END_TEST

START_TEST(a_deployment_that_is_given_up_says_why_and_is_dropped_with_its_last_replica)
{
    start();
    uint64_t id = push("onnx 4", "");
    harness_supervisor_says(id, 13, BOARD_READY, 2, "");
    harness_supervisor_says(id, 12, BOARD_FAILED, 1, "ended by signal 6");
    harness_supervisor_says(id, 0, BOARD_FAILED, 1, "ended by signal 6, the last of 5 deaths in 30 s");
    // What is left of it serves on.
    do
        harness_request("GET", "/api/v1/models/churn/versions/1", NULL, &a);
    while (!strstr(a.body, "the last of 5 deaths in 30 s"));
    ck_assert_msg(strstr(a.body, "\"serving\":\"ready\""), "%s", a.body);
    harness_supervisor_says(id, 13, BOARD_FAILED, 0, "ended by signal 11");
    harness_gateway_until(&g, "\"versions\":[]");
    expect("GET", "/api/v1/models/churn/versions/1", 200, "\"serving\":\"failed\"");
    ck_assert_msg(strstr(a.body, "ended by signal 11"), "%s", a.body);
    stop();
}
END_TEST

START_TEST(a_last_replica_that_ends_without_a_reason_leaves_the_one_before)
{
    start();
    uint64_t id = push("onnx 4", "");
    harness_supervisor_says(id, 0, BOARD_FAILED, 1, "the last of 5 deaths in 30 s");
    harness_supervisor_says(id, 12, BOARD_FAILED, 0, "");
    harness_gateway_until(&g, "\"versions\":[]");
    expect("GET", "/api/v1/models/churn/versions/1", 200, "\"serving\":\"failed\"");
    ck_assert_msg(strstr(a.body, "the last of 5 deaths in 30 s"), "%s", a.body);
    stop();
}
END_TEST

START_TEST(settings_of_replicas_are_refused_where_there_are_none)
{
    start();
    int fd = harness_push("churn", "fake ok 3", ",\"threads\":2");
    harness_receive(fd, &a);
    ck_assert_msg(a.status == 400 && strstr(a.body, "'threads'") && strstr(a.body, "$.threads"), "%d %s",
                  a.status, a.body);
    stop();
}
END_TEST

START_TEST(without_a_supervisor_nothing_runs_in_replicas)
{
    tempdir_new(dir);
    pid = harness_start(dir, 1);
    int fd = harness_push("churn", "onnx 4", "");
    harness_receive(fd, &a);
    ck_assert_msg(a.status == 503, "%s", a.body);
    stop();
}
END_TEST

// A supervisor that reads only once the controller's side is full.
struct late_supervisor {
    struct loop *loop;
    struct msg_conn conn;
    struct watch watch;
    struct timer deadline;
    bool has_heard[3]; // that deployment 1 + i was withdrawn
};

static void on_told(struct watch *w, uint32_t events)
{
    struct late_supervisor *s =
        (struct late_supervisor *)((char *)w - offsetof(struct late_supervisor, watch));
    struct err e;
    (void)events;
    ck_assert_int_eq(msg_conn_fill(&s->conn, &e), 0);
    while (supervision_take(&s->conn, SUPERVISION_FROM_CONTROLLER, &m, &e) == 1)
        if (m.type == SUPERVISION_WITHDRAW && m.withdraw.deployment)
            s->has_heard[m.withdraw.deployment - 1] = true;
    if (s->has_heard[0] && s->has_heard[1] && s->has_heard[2])
        loop_stop(s->loop);
}

static void on_deadline(struct timer *t)
{
    loop_stop(((struct late_supervisor *)((char *)t - offsetof(struct late_supervisor, deadline)))->loop);
}

START_TEST(what_cannot_be_withdrawn_while_the_socket_is_full_is_withdrawn_later)
{
    static struct controller c;
    struct late_supervisor s = {.deadline.on_due = on_deadline};
    struct controller_args args = {0};
    struct supervision_upgrade big = {.path = "x"};
    struct supervision_withdraw small = {0};
    struct err e;
    int pair[2];
    ck_assert_int_eq(loop_new(&s.loop, &e), 0);
    ck_assert_int_eq(supervision_pair(pair, &e), 0);
    args.supervision_fd = pair[1];
    c = (struct controller){.args = &args, .loop = s.loop, .log = {.fd = STDERR_FILENO}};
    c.log.level = LOG_LEVEL_ERROR + 1;
    ck_assert_int_eq(replicas_open(&c, &e), 0);
    while (replicas_tell(&c, SUPERVISION_UPGRADE, &big, NULL, 0, &e) == 0)
        ;
    while (replicas_tell(&c, SUPERVISION_WITHDRAW, &small, NULL, 0, &e) == 0)
        ;
    ck_assert_int_eq(e.code, ERR_BUSY);
    for (uint64_t id = 1; id <= 3; id++)
        replicas_withdraw(&c, &(struct deployment){.id = id, .is_declared = true});
    supervision_init(&s.conn, pair[0]);
    s.watch = (struct watch){pair[0], on_told};
    ck_assert_int_eq(loop_add(s.loop, &s.watch, EPOLLIN, &e), 0);
    ck_assert_int_eq(loop_timer_set(s.loop, &s.deadline, clock_mono_ns() + 15000000000u, &e), 0);
    ck_assert_int_eq(loop_run(s.loop, &e), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_msg(s.has_heard[i], "%d", i + 1);
    ck_assert_ptr_null(c.withdrawals);
    replicas_close(&c);
    loop_remove(s.loop, &s.watch);
    msg_conn_done(&s.conn);
    loop_free(s.loop);
}
END_TEST

int main(int argc, char **argv)
{
    harness_helper_entry(argc, argv);
    Suite *s = suite_create("role/controller/replicas");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, UNIT_SECONDS);
    suite_add_tcase(s, c);
    tcase_add_test(c, a_version_is_there_once_a_replica_has_loaded_it);
    tcase_add_test(c, a_version_that_cannot_be_loaded_is_refused_and_leaves_nothing);
    tcase_add_test(c, pushes_at_once_get_numbers_of_their_own);
    tcase_add_test(c, a_push_whose_client_left_is_withdrawn);
    tcase_add_test(c, a_new_controller_declares_everything_again_and_waits_for_it);
    tcase_add_test(c, replicas_end_after_the_gateways_let_go_of_them);
    tcase_add_test(c, a_deployment_that_is_given_up_says_why_and_is_dropped_with_its_last_replica);
    tcase_add_test(c, a_last_replica_that_ends_without_a_reason_leaves_the_one_before);
    tcase_add_test(c, settings_of_replicas_are_refused_where_there_are_none);
    tcase_add_test(c, without_a_supervisor_nothing_runs_in_replicas);
    tcase_add_test(c, what_cannot_be_withdrawn_while_the_socket_is_full_is_withdrawn_later);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
