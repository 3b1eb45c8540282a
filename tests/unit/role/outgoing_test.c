// SPDX-License-Identifier: Apache-2.0
// How many bytes are moved, not how long that takes.
#include "role/outgoing.h"

#include "role/ipc.h"
#include "unit.h"

#include <string.h>

static char byte_at(uint64_t i)
{
    return (char)(i * 2654435761u >> 13);
}

static void append(struct buf *b, uint64_t *n_put, size_t n)
{
    char *to = buf_reserve(b, n);
    ck_assert_ptr_nonnull(to);
    for (size_t i = 0; i < n; i++)
        to[i] = byte_at((*n_put)++);
    buf_advance(b, n);
}

static void send(struct outgoing *o, struct buf *b, uint64_t *n_sent, size_t max)
{
    struct str piece = outgoing_next(o, b, max);
    ck_assert(piece.n && piece.n <= max);
    ck_assert(piece.p[0] == byte_at(*n_sent) && piece.p[piece.n - 1] == byte_at(*n_sent + piece.n - 1));
    *n_sent += piece.n;
    outgoing_sent(o, b, piece.n);
}

// The longest answer there is.
START_TEST(an_answer_is_moved_less_than_once)
{
    struct outgoing o = {0};
    struct buf b;
    uint64_t n_put = 0, n_sent = 0;
    buf_init(&b, IPC_ANSWER_MAX);
    append(&b, &n_put, IPC_ANSWER_MAX - 12345);
    while (b.n)
        send(&o, &b, &n_sent, IPC_BODY_MAX);
    ck_assert_uint_eq(n_sent, n_put);
    ck_assert_uint_lt(o.n_moved, n_put);
    ck_assert(outgoing_next(&o, &b, 1).n == 0 && o.at == 0);
    buf_done(&b);
}
END_TEST

// Lines that come while others are sent: the buffer holds at most twice what waits.
START_TEST(what_is_appended_meanwhile_follows_and_memory_stays)
{
    enum { WAITING = 100000, LINE = 1000, PIECE = 777 };
    struct outgoing o = {0};
    struct buf b;
    uint64_t n_put = 0, n_sent = 0;
    buf_init(&b, IPC_ANSWER_MAX);
    for (int i = 0; i < 20000; i++) {
        append(&b, &n_put, LINE);
        while (n_put - n_sent > WAITING)
            send(&o, &b, &n_sent, PIECE);
        ck_assert_uint_lt(b.n, 2 * (WAITING + LINE));
    }
    while (b.n)
        send(&o, &b, &n_sent, PIECE);
    ck_assert_uint_eq(n_sent, n_put);
    ck_assert_uint_le(o.n_moved, n_sent);
    buf_done(&b);
}
END_TEST

UNIT_MAIN("role/outgoing", an_answer_is_moved_less_than_once,
          what_is_appended_meanwhile_follows_and_memory_stays)
