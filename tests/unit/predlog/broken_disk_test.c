// SPDX-License-Identifier: Apache-2.0
// A disk that fails at the Nth call, or is full, under the writer and the sealer: what was said to be durable
// is there, each line once, whatever failed; and once the disk works again, all goes on.
#include "../../faults/io_shim.h"
#include "logbook.h"
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

enum { ROUNDS = 12, BATCH = 5, CALLS_MAX = 400 };

static struct logbook l;
static struct io_plan plan;
static bool seen[ROUNDS * BATCH * 4];

static void plan_fail(uint32_t at, int error, bool sticky)
{
    plan = (struct io_plan){.action = IO_ACTION_FAIL,
                            .kinds = IO_KIND_WRITE | IO_KIND_SYNC | IO_KIND_NAME | IO_KIND_SIZE,
                            .files = UINT32_MAX & ~(uint32_t)IO_FILE_SOCKET,
                            .error = (uint32_t)error,
                            .ignored_syncs = UINT32_MAX, // no power is cut here
                            .is_sticky = sticky,
                            .at = at};
    plan.is_armed = 1;
}

static int note(void *ctx, struct str line, struct yyjson_val *root, struct err *e)
{
    (void)ctx, (void)root, (void)e;
    uint64_t seq = strtoull(line.p + 7, NULL, 10);
    ck_assert_uint_lt(seq, sizeof seen);
    ck_assert_msg(!seen[seq], "line %d twice", (int)seq);
    seen[seq] = true;
    return 0;
}

static void all_committed_are_there(uint64_t committed)
{
    struct predlog_query_done done;
    const struct predlog_query q = {0};
    struct err e;
    memset(seen, 0, sizeof seen);
    ck_assert_msg(predlog_query(l.dir, &q, note, NULL, &done, &e) == 0, "%s", e.msg);
    for (uint64_t seq = 1; seq <= committed; seq++)
        ck_assert_msg(seen[seq], "%d of %d is not there", (int)seq, (int)committed);
}

// Some rounds of work, as the monitor does it: what fails is tried again in the next round.
static bool work(int rounds)
{
    bool failed = false;
    struct seal_done done;
    struct err e;
    for (int i = 0; i < rounds; i++) {
        for (int k = 0; k < BATCH; k++)
            logbook_add(&l, k % 3);
        failed |= wal_commit(l.wal, l.wall_ns, l.mono_ns, &e) != 0;
        if (i % 4 != 3)
            continue;
        uint64_t before = wal_rotate(l.wal, true, l.mono_ns);
        failed |= predlog_seal(l.wal_fd, l.log_fd, before, &done, &e) != 0;
    }
    return failed;
}

static void fail_each_call(int error, bool sticky)
{
    bool failed = true;
    uint32_t at = 1;
    for (; failed && at < CALLS_MAX; at++) {
        logbook_init(&l);
        plan_fail(at, error, sticky);
        io_shim_attach(&plan, l.dir, -1);
        failed = work(ROUNDS);
        plan.is_armed = 0;
        all_committed_are_there(wal_committed_seq(l.wal));
        ck_assert_msg(!work(1), "the disk works again");
        ck_assert_uint_eq(wal_committed_seq(l.wal), wal_next_seq(l.wal) - 1);
        all_committed_are_there(wal_committed_seq(l.wal));
        io_shim_detach();
        struct predlog_verify v;
        ck_assert_msg(logbook_faults(&l, &v) == 0 && v.n_gaps == 0, "call %u", at);
        uint64_t next = wal_next_seq(l.wal);
        logbook_open(&l, next);
        ck_assert_uint_ge(logbook_add(&l, 0), next);
        logbook_done(&l);
    }
    ck_assert_uint_gt(at, 40);
    ck_assert_uint_lt(at, CALLS_MAX);
}

START_TEST(any_call_may_fail_once)
{
    fail_each_call(EIO, false);
}
END_TEST

START_TEST(any_call_may_be_the_first_that_finds_the_disk_full)
{
    fail_each_call(ENOSPC, true);
}
END_TEST

// Writes that the kernel cuts short, at every size that a file may have: what it took of a batch is not there
// twice, nor in the way of what follows.
START_TEST(a_write_may_be_cut_short_anywhere)
{
    struct rlimit none, room;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &none), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t size = 0; size < 4000; size += 43) {
        logbook_init(&l);
        room = (struct rlimit){.rlim_cur = size, .rlim_max = none.rlim_max};
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &room), 0);
        bool failed = work(3);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
        ck_assert(failed);
        all_committed_are_there(wal_committed_seq(l.wal));
        ck_assert(!work(1));
        all_committed_are_there(wal_next_seq(l.wal) - 1);
        struct predlog_verify v;
        ck_assert_uint_eq(logbook_faults(&l, &v), 0);
        logbook_done(&l);
    }
}
END_TEST

UNIT_MAIN("predlog/broken_disk", any_call_may_fail_once, any_call_may_be_the_first_that_finds_the_disk_full,
          a_write_may_be_cut_short_anywhere)
