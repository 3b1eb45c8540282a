// SPDX-License-Identifier: Apache-2.0
// fsck: what is sound has no findings, and nothing that is not goes unseen.
#include "registry/check.h"

#include "filled.h"
#include "unit.h"

#include <sqlite3.h>

enum { FINDINGS_MAX = 64, FILES = 20 };

static char dir[TEMPDIR_SIZE];
static struct registry_check_sum sum;
static struct err e;
static struct registry_finding found[FINDINGS_MAX];
static unsigned n_found;

static void on_finding(void *ctx, const struct registry_finding *f)
{
    (void)ctx;
    ck_assert_uint_lt(n_found, FINDINGS_MAX);
    ck_assert(f->what[0] && f->remedy[0] && f->code[0]);
    ck_assert_ptr_null(strchr(f->what, '\n'));
    found[n_found++] = *f;
}

static int check(bool repair)
{
    n_found = 0;
    return registry_check(
        &(struct registry_check_spec){.dir = dir, .repair = repair, .on_finding = on_finding}, &sum, &e);
}

static void expect_sound(void)
{
    ck_assert_msg(check(false) == 0, "%s", e.msg);
    ck_assert_msg(n_found == 0, "%s: %s", found[0].code, found[0].what);
    ck_assert_uint_eq(sum.n_errors + sum.n_notes, 0);
}

static void expect_one(const char *code, const char *about)
{
    ck_assert_msg(check(false) == 0, "%s", e.msg);
    ck_assert_msg(n_found == 1, "%u findings for %s", n_found, code);
    ck_assert_str_eq(found[0].code, code);
    ck_assert_msg(strstr(found[0].what, about) != NULL, "'%s' says nothing of '%s'", found[0].what, about);
}

// What file n is stored as.
static struct registry_artifact file_of(unsigned n)
{
    char other[TEMPDIR_SIZE];
    struct blobs *b;
    tempdir_new(other);
    ck_assert_int_eq(blobs_dir_open(other, false, &b, &e), 0);
    struct registry_artifact f = filled_blob(b, n);
    b->ops->close(b);
    tempdir_remove(other);
    return f;
}

// One rollout with its first move.
static void add_rollout(void)
{
    struct registry *r;
    const struct registry_rollout v = {.id = 1,
                                       .model = STR("churn"),
                                       .candidates = STR("2"),
                                       .attempt = 1,
                                       .salt = STR("00112233445566778899aabbccddeeff")};
    const struct registry_rollout_move first = {.number = 1, .event = STR("start"), .state = STR("warming")};
    ck_assert_int_eq(registry_sqlite_open(dir, &r, &e), 0);
    ck_assert_msg(r->ops->rollout_add(r, &FILLED_CAUSE, &v, &first, &e) == 0, "%s", e.msg);
    r->ops->close(r);
}

static void start(void)
{
    tempdir_new(dir);
    filled_new(dir, FILES);
    add_rollout();
}

START_TEST(a_sound_directory_has_no_findings)
{
    start();
    expect_sound();
    ck_assert_uint_eq(sum.n_models, 2);
    ck_assert_uint_eq(sum.n_versions, FILES);
    ck_assert_uint_eq(sum.n_blobs, FILES);
    tempdir_remove(dir);
    ck_assert_int_eq(check(false), ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_thousand_flipped_bits_are_all_found)
{
    enum { ROUNDS = 100, FLIPS = 10 };
    struct registry_artifact files[FILES];
    start();
    srandom(4711);
    for (unsigned i = 0; i < FILES; i++)
        files[i] = file_of(i);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t at[FLIPS];
        unsigned bit[FLIPS], first = (unsigned)random() % FILES;
        for (unsigned i = 0; i < FLIPS; i++) {
            const struct registry_artifact *f = &files[(first + i) % FILES];
            at[i] = (uint64_t)random() % f->size_bytes;
            bit[i] = (unsigned)random() % 8;
            filled_flip(dir, &f->digest, at[i], bit[i]);
        }
        ck_assert_int_eq(check(false), 0);
        ck_assert_uint_eq(n_found, FLIPS);
        for (unsigned i = 0; i < FLIPS; i++) {
            const struct registry_artifact *f = &files[(first + i) % FILES];
            char text[REGISTRY_DIGEST_TEXT];
            registry_digest_text(&f->digest, text);
            bool named = false;
            for (unsigned k = 0; k < FLIPS; k++)
                named = named || (strcmp(found[k].code, "blob_damaged") == 0 && strstr(found[k].what, text));
            ck_assert(named);
            filled_flip(dir, &f->digest, at[i], bit[i]);
        }
    }
    expect_sound();
    tempdir_remove(dir);
}
END_TEST

