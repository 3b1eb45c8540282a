// SPDX-License-Identifier: Apache-2.0
// Which records become spans, and what the page says of them.
#include "role/monitor/spans.h"

#include "base/buf.h"
#include "os/shm.h"
#include "predlog/record.h"
#include "role/metrics.h"
#include "role/monitor/models.h"
#include "role/monitor/page.h"
#include "role/traces.h"
#include "settings/settings.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct settings settings;
static struct monitor_args args = {.n_gateways = 1, .metrics_fd = -1};
static struct monitor m = {.args = &args, .settings = &settings, .log = {-1, LOG_LEVEL_ERROR, "test", -1}};

static void start(const char *endpoint, const char *rate)
{
    struct err e;
    settings_init(&settings);
    ck_assert_int_eq(settings_set(&settings, STR("otlp_endpoint"), str_of(endpoint), &e), 0);
    ck_assert_int_eq(settings_set(&settings, STR("trace_per_10000"), str_of(rate), &e), 0);
    ck_assert_int_eq(shm_new("metrics", metrics_segment_bytes(1), &args.metrics_fd, &e), 0);
    ck_assert_int_eq(shm_seal(args.metrics_fd, SHM_SEAL_SIZE, &e), 0);
    ck_assert_int_eq(loop_new(&m.loop, &e), 0);
    ck_assert_int_eq(models_new(&m.models, &e), 0);
    ck_assert_int_eq(spans_open(&m, &e), 0);
    ck_assert_int_eq(page_open(&m, &e), 0);
}

static void finish(void)
{
    spans_close(&m);
    page_close(&m);
    models_free(m.models);
    loop_free(m.loop);
    close(args.metrics_fd);
}

static uint64_t taken_of(uint8_t kind, bool has_trace, uint16_t flags)
{
    struct record r = {.head = {.kind = kind, .flags = flags, .status = 200, .id = {1}}};
    uint64_t before = traces_count(m.traces).taken;
    if (has_trace)
        r.head.trace[3] = 9;
    spans_record(&m, &r);
    return traces_count(m.traces).taken - before;
}

START_TEST(answers_and_failures_are_traced_as_their_callers_say)
{
    start("http://127.0.0.1:1", "10000");
    ck_assert_uint_eq(taken_of(RECORD_PREDICTION, true, RECORD_TRACED), 1);
    ck_assert_uint_eq(taken_of(RECORD_FAILURE, true, RECORD_TRACED | RECORD_SAMPLED), 1);
    ck_assert_uint_eq(taken_of(RECORD_PREDICTION, true, RECORD_SAMPLED), 0);
    ck_assert_uint_eq(taken_of(RECORD_PREDICTION, false, 0), 1);
    ck_assert_uint_eq(taken_of(RECORD_GAP, true, RECORD_TRACED), 0);
    ck_assert_uint_eq(taken_of(RECORD_SCHEMA, true, RECORD_TRACED), 0);
    finish();
    start("http://127.0.0.1:1", "0");
    ck_assert_uint_eq(taken_of(RECORD_PREDICTION, false, 0), 0);
    ck_assert_uint_eq(taken_of(RECORD_PREDICTION, true, RECORD_TRACED), 1);
    finish();
    start("", "10000");
    ck_assert_uint_eq(taken_of(RECORD_PREDICTION, true, RECORD_TRACED), 0);
    // Settings that are loaded again take effect.
    snprintf(settings.otlp_endpoint, sizeof settings.otlp_endpoint, "http://127.0.0.1:1");
    settings.trace_per_10000 = 0;
    spans_tick(&m, 0);
    ck_assert_uint_eq(taken_of(RECORD_PREDICTION, true, RECORD_TRACED), 1);
    ck_assert_uint_eq(taken_of(RECORD_PREDICTION, false, 0), 0);
    finish();
}
END_TEST

// What the exporter was given last, of how many.
static struct otlp_request given;
static char given_model[64], given_arm[16];
static unsigned n_given;

