// SPDX-License-Identifier: Apache-2.0
#include "predlog/seal.h"

#include "logbook.h"
#include "predlog/manifest.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct logbook l;

static struct predlog_manifest manifest(void)
{
    struct predlog_manifest m;
    struct err e;
    ck_assert_msg(predlog_manifest_read(l.log_fd, &m, &e) == 0, "%s", e.msg);
    return m;
}

// Two models over two hours, which makes four files, and in order.
static void four_parts(void)
{
    for (int i = 0; i < 60; i++) {
        l.wall_ns = LOGBOOK_START_NS + (uint64_t)(i / 30) * LOGBOOK_HOUR_NS;
        logbook_add(&l, i % 3);
    }
    logbook_commit(&l);
}

START_TEST(files_are_by_model_day_and_hour_and_said_in_the_manifest)
{
    struct predlog_verify v;
    logbook_init(&l);
    four_parts();
    struct seal_done done = logbook_seal(&l);
    ck_assert(done.n_files == 1 && done.n_parts == 4 && done.rows == 60 && done.records == 60 &&
              !done.n_gaps);
    struct predlog_manifest m = manifest();
    ck_assert_uint_eq(m.n, 4);
    ck_assert(str_starts(m.entries[0].file, STR("model=churn/date=2026-11-22/hour=")));
    ck_assert(str_ends(m.entries[0].file, STR("/part-00000000000000000001-00000000000000000029.jsonl.zst")));
    ck_assert(m.entries[0].rows == 20 && m.entries[0].first_seq == 1 && m.entries[0].last_seq == 29);
    ck_assert(str_eq(m.entries[1].model, STR("fraud")) && m.entries[1].rows == 10);
    ck_assert(m.entries[2].first_ns == LOGBOOK_START_NS + LOGBOOK_HOUR_NS && m.entries[2].wal == 1);
    ck_assert_uint_eq(predlog_manifest_next_seq(&m), 61);
    predlog_manifest_done(&m);
    ck_assert_uint_eq(logbook_faults(&l, &v), 0);
    ck_assert(v.n_files == 4 && v.rows == 60 && v.n_wal_files == 0);
    logbook_done(&l);
}
END_TEST

START_TEST(more_parts_than_are_open_at_once_take_more_passes)
{
    struct predlog_verify v;
    logbook_init(&l);
    for (int i = 0; i < 90; i++) {
        l.wall_ns = LOGBOOK_START_NS + (uint64_t)(i / 3) * LOGBOOK_HOUR_NS;
        logbook_add(&l, i % 3);
    }
    logbook_commit(&l);
    struct seal_done done = logbook_seal(&l);
    ck_assert(done.n_parts == 60 && done.rows == 90);
    ck_assert_uint_eq(logbook_faults(&l, &v), 0);
    ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){.model = STR("fraud")}), 30);
    logbook_done(&l);
}
END_TEST

static void copy_file(const char *from, const char *to)
{
    char block[8192];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    ck_assert(in && out);
    for (size_t n; (n = fread(block, 1, sizeof block, in));)
        ck_assert_uint_eq(fwrite(block, 1, n, out), n);
    fclose(in);
    fclose(out);
}

// As after a kill: before the manifest was written, and before the file was removed.
START_TEST(sealing_again_gives_the_same_files)
{
    char wal[TEMPDIR_SIZE + 64], kept[TEMPDIR_SIZE + 64], list[TEMPDIR_SIZE + 64];
    struct predlog_verify v;
    logbook_init(&l);
    four_parts();
    logbook_wal_path(&l, true, wal);
    snprintf(kept, sizeof kept, "%s/kept", l.dir);
    snprintf(list, sizeof list, "%s/log/MANIFEST.jsonl", l.dir);
    copy_file(wal, kept);
    logbook_seal(&l);
    struct predlog_manifest first = manifest();
    for (int i = 0; i < 2; i++) {
        copy_file(kept, wal);
        if (i == 1)
            ck_assert_int_eq(remove(list), 0);
        // In both at once: each line comes once.
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){0}), 60);
        struct seal_done done;
        ck_assert_int_eq(predlog_seal(l.wal_fd, l.log_fd, 61, &done, NULL), 0);
        struct predlog_manifest again = manifest();
        ck_assert_uint_eq(again.n, 4);
        for (size_t k = 0; k < 4; k++) {
            ck_assert(str_eq(again.entries[k].file, first.entries[k].file));
            ck_assert(str_eq(again.entries[k].sha256, first.entries[k].sha256));
        }
        predlog_manifest_done(&again);
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){0}), 60);
        ck_assert_uint_eq(logbook_faults(&l, &v), 0);
    }
    predlog_manifest_done(&first);
    logbook_done(&l);
}
END_TEST

