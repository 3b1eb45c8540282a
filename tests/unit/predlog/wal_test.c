// SPDX-License-Identifier: Apache-2.0
#include "predlog/wal.h"

#include "logbook.h"
#include "predlog/wal_read.h"
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct read {
    uint64_t n, first, last, schemas;
    uint32_t n_torn, n_damaged;
    uint64_t lost, lost_bytes;
};

static struct read read_file(const char *path, uint64_t end)
{
    struct read ret = {0};
    struct wal_reader *r;
    struct record record;
    enum wal_item item;
    struct err e;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(wal_read_open(fd, 1, end, &r, &e), 0);
    for (;;) {
        ck_assert_msg(wal_read_next(r, &item, &record, &e) == 0, "%s", e.msg);
        if (item == WAL_END)
            break;
        if (item == WAL_GAP) {
            ret.n_torn += record.gap.reason == RECORD_GAP_TORN;
            ret.n_damaged += record.gap.reason == RECORD_GAP_DAMAGED;
            ret.lost += record.gap.n_records;
            ret.lost_bytes += record.gap.bytes;
            continue;
        }
        if (record.head.kind == RECORD_SCHEMA) {
            ret.schemas++;
            continue;
        }
        ret.first = ret.n++ ? ret.first : record.head.log_seq;
        ck_assert_uint_gt(record.head.log_seq, ret.last);
        ret.last = record.head.log_seq;
    }
    wal_read_close(r);
    close(fd);
    return ret;
}

static size_t size_of(const char *path)
{
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    return (size_t)st.st_size;
}

static void overwrite(const char *path, size_t at, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, p, n, (off_t)at), (ssize_t)n);
    close(fd);
}

static struct logbook l;
static char path[TEMPDIR_SIZE + 64];

START_TEST(what_was_committed_is_read_back_in_order)
{
    logbook_init(&l);
    for (int i = 0; i < 100; i++) {
        ck_assert_uint_eq(logbook_add(&l, i % 3), (uint64_t)i + 1);
        if (i % 7 == 0)
            logbook_commit(&l);
    }
    ck_assert_uint_eq(wal_committed_seq(l.wal), 99);
    logbook_wal_path(&l, true, path);
    struct read r = read_file(path, 0);
    ck_assert(r.n == 99 && r.first == 1 && r.last == 99 && r.schemas == 3 && r.n_torn + r.n_damaged == 0);
    logbook_commit(&l);
    ck_assert_uint_eq(wal_committed_seq(l.wal), 100);
    ck_assert_uint_eq(read_file(path, 101).n, 100);
    logbook_done(&l);
}
END_TEST

// What is written into room that was taken and is then not wanted is nowhere.
START_TEST(a_record_is_taken_where_it_lies_or_left)
{
    struct record_head h = {.kind = RECORD_FAILURE, .sample_weight = 1, .status = 503};
    struct record_plan none = {0};
    struct err e;
    void *to;
    logbook_init(&l);
    for (uint64_t i = 1; i <= 20; i++) {
        ck_assert_int_eq(wal_room(l.wal, 1 << 20, &to, &e), 0);
        memset(to, 0xee, 1 << 20);
        size_t n = record_write(&h, &none, NULL, 0, NULL, 0, to, 1 << 20);
        if (i % 2)
            ck_assert_uint_eq(wal_take(l.wal, n, l.mono_ns), i / 2 + 1);
    }
    logbook_commit(&l);
    logbook_wal_path(&l, true, path);
    struct read r = read_file(path, wal_next_seq(l.wal));
    ck_assert(r.n == 10 && r.first == 1 && r.last == 10 && r.n_torn + r.n_damaged == 0);
    logbook_done(&l);
}
END_TEST

START_TEST(a_batch_is_due_by_time_or_by_size)
{
    logbook_init(&l);
    ck_assert(!wal_is_due(l.wal, UINT64_MAX - 1) && wal_due_ns(l.wal) == UINT64_MAX);
    l.mono_ns = 5000;
    logbook_add(&l, 0);
    ck_assert(!wal_is_due(l.wal, 5000 + WAL_COMMIT_MS * 1000000 - 1));
    ck_assert(wal_is_due(l.wal, 5000 + WAL_COMMIT_MS * 1000000));
    l.mono_ns = 6000; // the batch is as old as its first record
    logbook_add(&l, 0);
    ck_assert(wal_is_due(l.wal, 5000 + WAL_COMMIT_MS * 1000000));
    while (wal_pending_bytes(l.wal) < WAL_COMMIT_BYTES) {
        ck_assert(!wal_is_due(l.wal, 7000));
        logbook_add(&l, 0);
    }
    ck_assert(wal_is_due(l.wal, 7000));
    logbook_commit(&l);
    ck_assert(!wal_is_due(l.wal, UINT64_MAX - 1));
    logbook_done(&l);
}
END_TEST

