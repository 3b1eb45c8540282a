// SPDX-License-Identifier: Apache-2.0
// What housekeeping asks the registry on SQLite: which versions a rule would let go, and which need a blob.
#include "registry/store_sqlite.h"

enum { EXPIRED_PAGE = 256 }; // versions looked at by one call: well below a millisecond

static int page_end(struct store *s, uint64_t after_id, uint64_t *ret_id, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_EXPIRED_END, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, (int64_t)after_id);
    sqlite3_bind_int64(st, 2, EXPIRED_PAGE - 1);
    rc = store_step(s, st, e);
    if (rc != 1)
        return rc ? rc : err_set(e, ERR_INTERNAL, "a statement without an answer");
    *ret_id = (uint64_t)sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return 0;
}

static bool take(sqlite3_stmt *st, struct arena *a, struct registry_expired *ret)
{
    *ret = (struct registry_expired){.id = (uint64_t)sqlite3_column_int64(st, 0),
                                     .model = store_column_str(st, 1, a),
                                     .number = (uint32_t)sqlite3_column_int64(st, 2),
                                     .created_wall_ns = (uint64_t)sqlite3_column_int64(st, 3),
                                     .alias = store_column_str(st, 4, a),
                                     .is_pinned = sqlite3_column_int(st, 5) != 0,
                                     .is_default = sqlite3_column_int(st, 6) != 0};
    return ret->model.p && ret->alias.p;
}

int store_expired(struct registry *r, const struct registry_retention *rule, uint64_t *after_id,
                  struct arena *a, struct registry_expired **ret, size_t *ret_n, struct err *e)
{
    struct store *s = (struct store *)r;
    uint64_t end = 0;
    sqlite3_stmt *st;
    *ret_n = 0;
    *ret = arena_calloc(a, EXPIRED_PAGE, sizeof **ret);
    if (!*ret)
        return store_no_memory(e);
    int rc = page_end(s, *after_id, &end, e);
    if (!rc && end)
        rc = store_prepare(s, ST_EXPIRED, &st, e);
    if (rc || !end) {
        *after_id = 0;
        return rc;
    }
    sqlite3_bind_int64(st, 1, (int64_t)*after_id);
    sqlite3_bind_int64(st, 2, (int64_t)end);
    sqlite3_bind_int64(st, 3, (int64_t)rule->before_wall_ns);
    sqlite3_bind_int64(st, 4, rule->newest);
    while ((rc = store_step(s, st, e)) == 1) {
        if (*ret_n < EXPIRED_PAGE && take(st, a, &(*ret)[*ret_n])) {
            ++*ret_n;
            continue;
        }
        sqlite3_reset(st);
        return store_no_memory(e);
    }
    *after_id = end;
    return rc;
}

int store_collected(struct registry *r, const struct registry_cause *cause, struct str what, struct err *e)
{
    struct store *s = (struct store *)r;
    int rc = store_begin(s, e);
    if (!rc)
        rc = store_audit(s, cause, "collect", STR(""), 0, STR(""), what, e);
    return store_end(s, rc, e);
}

int store_blob_users(struct registry *r, const struct registry_digest *d, uint64_t after_id,
                     uint64_t *ret_ids, size_t cap, size_t *ret_n, struct err *e)
{
    struct store *s = (struct store *)r;
    char hex[REGISTRY_DIGEST_HEX];
    sqlite3_stmt *st;
    *ret_n = 0;
    registry_digest_hex(d, hex);
    int rc = store_prepare(s, ST_BLOB_USERS, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, str_of(hex));
    sqlite3_bind_int64(st, 2, (int64_t)after_id);
    sqlite3_bind_int64(st, 3, (int64_t)cap);
    while ((rc = store_step(s, st, e)) == 1)
        if (*ret_n < cap)
            ret_ids[(*ret_n)++] = (uint64_t)sqlite3_column_int64(st, 0);
    return rc;
}
