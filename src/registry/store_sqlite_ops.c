// SPDX-License-Identifier: Apache-2.0
// The operations of the registry on SQLite: each change is one transaction that ends with its audit row, each
// list is copied into the caller's arena.
#include "registry/store_sqlite.h"

#include "base/limits.h"
#include "base/near.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "the answer of the registry does not fit into its memory");
}

// Copies a text column; p NULL when the arena is full.
static struct str column_str(sqlite3_stmt *st, int at, struct arena *a)
{
    const unsigned char *text = sqlite3_column_text(st, at);
    size_t n = (size_t)sqlite3_column_bytes(st, at);
    char *copy = text ? arena_alloc(a, n + 1) : NULL;
    if (!copy)
        return (struct str){0};
    memcpy(copy, text, n);
    copy[n] = '\0';
    return (struct str){copy, n};
}

// A growing array in an arena: doubled by copying, the old half is left to the arena.
struct list {
    void *items;
    size_t n, cap, item_bytes;
};

static void *list_add(struct list *l, struct arena *a)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 16;
        void *grown = arena_calloc(a, cap, l->item_bytes);
        if (!grown)
            return NULL;
        if (l->n)
            memcpy(grown, l->items, l->n * l->item_bytes);
        l->items = grown;
        l->cap = cap;
    }
    return (char *)l->items + l->n++ * l->item_bytes;
}

static int models(struct registry *r, struct arena *a, struct registry_model **ret, size_t *ret_n,
                  struct err *e)
{
    struct store *s = (struct store *)r;
    struct list l = {.item_bytes = sizeof **ret};
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_MODELS, &st, e);
    if (rc)
        return rc;
    while ((rc = store_step(s, st, e)) == 1) {
        struct registry_model *m = list_add(&l, a);
        struct str name = column_str(st, 0, a);
        if (!m || !name.p) {
            sqlite3_reset(st);
            return no_memory(e);
        }
        *m = (struct registry_model){
            .name = name,
            .n_versions = (uint32_t)sqlite3_column_int64(st, 1),
            .latest = (uint32_t)sqlite3_column_int64(st, 2),
            .created_wall_ns = (uint64_t)sqlite3_column_int64(st, 3),
            .champion = (uint32_t)sqlite3_column_int64(st, 4),
        };
    }
    *ret = l.items;
    *ret_n = l.n;
    return rc;
}

static int load_artifacts(struct store *s, struct registry_version *v, struct arena *a, struct err *e)
{
    struct list l = {.item_bytes = sizeof *v->artifacts};
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ARTIFACTS, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, (int64_t)v->id);
    while ((rc = store_step(s, st, e)) == 1) {
        struct registry_artifact *f = list_add(&l, a);
        char text[REGISTRY_DIGEST_TEXT];
        snprintf(text, sizeof text, "sha256:%s", (const char *)sqlite3_column_text(st, 1));
        struct str name = column_str(st, 0, a);
        if (!f || !name.p)
            rc = no_memory(e);
        else if (!registry_digest_parse(str_of(text), &f->digest))
            rc = err_set(e, ERR_IO, "registry.db has a digest that is none");
        if (rc < 0) {
            sqlite3_reset(st);
            return rc;
        }
        f->name = name;
        f->size_bytes = (uint64_t)sqlite3_column_int64(st, 2);
    }
    v->artifacts = l.items;
    v->n_artifacts = l.n;
    return rc;
}

// From the columns VERSION_COLUMNS; artifacts come later, by a statement of their own.
static int take_version(sqlite3_stmt *st, struct arena *a, struct registry_version *v, struct err *e)
{
    *v = (struct registry_version){
        .id = (uint64_t)sqlite3_column_int64(st, 0),
        .model = column_str(st, 1, a),
        .number = (uint32_t)sqlite3_column_int64(st, 2),
        .slot = (uint32_t)sqlite3_column_int64(st, 3),
        .state = column_str(st, 4, a),
        .engine = column_str(st, 5, a),
        .format = column_str(st, 6, a),
        .description = column_str(st, 7, a),
        .tags_json = column_str(st, 8, a),
        .created_by = column_str(st, 9, a),
        .created_wall_ns = (uint64_t)sqlite3_column_int64(st, 10),
        .settings_json = column_str(st, 11, a),
        .signature_json = sqlite3_column_count(st) > 12 ? column_str(st, 12, a) : STR(""),
    };
    const struct str all[] = {v->model,     v->state,      v->engine,        v->format,        v->description,
                              v->tags_json, v->created_by, v->settings_json, v->signature_json};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (!all[i].p)
            return no_memory(e);
    return 0;
}

