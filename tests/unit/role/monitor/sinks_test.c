// SPDX-License-Identifier: Apache-2.0
// The sinks against a receiver that is part of the same loop and answers as told, or against none.
#include "role/monitor/sinks.h"

#include "base/buf.h"
#include "base/clock.h"
#include "os/sock.h"
#include "predlog/record.h"
#include "role/monitor/models.h"
#include "settings/settings.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

enum { BODY_MAX = 4 << 20, DEADLINE_S = 30 };

static struct settings settings;
static struct monitor m = {.settings = &settings, .log = {-1, LOG_LEVEL_ERROR, "test", -1}};
static struct timer beat;
static uint64_t deadline_ns;
static bool (*is_over)(void);

static struct receiver {
    struct watch listener, conn;
    char in[BODY_MAX], head[4096], first_id[64];
    size_t n;
    int statuses[4]; // of its first answers; 0: 200
    unsigned n_requests, n_events;
} receiver;

static void hang_up(void)
{
    if (receiver.conn.fd < 0)
        return;
    loop_remove(m.loop, &receiver.conn);
    close(receiver.conn.fd);
    receiver.conn.fd = -1;
}

static void answer(size_t head, size_t body)
{
    char text[128];
    int status = receiver.n_requests < 4 ? receiver.statuses[receiver.n_requests] : 0;
    yyjson_doc *doc = yyjson_read(receiver.in + head, body, 0);
    yyjson_val *root = yyjson_doc_get_root(doc),
               *first = yyjson_is_arr(root) ? yyjson_arr_get(root, 0) : root;
    ck_assert_ptr_nonnull(doc);
    const char *id = yyjson_get_str(yyjson_obj_get(first, "id"));
    snprintf(receiver.first_id, sizeof receiver.first_id, "%s", id ? id : "");
    if (!status)
        receiver.n_events += (unsigned)(yyjson_is_arr(root) ? yyjson_arr_size(root) : 1);
    yyjson_doc_free(doc);
    receiver.n_requests++;
    memcpy(receiver.head, receiver.in, head);
    receiver.head[head] = '\0';
    int n = snprintf(text, sizeof text, "HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", status ? status : 202);
    ck_assert_int_eq(write(receiver.conn.fd, text, (size_t)n), n);
    hang_up();
}

static void on_bytes(struct watch *w, uint32_t events)
{
    (void)events;
    ssize_t n = read(w->fd, receiver.in + receiver.n, sizeof receiver.in - 1 - receiver.n);
    if (n <= 0) {
        hang_up();
        return;
    }
    receiver.n += (size_t)n;
    receiver.in[receiver.n] = '\0';
    char *end = strstr(receiver.in, "\r\n\r\n"), *length = strstr(receiver.in, "Content-Length: ");
    if (!end)
        return;
    size_t head = (size_t)(end - receiver.in) + 4, body = strtoul(length + 16, NULL, 10);
    if (receiver.n == head + body)
        answer(head, body);
}

static void on_connection(struct watch *w, uint32_t events)
{
    (void)events;
    struct err e;
    ck_assert_int_lt(receiver.conn.fd, 0); // one at a time
    receiver.conn = (struct watch){accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on_bytes};
    ck_assert_int_ge(receiver.conn.fd, 0);
    receiver.n = 0;
    ck_assert_int_eq(loop_add(m.loop, &receiver.conn, EPOLLIN, &e), 0);
}

static void on_beat(struct timer *t)
{
    struct err e;
    uint64_t now = loop_now_ns(m.loop);
    ck_assert_msg(now < deadline_ns, "it did not come to pass");
    sinks_tick(&m, now);
    if (is_over())
        loop_stop(m.loop);
    ck_assert_int_eq(loop_timer_set(m.loop, t, now + 5000000, &e), 0);
}

