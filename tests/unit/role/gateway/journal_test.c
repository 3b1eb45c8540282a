// SPDX-License-Identifier: Apache-2.0
#include "role/gateway/journal.h"

#include "base/clock.h"
#include "os/msg.h"
#include "os/sock.h"
#include "predlog/schema.h"
#include "role/gateway/gateway.h"
#include "role/gateway/journal_link.h"
#include "role/gateway/predict.h"
#include "role/gateway/table.h"
#include "role/gateway/trial_parts.h"
#include "role/ipc.h"
#include "settings/settings.h"
#include "tempdir.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RING_BYTES = 1 << 16, TURN_NS = 5000000, TURNS = 5000, ROWS = 5, FEATURES = 3 };

static struct settings settings;
static struct gateway g;
static struct deployment d;
static struct signature sig = {
    .n_features = FEATURES, .n_outputs = 1, .input_dtype = DTYPE_FP32, .output_dtype = DTYPE_FP64};
static char dir[TEMPDIR_SIZE], path[TEMPDIR_SIZE + 16];
static int listen_fd, log_fd;
static struct spool_reader reader;
static _Alignas(8) char bytes[4096];

static void start(void)
{
    struct err e;
    void *ring;
    size_t size;
    tempdir_new(dir);
    snprintf(path, sizeof path, "%s/m.sock", dir);
    ck_assert_int_eq(sock_listen_unix(path, 0600, &listen_fd, &e), 0);
    settings_init(&settings);
    g = (struct gateway){.n_gateways = 1,
                         .monitor_path = path,
                         .settings = &settings,
                         .log = {-1, LOG_LEVEL_ERROR, "test", -1}};
    ids_maker_init(&g.ids);
    ck_assert_int_eq(loop_new(&g.loop, &e), 0);
    ck_assert_int_eq(log_memory_new(1, RING_BYTES, &log_fd, &e), 0);
    ck_assert_int_eq(journal_open(&g, log_fd, &e), 0);
    ck_assert_int_eq(log_memory_map_ring(log_fd, 1, 0, &ring, &size, &e), 0);
    ck_assert_int_eq(spool_reader_attach(&reader, ring, size, &e), 0);
    d = (struct deployment){
        .sig = &sig,
        .number = 3,
        .slot = 5,
        .log = {.schema = 9, .is_on = -1, .one_in = -1, .overflow = -1, .durability = -1},
    };
}

static void end(void)
{
    journal_close(&g);
    loop_free(g.loop);
    close(listen_fd);
    close(log_fd);
    tempdir_remove(dir);
}

// The next record, without its checksum; whether it has one.
static bool take(struct record *ret)
{
    struct err e;
    struct record ignored;
    size_t n;
    uint64_t sequence;
    journal_turn_end(&g);
    ck_assert_int_eq(spool_take(&reader, bytes, sizeof bytes, &n, &sequence, &e), 1);
    ck_assert_msg(record_look(bytes, n, ret, &e) == 0, "%s", e.msg);
    ck_assert(ret->bytes.n == n && ret->head.ring_seq == sequence);
    return record_read(bytes, n, &ignored, &e) == 0;
}

static bool fail_and_take(void)
{
    struct record r;
    journal_failure(&g, &d, (struct str){0}, clock_mono_ns(), ERR_BUSY);
    bool has_checksum = take(&r);
    ck_assert(r.head.kind == RECORD_FAILURE && r.head.status == err_http_status(ERR_BUSY) &&
              r.head.version == 3);
    ck_assert(has_checksum || r.head.crc == 0);
    return has_checksum;
}

static void on_turn(struct timer *t)
{
    (void)t;
    loop_stop(g.loop);
}

static void wait_until(bool (*is_so)(const struct journal *j))
{
    struct err e;
    struct timer t = {.on_due = on_turn};
    for (int i = 0; i < TURNS && !is_so(g.journal); i++) {
        ck_assert_int_eq(loop_timer_set(g.loop, &t, clock_mono_ns() + TURN_NS, &e), 0);
        ck_assert_int_eq(loop_run(g.loop, &e), 0);
    }
    ck_assert(is_so(g.journal));
}

