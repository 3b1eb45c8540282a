// SPDX-License-Identifier: Apache-2.0
// Databases of earlier schemas, made from the SQL of their time: opened by this program everything is found
// again; a newer one is left alone; a migration that dies at any write leaves the old schema or a later one,
// wholly.
//
// This program defines the system calls' wrappers itself, so that SQLite calls them too.
#include "registry/registry.h"

#include "base/arena.h"
#include "registry/store_sqlite.h"
#include "tempdir.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// ---- dying ----

static unsigned dies_at; // the process is killed at this call from now on; 0: never

static void count_down(void)
{
    if (dies_at && --dies_at == 0)
        raise(SIGKILL);
}

// Half of what should be written is, so that a torn page is among what is left.
ssize_t dying_pwrite(int fd, const void *p, size_t n, off_t at) __asm__("pwrite64");
ssize_t dying_pwrite(int fd, const void *p, size_t n, off_t at)
{
    if (dies_at == 1)
        syscall(SYS_pwrite64, fd, p, n / 2, at);
    count_down();
    return syscall(SYS_pwrite64, fd, p, n, at);
}

int fsync(int fd)
{
    (void)fd;
    count_down();
    return 0;
}

int fdatasync(int fd)
{
    return fsync(fd);
}

int ftruncate64(int fd, off_t size)
{
    count_down();
    return (int)syscall(SYS_ftruncate, fd, size);
}

// ---- what there was ----

static const char SCHEMA_1[] =
    "PRAGMA journal_mode = WAL; PRAGMA application_id = 0x536c6970;"
    "CREATE TABLE models (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last_version INTEGER NOT NULL,"
    " created_ns INTEGER NOT NULL) STRICT;"
    "CREATE TABLE versions (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " model_id INTEGER NOT NULL REFERENCES models(id), number INTEGER NOT NULL CHECK (number > 0),"
    " slot INTEGER UNIQUE, state TEXT NOT NULL, engine TEXT NOT NULL, format TEXT NOT NULL,"
    " signature TEXT NOT NULL, description TEXT NOT NULL, tags TEXT NOT NULL, created_by TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL, UNIQUE (model_id, number)) STRICT;"
    "CREATE TABLE artifacts (version_id INTEGER NOT NULL REFERENCES versions(id) ON DELETE CASCADE,"
    " name TEXT NOT NULL, digest TEXT NOT NULL CHECK (length(digest) = 64), size INTEGER NOT NULL,"
    " PRIMARY KEY (version_id, name)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX artifacts_by_digest ON artifacts (digest);"
    "CREATE TABLE aliases (model_id INTEGER NOT NULL REFERENCES models(id), name TEXT NOT NULL,"
    " version_id INTEGER NOT NULL REFERENCES versions(id), PRIMARY KEY (model_id, name)) STRICT, WITHOUT "
    "ROWID;"
    "CREATE INDEX aliases_by_version ON aliases (version_id);"
    "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at_ns INTEGER NOT NULL, actor TEXT NOT NULL,"
    " request_id TEXT NOT NULL, action TEXT NOT NULL, model TEXT NOT NULL, version INTEGER NOT NULL,"
    " before TEXT NOT NULL, after TEXT NOT NULL) STRICT;"
    "PRAGMA user_version = 1;";

static const char SCHEMA_2[] = "ALTER TABLE versions ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';"
                               "PRAGMA user_version = 2;";

