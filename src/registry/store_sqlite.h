// SPDX-License-Identifier: Apache-2.0
// Private to the SQLite store: the handle with its statements (store_sqlite.c), on which the operations of
// struct registry_ops (store_sqlite_ops.c) are written; its tables (store_sqlite_schema.c) and the audit
// (store_sqlite_audit.c).
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "registry/registry.h"

#include <sqlite3.h>

// What the sum of a row is of (store_sqlite_sums.c): all that was written, in an order that stays.
#define STORE_FIELDS_OF_MODEL "id, name, last_version, created_ns"
#define STORE_FIELDS_OF_VERSION                                                                              \
    "id, model_id, number, state, engine, format, signature, description, tags, created_by, created_ns,"     \
    " settings, reasons, admission, metrics, trained_from, replaces"
#define STORE_FIELDS_OF_ARTIFACT "version_id, name, digest, size, role"
#define STORE_FIELDS_OF_ALIAS    "model_id, name, version_id"
#define STORE_FIELDS_OF_HISTORY                                                                              \
    "model, alias, version, previous, back_id, kind, at_ns, actor, request_id, reason"
#define STORE_FIELDS_OF_ONCE "key, method, path, body, status, answer, audit_id, at_ns"
#define STORE_FIELDS_OF_ROLLOUT                                                                              \
    "id, model, alias, baseline, candidates, attempt, request, salt, created_ns, state, is_over, n_moves,"   \
    " plan, counts, moved_ns"
#define STORE_FIELDS_OF_EVENT "rollout_id, number, at_ns, event, state, record"
enum { STORE_SCHEMA_OF_SUMS = 5 }; // the first whose rows have them

#define STORE_AUDIT_COLUMNS                                                                                  \
    "SELECT id, at_ns, actor, request_id, action, model, version, before, after, reason, hash FROM audit"
#define STORE_AUDIT_ALL STORE_AUDIT_COLUMNS " ORDER BY id"
// Of all models and of one, as store_audit_bind binds: each page is found by an index.
#define STORE_AUDIT_SELECT    STORE_AUDIT_COLUMNS " WHERE id < ?2 ORDER BY id DESC LIMIT ?3"
#define STORE_AUDIT_SELECT_OF STORE_AUDIT_COLUMNS " WHERE model = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"
#define STORE_HEAD_FILE       "audit.head"
enum { STORE_SCHEMA_OF_AUDIT = 3 }; // the first whose audit has hashes

enum store_statement {
    ST_BEGIN,
    ST_COMMIT,
    ST_ROLLBACK,
    ST_AUDIT_ADD,
    ST_AUDIT_HEAD,
    ST_AUDIT_HEAD_SET,
    ST_MODEL_ADD,
    ST_MODEL_NEXT,
    ST_MODEL_ID,
    ST_VERSION_NEXT,
    ST_MODELS,
    ST_MODEL_NAMES,
    ST_VERSION_ADD,
    ST_VERSION_SUM,
    ST_VERSION_REMOVE,
    ST_VERSION_ID,
    ST_VERSIONS_NEAR,
    ST_VERSION_FULL,
    ST_VERSIONS,
    ST_VERSIONS_OF,
    ST_VERSIONS_FIRST,
    ST_VERSION_DEFAULT,
    ST_VERSIONS_REMOVE,
    ST_ARTIFACT_ADD,
    ST_ARTIFACTS,
    ST_ALIAS_SET,
    ST_ALIAS_OF,
    ST_ALIAS_FIND,
    ST_ALIASES,
    ST_ALIASES_OF,
    ST_ALIAS_NAMES,
    ST_ALIASES_NOTE,
    ST_ALIASES_OF_VERSION_REMOVE,
    ST_HISTORY_ADD,
    ST_HISTORY_LAST,
    ST_HISTORY_REMOVED,
    ST_HISTORY_BACK,
    ST_HISTORY,
    ST_HISTORY_OF,
    ST_HISTORY_OF_ALIAS,
    ST_ALIAS_REMOVE,
    ST_AUDIT,
    ST_AUDIT_OF,
    ST_ONCE_FIND,
    ST_ONCE_ADD,
    ST_ONCE_EXPIRE,
    ST_ONCE_TRIM,
    ST_ALIASES_REMOVE,
    ST_EXPIRED_END,
    ST_EXPIRED,
    ST_BLOB_USERS,
    ST_ROLLOUT_NEXT,
    ST_ROLLOUT_ADD,
    ST_ROLLOUT_MOVE,
    ST_ROLLOUT_KEEP,
    ST_ROLLOUT_FIND,
    ST_ROLLOUTS,
    ST_ROLLOUT_RECORD_ADD,
    ST_ROLLOUT_RECORDS,
    ST_LIMIT
};

