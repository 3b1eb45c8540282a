// SPDX-License-Identifier: Apache-2.0
// The audit: whatever is changed, taken away, added or exchanged behind the store's back is found and named.
#include "registry/small_store.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static struct small_store st;
static struct registry_audit_report report;

enum { ROWS = 8 };

static void start(void)
{
    small_store_init(&st);
    for (int i = 0; i < ROWS; i++)
        small_store_add(&st, "churn", i % 2 ? "champion" : "");
}

// Verifies by way of the store and beside it, which must say the same.
static void verify(const struct registry_audit *receipt)
{
    struct registry_audit_report beside;
    ck_assert_int_eq(registry_sqlite_audit_verify(st.dir, receipt, &st.arena, &beside, &st.e), 0);
    ck_assert_int_eq(st.reg->ops->audit_verify(st.reg, receipt, &st.arena, &report, &st.e), 0);
    ck_assert_uint_eq(report.n_findings, beside.n_findings);
    for (size_t i = 0; i < report.n_told; i++)
        ck_assert(str_eq(report.findings[i].text, beside.findings[i].text));
}

static void is_sound(uint64_t n_rows)
{
    verify(NULL);
    ck_assert_msg(report.n_findings == 0, "%.*s", (int)report.findings[0].text.n, report.findings[0].text.p);
    ck_assert_uint_eq(report.n_rows, n_rows);
    ck_assert_uint_eq(report.head.id, n_rows);
    ck_assert(report.has_second_head);
}

static void finds_first(uint64_t first, uint64_t last, const char *text)
{
    ck_assert_uint_gt(report.n_findings, 0);
    ck_assert_msg(strstr(report.findings[0].text.p, text) && report.findings[0].first == first &&
                      report.findings[0].last == last,
                  "%s", report.findings[0].text.p);
}

// One finding, and still that one after the store went on writing.
static void finds(uint64_t first, uint64_t last, const char *text)
{
    verify(NULL);
    ck_assert_uint_eq(report.n_findings, 1);
    finds_first(first, last, text);
    small_store_add(&st, "churn", "");
    verify(NULL);
    finds_first(first, last, text);
    small_store_done(&st);
}

START_TEST(an_audit_that_nobody_touched_is_sound)
{
    small_store_init(&st);
    is_sound(0);
    small_store_done(&st);
    start();
    is_sound(ROWS);
    st.reg->ops->close(st.reg);
    small_store_open(&st);
    small_store_add(&st, "other", "");
    is_sound(ROWS + 1);
    // A change that fails leaves no trace.
    ck_assert_int_eq(st.reg->ops->model_remove(st.reg, &SMALL_CAUSE, STR("none"), &st.e), ERR_UNKNOWN_MODEL);
    is_sound(ROWS + 1);
    small_store_done(&st);
}
END_TEST

// Each field of the row, one after another.
START_TEST(a_changed_field_is_found)
{
    static const char *const CHANGES[] = {"at_ns = at_ns + 1",
                                          "actor = 'eve'",
                                          "request_id = ''",
                                          "action = 'alias_set'",
                                          "model = 'chur'",
                                          "version = 99",
                                          "before = 'x'",
                                          "after = after || ' '",
                                          "reason = 'because so'",
                                          "hash = x'00'",
                                          "hash = zeroblob(32)",
                                          "reason = NULL || ''",
                                          "actor = '', request_id = actor || request_id"};
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        char sql[200];
        start();
        snprintf(sql, sizeof sql, "UPDATE OR IGNORE audit SET %s WHERE id = 4", CHANGES[i]);
        if (strstr(CHANGES[i], "NULL")) // not allowed: nothing changed
            snprintf(sql, sizeof sql, "UPDATE audit SET reason = '' WHERE id = 4");
        small_store_tamper(&st, sql);
        verify(NULL);
        ck_assert_uint_eq(report.n_findings, 1);
        ck_assert_uint_eq(report.findings[0].first, 4);
        small_store_done(&st);
    }
}
END_TEST

START_TEST(a_removed_row_is_found_in_the_middle_and_at_both_ends)
{
    start();
    small_store_tamper(&st, "DELETE FROM audit WHERE id = 4");
    finds(4, 4, "row 4 was removed");
    start();
    small_store_tamper(&st, "DELETE FROM audit WHERE id IN (4, 5, 6)");
    finds(4, 6, "rows 4 to 6 were removed");
    start();
    small_store_tamper(&st, "DELETE FROM audit WHERE id = 1");
    finds(1, 1, "row 1 was removed");
    start();
    small_store_tamper(&st, "DELETE FROM audit WHERE id = 8");
    finds(8, 8, "row 8 was removed");
    start();
    small_store_tamper(&st, "DELETE FROM audit");
    verify(NULL);
    finds_first(1, ROWS, "rows 1 to 8 were removed");
    small_store_done(&st);
}
END_TEST

