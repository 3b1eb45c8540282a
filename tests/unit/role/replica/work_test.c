// SPDX-License-Identifier: Apache-2.0
// What a replica answers: results, errors, batches, turns.
#include "role/replica/harness.h"

#include "../../../fakes/fake_runtime.h"
#include "base/clock.h"
#include "unit.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

START_TEST(a_lone_request_is_answered)
{
    struct process p;
    struct gate g;
    struct reply r;
    start_default(&p, &g);
    for (int i = 0; i < 100; i++) {
        float x[2][3] = {{1, 2, (float)i}, {4, 5, 6}};
        gate_ask(&g, &(struct ask){.x = x[0], .n_rows = 2}, &r);
        ck_assert_int_eq(r.head.code, 0);
        ck_assert_uint_eq(r.head.batch_rows, 2);
        check_y(&r, 0, 3 + (float)i);
        check_y(&r, 1, 15);
        ck_assert_uint_lt(r.head.compute_ns + r.head.queue_ns, 10000000000u);
    }
    stop(&p, &g);
}
END_TEST

START_TEST(every_kind_of_output_comes)
{
    struct process p;
    struct gate g;
    struct reply r;
    start_default(&p, &g);
    float x[2][3] = {{1, 2, 3}, {4, 5, 6}};
    const char *words[2] = {"four", ""};
    gate_ask(&g, &(struct ask){.x = x[0], .n_rows = 2, .words = words, .outputs = OUT_ALL}, &r);
    ck_assert_int_eq(r.head.code, 0);
    check_y(&r, 0, 10);
    check_y(&r, 1, 15);
    const float *wide = r.results[1].data;
    ck_assert_int_eq(r.results[1].shape[1], FAKE_WIDTH);
    ck_assert_float_eq(wide[2], 30);
    ck_assert_float_eq(wide[5], 45);
    ck_assert_int_eq(memcmp(r.results[2].data, "\2\0\0\00010\2\0\0\00015", 12), 0);
    // One alone, of unknown size.
    gate_ask(&g, &(struct ask){.x = x[1], .n_rows = 1, .outputs = OUT_TEXT}, &r);
    ck_assert_int_eq(r.results[0].dtype, DTYPE_NONE);
    ck_assert_int_eq(memcmp(r.results[2].data, "\2\0\0\00015", 6), 0);
    stop(&p, &g);
}
END_TEST

// Requests of random rows, inputs and outputs, many at once from two gateways; each answer must be what it
// would be alone.
enum { IN_FLIGHT = 64 };

struct sent {
    float x[8][3];
    const char *words[8];
    struct ask ask;
};

static void make_random(struct sent *s, uint32_t *seed)
{
    static const char *const WORDS[] = {"", "a", "word", "longer"};
    s->ask = (struct ask){.x = s->x[0], .n_rows = 1 + next_random(seed) % 8};
    s->ask.outputs = next_random(seed) % 3 ? OUT_Y : 1 + next_random(seed) % OUT_ALL;
    s->ask.words = next_random(seed) % 3 ? NULL : s->words;
    s->ask.alone = next_random(seed) % 16 == 0;
    for (uint32_t row = 0; row < s->ask.n_rows; row++) {
        for (int c = 0; c < 3; c++)
            s->x[row][c] = (float)(next_random(seed) % 1000);
        s->words[row] = WORDS[next_random(seed) % 4];
    }
    if (next_random(seed) % 50 == 0)
        s->x[next_random(seed) % s->ask.n_rows][0] = FAKE_ERROR;
}

static void check_texts(const struct tensor *t, const struct sent *s, const float *sums)
{
    const char *at = t->data;
    for (uint32_t row = 0; row < s->ask.n_rows; row++) {
        char want[32];
        uint32_t length, n = (uint32_t)snprintf(want, sizeof want, "%.0f", (double)sums[row]);
        memcpy(&length, at, 4);
        if (length != n || memcmp(at + 4, want, n))
            ck_abort_msg("row %u: not %s", row, want);
        at += 4 + length;
    }
}

