// SPDX-License-Identifier: Apache-2.0
#include "role/supervision.h"

#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void connect_pair(struct msg_conn *a, struct msg_conn *b)
{
    struct err e;
    int fds[2];
    ck_assert_int_eq(supervision_pair(fds, &e), 0);
    supervision_init(a, fds[0]);
    supervision_init(b, fds[1]);
}

static struct supervision_serve serve(void)
{
    return (struct supervision_serve){.deployment = 7,
                                      .version = 3,
                                      .model = "churn",
                                      .engine = "onnx",
                                      .digest = "sha256:00",
                                      .replicas = 2,
                                      .threads = 1,
                                      .optimization = "all",
                                      .provider = "cpu"};
}

static int take(struct msg_conn *c, enum supervision_sender from, struct supervision_message *m)
{
    struct err e;
    ck_assert_int_eq(msg_conn_fill(c, &e), 0);
    return supervision_take(c, from, m, &e);
}

START_TEST(a_message_arrives_as_it_was_sent)
{
    struct err e;
    struct msg_conn a, b;
    struct supervision_message m;
    struct supervision_serve s = serve();
    connect_pair(&a, &b);
    int fds[2] = {open("/dev/null", O_RDONLY), open("/dev/null", O_RDONLY)};
    ck_assert_int_eq(supervision_send(&a, SUPERVISION_SERVE, &s, fds, 2, &e), 0);
    ck_assert_int_eq(supervision_send(&a, SUPERVISION_COMPLETE, NULL, NULL, 0, &e), 0);
    ck_assert_int_eq(take(&b, SUPERVISION_FROM_CONTROLLER, &m), 1);
    ck_assert_int_eq(m.type, SUPERVISION_SERVE);
    ck_assert_mem_eq(&m.serve, &s, sizeof s);
    ck_assert_uint_eq(m.n_fds, 2);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(close(m.fds[i]), 0);
    ck_assert_int_eq(supervision_take(&b, SUPERVISION_FROM_CONTROLLER, &m, &e), 1);
    ck_assert_int_eq(m.type, SUPERVISION_COMPLETE);
    ck_assert_int_eq(supervision_take(&b, SUPERVISION_FROM_CONTROLLER, &m, &e), 0);
    msg_conn_done(&a);
    msg_conn_done(&b);
}
END_TEST

START_TEST(nobody_says_what_is_another_s_to_say)
{
    struct err e;
    struct msg_conn a, b;
    struct supervision_message m;
    struct supervision_withdraw w = {7};
    connect_pair(&a, &b);
    ck_assert_int_eq(supervision_send(&a, SUPERVISION_WITHDRAW, &w, NULL, 0, &e), 0);
    ck_assert_int_eq(take(&b, SUPERVISION_FROM_REPLICA, &m), ERR_INVALID);
    msg_conn_done(&a);
    msg_conn_done(&b);
}
END_TEST

// Sends `n` bytes as `type` with n_fds descriptors; what supervision_take says to it.
static int send_raw(uint16_t type, const void *p, size_t n, unsigned n_fds)
{
    struct err e;
    struct msg_conn a, b;
    struct supervision_message m;
    int null = open("/dev/null", O_RDONLY), fds[3] = {null, null, null};
    connect_pair(&a, &b);
    ck_assert_int_eq(msg_conn_send(&a, type, (struct str){p, n}, fds, (uint16_t)n_fds, &e), 0);
    int below = dup(null);
    close(below);
    int got = take(&b, (enum supervision_sender)7, &m);
    if (got < 0) { // nothing was kept
        int now = dup(null);
        ck_assert_int_eq(now, below);
        close(now);
    }
    for (unsigned i = 0; got == 1 && i < m.n_fds; i++)
        close(m.fds[i]);
    msg_conn_done(&a);
    msg_conn_done(&b);
    close(null);
    return got;
}

START_TEST(what_is_not_as_agreed_is_refused)
{
    struct supervision_serve s = serve();
    struct supervision_failed f = {.why = "no such operator"};
    struct supervision_replica r = {.state = 3};
    ck_assert_int_eq(send_raw(SUPERVISION_SERVE, &s, sizeof s, 2), 1);
    ck_assert_int_eq(send_raw(SUPERVISION_SERVE, &s, sizeof s, 0), 1);
    ck_assert_int_eq(send_raw(SUPERVISION_SERVE, &s, sizeof s, 1), ERR_INVALID);
    ck_assert_int_eq(send_raw(SUPERVISION_SERVE, &s, sizeof s, 3), ERR_INVALID);
    ck_assert_int_eq(send_raw(SUPERVISION_SERVE, &s, sizeof s - 1, 2), ERR_INVALID);
    ck_assert_int_eq(send_raw(SUPERVISION_LINK, &s, sizeof(struct supervision_link), 0), ERR_INVALID);
    ck_assert_int_eq(send_raw(SUPERVISION_PING, "x", 1, 0), ERR_INVALID);
    ck_assert_int_eq(send_raw(0, "", 0, 0), ERR_INVALID);
    ck_assert_int_eq(send_raw(99, "", 0, 0), ERR_INVALID);
    s.threads = 0;
    ck_assert_int_eq(send_raw(SUPERVISION_SERVE, &s, sizeof s, 2), ERR_INVALID);
    s = serve();
    memset(s.provider, 'x', sizeof s.provider);
    ck_assert_int_eq(send_raw(SUPERVISION_SERVE, &s, sizeof s, 2), ERR_INVALID);
    ck_assert_int_eq(send_raw(SUPERVISION_FAILED, &f, sizeof f, 0), 1);
    memset(f.why, 'x', sizeof f.why);
    ck_assert_int_eq(send_raw(SUPERVISION_FAILED, &f, sizeof f, 0), ERR_INVALID);
    ck_assert_int_eq(send_raw(SUPERVISION_REPLICA, &r, sizeof r, 0), 1);
    r.state = 99;
    ck_assert_int_eq(send_raw(SUPERVISION_REPLICA, &r, sizeof r, 0), ERR_INVALID);
}
END_TEST

START_TEST(settings_arrive_whole_and_their_texts_end)
{
    struct err e;
    struct msg_conn a, b;
    struct supervision_message m;
    struct supervision_settings s;
    connect_pair(&a, &b);
    settings_init(&s.settings);
    s.settings.max_body_bytes = 12345;
    ck_assert_int_eq(supervision_send(&a, SUPERVISION_SETTINGS, &s, NULL, 0, &e), 0);
    ck_assert_int_eq(take(&b, SUPERVISION_FROM_SUPERVISOR, &m), 1);
    ck_assert_int_eq(m.type, SUPERVISION_SETTINGS);
    ck_assert_mem_eq(&m.settings, &s, sizeof s);
    memset(s.settings.onnxruntime_library, 'x', sizeof s.settings.onnxruntime_library);
    ck_assert_int_eq(supervision_send(&a, SUPERVISION_SETTINGS, &s, NULL, 0, &e), 0);
    ck_assert_int_eq(take(&b, SUPERVISION_FROM_SUPERVISOR, &m), ERR_INVALID);
    ck_assert_int_eq(supervision_send(&a, SUPERVISION_SETTINGS, &s, NULL, 0, &e), 0);
    ck_assert_int_eq(take(&b, SUPERVISION_FROM_CONTROLLER, &m), ERR_INVALID);
    msg_conn_done(&a);
    msg_conn_done(&b);
}
END_TEST

UNIT_MAIN("role/supervision", a_message_arrives_as_it_was_sent, nobody_says_what_is_another_s_to_say,
          what_is_not_as_agreed_is_refused, settings_arrive_whole_and_their_texts_end)