START_TEST(rows_removed_at_the_end_are_found_although_the_database_hides_it)
{
    start();
    st.reg->ops->close(st.reg);
    small_store_tamper(
        &st, "DELETE FROM audit WHERE id > 6; UPDATE sqlite_sequence SET seq = 6 WHERE name = 'audit';"
             "UPDATE audit_head SET (id, hash) = (SELECT id, hash FROM audit WHERE id = 6)");
    small_store_open(&st); // keeps the file, which knows better
    verify(NULL);
    finds_first(7, 8, "audit.head knows");
    small_store_add(&st, "churn", "");
    small_store_add(&st, "churn", "");
    small_store_add(&st, "churn", ""); // as many rows as before, and one more
    verify(NULL);
    finds_first(8, 8, "is not the one that the file audit.head has the hash of");
    small_store_done(&st);
}
END_TEST

START_TEST(a_receipt_is_compared)
{
    struct registry_audit receipt, old;
    start();
    ck_assert_int_eq(st.reg->ops->audit_head(st.reg, &receipt, &st.e), 0);
    ck_assert_uint_eq(receipt.id, ROWS);
    small_store_add(&st, "churn", "");
    verify(&receipt);
    ck_assert_uint_eq(report.n_findings, 0);
    old = receipt;
    old.hash.bytes[0] ^= 1;
    verify(&old);
    ck_assert_uint_eq(report.n_findings, 1);
    finds_first(ROWS, ROWS, "the receipt");
    old = receipt;
    old.id = ROWS + 5;
    verify(&old);
    finds_first(ROWS + 2, ROWS + 5, "the receipt knows");
    small_store_done(&st);
}
END_TEST

START_TEST(rows_that_were_exchanged_are_found)
{
    start();
    small_store_tamper(&st, "UPDATE audit SET id = 1000 WHERE id = 3; UPDATE audit SET id = 3 WHERE id = 4;"
                            "UPDATE audit SET id = 4 WHERE id = 1000");
    finds(3, 5, "rows 3 to 5 were changed, exchanged or inserted");
    start();
    small_store_tamper(&st, "UPDATE audit SET id = 1000 WHERE id = 2; UPDATE audit SET id = 2 WHERE id = 7;"
                            "UPDATE audit SET id = 7 WHERE id = 1000");
    verify(NULL);
    ck_assert_uint_eq(report.n_findings, 2);
    finds_first(2, 3, "rows 2 to 3");
    ck_assert_uint_eq(report.findings[1].first, 7);
    small_store_done(&st);
}
END_TEST

START_TEST(rows_that_were_inserted_are_found)
{
    static const char *const COPY = "INSERT INTO audit SELECT %d, at_ns, actor, request_id, action, model, "
                                    "version, before, after, reason,"
                                    " hash FROM audit WHERE id = %d";
    char sql[300];
    start();
    snprintf(sql, sizeof sql, COPY, 9, 8);
    small_store_tamper(&st, sql);
    verify(NULL);
    ck_assert_uint_eq(report.findings[0].first, 9);
    ck_assert_uint_ge(report.n_findings, 1);
    small_store_done(&st);
    start(); // room is made for it
    small_store_tamper(&st, "UPDATE audit SET id = id + 1000 WHERE id > 4;"
                            "UPDATE audit SET id = id - 999 WHERE id > 1000");
    snprintf(sql, sizeof sql, COPY, 5, 4);
    small_store_tamper(&st, sql);
    verify(NULL);
    finds_first(5, 9, "rows 5 to 9 were changed, exchanged or inserted");
    small_store_done(&st);
    start();
    snprintf(sql, sizeof sql, COPY, 0, 1);
    small_store_tamper(&st, sql);
    verify(NULL);
    ck_assert_uint_eq(report.findings[0].first, 0);
    small_store_done(&st);
}
END_TEST

START_TEST(a_row_of_which_the_hash_was_made_anew_is_found_by_the_next)
{
    struct registry_audit_report beside;
    start();
    small_store_tamper(&st, "UPDATE audit SET hash = (SELECT hash FROM audit WHERE id = 3) WHERE id = 5");
    ck_assert_int_eq(registry_sqlite_audit_verify(st.dir, NULL, &st.arena, &beside, &st.e), 0);
    ck_assert_uint_eq(beside.n_findings, 1);
    ck_assert(beside.findings[0].first == 5 && beside.findings[0].last == 6);
    small_store_done(&st);
}
END_TEST

START_TEST(more_findings_than_are_told_are_counted)
{
    start();
    for (int i = 0; i < 320; i++)
        small_store_add(&st, "churn", "");
    small_store_tamper(&st, "DELETE FROM audit WHERE id % 3 = 0");
    verify(NULL);
    ck_assert_uint_eq(report.n_findings, 109);
    ck_assert_uint_eq(report.n_told, 100);
    small_store_done(&st);
}
END_TEST

static char head_path[TEMPDIR_SIZE + 32];