static void check_random(const struct reply *r, const struct sent *s)
{
    float sums[8];
    bool fails = false;
    for (uint32_t row = 0; row < s->ask.n_rows; row++) {
        const float *x = s->x[row];
        sums[row] = x[0] + x[1] + x[2] + (float)(s->ask.words ? strlen(s->words[row]) : 0);
        fails |= (int)x[0] == FAKE_ERROR;
    }
    if (r->head.code != (fails ? ERR_INVALID : 0))
        ck_abort_msg("code %d", (int)r->head.code);
    if (fails) {
        if (strcmp(r->error.hint, "Send another."))
            ck_abort_msg("hint '%s'", r->error.hint);
        return;
    }
    if ((s->ask.alone || fails) && r->head.batch_rows != s->ask.n_rows)
        ck_abort_msg("not alone");
    for (uint32_t row = 0; row < s->ask.n_rows; row++) {
        if (s->ask.outputs & OUT_Y)
            check_y(r, row, sums[row]);
        if (s->ask.outputs & OUT_WIDE && ((const float *)r->results[1].data)[3 * row + 2] != 3 * sums[row])
            ck_abort_msg("wide");
    }
    if (s->ask.outputs & OUT_TEXT)
        check_texts(&r->results[2], s, sums);
}

// Rounds of up to IN_FLIGHT requests on a gateway; how many were computed together with others.
static uint64_t random_round(struct gate *g, struct sent *sent, uint64_t *ids, uint32_t n)
{
    uint64_t together = 0;
    struct reply r;
    for (uint32_t i = 0; i < n; i++) {
        // Answers come in any order, so the outputs asked for are known only by the id: looked up below.
        uint64_t outputs = 0;
        const void *message;
        size_t bytes;
        struct err e;
        struct ring_reader peek = g->end.in;
        while (ring_take(&peek, &message, &bytes, &e) == 0)
            sched_yield(); // there may be one core only
        uint32_t k = 0;
        while (k < n && ids[k] != *(const uint64_t *)message)
            k++;
        if (k == n)
            ck_abort_msg("an answer that nobody asked for");
        outputs = sent[k].ask.outputs;
        if (gate_next(g, &r, outputs, PATIENCE_MS) != 1)
            ck_abort_msg("no answer");
        check_random(&r, &sent[k]);
        together += r.head.batch_rows > sent[k].ask.n_rows;
        ids[k] = 0;
    }
    gate_free_requests(g);
    return together;
}

static void run_random(uint64_t n_requests)
{
    struct process p;
    struct gate g[2];
    static struct sent sent[2][IN_FLIGHT];
    uint64_t ids[2][IN_FLIGHT], together = 0, done = 0;
    uint32_t seed = 1;
    start_default(&p, &g[0]);
    gate_connect(&g[1], &p, RING, MAX_ROWS);
    while (done < n_requests) {
        uint32_t n[2];
        for (int k = 0; k < 2; k++) {
            n[k] = 1 + next_random(&seed) % IN_FLIGHT;
            for (uint32_t i = 0; i < n[k]; i++) {
                make_random(&sent[k][i], &seed);
                ids[k][i] = gate_put(&g[k], &sent[k][i].ask);
                if (next_random(&seed) % 16 == 0)
                    gate_rouse(&g[k]);
            }
            gate_rouse(&g[k]);
        }
        for (int k = 0; k < 2; k++) {
            together += random_round(&g[k], sent[k], ids[k], n[k]);
            done += n[k];
        }
    }
    printf("%llu requests, %llu of them computed together with others\n", (unsigned long long)done,
           (unsigned long long)together);
    ck_assert_uint_gt(together, done / 10);
    gate_close(&g[1]);
    stop(&p, &g[0]);
}

START_TEST(random_batches_equal_requests_alone)
{
    const char *n = getenv("REPLICA_TEST_REQUESTS");
    run_random(n ? strtoull(n, NULL, 10) : 5000);
}
END_TEST