enum { STORE_NOTE_SIZE = LIMIT_ALIAS_BYTES + 16 };

struct store {
    struct registry base;
    char *path;  // of registry.db
    int dir_fd;  // the data directory
    int lock_fd; // held for life
    sqlite3 *db; // NULL after an I/O error, until it is reopened
    sqlite3_stmt *statements[ST_LIMIT];
    int64_t audit_id;                  // of the row that the open transaction wrote; 0 before
    struct registry_digest audit_hash; // its hash
    bool is_suspect;                   // the storage failed since it last took a write
    bool has_reserve;                  // store_reserve.c
    int head_fd; // of audit.head; -1: it cannot be written, says something else or is damaged
};

// The prepared statement, reset, without bindings. Reopens the database when an I/O error closed it.
int store_prepare(struct store *s, enum store_statement which, sqlite3_stmt **ret, struct err *e) ERR_CHECKED;
// Steps once: 1 there is a row, 0 done; on an error the statement is reset, and an I/O error marks the
// handle.
int store_step(struct store *s, sqlite3_stmt *st, struct err *e) ERR_CHECKED;
// Steps a statement that returns no rows and resets it.
int store_run(struct store *s, sqlite3_stmt *st, struct err *e) ERR_CHECKED;
void store_bind_str(sqlite3_stmt *st, int at, struct str text); // borrowed until the statement is reset

int store_begin(struct store *s, struct err *e) ERR_CHECKED;
// Commits when rc is 0, else rolls back; returns rc or why the commit failed. See struct registry_ops.
int store_end(struct store *s, int rc, struct err *e) ERR_CHECKED;
// Writes the transaction's audit row, one for each; version 0 means none.
int store_audit(struct store *s, const struct registry_cause *cause, const char *action, struct str model,
                uint32_t version, struct str before, struct str after, struct err *e) ERR_CHECKED;

// Brings the tables up to date. ERR_INVALID for a database that is newer, or not ours.
int store_migrate(sqlite3 *db, struct err *e) ERR_CHECKED;
// Gives each audit row its hash, in the transaction of the migration that adds it.
int store_audit_chain(sqlite3 *db, struct err *e) ERR_CHECKED;

// store_sqlite_sums.c: makes row_sum known to the connection; adds sums to all tables, in the transaction of
// the migration; calls back for rows whose sum is not theirs, at most `limit` of each table.
int store_sums_init(sqlite3 *db, struct err *e) ERR_CHECKED;
int store_sums_make(sqlite3 *db, struct err *e) ERR_CHECKED;
int store_sums_check(sqlite3 *db, unsigned limit, void (*found)(void *ctx, const char *row), void *ctx,
                     struct err *e) ERR_CHECKED;

// A database that somebody else may be writing, and its data directory (-1: none); the caller closes both,
// also after an error. ERR_NOT_FOUND, ERR_INVALID when it is of an older schema.
int store_open_to_read(const char *data_dir, int *ret_dir_fd, sqlite3 **ret, struct err *e) ERR_CHECKED;
// The schema that this program writes.
int store_schema_version(void);

// The single integer that a statement returns.
int store_integer(sqlite3 *db, const char *sql, int64_t *ret, struct err *e) ERR_CHECKED;
// The error for SQLite's result code.
int store_error_from(int rc, const char *text, struct err *e);

// A list that grows in an arena: doubled by copying, the old half is left to the arena.
struct store_list {
    void *items;
    size_t n, cap, item_bytes;
};
void *store_list_add(struct store_list *l, struct arena *a); // NULL when the arena is full
int store_row_damaged(const char *what, struct err *e);      // ERR_IO: its sum is not that of its fields
// A bound for "id < ?": no row is as high.
static inline int64_t store_before(uint64_t before)
{
    return before && before < INT64_MAX ? (int64_t)before : INT64_MAX;
}
// Copies a text column, with a NUL; p NULL when the arena is full.
struct str store_column_str(sqlite3_stmt *st, int at, struct arena *a);

