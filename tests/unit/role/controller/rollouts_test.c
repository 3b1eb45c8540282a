// SPDX-License-Identifier: Apache-2.0
// Rollouts over the controller's socket, with a gateway that counts as the test says: what is routed follows
// what is durable, whoever moves and whenever the process dies.
#include "harness.h"
#include "tempdir.h"
#include "unit.h"

#include "base/clock.h"
#include "base/str.h"
#include "registry/store_sqlite.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 60000 };

static char dir[TEMPDIR_SIZE];
static pid_t pid;
static struct answer a;
static struct harness_gateway g;
static uint64_t second_ns; // of the counts that were sent last

static void gateway_comes(void)
{
    static bool came;
    if (came) // to the controller before
        msg_conn_done(&g.conn);
    came = true;
    harness_gateway_connect(&g, 0);
    harness_gateway_until(&g, "\"ready\":true");
}

static void serve(void)
{
    while (harness_gateway_take(&g))
        harness_gateway_ack(&g);
}

static uint64_t deadline_ns(void)
{
    return clock_mono_ns() + WAIT_MS * UINT64_C(1000000);
}

// Acknowledges tables until the request is answered.
static void receive(int fd)
{
    uint64_t end = deadline_ns();
    while (!harness_is_answered(fd)) {
        struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = g.conn.fd, .events = POLLIN}};
        ck_assert_int_gt(poll(p, 2, WAIT_MS), 0);
        ck_assert_uint_lt(clock_mono_ns(), end);
        serve();
    }
    harness_receive(fd, &a);
    serve();
}

static void push(const char *text, const char *more_json)
{
    receive(harness_push("churn", text, more_json));
    ck_assert_msg(a.status == 201, "%s", a.body);
}

// Version 1 answers, version 2 does not yet.
static void start(void)
{
    tempdir_new(dir);
    pid = harness_start(dir, 1);
    gateway_comes();
    push("fake ok 4", "");
    push("fake ok 4, anew", ",\"promote\":false");
    second_ns = clock_mono_ns();
}

static void stop(void)
{
    ck_assert_int_eq(harness_stop(pid), 0);
    tempdir_remove(dir);
}

static void ask(const char *method, const char *target, const char *body, int status, const char *in_body)
{
    receive(harness_send(method, target, body, body ? strlen(body) : 0));
    ck_assert_msg(a.status == status && strstr(a.body, in_body), "%s %s: %d %s", method, target, a.status,
                  a.body);
}

// Asks, and acknowledges tables meanwhile, until the answer has it.
static void wait_for(const char *target, const char *text)
{
    uint64_t end = deadline_ns();
    do {
        ask("GET", target, NULL, 200, "");
        ck_assert_msg(clock_mono_ns() < end, "no %s in %s", text, a.body);
        poll(&(struct pollfd){.fd = g.conn.fd, .events = POLLIN}, 1, 20);
        serve();
    } while (!strstr(a.body, text));
}

// Acknowledges tables until one has the text, or has it no more: that may come a moment after the answer that
// says so.
static void routes_have(const char *text, bool there)
{
    for (uint64_t end = deadline_ns(); (strstr(g.routes, text) != NULL) != there; serve()) {
        ck_assert_msg(clock_mono_ns() < end, "%s in %s", text, g.routes);
        poll(&(struct pollfd){.fd = g.conn.fd, .events = POLLIN}, 1, 20);
    }
}

static void state_is(const char *state)
{
    char text[64];
    snprintf(text, sizeof text, "\"state\":\"%s\"", state);
    wait_for("/api/v1/rollouts/1", text);
}

// One second of traffic at a weight, with errors.
static void count(unsigned weight_bp, unsigned canary, unsigned stable, unsigned bad_canary,
                  unsigned bad_stable)
{
    char json[1024];
    second_ns += UINT64_C(1000000000);
    snprintf(
        json, sizeof json,
        "{\"rollout\":1,\"epoch\":1,\"closed_until_ns\":%llu,\"ticks\":[{\"opened_ns\":%llu,\"weight\":%u,"
        "\"arm\":0,\"requests\":[%u,%u],\"events\":[[%u,%u]]}],\"assigned\":[[0,%u,%u,%u]],"
        "\"drawn\":[[0,%u,%u,%u]],\"overridden\":1,\"fallbacks\":2}",
        (unsigned long long)second_ns, (unsigned long long)second_ns - 1, weight_bp * 100, canary, stable,
        bad_canary, bad_stable, weight_bp * 100, canary, stable, weight_bp * 100, canary, stable);
    harness_gateway_counts(&g, json);
}

