// SPDX-License-Identifier: Apache-2.0
#include "os/msg.h"

#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static int n_open_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void open_pair(struct msg_conn *a, struct msg_conn *b, uint32_t max_payload, int buffer_bytes)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    if (buffer_bytes) {
        setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
        setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
    }
    msg_conn_init(a, fds[0], max_payload);
    msg_conn_init(b, fds[1], max_payload);
}

// A descriptor that can be recognised at the other end.
static int tagged_fd(uint32_t tag)
{
    int fd = memfd_create("tag", MFD_CLOEXEC);
    ck_assert_int_eq(write(fd, &tag, sizeof tag), sizeof tag);
    return fd;
}

static void check_tag(int fd, uint32_t tag)
{
    uint32_t got = 0;
    ck_assert_int_eq(pread(fd, &got, sizeof got, 0), sizeof got);
    ck_assert_uint_eq(got, tag);
    ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

enum { MAX = 40000, TYPES = 1000 };

// What message `i` of a run looks like, for both ends.
static void describe(uint32_t i, uint32_t seed, char *payload, size_t *ret_n, uint16_t *ret_n_fds)
{
    uint32_t r = seed + i * 2654435761u;
    static const size_t sizes[] = {0, 1, 7, 100, 4000, 16384, MAX};
    *ret_n = sizes[next_random(&r) % 7];
    uint32_t f = next_random(&r) % 8;
    *ret_n_fds = (uint16_t)(f > 3 ? f - 3 : 0);
    for (size_t k = 0; k < *ret_n; k++)
        payload[k] = (char)(i + k);
}

static void check_message(const struct msg *m, uint32_t i, uint32_t seed)
{
    static char want[MAX];
    size_t n;
    uint16_t n_fds;
    describe(i, seed, want, &n, &n_fds);
    ck_assert_uint_eq(m->type, i % TYPES);
    ck_assert_uint_eq(m->payload.n, n);
    ck_assert(n == 0 || memcmp(m->payload.p, want, n) == 0);
    ck_assert_uint_eq(m->n_fds, n_fds);
    for (uint16_t k = 0; k < n_fds; k++)
        check_tag(m->fds[k], i * 10 + k);
}

static void send_message(struct msg_conn *c, uint32_t i, uint32_t seed)
{
    static char payload[MAX];
    size_t n;
    uint16_t n_fds;
    struct err e;
    int fds[MSG_FDS_MAX] = {-1, -1, -1, -1};
    describe(i, seed, payload, &n, &n_fds);
    for (uint16_t k = 0; k < n_fds; k++)
        fds[k] = tagged_fd(i * 10 + k);
    ck_assert_int_eq(msg_conn_send(c, (uint16_t)(i % TYPES), (struct str){payload, n}, fds, n_fds, &e), 0);
    for (uint16_t k = 0; k < n_fds; k++)
        close(fds[k]);
}

START_TEST(messages_and_descriptors_survive_any_split)
{
    enum { N = 300 };
    uint32_t seed = 1000 + (uint32_t)_i * 77;
    int before = n_open_fds();
    struct msg_conn a, b;
    struct err e;
    open_pair(&a, &b, MAX, 2048); // the kernel's least: a large message takes many writes
    uint32_t sent = 0, got = 0, dice = seed;
    while (got < N) {
        uint32_t what = next_random(&dice) % 3;
        if (what == 0 && sent < N && msg_conn_pending(&a) < 200000)
            send_message(&a, sent++, seed);
        else if (what == 1)
            ck_assert_int_eq(msg_conn_flush(&a, &e), 0);
        else
            ck_assert_int_eq(msg_conn_fill(&b, &e), 0);
        struct msg m;
        int taken;
        while ((taken = msg_conn_take(&b, &m, &e)) == 1)
            check_message(&m, got++, seed);
        ck_assert_int_eq(taken, 0);
    }
    ck_assert_uint_eq(msg_conn_pending(&a), 0);
    msg_conn_done(&a);
    ck_assert_int_eq(msg_conn_fill(&b, &e), ERR_UNAVAILABLE);
    msg_conn_done(&b);
    ck_assert_int_eq(n_open_fds(), before);
}
END_TEST

START_TEST(the_stream_may_come_byte_by_byte)
{
    struct msg_conn a, b;
    struct err e;
    open_pair(&a, &b, 100, 0);
    static const char frame[] = {3, 0, 0, 0, 9, 0, 0, 0, 'a', 'b', 'c'};
    struct msg m;
    for (size_t i = 0; i < sizeof frame; i++) {
        ck_assert_int_eq(write(a.fd, frame + i, 1), 1);
        ck_assert_int_eq(msg_conn_fill(&b, &e), 0);
        ck_assert_int_eq(msg_conn_take(&b, &m, &e), i + 1 == sizeof frame);
    }
    ck_assert_uint_eq(m.type, 9);
    ck_assert(str_eq(m.payload, STR("abc")));
    msg_conn_done(&a);
    msg_conn_done(&b);
}
END_TEST

START_TEST(what_came_before_the_end_is_still_taken)
{
    struct msg_conn a, b;
    struct err e;
    struct msg m;
    open_pair(&a, &b, 100, 0);
    ck_assert_int_eq(msg_conn_send(&a, 5, STR("last words"), NULL, 0, &e), 0);
    msg_conn_done(&a);
    ck_assert_int_eq(msg_conn_fill(&b, &e), 0);
    ck_assert(b.closed);
    ck_assert_int_eq(msg_conn_take(&b, &m, &e), 1);
    ck_assert(str_eq(m.payload, STR("last words")));
    ck_assert_int_eq(msg_conn_fill(&b, &e), ERR_UNAVAILABLE);
    ck_assert_int_eq(msg_conn_send(&b, 1, STR("x"), NULL, 0, &e), ERR_UNAVAILABLE);
    msg_conn_done(&b);
}
END_TEST

// Writes n bytes with n_fds descriptors straight into the socket, as a broken peer would.
static void send_raw(int sock, const char *p, size_t n, int n_fds)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(64 * sizeof(int))] = {0};
    struct iovec io = {(void *)(uintptr_t)p, n};
    struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1};
    if (n_fds) {
        h.msg_control = control;
        h.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
        struct cmsghdr *cm = CMSG_FIRSTHDR(&h);
        *cm = (struct cmsghdr){.cmsg_len = CMSG_LEN((size_t)n_fds * sizeof(int)),
                               .cmsg_level = SOL_SOCKET,
                               .cmsg_type = SCM_RIGHTS};
        for (int i = 0; i < n_fds; i++)
            memcpy(CMSG_DATA(cm) + (size_t)i * sizeof(int), &sock, sizeof(int));
    }
    ck_assert_int_eq(sendmsg(sock, &h, 0), n);
}

