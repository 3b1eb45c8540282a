// SPDX-License-Identifier: Apache-2.0
// The audit table on SQLite: each row's hash covers the row before it, and the last row's number and hash
// stand in audit_head, too.
#include "registry/audit_chain.h"
#include "registry/store_sqlite.h"

#include "base/assert.h"

#include <string.h>

#define AUDIT_COLUMNS "id, at_ns, actor, request_id, action, model, version, before, after, reason, hash"

static struct str text_at(sqlite3_stmt *st, int at)
{
    const char *p = (const char *)sqlite3_column_text(st, at);
    return (struct str){p ? p : "", p ? (size_t)sqlite3_column_bytes(st, at) : 0};
}

// Borrowed from the statement until its next step. A hash of another length counts as all zero.
static struct registry_audit row_at(sqlite3_stmt *st)
{
    struct registry_audit row = {.id = (uint64_t)sqlite3_column_int64(st, 0),
                                 .wall_ns = (uint64_t)sqlite3_column_int64(st, 1),
                                 .actor = text_at(st, 2),
                                 .request_id = text_at(st, 3),
                                 .action = text_at(st, 4),
                                 .model = text_at(st, 5),
                                 .version = (uint32_t)sqlite3_column_int64(st, 6),
                                 .before = text_at(st, 7),
                                 .after = text_at(st, 8),
                                 .reason = text_at(st, 9)};
    const void *hash = sqlite3_column_blob(st, 10);
    if (hash && sqlite3_column_bytes(st, 10) == (int)sizeof row.hash.bytes)
        memcpy(row.hash.bytes, hash, sizeof row.hash.bytes);
    return row;
}

static int hash_set(sqlite3_stmt *update, const struct registry_audit *row)
{
    sqlite3_bind_blob(update, 1, row->hash.bytes, sizeof row->hash.bytes, SQLITE_STATIC);
    sqlite3_bind_int64(update, 2, (int64_t)row->id);
    int rc = sqlite3_step(update);
    sqlite3_reset(update);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

// For the migration: no statement of the store is prepared yet.
int store_audit_chain(sqlite3 *db, struct err *e)
{
    struct registry_audit row = {0};
    sqlite3_stmt *rows = NULL, *update = NULL, *head = NULL;
    int code = 0;
    int rc = sqlite3_prepare_v2(db, "SELECT " AUDIT_COLUMNS " FROM audit ORDER BY id", -1, &rows, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "UPDATE audit SET hash = ? WHERE id = ?", -1, &update, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "INSERT INTO audit_head (only, id, hash) VALUES (1, ?2, ?1)", -1, &head,
                                NULL);
    struct registry_digest before = {{0}};
    while (rc == SQLITE_OK && !code && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
        row = row_at(rows);
        code = audit_hash(&before, &row, &row.hash, e);
        rc = code ? SQLITE_OK : hash_set(update, &row);
        before = row.hash;
    }
    if (rc == SQLITE_DONE)
        rc = hash_set(head, &row);
    if (!code && rc != SQLITE_OK)
        code = store_error_from(rc, sqlite3_errmsg(db), e);
    sqlite3_finalize(rows);
    sqlite3_finalize(update);
    sqlite3_finalize(head);
    return code;
}

static int head_read(struct store *s, struct registry_audit *ret, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_AUDIT_HEAD, &st, e);
    if (!rc)
        rc = store_step(s, st, e);
    if (rc < 0)
        return rc;
    const void *hash = rc == 1 ? sqlite3_column_blob(st, 1) : NULL;
    if (!hash || sqlite3_column_bytes(st, 1) != (int)sizeof ret->hash.bytes) {
        sqlite3_reset(st);
        return err_set(e, ERR_IO, "registry.db has no head of its audit");
    }
    ret->id = (uint64_t)sqlite3_column_int64(st, 0);
    memcpy(ret->hash.bytes, hash, sizeof ret->hash.bytes);
    sqlite3_reset(st);
    return 0;
}

static int head_set(struct store *s, const struct registry_audit *row, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_AUDIT_HEAD_SET, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, (int64_t)row->id);
    sqlite3_bind_blob(st, 2, row->hash.bytes, sizeof row->hash.bytes, SQLITE_STATIC);
    return store_run(s, st, e);
}

static int row_add(struct store *s, const struct registry_audit *row, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_AUDIT_ADD, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, (int64_t)row->id);
    sqlite3_bind_int64(st, 2, (int64_t)row->wall_ns);
    store_bind_str(st, 3, row->actor);
    store_bind_str(st, 4, row->request_id);
    store_bind_str(st, 5, row->action);
    store_bind_str(st, 6, row->model);
    sqlite3_bind_int64(st, 7, row->version);
    store_bind_str(st, 8, row->before);
    store_bind_str(st, 9, row->after);
    store_bind_str(st, 10, row->reason);
    sqlite3_bind_blob(st, 11, row->hash.bytes, sizeof row->hash.bytes, SQLITE_STATIC);
    return store_run(s, st, e);
}

int store_audit(struct store *s, const struct registry_cause *cause, const char *action, struct str model,
                uint32_t version, struct str before, struct str after, struct err *e)
{
    struct registry_audit head, row = {.wall_ns = cause->wall_ns,
                                       .actor = cause->actor,
                                       .request_id = cause->request_id,
                                       .action = str_of(action),
                                       .model = model,
                                       .version = version,
                                       .before = before,
                                       .after = after,
                                       .reason = cause->reason};
    ASSERT(s->audit_id == 0); // one row for each transaction
    int rc = head_read(s, &head, e);
    row.id = rc ? 0 : head.id + 1;
    if (!rc)
        rc = audit_hash(&head.hash, &row, &row.hash, e);
    if (!rc)
        rc = row_add(s, &row, e);
    if (!rc)
        rc = head_set(s, &row, e);
    if (!rc)
        s->audit_id = (int64_t)row.id;
    return rc;
}