// Passes when 40 requests of the candidate came without an error.
#define GUARD "\"guardrails\":[{\"metric\":\"errors\",\"slo\":0.5}]"
#define STEP  "\"min_seconds\":0,\"min_requests\":40,\"on_undecided\":\"wait\""
static const char CANARY[] = "{\"model\":\"churn\",\"candidate\":\"2\",\"steps\":[{\"weight\":10," STEP
                             "},{\"weight\":50," STEP "}],\"bake\":{\"holdback\":5,\"seconds\":0}," GUARD "}";

static void start_rollout(const char *request)
{
    start();
    ask("POST", "/api/v1/rollouts", request, 201, "\"state\":\"warming\"");
    ck_assert_ptr_nonnull(strstr(a.body, "\"audit\":{"));
}

START_TEST(a_candidate_that_is_as_good_is_promoted)
{
    start_rollout(CANARY);
    state_is("running");
    routes_have("\"split\":{\"rollout\":1,", true);
    routes_have("\"alias\":\"champion\",\"baseline\":1,"
                "\"arms\":[{\"name\":\"canary\",\"deployment\":2,\"weight\":1000}]",
                true);
    routes_have("\"guards\":[\"errors\"],\"latency\":[]", true);
    count(1000, 40, 360, 0, 0);
    wait_for("/api/v1/rollouts/1", "\"weight\":50,");
    routes_have("\"weight\":5000", true);
    count(5000, 40, 40, 0, 0);
    state_is("promoted");
    routes_have("split", false);
    routes_have("\"default\":2", true);
    ask("GET", "/api/v1/models/churn/history", NULL, 200, "\"actor\":\"rollout\"");
    ck_assert_ptr_nonnull(strstr(a.body, "\"version\":2,\"previous\":1"));
    ask("GET", "/api/v1/rollouts/1/events?verify=true", NULL, 200, "\"replay\":{\"sound\":true,\"moves\":8}");
    ask("GET", "/api/v1/rollouts/1", NULL, 200,
        "\"exposure\":{\"requests\":80,\"overridden\":2,\"fallbacks\":4}");
    ck_assert_ptr_nonnull(strstr(a.body, "\"possible\":[\"rollback\"]"));
    stop();
}
END_TEST

START_TEST(a_candidate_that_errs_is_rolled_back)
{
    start_rollout(CANARY);
    state_is("running");
    count(1000, 20, 180, 10, 0);
    state_is("rolled_back");
    routes_have("split", false);
    routes_have("\"default\":1", true);
    ask("GET", "/api/v1/rollouts/1/events", NULL, 200, "\"event\":\"guard_failed\",\"actor\":\"rollout\"");
    ck_assert_ptr_nonnull(strstr(a.body, "errors of version 2: 10 of 20 requests, against 0 of 180"));
    ask("GET", "/api/v1/rollouts?model=churn", NULL, 200, "\"state\":\"rolled_back\",\"over\":true");
    ask("GET", "/api/v1/audit?model=churn", NULL, 200, "\"after\":\"rollout 1 rolling_back\"");
    stop();
}
END_TEST

START_TEST(a_router_that_misses_its_weights_freezes_the_rollout)
{
    start_rollout(CANARY);
    state_is("running");
    count(1000, 30, 30, 0, 0);
    state_is("frozen");
    ck_assert_ptr_nonnull(strstr(a.body, "\"unbalanced\":true"));
    routes_have("\"weight\":1000", true); // the weight stays
    ask("POST", "/api/v1/rollouts/1:rollback", "{\"reason\":\"odd\"}", 200, "\"state\":\"rolling_back\"");
    ck_assert_ptr_null(strstr(g.routes, "split")); // when it was answered all gateways had that
    stop();
}
END_TEST

