// SPDX-License-Identifier: Apache-2.0
// The exporter and its POSTs against a collector that is part of the same loop and answers as told.
#include "role/traces.h"

#include "base/clock.h"
#include "os/sock.h"
#include "settings/settings.h"
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

enum { BODY_MAX = 4 << 20, DEADLINE_S = 120, NAMED = 2000 };
#define SPANS "/resourceSpans/0/scopeSpans/0/spans"

static struct loop *loop;
static char endpoint[SOCK_ADDRESS_SIZE + 8];
static struct log quiet;
static struct traces *traces;
static struct timer beat;
static uint64_t deadline_ns;
static bool (*is_over)(void);
static enum { IN_TIME, AT_ONCE, NEVER } ticks; // when the exporter's time has come

static struct collector {
    struct watch listener, conn;
    char in[BODY_MAX];
    size_t n;
    int status; // of its answers; 0: closes instead
    bool is_silent;
    unsigned n_requests, n_spans;
    char head[4096];
    unsigned n_arrived[NAMED]; // by the number in the prediction id
} collector = {.conn.fd = -1};

static void hang_up(void)
{
    if (collector.conn.fd < 0)
        return;
    loop_remove(loop, &collector.conn);
    close(collector.conn.fd);
    collector.conn.fd = -1;
}

static const char *attribute(yyjson_val *span, const char *key)
{
    size_t i, n;
    yyjson_val *one;
    yyjson_arr_foreach(yyjson_obj_get(span, "attributes"), i, n, one)
    {
        if (yyjson_equals_str(yyjson_obj_get(one, "key"), key))
            return yyjson_get_str(yyjson_obj_get(yyjson_obj_get(one, "value"), "stringValue"));
    }
    return "";
}

// Of the spans that take() made in a trace of their own: that number is in the id, in the model's name too.
static void note(yyjson_val *span)
{
    char id[37], trace[33] = "", model[16];
    uint64_t number = strtoull(attribute(span, "slipway.model") + 1, NULL, 10);
    if (number >= NAMED || !yyjson_equals_str(yyjson_obj_get(span, "name"), "http.server"))
        return;
    snprintf(id, sizeof id, "%02x%02x0000-0000-0000-0000-000000000001", (unsigned)number & 255,
             (unsigned)number >> 8);
    snprintf(model, sizeof model, "m%u", (unsigned)number);
    for (int i = 0, n = 0; id[i]; i++)
        if (id[i] != '-')
            trace[n++] = id[i];
    ck_assert_str_eq(attribute(span, "slipway.model"), model);
    ck_assert_str_eq(attribute(span, "slipway.prediction_id"), id);
    ck_assert_str_eq(attribute(span, "slipway.arm"), "stable");
    ck_assert_str_eq(yyjson_get_str(yyjson_obj_get(span, "traceId")), trace);
    collector.n_arrived[number]++;
}

static void answer(size_t head, size_t body)
{
    char text[128];
    size_t i, n_all;
    yyjson_val *span;
    yyjson_doc *doc = yyjson_read(collector.in + head, body, 0);
    ck_assert_ptr_nonnull(doc);
    collector.n_spans += (unsigned)yyjson_arr_size(yyjson_doc_ptr_get(doc, SPANS));
    yyjson_arr_foreach(yyjson_doc_ptr_get(doc, SPANS), i, n_all, span) note(span);
    yyjson_doc_free(doc);
    collector.n_requests++;
    memcpy(collector.head, collector.in, head);
    collector.head[head] = '\0';
    if (collector.is_silent)
        return;
    if (collector.status) {
        int n = snprintf(text, sizeof text, "HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}", collector.status);
        ck_assert_int_eq(write(collector.conn.fd, text, (size_t)n), n);
    }
    hang_up();
}

static void on_bytes(struct watch *w, uint32_t events)
{
    (void)events;
    ssize_t n = read(w->fd, collector.in + collector.n, sizeof collector.in - 1 - collector.n);
    if (n <= 0) {
        hang_up();
        return;
    }
    collector.n += (size_t)n;
    collector.in[collector.n] = '\0';
    char *end = strstr(collector.in, "\r\n\r\n"), *length = strstr(collector.in, "Content-Length: ");
    if (!end)
        return;
    size_t head = (size_t)(end - collector.in) + 4, body = strtoul(length + 16, NULL, 10);
    if (collector.n == head + body)
        answer(head, body);
}

