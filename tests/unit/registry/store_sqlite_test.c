// SPDX-License-Identifier: Apache-2.0
// The registry on SQLite: numbers, aliases, lists, reopening, the lock, and files that are no registry.
#include "registry/registry.h"

#include "tempdir.h"
#include "unit.h"

#include <sqlite3.h>
#include <string.h>

static char dir[TEMPDIR_SIZE];
static struct registry *reg;
static struct arena arena;
static struct err e;
static const struct registry_cause CAUSE = {
    .actor = STR("tester"), .request_id = STR("req-1"), .wall_ns = 1700000000000000000u};

static void start(void)
{
    tempdir_new(dir);
    ck_assert_int_eq(registry_sqlite_open(dir, &reg, &e), 0);
    ck_assert_int_eq(arena_init(&arena, 16 << 20, &e), 0);
}

static void reopen(void)
{
    reg->ops->close(reg);
    ck_assert_msg(registry_sqlite_open(dir, &reg, &e) == 0, "%s", e.msg);
}

static void stop(void)
{
    reg->ops->close(reg);
    arena_done(&arena);
    tempdir_remove(dir);
}

static struct registry_version sample(const char *model, struct registry_artifact *file)
{
    *file =
        (struct registry_artifact){.name = STR("model.json"), .digest.bytes = {1, 2, 3}, .size_bytes = 77};
    return (struct registry_version){
        .model = str_of(model),
        .engine = STR("trees"),
        .format = STR("xgboost_json"),
        .signature_json = STR("{\"n\":1}"),
        .description = STR("first try"),
        .tags_json = STR("{\"team\":\"risk\"}"),
        .created_by = STR("tester"),
        .created_wall_ns = CAUSE.wall_ns,
        .artifacts = file,
        .n_artifacts = 1,
    };
}

static uint32_t add(const char *model, const char *alias)
{
    struct registry_artifact file;
    struct registry_version v = sample(model, &file);
    uint64_t id;
    uint32_t number;
    int rc = reg->ops->version_add(reg, &CAUSE, &v, str_of(alias), &id, &number, &e);
    ck_assert_msg(rc == 0, "%s", e.msg);
    return number;
}

static int find(const char *model, const char *selector, struct registry_version *ret)
{
    return reg->ops->version_find(reg, str_of(model), str_of(selector), &arena, ret, &e);
}

START_TEST(a_version_comes_back_whole_after_reopening)
{
    start();
    ck_assert_uint_eq(add("churn", "champion"), 1);
    reopen();
    struct registry_version v;
    ck_assert_int_eq(find("churn", "champion", &v), 0);
    ck_assert(str_eq(v.model, STR("churn")) && v.number == 1);
    ck_assert(str_eq(v.state, STR("ready")) && str_eq(v.engine, STR("trees")));
    ck_assert(str_eq(v.format, STR("xgboost_json")) && str_eq(v.signature_json, STR("{\"n\":1}")));
    ck_assert(str_eq(v.description, STR("first try")) && str_eq(v.tags_json, STR("{\"team\":\"risk\"}")));
    ck_assert(str_eq(v.created_by, STR("tester")) && v.created_wall_ns == CAUSE.wall_ns);
    ck_assert_uint_eq(v.n_artifacts, 1);
    ck_assert(str_eq(v.artifacts[0].name, STR("model.json")) && v.artifacts[0].size_bytes == 77);
    ck_assert(v.artifacts[0].digest.bytes[2] == 3 && v.artifacts[0].digest.bytes[3] == 0);
    stop();
}
END_TEST

START_TEST(version_numbers_are_never_reused)
{
    start();
    ck_assert_uint_eq(add("churn", ""), 1);
    ck_assert_uint_eq(add("churn", ""), 2);
    ck_assert_uint_eq(add("other", ""), 1);
    ck_assert_int_eq(reg->ops->version_remove(reg, &CAUSE, STR("churn"), 2, false, &e), 0);
    ck_assert_uint_eq(add("churn", ""), 3);
    ck_assert_int_eq(reg->ops->model_remove(reg, &CAUSE, STR("churn"), &e), 0);
    reopen();
    struct registry_version v;
    ck_assert_int_eq(find("churn", "3", &v), ERR_UNKNOWN_MODEL);
    ck_assert_uint_eq(add("churn", ""), 4);
    ck_assert_int_eq(find("churn", "1", &v), ERR_UNKNOWN_VERSION);
    stop();
}
END_TEST

