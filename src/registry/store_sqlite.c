// SPDX-License-Identifier: Apache-2.0
// The registry's SQLite handle: opening, migrating and checking it, transactions, and what happens after an
// I/O error. The operations are in store_sqlite_ops.c.
//
// After an I/O error the handle is never used again: pages that failed to reach the disk may be gone from
// memory too, and an fsync that succeeds later proves nothing about them. It is closed, and the next
// operation opens it anew, which reads everything from disk and checks it.
#include "registry/store_sqlite.h"

#include "base/assert.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BUSY_TIMEOUT_MS = 2000, // for readers from outside, such as a backup
};

// Of v's model. Found in the index (model_id, number), from its end.
#define NEWEST_NUMBER                                                                                        \
    "SELECT newest.number FROM versions newest WHERE newest.model_id = v.model_id"                           \
    " AND newest.state = 'ready' ORDER BY newest.number DESC LIMIT 1"
#define VERSION_COLUMNS                                                                                      \
    "v.id, m.name, v.number, v.state, v.engine, v.format, v.description, v.tags, v.created_by, "             \
    "v.created_ns, v.settings, v.reasons, v.metrics, v.trained_from, v.replaces, "                           \
    "v.number = coalesce((" NEWEST_NUMBER "), 0)"

#define VERSIONS_FROM "SELECT " VERSION_COLUMNS " FROM versions v JOIN models m ON m.id = v.model_id WHERE "
#define ALIASES_FROM                                                                                         \
    "SELECT a.name, v.number, m.name FROM models m JOIN aliases a ON m.id = a.model_id"                      \
    " JOIN versions v ON v.id = a.version_id "
#define HISTORY_FROM                                                                                         \
    "SELECT id, model, alias, version, previous, kind, at_ns, actor, request_id, reason"                     \
    " FROM alias_history WHERE "
#define HISTORY_ORDER "id < ?3 ORDER BY id DESC LIMIT ?4"

// Of STORE_FIELDS_OF_ROLLOUT those that no move changes, which come first.
#define ROLLOUT_STAYS "id, model, alias, baseline, candidates, attempt, request, salt, created_ns"
#define ROLLOUT_COLUMNS                                                                                      \
    "id, model, alias, baseline, candidates, attempt, request, salt, state, is_over, n_moves, created_ns,"   \
    " moved_ns"

