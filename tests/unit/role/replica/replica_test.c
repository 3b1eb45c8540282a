// SPDX-License-Identifier: Apache-2.0
// The life of a replica process: crashes, hangs, ends, forks.
#include "role/replica/harness.h"

#include "../../../fakes/fake_runtime.h"
#include "role/role.h"
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
enum { SANITIZED = __has_feature(address_sanitizer) };
#else
enum { SANITIZED = 0 };
#endif

START_TEST(a_crash_is_told_by_what_was_begun)
{
    struct process p;
    struct gate g;
    struct reply r;
    uint64_t begun[LINK_BATCH_REQUESTS_MAX];
    start_default(&p, &g);
    float good[3] = {1, 2, 3}, bad[3] = {FAKE_ABORT};
    gate_put_slow(&g, &p);
    uint64_t first = gate_put(&g, &(struct ask){.x = good, .n_rows = 1});
    uint64_t second = gate_put(&g, &(struct ask){.x = bad, .n_rows = 1});
    gate_put(&g, &(struct ask){.x = good, .n_rows = 1, .alone = true});
    gate_put(&g, &(struct ask){.x = good, .n_rows = 1, .outputs = OUT_WIDE});
    gate_rouse(&g);
    process_go_on(&p);
    ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
    ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 0);
    ck_assert_int_eq(process_end(&p), -SIGABRT);
    ck_assert_uint_eq(link_started_get(&g.end.in, begun), 2);
    ck_assert(begun[0] == first && begun[1] == second);
    stop(&p, &g);
}
END_TEST

START_TEST(a_batch_computed_again_blames_one_at_a_time)
{
    struct process p;
    struct gate g, other;
    struct reply r;
    uint64_t begun[LINK_BATCH_REQUESTS_MAX];
    start_default(&p, &g);
    gate_connect(&other, &p, RING, MAX_ROWS);
    // The first makes the batch fail, so that it is computed one by one; the last of them hangs.
    float wrong[3] = {FAKE_MORE_ROWS}, good[3] = {1, 2, 3}, slow[3] = {FAKE_SLEEP, 700};
    gate_put_slow(&g, &p);
    gate_put(&g, &(struct ask){.x = wrong, .n_rows = 1});
    uint64_t last = gate_put(&g, &(struct ask){.x = slow, .n_rows = 1});
    gate_put(&other, &(struct ask){.x = good, .n_rows = 1});
    gate_rouse(&g);
    gate_rouse(&other);
    process_go_on(&p);
    ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
    ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
    ck_assert_int_eq(gate_next(&other, &r, OUT_Y, PATIENCE_MS), 1);
    gate_wait_begun(&g, last, 1);
    kill(p.proc.pid, SIGKILL);
    ck_assert_int_eq(process_end(&p), -SIGKILL);
    ck_assert_uint_eq(link_started_get(&g.end.in, begun), 1);
    ck_assert_uint_eq(begun[0], last);
    ck_assert_uint_eq(link_started_get(&other.end.in, begun), 0);
    gate_close(&other);
    stop(&p, &g);
}
END_TEST

START_TEST(a_hang_shows_as_silence)
{
    struct process p;
    struct gate g;
    struct err e;
    start_default(&p, &g);
    process_send(&p, SUPERVISION_PING, NULL, -1);
    process_expect(&p, SUPERVISION_PONG);
    float x[3] = {FAKE_LOOP};
    uint64_t id = gate_put(&g, &(struct ask){.x = x, .n_rows = 1});
    gate_rouse(&g);
    gate_wait_begun(&g, id, 1);
    process_send(&p, SUPERVISION_PING, NULL, -1);
    usleep(200000);
    struct supervision_message m;
    ck_assert_int_eq(msg_conn_fill(&p.supervisor, &e), 0);
    ck_assert_int_eq(supervision_take(&p.supervisor, SUPERVISION_FROM_REPLICA, &m, &e), 0);
    stop(&p, &g);
}
END_TEST

START_TEST(pings_are_answered_under_load)
{
    enum { N = 50 };
    struct process p;
    struct gate g;
    struct reply r;
    start_default(&p, &g);
    float x[3] = {FAKE_SLEEP, 40};
    process_stop(&p);
    for (int i = 0; i < N; i++)
        ck_assert_uint_ne(gate_put(&g, &(struct ask){.x = x, .n_rows = 1, .alone = true}), 0);
    gate_rouse(&g);
    process_send(&p, SUPERVISION_PING, NULL, -1);
    process_go_on(&p);
    process_expect(&p, SUPERVISION_PONG);
    int before = 0;
    while (gate_next(&g, &r, OUT_Y, 0) == 1)
        before++;
    ck_assert_int_lt(before, N); // not after all of them
    for (int i = before; i < N; i++)
        ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
    stop(&p, &g);
}
END_TEST

