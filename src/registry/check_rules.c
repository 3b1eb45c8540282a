// SPDX-License-Identifier: Apache-2.0
// What must hold in registry.db: SQLite's own checks, then a table of rules, each a query whose rows are what
// is wrong.
#include "registry/check_parts.h"

#include "base/limits.h"
#include "os/file.h"
#include "registry/store_sqlite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINES_LIMIT " LIMIT 100"
enum { AUDIT_ARENA_BYTES = 64 << 20 };

static const char RESTORE[] = "restore the last backup: slipway restore";

// Rows of `sql` are sentences; those with a schema above the database's are left out.
static const struct rule {
    const char *code;
    int schema;
    const char *sql, *remedy;
} RULES[] = {
    {"number_reused", 1,
     "SELECT 'model ' || m.name || ' has version ' || max(v.number) || ', but counts only to ' ||"
     " m.last_version FROM models m JOIN versions v ON v.model_id = m.id GROUP BY m.id"
     " HAVING max(v.number) > m.last_version" LINES_LIMIT,
     RESTORE},
    {"version_state", 1,
     "SELECT m.name || ' version ' || v.number || ' is ' || quote(v.state) || ', which is no state'"
     " FROM versions v JOIN models m ON m.id = v.model_id"
     " WHERE v.state NOT IN ('ready', 'rejected')" LINES_LIMIT,
     RESTORE},
    {"version_without_files", 1,
     "SELECT m.name || ' version ' || v.number || ' has no files' FROM versions v"
     " JOIN models m ON m.id = v.model_id"
     " WHERE NOT EXISTS (SELECT 1 FROM artifacts a WHERE a.version_id = v.id)" LINES_LIMIT,
     "delete that version and push it again"},
    {"version_without_model_file", 3,
     "SELECT m.name || ' version ' || v.number || ' has ' || count(a.name) || ' model files instead of one'"
     " FROM versions v JOIN models m ON m.id = v.model_id LEFT JOIN artifacts a ON a.version_id = v.id"
     " AND a.role = 'model' GROUP BY v.id HAVING count(a.name) <> 1" LINES_LIMIT,
     "delete that version and push it again"},
    {"version_not_audited", 1,
     "SELECT m.name || ' version ' || v.number || ' is there, but the audit does not say who made it'"
     " FROM versions v JOIN models m ON m.id = v.model_id WHERE (m.name, v.number) NOT IN"
     " (SELECT model, version FROM audit WHERE action IN ('version_add', 'version_reject'))" LINES_LIMIT,
     "find out who wrote to the database"},
    {"artifact_size", 1,
     "SELECT 'the file sha256:' || digest || ' is ' || min(size) || ' bytes large for one version and ' ||"
     " max(size) || ' for another' FROM artifacts GROUP BY digest"
     " HAVING min(size) <> max(size)" LINES_LIMIT,
     RESTORE},
    {"alias_of_another_model", 1,
     "SELECT 'alias ' || a.name || ' of ' || m.name || ' names a version of another model' FROM aliases a"
     " JOIN models m ON m.id = a.model_id JOIN versions v ON v.id = a.version_id"
     " WHERE v.model_id <> a.model_id" LINES_LIMIT,
     "set that alias again"},
    {"alias_of_rejected", 1,
     "SELECT 'alias ' || a.name || ' of ' || m.name || ' names version ' || v.number ||"
     " ', which was rejected' FROM aliases a JOIN models m ON m.id = a.model_id"
     " JOIN versions v ON v.id = a.version_id WHERE v.state = 'rejected'" LINES_LIMIT,
     "set that alias again"},
    // The history says last what holds now, in both directions.
    {"alias_history", 3,
     "SELECT 'alias ' || a.name || ' of ' || m.name || ' names version ' || v.number ||"
     " ', its history ends with ' || coalesce(h.kind || ' ' || h.version, 'nothing') FROM aliases a"
     " JOIN models m ON m.id = a.model_id JOIN versions v ON v.id = a.version_id"
     " LEFT JOIN alias_history h ON h.id = (SELECT max(id) FROM alias_history"
     " WHERE model = m.name AND alias = a.name)"
     " WHERE h.id IS NULL OR h.kind = 'remove' OR h.version <> v.number" LINES_LIMIT,
     "set that alias again"},
    {"alias_history", 3,
     "SELECT 'alias ' || h.alias || ' of ' || h.model || ' is gone, its history ends with ' || h.kind ||"
     " ' ' || h.version FROM alias_history h WHERE h.kind <> 'remove'"
     " AND h.id = (SELECT max(id) FROM alias_history WHERE model = h.model AND alias = h.alias)"
     " AND NOT EXISTS (SELECT 1 FROM aliases a JOIN models m ON m.id = a.model_id"
     " WHERE a.name = h.alias AND m.name = h.model)"
     " AND NOT EXISTS (SELECT 1 FROM audit u WHERE u.model = h.model"
     " AND u.action IN ('model_remove', 'version_remove') AND u.at_ns >= h.at_ns)" LINES_LIMIT,
     "set that alias again"},
    {"alias_history", 3,
     "SELECT 'row ' || h.id || ' of the history of alias ' || h.alias || ' of ' || h.model ||"
     " ' leads back to row ' || h.back_id FROM alias_history h WHERE h.back_id <> 0"
     " AND NOT EXISTS (SELECT 1 FROM alias_history b WHERE b.id = h.back_id AND b.id < h.id"
     " AND b.model = h.model AND b.alias = h.alias)" LINES_LIMIT,
     RESTORE},
    {"rollout_record", 4,
     "SELECT 'rollout ' || r.id || ' of ' || r.model || ' made ' || r.n_moves || ' moves, its record has ' ||"
     " count(e.number) || ', the last is number ' || coalesce(max(e.number), 0) FROM rollouts r"
     " LEFT JOIN rollout_events e ON e.rollout_id = r.id GROUP BY r.id"
     " HAVING count(e.number) <> r.n_moves OR coalesce(max(e.number), 0) <> r.n_moves" LINES_LIMIT,
     RESTORE},
    {"rollout_record", 4,
     "SELECT 'rollout ' || r.id || ' of ' || r.model || ' is ' || r.state || ', its record ends with ' ||"
     " e.state FROM rollouts r JOIN rollout_events e ON e.rollout_id = r.id AND e.number = r.n_moves"
     " WHERE e.state <> r.state" LINES_LIMIT,
     RESTORE},
    {"rollout_not_audited", 4,
     "SELECT 'rollout ' || r.id || ' of ' || r.model || ' made ' || r.n_moves ||"
     " ' moves, the audit has ' || (SELECT count(*) FROM audit u WHERE u.model = r.model"
     " AND u.action = 'rollout' AND u.after LIKE 'rollout ' || r.id || ' %') FROM rollouts r"
     " WHERE r.n_moves <> (SELECT count(*) FROM audit u WHERE u.model = r.model"
     " AND u.action = 'rollout' AND u.after LIKE 'rollout ' || r.id || ' %')" LINES_LIMIT,
     "find out who wrote to the database"},
};