void __real_traces_take(struct traces *t, const struct otlp_request *r, bool is_sampled);
void __wrap_traces_take(struct traces *t, const struct otlp_request *r, bool is_sampled);
void __wrap_traces_take(struct traces *t, const struct otlp_request *r, bool is_sampled)
{
    n_given++;
    given = *r;
    snprintf(given_model, sizeof given_model, "%s", r->model);
    snprintf(given_arm, sizeof given_arm, "%s", r->arm);
    __real_traces_take(t, r, is_sampled);
}

START_TEST(spans_say_what_the_record_says)
{
    struct err e;
    struct record r = {.head = {.kind = RECORD_PREDICTION,
                                .schema = 5,
                                .version = 7,
                                .rows = 12,
                                .status = 503,
                                .wall_ns = 1700000000123456789,
                                .latency_us = 300,
                                .queue_us = 20,
                                .compute_us = 1,
                                .trace = "0123456789abcde",
                                .parent = "parent.",
                                .id = "fedcba987654321"}};
    start("http://127.0.0.1:1", "10000");
    ck_assert_int_eq(
        models_take_deploy(
            m.models,
            STR("{\"deployment\":9,\"model\":\"churn\",\"version\":7,\"slot\":1,\"engine\":"
                "\"trees\",\"log\":{\"schema\":{\"key\":\"0000000000000005\",\"model\":\"churn\","
                "\"version\":7,\"table\":true,\"inputs\":[],\"outputs\":[]}}}"),
            &e),
        0);
    spans_record(&m, &r);
    ck_assert_str_eq(given_model, "churn");
    ck_assert_str_eq(given_arm, "stable");
    ck_assert(given.version == 7 && given.rows == 12 && given.status == 503);
    ck_assert_uint_eq(given.wall_ns, 1700000000123456789);
    ck_assert(given.latency_ns == 300000 && given.queue_ns == 20000 && given.compute_ns == 1000);
    ck_assert_mem_eq(given.trace, r.head.trace, sizeof given.trace);
    ck_assert_mem_eq(given.parent, r.head.parent, sizeof given.parent);
    ck_assert_mem_eq(given.id, r.head.id, sizeof given.id);
    r.head.arm = 2;
    r.head.schema = 6; // of a version that nobody told of
    spans_record(&m, &r);
    ck_assert_str_eq(given_arm, "canary");
    ck_assert_str_eq(given_model, "");
    finish();
    start("", "10000");
    n_given = 0;
    spans_record(&m, &r); // costs nothing where nothing is exported
    ck_assert_uint_eq(n_given, 0);
    finish();
}
END_TEST

START_TEST(the_page_tells_what_became_of_them)
{
    struct buf out;
    struct err e;
    void *segment;
    size_t size;
    buf_init(&out, 1 << 20);
    start("ftp://127.0.0.1:1", "10000"); // cannot be sent there
    (void)taken_of(RECORD_PREDICTION, true, RECORD_TRACED);
    spans_tick(&m, UINT64_MAX);
    page_tick(&m);
    ck_assert_int_eq(shm_map(args.metrics_fd, false, 1, SIZE_MAX / 2, &segment, &size, &e), 0);
    ck_assert(metrics_text_read(metrics_text_of(segment, 1), &out));
    buf_putc(&out, '\0');
    ck_assert_ptr_nonnull(strstr(out.p, "# TYPE slipway_traces_total counter\n"));
    ck_assert_ptr_nonnull(strstr(out.p, "slipway_traces_total{result=\"exported\"} 0\n"));
    ck_assert_ptr_nonnull(strstr(out.p, "slipway_traces_total{result=\"dropped\"} 1\n"));
    shm_unmap(segment, size);
    buf_done(&out);
    finish();
}
END_TEST

UNIT_MAIN("role/monitor/spans", answers_and_failures_are_traced_as_their_callers_say,
          spans_say_what_the_record_says, the_page_tells_what_became_of_them)