START_TEST(what_waits_is_computed_together_up_to_the_most)
{
    struct process p;
    struct gate g;
    struct reply r;
    start_default(&p, &g);
    gate_put_slow(&g, &p);
    float x[3][3] = {{FAKE_OF_BATCH}, {FAKE_OF_BATCH}, {FAKE_OF_BATCH}};
    for (int i = 0; i < 7; i++)
        gate_put(&g, &(struct ask){.x = x[0], .n_rows = 3});
    gate_put(&g, &(struct ask){.x = x[0], .n_rows = 1, .alone = true});
    gate_put(&g, &(struct ask){.x = x[0], .n_rows = 1, .outputs = OUT_WIDE});
    gate_rouse(&g);
    usleep(100000); // so long they wait at least
    process_go_on(&p);
    ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
    // 5 × 3 rows of 16, the other two, alone, and the other output.
    static const uint32_t want[] = {15, 15, 15, 15, 15, 6, 6, 1};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
        ck_assert_uint_eq(r.head.batch_rows, want[i]);
        check_y(&r, 0, (float)FAKE_OF_BATCH + (float)want[i]);
        ck_assert_uint_ge(r.head.queue_ns, 100000000);
    }
    ck_assert_int_eq(gate_next(&g, &r, OUT_WIDE, PATIENCE_MS), 1);
    ck_assert_uint_eq(r.head.batch_rows, 1);
    stop(&p, &g);
}
END_TEST

START_TEST(one_bad_request_of_a_batch_fails_alone)
{
    struct process p;
    struct gate g;
    struct reply r;
    start_default(&p, &g);
    gate_put_slow(&g, &p);
    for (int i = 0; i < 5; i++) {
        float x[3] = {i == 2 ? FAKE_ERROR : (float)i, 1, 1};
        gate_put(&g, &(struct ask){.x = x, .n_rows = 1});
    }
    gate_rouse(&g);
    process_go_on(&p);
    ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
        ck_assert_int_eq(r.head.code, i == 2 ? ERR_INVALID : 0);
        ck_assert_uint_eq(r.head.batch_rows, 1);
        if (i == 2)
            ck_assert_str_eq(r.error.msg, "row 0 is not for this model");
        else
            check_y(&r, 0, 2 + (float)i);
    }
    stop(&p, &g);
}
END_TEST

START_TEST(a_batch_that_cannot_be_split_is_computed_one_by_one)
{
    struct process p;
    struct gate g;
    struct reply r;
    start_default(&p, &g);
    gate_put_slow(&g, &p);
    for (int i = 0; i < 3; i++) {
        float x[3] = {i == 1 ? FAKE_MORE_ROWS : (float)i, 0, 0};
        gate_put(&g, &(struct ask){.x = x, .n_rows = 1});
    }
    gate_rouse(&g);
    process_go_on(&p);
    ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
        ck_assert_int_eq(r.head.code, 0);
        ck_assert_int_eq(r.results[0].shape[0], i == 1 ? 2 : 1);
        check_y(&r, 0, i == 1 ? FAKE_MORE_ROWS : (float)i);
    }
    stop(&p, &g);
}
END_TEST

START_TEST(results_that_were_not_declared_are_an_error)
{
    struct process p;
    struct gate g;
    struct reply r;
    start_default(&p, &g);
    float wrong[3] = {FAKE_WRONG_TYPE}, nan[3] = {FAKE_NAN};
    gate_ask(&g, &(struct ask){.x = wrong, .n_rows = 1}, &r);
    ck_assert_int_eq(r.head.code, ERR_INTERNAL);
    ck_assert_ptr_nonnull(strstr(r.error.msg, "'y'"));
    gate_ask(&g, &(struct ask){.x = nan, .n_rows = 1}, &r);
    ck_assert_int_eq(r.head.code, 0);
    ck_assert(isnan(((const float *)r.results[0].data)[0]));
    stop(&p, &g);
}
END_TEST