START_TEST(the_batch_has_a_bound)
{
    static _Alignas(8) char record[1024];
    struct record_head h = {.kind = RECORD_FAILURE, .sample_weight = 1};
    struct record_plan none = {0};
    struct err e;
    uint64_t seq;
    int rc = 0;
    logbook_init(&l);
    size_t n = record_write(&h, &none, NULL, 0, NULL, 0, record, sizeof record);
    while (!(rc = wal_append(l.wal, (struct str){record, n}, 0, &seq, &e)))
        ck_assert_uint_le(wal_pending_bytes(l.wal), WAL_PENDING_BYTES);
    ck_assert_int_eq(rc, ERR_BUSY);
    void *to;
    ck_assert_int_eq(wal_room(l.wal, n, &to, &e), ERR_BUSY);
    logbook_commit(&l);
    ck_assert_int_eq(wal_room(l.wal, n, &to, &e), 0);
    ck_assert_int_eq(wal_append(l.wal, (struct str){record, n}, 0, &seq, &e), 0);
    logbook_commit(&l);
    // What never fits is refused, and what comes after it is not.
    ck_assert_int_eq(wal_room(l.wal, 2 * WAL_PENDING_BYTES + RECORD_BYTES_MAX, &to, &e), ERR_NOMEM);
    ck_assert_int_eq(wal_append(l.wal, (struct str){record, n}, 0, &seq, &e), 0);
    logbook_commit(&l);
    logbook_done(&l);
}
END_TEST

// At each length that the file may be left at: whole records before the cut are there, the rest is told.
START_TEST(a_torn_tail_is_cut_and_told)
{
    logbook_init(&l);
    for (int i = 0; i < 6; i++)
        logbook_add(&l, 0);
    logbook_commit(&l);
    logbook_wal_path(&l, true, path);
    size_t size = size_of(path), before = 6;
    for (size_t cut = size; cut-- > 40;) {
        ck_assert_int_eq(truncate(path, (off_t)cut), 0);
        struct read live = read_file(path, 0), closed = read_file(path, WAL_END_UNKNOWN);
        ck_assert(live.n <= before && before - live.n <= 1 && live.n_torn + live.n_damaged == 0);
        ck_assert_uint_eq(closed.n, live.n);
        ck_assert(closed.n_damaged == 0 && closed.n_torn <= 1);
        ck_assert(closed.n_torn == 1 || closed.lost_bytes == 0);
        before = live.n;
    }
    ck_assert_uint_eq(before, 0);
    logbook_done(&l);
}
END_TEST

START_TEST(after_a_crash_numbers_go_on_and_the_loss_is_found)
{
    struct predlog_verify v;
    logbook_init(&l);
    for (int i = 0; i < 6; i++)
        logbook_add(&l, 0);
    logbook_commit(&l);
    logbook_wal_path(&l, true, path);
    ck_assert_int_eq(truncate(path, (off_t)size_of(path) - 9), 0);
    logbook_open(&l, 1);
    ck_assert(l.found.n_files == 1 && l.found.n_records == 5 && l.found.last_seq == 5 && l.found.n_torn == 1);
    ck_assert_uint_gt(l.found.lost_bytes, 100);
    ck_assert_uint_eq(logbook_add(&l, 0), 7); // 6 is what was torn
    logbook_commit(&l);
    ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){0}), 6);
    ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){.with_gaps = true}), 7);
    ck_assert_uint_eq(logbook_faults(&l, &v), 1);
    ck_assert(v.wal_records == 6 && v.n_gaps == 1);
    logbook_done(&l);
}
END_TEST

START_TEST(zeros_behind_the_end_are_a_torn_tail)
{
    static const char ZEROS[5000];
    logbook_init(&l);
    logbook_add(&l, 0);
    logbook_commit(&l);
    logbook_wal_path(&l, true, path);
    overwrite(path, size_of(path), ZEROS, sizeof ZEROS);
    logbook_open(&l, 1);
    ck_assert(l.found.n_records == 1 && l.found.n_torn == 1 && l.found.lost_bytes == sizeof ZEROS);
    logbook_done(&l);
}
END_TEST