static void start(const char *mode)
{
    struct err e;
    struct sockaddr_storage a;
    socklen_t size;
    char url[SOCK_ADDRESS_SIZE + 8];
    memset(&receiver, 0, sizeof receiver);
    ck_assert_int_eq(settings_address_parse(STR("127.0.0.1:0"), &a, &size, &e), 0);
    ck_assert_int_eq(sock_listen_tcp(&a, 1, &receiver.listener.fd, &e), 0);
    sock_address_url(&a, url);
    receiver.listener.on_ready = on_connection;
    receiver.conn.fd = -1;
    settings_init(&settings);
    snprintf(settings.log_events_url, sizeof settings.log_events_url, "%s/events", url);
    ck_assert_int_eq(settings_set(&settings, STR("log_events_mode"), str_of(mode), &e), 0);
    ck_assert_int_eq(loop_new(&m.loop, &e), 0);
    ck_assert_int_eq(loop_add(m.loop, &receiver.listener, EPOLLIN, &e), 0);
    ck_assert_int_eq(models_new(&m.models, &e), 0);
    ck_assert_int_eq(sinks_open(&m, &e), 0);
}

static void go_away(void)
{
    loop_remove(m.loop, &receiver.listener);
    close(receiver.listener.fd);
    receiver.listener.fd = -1;
}

static void run(bool (*until)(void))
{
    struct err e;
    is_over = until;
    beat.on_due = on_beat;
    deadline_ns = clock_mono_ns() + DEADLINE_S * UINT64_C(1000000000);
    ck_assert_int_eq(loop_timer_set(m.loop, &beat, clock_mono_ns(), &e), 0);
    ck_assert_int_eq(loop_run(m.loop, &e), 0);
}

static void finish(void)
{
    loop_timer_clear(m.loop, &beat);
    sinks_close(&m);
    models_free(m.models);
    hang_up();
    if (receiver.listener.fd >= 0)
        close(receiver.listener.fd);
    loop_free(m.loop);
}

static void take(uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++) {
        struct record r = {.head = {.kind = RECORD_FAILURE, .status = 400, .sample_weight = 1.0f, .rows = 1}};
        memcpy(r.head.id, &i, sizeof i);
        sinks_record(&m, &r);
    }
}

static yyjson_doc *shown(void)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    sinks_put(&m, &out);
    yyjson_doc *doc = yyjson_read(out.p, out.n, 0);
    ck_assert_ptr_nonnull(doc);
    buf_done(&out);
    return doc;
}

static uint64_t number(const char *path)
{
    char full[64];
    snprintf(full, sizeof full, "/0/%s", path);
    yyjson_doc *doc = shown();
    yyjson_val *value = yyjson_doc_ptr_get(doc, full);
    ck_assert_msg(yyjson_is_uint(value), "%s", full);
    uint64_t n = yyjson_get_uint(value);
    yyjson_doc_free(doc);
    return n;
}

static void expect(const char *path, uint64_t n)
{
    ck_assert_msg(number(path) == n, "%s is %llu", path, (unsigned long long)number(path));
    ck_assert_uint_eq(number("accepted"), number("sent") + number("dropped") + number("queued"));
}

static bool none_waits(void)
{
    return number("queued") == 0;
}

static bool some_failed(void)
{
    return number("failures") > 0;
}

START_TEST(events_go_in_batches)
{
    start("batch");
    take(0, 1200);
    ck_assert_uint_gt(number("queued_bytes"), 1200 * 500);
    run(none_waits);
    expect("sent", 1200);
    expect("queued_bytes", 0);
    ck_assert_uint_eq(receiver.n_events, 1200);
    ck_assert_uint_eq(receiver.n_requests, 3);
    ck_assert(strstr(receiver.head, "POST /events HTTP/1.1\r\n") == receiver.head);
    ck_assert_ptr_nonnull(strstr(receiver.head, "\r\nContent-Type: application/cloudevents-batch+json\r\n"));
    finish();
}
END_TEST

START_TEST(structured_is_one_event_a_request)
{
    start("structured");
    take(0, 3);
    run(none_waits);
    expect("sent", 3);
    ck_assert_uint_eq(receiver.n_requests, 3);
    ck_assert_ptr_nonnull(strstr(receiver.head, "\r\nContent-Type: application/cloudevents+json\r\n"));
    ck_assert_str_eq(receiver.first_id, "02000000-0000-0000-0000-000000000000");
    finish();
}
END_TEST

START_TEST(a_receiver_that_is_away_for_a_moment_gets_all_of_it)
{
    static const int AWAY[] = {503, 429, 500};
    for (int i = 0; i < 3; i++) {
        start("batch");
        receiver.statuses[0] = AWAY[i];
        take(0, 10);
        run(some_failed);
        expect("queued", 10);
        take(10, 10);
        run(none_waits);
        expect("sent", 20);
        expect("failures", 1);
        ck_assert_uint_eq(receiver.n_events, 20);
        finish();
    }
}
END_TEST