START_TEST(a_torn_line_of_the_manifest_counts_for_nothing)
{
    char list[TEMPDIR_SIZE + 64];
    logbook_init(&l);
    logbook_add(&l, 0);
    logbook_commit(&l);
    logbook_seal(&l);
    snprintf(list, sizeof list, "%s/log/MANIFEST.jsonl", l.dir);
    FILE *f = fopen(list, "a");
    fputs("{\"file\":\"model=x/…", f);
    fclose(f);
    struct predlog_manifest m = manifest();
    ck_assert(m.n == 1 && m.n_bad == 0);
    predlog_manifest_done(&m);
    logbook_add(&l, 0);
    logbook_commit(&l);
    logbook_seal(&l);
    m = manifest();
    ck_assert(m.n == 2 && m.n_bad == 0);
    predlog_manifest_done(&m);
    logbook_done(&l);
}
END_TEST

START_TEST(a_manifest_cannot_name_files_elsewhere)
{
    char list[TEMPDIR_SIZE + 64];
    logbook_init(&l);
    snprintf(list, sizeof list, "%s/log/MANIFEST.jsonl", l.dir);
    FILE *f = fopen(list, "a");
    fputs("{\"file\":\"../../etc/passwd\",\"model\":\"m\",\"sha256\":\"0\",\"schemas\":[]}\n"
          "{\"file\":\"/etc/passwd\",\"model\":\"m\",\"sha256\":\"0\",\"schemas\":[]}\n",
          f);
    fclose(f);
    struct predlog_manifest m = manifest();
    ck_assert(m.n == 0 && m.n_bad == 2);
    predlog_manifest_done(&m);
    logbook_done(&l);
}
END_TEST

START_TEST(gaps_are_lines_of_no_model)
{
    char path[TEMPDIR_SIZE + 64];
    struct predlog_verify v;
    struct stat st;
    logbook_init(&l);
    for (int i = 0; i < 5; i++)
        logbook_add(&l, 0);
    logbook_commit(&l);
    logbook_wal_path(&l, true, path);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(truncate(path, st.st_size - 1), 0);
    logbook_open(&l, 1);
    struct seal_done done = logbook_seal(&l);
    ck_assert(done.rows == 5 && done.n_gaps == 1 && done.lost_bytes > 0);
    ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){0}), 4);
    ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){.model = STR("churn"), .with_gaps = true}), 5);
    ck_assert_uint_eq(logbook_faults(&l, &v), 0);
    ck_assert_uint_eq(v.n_gaps, 1);
    logbook_done(&l);
}
END_TEST

// Two files of one hour whose first batches were torn: nothing in them tells a number.
START_TEST(gaps_of_files_without_a_record_do_not_meet)
{
    char path[TEMPDIR_SIZE + 64];
    struct predlog_verify v;
    logbook_init(&l);
    for (int i = 0; i < 2; i++) {
        logbook_add(&l, 0);
        logbook_commit(&l);
        logbook_wal_path(&l, true, path);
        ck_assert_int_eq(truncate(path, WAL_HEAD_BYTES + 40), 0);
        logbook_open(&l, 1);
    }
    struct seal_done done = logbook_seal(&l);
    ck_assert(done.n_gaps == 2 && done.n_parts == 2 && done.n_files == 2);
    struct predlog_manifest m = manifest();
    ck_assert(m.n == 2 && m.entries[0].first_seq == 1 && m.entries[1].first_seq == 2);
    predlog_manifest_done(&m);
    ck_assert_uint_eq(logbook_faults(&l, &v), 0);
    ck_assert_uint_eq(v.n_gaps, 2);
    logbook_done(&l);
}
END_TEST