static const struct broken {
    const char *why, *bytes;
    size_t n;
    int n_fds, fill, take;
} BROKEN[] = {
    {"payload over the limit", "\x65\0\0\0\1\0\0\0", 8, 0, 0, ERR_INVALID},
    {"payload of 4 GiB", "\xff\xff\xff\xff\1\0\0\0", 8, 0, 0, ERR_INVALID},
    {"announces a descriptor that did not come", "\0\0\0\0\1\0\1\0", 8, 0, 0, ERR_INVALID},
    {"announces five descriptors", "\0\0\0\0\1\0\5\0", 8, 5, 0, ERR_INVALID},
    {"a descriptor that was not announced", "\0\0\0\0\1\0\0\0", 8, 1, 0, ERR_INVALID},
    {"twenty descriptors", "\0\0\0\0\1\0\1\0", 8, 20, ERR_INVALID, 0},
    {"descriptors before any message", "\5\0\0", 3, 5, 0, ERR_INVALID},
};

START_TEST(broken_streams_are_refused)
{
    const struct broken *k = &BROKEN[_i];
    int before = n_open_fds();
    struct msg_conn a, b;
    struct msg m;
    struct err e;
    open_pair(&a, &b, 100, 0);
    send_raw(a.fd, k->bytes, k->n, k->n_fds);
    ck_assert_msg(msg_conn_fill(&b, &e) == k->fill, "%s", k->why);
    int taken = 0;
    while (k->fill == 0 && (taken = msg_conn_take(&b, &m, &e)) == 1)
        ;
    ck_assert_msg(taken == k->take, "%s: %d", k->why, taken);
    msg_conn_done(&a);
    msg_conn_done(&b);
    ck_assert_int_eq(n_open_fds(), before);
}
END_TEST