// store_sqlite_read.c, the operations of struct registry_ops and what changes need of them. An unknown model
// or version is an error with a hint.
int store_models(struct registry *r, struct arena *a, struct registry_model **ret, size_t *ret_n,
                 struct err *e) ERR_CHECKED;
int store_versions_first(struct registry *r, uint32_t limit, struct arena *a, struct registry_version **ret,
                         size_t *ret_n, bool *ret_all, struct err *e) ERR_CHECKED;
int store_versions(struct registry *r, const struct registry_versions_query *which, struct arena *a,
                   struct registry_version **ret, size_t *ret_n, struct err *e) ERR_CHECKED;
int store_aliases(struct registry *r, struct str model, struct arena *a, struct registry_alias **ret,
                  size_t *ret_n, struct err *e) ERR_CHECKED;
int store_version_find(struct registry *r, struct str model, struct str selector, struct arena *a,
                       struct registry_version *ret, struct err *e) ERR_CHECKED;
int store_model_id(struct store *s, struct str model, int64_t *ret, struct err *e) ERR_CHECKED;
int store_version_id(struct store *s, struct str model, int64_t in_model, uint32_t number, int64_t *ret,
                     bool *ret_rejected, struct err *e) ERR_CHECKED; // ret_rejected may be NULL
// The version an alias names, or *ret_id 0.
int store_alias_target(struct store *s, int64_t in_model, struct str alias, int64_t *ret_id,
                       uint32_t *ret_number, struct err *e) ERR_CHECKED;
int store_no_memory(struct err *e); // for the answer, ERR_NOMEM

// store_sqlite_alias.c
// An alias about to move, within a transaction.
struct store_alias_move {
    struct str model, alias;
    int64_t in_model, to_id;
    uint32_t from, to;  // version numbers; from 0: the alias is new
    const char *kind;   // "promote", "rollback"
    int64_t back_id;    // where a rollback from here goes
    bool keeps_back_id; // it is given; else it is the row before
};
// Moves it and remembers that; nothing to remember where it points there already.
int store_alias_move(struct store *s, const struct registry_cause *cause, struct store_alias_move *m,
                     struct err *e) ERR_CHECKED;
// Before the aliases of a version (id), of a model, or one of its aliases are removed: 0 and "" stand for
// any.
int store_history_removed(struct store *s, const struct registry_cause *cause, int64_t id, int64_t in_model,
                          struct str alias, struct err *e) ERR_CHECKED;
// Appends " blue=2 champion=2": the aliases that a version (id) or a model is about to lose; 0 stands for
// any.
int store_aliases_note(struct store *s, int64_t id, int64_t in_model, struct buf *out,
                       struct err *e) ERR_CHECKED;
// "champion=3", or "" for no version: before and after in the audit.
struct str store_alias_note(char note[STORE_NOTE_SIZE], struct str alias, uint32_t number);
int store_alias_set(struct registry *r, const struct registry_cause *cause, struct str model,
                    struct str alias, uint32_t number, struct err *e) ERR_CHECKED;

int store_alias_remove(struct registry *r, const struct registry_cause *cause, struct str model,
                       struct str alias, uint32_t *ret_was, struct err *e) ERR_CHECKED;
int store_rollback_find(struct registry *r, struct str model, struct str alias, uint32_t to,
                        uint32_t *ret_number, struct err *e) ERR_CHECKED;
int store_rollback(struct registry *r, const struct registry_cause *cause, struct str model, struct str alias,
                   uint32_t to, uint32_t expected, struct err *e) ERR_CHECKED;
int store_alias_history(struct registry *r, const struct registry_history_query *which, struct arena *a,
                        struct registry_alias_change **ret, size_t *ret_n, struct err *e) ERR_CHECKED;

int store_models_page(struct registry *r, struct str after, uint32_t limit, struct arena *a,
                      struct registry_model **ret, size_t *ret_n, struct err *e) ERR_CHECKED;