static void on_connection(struct watch *w, uint32_t events)
{
    (void)events;
    struct err e;
    ck_assert_int_lt(collector.conn.fd, 0); // one at a time
    collector.conn = (struct watch){accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on_bytes};
    ck_assert_int_ge(collector.conn.fd, 0);
    collector.n = 0;
    ck_assert_int_eq(loop_add(loop, &collector.conn, EPOLLIN, &e), 0);
}

static void on_beat(struct timer *t)
{
    struct err e;
    uint64_t now = loop_now_ns(loop);
    ck_assert_msg(now < deadline_ns, "it did not come to pass");
    if (ticks != NEVER)
        traces_tick(traces, ticks == AT_ONCE ? UINT64_MAX : now);
    if (is_over())
        loop_stop(loop);
    ck_assert_int_eq(loop_timer_set(loop, t, now + 5000000, &e), 0);
}

static void start(uint32_t per_10000)
{
    struct err e;
    struct sockaddr_storage a;
    socklen_t size;
    ck_assert_int_eq(settings_address_parse(STR("127.0.0.1:0"), &a, &size, &e), 0);
    ck_assert_int_eq(sock_listen_tcp(&a, 1, &collector.listener.fd, &e), 0);
    sock_address_url(&a, endpoint);
    quiet = (struct log){open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR, "test", -1};
    collector.listener.on_ready = on_connection;
    collector.status = 200;
    collector.n_requests = collector.n_spans = 0;
    memset(collector.n_arrived, 0, sizeof collector.n_arrived);
    ticks = IN_TIME;
    ck_assert_int_eq(loop_new(&loop, &e), 0);
    ck_assert_int_eq(loop_add(loop, &collector.listener, EPOLLIN, &e), 0);
    ck_assert_int_eq(traces_new(loop, &quiet, &traces, &e), 0);
    traces_set(traces, (struct traces_options){endpoint, per_10000});
}

static void run(bool (*until)(void))
{
    struct err e;
    is_over = until;
    beat.on_due = on_beat;
    deadline_ns = clock_mono_ns() + DEADLINE_S * UINT64_C(1000000000);
    ck_assert_int_eq(loop_timer_set(loop, &beat, clock_mono_ns(), &e), 0);
    ck_assert_int_eq(loop_run(loop, &e), 0);
}

static void finish(void)
{
    loop_timer_clear(loop, &beat);
    traces_free(traces);
    hang_up();
    close(collector.listener.fd);
    close(quiet.fd);
    loop_free(loop);
}

static void take(uint64_t i, bool with_trace, bool is_sampled)
{
    char model[32], arm[] = "stable";
    snprintf(model, sizeof model, "m%llu", (unsigned long long)i);
    struct otlp_request r = {.wall_ns = 1, .model = model, .arm = arm, .version = 1, .status = 200};
    memcpy(r.id, &i, sizeof i);
    r.id[15] = 1;
    if (with_trace)
        memset(r.trace, 7, sizeof r.trace);
    traces_take(traces, &r, is_sampled);
    memset(model, 'x', sizeof model - 1); // was lent
    memset(arm, 'x', sizeof arm - 1);
}

static void check_each_arrived(uint64_t from, uint64_t to, unsigned times)
{
    for (uint64_t i = from; i < to; i++)
        ck_assert_msg(collector.n_arrived[i] == times, "%llu came %u times", (unsigned long long)i,
                      collector.n_arrived[i]);
}

static bool none_waits(void)
{
    return traces_count(traces).waiting == 0;
}

START_TEST(batches_arrive_and_are_counted)
{
    start(10000);
    for (uint64_t i = 0; i < 1200; i++)
        take(i, false, false);
    run(none_waits);
    struct traces_counts c = traces_count(traces);
    ck_assert_uint_eq(c.taken, 1200);
    ck_assert_uint_eq(c.exported, 1200);
    ck_assert_uint_eq(collector.n_spans, 3600);
    ck_assert_uint_eq(collector.n_requests, 3);
    check_each_arrived(0, 1200, 1);
    ck_assert(strstr(collector.head, "POST /v1/traces HTTP/1.1\r\n") == collector.head);
    ck_assert_ptr_nonnull(strstr(collector.head, "\r\nContent-Type: application/json\r\n"));
    finish();
}
END_TEST

START_TEST(who_names_a_trace_decides_and_the_rest_is_drawn)
{
    enum { N = 40000 };
    start(2500);
    for (uint64_t i = 0; i < N; i++)
        take(i, true, false);
    ck_assert_uint_eq(traces_count(traces).taken, 0);
    for (uint64_t i = 0; i < 100; i++)
        take(i, true, true);
    ck_assert_uint_eq(traces_count(traces).taken, 100);
    for (uint64_t i = 0; i < N; i++)
        take(i, false, true);
    uint64_t drawn = traces_count(traces).taken - 100;
    ck_assert_uint_gt(drawn, N / 4 - 520); // 6 standard deviations
    ck_assert_uint_lt(drawn, N / 4 + 520);
    endpoint[0] = '\0';
    take(1, true, true);
    ck_assert_uint_eq(traces_count(traces).taken, drawn + 100);
    finish();
}
END_TEST