static const char *const SQL[ST_LIMIT] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_AUDIT_ADD] = "INSERT INTO audit (id, at_ns, actor, request_id, action, model, version, before, after,"
                     " reason, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ST_AUDIT_HEAD] = "SELECT id, hash FROM audit_head",
    [ST_AUDIT_HEAD_SET] = "UPDATE audit_head SET id = ?, hash = ?",
    [ST_MODEL_ADD] = "INSERT INTO models (name, last_version, created_ns) VALUES (?, 0, ?)"
                     " ON CONFLICT (name) DO NOTHING",
    // ?2: a number that was promised, or 0 for the next.
    [ST_MODEL_NEXT] = "UPDATE models SET last_version = max(last_version + (?2 = 0), ?2),"
                      " sum = row_sum(id, name, max(last_version + (?2 = 0), ?2), created_ns) WHERE name = ?1"
                      " RETURNING id, last_version",
    [ST_VERSION_NEXT] = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'versions'), 0) + 1,"
                        " coalesce((SELECT last_version FROM models WHERE name = ?), 0) + 1",
    [ST_MODEL_ID] = "SELECT id FROM models m WHERE name = ?"
                    " AND EXISTS (SELECT 1 FROM versions v WHERE v.model_id = m.id)",
    // After ?1, at most ?2: in the order of the index on names, and the versions of each in the index on
    // their numbers, so that a page reads little more than it shows.
    [ST_MODELS] = "SELECT m.name, (SELECT count(*) FROM versions v WHERE v.model_id = m.id),"
                  " (SELECT max(v.number) FROM versions v WHERE v.model_id = m.id),"
                  " (SELECT v.created_ns FROM versions v WHERE v.model_id = m.id ORDER BY v.number LIMIT 1),"
                  " coalesce((SELECT v.number FROM versions v WHERE v.model_id = m.id"
                  "           AND v.state <> 'rejected' ORDER BY v.number DESC LIMIT 1), 0),"
                  " coalesce((SELECT c.number FROM aliases a JOIN versions c ON c.id = a.version_id"
                  "           WHERE a.model_id = m.id AND a.name = 'champion'), 0)"
                  " FROM models m WHERE m.name > ?1"
                  " AND EXISTS (SELECT 1 FROM versions v WHERE v.model_id = m.id) ORDER BY m.name LIMIT ?2",
    // At most ?2 before and as many behind where ?1 would be.
    [ST_MODEL_NAMES] = "SELECT * FROM (SELECT name FROM models m WHERE name < ?1 AND EXISTS"
                       " (SELECT 1 FROM versions v WHERE v.model_id = m.id) ORDER BY name DESC LIMIT ?2)"
                       " UNION ALL SELECT * FROM (SELECT name FROM models m WHERE name > ?1 AND EXISTS"
                       " (SELECT 1 FROM versions v WHERE v.model_id = m.id) ORDER BY name LIMIT ?2)",
    [ST_VERSION_ADD] = "INSERT INTO versions (model_id, number, engine, format, signature,"
                       " description, tags, created_by, created_ns, settings, id, state, reasons, admission,"
                       " metrics, trained_from, replaces)"
                       " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
    [ST_VERSION_SUM] = "UPDATE versions SET sum = row_sum(" STORE_FIELDS_OF_VERSION ") WHERE id = ?",
    [ST_VERSION_REMOVE] = "DELETE FROM versions WHERE id = ?",
    [ST_VERSION_ID] = "SELECT id, state FROM versions WHERE model_id = ? AND number = ?",
    // Up to ?3 on either side of the number, the highest first.
    [ST_VERSIONS_NEAR] =
        "SELECT * FROM (SELECT number, state FROM versions WHERE model_id = ?1 AND number < ?2"
        " ORDER BY number DESC LIMIT ?3) UNION ALL SELECT * FROM (SELECT number, state FROM versions"
        " WHERE model_id = ?1 AND number > ?2 ORDER BY number LIMIT ?3) ORDER BY number DESC",
    [ST_VERSION_FULL] = "SELECT " VERSION_COLUMNS ", v.signature, v.admission,"
                        " (SELECT sum <> row_sum(" STORE_FIELDS_OF_VERSION ") FROM versions WHERE id = ?1)"
                        " FROM versions v JOIN models m ON m.id = v.model_id WHERE v.id = ?1",
    [ST_VERSIONS] = VERSIONS_FROM "v.id > ?2 ORDER BY v.id LIMIT ?3",
    [ST_VERSIONS_OF] = VERSIONS_FROM "m.name = ?1 AND v.number < ?2 ORDER BY v.number DESC LIMIT ?3",
    // The newest of each model is found in the index (model_id, number), from its end.
    [ST_VERSIONS_FIRST] =
        "WITH named (id, rank) AS (SELECT version_id, 0 FROM aliases UNION SELECT (SELECT n.id FROM versions "
        "n"
        " WHERE n.model_id = m.id AND n.state = 'ready' ORDER BY n.number DESC LIMIT 1), 1 FROM models m),"
        " first (id, rank) AS (SELECT id, min(rank) FROM named WHERE id IS NOT NULL GROUP BY id"
        "  ORDER BY min(rank), id DESC LIMIT ?1),"
        " chosen (id, rank) AS (SELECT id, rank FROM first UNION ALL SELECT * FROM (SELECT v.id, 2"
        "  FROM versions v WHERE v.state = 'ready' AND v.id NOT IN (SELECT id FROM first)"
        "  ORDER BY v.id DESC LIMIT max(?1 - (SELECT count(*) FROM first), 0)))"
        " SELECT " VERSION_COLUMNS " FROM chosen c JOIN versions v ON v.id = c.id"
        " JOIN models m ON m.id = v.model_id ORDER BY c.rank, v.id DESC",
    [ST_VERSION_DEFAULT] = "SELECT coalesce((SELECT version_id FROM aliases WHERE model_id = ?1"
                           " AND name = 'champion'), (SELECT id FROM versions WHERE model_id = ?1"
                           " AND state = 'ready' ORDER BY number DESC LIMIT 1), 0)",
    [ST_VERSIONS_REMOVE] = "DELETE FROM versions WHERE model_id = ?",
    [ST_ARTIFACT_ADD] = "INSERT INTO artifacts (" STORE_FIELDS_OF_ARTIFACT ", sum)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, row_sum(?1, ?2, ?3, ?4, ?5))",
    [ST_ARTIFACTS] = "SELECT name, digest, size, role, sum <> row_sum(" STORE_FIELDS_OF_ARTIFACT ")"
                     " FROM artifacts WHERE version_id = ? ORDER BY role <> 'model', name",
    [ST_ALIAS_SET] = "INSERT INTO aliases (" STORE_FIELDS_OF_ALIAS ", sum)"
                     " VALUES (?1, ?2, ?3, row_sum(?1, ?2, ?3)) ON CONFLICT (model_id, name) DO UPDATE"
                     " SET version_id = excluded.version_id, sum = excluded.sum",
    [ST_ALIAS_OF] = "SELECT name FROM aliases WHERE version_id = ? ORDER BY name LIMIT 1",
    [ST_ALIAS_FIND] = "SELECT v.id, v.number, a.sum <> row_sum(a.model_id, a.name, a.version_id)"
                      " FROM aliases a JOIN versions v ON v.id = a.version_id"
                      " WHERE a.model_id = ? AND a.name = ?",
    [ST_ALIASES] = ALIASES_FROM "ORDER BY m.name, a.name",
    [ST_ALIASES_OF] = ALIASES_FROM "WHERE m.name = ?1 ORDER BY a.name",
    [ST_ALIAS_NAMES] = "SELECT name FROM aliases WHERE model_id = ? ORDER BY name LIMIT ?",
    // "blue=2 champion=2": of a version, of a model
    [ST_ALIASES_NOTE] = "SELECT group_concat(a.name || '=' || v.number, ' ') FROM aliases a"
                        " JOIN versions v ON v.id = a.version_id"
                        " WHERE (?1 = 0 OR a.version_id = ?1) AND (?2 = 0 OR a.model_id = ?2)",
    // The id at which a page ends that begins behind ?1 and has ?2 + 1 versions; 0: there are none.
    [ST_EXPIRED_END] =
        "SELECT coalesce((SELECT id FROM versions WHERE id > ?1 ORDER BY id LIMIT 1 OFFSET ?2),"
        " (SELECT max(id) FROM versions WHERE id > ?1), 0)",
    [ST_EXPIRED] =
        "SELECT v.id, m.name, v.number, v.created_ns, coalesce((SELECT a.name FROM aliases a"
        " WHERE a.version_id = v.id ORDER BY a.name LIMIT 1), ''), CASE WHEN json_valid(v.tags) THEN"
        " coalesce(json_extract(v.tags, '$.pinned'), 'false') <> 'false' ELSE 1 END,"
        " v.number = (" NEWEST_NUMBER ") AND NOT EXISTS (SELECT 1 FROM aliases c"
        "  WHERE c.model_id = v.model_id AND c.name = 'champion')"
        " FROM versions v JOIN models m ON m.id = v.model_id"
        " WHERE v.id > ?1 AND v.id <= ?2 AND v.created_ns < ?3 AND (?4 = 0 OR v.number <"
        " coalesce((SELECT n.number FROM versions n WHERE n.model_id = v.model_id"
        " AND n.state = 'ready' ORDER BY n.number DESC LIMIT 1 OFFSET ?4 - 1), 0)) ORDER BY v.id",
    [ST_BLOB_USERS] = "SELECT DISTINCT version_id FROM artifacts WHERE digest = ? AND version_id > ?"
                      " ORDER BY version_id LIMIT ?",
    [ST_ALIASES_OF_VERSION_REMOVE] = "DELETE FROM aliases WHERE version_id = ?",
    [ST_ALIASES_REMOVE] = "DELETE FROM aliases WHERE model_id = ?",
    [ST_HISTORY_ADD] = "INSERT INTO alias_history (" STORE_FIELDS_OF_HISTORY ", sum)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"
                       " row_sum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10))",
    // What is about to lose its aliases: a version, a model, or one alias of it.
    [ST_HISTORY_REMOVED] = "INSERT INTO alias_history (" STORE_FIELDS_OF_HISTORY ", sum)"
                           " SELECT *, row_sum(" STORE_FIELDS_OF_HISTORY ") FROM (SELECT m.name AS model,"
                           " a.name AS alias, 0 AS version, v.number AS previous,"
                           " coalesce((SELECT max(h.id) FROM alias_history h WHERE h.model = m.name"
                           "           AND h.alias = a.name), 0) AS back_id, 'remove' AS kind, ?4 AS at_ns,"
                           " ?5 AS actor, ?6 AS request_id, ?7 AS reason"
                           " FROM aliases a JOIN versions v ON v.id = a.version_id"
                           " JOIN models m ON m.id = a.model_id WHERE (?1 = 0 OR a.version_id = ?1)"
                           " AND (?2 = 0 OR a.model_id = ?2) AND (?3 = '' OR a.name = ?3))",
    // The row of an alias's history, the version's id if it still exists and is not rejected, and the way on.
    [ST_HISTORY_BACK] = "SELECT h.version, coalesce(v.id, 0), h.back_id FROM alias_history h"
                        " LEFT JOIN models m ON m.name = h.model LEFT JOIN versions v"
                        " ON v.model_id = m.id AND v.number = h.version AND v.state <> 'rejected'"
                        " WHERE h.id = ?",
    [ST_HISTORY] = HISTORY_FROM "(?2 = '' OR alias = ?2) AND " HISTORY_ORDER,
    [ST_HISTORY_OF] = HISTORY_FROM "model = ?1 AND " HISTORY_ORDER,
    [ST_HISTORY_OF_ALIAS] = HISTORY_FROM "model = ?1 AND alias = ?2 AND " HISTORY_ORDER,
    [ST_ALIAS_REMOVE] = "DELETE FROM aliases WHERE model_id = ? AND name = ?",
    [ST_AUDIT] = STORE_AUDIT_SELECT,
    [ST_AUDIT_OF] = STORE_AUDIT_SELECT_OF,
    [ST_ONCE_FIND] = "SELECT o.method, o.path, o.body, o.status, o.answer, o.audit_id, a.hash,"
                     " (SELECT sum <> row_sum(" STORE_FIELDS_OF_ONCE ") FROM idempotency WHERE key = o.key)"
                     " FROM idempotency o LEFT JOIN audit a ON a.id = o.audit_id"
                     " WHERE o.key = ? AND o.at_ns > ?",
    [ST_ONCE_ADD] = "INSERT INTO idempotency (" STORE_FIELDS_OF_ONCE ", sum)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, row_sum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8))",
    [ST_ONCE_EXPIRE] = "DELETE FROM idempotency WHERE at_ns <= ?",
    [ST_ONCE_TRIM] = "DELETE FROM idempotency WHERE key IN"
                     " (SELECT key FROM idempotency ORDER BY at_ns DESC LIMIT -1 OFFSET ?)",
    [ST_ROLLOUT_NEXT] = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'rollouts'), 0) + 1,"
                        " 1 + (SELECT count(*) FROM rollouts WHERE model = ? AND candidates = ?)",
    [ST_ROLLOUT_ADD] = "INSERT INTO rollouts (id, model, alias, baseline, candidates, attempt, request, salt,"
                       " state, is_over, n_moves, plan, counts, created_ns, moved_ns)"
                       " VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', 0, 0, '', '', ?9, ?9)",
    // ?7: the number of the move before
    [ST_ROLLOUT_MOVE] = "UPDATE rollouts SET state = ?1, is_over = ?2, n_moves = ?7 + 1, plan = ?3,"
                        " counts = ?4, moved_ns = ?5, sum = row_sum(" ROLLOUT_STAYS
                        ", ?1, ?2, ?7 + 1, ?3, ?4, ?5) WHERE id = ?6 AND n_moves = ?7"
                        " RETURNING model, baseline",
    [ST_ROLLOUT_KEEP] = "UPDATE rollouts SET counts = ?1, sum = row_sum(" ROLLOUT_STAYS
                        ", state, is_over, n_moves, plan, ?1, moved_ns) WHERE id = ?2",
    [ST_ROLLOUT_FIND] = "SELECT " ROLLOUT_COLUMNS ", plan, counts FROM rollouts WHERE id = ?",
    [ST_ROLLOUTS] = "SELECT " ROLLOUT_COLUMNS ", '', '' FROM rollouts WHERE (?1 = '' OR model = ?1)"
                    " AND (?2 = 0 OR NOT is_over) AND (?3 = 0 OR id < ?3) ORDER BY id DESC LIMIT ?4",
    [ST_ROLLOUT_RECORD_ADD] = "INSERT INTO rollout_events (" STORE_FIELDS_OF_EVENT ", sum)"
                              " VALUES (?1, ?2, ?3, ?4, ?5, ?6, row_sum(?1, ?2, ?3, ?4, ?5, ?6))",
    [ST_ROLLOUT_RECORDS] = "SELECT number, at_ns, event, state, record FROM rollout_events"
                           " WHERE rollout_id = ? AND number > ? ORDER BY number LIMIT ?",
    [ST_HISTORY_LAST] = "SELECT coalesce(max(id), 0) FROM alias_history WHERE model = ? AND alias = ?",
};