START_TEST(people_move_it_and_are_told_what_is_possible)
{
    start_rollout(CANARY);
    state_is("running");
    ask("POST", "/api/v1/rollouts/1:pause", NULL, 200, "\"state\":\"paused\"");
    count(1000, 400, 3600, 0, 0);
    ask("POST", "/api/v1/rollouts/1:advance", NULL, 409, "Possible now: resume, freeze, promote, rollback.");
    ask("POST", "/api/v1/rollouts/1:resume", NULL, 200, "\"state\":\"running\"");
    ask("POST", "/api/v1/rollouts/1:jump", NULL, 404, "no_such_route");
    ask("POST", "/api/v1/rollouts/1:freeze", "{\"raeson\":1}", 400, "raeson");
    ask("POST", "/api/v1/rollouts/1:advance", NULL, 200, "\"state\":\"scaling\"");
    wait_for("/api/v1/rollouts/1", "\"weight\":50,");
    ask("POST", "/api/v1/rollouts/1:promote", "{\"reason\":\"in a hurry\"}", 200, "\"state\":\"promoting\"");
    state_is("promoted");
    routes_have("\"default\":2", true);
    ask("DELETE", "/api/v1/models/churn/versions/1", NULL, 409, "needs this version");
    ask("POST", "/api/v1/rollouts/1:rollback", NULL, 200, "\"state\":\"rolling_back\"");
    state_is("rolled_back");
    routes_have("\"default\":1", true);
    ask("GET", "/api/v1/models/churn/history", NULL, 200, "\"kind\":\"rollback\"");
    ask("POST", "/api/v1/rollouts/1:pause", NULL, 409, "is over: rolled_back");
    ask("GET", "/api/v1/rollouts/1/events?verify=true", NULL, 200, "\"sound\":true");
    ck_assert_ptr_nonnull(strstr(a.body, "\"note\":\"in a hurry\""));
    stop();
}
END_TEST

START_TEST(what_cannot_be_rolled_out_is_refused)
{
    start();
    ask("POST", "/api/v1/rollouts", "{\"model\":\"churn\"}", 400, "candidate");
    ask("POST", "/api/v1/rollouts", "{\"model\":\"churn\",\"candidate\":\"7\"}", 404, "$.candidate");
    ask("POST", "/api/v1/rollouts", "{\"model\":\"nix\",\"candidate\":\"1\"}", 404, "unknown_model");
    ask("POST", "/api/v1/rollouts", "{\"model\":\"churn\",\"candidate\":\"1\"}", 409, "baseline");
    ask("POST", "/api/v1/rollouts", "{\"model\":\"churn\",\"candidate\":\"1\",\"baseline\":\"2\"}", 409,
        "go to version 1");
    ask("POST", "/api/v1/rollouts", "{\"model\":\"churn\",\"candidate\":\"2\",\"key\":\"$.user_id\"}", 400,
        "expected a value that requests of this model can have, not \\\"$.user_id\\\"");
    ck_assert_ptr_nonnull(strstr(a.body, "\"path\":\"$.key\""));
    ask("POST", "/api/v1/rollouts",
        "{\"model\":\"churn\",\"candidate\":\"2\",\"strategy\":\"shadow\",\"shadow\":{\"segment\":\"$."
        "country\"}}",
        400, "\"path\":\"$.shadow.segment\"");
    ask("POST", "/api/v1/rollouts", CANARY, 201, "\"attempt\":1");
    ask("POST", "/api/v1/rollouts", CANARY, 409, "rollout 1 of 'churn' is");
    ask("DELETE", "/api/v1/models/churn", NULL, 409, "needs its versions");
    ask("DELETE", "/api/v1/models/churn/versions/2", NULL, 409, "slipway rollout rollback 1");
    ask("GET", "/api/v1/rollouts/2", NULL, 404, "no rollout 2");
    ask("GET", "/api/v1/rollouts/x", NULL, 404, "not the number");
    stop();
}
END_TEST

START_TEST(another_rollout_of_the_same_version_is_counted)
{
    start_rollout(CANARY);
    ask("POST", "/api/v1/rollouts/1:rollback", NULL, 200, "");
    state_is("rolled_back");
    ask("POST", "/api/v1/rollouts", CANARY, 201, "\"attempt\":2");
    stop();
}
END_TEST

START_TEST(a_change_by_hand_ends_it)
{
    start_rollout(CANARY);
    state_is("running");
    push("fake ok 4, a third time", ""); // which is promoted
    ck_assert_ptr_null(strstr(g.routes, "split"));
    ck_assert_ptr_nonnull(strstr(g.routes, "\"default\":3"));
    state_is("superseded");
    ask("GET", "/api/v1/rollouts/1/events", NULL, 200, "champion is version 3 now");
    ask("POST", "/api/v1/rollouts", CANARY, 201, "\"baseline\":3");
    ask("PUT", "/api/v1/models/churn/aliases/champion", "{\"version\":2,\"allow_breaking\":true}", 200, "");
    ck_assert_ptr_nonnull(strstr(g.routes, "\"default\":2"));
    wait_for("/api/v1/rollouts/2", "\"state\":\"superseded\"");
    stop();
}
END_TEST

