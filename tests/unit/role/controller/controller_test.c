// SPDX-License-Identifier: Apache-2.0
// The controller over its Unix socket: pushes, what they wait for, what is refused, what survives.
#include "base/clock.h"
#include "harness.h"
#include "tempdir.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint64_t AWAY_NS = 2000000000; // of a gateway, after which nobody waits for it

static char dir[TEMPDIR_SIZE];
static pid_t pid;
static struct answer a;
static struct harness_gateway g0, g1;

static void start(unsigned n_gateways)
{
    tempdir_new(dir);
    pid = harness_start(dir, n_gateways);
}

// With one gateway that is current.
static void start_served(void)
{
    start(1);
    harness_gateway_connect(&g0, 0);
    harness_gateway_routes(&g0);
    harness_gateway_ack(&g0);
}

static void stop(void)
{
    ck_assert_int_eq(harness_stop(pid), 0);
    tempdir_remove(dir);
}

static void expect(const char *method, const char *target, const char *body, int status, const char *in_body)
{
    harness_request(method, target, body, &a);
    ck_assert_msg(a.status == status && strstr(a.body, in_body), "%s %s: %d %s", method, target, a.status,
                  a.body);
}

// A push that the only gateway takes over.
static void push(const char *model, const char *text, const char *more_json)
{
    int fd = harness_push(model, text, more_json);
    harness_gateway_routes(&g0);
    harness_gateway_ack(&g0);
    harness_receive(fd, &a);
    ck_assert_msg(a.status == 201, "%s", a.body);
}

START_TEST(a_push_is_answered_only_after_every_gateway_runs_it)
{
    start(2);
    harness_gateway_connect(&g0, 0);
    harness_gateway_connect(&g1, 1);
    harness_gateway_until(&g0, "\"ready\":true");
    harness_gateway_until(&g1, "\"ready\":true");
    int fd = harness_push("churn", "fake ok 4", ",\"tags\":{\"team\":\"risk\"}");
    harness_gateway_routes(&g0);
    harness_gateway_routes(&g1);
    ck_assert_ptr_nonnull(strstr(g0.routes, "\"name\":\"churn\",\"default\":1,"));
    static const char DEPLOY[] = "{\"deployment\":1,\"model\":\"churn\",\"version\":1,\"slot\":0,\"engine\":"
                                 "\"trees\",\"log\":{\"schema\":{\"key\":\"";
    ck_assert_msg(strncmp(g0.last_deploy, DEPLOY, sizeof DEPLOY - 1) == 0, "%s", g0.last_deploy);
    ck_assert_ptr_nonnull(
        strstr(g0.last_deploy, "\"table\":true,\"inputs\":[{\"name\":\"column0\",\"datatype\":\"FP32\"}"));
    ck_assert_ptr_null(strstr(g0.last_deploy, "\"overflow\"")); // as the server's settings say
    ck_assert_uint_eq(g0.image_features, 4);
    expect("GET", "/api/v1/status", NULL, 200,
           "\"ready\":true"); // the loop has turned since the tables went out
    ck_assert(!harness_is_answered(fd));
    harness_gateway_ack(&g0);
    expect("GET", "/api/v1/status", NULL, 200, "\"connected\":true");
    ck_assert(!harness_is_answered(fd));
    harness_gateway_ack(&g1);
    harness_receive(fd, &a);
    ck_assert_int_eq(a.status, 201);
    static const char *const PARTS[] = {
        "\"model\":\"churn\",\"version\":1,\"state\":\"ready\"",
        "\"format\":\"fake_text\"",
        "\"tags\":{\"team\":\"risk\"}",
        "\"aliases\":[\"champion\"]",
        "\"engine\":{\"features\":4}",
        "\"signature\":{\"inputs\":[{\"name\":\"column0\",\"datatype\":\"FP32\"",
        "\"url\":\"/v1/models/churn:predict\""};
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++)
        ck_assert_msg(strstr(a.body, PARTS[i]), "%s not in %s", PARTS[i], a.body);
    stop();
}
END_TEST