START_TEST(a_broken_request_is_answered)
{
    struct process p;
    struct gate g;
    struct reply r;
    start_default(&p, &g);
    float x[3] = {1, 2, 3};
    gate_ask(&g, &(struct ask){.x = x, .n_rows = 1, .outputs = 1 << 5}, &r);
    ck_assert_int_eq(r.head.code, ERR_INVALID);
    gate_ask(&g, &(struct ask){.x = x, .n_rows = 1}, &r);
    check_y(&r, 0, 6);
    stop(&p, &g);
}
END_TEST

START_TEST(a_late_request_is_not_computed)
{
    struct process p;
    struct gate g;
    struct reply r;
    start_default(&p, &g);
    float x[3] = {1, 2, 3};
    uint64_t now = clock_mono_ns();
    gate_ask(&g, &(struct ask){.x = x, .n_rows = 1, .deadline_mono_ns = now + 600000000000u}, &r);
    ck_assert_int_eq(r.head.code, 0);
    gate_put_slow(&g, &p);
    gate_put(&g, &(struct ask){.x = x, .n_rows = 1});
    gate_put(&g, &(struct ask){.x = x, .n_rows = 1, .deadline_mono_ns = clock_mono_ns() + 1000000});
    gate_rouse(&g);
    usleep(2000); // until the second is late
    process_go_on(&p);
    int codes[2];
    ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
        codes[i] = r.head.code;
    }
    ck_assert(codes[0] == 0 && codes[1] == ERR_DEADLINE);
    stop(&p, &g);
}
END_TEST

START_TEST(gateways_are_served_in_turns)
{
    enum { N = 100 };
    struct process p;
    struct gate g[2];
    struct reply r;
    uint64_t sent_ns[N];
    start_default(&p, &g[0]);
    gate_connect(&g[1], &p, RING, MAX_ROWS);
    float x[3] = {FAKE_SLEEP, 5}, good[3] = {1, 2, 3};
    for (int busy = 0; busy < 2; busy++) {
        process_stop(&p);
        uint64_t first = g[busy].next_id;
        for (int i = 0; i < N; i++) {
            ck_assert_uint_ne(gate_put(&g[busy], &(struct ask){.x = x, .n_rows = 1, .alone = true}), 0);
            sent_ns[i] = g[busy].sent_ns;
        }
        gate_rouse(&g[busy]);
        ck_assert_uint_ne(gate_put(&g[!busy], &(struct ask){.x = good, .n_rows = 1}), 0);
        gate_rouse(&g[!busy]);
        process_go_on(&p);
        ck_assert_int_eq(gate_next(&g[!busy], &r, OUT_Y, PATIENCE_MS), 1);
        check_y(&r, 0, 6);
        gate_free_requests(&g[!busy]);
        // When each began to be computed follows from its wait, whenever we come to read its answer.
        uint64_t own_ns = g[!busy].sent_ns + r.head.queue_ns;
        int before = 0;
        for (int i = 0; i < N; i++) {
            ck_assert_int_eq(gate_next(&g[busy], &r, OUT_Y, PATIENCE_MS), 1);
            before += sent_ns[r.head.id - first] + r.head.queue_ns < own_ns;
        }
        ck_assert_int_lt(before, 5);
        gate_free_requests(&g[busy]);
    }
    gate_close(&g[1]);
    stop(&p, &g[0]);
}
END_TEST