START_TEST(arms_share_the_traffic_as_asked_for)
{
    start();
    push("fake ok 4, a third time", ",\"promote\":false");
    ask("POST", "/api/v1/rollouts",
        "{\"model\":\"churn\",\"strategy\":\"ab\",\"key\":\"header:x-user\",\"arms\":[{\"version\":\"2\","
        "\"weight\":20},"
        "{\"version\":\"3\",\"weight\":30}],\"min_seconds\":0,\"min_requests\":1," GUARD "}",
        201, "\"candidates\":[2,3]");
    state_is("running");
    routes_have("\"key\":\"header\",\"key_name\":\"x-user\"", true);
    routes_have("\"arms\":[{\"name\":\"2\",\"deployment\":2,\"weight\":2000},"
                "{\"name\":\"3\",\"deployment\":3,\"weight\":3000}]",
                true);
    stop();
}
END_TEST

START_TEST(a_mirrored_phase_comes_first_and_its_pairs_count_apart)
{
    start_rollout(
        "{\"model\":\"churn\",\"candidate\":\"2\",\"shadow\":{\"min_seconds\":0,\"min_requests\":10},"
        "\"steps\":[{\"weight\":10," STEP "}]," GUARD "}");
    state_is("shadow");
    routes_have("\"arms\":[],\"shadow\":{\"deployment\":2,", true);
    count(5000, 20, 20, 0, 0);
    state_is("running");
    routes_have("\"deployment\":2,\"weight\":1000", true);
    routes_have("shadow\"", false);
    ask("GET", "/api/v1/rollouts/1", NULL, 200, "\"exposure\":{\"requests\":0,");
    ask("GET", "/api/v1/rollouts/1/events?verify=true", NULL, 200, "\"sound\":true");
    stop();
}
END_TEST

START_TEST(mirrored_requests_are_told_apart_by_segment)
{
#define PAIRS                                                                                                \
    "{\"n\":2,\"stable_failed\":0,\"shadow_failed\":0,\"unlike\":0,\"dropped\":0,\"rows\":2,\"disagree\":1," \
    "\"differences\":[[0,2]],\"confusion\":[],\"worst\":[]}"
    static const char COUNTS[] =
        "{\"rollout\":1,\"epoch\":1,\"closed_until_ns\":1,\"ticks\":[],\"pairs\":" PAIRS
        ",\"segments\":{\"of\":[{\"value\":\"DE\",\"pairs\":" PAIRS "}],\"others\":" PAIRS "}}";
    start_rollout("{\"model\":\"churn\",\"candidate\":\"2\",\"strategy\":\"shadow\",\"shadow\":{\"segment\":"
                  "\"header:x-country\"}," GUARD "}");
    state_is("shadow");
    routes_have("\"segment\":\"header\",\"segment_name\":\"x-country\"}", true);
    harness_gateway_counts(&g, COUNTS);
    harness_gateway_counts(&g, COUNTS); // another gateway's, or later
    wait_for("/api/v1/rollouts/1", "\"segments\":[{\"segment\":\"value\",\"value\":\"DE\",\"quantiles\":");
    wait_for("/api/v1/rollouts/1", "\"counts\":{\"n\":4,"); // which come with their segments
    ck_assert_ptr_nonnull(strstr(strstr(a.body, "\"value\":\"DE\""), "\"counts\":{\"n\":4,"));
    ck_assert_ptr_nonnull(strstr(a.body, "{\"segment\":\"others\",\"quantiles\":"));
    ck_assert_ptr_null(strstr(a.body, "\"segment\":\"absent\""));
    stop();
}
END_TEST

START_TEST(limits_of_latency_are_made_of_what_was_seen)
{
    char json[512];
    start_rollout("{\"model\":\"churn\",\"candidate\":\"2\",\"steps\":[{\"weight\":10," STEP
                  "}],\"guardrails\":[{\"metric\":\"latency\",\"q\":0.9,\"tolerance\":0.5}]}");
    state_is("running");
    routes_have("\"latency\":[]", true);
    // 200 requests of which one in ten takes longer than 31 ns.
    snprintf(json, sizeof json,
             "{\"rollout\":1,\"epoch\":1,\"closed_until_ns\":%llu,\"ticks\":[],\"assigned\":[],\"drawn\":[],"
             "\"stable_hist\":{\"20\":179,\"31\":21}}",
             (unsigned long long)second_ns);
    harness_gateway_counts(&g, json);
    wait_for("/api/v1/rollouts/1", "\"limit_ms\"");
    routes_have("\"stable_ns\":31,\"canary_ns\":47}", true);
    stop();
}
END_TEST