START_TEST(gateways_are_told_how_a_version_is_logged_also_after_a_crash)
{
    static const char LOG[] = "\"log\":\"off\",\"overflow\":\"block\",\"durability\":\"commit\","
                              "\"one_in\":10}}";
    start_served();
    push("churn", "fake ok 1",
         ",\"log\":\"off\",\"log_one_in\":10,\"log_overflow\":\"block\","
         "\"log_durability\":\"commit\"");
    ck_assert_msg(strstr(g0.last_deploy, LOG), "%s", g0.last_deploy);
    expect("GET", "/api/v1/models/churn/versions/1", NULL, 200,
           "\"settings\":{\"log\":\"off\",\"log_one_in\":10,\"log_overflow\":\"block\","
           "\"log_durability\":\"commit\"}");
    harness_kill(pid);
    msg_conn_done(&g0.conn);
    pid = harness_start(dir, 1);
    harness_gateway_connect(&g0, 0);
    harness_gateway_until(&g0, "\"deployment\":1}");
    ck_assert_msg(strstr(g0.last_deploy, LOG), "%s", g0.last_deploy);
    stop();
}
END_TEST

START_TEST(a_gateway_that_does_not_confirm_is_named)
{
    start_served();
    int fd = harness_push("churn", "fake ok 4", "");
    harness_gateway_routes(&g0);
    harness_receive(fd, &a); // five seconds
    ck_assert_int_eq(a.status, 503);
    ck_assert_msg(strstr(a.body, "gateway 0 did not confirm"), "%s", a.body);
    ck_assert_ptr_nonnull(strstr(a.body, "\"request_id\":\"req-7\""));
    expect("GET", "/api/v1/models/churn", NULL, 200, "\"version\":1"); // it is stored, as the answer says
    stop();
}
END_TEST

START_TEST(a_gateway_that_comes_back_gets_the_newest_table_first)
{
    start(2);
    harness_gateway_connect(&g0, 0);
    harness_gateway_connect(&g1, 1);
    harness_gateway_until(&g0, "\"ready\":true");
    harness_gateway_until(&g1, "\"ready\":true");
    int fd = harness_push("churn", "fake ok 4", "");
    harness_gateway_routes(&g0);
    harness_gateway_ack(&g0);
    uint64_t died_ns = clock_mono_ns();
    msg_conn_done(&g1.conn); // dies
    expect("GET", "/api/v1/status", NULL, 200, "");
    // One that is away for two seconds counts as gone, which a busy machine may take to come here.
    ck_assert(!harness_is_answered(fd) || clock_mono_ns() - died_ns >= AWAY_NS);
    harness_gateway_connect(&g1, 1);
    harness_gateway_routes(&g1);
    ck_assert_ptr_nonnull(strstr(g1.routes, "churn"));
    ck_assert_uint_eq(g1.n_deploys, 1);
    ck_assert(!harness_is_answered(fd) || clock_mono_ns() - died_ns >= AWAY_NS);
    harness_gateway_ack(&g1);
    harness_receive(fd, &a);
    ck_assert_int_eq(a.status, 201);
    stop();
}
END_TEST

START_TEST(a_gateway_that_stays_away_is_not_waited_for)
{
    start(2);
    harness_gateway_connect(&g0, 0);
    harness_gateway_until(&g0, "\"ready\":true");
    push("churn", "fake ok 4", ""); // gateway 1 counts as gone after two seconds
    stop();
}
END_TEST

struct refused {
    const char *text, *in_body;
    int status;
};

static void expect_refusals(const struct refused *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        harness_receive(harness_push("churn", cases[i].text, ""), &a);
        ck_assert_msg(a.status == cases[i].status && strstr(a.body, cases[i].in_body), "%s: %d %s",
                      cases[i].text, a.status, a.body);
    }
    expect("GET", "/api/v1/models", NULL, 200, "{\"models\":[]}");
    expect("GET", "/api/v1/status", NULL, 200, "\"slots\":{\"taken\":0,");
}

START_TEST(a_refused_model_leaves_nothing)
{
    static const struct refused CASES[] = {
        {"fake bad", "tree 3 refers to node 99 of 7\",\"code\":\"bad_model\",\"path\":\"$.trees[3]\"", 422},
        {"fake liar", "\"code\":\"bad_model\"", 422},
        {"pickle", "\"code\":\"unsupported_model\"", 422},
        {"fake crash", "the process that compiled the model ended", 500},
        {"fake leave", "ended without a word", 500}};
    start_served();
    expect_refusals(CASES, sizeof CASES / sizeof CASES[0]);
    push("churn", "fake ok 1", "");
    ck_assert_ptr_nonnull(strstr(a.body, "\"version\":1,"));
    stop();
}
END_TEST