START_TEST(queries_restrict_sealed_and_fresh_lines_alike)
{
    logbook_init(&l);
    four_parts();
    logbook_add_status(&l, 0, 503);
    logbook_commit(&l);
    for (int sealed = 0; sealed < 2; sealed++) {
        const uint64_t later = LOGBOOK_START_NS + LOGBOOK_HOUR_NS;
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){0}), 61);
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){.model = STR("churn")}), 41);
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){.model = STR("churn"), .version = 2}), 20);
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){.has_arm = true, .arm = 1}), 20);
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){.status_min = 500, .status_max = 599}), 1);
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){.status_min = 200, .status_max = 299}),
                          60);
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){.from_ns = later}), 31);
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){.to_ns = later}), 30);
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){.after_seq = 50}), 11);
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){.limit = 7}), 7);
        char id[37];
        snprintf(id, sizeof id, "%08llx-%04llx-7000-0500-000000000000",
                 (unsigned long long)(LOGBOOK_START_NS / 1000000 >> 16),
                 (unsigned long long)(LOGBOOK_START_NS / 1000000 & 0xffff));
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){.id = str_of(id)}), 1);
        uint8_t ids[4][16] = {{0}, {1}}; // sorted: two of nobody, that one, another of its time
        ck_assert(record_id_read(str_of(id), ids[2]) && record_id_read(str_of(id), ids[3]));
        ids[3][15] = 1;
        struct predlog_query several = {.ids = (const uint8_t(*)[16])ids, .n_ids = 4};
        ck_assert_uint_eq(logbook_count(&l, several), 1);
        several.n_ids = 2; // of another time: no file has to be read
        ck_assert_uint_eq(logbook_count(&l, several), 0);
        several = (struct predlog_query){.ids = (const uint8_t(*)[16])ids + 3, .n_ids = 1};
        ck_assert_uint_eq(logbook_count(&l, several), 0);
        id[19] = '9';
        ck_assert_uint_eq(logbook_count(&l, (struct predlog_query){.id = str_of(id)}), 0);
        if (!sealed)
            logbook_seal(&l);
    }
    logbook_done(&l);
}
END_TEST

static int note_seq(void *ctx, struct str line, struct yyjson_val *root, struct err *e)
{
    uint64_t **at = ctx;
    (void)root, (void)e;
    ck_assert(str_starts(line, STR("{\"seq\":")));
    *(*at)++ = strtoull(line.p + 7, NULL, 10);
    return 0;
}

START_TEST(the_last_lines_are_the_newest_oldest_first)
{
    uint64_t seqs[64], *at = seqs;
    struct predlog_query_done done;
    struct err e;
    logbook_init(&l);
    for (int i = 0; i < 30; i++) {
        logbook_add(&l, 0);
        if (i % 10 == 9) {
            logbook_commit(&l);
            if (i < 25)
                logbook_seal(&l);
        }
    }
    const struct predlog_query q = {.limit = 25};
    ck_assert_int_eq(predlog_query_last(l.dir, &q, note_seq, &at, &done, &e), 0);
    ck_assert(at - seqs == 25 && done.n_lines == 25);
    for (size_t i = 0; i < 25; i++)
        ck_assert_uint_eq(seqs[i], 6 + i);
    logbook_done(&l);
}
END_TEST

START_TEST(verify_finds_what_was_changed)
{
    struct predlog_verify v;
    char path[2 * TEMPDIR_SIZE];
    logbook_init(&l);
    four_parts();
    logbook_seal(&l);
    struct predlog_manifest m = manifest();
    snprintf(path, sizeof path, "%s/log/%s", l.dir, m.entries[1].file.p);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    char byte;
    ck_assert_int_eq(pread(fd, &byte, 1, 60), 1);
    byte ^= 1;
    ck_assert_int_eq(pwrite(fd, &byte, 1, 60), 1);
    close(fd);
    ck_assert_uint_ge(logbook_faults(&l, &v), 2); // its digest, and its frame
    ck_assert_int_eq(remove(path), 0);
    ck_assert_uint_eq(logbook_faults(&l, &v), 1);
    predlog_manifest_done(&m);
    logbook_done(&l);
}
END_TEST