START_TEST(the_lines_of_metrics_say_how_it_stands)
{
    start_rollout(CANARY);
    state_is("running");
    count(1000, 20, 180, 0, 0);
    for (uint64_t end = deadline_ns(); !strstr(g.metrics, "state=\"running\"") && clock_mono_ns() < end;
         serve())
        poll(&(struct pollfd){.fd = g.conn.fd, .events = POLLIN}, 1, 20); // they come once a second
    ck_assert_ptr_nonnull(
        strstr(g.metrics,
               "slipway_rollout_state{model=\"churn\",rollout=\"1\",version=\"2\",state=\"running\"} 1\n"));
    ck_assert_ptr_nonnull(
        strstr(g.metrics, "slipway_rollout_weight{model=\"churn\",rollout=\"1\",version=\"2\"} 0.1\n"));
    ck_assert_ptr_nonnull(strstr(g.metrics, "metric=\"errors\",test=\"fail_at\"} 2.99573227\n"));
    stop();
}
END_TEST

START_TEST(counts_that_are_not_as_agreed_close_the_connection)
{
    static const char *const BAD[] = {
        "nix",
        "{\"rollout\":1}",
        "{\"rollout\":1,\"epoch\":1,\"closed_until_ns\":1,\"ticks\":[{}]}",
        "{\"rollout\":1,\"epoch\":1,\"closed_until_ns\":1,\"ticks\":[{\"opened_ns\":1,\"weight\":1,\"arm\":1,"
        "\"requests\":[1,1],\"events\":[[0,0]]}]}",
        "{\"rollout\":1,\"epoch\":1,\"closed_until_ns\":1,\"ticks\":[{\"opened_ns\":1,\"weight\":1,\"arm\":0,"
        "\"requests\":[1,1],\"events\":[[0,0],[0,0]]}]}",
        "{\"rollout\":1,\"epoch\":1,\"closed_until_ns\":1,\"assigned\":[[0,1,2]]}",
        "{\"rollout\":1,\"epoch\":1,\"closed_until_ns\":1,\"stable_hist\":{\"9999\":1}}",
        "{\"rollout\":1,\"epoch\":1,\"closed_until_ns\":1,\"overridden\":-1}",
        "{\"rollout\":1,\"epoch\":1,\"closed_until_ns\":1,\"ticks\":[{\"opened_ns\":1,\"weight\":1,\"arm\":0,"
        "\"requests\":[1,1],\"events\":[[0,0]],\"firsts\":[[1,0,1],[2,2,1]]}]}",
    };
    start_rollout(CANARY);
    state_is("running");
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct pollfd p = {.fd = g.conn.fd, .events = POLLRDHUP};
        harness_gateway_counts(&g, BAD[i]);
        ck_assert_msg(poll(&p, 1, WAIT_MS) == 1, "%s was taken", BAD[i]);
        gateway_comes();
    }
    harness_gateway_counts(&g, "{\"rollout\":77}"); // of one that is over
    ask("GET", "/api/v1/rollouts/1", NULL, 200, "\"state\":\"running\"");
    stop();
}
END_TEST

// ---- dying ----

// Weights that may be routed at any time.
static void weights_are_declared(void)
{
    const char *at = strstr(g.routes, "\"weight\":");
    unsigned long weight = at ? strtoul(at + 9, NULL, 10) : 0;
    ck_assert_msg(weight == 0 || weight == 1000 || weight == 5000 || weight == 9500 || weight == 10000,
                  "weight %lu is routed", weight);
}

static void die_and_come_back(void)
{
    harness_kill(pid);
    pid = harness_start(dir, 1);
    gateway_comes();
    weights_are_declared();
}

static void expect_sound_record(void)
{
    ask("GET", "/api/v1/rollouts/1/events?verify=true", NULL, 200, "\"sound\":true");
    ask("GET", "/api/v1/audit/verify", NULL, 200, "\"sound\":true");
}

START_TEST(a_controller_that_dies_goes_on_where_it_was)
{
    start_rollout(CANARY);
    die_and_come_back();
    state_is("running");
    count(1000, 30, 270, 0, 0);
    ask("POST", "/api/v1/rollouts/1:pause", NULL, 200, "\"state\":\"paused\""); // keeps the counts
    die_and_come_back();
    ask("GET", "/api/v1/rollouts/1", NULL, 200, "\"state\":\"paused\"");
    ck_assert_ptr_nonnull(strstr(a.body, "\"requests\":{\"canary\":30,\"stable\":270}"));
    ck_assert_ptr_nonnull(strstr(g.routes, "\"weight\":1000"));
    ask("POST", "/api/v1/rollouts/1:resume", NULL, 200, "");
    die_and_come_back();
    count(1000, 40, 360, 0, 0);
    wait_for("/api/v1/rollouts/1", "\"weight\":50,");
    die_and_come_back();
    ask("POST", "/api/v1/rollouts/1:promote", NULL, 200, "");
    die_and_come_back();
    state_is("promoted");
    routes_have("\"default\":2", true);
    ask("POST", "/api/v1/rollouts/1:rollback", NULL, 200, "");
    die_and_come_back();
    state_is("rolled_back");
    routes_have("\"default\":1", true);
    expect_sound_record();
    stop();
}
END_TEST