// After these the handle is not trusted any more.
static bool is_io_error(int rc)
{
    int primary = rc & 0xff;
    return primary == SQLITE_IOERR || primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB ||
           primary == SQLITE_CANTOPEN || primary == SQLITE_READONLY;
}

static int no_space(struct err *e)
{
    return err_set(e, ERR_NO_SPACE, "the registry's disk is full");
}

int store_error_from(int rc, const char *text, struct err *e)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return no_space(e);
    case SQLITE_NOMEM:
        return err_set(e, ERR_NOMEM, "no memory for the registry");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(e, ERR_BUSY, "the registry is locked by another program");
    case SQLITE_CONSTRAINT:
        return err_set(e, ERR_CONFLICT, "registry: %s", text);
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_ERROR:
        return err_set(e, ERR_INTERNAL, "registry: %s", text);
    default:
        return err_set(e, ERR_IO, "registry: %s (SQLite error %d)", text, rc);
    }
}

static void db_close(struct store *s)
{
    for (int i = 0; i < ST_LIMIT; i++) {
        sqlite3_finalize(s->statements[i]);
        s->statements[i] = NULL;
    }
    sqlite3_close_v2(s->db);
    s->db = NULL;
}

static int db_error(struct store *s, int rc, struct err *e)
{
    int code = store_error_from(rc, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc), e);
    if (is_io_error(rc)) {
        if (s->db && sqlite3_system_errno(s->db) == ENOSPC)
            code = no_space(e);
        db_close(s);
        s->is_suspect = true;
    }
    return code;
}