START_TEST(aliases_move_and_guard_their_version)
{
    start();
    add("churn", "champion");
    add("churn", "champion");
    struct registry_version v;
    ck_assert_int_eq(find("churn", "champion", &v), 0);
    ck_assert_uint_eq(v.number, 2);
    ck_assert_int_eq(reg->ops->version_remove(reg, &CAUSE, STR("churn"), 2, false, &e), ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(e.msg, "champion"));
    ck_assert_int_eq(find("churn", "2", &v), 0);
    ck_assert_int_eq(reg->ops->alias_set(reg, &CAUSE, STR("churn"), STR("champion"), 1, &e), 0);
    ck_assert_int_eq(reg->ops->version_remove(reg, &CAUSE, STR("churn"), 2, false, &e), 0);
    ck_assert_int_eq(reg->ops->alias_set(reg, &CAUSE, STR("churn"), STR("champion"), 2, &e),
                     ERR_UNKNOWN_VERSION);
    ck_assert_int_eq(reg->ops->alias_set(reg, &CAUSE, STR("chrun"), STR("champion"), 1, &e),
                     ERR_UNKNOWN_MODEL);
    ck_assert_str_eq(e.hint, "Did you mean 'churn'?");
    struct registry_alias *list;
    size_t n;
    ck_assert_int_eq(reg->ops->aliases(reg, STR("churn"), &arena, &list, &n, &e), 0);
    ck_assert(n == 1 && list[0].version == 1 && str_eq(list[0].name, STR("champion")));
    ck_assert_int_eq(reg->ops->version_remove(reg, &CAUSE, STR("churn"), 1, true, &e), 0);
    ck_assert_int_eq(find("churn", "champion", &v), ERR_UNKNOWN_MODEL);
    stop();
}
END_TEST

START_TEST(an_error_about_a_version_names_those_that_are_there)
{
    struct registry_version v;
    start();
    for (int i = 0; i < 9; i++)
        add("churn", "");
    ck_assert_int_eq(find("churn", "blue", &v), ERR_UNKNOWN_VERSION);
    ck_assert_str_eq(e.hint, "It has no aliases. The newest versions: 9, 8, 7.");
    ck_assert_int_eq(reg->ops->version_remove(reg, &CAUSE, STR("churn"), 5, false, &e), 0);
    ck_assert_int_eq(find("churn", "5", &v), ERR_UNKNOWN_VERSION);
    ck_assert_str_eq(e.msg, "model 'churn' has no version or alias '5'");
    ck_assert_str_eq(e.hint, "The nearest versions: 8, 7, 6, 4, 3, 2.");
    ck_assert_int_eq(find("churn", "0", &v), ERR_UNKNOWN_VERSION);
    ck_assert_str_eq(e.hint, "The nearest versions: 3, 2, 1.");
    const struct str champion = STR("champion");
    ck_assert_int_eq(reg->ops->alias_set(reg, &CAUSE, STR("churn"), champion, 4000000000, &e),
                     ERR_UNKNOWN_VERSION);
    ck_assert_str_eq(e.hint, "The nearest versions: 9, 8, 7.");
    ck_assert_int_eq(reg->ops->version_remove(reg, &CAUSE, STR("churn"), 10, true, &e), ERR_UNKNOWN_VERSION);
    ck_assert_str_eq(e.hint, "The nearest versions: 9, 8, 7.");
    ck_assert_int_eq(reg->ops->alias_set(reg, &CAUSE, STR("churn"), champion, 1, &e), 0);
    ck_assert_int_eq(reg->ops->alias_set(reg, &CAUSE, STR("churn"), STR("blue"), 2, &e), 0);
    ck_assert_int_eq(find("churn", "chmapion", &v), ERR_UNKNOWN_VERSION);
    ck_assert_str_eq(e.hint, "Did you mean 'champion'?");
    ck_assert_int_eq(find("churn", "latest", &v), ERR_UNKNOWN_VERSION);
    ck_assert_str_eq(e.hint, "Its aliases: blue, champion.");
    stop();
}
END_TEST

