// SPDX-License-Identifier: Apache-2.0
#include "role/supervisor/handover.h"

#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void connect_pair(struct msg_conn *a, struct msg_conn *b)
{
    struct err e;
    int fds[2];
    ck_assert_int_eq(supervision_pair(fds, &e), 0);
    supervision_init(a, fds[0]);
    supervision_init(b, fds[1]);
}

// A memfd of that size, by which it is known again.
static int file_of(off_t size)
{
    int fd = memfd_create("t", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, size), 0);
    return fd;
}

static off_t size_of(int fd)
{
    struct stat st;
    ck_assert_int_eq(fstat(fd, &st), 0);
    return st.st_size;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

START_TEST(records_and_descriptors_arrive_together)
{
    struct msg_conn a, b;
    struct err e;
    connect_pair(&a, &b);
    struct handover *out = handover_new(), *in = handover_new();
    ck_assert_int_eq(handover_keep(out, -1), -1);
    int fds[11];
    for (int i = 0; i < 11; i++) {
        fds[i] = file_of(100 + i);
        ck_assert_int_eq(handover_keep(out, fds[i]), i);
    }
    handover_put(out, HANDOVER_SERVER, &(struct handover_server){.format = 1, .n_gateways = 3},
                 sizeof(struct handover_server));
    handover_put(out, HANDOVER_FLAGS, "a\0b", 4);
    // msg_conn may queue: what does not fit the socket at once is sent by the loop.
    ck_assert_int_eq(handover_send(out, &a, &e), 0);
    ck_assert_uint_eq(msg_conn_pending(&a), 0);
    // The controller sends on what it got.
    struct supervision_message m;
    struct msg_conn c, d;
    connect_pair(&c, &d);
    for (int last = 0; !last;) {
        ck_assert_int_eq(msg_conn_fill(&b, &e), 0);
        while (supervision_take(&b, SUPERVISION_FROM_SUPERVISOR, &m, &e) > 0) {
            last = m.type == SUPERVISION_STATE;
            ck_assert_int_eq(supervision_send(&c, m.type, last ? &m.state : NULL, m.fds, m.n_fds, &e), 0);
            for (unsigned i = 0; i < m.n_fds; i++)
                close(m.fds[i]);
        }
    }
    ck_assert_int_eq(handover_receive(in, &d, &e), 0);
    struct handover_server s;
    ck_assert_uint_eq(handover_peek(in), HANDOVER_SERVER);
    handover_next(in, &s, sizeof s);
    ck_assert_uint_eq(s.n_gateways, 3);
    struct str flags = handover_next_bytes(in);
    ck_assert_uint_eq(flags.n, 4);
    ck_assert_mem_eq(flags.p, "a\0b", 4);
    ck_assert_uint_eq(handover_peek(in), 0);
    int taken = handover_take(in, 7), left = in->fds[8];
    ck_assert_int_eq(size_of(taken), 107);
    ck_assert_int_eq(handover_take(in, 7), -1); // once
    ck_assert_int_eq(handover_take(in, 11), -1);
    ck_assert_int_eq(handover_take(in, -1), -1);
    handover_free(in);
    ck_assert(is_open(taken) && !is_open(left));
    handover_free(out);
    ck_assert(is_open(fds[0])); // the sender's stay its own
    msg_conn_done(&a);
    msg_conn_done(&b);
    msg_conn_done(&c);
    msg_conn_done(&d);
}
END_TEST

// A record of a newer or an older binary, longer or shorter than ours.
START_TEST(records_may_grow_at_their_ends)
{
    struct handover *h = handover_new();
    const char longer[16] = "abcdefghijklmno";
    handover_put(h, HANDOVER_CHILD, longer, sizeof longer);
    handover_put(h, HANDOVER_CHILD, longer, 4);
    char got[8];
    handover_next(h, got, sizeof got);
    ck_assert_mem_eq(got, "abcdefgh", 8);
    handover_next(h, got, sizeof got);
    ck_assert_mem_eq(got, "abcd\0\0\0\0", 8);
    memset(got, 'x', sizeof got);
    handover_next(h, got, sizeof got); // at the end
    ck_assert_mem_eq(got, "\0\0\0\0\0\0\0\0", 8);
    handover_free(h);
}
END_TEST

START_TEST(a_record_that_is_cut_off_ends_the_list)
{
    struct handover *h = handover_new();
    handover_put(h, HANDOVER_CHILD, "abcd", 4);
    h->records.n--;
    ck_assert_uint_eq(handover_peek(h), 0);
    h->records.n = 5;
    ck_assert_uint_eq(handover_peek(h), 0);
    handover_free(h);
}
END_TEST

// One part of a message list is missing, or the other end is gone in the middle of it.
START_TEST(a_state_that_is_not_whole_is_refused)
{
    for (int missing = 0; missing < 2; missing++) {
        struct msg_conn a, b;
        struct err e;
        connect_pair(&a, &b);
        struct handover *in = handover_new();
        int fd = file_of(1);
        ck_assert_int_eq(supervision_send(&a, SUPERVISION_KEEP, NULL, &fd, 1, &e), 0);
        if (missing)
            ck_assert_int_eq(
                supervision_send(&a, SUPERVISION_STATE, &(struct supervision_state){.n_kept = 2}, &fd, 1, &e),
                0);
        else
            msg_conn_done(&a);
        ck_assert_int_eq(handover_receive(in, &b, &e), missing ? ERR_INVALID : ERR_UNAVAILABLE);
        handover_free(in);
        close(fd);
        if (missing)
            msg_conn_done(&a);
        msg_conn_done(&b);
    }
}
END_TEST

START_TEST(more_than_may_be_kept_fails_whole)
{
    struct msg_conn a, b;
    struct err e;
    connect_pair(&a, &b);
    struct handover *h = handover_new();
    for (int i = 0; i < HANDOVER_FDS_MAX; i++)
        ck_assert_int_eq(handover_keep(h, 0), i);
    ck_assert_int_eq(handover_keep(h, 0), -1);
    ck_assert_int_eq(handover_send(h, &a, &e), ERR_NOMEM);
    handover_free(h);
    msg_conn_done(&a);
    msg_conn_done(&b);
}
END_TEST

UNIT_MAIN("role/supervisor/handover", records_and_descriptors_arrive_together, records_may_grow_at_their_ends,
          a_record_that_is_cut_off_ends_the_list, a_state_that_is_not_whole_is_refused,
          more_than_may_be_kept_fails_whole)