START_TEST(a_model_that_takes_too_long_to_compile_leaves_nothing)
{
    static const struct refused CASES[] = {{"fake stop", "compile_timeout, 2 s", 504},
                                           {"fake spin", "compile_timeout, 2 s", 504}};
    harness_setting("compile_timeout", "2s");
    start_served();
    expect_refusals(CASES, sizeof CASES / sizeof CASES[0]);
    stop();
}
END_TEST

START_TEST(a_client_that_leaves_takes_its_push_with_it)
{
    start_served();
    close(harness_push("churn", "fake spin", ""));
    do
        harness_request("GET", "/api/v1/status", NULL, &a);
    while (!strstr(a.body, "\"compiling\":0"));
    expect("GET", "/api/v1/models", NULL, 200, "{\"models\":[]}");
    push("churn", "fake ok 1", "");
    stop();
}
END_TEST

START_TEST(all_versions_come_back_after_a_crash)
{
    start_served();
    push("churn", "fake ok 1", "");
    push("churn", "fake ok 2", ",\"promote\":false");
    push("other", "fake ok 3", "");
    ck_assert_ptr_nonnull(
        strstr(g0.last_deploy, "\"deployment\":3,\"model\":\"other\",\"version\":1,\"slot\":2"));
    harness_kill(pid);
    msg_conn_done(&g0.conn);
    pid = harness_start(dir, 1);
    harness_gateway_connect(&g0, 0);
    harness_gateway_until(&g0, "\"deployment\":2}"); // loaded after it is ready
    ck_assert_msg(strstr(g0.routes, "\"models\":[{\"name\":\"churn\",\"default\":1,\"versions\":["
                                    "{\"version\":1,\"deployment\":1},{\"version\":2,\"deployment\":2}],"
                                    "\"aliases\":[{\"alias\":\"champion\",\"deployment\":1}]},"
                                    "{\"name\":\"other\",\"default\":3,"),
                  "%s", g0.routes);
    ck_assert_uint_eq(g0.n_deploys, 3);
    expect("GET", "/api/v1/models/churn/versions/2", NULL, 200, "\"serving\":\"ready\"");
    push("churn", "fake ok 4", "");
    ck_assert_ptr_nonnull(
        strstr(g0.last_deploy, "\"deployment\":4,\"model\":\"churn\",\"version\":3,\"slot\":3"));
    stop();
}
END_TEST

START_TEST(a_gateway_that_serves_gets_only_complete_tables_after_a_crash)
{
    start_served();
    for (int i = 0; i < 8; i++)
        push("churn", "fake ok 1", "");
    harness_kill(pid);
    msg_conn_done(&g0.conn);
    pid = harness_start(dir, 1);
    harness_gateway_reconnect(&g0, 0, 9);
    harness_gateway_routes(&g0);
    ck_assert_msg(strstr(g0.routes, "\"ready\":true") && strstr(g0.routes, "\"default\":8"), "%s", g0.routes);
    while (g0.n_deploys < 8) // the others come after it is ready
        harness_gateway_routes(&g0);
    ck_assert_uint_eq(g0.n_deploys, 8);
    stop();
}
END_TEST

START_TEST(a_damaged_file_fails_its_version_only)
{
    char digest[72], path[TEMPDIR_SIZE + 128];
    start_served();
    push("churn", "fake ok 1", "");
    push("other", "fake ok 2", "");
    harness_upload("fake ok 1", digest, &a);
    ck_assert_int_eq(harness_stop(pid), 0);
    msg_conn_done(&g0.conn);
    snprintf(path, sizeof path, "%s/data/blobs/sha256/%.2s/%s", dir, digest + 7, digest + 7);
    ck_assert_int_eq(chmod(path, 0600), 0);
    int fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "7", 1, 8), 1);
    close(fd);
    pid = harness_start(dir, 1);
    harness_gateway_connect(&g0, 0);
    harness_gateway_until(&g0, "\"ready\":true");
    ck_assert_ptr_nonnull(strstr(g0.routes, "{\"name\":\"churn\",\"versions\":[],\"aliases\":[]}"));
    ck_assert_ptr_nonnull(strstr(g0.routes, "{\"name\":\"other\",\"default\":2"));
    expect("GET", "/api/v1/models/churn", NULL, 200,
           "\"serving\":\"failed\",\"error\":\"the stored file is damaged");
    push("churn", "fake ok 1", ""); // the same file takes the place of the damaged one
    stop();
}
END_TEST