int store_integer(sqlite3 *db, const char *sql, int64_t *ret, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(st, 0);
    int code = rc == SQLITE_ROW ? 0 : store_error_from(rc, sqlite3_errmsg(db), e);
    sqlite3_finalize(st);
    return code;
}

// `sql` must answer with the text `expected`; else ERR_IO says that `complaint`, and the answer.
static int db_expect(sqlite3 *db, const char *sql, const char *expected, const char *complaint, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    const char *answer = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
    int code = 0;
    if (rc != SQLITE_ROW)
        code = store_error_from(rc, sqlite3_errmsg(db), e);
    else if (!answer)
        code = err_set(e, ERR_NOMEM, "no memory for the registry");
    else if (strcmp(answer, expected) != 0)
        code = err_set(e, ERR_IO, "%s: %s", complaint, answer);
    sqlite3_finalize(st);
    return code;
}

int store_row_damaged(const char *what, struct err *e)
{
    err_set(e, ERR_IO, "registry.db is damaged: %s is not as it was written", what);
    err_hint(e, "slipway fsck says more; slipway restore brings back the last backup.");
    return ERR_IO;
}

struct damage {
    bool is_found;
    char row[160];
};

static void on_damage(void *ctx, const char *row)
{
    struct damage *d = ctx;
    if (!d->is_found)
        snprintf(d->row, sizeof d->row, "%.150s", row);
    d->is_found = true;
}