static int list(const char *model, uint32_t before, uint32_t limit, struct registry_version **ret,
                size_t *ret_n)
{
    const struct registry_versions_query q = {.model = str_of(model), .before = before, .limit = limit};
    return reg->ops->versions(reg, &q, &arena, ret, ret_n, &e);
}

START_TEST(lists_are_ordered_and_complete)
{
    start();
    enum { N = 40 };
    for (uint32_t i = 0; i < N; i++)
        add(i % 2 ? "beta" : "alpha", i == 10 ? "champion" : "");
    struct registry_model *models;
    struct registry_version *versions;
    size_t n;
    ck_assert_int_eq(reg->ops->models(reg, &arena, &models, &n, &e), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert(str_eq(models[0].name, STR("alpha")) && models[0].n_versions == N / 2 &&
              models[0].champion == 6);
    ck_assert(str_eq(models[1].name, STR("beta")) && models[1].latest == N / 2 && models[1].champion == 0);
    ck_assert_int_eq(list("beta", 0, 0, &versions, &n), 0);
    ck_assert_uint_eq(n, N / 2);
    for (size_t i = 0; i < n; i++)
        ck_assert(versions[i].number == N / 2 - i && versions[i].n_artifacts == 1);
    ck_assert_int_eq(list("", 0, 0, &versions, &n), 0);
    ck_assert_uint_eq(n, N);
    const struct registry_versions_query page = {.after_id = versions[N - 4].id, .limit = 2};
    uint64_t third_last = versions[N - 3].id;
    ck_assert_int_eq(reg->ops->versions(reg, &page, &arena, &versions, &n, &e), 0);
    ck_assert(n == 2 && versions[0].id == third_last && versions[1].id > third_last);
    ck_assert_int_eq(list("beta", 7, 3, &versions, &n), 0);
    ck_assert(n == 3 && versions[0].number == 6 && versions[2].number == 4);
    ck_assert_int_eq(list("beta", 2, 3, &versions, &n), 0);
    ck_assert(n == 1 && versions[0].number == 1);
    stop();
}
END_TEST

START_TEST(a_rejected_version_is_kept_with_its_reasons_and_never_named)
{
    struct registry_artifact files[3];
    struct registry_version v = sample("churn", &files[0]), back;
    struct registry_model *models;
    uint64_t id;
    uint32_t number;
    size_t n;
    start();
    add("churn", "champion");
    files[0].name = STR("z.json");
    files[1] = (struct registry_artifact){.name = STR("a.bin"), .role = REGISTRY_ROLE_DATA};
    files[2] = (struct registry_artifact){.name = STR("golden.json"), .role = REGISTRY_ROLE_GOLDEN};
    v.n_artifacts = 3;
    v.state = STR("rejected");
    v.reasons_json = STR("[{\"step\":\"golden\"}]");
    v.admission_json = STR("{\"schema\":1}");
    v.metrics_json = STR("{\"auc\":0.5}");
    v.trained_from = STR("run 7");
    v.replaces = 1;
    ck_assert_int_eq(reg->ops->version_add(reg, &CAUSE, &v, STR("champion"), &id, &number, &e), ERR_CONFLICT);
    ck_assert_int_eq(reg->ops->version_add(reg, &CAUSE, &v, STR(""), &id, &number, &e), 0);
    ck_assert_uint_eq(number, 2);
    reopen();
    ck_assert_int_eq(find("churn", "2", &back), 0);
    ck_assert(registry_version_is_rejected(&back) && back.replaces == 1);
    ck_assert_int_eq(find("churn", "3", &back), ERR_UNKNOWN_VERSION);
    ck_assert_str_eq(e.hint, "The nearest versions: 2 (rejected), 1.");
    ck_assert_int_eq(find("churn", "2", &back), 0);
    ck_assert(str_eq(back.reasons_json, v.reasons_json) && str_eq(back.admission_json, v.admission_json));
    ck_assert(str_eq(back.metrics_json, v.metrics_json) && str_eq(back.trained_from, v.trained_from));
    ck_assert(back.n_artifacts == 3 && str_eq(back.artifacts[0].name, STR("z.json"))); // the model first
    ck_assert(back.artifacts[1].role == REGISTRY_ROLE_DATA);
    ck_assert(registry_version_artifact(&back, REGISTRY_ROLE_GOLDEN) == &back.artifacts[2]);
    ck_assert_ptr_null(registry_version_artifact(&back, REGISTRY_ROLE_EXAMPLE));
    ck_assert_int_eq(reg->ops->alias_set(reg, &CAUSE, STR("churn"), STR("champion"), 2, &e), ERR_CONFLICT);
    ck_assert_int_eq(reg->ops->models(reg, &arena, &models, &n, &e), 0);
    ck_assert(n == 1 && models[0].latest == 2 && models[0].latest_ready == 1);
    struct registry_version *served;
    bool all;
    ck_assert_int_eq(reg->ops->versions_first(reg, 9, &arena, &served, &n, &all, &e), 0);
    ck_assert(n == 1 && served[0].number == 1 && all);
    stop();
}
END_TEST

static void expect_first(uint32_t limit, bool all, const char *want)
{
    struct registry_version *list;
    size_t n;
    bool is_all;
    char got[400] = "";
    ck_assert_int_eq(reg->ops->versions_first(reg, limit, &arena, &list, &n, &is_all, &e), 0);
    for (size_t i = 0, used = 0; i < n; i++)
        used += (size_t)snprintf(got + used, sizeof got - used, "%s" STR_FMT "/%u", i ? " " : "",
                                 STR_ARG(list[i].model), list[i].number);
    ck_assert_str_eq(got, want);
    ck_assert_int_eq(is_all, all);
}

START_TEST(what_is_named_and_what_is_new_is_loaded_first)
{
    struct registry_artifact file;
    struct registry_version rejected = sample("b", &file), v;
    uint64_t id;
    uint32_t number;
    start();
    expect_first(4, true, "");
    add("a", "champion");
    add("a", "");
    add("a", "");
    add("b", "");
    add("b", "");
    rejected.state = STR("rejected");
    ck_assert_int_eq(reg->ops->version_add(reg, &CAUSE, &rejected, STR(""), &id, &number, &e), 0);
    ck_assert_int_eq(reg->ops->alias_set(reg, &CAUSE, STR("a"), STR("old"), 1, &e), 0);
    expect_first(5, true, "a/1 b/2 a/3 b/1 a/2");
    expect_first(4, false, "a/1 b/2 a/3 b/1");
    expect_first(2, false, "a/1 b/2");
    expect_first(1, false, "a/1");
    ck_assert(find("a", "", &v) == 0 && v.number == 1); // the champion
    ck_assert(find("b", "", &v) == 0 && v.number == 2); // 3 was rejected
    ck_assert_int_eq(find("c", "", &v), ERR_UNKNOWN_MODEL);
    add("a", "champion");
    expect_first(3, false, "a/4 a/1 b/2");
    stop();
}
END_TEST

START_TEST(a_model_of_which_all_was_rejected_has_no_default)
{
    struct registry_artifact file;
    struct registry_version v = sample("b", &file);
    uint64_t id;
    uint32_t number;
    start();
    v.state = STR("rejected");
    ck_assert_int_eq(reg->ops->version_add(reg, &CAUSE, &v, STR(""), &id, &number, &e), 0);
    ck_assert_int_eq(find("b", "", &v), ERR_UNKNOWN_VERSION);
    ck_assert_str_eq(e.msg, "all versions of model 'b' were rejected");
    expect_first(3, true, "");
    stop();
}
END_TEST

START_TEST(aliases_of_all_models_are_one_list)
{
    struct registry_alias *list;
    size_t n;
    start();
    add("b", "champion");
    add("a", "champion");
    ck_assert_int_eq(reg->ops->alias_set(reg, &CAUSE, STR("b"), STR("blue"), 1, &e), 0);
    ck_assert_int_eq(reg->ops->aliases(reg, STR(""), &arena, &list, &n, &e), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert(str_eq(list[0].model, STR("a")) && str_eq(list[0].name, STR("champion")));
    ck_assert(str_eq(list[1].model, STR("b")) && str_eq(list[1].name, STR("blue")) && list[1].version == 1);
    ck_assert(str_eq(list[2].model, STR("b")) && str_eq(list[2].name, STR("champion")));
    stop();
}
END_TEST

START_TEST(only_one_process_opens_it)
{
    start();
    struct registry *second = NULL;
    ck_assert_int_eq(registry_sqlite_open(dir, &second, &e), ERR_CONFLICT);
    char pid[24];
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    ck_assert_ptr_nonnull(strstr(e.msg, pid));
    ck_assert_str_ne(e.hint, "");
    reopen(); // the lock is free again
    stop();
}
END_TEST

static int exec_raw(const char *sql)
{
    char path[TEMPDIR_SIZE + 32];
    snprintf(path, sizeof path, "%s/registry.db", dir);
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_close(db);
    return rc;
}

// As the first Slipway made it, with a model whose champion has moved.
static const char SCHEMA_1[] =
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
    " version_id INTEGER NOT NULL REFERENCES versions(id), PRIMARY KEY (model_id, name)) STRICT,"
    " WITHOUT ROWID;"
    "CREATE INDEX aliases_by_version ON aliases (version_id);"
    "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at_ns INTEGER NOT NULL, actor TEXT NOT NULL,"
    " request_id TEXT NOT NULL, action TEXT NOT NULL, model TEXT NOT NULL, version INTEGER NOT NULL,"
    " before TEXT NOT NULL, after TEXT NOT NULL) STRICT;"
    "INSERT INTO models VALUES (1, 'churn', 2, 5);"
    "INSERT INTO versions VALUES (1, 1, 1, 5, 'ready', 'trees', 'xgboost_json', '{\"n\":1}', '', '{}', 'x', "
    "6),"
    " (2, 1, 2, 6, 'ready', 'trees', 'xgboost_json', '{}', '', '{}', 'x', 7);"
    "INSERT INTO artifacts VALUES (1, 'model.json', printf('%064d', 1), 9), (2, 'm.txt', printf('%064d', 2), "
    "8);"
    "INSERT INTO aliases VALUES (1, 'champion', 2), (1, 'blue', 1);"
    "INSERT INTO audit (at_ns, actor, request_id, action, model, version, before, after) VALUES"
    " (6, 'x', '', 'version_add', 'churn', 1, '', 'champion=1'),"
    " (7, 'x', '', 'version_add', 'churn', 2, 'champion=1', 'champion=2'),"
    " (8, 'x', '', 'alias_set', 'churn', 1, '', 'blue=1'),"
    " (9, 'x', '', 'version_add', 'gone', 1, '', '');"
    "PRAGMA application_id = 1399613808; PRAGMA user_version = 1;";

static void text_is(const char *sql, const char *want)
{
    char path[TEMPDIR_SIZE + 32];
    snprintf(path, sizeof path, "%s/registry.db", dir);
    sqlite3 *db;
    sqlite3_stmt *st;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
    ck_assert_str_eq((const char *)sqlite3_column_text(st, 0), want);
    sqlite3_finalize(st);
    sqlite3_close(db);
}

static void old_schema_is_brought_up_to_date(const char *more)
{
    tempdir_new(dir);
    ck_assert_int_eq(arena_init(&arena, 16 << 20, &e), 0);
    ck_assert_int_eq(exec_raw(SCHEMA_1), SQLITE_OK);
    ck_assert_int_eq(exec_raw(more), SQLITE_OK);
    ck_assert_msg(registry_sqlite_open(dir, &reg, &e) == 0, "%s", e.msg);
    struct registry_version v;
    ck_assert_int_eq(find("churn", "blue", &v), 0);
    ck_assert(str_eq(v.settings_json, STR("{}")) && str_eq(v.signature_json, STR("{\"n\":1}")));
    ck_assert(str_eq(v.reasons_json, STR("[]")) && str_eq(v.metrics_json, STR("{}")) && v.replaces == 0);
    ck_assert(v.n_artifacts == 1 && v.artifacts[0].role == REGISTRY_ROLE_MODEL);
    text_is("SELECT group_concat(id || alias || previous || version || '<' || back_id, ' ')"
            " FROM alias_history",
            "1champion01<0 2champion12<1 3blue01<0");
    text_is("SELECT count(*) || ' ' || count(DISTINCT hash) || ' ' || min(length(hash)) FROM audit",
            "4 4 32");
    text_is(
        "SELECT count(*) FROM audit a JOIN audit_head h ON h.id = a.id AND h.hash = a.hash WHERE a.id = 4",
        "1");
    ck_assert_uint_eq(add("churn", ""), 3);
    text_is("SELECT id FROM audit_head", "5");
    reopen();
    stop();
}

START_TEST(a_database_of_schema_1_is_brought_up_to_date)
{
    old_schema_is_brought_up_to_date("");
}
END_TEST

START_TEST(a_database_of_schema_2_is_brought_up_to_date)
{
    old_schema_is_brought_up_to_date(
        "ALTER TABLE versions ADD COLUMN settings TEXT NOT NULL DEFAULT '{}'; PRAGMA user_version = 2");
}
END_TEST

START_TEST(settings_are_kept_and_promised_numbers_are_given)
{
    uint64_t id, other_id;
    uint32_t number, other;
    struct registry_artifact file;
    start();
    add("churn", "");
    ck_assert_int_eq(reg->ops->version_next(reg, STR("churn"), &id, &number, &e), 0);
    ck_assert_uint_eq(number, 2);
    ck_assert_int_eq(reg->ops->version_next(reg, STR("new"), &other_id, &other, &e), 0);
    ck_assert_uint_eq(other, 1);
    ck_assert_uint_eq(other_id, id);
    // A later one is finished first; the earlier keeps its number and id.
    struct registry_version v = sample("churn", &file);
    v.id = id + 1;
    v.number = 3;
    v.settings_json = STR("{\"threads\":2}");
    ck_assert_int_eq(reg->ops->version_add(reg, &CAUSE, &v, STR(""), &other_id, &other, &e), 0);
    ck_assert(other == 3 && other_id == id + 1);
    v = sample("churn", &file);
    v.id = id;
    v.number = 2;
    ck_assert_int_eq(reg->ops->version_add(reg, &CAUSE, &v, STR(""), &other_id, &other, &e), 0);
    ck_assert(other == 2 && other_id == id);
    ck_assert_int_eq(find("churn", "3", &v), 0);
    ck_assert(str_eq(v.settings_json, STR("{\"threads\":2}")) && v.id == id + 1);
    // Taken.
    v = sample("churn", &file);
    v.id = id;
    v.number = 9;
    ck_assert_int_eq(reg->ops->version_add(reg, &CAUSE, &v, STR(""), &other_id, &other, &e), ERR_CONFLICT);
    v.id = id + 2;
    ck_assert_int_eq(reg->ops->version_add(reg, &CAUSE, &v, STR(""), &other_id, &other, &e), 0);
    reopen();
    ck_assert_uint_eq(add("churn", ""), 10);
    ck_assert_int_eq(reg->ops->version_next(reg, STR("churn"), &other_id, &other, &e), 0);
    ck_assert(other == 11 && other_id == id + 4);
    stop();
}
END_TEST

START_TEST(a_foreign_or_newer_database_is_refused)
{
    tempdir_new(dir);
    ck_assert_int_eq(exec_raw("CREATE TABLE t (x); PRAGMA user_version = 1"), SQLITE_OK);
    ck_assert_int_eq(registry_sqlite_open(dir, &reg, &e), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(e.msg, "not a registry"));
    ck_assert_int_eq(exec_raw("PRAGMA application_id = 1399613808; PRAGMA user_version = 99"), SQLITE_OK);
    ck_assert_int_eq(registry_sqlite_open(dir, &reg, &e), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(e.msg, "newer"));
    tempdir_remove(dir);
    tempdir_new(dir);
    char path[TEMPDIR_SIZE + 32];
    snprintf(path, sizeof path, "%s/registry.db", dir);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 5000; i++)
        fputs("no database ", f);
    fclose(f);
    ck_assert_int_eq(registry_sqlite_open(dir, &reg, &e), ERR_IO);
    tempdir_remove(dir);
}
END_TEST

START_TEST(a_damaged_database_is_noticed_when_it_is_opened)
{
    start();
    for (uint32_t i = 0; i < 200; i++)
        add("churn", "");
    reg->ops->close(reg);
    char path[TEMPDIR_SIZE + 32];
    snprintf(path, sizeof path, "%s/registry.db", dir);
    FILE *f = fopen(path, "r+");
    fseek(f, 0, SEEK_END);
    for (long at = 4096; at < ftell(f); at += 4096) { // the header of every page but the first
        fseek(f, at, SEEK_SET);
        fputs("\xff\xff\xff\xff\xff\xff\xff", f);
        fseek(f, 0, SEEK_END);
    }
    fclose(f);
    ck_assert_int_eq(registry_sqlite_open(dir, &reg, &e), ERR_IO);
    tempdir_remove(dir);
    arena_done(&arena);
}
END_TEST

// Damage that came after the start: what is sent again to a client is what was written, or nothing.
START_TEST(a_damaged_answer_under_a_key_is_not_given)
{
    static const char *const damages[] = {"UPDATE idempotency SET answer = '{\"a\":3}'",
                                          "UPDATE idempotency SET status = 204",
                                          "UPDATE idempotency SET body = x'07'"};
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        const struct registry_once once = {.key = STR("k1"),
                                           .method = STR("PUT"),
                                           .path = STR("/x"),
                                           .body.bytes = {7},
                                           .status = 200,
                                           .answer = STR("{\"a\":1}")};
        struct registry_cause cause = CAUSE;
        struct registry_once found;
        struct registry_audit receipt;
        bool is_found;
        char path[TEMPDIR_SIZE + 32];
        sqlite3 *db;
        start();
        add("churn", "");
        cause.once = &once;
        ck_assert_int_eq(reg->ops->alias_set(reg, &cause, STR("churn"), STR("blue"), 1, &e), 0);
        ck_assert_int_eq(
            reg->ops->once_find(reg, STR("k1"), CAUSE.wall_ns, &arena, &is_found, &found, &receipt, &e), 0);
        ck_assert(is_found && str_eq(found.answer, once.answer) && found.body.bytes[0] == 7);
        snprintf(path, sizeof path, "%s/registry.db", dir);
        ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db, "PRAGMA ignore_check_constraints = ON", NULL, NULL, NULL),
                         SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db, damages[i], NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        ck_assert_int_eq(
            reg->ops->once_find(reg, STR("k1"), CAUSE.wall_ns, &arena, &is_found, &found, &receipt, &e),
            ERR_IO);
        ck_assert_msg(strstr(e.msg, "under a key"), "%s", e.msg);
        stop();
    }
}
END_TEST