void check_report(struct check *k, struct registry_finding *f)
{
    if (f->is_error)
        k->sum->n_errors++;
    else
        k->sum->n_notes++;
    k->sum->n_repaired += f->is_repaired;
    if (k->spec->on_finding)
        k->spec->on_finding(k->spec->ctx, f);
}

static void report_error(struct check *k, const char *code, const char *remedy, const char *what)
{
    struct registry_finding f = {.is_error = true, .code = code};
    snprintf(f.what, sizeof f.what, "%.600s", what ? what : "there is no memory to say what");
    snprintf(f.remedy, sizeof f.remedy, "%s", remedy);
    check_report(k, &f);
}

int check_sql_failed(struct check *k, struct err *e)
{
    if (sqlite3_errcode(k->db) == SQLITE_NOMEM)
        return err_set(e, ERR_NOMEM, "no memory to check the registry");
    char what[400];
    snprintf(what, sizeof what, "registry.db cannot be read: %s", sqlite3_errmsg(k->db));
    report_error(k, "registry_damaged", RESTORE, what);
    return 0;
}

static int apply(struct check *k, const struct rule *r, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(k->db, r->sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        while ((rc = sqlite3_step(st)) == SQLITE_ROW)
            report_error(k, r->code, r->remedy, (const char *)sqlite3_column_text(st, 0));
    int code = rc == SQLITE_DONE ? 0 : check_sql_failed(k, e);
    sqlite3_finalize(st);
    return code;
}

// SQLite's checks answer in lines of text; "ok" is the one that is none. *ret_sound: nothing else was said.
static int ask_sqlite(struct check *k, const char *pragma, const char *code, const char *about,
                      bool *ret_sound, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(k->db, pragma, -1, &st, NULL);
    *ret_sound = rc == SQLITE_OK;
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(st);
        const char *said = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : "ok";
        if (said && strcmp(said, "ok") == 0)
            continue;
        char what[500];
        snprintf(what, sizeof what, "%s%.400s", about, said ? said : "");
        what[strcspn(what, "\n")] = '\0';
        report_error(k, code, RESTORE, what);
        *ret_sound = false;
    }
    int failed = rc == SQLITE_DONE ? 0 : check_sql_failed(k, e);
    *ret_sound = *ret_sound && rc == SQLITE_DONE;
    sqlite3_finalize(st);
    return failed;
}