START_TEST(a_gateway_that_dies_harms_no_other)
{
    struct process p;
    struct gate g, other;
    struct reply r;
    start_default(&p, &g);
    float slow[3] = {FAKE_SLEEP, 100}, good[3] = {1, 2, 3};
    for (int i = 0; i < 20; i++) {
        gate_connect(&other, &p, RING, MAX_ROWS);
        for (int k = 0; k < 20; k++)
            gate_put(&other, &(struct ask){.x = k ? good : slow, .n_rows = 1});
        gate_rouse(&other);
        gate_close(&other);
        gate_ask(&g, &(struct ask){.x = good, .n_rows = 1}, &r);
        check_y(&r, 0, 6);
    }
    stop(&p, &g);
}
END_TEST

START_TEST(sigterm_answers_what_was_taken)
{
    struct process p;
    struct gate g;
    struct reply r;
    start_default(&p, &g);
    gate_put_slow(&g, &p);
    float x[3] = {1, 2, 3};
    for (int i = 0; i < 20; i++)
        gate_put(&g, &(struct ask){.x = x, .n_rows = 1});
    gate_rouse(&g);
    kill(p.proc.pid, SIGTERM); // heard when it goes on
    process_go_on(&p);
    for (int i = 0; i < 21; i++)
        ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
    ck_assert_int_eq(process_end(&p), 0);
    ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 0);
    stop(&p, &g);
}
END_TEST

START_TEST(sigterm_waits_for_a_gateway_that_reads_late)
{
    struct process p;
    struct gate g;
    struct reply r;
    start_default(&p, &g);
    gate_reopen(&g, RING_BYTES_MIN);
    const char *word[1] = {"word"};
    float x[3] = {1, 2, 3};
    int sent = 0, n = 0;
    while (gate_put(&g, &(struct ask){.x = x, .n_rows = 1, .words = word, .outputs = OUT_ALL}))
        sent++;
    gate_rouse(&g);
    usleep(20000);
    kill(p.proc.pid, SIGTERM);
    usleep(50000);
    while (gate_next(&g, &r, OUT_ALL, PATIENCE_MS) == 1)
        n++;
    ck_assert_int_eq(n, sent);
    ck_assert_int_eq(process_end(&p), 0);
    stop(&p, &g);
}
END_TEST

START_TEST(without_a_supervisor_it_serves_its_gateways_and_ends_with_the_last)
{
    struct process p;
    struct gate g;
    start_default(&p, &g);
    struct reply r;
    float x[3] = {1, 2, 3};
    msg_conn_done(&p.supervisor);
    for (int i = 0; i < 3; i++) {
        usleep(20000);
        gate_ask(&g, &(struct ask){.x = x, .n_rows = 1}, &r);
        check_y(&r, 0, 6);
    }
    gate_close(&g);
    ck_assert_int_eq(process_end(&p), 1);
    process_close(&p);
}
END_TEST

static long pss_kb(int pid)
{
    char path[64], line[256];
    long kb = -1;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Pss: %ld kB", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb;
}

static void check_title(int pid, const char *want)
{
    char path[64], title[128] = "";
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(title, 1, sizeof title - 1, f);
    fclose(f);
    title[n] = 0;
    ck_assert_str_eq(title, want);
}

static void fork_one(struct process *loader, struct process *ret, uint32_t number)
{
    struct err e;
    int pair[2];
    ck_assert_int_eq(supervision_pair(pair, &e), 0);
    process_send(loader, SUPERVISION_FORK, &(struct supervision_fork){.replica = number}, pair[1]);
    close(pair[1]);
    struct supervision_message m = process_expect(loader, SUPERVISION_FORKED);
    ck_assert_uint_eq(m.forked.replica, number);
    ck_assert_int_gt(m.forked.pid, 0);
    *ret = (struct process){.proc = {m.forked.pid, -1}};
    supervision_init(&ret->supervisor, pair[0]);
    process_expect(ret, SUPERVISION_LOADED);
}