static int versions(struct registry *r, struct str model, struct arena *a, struct registry_version **ret,
                    size_t *ret_n, struct err *e)
{
    struct store *s = (struct store *)r;
    struct list l = {.item_bytes = sizeof **ret};
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_VERSIONS, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, model);
    while ((rc = store_step(s, st, e)) == 1) {
        struct registry_version *v = list_add(&l, a);
        rc = v ? take_version(st, a, v, e) : no_memory(e);
        if (rc) {
            sqlite3_reset(st);
            return rc;
        }
    }
    *ret = l.items;
    *ret_n = l.n;
    for (size_t i = 0; !rc && i < l.n; i++)
        rc = load_artifacts(s, &(*ret)[i], a, e);
    return rc;
}

static int aliases(struct registry *r, struct str model, struct arena *a, struct registry_alias **ret,
                   size_t *ret_n, struct err *e)
{
    struct store *s = (struct store *)r;
    struct list l = {.item_bytes = sizeof **ret};
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ALIASES, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, model);
    while ((rc = store_step(s, st, e)) == 1) {
        struct registry_alias *alias = list_add(&l, a);
        struct str name = column_str(st, 0, a);
        if (!alias || !name.p) {
            sqlite3_reset(st);
            return no_memory(e);
        }
        *alias = (struct registry_alias){name, (uint32_t)sqlite3_column_int64(st, 1)};
    }
    *ret = l.items;
    *ret_n = l.n;
    return rc;
}

// The hint names the model that was probably meant; without memory to look there is none.
static int unknown_model(struct store *s, struct str model, struct err *e)
{
    enum { NAMES_BYTES = 16 << 20 };
    err_set(e, ERR_UNKNOWN_MODEL, "there is no model '" STR_FMT "'", STR_ARG(model));
    struct arena a = {0};
    struct err ignored;
    if (arena_init(&a, NAMES_BYTES, &ignored))
        return ERR_UNKNOWN_MODEL;
    struct registry_model *list = NULL;
    size_t n = 0;
    struct str *names = NULL;
    if (!models(&s->base, &a, &list, &n, &ignored))
        names = arena_calloc(&a, n, sizeof *names);
    for (size_t i = 0; names && i < n; i++)
        names[i] = list[i].name;
    int near = names ? near_find(model, names, n) : -1;
    if (near >= 0)
        err_hint(e, "Did you mean '" STR_FMT "'?", STR_ARG(names[near]));
    else if (names && n == 0)
        err_hint(e, "The registry has no models yet.");
    arena_done(&a);
    return ERR_UNKNOWN_MODEL;
}

static int unknown_version(struct str model, struct str selector, struct err *e)
{
    return err_set(e, ERR_UNKNOWN_VERSION, "model '" STR_FMT "' has no version or alias '" STR_FMT "'",
                   STR_ARG(model), STR_ARG(selector));
}

// The model's row, if it has versions.
static int model_id(struct store *s, struct str model, int64_t *ret, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_MODEL_ID, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, model);
    rc = store_step(s, st, e);
    if (rc == 0)
        return unknown_model(s, model, e);
    if (rc < 0)
        return rc;
    *ret = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return 0;
}

static int version_id(struct store *s, struct str model, int64_t in_model, uint32_t number, int64_t *ret,
                      struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_VERSION_ID, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, in_model);
    sqlite3_bind_int64(st, 2, number);
    rc = store_step(s, st, e);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        char text[16];
        snprintf(text, sizeof text, "%u", number);
        return unknown_version(model, str_of(text), e);
    }
    *ret = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return 0;
}

// The version an alias names, or *ret_id 0.
static int alias_target(struct store *s, int64_t in_model, struct str alias, int64_t *ret_id,
                        uint32_t *ret_number, struct err *e)
{
    *ret_id = 0;
    *ret_number = 0;
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ALIAS_FIND, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, in_model);
    store_bind_str(st, 2, alias);
    rc = store_step(s, st, e);
    if (rc != 1)
        return rc;
    *ret_id = sqlite3_column_int64(st, 0);
    *ret_number = (uint32_t)sqlite3_column_int64(st, 1);
    sqlite3_reset(st);
    return 0;
}