START_TEST(deleting_follows_the_aliases)
{
    start_served();
    push("churn", "fake ok 1", "");
    push("churn", "fake ok 2", "");
    expect("DELETE", "/api/v1/models/churn/versions/2", NULL, 409, "force=true");
    expect("DELETE", "/api/v1/models/churn/versions/champion", NULL, 400, "number");
    expect("DELETE", "/api/v1/models/churn/versions/2?forse=true", NULL, 400, "'forse'");
    expect("PUT", "/api/v1/models/churn/aliases/champion", "{\"version\":1}", 409,
           "would break clients of version 2 of 'churn'");
    ck_assert_ptr_nonnull(strstr(a.body, "\"changes\":{\"compared_with\":2,\"breaking\":[\""));
    static const char meant[] = "{\"version\":1,\"allow_breaking\":true}";
    int fd = harness_send("PUT", "/api/v1/models/churn/aliases/champion", meant, sizeof meant - 1);
    harness_gateway_until(&g0, "\"default\":1");
    harness_receive(fd, &a);
    const char moved[] = "{\"model\":\"churn\",\"alias\":\"champion\",\"version\":1,\"previous\":2,"
                         "\"changes\":{\"compared_with\":2,";
    ck_assert_mem_eq(a.body, moved, sizeof moved - 1);
    ck_assert_ptr_nonnull(strstr(a.body, "},\"audit\":{\"id\":3,"));
    fd = harness_send("DELETE", "/api/v1/models/churn/versions/1?force=true", NULL, 0);
    harness_gateway_until(&g0, "\"default\":2,"); // without a champion the highest version answers
    harness_receive(fd, &a);
    ck_assert_int_eq(a.status, 200);
    ck_assert_ptr_null(strstr(g0.routes, "\"version\":1"));
    fd = harness_send("DELETE", "/api/v1/models/churn/versions/2", NULL, 0);
    harness_gateway_until(&g0, "\"models\":[]");
    harness_receive(fd, &a);
    ck_assert_int_eq(a.status, 200);
    expect("GET", "/api/v1/models/churn", NULL, 404, "unknown_model");
    push("churn", "fake ok 1", "");
    ck_assert_ptr_nonnull(strstr(a.body, "\"version\":3,"));
    fd = harness_send("DELETE", "/api/v1/models/churn", NULL, 0);
    harness_gateway_until(&g0, "\"models\":[]");
    harness_receive(fd, &a);
    ck_assert_ptr_nonnull(strstr(a.body, "{\"model\":\"churn\",\"deleted\":true,\"audit\":{\"id\":"));
    stop();
}
END_TEST

START_TEST(blobs_are_checked_and_stored_once)
{
    char digest[72], target[128];
    start_served();
    static char big[300001];
    memset(big, 'x', sizeof big - 1);
    harness_upload(big, digest, &a);
    ck_assert_msg(a.status == 201 && strstr(a.body, "\"size\":300000,\"stored\":true"), "%s", a.body);
    harness_upload(big, digest, &a);
    ck_assert_msg(a.status == 200 && strstr(a.body, "\"size\":300000,\"stored\":false"), "%s", a.body);
    snprintf(target, sizeof target, "/api/v1/blobs/%s", digest);
    harness_request("GET", target, NULL, &a);
    ck_assert(a.status == 200 && a.n == 300000 && memcmp(a.body, big, a.n) == 0);
    harness_request("HEAD", target, NULL, &a);
    ck_assert(a.status == 200 && a.n == 0);
    char *last = target + strlen(target) - 1;
    *last = *last == '0' ? '1' : '0';
    expect("HEAD", target, NULL, 404, "");
    ck_assert_uint_eq(a.n, 0);
    expect("PUT", target, "other bytes", 400, "digest_mismatch");
    expect("GET", target, NULL, 404, "not_found");
    expect("PUT", "/api/v1/blobs/sha256:1", "abc", 400, "hexadecimal");
    stop();
}
END_TEST