START_TEST(what_is_refused_is_not_sent_again_and_the_rest_is)
{
    start("structured");
    receiver.statuses[1] = 400;
    receiver.statuses[2] = 308;
    take(0, 4);
    run(none_waits);
    expect("sent", 2);
    expect("dropped_by/refused", 2);
    ck_assert_uint_eq(receiver.n_requests, 4);
    finish();
}
END_TEST

START_TEST(nobody_there_costs_bounded_memory_and_counted_events)
{
    start("batch");
    settings.log_sink_bytes = 64 << 10;
    go_away();
    take(0, 1000);
    run(some_failed);
    take(1000, 1000);
    ck_assert_uint_le(number("queued_bytes"), 64 << 10);
    ck_assert_uint_gt(number("queued_bytes"), 60 << 10);
    ck_assert_uint_gt(number("queued"), 50);
    expect("accepted", 2000);
    expect("dropped_by/full", 2000 - number("queued"));
    finish();
}
END_TEST

START_TEST(a_setting_that_is_loaded_again_takes_effect)
{
    struct buf out;
    start("batch");
    char url[SETTINGS_STRING_MAX];
    snprintf(url, sizeof url, "%s", settings.log_events_url);
    snprintf(settings.log_events_url, sizeof settings.log_events_url, "https://events.example/");
    take(0, 5);
    sinks_tick(&m, clock_mono_ns());
    expect("dropped_by/unavailable", 5); // what waited, and what comes
    take(5, 5);
    expect("dropped_by/unavailable", 10);
    expect("failures", 1);
    snprintf(settings.log_events_url, sizeof settings.log_events_url, "%s", url);
    sinks_tick(&m, clock_mono_ns());
    take(10, 5);
    run(none_waits);
    expect("sent", 5);
    settings.log_events_url[0] = '\0';
    sinks_tick(&m, clock_mono_ns());
    take(15, 5);
    expect("accepted", 15);
    buf_init(&out, 1 << 16);
    sinks_metrics_put(&m, &out);
    buf_putc(&out, '\0');
    ck_assert_ptr_nonnull(strstr(out.p, "slipway_log_sink_sent_total{sink=\"cloudevents\"} 5\n"));
    ck_assert_ptr_nonnull(
        strstr(out.p, "slipway_log_sink_dropped_total{sink=\"cloudevents\",reason=\"unavailable\"} 10\n"));
    ck_assert_ptr_nonnull(strstr(out.p, "slipway_log_sink_queue_bytes{sink=\"cloudevents\"} 0\n"));
    buf_done(&out);
    finish();
}
END_TEST

START_TEST(without_a_library_all_is_dropped_and_said)
{
    struct err e;
    start("batch");
    sinks_close(&m);
    settings.log_events_url[0] = '\0';
    snprintf(settings.log_kafka_brokers, sizeof settings.log_kafka_brokers, "127.0.0.1:1");
    snprintf(settings.librdkafka_library, sizeof settings.librdkafka_library, "/nowhere/librdkafka.so.1");
    ck_assert_int_eq(sinks_open(&m, &e), 0);
    take(0, 3);
    sinks_tick(&m, clock_mono_ns());
    expect("dropped_by/unavailable", 3);
    yyjson_doc *doc = shown();
    ck_assert_str_eq(yyjson_get_str(yyjson_doc_ptr_get(doc, "/0/sink")), "kafka");
    ck_assert_str_eq(yyjson_get_str(yyjson_doc_ptr_get(doc, "/0/to")), "127.0.0.1:1/slipway-predictions");
    ck_assert_ptr_nonnull(
        strstr(yyjson_get_str(yyjson_doc_ptr_get(doc, "/0/last_failure")), "librdkafka_library"));
    yyjson_doc_free(doc);
    sinks_stop(&m);
    expect("queued", 0);
    finish();
}
END_TEST

UNIT_MAIN("role/monitor/sinks", events_go_in_batches, structured_is_one_event_a_request,
          a_receiver_that_is_away_for_a_moment_gets_all_of_it,
          what_is_refused_is_not_sent_again_and_the_rest_is,
          nobody_there_costs_bounded_memory_and_counted_events, a_setting_that_is_loaded_again_takes_effect,
          without_a_library_all_is_dropped_and_said)