// Any damage in the middle: everything else is there, and exactly what is missing is told.
START_TEST(damage_in_the_middle_is_skipped_counted_and_marked)
{
    enum { N = 40 };
    logbook_init(&l);
    for (int i = 0; i < N; i++)
        logbook_add(&l, i % 3);
    logbook_commit(&l);
    logbook_wal_path(&l, true, path);
    size_t size = size_of(path), record = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *good = malloc(size);
    ck_assert_int_eq(pread(fd, good, size, 0), (ssize_t)size);
    close(fd);
    uint32_t bytes = 0;
    for (size_t at = WAL_HEAD_BYTES; at < size / 2; at += bytes) {
        memcpy(&bytes, good + at, sizeof bytes);
        record = at;
    }
    for (size_t n = 1; n < 1200; n = n * 3 + 1) {
        for (size_t at = record; at < record + 300; at += 37) {
            char bad[1200];
            for (size_t i = 0; i < n; i++)
                bad[i] = (char)(good[at + i] ^ 0x55);
            overwrite(path, at, bad, n);
            struct read r = read_file(path, N + 1);
            ck_assert_msg(r.n_damaged == 1 && r.n_torn == 0, "%u places", r.n_damaged);
            ck_assert_uint_eq(r.n + r.lost, N);
            ck_assert_uint_ge(r.lost, 1);
            ck_assert_uint_le(r.lost, n / 150 + 2);
            overwrite(path, at, good + at, n);
        }
    }
    ck_assert_uint_eq(read_file(path, N + 1).n, N);
    free(good);
    logbook_done(&l);
}
END_TEST

START_TEST(each_file_has_the_schemas_and_begins_with_its_name)
{
    uint64_t *files;
    size_t n;
    logbook_init(&l);
    ck_assert_uint_eq(wal_rotate(l.wal, true, 0), 1);
    for (int k = 0; k < 3; k++) {
        logbook_add(&l, k);
        logbook_add(&l, k);
        logbook_commit(&l);
        ck_assert_uint_eq(wal_rotate(l.wal, false, l.mono_ns), 2 * (uint64_t)k + 1);
        ck_assert_uint_eq(wal_rotate(l.wal, true, l.mono_ns), 2 * (uint64_t)k + 3);
        if (k == 1)
            wal_schema_drop(l.wal, l.schemas[0]->key);
        logbook_wal_path(&l, true, path);
        struct read r = read_file(path, 2 * (uint64_t)k + 3);
        ck_assert(r.n == 2 && r.first == 2 * (uint64_t)k + 1 && r.schemas == (k < 2 ? 3 : 2));
    }
    ck_assert_int_eq(wal_list(l.wal_fd, &files, &n, NULL), 0);
    ck_assert(n == 3 && files[0] == 1 && files[1] == 3 && files[2] == 5);
    free(files);
    logbook_add(&l, 0);
    logbook_commit(&l);
    l.mono_ns += WAL_FILE_SECONDS * UINT64_C(1000000000);
    ck_assert_uint_eq(wal_rotate(l.wal, false, l.mono_ns), 8);
    logbook_done(&l);
}
END_TEST

START_TEST(a_batch_that_is_given_up_leaves_no_hole)
{
    struct predlog_verify v;
    struct record_gap gap = {.reason = RECORD_GAP_DISK, .n_records = 2};
    logbook_init(&l);
    logbook_add(&l, 0);
    logbook_commit(&l);
    logbook_add(&l, 0);
    logbook_add(&l, 0);
    ck_assert_uint_eq(wal_drop_pending(l.wal), 2);
    ck_assert_uint_eq(wal_pending_bytes(l.wal), 0);
    ck_assert_int_eq(wal_append_gap(l.wal, &gap, 0, l.wall_ns, l.mono_ns, NULL), 0);
    ck_assert_uint_eq(logbook_add(&l, 0), 3);
    logbook_commit(&l);
    ck_assert_uint_eq(logbook_faults(&l, &v), 0);
    ck_assert(v.wal_records == 3 && v.n_gaps == 1 && v.gap_records == 2);
    logbook_done(&l);
}
END_TEST

UNIT_MAIN("predlog/wal", what_was_committed_is_read_back_in_order, a_record_is_taken_where_it_lies_or_left,
          a_batch_is_due_by_time_or_by_size, the_batch_has_a_bound, a_torn_tail_is_cut_and_told,
          after_a_crash_numbers_go_on_and_the_loss_is_found, zeros_behind_the_end_are_a_torn_tail,
          damage_in_the_middle_is_skipped_counted_and_marked,
          each_file_has_the_schemas_and_begins_with_its_name, a_batch_that_is_given_up_leaves_no_hole)