START_TEST(requests_that_mean_nothing_are_refused)
{
    start_served();
    push("churn", "fake ok 1", "");
    expect("GET", "/api/v1/nothing", NULL, 404, "no_such_route");
    expect("POST", "/api/v1/models", "{}", 405, "Allowed: GET");
    expect("GET", "/api/v1/models/chrun", NULL, 404, "Did you mean 'churn'?");
    expect("GET", "/api/v1/models/chrun/versions/1", NULL, 404, "Did you mean 'churn'?");
    expect("GET", "/api/v1/models/churn/versions/9", NULL, 404, "unknown_version");
    ck_assert_ptr_nonnull(strstr(a.body, "The nearest versions: 1."));
    expect("DELETE", "/api/v1/models/churn/versions/9", NULL, 404, "The nearest versions: 1.");
    expect("GET", "/api/v1/models/churn/versions/champion", NULL, 200, "\"version\":1");
    expect("PUT", "/api/v1/models/churn/aliases/7", "{\"version\":1}", 400, "is not a number");
    expect("PUT", "/api/v1/models/churn/aliases/blue", "{\"version\":9}", 404, "The nearest versions: 1.");
    expect("PUT", "/api/v1/models/churn/aliases/blue", "{\"verison\":1}", 400, "Did you mean 'version'?");
    expect("POST", "/api/v1/models/a%20b/versions",
           "{\"artifacts\":[{\"name\":\"m\",\"size\":1,\"digest\":"
           "\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}]}",
           400, "'a b' cannot name a model");
    expect("POST", "/api/v1/models/churn/versions",
           "{\"artifacts\":[{\"name\":\"m\",\"size\":1,\"digest\":"
           "\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}]}",
           404, "Upload the file first");
    static char big[(1 << 20) + 2];
    memset(big, ' ', sizeof big - 1);
    expect("POST", "/api/v1/models/churn/versions", big, 413, "too_large");
    stop();
}
END_TEST

START_TEST(a_connection_that_is_not_as_agreed_is_closed)
{
    start_served();
    struct harness_gateway bad;
    harness_gateway_connect(&bad, 5); // there is one gateway
    char byte;
    ck_assert_int_eq(fcntl(bad.conn.fd, F_SETFL, 0), 0);
    ck_assert_int_le(read(bad.conn.fd, &byte, 1), 0);
    msg_conn_done(&bad.conn);
    push("churn", "fake ok 1", "");
    stop();
}
END_TEST

// Processor time that the controller used so far, in clock ticks.
static long cpu_ticks(void)
{
    char path[64], line[1024] = "";
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY);
    ck_assert_int_gt(read(fd, line, sizeof line - 1), 0);
    close(fd);
    const char *rest = strrchr(line, ')');
    ck_assert_int_eq(sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system),
                     2);
    return (long)(user + system);
}

START_TEST(it_rests_while_it_has_no_descriptor_for_another_connection)
{
    enum { MOST = 32, CLIENTS = 2 * MOST, RESTED_MS = 500 };
    int fds[CLIENTS];
    harness_limit_fds(MOST);
    start(1);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = harness_connect();
    long before = cpu_ticks();
    poll(NULL, 0, RESTED_MS);
    long used_ms = (cpu_ticks() - before) * 1000 / sysconf(_SC_CLK_TCK);
    ck_assert_msg(used_ms < RESTED_MS / 5, "%ld ms of processor time", used_ms);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    expect("GET", "/api/v1/models", NULL, 200, "{\"models\":[]}");
    stop();
}
END_TEST

START_TEST(it_ends_after_the_requests_that_run)
{
    start_served();
    int fd = harness_push("churn", "fake ok 1", "");
    harness_gateway_routes(&g0);
    kill(pid, SIGTERM);
    harness_gateway_ack(&g0);
    harness_receive(fd, &a);
    ck_assert_int_eq(a.status, 201);
    stop();
}
END_TEST

int unit_main(void);
#define main unit_main
UNIT_MAIN("role/controller", a_push_is_answered_only_after_every_gateway_runs_it,
          gateways_are_told_how_a_version_is_logged_also_after_a_crash,
          a_gateway_that_does_not_confirm_is_named, a_gateway_that_comes_back_gets_the_newest_table_first,
          a_gateway_that_stays_away_is_not_waited_for, a_refused_model_leaves_nothing,
          a_model_that_takes_too_long_to_compile_leaves_nothing, a_client_that_leaves_takes_its_push_with_it,
          all_versions_come_back_after_a_crash, a_gateway_that_serves_gets_only_complete_tables_after_a_crash,
          a_damaged_file_fails_its_version_only, deleting_follows_the_aliases,
          blobs_are_checked_and_stored_once, requests_that_mean_nothing_are_refused,
          a_connection_that_is_not_as_agreed_is_closed,
          it_rests_while_it_has_no_descriptor_for_another_connection, it_ends_after_the_requests_that_run)
#undef main

int main(int argc, char **argv)
{
    harness_helper_entry(argc, argv);
    return unit_main();
}
