// SPDX-License-Identifier: Apache-2.0
// A disk that gives only the beginning of a file of the write-ahead log.
#include "predlog/wal_read.h"

#include "logbook.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { N = 40 };

static struct logbook l;
static char path[TEMPDIR_SIZE + 64];
static struct {
    ino_t file; // 0: all is well
    off_t from; // the first byte that is not given
} broken;
static uint64_t n_read; // bytes, of all files

ssize_t broken_pread(int fd, void *p, size_t n, off_t at) __asm__("pread64");
ssize_t broken_pread(int fd, void *p, size_t n, off_t at)
{
    struct stat st;
    if (broken.file && fstat(fd, &st) == 0 && st.st_ino == broken.file && at + (off_t)n > broken.from) {
        if (at >= broken.from) {
            errno = EIO;
            return -1;
        }
        n = (size_t)(broken.from - at);
    }
    ssize_t got = syscall(SYS_pread64, fd, p, n, at);
    n_read += got > 0 ? (uint64_t)got : 0;
    return got;
}

// The oldest file, from these hundredths of it on. Returns how many bytes are not given.
static uint64_t break_file(off_t hundredths)
{
    struct stat st;
    logbook_wal_path(&l, false, path);
    ck_assert_int_eq(stat(path, &st), 0);
    broken.file = st.st_ino;
    broken.from = st.st_size * hundredths / 100;
    return (uint64_t)(st.st_size - broken.from);
}

struct read {
    uint64_t n, lost, lost_bytes;
    uint32_t n_damaged, n_torn;
};

static struct read read_file(uint64_t end)
{
    struct read ret = {0};
    struct wal_reader *r;
    struct record record;
    enum wal_item item;
    struct err e;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_msg(wal_read_open(fd, 1, end, &r, &e) == 0, "%s", e.msg);
    for (;;) {
        ck_assert_msg(wal_read_next(r, &item, &record, &e) == 0, "%s", e.msg);
        if (item == WAL_END)
            break;
        if (item == WAL_GAP) {
            ret.n_torn += record.gap.reason == RECORD_GAP_TORN;
            ret.n_damaged += record.gap.reason == RECORD_GAP_DAMAGED;
            ret.lost += record.gap.n_records;
            ret.lost_bytes += record.gap.bytes;
        }
        ret.n += item == WAL_RECORD && record.head.kind != RECORD_SCHEMA;
    }
    wal_read_close(r);
    close(fd);
    return ret;
}

static void write_records(int n)
{
    for (int i = 0; i < n; i++)
        logbook_add(&l, i % 3);
    logbook_commit(&l);
}

START_TEST(what_the_disk_does_not_give_is_one_gap)
{
    static const uint64_t ENDS[] = {N + 1, 0, WAL_END_UNKNOWN};
    logbook_init(&l);
    write_records(N);
    for (off_t hundredths = 0; hundredths < 100; hundredths += 7) {
        uint64_t unread = break_file(hundredths);
        for (size_t i = 0; i < sizeof ENDS / sizeof ENDS[0]; i++) {
            struct read r = read_file(ENDS[i]);
            ck_assert_msg(r.n_damaged == 1 && r.n_torn == 0, "%d: %u, %u", (int)hundredths, r.n_damaged,
                          r.n_torn);
            ck_assert(r.n < N && r.n * 100 <= (uint64_t)hundredths * N);
            ck_assert_uint_ge(r.lost_bytes, unread - WAL_HEAD_BYTES);
            ck_assert_uint_eq(r.lost, i == 0 ? N - r.n : 0);
        }
    }
    broken.file = 0;
    ck_assert_uint_eq(read_file(N + 1).n, N);
    logbook_done(&l);
}
END_TEST

START_TEST(sealing_goes_on_behind_a_file_that_the_disk_does_not_give)
{
    struct predlog_verify v;
    logbook_init(&l);
    write_records(N);
    wal_rotate(l.wal, true, l.mono_ns);
    write_records(N);
    break_file(50);
    struct seal_done done = logbook_seal(&l);
    ck_assert(done.n_files == 2 && done.n_gaps == 1 && done.lost_records >= N / 2);
    ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){0}), 2 * N - done.lost_records);
    ck_assert_uint_eq(logbook_faults(&l, &v), 0);
    ck_assert(v.n_wal_files == 0 && v.gap_records == done.lost_records);
    logbook_done(&l);
}
END_TEST

START_TEST(numbers_that_were_given_behind_what_can_be_read_do_not_come_again)
{
    struct predlog_verify v;
    logbook_init(&l);
    write_records(N);
    break_file(50);
    logbook_open(&l, 1);
    ck_assert(l.found.n_files == 1 && l.found.n_damaged == 1 && l.found.n_torn == 0);
    ck_assert_uint_lt(l.found.last_seq, N);
    ck_assert_uint_gt(logbook_add(&l, 0), N);
    logbook_commit(&l);
    struct seal_done done = logbook_seal(&l);
    ck_assert(done.n_files == 2 && done.n_gaps == 1);
    ck_assert_uint_eq(logbook_faults(&l, &v), 0);
    logbook_done(&l);
}
END_TEST

// What a start costs does not grow with what is not sealed.
START_TEST(a_writer_that_begins_reads_the_newest_file_alone)
{
    struct stat st;
    logbook_init(&l);
    for (int i = 0; i < 20; i++) {
        write_records(N);
        wal_rotate(l.wal, true, l.mono_ns);
    }
    write_records(2 * N);
    logbook_wal_path(&l, true, path);
    ck_assert_int_eq(stat(path, &st), 0);
    n_read = 0;
    logbook_open(&l, 1);
    ck_assert_uint_eq(n_read, (uint64_t)st.st_size);
    ck_assert(l.found.n_files == 21 && l.found.n_records == 2 * N && l.found.last_seq == 22 * N);
    ck_assert_uint_eq(logbook_add(&l, 0), 22 * N + 1);
    logbook_done(&l);
}
END_TEST

// A tear in an older file costs a start nothing and is told when that file is sealed.
START_TEST(what_an_older_file_lacks_is_told_when_it_is_sealed)
{
    struct stat st;
    struct predlog_verify v;
    logbook_init(&l);
    write_records(N);
    wal_rotate(l.wal, true, l.mono_ns);
    write_records(N);
    logbook_wal_path(&l, false, path);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(truncate(path, st.st_size - 9), 0);
    logbook_open(&l, 1);
    ck_assert(l.found.n_torn == 0 && l.found.n_damaged == 0 && l.found.last_seq == 2 * N);
    struct seal_done done = logbook_seal(&l);
    ck_assert(done.n_files == 2 && done.n_gaps == 1 && done.rows == 2 * N);
    ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){0}), 2 * N - 1);
    ck_assert_uint_eq(logbook_faults(&l, &v), 0);
    logbook_done(&l);
}
END_TEST

UNIT_MAIN("predlog/wal_read", what_the_disk_does_not_give_is_one_gap,
          sealing_goes_on_behind_a_file_that_the_disk_does_not_give,
          numbers_that_were_given_behind_what_can_be_read_do_not_come_again,
          a_writer_that_begins_reads_the_newest_file_alone,
          what_an_older_file_lacks_is_told_when_it_is_sealed)
