// SPDX-License-Identifier: Apache-2.0
// Idempotency keys on SQLite: written with the change they belong to, forgotten when they are old or too
// many.
#include "registry/store_sqlite.h"

#include "base/limits.h"

#include <string.h>

static const uint64_t KEPT_NS = LIMIT_ONCE_HOURS * 3600ull * 1000000000u;

// The newest time that is forgotten.
static int64_t expired_ns(uint64_t now_wall_ns)
{
    return now_wall_ns > KEPT_NS ? (int64_t)(now_wall_ns - KEPT_NS) : 0;
}

static int take(sqlite3_stmt *st, struct arena *a, struct registry_once *ret,
                struct registry_audit *ret_receipt, struct err *e)
{
    *ret = (struct registry_once){.method = store_column_str(st, 0, a),
                                  .path = store_column_str(st, 1, a),
                                  .status = sqlite3_column_int(st, 3),
                                  .answer = store_column_str(st, 4, a)};
    *ret_receipt = (struct registry_audit){.id = (uint64_t)sqlite3_column_int64(st, 5)};
    const void *body = sqlite3_column_blob(st, 2);
    if (sqlite3_column_int(st, 7) != 0 || sqlite3_column_bytes(st, 2) != (int)sizeof ret->body.bytes)
        return store_row_damaged("what was answered under a key", e);
    if (body)
        memcpy(ret->body.bytes, body, sizeof ret->body.bytes);
    const void *hash = sqlite3_column_blob(st, 6);
    if (hash && sqlite3_column_bytes(st, 6) == (int)sizeof ret_receipt->hash.bytes)
        memcpy(ret_receipt->hash.bytes, hash, sizeof ret_receipt->hash.bytes);
    return body && ret->method.p && ret->path.p && ret->answer.p ? 0 : store_no_memory(e);
}

int store_once_find(struct registry *r, struct str key, uint64_t now_wall_ns, struct arena *a,
                    bool *ret_found, struct registry_once *ret, struct registry_audit *ret_receipt,
                    struct err *e)
{
    struct store *s = (struct store *)r;
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ONCE_FIND, &st, e);
    *ret_found = false;
    if (rc)
        return rc;
    store_bind_str(st, 1, key);
    sqlite3_bind_int64(st, 2, expired_ns(now_wall_ns));
    rc = store_step(s, st, e);
    if (rc != 1)
        return rc;
    *ret_found = true;
    rc = take(st, a, ret, ret_receipt, e);
    ret->key = key;
    sqlite3_reset(st);
    return rc;
}

static int run_with(struct store *s, enum store_statement which, int64_t value, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, which, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, value);
    return store_run(s, st, e);
}

int store_once_add(struct store *s, const struct registry_once *once, uint64_t wall_ns, struct err *e)
{
    sqlite3_stmt *st;
    int rc = run_with(s, ST_ONCE_EXPIRE, expired_ns(wall_ns), e);
    if (!rc)
        rc = run_with(s, ST_ONCE_TRIM, LIMIT_ONCE_KEYS - 1, e);
    if (!rc)
        rc = store_prepare(s, ST_ONCE_ADD, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, once->key);
    store_bind_str(st, 2, once->method);
    store_bind_str(st, 3, once->path);
    sqlite3_bind_blob(st, 4, once->body.bytes, sizeof once->body.bytes, SQLITE_STATIC);
    sqlite3_bind_int(st, 5, once->status);
    store_bind_str(st, 6, once->answer);
    sqlite3_bind_int64(st, 7, s->audit_id);
    sqlite3_bind_int64(st, 8, (int64_t)wall_ns);
    return store_run(s, st, e);
}