static int version_find(struct registry *r, struct str model, struct str selector, struct arena *a,
                        struct registry_version *ret, struct err *e)
{
    struct store *s = (struct store *)r;
    int64_t in_model, id = 0;
    uint64_t number;
    uint32_t alias_number;
    int rc = model_id(s, model, &in_model, e);
    if (rc)
        return rc;
    if (str_to_u64(selector, UINT32_MAX, &number))
        rc = version_id(s, model, in_model, (uint32_t)number, &id, e);
    else
        rc = alias_target(s, in_model, selector, &id, &alias_number, e);
    if (rc)
        return rc;
    if (!id)
        return unknown_version(model, selector, e);
    sqlite3_stmt *st;
    rc = store_prepare(s, ST_VERSION_FULL, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, id);
    rc = store_step(s, st, e);
    if (rc < 0)
        return rc;
    rc = rc == 1 ? take_version(st, a, ret, e) : err_set(e, ERR_INTERNAL, "a version has vanished");
    sqlite3_reset(st);
    return rc ? rc : load_artifacts(s, ret, a, e);
}

static int artifacts_add(struct store *s, int64_t id, const struct registry_version *v, struct err *e)
{
    for (size_t i = 0; i < v->n_artifacts; i++) {
        const struct registry_artifact *f = &v->artifacts[i];
        char hex[REGISTRY_DIGEST_HEX];
        registry_digest_hex(&f->digest, hex);
        sqlite3_stmt *st;
        int rc = store_prepare(s, ST_ARTIFACT_ADD, &st, e);
        if (rc)
            return rc;
        sqlite3_bind_int64(st, 1, id);
        store_bind_str(st, 2, f->name);
        store_bind_str(st, 3, str_of(hex));
        sqlite3_bind_int64(st, 4, (int64_t)f->size_bytes);
        rc = store_run(s, st, e);
        if (rc)
            return rc;
    }
    return 0;
}

static int version_next(struct registry *r, struct str model, uint64_t *ret_id, uint32_t *ret_number,
                        struct err *e)
{
    struct store *s = (struct store *)r;
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_VERSION_NEXT, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, model);
    rc = store_step(s, st, e);
    if (rc != 1)
        return rc ? rc : err_set(e, ERR_INTERNAL, "a statement without an answer");
    *ret_id = (uint64_t)sqlite3_column_int64(st, 0);
    *ret_number = (uint32_t)sqlite3_column_int64(st, 1);
    sqlite3_reset(st);
    return 0;
}

// Takes the model's next number, or `wanted` unless that is 0, making the model when it is new.
static int next_number(struct store *s, const struct registry_cause *cause, struct str model, uint32_t wanted,
                       int64_t *ret_model, uint32_t *ret_number, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_MODEL_ADD, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, model);
    sqlite3_bind_int64(st, 2, (int64_t)cause->wall_ns);
    rc = store_run(s, st, e);
    if (!rc)
        rc = store_prepare(s, ST_MODEL_NEXT, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, model);
    sqlite3_bind_int64(st, 2, wanted);
    rc = store_step(s, st, e);
    if (rc < 0)
        return rc;
    *ret_model = sqlite3_column_int64(st, 0);
    *ret_number = wanted ? wanted : (uint32_t)sqlite3_column_int64(st, 1);
    sqlite3_reset(st);
    return 0;
}

static int version_row_add(struct store *s, const struct registry_version *v, int64_t in_model,
                           uint32_t number, int64_t *ret_id, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_VERSION_ADD, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, in_model);
    sqlite3_bind_int64(st, 2, number);
    sqlite3_bind_int64(st, 3, v->slot);
    store_bind_str(st, 4, v->engine);
    store_bind_str(st, 5, v->format);
    store_bind_str(st, 6, v->signature_json);
    store_bind_str(st, 7, v->description);
    store_bind_str(st, 8, v->tags_json);
    store_bind_str(st, 9, v->created_by);
    sqlite3_bind_int64(st, 10, (int64_t)v->created_wall_ns);
    store_bind_str(st, 11, v->settings_json.n ? v->settings_json : STR("{}"));
    if (v->id)
        sqlite3_bind_int64(st, 12, (int64_t)v->id); // else NULL: the next
    rc = store_step(s, st, e);
    if (rc < 0)
        return rc;
    *ret_id = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return 0;
}

static int alias_row_set(struct store *s, int64_t in_model, struct str alias, int64_t id, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ALIAS_SET, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, in_model);
    store_bind_str(st, 2, alias);
    sqlite3_bind_int64(st, 3, id);
    return store_run(s, st, e);
}

// "champion=3", or "" for no version: before and after in the audit.
static struct str alias_note(char note[LIMIT_ALIAS_BYTES + 16], struct str alias, uint32_t number)
{
    int n = number ? snprintf(note, LIMIT_ALIAS_BYTES + 16, STR_FMT "=%u", STR_ARG(alias), number) : 0;
    return (struct str){note, (size_t)n};
}