static bool is_connected(const struct journal *j)
{
    return j->is_connected;
}

static bool is_unsummed(const struct journal *j)
{
    return j->is_unsummed;
}

static bool is_alone(const struct journal *j)
{
    return !j->is_connected;
}

START_TEST(checksums_are_made_for_a_monitor_that_does_not_say_that_it_makes_them)
{
    struct err e;
    struct msg_conn monitor;
    start();
    ck_assert(fail_and_take());
    wait_until(is_connected);
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    msg_conn_init(&monitor, fd, IPC_PAYLOAD_MAX);
    ck_assert_int_eq(msg_conn_send(&monitor, IPC_SETTLED, (struct str){0}, NULL, 0, &e), 0);
    ck_assert(fail_and_take());
    ck_assert_int_eq(msg_conn_send(&monitor, IPC_UNSUMMED, (struct str){0}, NULL, 0, &e), 0);
    wait_until(is_unsummed);
    ck_assert(!fail_and_take());
    close(listen_fd); // nobody comes in its place
    unlink(path);
    msg_conn_done(&monitor);
    wait_until(is_alone);
    ck_assert(fail_and_take());
    listen_fd = -1;
    end();
}
END_TEST

static void plan_init(const char *rule)
{
    struct predlog_schema *s;
    struct err e;
    char json[512];
    snprintf(json, sizeof json,
             "{\"key\":\"0000000000000009\",\"model\":\"m\",\"version\":3,\"table\":true,\"inputs\":["
             "{\"name\":\"a\",\"datatype\":\"FP32\"},{\"name\":\"b\",\"datatype\":\"FP32\",\"log\":\"%s\"},"
             "{\"name\":\"c\",\"datatype\":\"FP32\"}],\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP64\"}]}",
             rule);
    ck_assert_msg(predlog_schema_read(str_of(json), &s, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(predlog_plan_init(&d.log.record, s, STR("key"), &e), 0);
    predlog_schema_free(s);
    journal_plan_rows(&d.log, &sig, d.number, d.slot);
}

// Rows 1 to 3 of a batch of five, as they lie in the batch. b: of their second column.
static void expect_rows(const struct record *r, const float in[ROWS][FEATURES], const double *out, float b)
{
    struct str blocks = r->inputs;
    struct record_block block;
    ck_assert(r->head.kind == RECORD_PREDICTION && r->head.rows == 3 && r->head.rows_kept == 3);
    ck_assert(r->head.latency_us == 50 && r->head.queue_us == 20 && r->head.compute_us == 7);
    ck_assert(r->head.schema == 9 && r->head.id[0] == 0x42 && r->head.weight_bp == 10000);
    ck_assert(r->head.version == d.number && r->head.model == d.slot && r->head.status == 200);
    ck_assert(r->head.stream == g.journal->stream && r->head.ring == g.index && r->head.arm == 0);
    ck_assert(r->head.sample_weight == 1 && r->head.flags == 0 && r->head.error == 0);
    ck_assert(record_block_next(&blocks, &block) && block.index == RECORD_TABLE);
    const float *got = block.t.data;
    for (int row = 0; row < 3; row++)
        for (int k = 0; k < FEATURES; k++)
            ck_assert_float_eq(got[row * FEATURES + k], k == 1 ? b : in[row + 1][k]);
    blocks = r->outputs;
    ck_assert(record_block_next(&blocks, &block) && block.index == 0 && block.t.n_dims == 1);
    ck_assert_int_eq(memcmp(block.t.data, out + 1, 3 * sizeof *out), 0);
}

START_TEST(rows_of_a_batch_are_written_as_they_lie_in_it_or_as_their_rules_say)
{
    static const char *const RULES[] = {"keep", "bucket:10"};
    float in[ROWS][FEATURES];
    double out[ROWS];
    struct pending p = {
        .deployment = &d, .first_row = 1, .id = "42", .raw_id = {0x42}, .request = {.n_rows = 3}};
    struct record r;
    start();
    for (int i = 0; i < ROWS; i++) {
        out[i] = i / 4.0;
        for (int k = 0; k < FEATURES; k++)
            in[i][k] = k == 1 ? 31 : (float)(10 * i + k);
    }
    d.outputs = (char *)out;
    d.compute_start_ns = 1020000;
    d.compute_ns = 7999;
    for (int k = 0; k < 2; k++) {
        plan_init(RULES[k]);
        ck_assert_int_eq(d.log.record.is_plain, k == 0);
        journal_prediction(&g, &p, in, 1000000, 1050000);
        (void)take(&r);
        expect_rows(&r, in, out, k ? 30 : 31);
        ck_assert(r.head.sample_weight == 1.0f && r.head.flags == 0);
        settings.log_record_bytes = 240; // not all of it fits
        journal_prediction(&g, &p, in, 1000000, 1050000);
        (void)take(&r);
        ck_assert(r.bytes.n <= 240 && r.head.rows == 3 && r.head.rows_kept < 3);
        ck_assert_uint_eq(r.head.flags, RECORD_TRUNCATED);
        settings_init(&settings);
        predlog_plan_done(&d.log.record);
    }
    end();
}
END_TEST

// Whichever way a record takes, one in so many ids is drawn, the same ones.
START_TEST(what_is_drawn_stands_for_the_others)
{
    float in[1][FEATURES] = {{1, 31, 3}};
    double out = 0.5;
    struct pending p = {.deployment = &d, .id = "42", .request = {.n_rows = 1}};
    struct record r;
    uint64_t kept[2] = {0, 0};
    start();
    d.outputs = (char *)&out;
    d.log.one_in = 10;
    for (int k = 0; k < 2; k++) {
        plan_init(k ? "bucket:10" : "keep");
        for (uint64_t i = 0; i < 64; i++) {
            uint64_t before = spool_next(&g.journal->spool);
            memcpy(p.raw_id + 8, &i, sizeof i);
            journal_prediction(&g, &p, in, 0, 1);
            if (spool_next(&g.journal->spool) == before)
                continue;
            kept[k] |= UINT64_C(1) << i;
            (void)take(&r);
            ck_assert(r.head.sample_weight == 10.0f && r.head.flags == RECORD_SAMPLED);
        }
        predlog_plan_done(&d.log.record);
    }
    ck_assert(kept[0] == kept[1] && kept[0] != 0 && kept[0] != UINT64_MAX);
    end();
}
END_TEST

// Whichever way a record takes: all of an arm, of the baseline as of any other request.
START_TEST(what_is_in_a_rollout_says_so_and_all_of_an_arm_is_kept)
{
    float in[1][FEATURES] = {{1, 31, 3}};
    double out = 0.5;
    struct trial t = {.n_arms = 2};
    struct trial_part part = {
        .trial = &t, .choice = {.arm = 1, .bucket = 4711, .asked = true}, .weight_bp = 1500};
    struct pending p = {
        .deployment = &d, .id = "42", .raw_id = {0x42, [8] = 1}, .request = {.n_rows = 1}, .part = &part};
    struct record r;
    start();
    d.outputs = (char *)&out;
    for (int k = 0; k < 2; k++) {
        plan_init(k ? "bucket:10" : "keep");
        d.log.one_in = INT32_MAX; // this id is not drawn
        part.choice.arm = 2;
        uint64_t before = spool_next(&g.journal->spool);
        journal_prediction(&g, &p, in, 0, 1);
        ck_assert_uint_eq(spool_next(&g.journal->spool), before);
        part.choice.arm = 1;
        journal_prediction(&g, &p, in, 0, 1);
        (void)take(&r);
        ck_assert(r.head.arm == 2 && r.head.bucket == 4711 && r.head.weight_bp == 1500);
        ck_assert(r.head.flags == RECORD_OVERRIDE && r.head.sample_weight == 1.0f);
        d.log.one_in = -1;
        part.choice.arm = 2;
        journal_prediction(&g, &p, in, 0, 1);
        (void)take(&r);
        ck_assert(r.head.arm == 0 && r.head.bucket == 4711 && r.head.rows == 1);
        predlog_plan_done(&d.log.record);
    }
    end();
}
END_TEST

static uint64_t n_dropped(enum log_reason reason)
{
    return g.journal->spool.now.dropped[reason];
}

// What never fits is told apart from what does not fit now.
START_TEST(a_record_that_is_larger_than_half_the_ring_is_too_large)
{
    enum { ROWS_MAX = RING_BYTES / (FEATURES * sizeof(float)) };
    static float in[ROWS_MAX][FEATURES];
    static double out[ROWS_MAX];
    struct pending p = {.deployment = &d, .id = "42", .request = {.n_rows = ROWS_MAX}};
    start();
    settings.log_record_bytes = RING_BYTES;
    d.outputs = (char *)out;
    for (int k = 0; k < 2; k++) {
        plan_init(k ? "bucket:10" : "keep");
        journal_prediction(&g, &p, in, 0, 1);
        ck_assert(n_dropped(LOG_REASON_TOO_LARGE) == (uint64_t)k + 1 && n_dropped(LOG_REASON_OVERFLOW) == 0);
        predlog_plan_done(&d.log.record);
    }
    plan_init("keep");
    p.request.n_rows = 1;
    while (n_dropped(LOG_REASON_OVERFLOW) == 0)
        journal_prediction(&g, &p, in, 0, 1);
    ck_assert_uint_eq(n_dropped(LOG_REASON_TOO_LARGE), 2);
    predlog_plan_done(&d.log.record);
    end();
}
END_TEST

// Under pressure one in so many stands for the others.
START_TEST(what_is_kept_of_a_ring_that_is_half_full_weighs_more)
{
    float in[1][FEATURES] = {{1, 31, 3}};
    double out = 0.5;
    struct pending p = {.deployment = &d, .id = "42", .request = {.n_rows = 1}};
    struct record r;
    double weight = 0;
    uint64_t n = 0;
    start();
    plan_init("keep");
    d.outputs = (char *)&out;
    d.log.overflow = SETTINGS_LOG_OVERFLOW_SAMPLE;
    for (; n_dropped(LOG_REASON_SAMPLED) < 100; n++)
        journal_prediction(&g, &p, in, 0, 1);
    uint64_t n_left = n - n_dropped(LOG_REASON_SAMPLED);
    for (uint64_t i = 0; i < n_left; i++) {
        (void)take(&r);
        ck_assert((r.head.sample_weight > 1) == (r.head.flags == RECORD_SAMPLED));
        weight += (double)r.head.sample_weight;
    }
    ck_assert_double_ge(weight, (double)n); // the last one stands for those to come, too
    ck_assert_double_lt(weight, (double)n + 20);
    predlog_plan_done(&d.log.record);
    end();
}
END_TEST

// Each turn waits anew, and what came of it is told at its end.
START_TEST(each_turn_waits_for_room_and_tells_what_was_dropped)
{
    struct spool_writer *w;
    struct spool_written said;
    struct spool_settled ignored;
    start();
    w = &g.journal->spool;
    settings.log_block_ms = 1;
    d.log.overflow = SETTINGS_LOG_OVERFLOW_BLOCK;
    while (spool_reserve(w, 64))
        (void)spool_put(w, 64);
    for (uint64_t turn = 1; turn <= 3; turn++) {
        journal_failure(&g, &d, (struct str){0}, 1, ERR_BAD_JSON);
        ck_assert_uint_gt(g.journal->block_until_ns, 0);
        journal_turn_end(&g);
        ck_assert_uint_eq(g.journal->block_until_ns, 0);
        spool_numbers(g.journal->memory, &said, &ignored);
        ck_assert_uint_eq(said.dropped[LOG_REASON_OVERFLOW], turn);
    }
    end();
}
END_TEST

UNIT_MAIN("role/gateway/journal", a_record_that_is_larger_than_half_the_ring_is_too_large,
          what_is_kept_of_a_ring_that_is_half_full_weighs_more,
          checksums_are_made_for_a_monitor_that_does_not_say_that_it_makes_them,
          rows_of_a_batch_are_written_as_they_lie_in_it_or_as_their_rules_say,
          what_is_drawn_stands_for_the_others, each_turn_waits_for_room_and_tells_what_was_dropped,
          what_is_in_a_rollout_says_so_and_all_of_an_arm_is_kept)