// churn has versions 1 and 2 and had 3; price has 1. churn's champion went from 1 to 2.
static const char ROWS[] =
    "INSERT INTO models VALUES (1, 'churn', 3, 1000), (2, 'price', 1, 2000);"
    "INSERT INTO versions (id, model_id, number, slot, state, engine, format, signature, description, tags,"
    " created_by, created_ns) VALUES"
    " (1, 1, 1, 0, 'ready', 'trees', 'xgboost_json', '{\"a\":1}', 'first', '{\"team\":\"risk\"}', 'anna', "
    "1000),"
    " (2, 1, 2, 7, 'ready', 'trees', 'xgboost_ubj', '{\"a\":2}', '', '{}', 'anonymous', 1100),"
    " (4, 2, 1, 3, 'ready', 'onnx', 'onnx', '{\"a\":4}', 'last', '{}', 'bert', 2000);"
    "INSERT INTO sqlite_sequence SELECT 'versions', 4 WHERE NOT EXISTS"
    " (SELECT 1 FROM sqlite_sequence WHERE name = 'versions');"
    "UPDATE sqlite_sequence SET seq = 5 WHERE name = 'versions';" // 5 was deleted
    "INSERT INTO artifacts VALUES"
    " (1, 'model.json', '1111111111111111111111111111111111111111111111111111111111111111', 11),"
    " (2, 'model.ubj', '2222222222222222222222222222222222222222222222222222222222222222', 22),"
    " (4, 'model.onnx', '4444444444444444444444444444444444444444444444444444444444444444', 44);"
    "INSERT INTO aliases VALUES (1, 'champion', 2), (2, 'champion', 4), (1, 'blue', 1);"
    "INSERT INTO audit (at_ns, actor, request_id, action, model, version, before, after) VALUES"
    " (1000, 'anna', 'r1', 'version_add', 'churn', 1, '', 'champion=1'),"
    " (1050, 'anna', 'r2', 'alias_set', 'churn', 1, '', 'blue=1'),"
    " (1100, 'anonymous', 'r3', 'version_add', 'churn', 2, 'champion=1', 'champion=2'),"
    " (1200, 'anonymous', 'r4', 'version_add', 'churn', 3, '', ''),"
    " (1300, 'anonymous', 'r5', 'version_remove', 'churn', 3, 'ready', ''),"
    " (2000, 'bert', 'r6', 'version_add', 'price', 1, '', 'champion=1');";
static const char SETTINGS[] = "UPDATE versions SET settings = '{\"replicas\":2}' WHERE id = 4;";

static char dir[TEMPDIR_SIZE], db_path[TEMPDIR_SIZE + 32];
static struct err e;

__attribute__((constructor)) static void in_memory(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
}