static int64_t integer(struct check *k, const char *sql)
{
    sqlite3_stmt *st = NULL;
    int64_t v = -1;
    if (sqlite3_prepare_v2(k->db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

// What `sql` counts; 0 when it cannot be asked.
static uint64_t count(struct check *k, const char *sql)
{
    int64_t n = integer(k, sql);
    return n > 0 ? (uint64_t)n : 0;
}

// Changed, removed and added rows, by the hashes that chain them.
static int check_audit(struct check *k, struct err *e)
{
    struct registry_audit_report report;
    struct arena a = {0};
    int dir_fd = -1;
    int rc = file_open_dir(AT_FDCWD, k->spec->dir, &dir_fd, e);
    if (!rc)
        rc = arena_init(&a, AUDIT_ARENA_BYTES, e);
    if (!rc)
        rc = store_audit_verify_db(k->db, dir_fd, NULL, &a, &report, e);
    for (size_t i = 0; !rc && i < report.n_told; i++) {
        char what[500];
        snprintf(what, sizeof what, "the audit was tampered with or damaged: %.*s",
                 (int)(report.findings[i].text.n < 400 ? report.findings[i].text.n : 400),
                 report.findings[i].text.p);
        report_error(k, "audit_chain", "find out who wrote to the database, and compare with a backup", what);
    }
    if (dir_fd >= 0)
        close(dir_fd);
    arena_done(&a);
    return rc;
}

static void on_damaged_row(void *ctx, const char *row)
{
    char what[500];
    snprintf(what, sizeof what, "%.400s is not as it was written", row);
    report_error(ctx, "row_damaged", RESTORE, what);
}

static int check_sums(struct check *k, struct err *e)
{
    enum { ROWS_OF_A_TABLE = 100 };
    int rc = store_sums_check(k->db, ROWS_OF_A_TABLE, on_damaged_row, k, e);
    return rc ? check_sql_failed(k, e) : 0;
}

// Of a database that may not be written SQLite leaves the CHECK constraints out, so that it would not see
// what a server fails at: the schema is made once more, in memory.
static int check_schema(struct check *k, bool *ret_sound, struct err *e)
{
    static const char *const TEXTS = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
                                     " AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY rowid";
    char what[400];
    sqlite3 *copy = NULL;
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_open_v2(":memory:", &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    int code = sqlite3_prepare_v2(k->db, TEXTS, -1, &st, NULL) == SQLITE_OK ? 0 : check_sql_failed(k, e);
    while (!code && rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        rc = sqlite3_exec(copy, (const char *)sqlite3_column_text(st, 0), NULL, NULL, NULL);
    if (rc == SQLITE_NOMEM)
        code = err_set(e, ERR_NOMEM, "no memory to check the registry");
    *ret_sound = !code && rc == SQLITE_OK;
    if (!code && rc != SQLITE_OK) {
        snprintf(what, sizeof what, "registry.db is damaged: its schema: %s", sqlite3_errmsg(copy));
        report_error(k, "registry_damaged", RESTORE, what);
    }
    sqlite3_finalize(st);
    sqlite3_close(copy);
    return code;
}

int check_database(struct check *k, bool *ret_usable, struct err *e)
{
    bool sound = false, references = false;
    *ret_usable = false;
    int64_t schema = integer(k, "PRAGMA user_version");
    if (schema < 0)
        return check_sql_failed(k, e);
    int rc = ask_sqlite(k, "PRAGMA integrity_check(100)", "registry_damaged",
                        "registry.db is damaged: ", &sound, e);
    if (!rc && sound)
        rc = check_schema(k, &sound, e);
    if (rc || !sound)
        return rc;
    k->sum->schema = (int)schema;
    if (schema == 0 || schema > store_schema_version()) {
        char what[200];
        snprintf(what, sizeof what, "registry.db has schema %lld, this Slipway knows 1 to %d",
                 (long long)schema, store_schema_version());
        report_error(k, "registry_schema", "use the Slipway that wrote it", what);
        return 0;
    }
    rc = ask_sqlite(k, "PRAGMA foreign_key_check", "registry_reference",
                    "a row refers to another that is not there, in table ", &references, e);
    for (size_t i = 0; !rc && i < sizeof RULES / sizeof RULES[0]; i++)
        if (RULES[i].schema <= schema)
            rc = apply(k, &RULES[i], e);
    if (!rc && schema >= STORE_SCHEMA_OF_SUMS)
        rc = check_sums(k, e);
    if (!rc && schema >= STORE_SCHEMA_OF_AUDIT)
        rc = check_audit(k, e);
    k->sum->n_models = count(k, "SELECT count(DISTINCT model_id) FROM versions");
    k->sum->n_versions = count(k, "SELECT count(*) FROM versions");
    *ret_usable = rc == 0;
    return rc;
}