START_TEST(a_loader_forks_replicas_that_share_the_model)
{
    enum { N = 8, WEIGHTS = 100 << 20 };
    struct process loader, forks[N];
    struct gate g[N];
    struct reply r;
    process_start(&loader, &(struct process_options){
                               .is_loader = true, .max_batch_rows = MAX_ROWS, .weights = WEIGHTS});
    process_expect(&loader, SUPERVISION_LOADED);
    check_title(loader.proc.pid, "slipway: loader churn/3");
    process_send(&loader, SUPERVISION_PING, NULL, -1);
    process_expect(&loader, SUPERVISION_PONG);
    float x[3] = {1, 2, 3};
    for (uint32_t i = 0; i < N; i++) {
        fork_one(&loader, &forks[i], 10 + i);
        check_title(forks[i].proc.pid, "slipway: replica churn/3");
        gate_connect(&g[i], &forks[i], RING, MAX_ROWS);
        gate_ask(&g[i], &(struct ask){.x = x, .n_rows = 1}, &r);
        check_y(&r, 0, 6);
    }
    long total = pss_kb(loader.proc.pid);
    for (int i = 0; i < N; i++)
        total += pss_kb(forks[i].proc.pid);
    printf("PSS of a loader and %d replicas of a model of %d MiB: %ld MiB\n", N, WEIGHTS >> 20, total >> 10);
    ck_assert(SANITIZED || total < 0 || // not root: others' memory is not to be seen
              (total > WEIGHTS >> 10 && total < (WEIGHTS >> 10) * 13 / 10));
    // A dead one is ours to wait for, and replaced by another fork.
    kill(forks[0].proc.pid, SIGKILL);
    ck_assert_int_eq(gate_next(&g[0], &r, OUT_Y, PATIENCE_MS), 0);
    ck_assert_int_eq(process_end(&forks[0]), -SIGKILL);
    process_close(&forks[0]);
    gate_close(&g[0]);
    fork_one(&loader, &forks[0], 99);
    gate_connect(&g[0], &forks[0], RING, MAX_ROWS);
    gate_ask(&g[0], &(struct ask){.x = x, .n_rows = 1}, &r);
    check_y(&r, 0, 6);
    // Without the loader the others go on.
    kill(loader.proc.pid, SIGTERM);
    ck_assert_int_eq(process_end(&loader), 0);
    for (int i = 0; i < N; i++) {
        gate_ask(&g[i], &(struct ask){.x = x, .n_rows = 1}, &r);
        kill(forks[i].proc.pid, SIGTERM);
        ck_assert_int_eq(process_end(&forks[i]), 0);
        gate_close(&g[i]);
        process_close(&forks[i]);
    }
    process_close(&loader);
}
END_TEST

START_TEST(what_cannot_be_loaded_says_why)
{
    static const struct {
        struct process_options o;
        int code;
    } cases[] = {
        {{.digest = "sha256:00"}, ERR_DIGEST},
        {{.other_outputs = "[{\"name\":\"y\",\"datatype\":\"FP64\",\"shape\":[-1,2]}]"}, ERR_CONFLICT},
        {{.other_outputs = "[{}]", .is_loader = true}, ERR_INVALID},
    };
    struct process p;
    process_start(&p, &cases[_i].o);
    struct supervision_message m = process_expect(&p, SUPERVISION_FAILED);
    ck_assert_int_eq(m.failed.code, cases[_i].code);
    ck_assert_uint_gt(strlen(m.failed.why), 10);
    ck_assert_int_eq(process_end(&p), EXIT_FAILURE);
    process_close(&p);
}
END_TEST

START_TEST(when_memory_is_gone_it_ends_and_says_so)
{
    struct process p;
    struct gate g;
    struct reply r;
    if (SANITIZED) // takes terabytes of address space for itself
        return;
    start(&p, &g, &(struct process_options){.max_batch_rows = MAX_ROWS, .memory_bytes = 256 << 20});
    float x[3] = {FAKE_ALL_MEMORY};
    gate_ask(&g, &(struct ask){.x = x, .n_rows = 1}, &r);
    ck_assert_int_eq(r.head.code, ERR_NOMEM);
    ck_assert_int_eq(process_end(&p), ROLE_EXIT_MEMORY);
    stop(&p, &g);
}
END_TEST

int main(int argc, char **argv)
{
    int code = harness_role(argc, argv);
    if (code >= 0)
        return code;
    Suite *s = suite_create("role/replica");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, UNIT_SECONDS);
    const TTest *const tests[] = {
        a_crash_is_told_by_what_was_begun,
        a_batch_computed_again_blames_one_at_a_time,
        a_hang_shows_as_silence,
        pings_are_answered_under_load,
        a_gateway_that_dies_harms_no_other,
        sigterm_answers_what_was_taken,
        sigterm_waits_for_a_gateway_that_reads_late,
        without_a_supervisor_it_serves_its_gateways_and_ends_with_the_last,
        a_loader_forks_replicas_that_share_the_model,
        when_memory_is_gone_it_ends_and_says_so,
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(c, tests[i]);
    tcase_add_loop_test(c, what_cannot_be_loaded_says_why, 0, 3);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