START_TEST(a_gateway_that_does_not_read_waits_alone)
{
    struct process p;
    struct gate g, lazy;
    struct reply r;
    start_default(&p, &g);
    gate_connect(&lazy, &p, RING_BYTES_MIN, MAX_ROWS);
    const char *word[1] = {"word"};
    float x[3] = {1, 2, 3};
    int sent = 0, there = 0;
    // As many requests as its ring holds: their answers are larger.
    while (gate_put(&lazy, &(struct ask){.x = x, .n_rows = 1, .words = word, .outputs = OUT_ALL}))
        sent++;
    gate_rouse(&lazy);
    for (int i = 0; i < 50; i++) {
        gate_ask(&g, &(struct ask){.x = x, .n_rows = 1}, &r);
        check_y(&r, 0, 6);
    }
    struct ring_reader peek = lazy.end.in;
    const void *message;
    size_t bytes;
    while (ring_take(&peek, &message, &bytes, &r.error) == 1)
        there++;
    ck_assert_int_gt(there, 50);
    ck_assert_int_lt(there, sent);
    for (int i = 0; i < sent; i++) {
        ck_assert_int_eq(gate_next(&lazy, &r, OUT_ALL, PATIENCE_MS), 1);
        check_y(&r, 0, 10);
    }
    gate_close(&lazy);
    stop(&p, &g);
}
END_TEST

START_TEST(an_answer_too_large_is_an_error)
{
    struct process p;
    struct gate g;
    struct reply r;
    start_default(&p, &g);
    gate_reopen(&g, RING_BYTES_MIN);
    enum { N = 5000 };
    static float x[N][3];
    gate_ask(&g, &(struct ask){.x = x[0], .n_rows = N, .outputs = OUT_Y | OUT_WIDE}, &r);
    ck_assert_int_eq(r.head.code, ERR_TOO_LARGE);
    gate_ask(&g, &(struct ask){.x = x[0], .n_rows = N}, &r);
    ck_assert_int_eq(r.head.code, 0);
    check_y(&r, N - 1, 0);
    stop(&p, &g);
}
END_TEST

START_TEST(a_model_that_is_never_batched)
{
    struct process p;
    struct gate g;
    struct reply r;
    start(&p, &g, &(struct process_options){.max_batch_rows = 0});
    gate_put_slow(&g, &p);
    float x[3] = {FAKE_OF_BATCH};
    for (int i = 0; i < 5; i++)
        gate_put(&g, &(struct ask){.x = x, .n_rows = 1});
    gate_rouse(&g);
    process_go_on(&p);
    ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
        check_y(&r, 0, FAKE_OF_BATCH + 1);
    }
    stop(&p, &g);
}
END_TEST

START_TEST(batches_stay_within_the_budget)
{
    struct process p;
    struct gate g;
    struct reply r;
    start(&p, &g, &(struct process_options){.max_batch_rows = 64, .batch_budget_us = 200000});
    float x[3] = {FAKE_SLEEP, 40};
    enum { N = 30 };
    for (int i = 0; i < N; i++)
        ck_assert_uint_ne(gate_put(&g, &(struct ask){.x = x, .n_rows = 1}), 0);
    gate_rouse(&g);
    uint32_t most = 0;
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(gate_next(&g, &r, OUT_Y, PATIENCE_MS), 1);
        most = r.head.batch_rows > most ? r.head.batch_rows : most;
    }
    ck_assert_uint_ge(most, 2); // 40 ms a row, 200 ms
    ck_assert_uint_le(most, 5);
    stop(&p, &g);
}
END_TEST

int main(int argc, char **argv)
{
    int code = harness_role(argc, argv);
    if (code >= 0)
        return code;
    Suite *s = suite_create("role/replica/work");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, UNIT_SECONDS);
    const TTest *const tests[] = {
        a_lone_request_is_answered,
        every_kind_of_output_comes,
        random_batches_equal_requests_alone,
        what_waits_is_computed_together_up_to_the_most,
        one_bad_request_of_a_batch_fails_alone,
        a_batch_that_cannot_be_split_is_computed_one_by_one,
        results_that_were_not_declared_are_an_error,
        a_broken_request_is_answered,
        a_late_request_is_not_computed,
        gateways_are_served_in_turns,
        a_gateway_that_does_not_read_waits_alone,
        an_answer_too_large_is_an_error,
        a_model_that_is_never_batched,
        batches_stay_within_the_budget,
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
