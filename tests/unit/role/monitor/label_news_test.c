// SPDX-License-Identifier: Apache-2.0
// Labels on their way to a controller that is away, slow, or reads them.
#include "role/monitor/label_news.h"

#include "asker.h"
#include "base/clock.h"
#include "os/sock.h"
#include "role/ipc.h"
#include "role/monitor/served.h"
#include "rollout/split.h"
#include "settings/settings.h"
#include "unit.h"

#include <string.h>
#include <sys/socket.h>
#include <yyjson.h>

enum { LABELS = 50000 };

static struct settings settings;
static struct monitor m = {.log = {-1, LOG_LEVEL_ERROR, "test", -1}};
static struct timer beat;
static struct msg_conn controller; // its end
static int listener;
static char path[TEMPDIR_SIZE + 16];
static uint32_t n_heard; // labels, in order
static bool reads;

static void add(uint32_t i)
{
    struct join_row row = {
        .truth = 1,
        .outcome = {
            .kind = OUTCOME_CLASS, .class = 1, .deployment = i, .weight_bp = SPLIT_BUCKETS / 2, .arm = 1}};
    label_news_add(m.label_news, &row);
}

static void hear(const struct msg *msg)
{
    size_t i, n;
    yyjson_val *one;
    if (msg->type != IPC_LABELS)
        return;
    yyjson_doc *doc = yyjson_read(msg->payload.p, msg->payload.n, 0);
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "labels"), i, n, one)
        ck_assert_uint_eq(yyjson_get_uint(yyjson_arr_get_first(one)), n_heard++);
    yyjson_doc_free(doc);
}

// The monitor's second, and the controller's turn to read.
static void on_beat(struct timer *t)
{
    struct err e;
    struct msg msg;
    label_news_tell(&m);
    if (reads) {
        ck_assert_int_eq(msg_conn_fill(&controller, &e), 0);
        while (msg_conn_take(&controller, &msg, &e) > 0)
            hear(&msg);
    }
    if (n_heard == LABELS || !reads)
        loop_stop(m.loop);
    else
        ck_assert_int_eq(loop_timer_set(m.loop, t, clock_mono_ns() + 1000000, &e), 0);
}

static void run(void)
{
    struct err e;
    ck_assert_int_eq(loop_timer_set(m.loop, &beat, clock_mono_ns(), &e), 0);
    ck_assert_int_eq(loop_run(m.loop, &e), 0);
}

static void start(void)
{
    struct err e;
    settings_init(&settings);
    asker_start(&m, &settings);
    snprintf(path, sizeof path, "%s/control.sock", m.data_dir);
    beat.on_due = on_beat;
    ck_assert_int_eq(sock_listen_unix(path, 0600, &listener, &e), 0);
    ck_assert_int_eq(label_news_open(&m, &e), 0);
}

static void connect_it(void)
{
    struct err e;
    static struct monitor_args args;
    args = *m.args;
    args.control_path = path;
    m.args = &args;
    ck_assert_int_eq(served_start(&m, &e), 0);
    msg_conn_init(&controller, accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), IPC_PAYLOAD_MAX);
}

static void end(void)
{
    if (m.served)
        msg_conn_done(&controller);
    served_free(m.served);
    label_news_close(&m);
    close(listener);
    asker_stop(&m);
}

static uint64_t n_lost(void)
{
    struct buf page;
    buf_init(&page, 4096);
    label_news_put_metrics(m.label_news, &page);
    buf_putc(&page, '\0');
    const char *line = strstr(page.p, "\nslipway_rollout_labels_lost_total ");
    ck_assert_ptr_nonnull(line);
    uint64_t n = strtoull(strchr(line, ' '), NULL, 10);
    buf_done(&page);
    return n;
}

START_TEST(a_controller_that_is_away_or_slow_hears_all_of_it_later)
{
    start();
    uint32_t i = 0;
    for (; i < LABELS / 2; i++)
        add(i);
    run(); // to nobody
    connect_it();
    run(); // what the socket takes
    for (; i < LABELS; i++)
        add(i);
    run();
    reads = true;
    run();
    ck_assert_uint_eq(n_heard, LABELS);
    ck_assert_uint_eq(n_lost(), 0);
    end();
}
END_TEST

START_TEST(what_there_is_no_room_for_is_counted)
{
    start();
    for (uint32_t i = 0; i < LABEL_NEWS_MAX + 7; i++)
        add(i);
    run();
    ck_assert_uint_eq(n_lost(), 7);
    end();
}
END_TEST

UNIT_MAIN("role/monitor/label_news", a_controller_that_is_away_or_slow_hears_all_of_it_later,
          what_there_is_no_room_for_is_counted)