START_TEST(retention_removes_the_oldest_by_age_and_by_size)
{
    struct retain_done done;
    struct predlog_verify v;
    struct err e;
    logbook_init(&l);
    four_parts();
    logbook_seal(&l);
    struct retain_rule rule = {.max_age_s = 3600};
    ck_assert_int_eq(predlog_retain(l.log_fd, &rule, LOGBOOK_START_NS + LOGBOOK_HOUR_NS, &done, &e), 0);
    ck_assert(done.n_files == 0 && done.n_orphans == 0);
    ck_assert_int_eq(predlog_retain(l.log_fd, &rule, LOGBOOK_START_NS + LOGBOOK_HOUR_NS + 1, &done, &e), 0);
    ck_assert(done.n_files == 2 && done.rows == 30);
    struct predlog_manifest m = manifest();
    ck_assert(m.n == 2 && m.removed_files == 2 && m.removed_rows == 30 && m.removed_last_seq == 30);
    rule = (struct retain_rule){.max_bytes = m.entries[0].bytes + m.entries[1].bytes};
    ck_assert_int_eq(predlog_retain(l.log_fd, &rule, LOGBOOK_START_NS, &done, &e), 0);
    ck_assert_uint_eq(done.n_files, 0);
    rule.max_bytes--;
    ck_assert_int_eq(predlog_retain(l.log_fd, &rule, LOGBOOK_START_NS, &done, &e), 0);
    ck_assert_uint_eq(done.n_files, 1);
    ck_assert_uint_eq(logbook_faults(&l, &v), 0);
    predlog_manifest_done(&m);
    rule.max_bytes = 1;
    ck_assert_int_eq(predlog_retain(l.log_fd, &rule, LOGBOOK_START_NS, &done, &e), 0);
    m = manifest();
    ck_assert(m.n == 0 && predlog_manifest_next_seq(&m) == 61); // numbers never come again
    predlog_manifest_done(&m);
    logbook_done(&l);
}
END_TEST

START_TEST(retention_sweeps_what_no_line_names)
{
    struct retain_done done;
    struct predlog_verify v;
    char path[TEMPDIR_SIZE + 64];
    logbook_init(&l);
    four_parts();
    logbook_seal(&l);
    snprintf(path, sizeof path, "%s/log/model=gone", l.dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    strcat(path, "/date=2026-01-01");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    strcat(path, "/hour=00");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    strcat(path, "/part-1-2.jsonl.zst");
    fclose(fopen(path, "w"));
    const struct retain_rule none = {0};
    ck_assert_int_eq(predlog_retain(l.log_fd, &none, LOGBOOK_START_NS, &done, NULL), 0);
    ck_assert(done.n_files == 0 && done.n_orphans == 1);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_uint_eq(logbook_faults(&l, &v), 0);
    ck_assert_uint_eq(v.rows, 60);
    logbook_done(&l);
}
END_TEST

// A flipped bit hides which file a line names: no file goes but those that other lines say are old.
START_TEST(retention_spares_what_a_damaged_line_may_name)
{
    struct retain_done done;
    struct predlog_verify v;
    char list[TEMPDIR_SIZE + 64], path[2 * TEMPDIR_SIZE], byte = '[';
    logbook_init(&l);
    four_parts();
    logbook_seal(&l);
    struct predlog_manifest m = manifest();
    snprintf(path, sizeof path, "%s/log/%s", l.dir, m.entries[0].file.p);
    predlog_manifest_done(&m);
    snprintf(list, sizeof list, "%s/log/MANIFEST.jsonl", l.dir);
    int fd = open(list, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, &byte, 1, 0), 1);
    const struct retain_rule old = {.max_age_s = 3600};
    const uint64_t later = LOGBOOK_START_NS + LOGBOOK_HOUR_NS + 1;
    ck_assert_int_eq(predlog_retain(l.log_fd, &old, later, &done, NULL), 0);
    ck_assert(done.n_files == 1 && done.n_orphans == 0 && done.n_bad == 1);
    ck_assert_int_eq(access(path, F_OK), 0);
    m = manifest();
    ck_assert(m.n == 2 && m.n_bad == 1 && m.removed_files == 1);
    ck_assert(str_starts(m.bad_lines[0], STR("[\"file\":")));
    predlog_manifest_done(&m);
    close(fd);
    ck_assert_uint_eq(logbook_faults(&l, &v), 1);
    logbook_done(&l);
}
END_TEST

UNIT_MAIN("predlog/seal", files_are_by_model_day_and_hour_and_said_in_the_manifest,
          more_parts_than_are_open_at_once_take_more_passes, sealing_again_gives_the_same_files,
          a_torn_line_of_the_manifest_counts_for_nothing, a_manifest_cannot_name_files_elsewhere,
          gaps_are_lines_of_no_model, gaps_of_files_without_a_record_do_not_meet,
          queries_restrict_sealed_and_fresh_lines_alike, the_last_lines_are_the_newest_oldest_first,
          verify_finds_what_was_changed, retention_removes_the_oldest_by_age_and_by_size,
          retention_sweeps_what_no_line_names, retention_spares_what_a_damaged_line_may_name)
