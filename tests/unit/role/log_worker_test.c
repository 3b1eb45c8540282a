// SPDX-License-Identifier: Apache-2.0
#include "role/log_worker.h"

#include "predlog/logbook.h"
#include "predlog/manifest.h"
#include "unit.h"

#include <string.h>
#include <sys/stat.h>

static struct logbook l;

static int seal(const char *before_seq, const char *max_bytes)
{
    char data_dir[TEMPDIR_SIZE], program[] = "slipway", role[] = LOG_WORKER_ROLE, kind[] = "seal",
                                 age[] = "0", before[24], bytes[24];
    char *argv[] = {program, role, kind, data_dir, before, age, bytes, NULL};
    memcpy(data_dir, l.dir, sizeof data_dir);
    snprintf(before, sizeof before, "%s", before_seq);
    snprintf(bytes, sizeof bytes, "%s", max_bytes);
    return log_worker_main(7, argv);
}

static size_t n_sealed(void)
{
    struct predlog_manifest m;
    struct err e;
    ck_assert_msg(predlog_manifest_read(l.log_fd, &m, &e) == 0, "%s", e.msg);
    size_t n = m.n;
    predlog_manifest_done(&m);
    return n;
}

START_TEST(files_are_removed_although_another_cannot_be_sealed)
{
    char path[TEMPDIR_SIZE + 64];
    logbook_init(&l);
    logbook_add(&l, 0);
    logbook_commit(&l);
    wal_rotate(l.wal, true, l.mono_ns);
    ck_assert_int_eq(seal("2", "0"), 0);
    ck_assert_uint_eq(n_sealed(), 1);
    snprintf(path, sizeof path, "%s/log/tmp", l.dir);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(mkfifo(path, 0700), 0); // nothing can be made in it
    ck_assert_int_ne(seal("3", "1"), 0);
    ck_assert_uint_eq(n_sealed(), 0);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(seal("3", "1"), 0);
    logbook_done(&l);
}
END_TEST

START_TEST(a_file_that_cannot_be_opened_is_no_failure)
{
    char path[TEMPDIR_SIZE + 64];
    uint32_t n;
    logbook_init(&l);
    snprintf(path, sizeof path, "%s/state/wal/00000000000000000001.wal", l.dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    logbook_open(&l, 2);
    logbook_add(&l, 0);
    logbook_commit(&l);
    char before[24];
    snprintf(before, sizeof before, "%llu", (unsigned long long)wal_rotate(l.wal, true, l.mono_ns));
    ck_assert_int_eq(seal(before, "0"), 0);
    ck_assert_uint_eq(n_sealed(), 2); // what was written, and what is missing
    ck_assert_int_eq(wal_count_aside(l.wal_fd, &n, NULL), 0);
    ck_assert_uint_eq(n, 1);
    logbook_done(&l);
}
END_TEST

UNIT_MAIN("role/log_worker", files_are_removed_although_another_cannot_be_sealed,
          a_file_that_cannot_be_opened_is_no_failure)