// One second of 30 and 270 requests at 10 %, of which sticky keys had events.
static void count_firsts(const char *firsts)
{
    char json[1024];
    second_ns += UINT64_C(1000000000);
    snprintf(json, sizeof json,
             "{\"rollout\":1,\"epoch\":1,\"closed_until_ns\":%llu,\"ticks\":[{\"opened_ns\":%llu,\"weight\":"
             "100000,\"arm\":0,\"requests\":[30,270],\"events\":[[0,0],[0,0]],\"firsts\":[%s]}],\"assigned\":"
             "[[0,100000,30,270]],\"drawn\":[]}",
             (unsigned long long)second_ns, (unsigned long long)second_ns - 1, firsts);
    harness_gateway_counts(&g, json);
}

// Of deployments 2 (the candidate) and 1: a bucket, and whether the prediction was wrong.
static void label(unsigned arm, unsigned bucket, unsigned wrong)
{
    char json[256];
    snprintf(json, sizeof json, "{\"labels\":[[%u,%u,%u,%u,%llu,%u]]}", arm ? 2 : 1, arm, arm ? 1000 : 9000,
             bucket, (unsigned long long)clock_wall_ns(), wrong);
    harness_monitor_labels(json);
}

START_TEST(a_sticky_key_counts_once_whoever_tells_of_it_and_whoever_dies)
{
    start_rollout(
        "{\"model\":\"churn\",\"candidate\":\"2\",\"key\":\"header:x-user\",\"steps\":[{\"weight\":10,"
        "\"min_seconds\":600}],\"guardrails\":[{\"metric\":\"errors\"},{\"metric\":"
        "\"wrong_prediction\"}]}");
    state_is("running");
    count_firsts("[7,0,1],[8,0,1],[7,0,1]"); // 7 by two gateways
    wait_for("/api/v1/rollouts/1", "\"events\":{\"canary\":2,\"stable\":0}");
    count_firsts("[7,1,1],[9,1,1]"); // 7 at another weight
    wait_for("/api/v1/rollouts/1", "\"events\":{\"canary\":2,\"stable\":1}");
    harness_monitor_connect();
    label(1, 5, 1);
    wait_for("/api/v1/rollouts/1", "\"requests\":{\"canary\":1,\"stable\":0},\"events\":{\"canary\":1,");
    ask("POST", "/api/v1/rollouts/1:pause", NULL, 200, "\"state\":\"paused\""); // keeps the counts
    die_and_come_back();
    count_firsts("[8,0,1],[10,0,1]");
    wait_for("/api/v1/rollouts/1", "\"events\":{\"canary\":3,\"stable\":1}");
    harness_monitor_connect();
    label(1, 5, 1);
    label(0, 6, 0);
    wait_for("/api/v1/rollouts/1", "\"requests\":{\"canary\":1,\"stable\":1},\"events\":{\"canary\":1,");
    label(1, 8, 0);
    wait_for("/api/v1/rollouts/1", "\"requests\":{\"canary\":2,\"stable\":1},\"events\":{\"canary\":1,");
    expect_sound_record();
    stop();
}
END_TEST

static int number_of(const char *text)
{
    uint64_t n;
    ck_assert(str_to_u64(str_of(text), 100000, &n));
    return (int)n;
}

START_TEST(killed_at_any_moment_it_resumes_or_rolls_back)
{
    const char *asked = getenv("ROLLOUT_TEST_KILLS"); // dev/slow rollout_kills
    int kills = asked ? number_of(asked) : 12;
    start_rollout(CANARY);
    srandom(6);
    for (int i = 0; i < kills; i++) {
        static const char *const ACTS[] = {"pause", "resume", "advance", "freeze", "resume", "advance"};
        char target[64];
        snprintf(target, sizeof target, "/api/v1/rollouts/1:%s", ACTS[random() % 6]);
        int fd = harness_send("POST", target, NULL, 0);
        poll(NULL, 0, (int)(random() % 20)); // anywhere in what that begins
        harness_kill(pid);
        harness_gateway_counts(&g, "{}"); // into the void
        struct pollfd p = {.fd = fd, .events = POLLIN};
        (void)poll(&p, 1, 0);
        pid = harness_start(dir, 1);
        gateway_comes();
        weights_are_declared();
    }
    expect_sound_record();
    ask("POST", "/api/v1/rollouts/1:rollback", NULL, 200, "");
    state_is("rolled_back");
    routes_have("split", false);
    routes_have("\"default\":1", true);
    expect_sound_record();
    stop();
}
END_TEST