static int check_rows(sqlite3 *db, struct err *e)
{
    struct damage d = {0};
    int code = store_sums_check(db, 1, on_damage, &d, e);
    return !code && d.is_found ? store_row_damaged(d.row, e) : code;
}

static int db_set_up(sqlite3 *db, struct err *e)
{
    static const char *const PRAGMAS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                       "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"
                                       "PRAGMA cell_size_check = ON";
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    int rc = sqlite3_exec(db, PRAGMAS, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return store_error_from(rc, sqlite3_errmsg(db), e);
    int code = db_expect(db, "PRAGMA journal_mode", "wal", "SQLite cannot keep a write-ahead log here", e);
    if (!code)
        code = db_expect(db, "PRAGMA synchronous", "2", "SQLite does not sync fully", e);
    if (!code)
        code = db_expect(db, "PRAGMA integrity_check(1)", "ok", "registry.db is damaged", e);
    if (!code)
        code = store_sums_init(db, e);
    if (!code)
        code = store_migrate(db, e);
    return code ? code : check_rows(db, e);
}

static int db_open(struct store *s, struct err *e)
{
    const int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    int rc = sqlite3_open_v2(s->path, &s->db, flags, NULL);
    int code = 0;
    if (rc != SQLITE_OK)
        code = store_error_from(rc, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc), e);
    // SQLite opens what it cannot open for writing for reading alone, and that handle would stay so.
    else if (sqlite3_db_readonly(s->db, "main") != 0)
        code = err_set(e, ERR_IO, "'%s' cannot be opened for writing", s->path);
    else
        code = db_set_up(s->db, e);
    if (code && s->db && sqlite3_system_errno(s->db) == ENOSPC)
        code = no_space(e); // SQLite calls some of it an I/O error
    if (code)
        db_close(s);
    return code;
}

