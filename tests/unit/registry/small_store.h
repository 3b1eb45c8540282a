// SPDX-License-Identifier: Apache-2.0
// A registry in a folder of its own, and the shortest ways to change it, for the tests of this folder.
#pragma once

#include "registry/registry.h"

#include "tempdir.h"
#include "unit.h"

#include <sqlite3.h>

struct small_store {
    char dir[TEMPDIR_SIZE];
    struct registry *reg;
    struct arena arena;
    struct err e;
    uint32_t n_added;
};

static const struct registry_cause SMALL_CAUSE = {.actor = STR("tester"),
                                                  .request_id = STR("req-1"),
                                                  .wall_ns = 1700000000000000000u,
                                                  .reason = STR("because")};

static void small_store_open(struct small_store *s)
{
    ck_assert_msg(registry_sqlite_open(s->dir, &s->reg, &s->e) == 0, "%s", s->e.msg);
}

static void small_store_init(struct small_store *s)
{
    *s = (struct small_store){0};
    tempdir_new(s->dir);
    ck_assert_int_eq(arena_init(&s->arena, 64 << 20, &s->e), 0);
    small_store_open(s);
}

static void small_store_done(struct small_store *s)
{
    s->reg->ops->close(s->reg);
    arena_done(&s->arena);
    tempdir_remove(s->dir);
}

// A version; returns its number.
static uint32_t small_store_add(struct small_store *s, const char *model, const char *alias)
{
    struct registry_artifact file = {.name = STR("model.json"), .digest.bytes = {1}, .size_bytes = 7};
    struct registry_version v = {.model = str_of(model),
                                 .engine = STR("trees"),
                                 .format = STR("xgboost_json"),
                                 .artifacts = &file,
                                 .n_artifacts = 1};
    uint64_t id;
    uint32_t number;
    int rc = s->reg->ops->version_add(s->reg, &SMALL_CAUSE, &v, str_of(alias), &id, &number, &s->e);
    ck_assert_msg(rc == 0, "%s", s->e.msg);
    s->n_added++;
    return number;
}

// Past the store, as somebody with a text editor for databases would.
__attribute__((unused)) static void small_store_tamper(struct small_store *s, const char *sql)
{
    char path[TEMPDIR_SIZE + 32], *why = NULL;
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/registry.db", s->dir);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK, "%s: %s", sql, why);
    sqlite3_close(db);
}