static size_t head_read(char *to, size_t cap)
{
    snprintf(head_path, sizeof head_path, "%s/audit.head", st.dir);
    int fd = open(head_path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ssize_t n = read(fd, to, cap);
    close(fd);
    ck_assert_int_gt(n, 0);
    return (size_t)n;
}

static void head_write(const char *bytes, size_t n)
{
    int fd = open(head_path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
    ck_assert_int_eq(write(fd, bytes, n), n);
    close(fd);
}

static void expect_damaged_head(void)
{
    verify(NULL);
    ck_assert_uint_eq(report.n_findings, 1);
    finds_first(0, 0, "audit.head is damaged");
    ck_assert(!report.has_second_head);
}

START_TEST(each_damaged_byte_of_the_second_head_is_named)
{
    char whole[200], broken[200];
    start();
    size_t n = head_read(whole, sizeof whole);
    ck_assert_uint_eq(n, 95);
    for (size_t at = 0; at < n; at++) {
        memcpy(broken, whole, n);
        broken[at] ^= 1; // of a digit another digit
        head_write(broken, n);
        expect_damaged_head();
        if (at < 87) // as a first write leaves it that was torn
            continue;
        head_write(whole, at); // shorter
        expect_damaged_head();
    }
    memcpy(broken, whole, n);
    broken[n] = 'x';
    head_write(broken, n + 1);
    expect_damaged_head();
    st.reg->ops->close(st.reg);
    small_store_open(&st); // leaves it as it is
    small_store_add(&st, "churn", "");
    expect_damaged_head();
    ck_assert_int_eq(unlink(head_path), 0);
    st.reg->ops->close(st.reg);
    small_store_open(&st);
    is_sound(ROWS + 1);
    small_store_done(&st);
}
END_TEST

// As it was before it had a checksum, and as an older Slipway leaves one that had.
START_TEST(a_second_head_of_an_older_format_is_read)
{
    char whole[200];
    start();
    size_t n = head_read(whole, sizeof whole);
    whole[85] = '\n';
    head_write(whole, 86);
    is_sound(ROWS);
    head_write(whole, n);
    is_sound(ROWS);
    st.reg->ops->close(st.reg);
    small_store_tamper(&st, "DELETE FROM audit WHERE id > 7; UPDATE audit_head SET (id, hash) ="
                            " (SELECT id, hash FROM audit WHERE id = 7)");
    head_write(whole, 86);
    small_store_open(&st);
    verify(NULL);
    finds_first(8, 8, "audit.head knows");
    small_store_done(&st);
}
END_TEST

START_TEST(a_second_head_that_is_torn_or_gone_accuses_nobody)
{
    char path[TEMPDIR_SIZE + 32];
    start();
    snprintf(path, sizeof path, "%s/audit.head", st.dir);
    ck_assert_int_eq(truncate(path, 30), 0); // as a first write leaves it that was torn
    verify(NULL);
    ck_assert(report.n_findings == 0 && !report.has_second_head);
    small_store_add(&st, "churn", "");
    is_sound(ROWS + 1);
    ck_assert_int_eq(unlink(path), 0);
    verify(NULL);
    ck_assert(report.n_findings == 0 && !report.has_second_head);
    st.reg->ops->close(st.reg);
    small_store_open(&st);
    is_sound(ROWS + 1);
    small_store_done(&st);
}
END_TEST

START_TEST(the_audit_is_listed_newest_first_in_pages)
{
    struct registry_audit *rows;
    size_t n;
    start();
    small_store_add(&st, "other", "champion");
    struct registry_history_query q = {.limit = 3};
    ck_assert_int_eq(st.reg->ops->audit(st.reg, &q, &st.arena, &rows, &n, &st.e), 0);
    ck_assert(n == 3 && rows[0].id == 9 && str_eq(rows[0].model, STR("other")));
    ck_assert(str_eq(rows[0].after, STR("champion=1")) && str_eq(rows[0].reason, STR("because")));
    q = (struct registry_history_query){.model = STR("churn"), .before = 4};
    ck_assert_int_eq(st.reg->ops->audit(st.reg, &q, &st.arena, &rows, &n, &st.e), 0);
    ck_assert(n == 3 && rows[0].id == 3 && rows[2].id == 1);
    ck_assert_int_eq(registry_sqlite_audit_list(st.dir, &q, &st.arena, &rows, &n, &st.e), 0);
    ck_assert(n == 3 && rows[0].id == 3 && str_eq(rows[0].action, STR("version_add")));
    ck_assert_int_eq(registry_sqlite_audit_list("/nowhere", &q, &st.arena, &rows, &n, &st.e), ERR_NOT_FOUND);
    small_store_done(&st);
}
END_TEST

UNIT_MAIN("registry/audit", an_audit_that_nobody_touched_is_sound, a_changed_field_is_found,
          a_removed_row_is_found_in_the_middle_and_at_both_ends,
          rows_removed_at_the_end_are_found_although_the_database_hides_it, a_receipt_is_compared,
          rows_that_were_exchanged_are_found, rows_that_were_inserted_are_found,
          a_row_of_which_the_hash_was_made_anew_is_found_by_the_next, more_findings_than_are_told_are_counted,
          a_second_head_that_is_torn_or_gone_accuses_nobody, each_damaged_byte_of_the_second_head_is_named,
          a_second_head_of_an_older_format_is_read, the_audit_is_listed_newest_first_in_pages)