static int version_add(struct registry *r, const struct registry_cause *cause,
                       const struct registry_version *v, struct str alias, uint64_t *ret_id,
                       uint32_t *ret_number, struct err *e)
{
    struct store *s = (struct store *)r;
    char was[LIMIT_ALIAS_BYTES + 16], is[LIMIT_ALIAS_BYTES + 16];
    int64_t in_model = 0, id = 0, old_id;
    uint32_t number = 0, old_number = 0;
    int rc = store_begin(s, e);
    if (!rc)
        rc = next_number(s, cause, v->model, v->number, &in_model, &number, e);
    if (!rc)
        rc = version_row_add(s, v, in_model, number, &id, e);
    if (!rc)
        rc = artifacts_add(s, id, v, e);
    if (!rc && alias.n)
        rc = alias_target(s, in_model, alias, &old_id, &old_number, e);
    if (!rc && alias.n)
        rc = alias_row_set(s, in_model, alias, id, e);
    if (!rc)
        rc = store_audit(s, cause, "version_add", v->model, number, alias_note(was, alias, old_number),
                         alias_note(is, alias, alias.n ? number : 0), e);
    *ret_id = (uint64_t)id;
    *ret_number = number;
    return store_end(s, rc, e);
}

static int run_by_id(struct store *s, enum store_statement which, int64_t id, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, which, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, id);
    return store_run(s, st, e);
}

// ERR_CONFLICT when an alias names the version.
static int check_not_named(struct store *s, struct str model, int64_t id, uint32_t number, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ALIAS_OF, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, id);
    rc = store_step(s, st, e);
    if (rc != 1)
        return rc;
    const char *alias = (const char *)sqlite3_column_text(st, 0);
    rc = err_set(e, ERR_CONFLICT, "version %u of '" STR_FMT "' is its %s", number, STR_ARG(model),
                 alias ? alias : "alias");
    err_hint(e, "Move the alias to another version first, or delete with force=true, which drops the alias.");
    sqlite3_reset(st);
    return rc;
}

static int version_remove(struct registry *r, const struct registry_cause *cause, struct str model,
                          uint32_t number, bool force, struct err *e)
{
    struct store *s = (struct store *)r;
    int64_t in_model = 0, id = 0;
    int rc = store_begin(s, e);
    if (!rc)
        rc = model_id(s, model, &in_model, e);
    if (!rc)
        rc = version_id(s, model, in_model, number, &id, e);
    if (!rc && !force)
        rc = check_not_named(s, model, id, number, e);
    if (!rc)
        rc = run_by_id(s, ST_ALIASES_OF_VERSION_REMOVE, id, e);
    if (!rc)
        rc = run_by_id(s, ST_VERSION_REMOVE, id, e);
    if (!rc)
        rc = store_audit(s, cause, "version_remove", model, number, STR("ready"), STR(""), e);
    return store_end(s, rc, e);
}

static int model_remove(struct registry *r, const struct registry_cause *cause, struct str model,
                        struct err *e)
{
    struct store *s = (struct store *)r;
    int64_t in_model = 0;
    int rc = store_begin(s, e);
    if (!rc)
        rc = model_id(s, model, &in_model, e);
    if (!rc)
        rc = run_by_id(s, ST_ALIASES_REMOVE, in_model, e);
    if (!rc)
        rc = run_by_id(s, ST_VERSIONS_REMOVE, in_model, e);
    if (!rc)
        rc = store_audit(s, cause, "model_remove", model, 0, STR("ready"), STR(""), e);
    return store_end(s, rc, e);
}

static int alias_set(struct registry *r, const struct registry_cause *cause, struct str model,
                     struct str alias, uint32_t number, struct err *e)
{
    struct store *s = (struct store *)r;
    char was[LIMIT_ALIAS_BYTES + 16], is[LIMIT_ALIAS_BYTES + 16];
    int64_t in_model = 0, id = 0, old_id;
    uint32_t old_number = 0;
    int rc = store_begin(s, e);
    if (!rc)
        rc = model_id(s, model, &in_model, e);
    if (!rc)
        rc = version_id(s, model, in_model, number, &id, e);
    if (!rc)
        rc = alias_target(s, in_model, alias, &old_id, &old_number, e);
    if (!rc)
        rc = alias_row_set(s, in_model, alias, id, e);
    if (!rc)
        rc = store_audit(s, cause, "alias_set", model, number, alias_note(was, alias, old_number),
                         alias_note(is, alias, number), e);
    return store_end(s, rc, e);
}

const struct registry_ops STORE_SQLITE_OPS = {
    .close = store_close,
    .version_next = version_next,
    .version_add = version_add,
    .version_remove = version_remove,
    .model_remove = model_remove,
    .alias_set = alias_set,
    .models = models,
    .versions = versions,
    .aliases = aliases,
    .version_find = version_find,
};