static void run_sql(const char *sql)
{
    sqlite3 *db;
    char *why = NULL;
    ck_assert_int_eq(sqlite3_open(db_path, &db), SQLITE_OK);
    int rc = sqlite3_exec(db, sql, NULL, NULL, &why);
    ck_assert_msg(rc == SQLITE_OK, "%s", why ? why : "");
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static int64_t ask(const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    ck_assert_int_eq(sqlite3_open(db_path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

static void make(int schema)
{
    tempdir_new(dir);
    snprintf(db_path, sizeof db_path, "%s/registry.db", dir);
    run_sql(SCHEMA_1);
    if (schema >= 2)
        run_sql(SCHEMA_2);
    run_sql(ROWS);
    if (schema >= 2)
        run_sql(SETTINGS);
    if (schema < 3)
        return;
    // Its hashes are made by the way to 3; the schemas after it only added tables, and sums to all rows.
    struct registry *r;
    ck_assert_msg(registry_sqlite_open(dir, &r, &e) == 0, "%s", e.msg);
    r->ops->close(r);
    run_sql("DROP TABLE rollout_events; DROP TABLE rollouts; ALTER TABLE models DROP COLUMN sum;"
            "ALTER TABLE versions DROP COLUMN sum; ALTER TABLE artifacts DROP COLUMN sum;"
            "ALTER TABLE aliases DROP COLUMN sum; ALTER TABLE alias_history DROP COLUMN sum;"
            "ALTER TABLE idempotency DROP COLUMN sum; PRAGMA user_version = 3");
}

static void expect_version(struct registry *r, struct arena *a, const char *model, const char *which,
                           uint64_t id, uint32_t number, const char *file)
{
    struct registry_version v;
    char hex[REGISTRY_DIGEST_HEX];
    ck_assert_msg(r->ops->version_find(r, str_of(model), str_of(which), a, &v, &e) == 0, "%s", e.msg);
    ck_assert_uint_eq(v.id, id);
    ck_assert_uint_eq(v.number, number);
    ck_assert(str_eq(v.state, STR("ready")));
    ck_assert_uint_eq(v.n_artifacts, 1);
    ck_assert(str_eq(v.artifacts[0].name, str_of(file)) && v.artifacts[0].role == REGISTRY_ROLE_MODEL);
    registry_digest_hex(&v.artifacts[0].digest, hex);
    ck_assert_uint_eq(v.artifacts[0].size_bytes, 11 * id);
    ck_assert_int_eq(hex[0], (int)('0' + id));
}

static void expect_numbers_go_on(struct registry *r)
{
    uint64_t id;
    uint32_t number;
    ck_assert_int_eq(r->ops->version_next(r, STR("churn"), &id, &number, &e), 0);
    ck_assert_uint_eq(id, 6);
    ck_assert_uint_eq(number, 4);
}

// All that ROWS says, through the interface of today.
static void expect_everything(int schema)
{
    struct registry *r;
    struct arena a;
    struct registry_version v;
    struct registry_alias_change *history;
    struct registry_audit *rows;
    struct registry_audit_report report;
    size_t n;
    uint32_t back;
    ck_assert_msg(registry_sqlite_open(dir, &r, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(arena_init(&a, 16 << 20, &e), 0);
    expect_version(r, &a, "churn", "1", 1, 1, "model.json");
    expect_version(r, &a, "churn", "blue", 1, 1, "model.json");
    expect_version(r, &a, "churn", "champion", 2, 2, "model.ubj");
    expect_version(r, &a, "price", "champion", 4, 1, "model.onnx");
    expect_numbers_go_on(r);
    ck_assert_int_eq(r->ops->version_find(r, STR("churn"), STR("1"), &a, &v, &e), 0);
    ck_assert(str_eq(v.description, STR("first")) && str_eq(v.tags_json, STR("{\"team\":\"risk\"}")));
    ck_assert(str_eq(v.created_by, STR("anna")) && v.created_wall_ns == 1000);
    ck_assert(str_eq(v.signature_json, STR("{\"a\":1}")));
    ck_assert_int_eq(r->ops->version_find(r, STR("price"), STR("1"), &a, &v, &e), 0);
    ck_assert(str_eq(v.settings_json, schema >= 2 ? STR("{\"replicas\":2}") : STR("{}")));
    struct registry_history_query of = {.model = STR("churn"), .alias = STR("champion")};
    ck_assert_int_eq(r->ops->alias_history(r, &of, &a, &history, &n, &e), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert(history[0].version == 2 && history[0].previous == 1 && history[1].version == 1);
    ck_assert_int_eq(r->ops->rollback_find(r, STR("churn"), STR("champion"), 0, &back, &e), 0);
    ck_assert_uint_eq(back, 1);
    ck_assert_int_eq(r->ops->audit(r, &(struct registry_history_query){0}, &a, &rows, &n, &e), 0);
    ck_assert_uint_eq(n, 6);
    ck_assert(str_eq(rows[0].actor, STR("bert")) && str_eq(rows[5].request_id, STR("r1")));
    ck_assert_int_eq(r->ops->audit_verify(r, NULL, &a, &report, &e), 0);
    ck_assert_uint_eq(report.n_findings, 0);
    ck_assert_uint_eq(report.n_rows, 6);
    arena_done(&a);
    r->ops->close(r);
}

START_TEST(what_schema_1_knew_is_found_again)
{
    make(1);
    expect_everything(1);
    expect_everything(1);
    ck_assert_int_eq(ask("PRAGMA user_version"), store_schema_version());
    tempdir_remove(dir);
}
END_TEST

START_TEST(what_schema_2_knew_is_found_again)
{
    make(2);
    expect_everything(2);
    expect_everything(2);
    ck_assert_int_eq(ask("PRAGMA user_version"), store_schema_version());
    tempdir_remove(dir);
}
END_TEST

START_TEST(what_schema_3_knew_is_found_again)
{
    make(3);
    ck_assert_int_eq(ask("PRAGMA user_version"), 3);
    expect_everything(3);
    expect_everything(3);
    ck_assert_int_eq(ask("PRAGMA user_version"), store_schema_version());
    tempdir_remove(dir);
}
END_TEST

static size_t read_file(char *to, size_t cap)
{
    int fd = open(db_path, O_RDONLY);
    ssize_t n = read(fd, to, cap);
    close(fd);
    ck_assert(n > 0 && (size_t)n < cap);
    return (size_t)n;
}

START_TEST(a_newer_schema_is_refused_and_left_alone)
{
    static char before[1 << 20], after[1 << 20];
    struct registry *r;
    make(2);
    run_sql("PRAGMA user_version = 1000");
    size_t n = read_file(before, sizeof before);
    ck_assert_int_eq(registry_sqlite_open(dir, &r, &e), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(e.msg, "schema 1000"));
    ck_assert_ptr_nonnull(strstr(e.msg, "run a newer one"));
    ck_assert_uint_eq(read_file(after, sizeof after), n);
    ck_assert_int_eq(memcmp(before, after, n), 0);
    tempdir_remove(dir);
}
END_TEST

// What the schema promises is there, and nothing of a later one.
static void expect_one_schema(void)
{
    int64_t schema = ask("PRAGMA user_version");
    ck_assert(schema >= 1 && schema <= store_schema_version());
    ck_assert_int_eq(ask("SELECT count(*) FROM pragma_table_info('versions') WHERE name = 'settings'"),
                     schema >= 2);
    ck_assert_int_eq(ask("SELECT count(*) FROM pragma_table_info('artifacts') WHERE name = 'role'"),
                     schema >= 3);
    ck_assert_int_eq(ask("SELECT count(*) FROM sqlite_master WHERE name = 'alias_history'"), schema >= 3);
    ck_assert_int_eq(ask("SELECT count(*) FROM sqlite_master WHERE name LIKE 'rollout%'"),
                     schema >= 4 ? 6 : 0);
    ck_assert_int_eq(ask("SELECT count(*) FROM sqlite_master m JOIN pragma_table_info(m.name) c"
                         " WHERE m.type = 'table' AND c.name = 'sum'"),
                     schema >= 5 ? 8 : 0);
    if (schema >= 3)
        ck_assert_int_eq(ask("SELECT count(*) FROM audit WHERE length(hash) = 32"), 6);
    ck_assert_int_eq(ask("SELECT count(*) FROM versions"), 3);
}

START_TEST(a_migration_that_dies_at_any_write_leaves_one_schema)
{
    unsigned seen[16] = {0}, at = 1;
    for (int status = 1; status; at++) {
        struct registry *r;
        ck_assert_uint_lt(at, 2000);
        make(1);
        pid_t pid = fork();
        if (pid == 0) {
            dies_at = at;
            _exit(registry_sqlite_open(dir, &r, &e) ? 1 : 0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        expect_one_schema();
        seen[ask("PRAGMA user_version")]++;
        expect_everything(1);
        tempdir_remove(dir);
    }
    for (int schema = 1; schema <= store_schema_version(); schema++)
        ck_assert_msg(seen[schema], "no death left schema %d", schema);
}
END_TEST

UNIT_MAIN("registry/migrations", what_schema_1_knew_is_found_again, what_schema_2_knew_is_found_again,
          what_schema_3_knew_is_found_again, a_newer_schema_is_refused_and_left_alone,
          a_migration_that_dies_at_any_write_leaves_one_schema)
