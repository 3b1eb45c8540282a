// SPDX-License-Identifier: Apache-2.0
// Answers that wait for the prediction log: when they go, and what they say. The test is the monitor.
#include "role/gateway/journal_link.h"

#include "role/gateway/journal.h"
#include "role/log_memory.h"
#include "served.h"
#include "unit.h"

#include <string.h>
#include <unistd.h>

enum { RECORD = 64 };
#define KEPT     "HTTP/1.1 200 OK\r\nSlipway-Log-Committed: 1\r\n\r\n"
#define NOT_KEPT "HTTP/1.1 200 OK\r\nSlipway-Log-Committed: 0\r\n\r\n"

static struct gateway *const g = &served_gateway;
static struct spool_reader monitor;
static int log_fd, client;
static struct conn *conn;

static void start(void)
{
    struct err e;
    served_start();
    ck_assert_int_eq(log_memory_new(1, SPOOL_BYTES_MIN, &log_fd, &e), 0);
    ck_assert_int_eq(journal_open(g, log_fd, &e), 0);
    ck_assert_int_eq(spool_reader_attach(&monitor, g->journal->memory, g->journal->size, &e), 0);
    conn = served_connect(&client);
}

static void end(void)
{
    close(client);
    served_end();
    close(log_fd);
}

static void put_record(void)
{
    ck_assert_ptr_nonnull(spool_reserve(&g->journal->spool, RECORD));
    spool_put(&g->journal->spool, RECORD);
    g->journal->is_dirty = true;
}

static void settle_one(bool is_kept)
{
    char record[RECORD];
    size_t bytes;
    uint64_t sequence;
    struct err e;
    ck_assert_int_eq(spool_take(&monitor, record, sizeof record, &bytes, &sequence, &e), 1);
    spool_settle(&monitor, is_kept, sequence, !is_kept);
}

static void answer(void)
{
    journal_hold(g, conn);
    conn_send(conn, STR(KEPT));
}

// As when the monitor tells that it settled something.
static void tell(void)
{
    g->journal->held_due.on_due(&g->journal->held_due);
}

// What goes is followed by what its client sent behind: at the end of a turn nobody would compute it, and its
// strings lie in an arena that is reset then.
START_TEST(nothing_goes_at_the_end_of_a_turn_but_in_the_next)
{
    start();
    answer(); // of which there is no record: it waits for nothing
    journal_turn_end(g);
    ck_assert(conn->is_held);
    ck_assert_str_eq(served_read(client), "");
    served_turn();
    ck_assert(!conn->is_held);
    ck_assert_str_eq(served_read(client), KEPT);
    end();
}
END_TEST

START_TEST(an_answer_goes_when_its_record_is_committed)
{
    start();
    put_record();
    answer();
    journal_turn_end(g);
    served_turn();
    ck_assert(conn->is_held && spool_is_awaited(&monitor));
    settle_one(true);
    tell();
    ck_assert(!conn->is_held && !spool_is_awaited(&monitor));
    ck_assert_str_eq(served_read(client), KEPT);
    end();
}
END_TEST

// A large request behind another one is answered on a connection that waits already.
START_TEST(an_answer_that_joins_another_waits_for_its_own_record)
{
    start();
    for (int i = 0; i < 2; i++) {
        put_record();
        answer();
        journal_turn_end(g);
    }
    settle_one(true);
    tell();
    conn->watch.on_ready(&conn->watch, EPOLLOUT); // of the same turn
    ck_assert_str_eq(served_read(client), "");
    settle_one(true);
    tell();
    ck_assert_str_eq(served_read(client), KEPT KEPT);
    end();
}
END_TEST

START_TEST(what_the_monitor_drops_is_no_promise_whatever_joins)
{
    start();
    put_record();
    answer();
    journal_turn_end(g);
    settle_one(false);
    put_record();
    answer();
    journal_turn_end(g);
    settle_one(true);
    tell();
    ck_assert_str_eq(served_read(client), NOT_KEPT NOT_KEPT);
    end();
}
END_TEST

START_TEST(what_finds_no_room_is_no_promise_whatever_joins)
{
    start();
    put_record();
    spool_drop(&g->journal->spool, LOG_REASON_OVERFLOW);
    answer();
    journal_turn_end(g);
    put_record();
    answer();
    journal_turn_end(g);
    for (int i = 0; i < 2; i++)
        settle_one(true);
    tell();
    ck_assert_str_eq(served_read(client), NOT_KEPT NOT_KEPT);
    end();
}
END_TEST

UNIT_MAIN("role/gateway/journal_link", nothing_goes_at_the_end_of_a_turn_but_in_the_next,
          an_answer_goes_when_its_record_is_committed, an_answer_that_joins_another_waits_for_its_own_record,
          what_the_monitor_drops_is_no_promise_whatever_joins,
          what_finds_no_room_is_no_promise_whatever_joins)