// For changes: SQLite ignores errors when it syncs the directory of a new file. A read may have opened it.
static int db_open_to_write(struct store *s, struct err *e)
{
    int code = s->db ? 0 : db_open(s, e);
    if (!code)
        code = file_sync(s->dir_fd, e);
    if (code)
        db_close(s);
    return code;
}

static int read_only(struct err *e)
{
    struct err why = *e;
    err_set(e, ERR_READ_ONLY, "the registry takes no changes since its storage failed: %s", why.msg);
    err_hint(e,
             "Predictions go on. Changes are taken again as soon as the disk works; nothing has to restart.");
    return ERR_READ_ONLY;
}

int store_prepare(struct store *s, enum store_statement which, sqlite3_stmt **ret, struct err *e)
{
    if (!s->db) {
        int code = db_open(s, e);
        if (code) {
            (void)err_wrap(e, "reopen the registry after an I/O error");
            return read_only(e);
        }
    }
    if (!s->statements[which]) {
        int rc =
            sqlite3_prepare_v3(s->db, SQL[which], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[which], NULL);
        if (rc != SQLITE_OK)
            return db_error(s, rc, e);
    }
    *ret = s->statements[which];
    sqlite3_reset(*ret);
    sqlite3_clear_bindings(*ret);
    return 0;
}

int store_step(struct store *s, sqlite3_stmt *st, struct err *e)
{
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        return 1;
    sqlite3_reset(st);
    return rc == SQLITE_DONE ? 0 : db_error(s, rc, e);
}

int store_run(struct store *s, sqlite3_stmt *st, struct err *e)
{
    int rc = store_step(s, st, e);
    ASSERT(rc != 1);
    return rc;
}

void store_bind_str(sqlite3_stmt *st, int at, struct str text)
{
    sqlite3_bind_text64(st, at, text.n ? text.p : "", text.n, SQLITE_STATIC, SQLITE_UTF8);
}

// After an error: opened anew, which checks it, and one write that changes nothing, down to the disk. SQLite
// does not write a row again that stays as it is, but the page with its version it does.
static int prove(struct store *s, struct err *e)
{
    char write[80];
    snprintf(write, sizeof write, "BEGIN IMMEDIATE; PRAGMA user_version = %d; COMMIT",
             store_schema_version());
    int code = db_open_to_write(s, e);
    if (code)
        return code == ERR_NO_SPACE || code == ERR_NOMEM ? code : read_only(e);
    int rc = sqlite3_exec(s->db, write, NULL, NULL, NULL);
    if (rc == SQLITE_OK) {
        s->is_suspect = false;
        return 0;
    }
    code = db_error(s, rc, e);
    if (s->db && !sqlite3_get_autocommit(s->db))
        db_close(s); // closing rolls back
    return code == ERR_NO_SPACE || code == ERR_NOMEM || code == ERR_BUSY ? code : read_only(e);
}

