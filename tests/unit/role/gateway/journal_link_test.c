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
static const char ANSWER[] = "HTTP/1.1 200 OK" CONN_COMMITTED "\r\n\r\n";

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

static void commit_one(void)
{
    char record[RECORD];
    size_t bytes;
    uint64_t sequence;
    struct err e;
    ck_assert_int_eq(spool_take(&monitor, record, sizeof record, &bytes, &sequence, &e), 1);
    spool_settle(&monitor, 1, sequence, 0);
}

static void answer(void)
{
    journal_hold(g, conn);
    conn_send(conn, STR(ANSWER));
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
    ck_assert_str_eq(served_read(client), ANSWER);
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
    commit_one();
    g->journal->held_due.on_due(&g->journal->held_due); // as when the monitor tells
    ck_assert(!conn->is_held && !spool_is_awaited(&monitor));
    ck_assert_str_eq(served_read(client), ANSWER);
    end();
}
END_TEST

UNIT_MAIN("role/gateway/journal_link", nothing_goes_at_the_end_of_a_turn_but_in_the_next,
          an_answer_goes_when_its_record_is_committed)
