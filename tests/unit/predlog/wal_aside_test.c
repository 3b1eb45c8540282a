// SPDX-License-Identifier: Apache-2.0
// Files of the write-ahead log that cannot be opened: the writer goes on, the others are sealed.
#include "predlog/manifest.h"

#include "logbook.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { N = 40 }; // records of a file

static struct logbook l;
static struct {
    uint64_t first; // of the file that cannot be opened; 0: all can
    int error;
} closed;

int closed_openat(int dir, const char *name, int flags, mode_t mode) __asm__("openat64");
int closed_openat(int dir, const char *name, int flags, mode_t mode)
{
    uint64_t first;
    if (closed.first && wal_name_read(name, &first) && first == closed.first) {
        errno = closed.error;
        return -1;
    }
    return (int)syscall(SYS_openat, dir, name, flags, mode);
}

static void set_up(uint64_t first, int error)
{
    logbook_init(&l);
    for (int file = 0; file < 3; file++) {
        for (int i = 0; i < N; i++)
            logbook_add(&l, i % 3);
        logbook_commit(&l);
        wal_rotate(l.wal, true, l.mono_ns);
    }
    closed.first = first;
    closed.error = error;
}

static void tear_down(void)
{
    closed.first = 0;
    logbook_done(&l);
}

static void path_of(uint64_t first, const char *end, char ret[TEMPDIR_SIZE + 64])
{
    snprintf(ret, TEMPDIR_SIZE + 64, "%s/state/wal/%020llu.wal%s", l.dir, (unsigned long long)first, end);
}

static uint32_t n_aside(void)
{
    uint32_t n;
    struct err e;
    ck_assert_int_eq(wal_count_aside(l.wal_fd, &n, &e), 0);
    return n;
}

START_TEST(a_file_that_cannot_be_opened_does_not_hold_up_the_others)
{
    static const int ERRORS[] = {EACCES, EIO, ELOOP, ENXIO};
    struct predlog_verify v;
    for (size_t i = 0; i < sizeof ERRORS / sizeof ERRORS[0]; i++) {
        set_up(N + 1, ERRORS[i]);
        ck_assert_uint_eq(n_aside(), 0);
        struct seal_done done = logbook_seal(&l);
        ck_assert(done.n_files == 2 && done.n_aside == 1 && done.aside == N + 1 && done.records == 2 * N + 1);
        ck_assert(strstr(done.aside_why, strerrordesc_np(ERRORS[i])) != NULL);
        ck_assert(done.n_gaps == 1 && done.lost_records == N); // its neighbours tell
        ck_assert_uint_eq(n_aside(), 1);
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){0}), 2 * N);
        ck_assert_uint_eq(logbook_faults(&l, &v), 0);
        ck_assert(v.gap_records == N && v.n_wal_files == 0);
        done = logbook_seal(&l);
        ck_assert(done.n_files == 0 && done.n_aside == 0 && done.n_gaps == 0);
        tear_down();
    }
}
END_TEST

// Its records then come as well, and nothing else is said to be missing.
START_TEST(a_file_that_has_its_name_back_is_sealed)
{
    char aside[TEMPDIR_SIZE + 64], back[TEMPDIR_SIZE + 64];
    struct predlog_verify v;
    set_up(N + 1, EACCES);
    (void)logbook_seal(&l);
    closed.first = 0;
    path_of(N + 1, WAL_ASIDE, aside);
    path_of(N + 1, "", back);
    ck_assert_int_eq(rename(aside, back), 0);
    struct seal_done done = logbook_seal(&l);
    ck_assert(done.n_files == 1 && done.records == N && done.n_gaps == 0 && done.n_aside == 0);
    ck_assert_uint_eq(n_aside(), 0);
    ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){0}), 3 * N);
    ck_assert_uint_eq(logbook_faults(&l, &v), 0);
    tear_down();
}
END_TEST

START_TEST(what_is_no_file_is_set_aside)
{
    char path[TEMPDIR_SIZE + 64];
    set_up(0, 0);
    path_of(N + 1, "", path);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0); // opening it would wait for who writes it
    struct seal_done done = logbook_seal(&l);
    ck_assert(done.n_files == 2 && done.n_aside == 1 && done.n_gaps == 1);
    ck_assert_uint_eq(done.lost_records, 0); // nothing tells
    ck_assert_ptr_nonnull(strstr(done.aside_why, "no regular file"));
    tear_down();
}
END_TEST

// Nothing is wrong with the file then: it is sealed when there is room again.
START_TEST(nothing_is_set_aside_where_no_file_can_be_opened)
{
    static const int ERRORS[] = {EMFILE, ENFILE, ENOMEM, EINTR};
    struct seal_done done;
    struct err e;
    for (size_t i = 0; i < sizeof ERRORS / sizeof ERRORS[0]; i++) {
        set_up(N + 1, ERRORS[i]);
        uint64_t before = wal_rotate(l.wal, true, l.mono_ns);
        ck_assert_int_lt(predlog_seal(l.wal_fd, l.log_fd, before, &done, &e), 0);
        ck_assert(done.n_files == 1 && done.n_aside == 0);
        closed.first = 0;
        done = logbook_seal(&l);
        ck_assert(done.n_files == 2 && done.n_gaps == 0);
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){0}), 3 * N);
        tear_down();
    }
}
END_TEST

START_TEST(a_newest_file_that_cannot_be_opened_does_not_stop_the_writer)
{
    struct predlog_verify v;
    set_up(2 * N + 1, EIO);
    logbook_open(&l, 1);
    ck_assert(l.found.n_files == 3 && l.found.n_damaged == 1 && l.found.n_records == 0);
    ck_assert_uint_gt(l.found.lost_bytes, N * RECORD_HEAD_BYTES);
    ck_assert_uint_gt(logbook_add(&l, 0), 3 * N); // none of its numbers comes again
    logbook_commit(&l);
    struct seal_done done = logbook_seal(&l);
    ck_assert(done.n_files == 3 && done.n_aside == 1 && done.n_gaps == 1);
    ck_assert_uint_eq(done.lost_records, 0); // a server began in between
    ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){0}), 2 * N + 1);
    ck_assert_uint_eq(logbook_faults(&l, &v), 0);
    tear_down();
}
END_TEST

START_TEST(an_older_file_that_cannot_be_opened_is_not_asked_for)
{
    set_up(N + 1, EIO);
    logbook_open(&l, 1);
    ck_assert(l.found.n_files == 3 && l.found.n_damaged == 0 && l.found.n_records == N);
    ck_assert_uint_eq(logbook_add(&l, 0), 3 * N + 1);
    tear_down();
}
END_TEST

UNIT_MAIN("predlog/wal_aside", a_file_that_cannot_be_opened_does_not_hold_up_the_others,
          a_file_that_has_its_name_back_is_sealed, what_is_no_file_is_set_aside,
          nothing_is_set_aside_where_no_file_can_be_opened,
          a_newest_file_that_cannot_be_opened_does_not_stop_the_writer,
          an_older_file_that_cannot_be_opened_is_not_asked_for)