START_TEST(limits_of_the_sender)
{
    struct msg_conn a, b;
    struct err e;
    int before = n_open_fds();
    open_pair(&a, &b, 100, 2048);
    char big[101] = {0};
    ck_assert_int_eq(msg_conn_send(&a, 1, (struct str){big, 101}, NULL, 0, &e), ERR_TOO_LARGE);
    int n = 0, code;
    while ((code = msg_conn_send(&a, 1, (struct str){big, 100}, NULL, 0, &e)) == 0)
        n++;
    ck_assert_int_eq(code, ERR_BUSY);
    ck_assert_int_gt(n, 1000);
    // What was queued arrives whole, no more and no less.
    struct msg m;
    int got = 0;
    while (got < n) {
        ck_assert_int_eq(msg_conn_fill(&b, &e), 0);
        while (msg_conn_take(&b, &m, &e) == 1)
            got++;
        ck_assert_int_eq(msg_conn_flush(&a, &e), 0);
    }
    ck_assert_uint_eq(msg_conn_pending(&a), 0);
    ck_assert_int_eq(msg_conn_fill(&b, &e), 0);
    ck_assert_int_eq(msg_conn_take(&b, &m, &e), 0);
    int bad = 999;
    ck_assert_int_eq(msg_conn_send(&a, 1, STR("x"), &bad, 1, &e), ERR_IO);
    ck_assert_uint_eq(msg_conn_pending(&a), 0);
    msg_conn_done(&a);
    msg_conn_done(&b);
    ck_assert_int_eq(n_open_fds(), before);
}
END_TEST

START_TEST(many_messages_with_descriptors_may_wait_in_the_socket)
{
    enum { N = 60 };
    struct msg_conn a, b;
    struct err e;
    struct msg m;
    open_pair(&a, &b, 100, 0);
    for (uint32_t i = 0; i < N; i++) {
        int fd = tagged_fd(i);
        ck_assert_int_eq(msg_conn_send(&a, 1, STR("x"), &fd, 1, &e), 0);
        close(fd);
    }
    uint32_t got = 0;
    while (got < N) {
        ck_assert_int_eq(msg_conn_fill(&b, &e), 0);
        while (msg_conn_take(&b, &m, &e) == 1)
            check_tag(m.fds[0], got++);
    }
    msg_conn_done(&a);
    msg_conn_done(&b);
}
END_TEST

START_TEST(descriptors_that_wait_are_closed_at_the_end)
{
    int before = n_open_fds();
    struct msg_conn a, b;
    struct err e;
    open_pair(&a, &b, MAX, 2048);
    for (uint32_t i = 0; i < 40; i++)
        send_message(&a, i, 5);
    ck_assert_int_eq(msg_conn_fill(&b, &e), 0);
    msg_conn_done(&a);
    msg_conn_done(&b);
    ck_assert_int_eq(n_open_fds(), before);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("os/msg");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, UNIT_SECONDS);
    tcase_add_loop_test(c, messages_and_descriptors_survive_any_split, 0, 10);
    tcase_add_loop_test(c, broken_streams_are_refused, 0, sizeof BROKEN / sizeof BROKEN[0]);
    tcase_add_test(c, the_stream_may_come_byte_by_byte);
    tcase_add_test(c, what_came_before_the_end_is_still_taken);
    tcase_add_test(c, limits_of_the_sender);
    tcase_add_test(c, many_messages_with_descriptors_may_wait_in_the_socket);
    tcase_add_test(c, descriptors_that_wait_are_closed_at_the_end);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