START_TEST(memory_is_bounded_and_what_does_not_fit_is_counted)
{
    start(10000);
    for (uint64_t i = 0; i < 3 * LIMIT_TRACES_WAITING; i++)
        take(i, false, false);
    struct traces_counts c = traces_count(traces);
    ck_assert_uint_eq(c.waiting, LIMIT_TRACES_WAITING);
    ck_assert_uint_eq(c.dropped, 2 * LIMIT_TRACES_WAITING);
    run(none_waits);
    c = traces_count(traces);
    ck_assert_uint_eq(c.exported, LIMIT_TRACES_WAITING);
    ck_assert_uint_eq(c.taken, c.exported + c.dropped + c.refused);
    finish();
}
END_TEST

static bool second_attempt(void)
{
    if (collector.n_requests == 1)
        collector.status = 200;
    return none_waits();
}

START_TEST(a_collector_that_is_away_for_a_moment_gets_all_of_it)
{
    const int first[] = {503, 0, 429, 502, 504};
    for (int i = 0; i < 5; i++) {
        start(10000);
        collector.status = first[i];
        ticks = i < 2 ? IN_TIME : AT_ONCE;
        for (uint64_t k = 0; k < 600; k++)
            take(k, false, false);
        run(second_attempt);
        ck_assert_uint_eq(traces_count(traces).exported, 600);
        ck_assert_uint_eq(traces_count(traces).dropped, 0);
        ck_assert_uint_eq(collector.n_spans, 3 * 600 + 3 * 512);
        check_each_arrived(0, 512, 2);
        check_each_arrived(512, 600, 1);
        finish();
    }
}
END_TEST

// A batch that is given up takes its attempts with it.
START_TEST(each_batch_has_its_own_attempts)
{
    start(10000);
    collector.status = 503;
    ticks = AT_ONCE;
    for (uint64_t k = 0; k < 600; k++)
        take(k, false, false);
    run(none_waits);
    ck_assert_uint_eq(traces_count(traces).dropped, 600);
    ck_assert_uint_eq(collector.n_requests, 10);
    check_each_arrived(0, 600, 5);
    finish();
}
END_TEST

// It has waited long enough, and nobody has to come by.
START_TEST(behind_a_batch_the_rest_follows_by_itself)
{
    start(10000);
    ticks = NEVER;
    for (uint64_t k = 0; k < 1100; k++)
        take(k, false, false);
    traces_tick(traces, UINT64_MAX);
    run(none_waits);
    ck_assert_uint_eq(collector.n_requests, 3);
    check_each_arrived(0, 1100, 1);
    finish();
}
END_TEST

START_TEST(what_is_refused_is_not_sent_again)
{
    start(10000);
    collector.status = 400;
    take(1, false, false);
    run(none_waits);
    ck_assert_uint_eq(traces_count(traces).refused, 1);
    ck_assert_uint_eq(collector.n_requests, 1);
    finish();
}
END_TEST

START_TEST(nobody_there_costs_only_the_traces)
{
    start(10000);
    loop_remove(loop, &collector.listener);
    close(collector.listener.fd);
    collector.listener.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    take(1, false, false);
    run(none_waits);
    ck_assert_uint_eq(traces_count(traces).dropped, 1);
    traces_set(traces, (struct traces_options){"https://collector.example:4318", 10000});
    take(2, false, false);
    run(none_waits);
    ck_assert_uint_eq(traces_count(traces).dropped, 2);
    struct buf out;
    buf_init(&out, 4096);
    traces_metrics_put(traces, &out);
    buf_putc(&out, '\0');
    ck_assert_ptr_nonnull(strstr(out.p, "slipway_traces_total{result=\"dropped\"} 2\n"));
    buf_done(&out);
    finish();
}
END_TEST

UNIT_MAIN("role/traces", batches_arrive_and_are_counted, who_names_a_trace_decides_and_the_rest_is_drawn,
          memory_is_bounded_and_what_does_not_fit_is_counted,
          a_collector_that_is_away_for_a_moment_gets_all_of_it, each_batch_has_its_own_attempts,
          behind_a_batch_the_rest_follows_by_itself, what_is_refused_is_not_sent_again,
          nobody_there_costs_only_the_traces)