// store_reserve.c: space on the disk that is given back for changes which must work when it is full.
int store_room(struct registry *r, struct err *e) ERR_CHECKED;
void store_reserve_make(struct store *s);    // tries; nothing when it is there
bool store_reserve_release(struct store *s); // false: there was none

// store_sqlite_once.c
int store_once_find(struct registry *r, struct str key, uint64_t now_wall_ns, struct arena *a,
                    bool *ret_found, struct registry_once *ret, struct registry_audit *ret_receipt,
                    struct err *e) ERR_CHECKED;
// In the transaction of the change, whose audit row is written.
int store_once_add(struct store *s, const struct registry_once *once, uint64_t wall_ns,
                   struct err *e) ERR_CHECKED;

// store_sqlite_audit.c
int store_audit_list(struct registry *r, const struct registry_history_query *which, struct arena *a,
                     struct registry_audit **ret, size_t *ret_n, struct err *e) ERR_CHECKED;
int store_audit_head(struct registry *r, struct registry_audit *ret, struct err *e) ERR_CHECKED;
int store_audit_verify(struct registry *r, const struct registry_audit *receipt, struct arena *a,
                       struct registry_audit_report *ret, struct err *e) ERR_CHECKED;
// A row of STORE_AUDIT_COLUMNS, borrowed from the statement until its next step. A hash of another length
// counts as all zero.
struct registry_audit store_audit_row(sqlite3_stmt *st);
void store_audit_bind(sqlite3_stmt *st, const struct registry_history_query *which);
int store_audit_take(struct store_list *l, sqlite3_stmt *st, struct arena *a, struct err *e) ERR_CHECKED;
// audit_verify.c; dir_fd: of the data directory.
int store_audit_verify_db(sqlite3 *db, int dir_fd, const struct registry_audit *receipt, struct arena *a,
                          struct registry_audit_report *ret, struct err *e) ERR_CHECKED;
// What the second head says.
enum store_head { STORE_HEAD_NONE, STORE_HEAD_READ, STORE_HEAD_DAMAGED };
enum store_head store_head_file_read(int dir_fd, struct registry_audit *ret);
// The second head, in audit.head beside the database: opens it and, unless it contradicts the database or is
// damaged, brings it up to date. It only helps to find what was taken away: that it cannot be had is no
// error.
void store_head_file_open(struct store *s);
void store_head_file_write(struct store *s); // after a commit

// store_sqlite_housekeeping.c
int store_expired(struct registry *r, const struct registry_retention *rule, uint64_t *after_id,
                  struct arena *a, struct registry_expired **ret, size_t *ret_n, struct err *e) ERR_CHECKED;
int store_collected(struct registry *r, const struct registry_cause *cause, struct str what,
                    struct err *e) ERR_CHECKED;
int store_blob_users(struct registry *r, const struct registry_digest *d, uint64_t after_id,
                     uint64_t *ret_ids, size_t cap, size_t *ret_n, struct err *e) ERR_CHECKED;

// store_sqlite_rollout.c
int store_rollout_next(struct registry *r, struct str model, struct str candidates, uint64_t *ret_id,
                       uint32_t *ret_attempt, struct err *e) ERR_CHECKED;
int store_rollout_add(struct registry *r, const struct registry_cause *cause,
                      const struct registry_rollout *v, const struct registry_rollout_move *first,
                      struct err *e) ERR_CHECKED;
int store_rollout_move(struct registry *r, const struct registry_cause *cause, uint64_t id,
                       const struct registry_rollout_move *move, struct err *e) ERR_CHECKED;
int store_rollout_keep(struct registry *r, uint64_t id, struct str counts_json, struct err *e) ERR_CHECKED;
int store_rollout_find(struct registry *r, uint64_t id, struct arena *a, struct registry_rollout *ret,
                       struct err *e) ERR_CHECKED;
int store_rollouts(struct registry *r, const struct registry_rollouts_query *which, struct arena *a,
                   struct registry_rollout **ret, size_t *ret_n, struct err *e) ERR_CHECKED;
int store_rollout_records(struct registry *r, uint64_t id, uint64_t after, uint32_t limit, struct arena *a,
                          struct registry_rollout_record **ret, size_t *ret_n, struct err *e) ERR_CHECKED;

extern const struct registry_ops STORE_SQLITE_OPS;
void store_close(struct registry *r);