START_TEST(a_forecast_says_what_a_rollout_takes)
{
    start();
    ask("POST", "/api/v1/rollouts:plan",
        "{\"rollout\":{\"model\":\"churn\",\"candidate\":\"2\",\"steps\":[{\"weight\":50}],"
        "\"guardrails\":[{\"metric\":\"errors\"}]},\"requests_per_second\":100,\"error_rate\":0.1,\"harm\":3,"
        "\"runs\":20}",
        200, "\"guardrails\":[{\"metric\":\"errors\",\"base_rate\":0.1,\"detect\":{\"share\":1.0");
    ck_assert_ptr_nonnull(strstr(a.body, "\"never_detects\":false"));
    ask("POST", "/api/v1/rollouts:plan", "{\"rollout\":{\"model\":\"churn\",\"candidate\":\"2\"}}", 400,
        "$.requests_per_second");
    ask("POST", "/api/v1/rollouts:plan", "{\"rollout\":{\"model\":\"churn\",\"candidate\":\"2\"},\"harm\":1}",
        400, "$.harm");
    ask("POST", "/api/v1/rollouts:plan", "{\"rolout\":{}}", 400, "rolout");
    stop();
}
END_TEST

// All that there is, however much: others are answered meanwhile.
START_TEST(who_checks_the_records_holds_nobody_up)
{
    enum { LOOKS = 8 }; // that may be made at once
    int looks[LOOKS];
    char path[TEMPDIR_SIZE + 32];
    start_rollout(CANARY);
    snprintf(path, sizeof path, "%s/data/" HARNESS_LOOKS_WAIT, dir);
    FILE *f = fopen(path, "w");
    ck_assert(f && fclose(f) == 0);
    for (int i = 0; i < LOOKS; i++) {
        const char *target = i % 2 ? "/api/v1/audit/verify" : "/api/v1/rollouts/1/events?verify=true";
        looks[i] = harness_send("GET", target, NULL, 0);
    }
    state_is("running");
    ask("GET", "/api/v1/audit/verify", NULL, 429, "8 others look at the registry");
    for (int i = 0; i < LOOKS; i++)
        ck_assert(!harness_is_answered(looks[i]));
    ck_assert_int_eq(unlink(path), 0);
    for (int i = 0; i < LOOKS; i++) {
        receive(looks[i]);
        ck_assert_msg(a.status == 200 && strstr(a.body, "\"sound\":true"), "%s", a.body);
        ck_assert_ptr_nonnull(strstr(a.body, i % 2 ? "\"findings\":[]" : "\"events\":[{\"move\":1"));
    }
    ask("GET", "/api/v1/audit/verify?id=1&hash=00", NULL, 400, "64 lower-case hexadecimal digits");
    ask("GET", "/api/v1/rollouts/7/events?verify=true", NULL, 404, "no rollout 7");
    stop();
}
END_TEST

// ---- signatures ----

// To version 3, which has more columns than the others; ends with the fields that follow.
#define TO_ALL_BUT_TWENTY                                                                                    \
    "{\"model\":\"churn\",\"candidate\":\"3\",\"steps\":[{\"weight\":50," STEP                               \
    "}],\"bake\":{\"holdback\":20,\"seconds\":0}," GUARD

static void start_with_a_breaking_version(void)
{
    start();
    push("fake ok 6", ",\"promote\":false");
}