START_TEST(files_that_are_short_or_gone_are_found_and_named)
{
    char path[1024];
    start();
    struct registry_artifact f = file_of(3);
    filled_path(path, dir, &f.digest);
    ck_assert_int_eq(chmod(path, 0600) | truncate(path, (off_t)f.size_bytes - 1), 0);
    expect_one("blob_damaged", "churn version 2 (model.json)");
    ck_assert_int_eq(unlink(path), 0);
    expect_one("blob_missing", "churn version 2 (model.json)");
    tempdir_remove(dir);
}
END_TEST

START_TEST(a_repair_sets_damage_aside_and_removes_what_nobody_needs)
{
    struct blobs *b;
    char path[1024];
    start();
    struct registry_artifact bad = file_of(1), orphan;
    ck_assert_int_eq(blobs_dir_open(dir, false, &b, &e), 0);
    orphan = filled_blob(b, 1000);
    b->ops->close(b);
    filled_flip(dir, &bad.digest, 0, 0);
    snprintf(path, sizeof path, "%s/blobs/tmp/77", dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(path, sizeof path, "%s/blobs/sha256/readme", dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    ck_assert_int_eq(check(false), 0);
    ck_assert_uint_eq(sum.n_errors, 1);
    ck_assert_uint_eq(sum.n_notes, 3);
    ck_assert_uint_eq(sum.n_repaired, 0);
    ck_assert_int_eq(check(true), 0);
    ck_assert_uint_eq(sum.n_errors, 1);
    ck_assert_uint_eq(sum.n_repaired, 3); // the file that is no blob is not ours to remove
    ck_assert_int_eq(unlink(path), 0);
    filled_path(path, dir, &orphan.digest);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(check(false), 0);
    ck_assert_uint_eq(sum.n_errors, 1);
    ck_assert_uint_eq(sum.n_notes, 1); // what was set aside
    ck_assert_int_eq(blobs_dir_open(dir, false, &b, &e), 0);
    (void)filled_blob(b, 1); // pushed again
    b->ops->close(b);
    ck_assert_int_eq(check(false), 0);
    ck_assert_uint_eq(sum.n_errors, 0);
    tempdir_remove(dir);
}
END_TEST

START_TEST(nothing_is_checked_while_a_server_uses_it)
{
    struct registry *r;
    start();
    ck_assert_int_eq(registry_sqlite_open(dir, &r, &e), 0);
    ck_assert_int_eq(check(true), ERR_REFUSED);
    ck_assert_ptr_nonnull(strstr(e.msg, "a server uses"));
    ck_assert(e.hint[0]);
    r->ops->close(r);
    expect_sound();
    tempdir_remove(dir);
}
END_TEST

static void write_sql(const char *sql)
{
    char path[TEMPDIR_SIZE + 32], *why = NULL;
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/registry.db", dir);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    int rc = sqlite3_exec(db, sql, NULL, NULL, &why);
    ck_assert_msg(rc == SQLITE_OK, "%s: %s", sql, why ? why : "");
    sqlite3_close(db);
}

START_TEST(each_rule_of_the_database_finds_what_breaks_it)
{
    // The code that must be among the findings, and the SQL that breaks its rule.
    static const char *const BREAKS[][2] = {
        {"number_reused", "UPDATE models SET last_version = 1"},
        {"version_state", "UPDATE versions SET state = 'unknown' WHERE id = 3"},
        {"version_without_files", "DELETE FROM artifacts WHERE version_id = 3"},
        {"version_not_audited", "DELETE FROM audit WHERE id = 4"},
        {"artifact_size", "UPDATE artifacts SET digest = (SELECT digest FROM artifacts WHERE version_id = 2)"
                          " WHERE version_id = 3"},
        {"alias_of_another_model", "UPDATE aliases SET version_id = 1 WHERE version_id = 20"},
        {"alias_of_rejected", "UPDATE versions SET state = 'rejected' WHERE id = 20"},
        {"registry_reference", "DELETE FROM versions WHERE id = 20"},
        {"registry_schema", "PRAGMA user_version = 1000"},
        {"audit_chain", "UPDATE audit SET actor = 'nobody' WHERE id = 5"},
        {"audit_chain", "DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)"},
        {"version_without_model_file", "UPDATE artifacts SET role = 'data' WHERE version_id = 2"},
        {"alias_history", "UPDATE aliases SET version_id = 1 WHERE version_id = 19"},
        {"alias_history", "DELETE FROM aliases WHERE version_id = 19"},
        {"alias_history", "UPDATE alias_history SET back_id = 77"},
        {"rollout_record", "UPDATE rollouts SET n_moves = 2"},
        {"rollout_record", "UPDATE rollouts SET state = 'promoted'"},
        {"rollout_not_audited", "DELETE FROM audit WHERE action = 'rollout'"},
        {"row_damaged", "UPDATE versions SET signature = '{\"inputs\":[]}' WHERE id = 3"},
        {"row_damaged", "UPDATE artifacts SET digest = replace(digest, 'a', 'b') WHERE version_id = 3"},
        {"row_damaged", "UPDATE aliases SET version_id = 18 WHERE version_id = 20"},
        {"row_damaged", "UPDATE alias_history SET back_id = 0, version = 5 WHERE id = 2"},
        {"row_damaged", "UPDATE models SET last_version = 77"},
        {"row_damaged", "UPDATE rollouts SET plan = '{}'"},
        {"artifact_digest", "UPDATE artifacts SET digest = upper(digest) WHERE version_id = 2"},
        {"registry_damaged",
         "PRAGMA writable_schema = ON; UPDATE sqlite_master"
         " SET sql = replace(sql, 'number > 0', 'numbes > 0') WHERE name = 'rollout_events'"},
        {"registry_damaged",
         "PRAGMA writable_schema = ON; UPDATE sqlite_master"
         " SET sql = replace(sql, 'SELECT RAISE', 'SELEKT RAISE') WHERE type = 'trigger'"},
    };
    for (size_t i = 0; i < sizeof BREAKS / sizeof BREAKS[0]; i++) {
        start();
        write_sql(BREAKS[i][1]);
        ck_assert_msg(check(false) == 0, "%s", e.msg);
        bool seen = false;
        for (unsigned k = 0; k < n_found; k++)
            seen = seen || strcmp(found[k].code, BREAKS[i][0]) == 0;
        ck_assert_msg(seen, "%s did not find: %s", BREAKS[i][0], BREAKS[i][1]);
        ck_assert_uint_ge(sum.n_errors, 1);
        tempdir_remove(dir);
    }
}
END_TEST

// A version that was rejected is as sound as another.
START_TEST(a_rejected_version_has_no_findings)
{
    struct registry *r;
    struct blobs *b;
    uint64_t id;
    uint32_t number;
    start();
    ck_assert_int_eq(registry_sqlite_open(dir, &r, &e), 0);
    ck_assert_int_eq(blobs_dir_open(dir, false, &b, &e), 0);
    struct registry_artifact f = filled_blob(b, 500);
    struct registry_version v = {.model = STR("churn"),
                                 .state = STR("rejected"),
                                 .engine = STR("trees"),
                                 .format = STR("xgboost_json"),
                                 .artifacts = &f,
                                 .n_artifacts = 1};
    ck_assert_msg(r->ops->version_add(r, &FILLED_CAUSE, &v, STR(""), &id, &number, &e) == 0, "%s", e.msg);
    b->ops->close(b);
    r->ops->close(r);
    expect_sound();
    tempdir_remove(dir);
}
END_TEST

START_TEST(a_database_that_is_damaged_is_said_to_be)
{
    char path[TEMPDIR_SIZE + 32];
    start();
    snprintf(path, sizeof path, "%s/registry.db", dir);
    int fd = open(path, O_WRONLY);
    char zeros[3000] = {0};
    ck_assert_int_eq(pwrite(fd, zeros, sizeof zeros, 4096), sizeof zeros);
    close(fd);
    ck_assert_int_eq(check(false), 0);
    ck_assert_uint_ge(n_found, 1);
    ck_assert_str_eq(found[0].code, "registry_damaged");
    fd = open(path, O_WRONLY | O_TRUNC);
    ck_assert_int_eq(pwrite(fd, "this is no database, and never was one", 38, 0), 38);
    close(fd);
    ck_assert_int_eq(check(false), 0);
    ck_assert_str_eq(found[0].code, "registry_damaged");
    tempdir_remove(dir);
}
END_TEST

UNIT_MAIN("registry/check", a_sound_directory_has_no_findings, a_thousand_flipped_bits_are_all_found,
          files_that_are_short_or_gone_are_found_and_named,
          a_repair_sets_damage_aside_and_removes_what_nobody_needs, nothing_is_checked_while_a_server_uses_it,
          each_rule_of_the_database_finds_what_breaks_it, a_rejected_version_has_no_findings,
          a_database_that_is_damaged_is_said_to_be)