START_TEST(every_change_is_audited)
{
    start();
    add("churn", "champion");
    add("churn", "champion");
    ck_assert_int_eq(reg->ops->alias_set(reg, &CAUSE, STR("churn"), STR("champion"), 1, &e), 0);
    ck_assert_int_eq(reg->ops->version_remove(reg, &CAUSE, STR("churn"), 2, false, &e), 0);
    ck_assert_int_eq(reg->ops->model_remove(reg, &CAUSE, STR("churn"), &e), 0);
    char path[TEMPDIR_SIZE + 32];
    snprintf(path, sizeof path, "%s/registry.db", dir);
    sqlite3 *db;
    sqlite3_stmt *st;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(db,
                                        "SELECT group_concat(action || ':' || version || ':' || before || ':'"
                                        " || after || ':' || actor, ' ') FROM audit",
                                        -1, &st, NULL),
                     SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
    ck_assert_str_eq((const char *)sqlite3_column_text(st, 0),
                     "version_add:1::champion=1:tester version_add:2:champion=1:champion=2:tester "
                     "alias_set:1:champion=2:champion=1:tester version_remove:2:ready::tester "
                     "model_remove:0:ready champion=1::tester");
    sqlite3_finalize(st);
    sqlite3_close(db);
    stop();
}
END_TEST

UNIT_MAIN("registry/store_sqlite", a_version_comes_back_whole_after_reopening,
          version_numbers_are_never_reused, aliases_move_and_guard_their_version,
          an_error_about_a_version_names_those_that_are_there, lists_are_ordered_and_complete,
          what_is_named_and_what_is_new_is_loaded_first, a_model_of_which_all_was_rejected_has_no_default,
          aliases_of_all_models_are_one_list, only_one_process_opens_it,
          a_database_of_schema_1_is_brought_up_to_date, a_database_of_schema_2_is_brought_up_to_date,
          a_rejected_version_is_kept_with_its_reasons_and_never_named,
          settings_are_kept_and_promised_numbers_are_given, a_foreign_or_newer_database_is_refused,
          a_damaged_database_is_noticed_when_it_is_opened, a_damaged_answer_under_a_key_is_not_given,
          every_change_is_audited)
