// SPDX-License-Identifier: Apache-2.0
// What connections keep of answers that their clients do not read.
#include "role/gateway/conn.h"

#include "served.h"
#include "settings/settings.h"
#include "unit.h"

#include <sys/socket.h>
#include <unistd.h>

// More than any socket takes at once.
enum { SMALL = 1 << 12, LARGE = 16 << 20, LARGE_HELD = 8 << 20 };
static char large[LARGE], some[1 << 20];
static struct gateway *const g = &served_gateway;

static void read_all(int fd, struct conn *conn)
{
    while (conn->out.n) {
        while (recv(fd, some, sizeof some, 0) > 0)
            ;
        served_turn();
    }
}

START_TEST(unread_answers_are_counted_until_they_are_read_or_their_client_goes)
{
    int fds[2];
    served_start();
    struct conn *read = served_connect(&fds[0]), *left = served_connect(&fds[1]);
    conn_send(read, STR("small"));
    ck_assert_uint_eq(g->answer_bytes, 0);
    conn_send(read, (struct str){large, LARGE});
    ck_assert_uint_ge(g->answer_bytes, LARGE_HELD);
    conn_send(left, (struct str){large, LARGE});
    ck_assert_uint_ge(g->answer_bytes, 2 * LARGE_HELD);
    ck_assert_uint_eq(g->answer_bytes, read->out.cap + left->out.cap);
    read_all(fds[0], read);
    ck_assert_uint_eq(g->answer_bytes, left->out.cap);
    close(fds[1]);
    served_turn();
    ck_assert_uint_eq(g->n_conns, 1);
    ck_assert_uint_eq(g->answer_bytes, 0);
    close(fds[0]);
    served_end();
}
END_TEST

START_TEST(beyond_what_all_may_hold_only_small_answers_are_kept)
{
    int fds[2];
    served_start();
    struct conn *greedy = served_connect(&fds[0]), *modest = served_connect(&fds[1]);
    while (modest->out.n == 0)
        conn_send(modest, (struct str){large, SMALL});
    g->answer_bytes += GATEWAY_ANSWERS_MAX; // of others
    conn_send(modest, (struct str){large, SMALL});
    ck_assert(!modest->is_dead);
    conn_send(greedy, (struct str){large, LARGE});
    ck_assert(greedy->is_dead);
    ck_assert_uint_eq(g->answer_bytes, GATEWAY_ANSWERS_MAX + modest->out.cap);
    g->answer_bytes -= GATEWAY_ANSWERS_MAX;
    close(fds[0]);
    close(fds[1]);
    served_end();
}
END_TEST

// It would hold the memory for as long as it likes.
START_TEST(beyond_it_who_reads_slowly_gets_no_more_time)
{
    int fd;
    served_start();
    struct conn *slow = served_connect(&fd);
    conn_send(slow, (struct str){large, LARGE});
    for (int others = 0; others < 2; others++) {
        g->answer_bytes += others * (uint64_t)GATEWAY_ANSWERS_MAX;
        slow->deadline_ns = 1;
        size_t before = slow->out.n;
        while (slow->out.n == before) {
            ck_assert_int_gt(recv(fd, some, sizeof some, 0), 0);
            served_turn();
        }
        ck_assert_int_eq(slow->deadline_ns == 1, others);
    }
    g->answer_bytes -= GATEWAY_ANSWERS_MAX;
    close(fd);
    served_end();
}
END_TEST

UNIT_MAIN("role/gateway/conn", unread_answers_are_counted_until_they_are_read_or_their_client_goes,
          beyond_what_all_may_hold_only_small_answers_are_kept, beyond_it_who_reads_slowly_gets_no_more_time)
