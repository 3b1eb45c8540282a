// SPDX-License-Identifier: Apache-2.0
// Sums of rows. SQLite finds damage of its own structures; what a flipped bit makes of a text or a number it
// gives back as if it had been written so. So each row that decides what is served, or how one goes back, has
// a CRC-32C of its fields, computed and compared in SQL by the function row_sum. The audit has its hashes
// instead (audit_chain.c). Like those, sums are no protection from somebody who computes them, too.
#include "registry/store_sqlite.h"

#include "base/crc32c.h"

#include <stdio.h>

// Each table with a sum, the fields that it is of, and what a row is called.
static const struct sums {
    const char *table, *fields, *name;
} SUMS[] = {
    {"models", STORE_FIELDS_OF_MODEL, "'model ' || name"},
    {"versions", STORE_FIELDS_OF_VERSION,
     "coalesce((SELECT m.name FROM models m WHERE m.id = model_id), '?') || ' version ' || number"},
    {"artifacts", STORE_FIELDS_OF_ARTIFACT, "'file ' || name || ' of the version with id ' || version_id"},
    {"aliases", STORE_FIELDS_OF_ALIAS,
     "'alias ' || name || ' of ' || coalesce((SELECT m.name FROM models m WHERE m.id = model_id), '?')"},
    {"alias_history", STORE_FIELDS_OF_HISTORY,
     "'row ' || id || ' of the history of alias ' || alias || ' of ' || model"},
    {"idempotency", STORE_FIELDS_OF_ONCE, "'what was answered under key ' || key"},
    {"rollouts", STORE_FIELDS_OF_ROLLOUT, "'rollout ' || id || ' of ' || model"},
    {"rollout_events", STORE_FIELDS_OF_EVENT, "'move ' || number || ' of rollout ' || rollout_id"},
};
enum { N_SUMS = sizeof SUMS / sizeof SUMS[0], SQL_BYTES = 1024 };

static uint32_t add_number(uint32_t sum, char kind, uint64_t number)
{
    unsigned char bytes[9] = {(unsigned char)kind};
    for (int i = 0; i < 8; i++)
        bytes[1 + i] = (unsigned char)(number >> (8 * i));
    return crc32c(sum, bytes, sizeof bytes);
}

static uint32_t add_value(uint32_t sum, sqlite3_value *v)
{
    int type = sqlite3_value_type(v);
    if (type == SQLITE_INTEGER)
        return add_number(sum, 'i', (uint64_t)sqlite3_value_int64(v));
    if (type == SQLITE_NULL)
        return crc32c(sum, "n", 1);
    const void *p = type == SQLITE_BLOB ? sqlite3_value_blob(v) : (const void *)sqlite3_value_text(v);
    size_t n = (size_t)sqlite3_value_bytes(v);
    sum = add_number(sum, type == SQLITE_BLOB ? 'b' : 't', n);
    return p ? crc32c(sum, p, n) : sum;
}

static void row_sum(sqlite3_context *ctx, int n, sqlite3_value **values)
{
    uint32_t sum = 0;
    for (int i = 0; i < n; i++)
        sum = add_value(sum, values[i]);
    sqlite3_result_int64(ctx, sum);
}

int store_sums_init(sqlite3 *db, struct err *e)
{
    int rc =
        sqlite3_create_function_v2(db, "row_sum", -1, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY,
                                   NULL, row_sum, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : store_error_from(rc, sqlite3_errmsg(db), e);
}

int store_sums_make(sqlite3 *db, struct err *e)
{
    char sql[SQL_BYTES];
    int rc = SQLITE_OK;
    for (size_t i = 0; rc == SQLITE_OK && i < N_SUMS; i++) {
        snprintf(sql, sizeof sql,
                 "ALTER TABLE %s ADD COLUMN sum INTEGER NOT NULL DEFAULT 0; UPDATE %s SET sum = row_sum(%s)",
                 SUMS[i].table, SUMS[i].table, SUMS[i].fields);
        rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    }
    return rc == SQLITE_OK ? 0 : store_error_from(rc, sqlite3_errmsg(db), e);
}

int store_sums_check(sqlite3 *db, unsigned limit, void (*found)(void *ctx, const char *row), void *ctx,
                     struct err *e)
{
    char sql[SQL_BYTES];
    int rc = SQLITE_DONE;
    for (size_t i = 0; rc == SQLITE_DONE && i < N_SUMS; i++) {
        sqlite3_stmt *st = NULL;
        snprintf(sql, sizeof sql, "SELECT %s FROM %s WHERE sum <> row_sum(%s) LIMIT %u", SUMS[i].name,
                 SUMS[i].table, SUMS[i].fields, limit);
        rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
        while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
            const char *row = (const char *)sqlite3_column_text(st, 0);
            found(ctx, row ? row : "a row");
            rc = SQLITE_OK;
        }
        sqlite3_finalize(st);
    }
    return rc == SQLITE_DONE ? 0 : store_error_from(rc, sqlite3_errmsg(db), e);
}
