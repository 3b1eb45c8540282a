// SPDX-License-Identifier: Apache-2.0
// The tables of registry.db and the way from each schema version to the next, each in one transaction.
// PRAGMA user_version says which one a file has.
#include "registry/store_sqlite.h"

#include <stdio.h>

enum { APPLICATION_ID = 0x536c6970 }; // "Slip"

static const char SCHEMA_1[] =
    "CREATE TABLE models (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last_version INTEGER NOT NULL,"
    " created_ns INTEGER NOT NULL) STRICT;" // a row stays when its versions are deleted: numbers never return
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
    " before TEXT NOT NULL, after TEXT NOT NULL) STRICT;";

static const char SCHEMA_2[] = "ALTER TABLE versions ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';";

// The history of aliases is made of what the audit says of them: "champion=3" before and after.
static const char SCHEMA_3[] =
    "ALTER TABLE versions ADD COLUMN reasons TEXT NOT NULL DEFAULT '[]';"
    "ALTER TABLE versions ADD COLUMN admission TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE versions ADD COLUMN metrics TEXT NOT NULL DEFAULT '{}';"
    "ALTER TABLE versions ADD COLUMN trained_from TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE versions ADD COLUMN replaces INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE artifacts ADD COLUMN role TEXT NOT NULL DEFAULT 'model';"
    "CREATE INDEX versions_deployed ON versions (slot) WHERE slot IS NOT NULL;"
    // back_id: the row of the version that a rollback from this one goes to; 0: none.
    "CREATE TABLE alias_history (id INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL,"
    " alias TEXT NOT NULL, version INTEGER NOT NULL, previous INTEGER NOT NULL, back_id INTEGER NOT NULL,"
    " kind TEXT NOT NULL CHECK (kind IN ('promote', 'rollback', 'remove')), at_ns INTEGER NOT NULL,"
    " actor TEXT NOT NULL, request_id TEXT NOT NULL, reason TEXT NOT NULL) STRICT;"
    "CREATE INDEX alias_history_by_alias ON alias_history (model, alias, id);"
    "INSERT INTO alias_history (model, alias, version, previous, back_id, kind, at_ns, actor, request_id,"
    " reason) SELECT model, substr(after, 1, instr(after, '=') - 1),"
    " CAST(substr(after, instr(after, '=') + 1) AS INTEGER),"
    " CASE WHEN before = '' THEN 0 ELSE CAST(substr(before, instr(before, '=') + 1) AS INTEGER) END, 0,"
    " 'promote', at_ns, actor, request_id, '' FROM audit"
    " WHERE action IN ('version_add', 'alias_set') AND instr(after, '=') > 0 ORDER BY id;"
    "UPDATE alias_history SET back_id = coalesce((SELECT max(h.id) FROM alias_history h"
    " WHERE h.model = alias_history.model AND h.alias = alias_history.alias AND h.id < alias_history.id), 0);"
    "ALTER TABLE audit ADD COLUMN reason TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE audit ADD COLUMN hash BLOB NOT NULL DEFAULT x'';"
    "CREATE INDEX audit_by_model ON audit (model, id);"
    "CREATE TABLE audit_head (only INTEGER PRIMARY KEY CHECK (only = 1), id INTEGER NOT NULL,"
    " hash BLOB NOT NULL CHECK (length(hash) = 32)) STRICT;"
    "CREATE TABLE idempotency (key TEXT PRIMARY KEY, method TEXT NOT NULL, path TEXT NOT NULL,"
    " body BLOB NOT NULL CHECK (length(body) = 32), status INTEGER NOT NULL, answer TEXT NOT NULL,"
    " audit_id INTEGER NOT NULL, at_ns INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX idempotency_by_time ON idempotency (at_ns);";

#define STAY                                                                                                 \
    "CREATE TRIGGER rollout_events_stay BEFORE UPDATE ON rollout_events"                                     \
    " BEGIN SELECT RAISE(ABORT, 'the record of a rollout is never changed'); END;"

// Rollouts outlive the versions and models that they were about. Their records are only added.
static const char SCHEMA_4[] =
    "CREATE TABLE rollouts (id INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL, alias TEXT NOT NULL,"
    " baseline INTEGER NOT NULL, candidates TEXT NOT NULL, attempt INTEGER NOT NULL CHECK (attempt > 0),"
    " request TEXT NOT NULL, salt TEXT NOT NULL CHECK (length(salt) = 32), state TEXT NOT NULL,"
    " is_over INTEGER NOT NULL, n_moves INTEGER NOT NULL, plan TEXT NOT NULL, counts TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL, moved_ns INTEGER NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX rollouts_not_over ON rollouts (model) WHERE NOT is_over;"
    "CREATE INDEX rollouts_by_model ON rollouts (model, id);"
    "CREATE TABLE rollout_events (rollout_id INTEGER NOT NULL REFERENCES rollouts(id),"
    " number INTEGER NOT NULL CHECK (number > 0), at_ns INTEGER NOT NULL, event TEXT NOT NULL,"
    " state TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (rollout_id, number)) STRICT, WITHOUT "
    "ROWID;" STAY "CREATE TRIGGER rollout_events_last BEFORE DELETE ON rollout_events"
    " BEGIN SELECT RAISE(ABORT, 'the record of a rollout is never deleted'); END;";

// Each row gets its sum. Records of rollouts are never changed but this once.
static const char SCHEMA_5[] = "DROP TRIGGER rollout_events_stay;";

static int add_sums(sqlite3 *db, struct err *e)
{
    int code = store_sums_make(db, e);
    int rc = code ? SQLITE_OK : sqlite3_exec(db, STAY, NULL, NULL, NULL);
    return rc == SQLITE_OK ? code : store_error_from(rc, sqlite3_errmsg(db), e);
}

// MIGRATIONS[i] leads from schema version i to i + 1. Never change one that was released: add the next.
static const struct migration {
    const char *sql;
    int (*then)(sqlite3 *db, struct err *e); // what SQL cannot do; NULL: nothing
} MIGRATIONS[] = {{SCHEMA_1, NULL},
                  {SCHEMA_2, NULL},
                  {SCHEMA_3, store_audit_chain},
                  {SCHEMA_4, NULL},
                  {SCHEMA_5, add_sums}};
enum { SCHEMA_VERSION = sizeof MIGRATIONS / sizeof MIGRATIONS[0] };

int store_schema_version(void)
{
    return SCHEMA_VERSION;
}

static int step(sqlite3 *db, int64_t version, struct err *e)
{
    char mark[128];
    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
             APPLICATION_ID, (int)version + 1);
    int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, MIGRATIONS[version].sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK && MIGRATIONS[version].then) {
        int code = MIGRATIONS[version].then(db, e);
        if (code)
            return code; // closing rolls back
    }
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, mark, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : store_error_from(rc, sqlite3_errmsg(db), e);
}

int store_migrate(sqlite3 *db, struct err *e)
{
    int64_t version = 0, application = 0;
    int code = store_integer(db, "PRAGMA user_version", &version, e);
    if (!code)
        code = store_integer(db, "PRAGMA application_id", &application, e);
    if (code)
        return code;
    if (version > SCHEMA_VERSION)
        return err_set(e, ERR_INVALID,
                       "registry.db has schema %lld; this Slipway knows up to %d: run a newer one",
                       (long long)version, SCHEMA_VERSION);
    if (version < 0 || (version > 0 && application != APPLICATION_ID))
        return err_set(e, ERR_INVALID, "registry.db is an SQLite database, but not a registry of Slipway");
    for (; !code && version < SCHEMA_VERSION; version++)
        code = step(db, version, e);
    return code;
}
