// SPDX-License-Identifier: Apache-2.0
// The controller between counters of gateways and a supervisor, all of which the test plays: what it sees,
// what it declares. The numbers themselves are tested in scaler_test.c.
#include "harness.h"
#include "os/shm.h"
#include "role/board.h"
#include "role/metrics.h"
#include "role/supervision.h"
#include "tempdir.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { GATEWAYS = 1 };
static const uint64_t SECOND = 1000000000;

static char dir[TEMPDIR_SIZE];
static pid_t pid;
static struct answer a;
static struct harness_gateway g;
static struct supervision_message m;
static struct metrics_shard *shard;

static void start(void)
{
    struct err e;
    int fd;
    void *memory;
    tempdir_new(dir);
    ck_assert_int_eq(shm_new_mapped("metrics", metrics_segment_bytes(GATEWAYS), &fd, &memory, &e), 0);
    ck_assert_int_eq(shm_seal(fd, SHM_SEAL_SIZE, &e), 0);
    shard = memory;
    harness_metrics(fd);
    pid = harness_start_supervised(dir, GATEWAYS);
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

static void hear_serve(uint32_t replicas)
{
    harness_supervisor_hears(SUPERVISION_SERVE, &m);
    for (unsigned i = 0; i < m.n_fds; i++)
        close(m.fds[i]);
    ck_assert_uint_eq(m.serve.replicas, replicas);
    ck_assert_uint_eq(m.n_fds, 2); // a supervisor that does not know it can start it
}

static uint64_t push(const char *model, const char *settings)
{
    int fd = harness_push(model, "onnx 4", settings);
    hear_serve(1);
    uint64_t id = m.serve.deployment;
    harness_supervisor_says(id, 12, BOARD_READY, 1, "");
    harness_gateway_routes(&g);
    harness_gateway_ack(&g);
    harness_receive(fd, &a);
    ck_assert_msg(a.status == 201, "%s", a.body);
    return id;
}

// The counters of the version in that slot.
static struct metrics_series *series(unsigned slot, const char *model)
{
    metrics_slot(shard, slot)->deployment = metrics_key(str_of(model), 1);
    return &shard->series[slot];
}

START_TEST(without_requests_the_last_one_ends_and_a_gateway_that_wants_one_gets_it_at_once)
{
    start();
    uint64_t id = push("churn", ",\"replicas\":\"0:4\",\"idle_s\":1");
    hear_serve(0);
    harness_supervisor_says(id, 12, BOARD_STOPPING, 0, "");
    harness_request("GET", "/api/v1/status", NULL, &a);
    ck_assert_msg(strstr(a.body, "\"ready\":true") && strstr(a.body, "\"wanted\":0,\"ready\":0"), "%s",
                  a.body);
    harness_gateway_want(&g, id);
    hear_serve(1);
    ck_assert_uint_eq(m.serve.deployment, id);
    harness_gateway_want(&g, id + 100); // of one that has just gone: nothing
    harness_gateway_want(&g, id);       // it is coming
    harness_supervisor_says(id, 13, BOARD_READY, 1, "");
    hear_serve(0); // idle again, and nothing else was said
    harness_request("GET", "/api/v1/status", NULL, &a);
    ck_assert_msg(strstr(a.body, "\"cold_starts\":1"), "%s", a.body);
    stop();
}
END_TEST

START_TEST(what_waits_is_seen_without_a_word)
{
    start();
    uint64_t id = push("churn", ",\"replicas\":\"0:4\",\"idle_s\":1");
    hear_serve(0);
    series(0, "churn")->waiting = 3;
    hear_serve(1);
    ck_assert_uint_eq(m.serve.deployment, id);
    stop();
}
END_TEST

START_TEST(one_at_zero_is_ready_after_a_restart)
{
    start();
    uint64_t id = push("churn", ",\"replicas\":\"0:4\"");
    harness_kill(pid);
    msg_conn_done(&g.conn);
    pid = harness_start_supervised(dir, GATEWAYS);
    hear_serve(0);
    harness_supervisor_hears(SUPERVISION_COMPLETE, &m);
    harness_gateway_connect(&g, 0);
    harness_gateway_until(&g, "\"ready\":true");
    ck_assert_msg(strstr(g.routes, "\"default\":1"), "%s", g.routes);
    harness_gateway_want(&g, id);
    hear_serve(1);
    stop();
}
END_TEST

START_TEST(load_in_the_counters_brings_replicas_of_that_version_alone)
{
    start();
    (void)push("quiet", ",\"replicas\":\"1:4\",\"scale_window_s\":2");
    uint64_t id = push("busy", ",\"replicas\":\"1:2\",\"scale_window_s\":2");
    struct metrics_series *s = series(1, "busy");
    while (!harness_supervisor_is_told()) { // or the test's own time is over
        s->in_flight_ns += SECOND;
        series(0, "busy")->in_flight_ns += SECOND; // in the other one's slot, of which that is not counted
        usleep(100000);                            // the gateways' own time, which nobody can wait for
    }
    hear_serve(2);
    ck_assert_uint_eq(m.serve.deployment, id);
    harness_supervisor_says(id, 13, BOARD_READY, 2, "");
    hear_serve(1); // the load is gone
    ck_assert_uint_eq(m.serve.deployment, id);
    stop();
}
END_TEST

START_TEST(a_version_that_gets_less_than_its_load_asks_for_is_starved)
{
    start();
    (void)push("busy",
               ",\"replicas\":\"1:64\",\"scale_window_s\":2,\"threads\":256"); // of any machine too much
    struct metrics_series *s = series(0, "busy");
    do {
        s->in_flight_ns += SECOND;
        usleep(100000);
        harness_request("GET", "/api/v1/status", NULL, &a);
    } while (strstr(a.body, "\"starved\":false"));
    ck_assert_msg(strstr(a.body, "\"wanted\":1,"), "%s", a.body);
    ck_assert(!harness_supervisor_is_told());
    stop();
}
END_TEST

int main(int argc, char **argv)
{
    harness_helper_entry(argc, argv);
    Suite *suite = suite_create("role/controller/scaling");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, UNIT_SECONDS);
    suite_add_tcase(suite, c);
    tcase_add_test(c, without_requests_the_last_one_ends_and_a_gateway_that_wants_one_gets_it_at_once);
    tcase_add_test(c, what_waits_is_seen_without_a_word);
    tcase_add_test(c, one_at_zero_is_ready_after_a_restart);
    tcase_add_test(c, load_in_the_counters_brings_replicas_of_that_version_alone);
    tcase_add_test(c, a_version_that_gets_less_than_its_load_asks_for_is_starved);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