int store_begin(struct store *s, struct err *e)
{
    s->audit_id = 0;
    sqlite3_stmt *st;
    int rc = s->is_suspect || !s->db ? prove(s, e) : 0;
    if (!rc)
        rc = store_prepare(s, ST_BEGIN, &st, e);
    return rc ? rc : store_run(s, st, e);
}

static void rollback(struct store *s)
{
    struct err ignored;
    sqlite3_stmt *st;
    if (!s->db || sqlite3_get_autocommit(s->db))
        return; // SQLite has done it
    if (store_prepare(s, ST_ROLLBACK, &st, &ignored) || store_run(s, st, &ignored))
        db_close(s); // closing rolls back too
}

// The commit failed. Its pages may or may not be in the write-ahead log, so only the disk can tell. If they
// are there, copying the log into the database (with its own fsync) makes them durable beyond doubt.
static int resolve_commit(struct store *s, struct err *e)
{
    struct err why = *e, ignored;
    db_close(s);
    sqlite3_stmt *st;
    int rc = db_open_to_write(s, &ignored);
    if (!rc)
        rc = store_prepare(s, ST_AUDIT_HEAD, &st, &ignored);
    int got = rc ? rc : store_step(s, st, &ignored);
    bool present = got == 1 && sqlite3_column_int64(st, 0) >= s->audit_id;
    if (got == 1)
        sqlite3_reset(st);
    if (got == 1 && !present) {
        *e = why;
        return e->code;
    }
    if (present &&
        sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK)
        return 0;
    db_close(s);
    *e = why;
    err_hint(e, "Whether the change was kept is known once the disk works again: look before you repeat it.");
    return e->code;
}

int store_end(struct store *s, int rc, struct err *e)
{
    if (rc) {
        rollback(s);
        return rc;
    }
    ASSERT(s->audit_id > 0); // every change is audited
    sqlite3_stmt *st;
    rc = store_prepare(s, ST_COMMIT, &st, e);
    if (rc) {
        rollback(s);
        return rc;
    }
    rc = store_run(s, st, e);
    if (rc)
        rc = resolve_commit(s, e);
    if (!rc)
        store_head_file_write(s);
    return rc;
}

void store_close(struct registry *r)
{
    struct store *s = (struct store *)r;
    if (!s)
        return;
    db_close(s);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    if (s->head_fd >= 0)
        close(s->head_fd);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    free(s->path);
    free(s);
}

static int take_lock(struct store *s, struct err *e)
{
    int run_fd = -1;
    int rc = file_make_dir(s->dir_fd, "run", &run_fd, e);
    if (rc)
        return rc;
    rc = file_lock(run_fd, "registry.lock", &s->lock_fd, e);
    close(run_fd);
    if (rc == ERR_CONFLICT)
        err_hint(e, "Another Slipway uses this data directory: stop it, or choose another directory.");
    return rc;
}

int registry_sqlite_open(const char *data_dir, struct registry **ret, struct err *e)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_NOMEM, "no memory to open the registry");
    *s = (struct store){.base.ops = &STORE_SQLITE_OPS, .dir_fd = -1, .lock_fd = -1, .head_fd = -1};
    int rc = file_open_dir(AT_FDCWD, data_dir, &s->dir_fd, e);
    if (!rc && asprintf(&s->path, "%s/registry.db", data_dir) < 0) {
        s->path = NULL;
        rc = err_set(e, ERR_NOMEM, "no memory to open the registry");
    }
    if (!rc)
        rc = take_lock(s, e);
    if (!rc)
        rc = db_open_to_write(s, e);
    if (rc) {
        store_close(&s->base);
        return err_wrap(e, "open the registry in '%s'", data_dir);
    }
    store_head_file_open(s);
    store_reserve_make(s);
    *ret = &s->base;
    return 0;
}
