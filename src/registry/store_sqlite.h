// SPDX-License-Identifier: Apache-2.0
// Private to the SQLite store: the handle with its statements (store_sqlite.c), on which the operations of
// struct registry_ops (store_sqlite_ops.c) are written.
#pragma once

#include "registry/registry.h"

#include <sqlite3.h>

enum store_statement {
    ST_BEGIN,
    ST_COMMIT,
    ST_ROLLBACK,
    ST_AUDIT_ADD,
    ST_AUDIT_LAST,
    ST_MODEL_ADD,
    ST_MODEL_NEXT,
    ST_MODEL_ID,
    ST_VERSION_NEXT,
    ST_MODELS,
    ST_VERSION_ADD,
    ST_VERSION_REMOVE,
    ST_VERSION_ID,
    ST_VERSION_FULL,
    ST_VERSIONS,
    ST_VERSIONS_REMOVE,
    ST_ARTIFACT_ADD,
    ST_ARTIFACTS,
    ST_ALIAS_SET,
    ST_ALIAS_OF,
    ST_ALIAS_FIND,
    ST_ALIASES,
    ST_ALIASES_OF_VERSION_REMOVE,
    ST_ALIASES_REMOVE,
    ST_LIMIT
};

struct store {
    struct registry base;
    char *path;  // of registry.db
    int dir_fd;  // the data directory
    int lock_fd; // held for life
    sqlite3 *db; // NULL after an I/O error, until it is reopened
    sqlite3_stmt *statements[ST_LIMIT];
    int64_t audit_id; // of the row that the open transaction wrote; 0 before
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
// Writes the transaction's audit row; version 0 means none.
int store_audit(struct store *s, const struct registry_cause *cause, const char *action, struct str model,
                uint32_t version, struct str before, struct str after, struct err *e) ERR_CHECKED;

extern const struct registry_ops STORE_SQLITE_OPS;
void store_close(struct registry *r);