START_TEST(what_breaks_clients_is_named_at_the_start_and_needs_permission)
{
    start_with_a_breaking_version();
    ask("POST", "/api/v1/rollouts", TO_ALL_BUT_TWENTY "}", 409,
        "would break clients of version 1 of 'churn'");
    ck_assert_ptr_nonnull(strstr(a.body, "\"changes\":{\"compared_with\":1,\"breaking\":[\""));
    ck_assert_ptr_nonnull(strstr(a.body, "--allow-breaking"));
    ask("POST", "/api/v1/rollouts",
        "{\"model\":\"churn\",\"strategy\":\"ab\",\"arms\":[{\"version\":\"2\",\"weight\":20},"
        "{\"version\":\"3\",\"weight\":30}]," GUARD "}",
        409, "would break clients of version 1");
    ask("POST", "/api/v1/rollouts", TO_ALL_BUT_TWENTY ",\"allow_breaking\":1}", 400, "$.allow_breaking");
    ask("GET", "/api/v1/rollouts", NULL, 200, "\"rollouts\":[]");
    ask("POST", "/api/v1/rollouts", TO_ALL_BUT_TWENTY ",\"allow_breaking\":true}", 201, "\"warming\"");
    ask("POST", "/api/v1/rollouts", TO_ALL_BUT_TWENTY ",\"allow_breaking\":true}", 409, "rollout 1 of");
    ck_assert_ptr_null(strstr(a.body, "\"changes\"")); // which are not why
    state_is("running");
    die_and_come_back();
    count(5000, 40, 40, 0, 0);
    state_is("promoted");
    routes_have("\"default\":3", true);
    expect_sound_record();
    stop();
}
END_TEST

// As builds have left it that did not ask: the request says nothing of signatures.
static void forget_the_permission(void)
{
    char path[TEMPDIR_SIZE + 32];
    struct err e;
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/data/registry.db", dir);
    ck_assert_int_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    ck_assert_int_eq(store_sums_init(db, &e), 0);
    static const char sql[] =
        "UPDATE rollouts SET request = replace(request, ',\"allow_breaking\":true', '');"
        "UPDATE rollouts SET sum = row_sum(" STORE_FIELDS_OF_ROLLOUT ")";
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

START_TEST(one_that_was_begun_without_being_asked_is_frozen_before_it_breaks_clients)
{
    start_with_a_breaking_version();
    ask("POST", "/api/v1/rollouts", TO_ALL_BUT_TWENTY ",\"allow_breaking\":true}", 201, "\"warming\"");
    state_is("running");
    harness_kill(pid);
    forget_the_permission();
    pid = harness_start(dir, 1);
    gateway_comes();
    ask("GET", "/api/v1/rollouts/1", NULL, 200, "\"state\":\"running\"");
    ck_assert_ptr_null(strstr(a.body, "allow_breaking"));
    ask("POST", "/api/v1/rollouts/1:promote", NULL, 409, "would break clients of version 1 of 'churn'");
    ck_assert_ptr_nonnull(strstr(a.body, "slipway alias churn champion 3 --allow-breaking"));
    count(5000, 40, 40, 0, 0);
    state_is("frozen");
    ck_assert_ptr_nonnull(strstr(a.body, "\"waits_in\":\"baking\""));
    ck_assert_ptr_nonnull(strstr(a.body, "\"note\":\""));
    ck_assert_ptr_nonnull(strstr(a.body, "would break clients of version 1"));
    routes_have("\"weight\":8000", true);
    routes_have("\"default\":1", true);
    expect_sound_record();
    ask("PUT", "/api/v1/models/churn/aliases/champion", "{\"version\":3,\"allow_breaking\":true}", 200, "");
    wait_for("/api/v1/rollouts/1", "\"state\":\"superseded\"");
    routes_have("\"default\":3", true);
    stop();
}
END_TEST

int unit_main(void);
#define main unit_main
UNIT_MAIN("role/controller/rollouts", a_candidate_that_is_as_good_is_promoted,
          a_candidate_that_errs_is_rolled_back, a_router_that_misses_its_weights_freezes_the_rollout,
          people_move_it_and_are_told_what_is_possible, what_cannot_be_rolled_out_is_refused,
          another_rollout_of_the_same_version_is_counted, a_change_by_hand_ends_it,
          arms_share_the_traffic_as_asked_for, a_mirrored_phase_comes_first_and_its_pairs_count_apart,
          mirrored_requests_are_told_apart_by_segment,
          a_sticky_key_counts_once_whoever_tells_of_it_and_whoever_dies,
          limits_of_latency_are_made_of_what_was_seen, the_lines_of_metrics_say_how_it_stands,
          counts_that_are_not_as_agreed_close_the_connection, a_controller_that_dies_goes_on_where_it_was,
          killed_at_any_moment_it_resumes_or_rolls_back, a_forecast_says_what_a_rollout_takes,
          who_checks_the_records_holds_nobody_up,
          what_breaks_clients_is_named_at_the_start_and_needs_permission,
          one_that_was_begun_without_being_asked_is_frozen_before_it_breaks_clients)
#undef main

int main(int argc, char **argv)
{
    harness_helper_entry(argc, argv);
    return unit_main();
}
