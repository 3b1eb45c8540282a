// SPDX-License-Identifier: Apache-2.0
// Reading the registry on SQLite: lists and single rows, copied into the caller's arena.
#include "registry/store_sqlite.h"

#include "base/limits.h"
#include "base/near.h"

#include <stdio.h>
#include <string.h>

int store_no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "the answer of the registry does not fit into its memory");
}

struct str store_column_str(sqlite3_stmt *st, int at, struct arena *a)
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

void *store_list_add(struct store_list *l, struct arena *a)
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

int store_models(struct registry *r, struct arena *a, struct registry_model **ret, size_t *ret_n,
                 struct err *e)
{
    return store_models_page(r, STR(""), 0, a, ret, ret_n, e);
}

int store_models_page(struct registry *r, struct str after, uint32_t limit, struct arena *a,
                      struct registry_model **ret, size_t *ret_n, struct err *e)
{
    struct store *s = (struct store *)r;
    struct store_list l = {.item_bytes = sizeof **ret};
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_MODELS, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, after);
    sqlite3_bind_int64(st, 2, limit ? (int64_t)limit : -1);
    while ((rc = store_step(s, st, e)) == 1) {
        struct registry_model *m = store_list_add(&l, a);
        struct str name = store_column_str(st, 0, a);
        if (!m || !name.p) {
            sqlite3_reset(st);
            return store_no_memory(e);
        }
        *m = (struct registry_model){
            .name = name,
            .n_versions = (uint32_t)sqlite3_column_int64(st, 1),
            .latest = (uint32_t)sqlite3_column_int64(st, 2),
            .created_wall_ns = (uint64_t)sqlite3_column_int64(st, 3),
            .latest_ready = (uint32_t)sqlite3_column_int64(st, 4),
            .champion = (uint32_t)sqlite3_column_int64(st, 5),
        };
    }
    *ret = l.items;
    *ret_n = l.n;
    return rc;
}

static int load_artifacts(struct store *s, struct registry_version *v, struct arena *a, struct err *e)
{
    struct store_list l = {.item_bytes = sizeof *v->artifacts};
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ARTIFACTS, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, (int64_t)v->id);
    while ((rc = store_step(s, st, e)) == 1) {
        struct registry_artifact *f = store_list_add(&l, a);
        char text[REGISTRY_DIGEST_TEXT];
        snprintf(text, sizeof text, "sha256:%s", (const char *)sqlite3_column_text(st, 1));
        struct str name = store_column_str(st, 0, a);
        if (!f || !name.p)
            rc = store_no_memory(e);
        else if (!registry_digest_parse(str_of(text), &f->digest))
            rc = err_set(e, ERR_IO, "registry.db has a digest that is none");
        else if (!registry_role_parse(str_of((const char *)sqlite3_column_text(st, 3)), &f->role))
            rc = err_set(e, ERR_IO, "registry.db has an artifact of a role that is none");
        else if (sqlite3_column_int(st, 4))
            rc = store_row_damaged("a file of a version", e);
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
    bool is_full = sqlite3_column_count(st) > 16;
    *v = (struct registry_version){
        .id = (uint64_t)sqlite3_column_int64(st, 0),
        .model = store_column_str(st, 1, a),
        .number = (uint32_t)sqlite3_column_int64(st, 2),
        .state = store_column_str(st, 3, a),
        .engine = store_column_str(st, 4, a),
        .format = store_column_str(st, 5, a),
        .description = store_column_str(st, 6, a),
        .tags_json = store_column_str(st, 7, a),
        .created_by = store_column_str(st, 8, a),
        .created_wall_ns = (uint64_t)sqlite3_column_int64(st, 9),
        .settings_json = store_column_str(st, 10, a),
        .reasons_json = store_column_str(st, 11, a),
        .metrics_json = store_column_str(st, 12, a),
        .trained_from = store_column_str(st, 13, a),
        .replaces = (uint32_t)sqlite3_column_int64(st, 14),
        .is_newest = sqlite3_column_int(st, 15),
        .signature_json = is_full ? store_column_str(st, 16, a) : STR(""),
        .admission_json = is_full ? store_column_str(st, 17, a) : STR(""),
    };
    const struct str all[] = {v->model,         v->state,        v->engine,       v->format,
                              v->description,   v->tags_json,    v->created_by,   v->settings_json,
                              v->reasons_json,  v->metrics_json, v->trained_from, v->signature_json,
                              v->admission_json};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (!all[i].p)
            return store_no_memory(e);
    return 0;
}

// The versions that the statement, bound, gives.
static int take_versions(struct store *s, sqlite3_stmt *st, struct arena *a, struct registry_version **ret,
                         size_t *ret_n, struct err *e)
{
    struct store_list l = {.item_bytes = sizeof **ret};
    int rc;
    while ((rc = store_step(s, st, e)) == 1) {
        struct registry_version *v = store_list_add(&l, a);
        rc = v ? take_version(st, a, v, e) : store_no_memory(e);
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

int store_versions(struct registry *r, const struct registry_versions_query *which, struct arena *a,
                   struct registry_version **ret, size_t *ret_n, struct err *e)
{
    struct store *s = (struct store *)r;
    sqlite3_stmt *st;
    int rc = store_prepare(s, which->model.n ? ST_VERSIONS_OF : ST_VERSIONS, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, which->model);
    sqlite3_bind_int64(st, 2, which->model.n ? store_before(which->before) : (int64_t)which->after_id);
    sqlite3_bind_int64(st, 3, which->limit ? (int64_t)which->limit : -1);
    return take_versions(s, st, a, ret, ret_n, e);
}

int store_versions_first(struct registry *r, uint32_t limit, struct arena *a, struct registry_version **ret,
                         size_t *ret_n, bool *ret_all, struct err *e)
{
    struct store *s = (struct store *)r;
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_VERSIONS_FIRST, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, (int64_t)limit + 1);
    rc = take_versions(s, st, a, ret, ret_n, e);
    *ret_all = !rc && *ret_n <= limit;
    if (!rc && *ret_n > limit)
        *ret_n = limit;
    return rc;
}

int store_aliases(struct registry *r, struct str model, struct arena *a, struct registry_alias **ret,
                  size_t *ret_n, struct err *e)
{
    struct store *s = (struct store *)r;
    struct store_list l = {.item_bytes = sizeof **ret};
    sqlite3_stmt *st;
    int rc = store_prepare(s, model.n ? ST_ALIASES_OF : ST_ALIASES, &st, e);
    if (rc)
        return rc;
    if (model.n)
        store_bind_str(st, 1, model);
    while ((rc = store_step(s, st, e)) == 1) {
        struct registry_alias *alias = store_list_add(&l, a);
        struct str name = store_column_str(st, 0, a);
        struct str of = store_column_str(st, 2, a);
        if (!alias || !name.p || !of.p) {
            sqlite3_reset(st);
            return store_no_memory(e);
        }
        *alias = (struct registry_alias){of, name, (uint32_t)sqlite3_column_int64(st, 1)};
    }
    *ret = l.items;
    *ret_n = l.n;
    return rc;
}

// Names of models that stand near in order, and not all: a name that is asked for in vain costs no more with
// 10,000 models than with 500.
static int names_near(struct store *s, struct str model, struct arena *a, struct store_list *l, struct err *e)
{
    enum { EACH_WAY = LIMIT_NEAR_CANDIDATES / 2 };
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_MODEL_NAMES, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, model);
    sqlite3_bind_int64(st, 2, EACH_WAY);
    while ((rc = store_step(s, st, e)) == 1) {
        struct str *name = store_list_add(l, a);
        if (name)
            *name = store_column_str(st, 0, a);
        if (!name || !name->p) {
            sqlite3_reset(st);
            return store_no_memory(e);
        }
    }
    return rc;
}

// The hint names the model that was probably meant; without memory to look there is none.
static int unknown_model(struct store *s, struct str model, struct err *e)
{
    enum { NAMES_BYTES = 16 << 20 };
    err_set(e, ERR_UNKNOWN_MODEL, "there is no model '" STR_FMT "'", STR_ARG(model));
    struct arena a = {0};
    struct store_list l = {.item_bytes = sizeof(struct str)};
    struct err ignored;
    if (arena_init(&a, NAMES_BYTES, &ignored))
        return ERR_UNKNOWN_MODEL;
    bool is_read = names_near(s, model, &a, &l, &ignored) == 0;
    const struct str *names = l.items;
    int near = is_read && l.n ? near_find(model, names, l.n) : -1;
    if (near >= 0)
        err_hint(e, "Did you mean '" STR_FMT "'?", STR_ARG(names[near]));
    else if (is_read && l.n == 0)
        err_hint(e, "The registry has no models yet.");
    arena_done(&a);
    return ERR_UNKNOWN_MODEL;
}

enum { HINT_EACH_WAY = 3, HINT_VERSION_SIZE = 24, HINT_ALIASES = 32 };

// "4, 3 (rejected), 1": those next to the number. Empty when they cannot be read.
static void list_versions(struct store *s, int64_t in_model, uint32_t number, char *ret, size_t size)
{
    char texts[2 * HINT_EACH_WAY][HINT_VERSION_SIZE];
    struct str names[2 * HINT_EACH_WAY];
    sqlite3_stmt *st;
    struct err ignored;
    size_t n = 0;
    if (store_prepare(s, ST_VERSIONS_NEAR, &st, &ignored) == 0) {
        sqlite3_bind_int64(st, 1, in_model);
        sqlite3_bind_int64(st, 2, number);
        sqlite3_bind_int64(st, 3, HINT_EACH_WAY);
        for (; store_step(s, st, &ignored) == 1; n++) {
            bool is_rejected = str_eq(str_of((const char *)sqlite3_column_text(st, 1)), STR("rejected"));
            snprintf(texts[n], sizeof texts[n], "%u%s", (unsigned)sqlite3_column_int64(st, 0),
                     is_rejected ? " (rejected)" : "");
            names[n] = str_of(texts[n]);
        }
    }
    near_list(names, n, ret, size);
}

// The alias that was probably meant, or all. False when there is none, or none can be read.
static bool hint_aliases(struct store *s, int64_t in_model, struct str wanted, struct err *e)
{
    char texts[HINT_ALIASES][LIMIT_ALIAS_BYTES + 1], list[ERR_HINT_MAX / 2];
    struct str names[HINT_ALIASES];
    sqlite3_stmt *st;
    struct err ignored;
    size_t n = 0;
    if (store_prepare(s, ST_ALIAS_NAMES, &st, &ignored))
        return false;
    sqlite3_bind_int64(st, 1, in_model);
    sqlite3_bind_int64(st, 2, HINT_ALIASES);
    for (; store_step(s, st, &ignored) == 1; n++) {
        snprintf(texts[n], sizeof texts[n], "%s", (const char *)sqlite3_column_text(st, 0));
        names[n] = str_of(texts[n]);
    }
    int near = near_find(wanted, names, n);
    near_list(names, n, list, sizeof list);
    if (near >= 0)
        err_hint(e, "Did you mean '" STR_FMT "'?", STR_ARG(names[near]));
    else if (n)
        err_hint(e, "Its aliases: %s.", list);
    return n > 0;
}

// The hint says what there is instead.
static int unknown_version(struct store *s, int64_t in_model, struct str model, struct str selector,
                           struct err *e)
{
    uint64_t number;
    char list[ERR_HINT_MAX / 2];
    bool is_number = str_to_u64(selector, UINT32_MAX, &number);
    err_set(e, ERR_UNKNOWN_VERSION, "model '" STR_FMT "' has no version or alias '" STR_FMT "'",
            STR_ARG(model), STR_ARG(selector));
    if (!is_number && hint_aliases(s, in_model, selector, e))
        return ERR_UNKNOWN_VERSION;
    list_versions(s, in_model, is_number ? (uint32_t)number : UINT32_MAX, list, sizeof list);
    if (list[0])
        err_hint(e, "%s versions: %s.", is_number ? "The nearest" : "It has no aliases. The newest", list);
    return ERR_UNKNOWN_VERSION;
}

// The model's row, if it has versions.
int store_model_id(struct store *s, struct str model, int64_t *ret, struct err *e)
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

int store_version_id(struct store *s, struct str model, int64_t in_model, uint32_t number, int64_t *ret,
                     bool *ret_rejected, struct err *e)
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
        return unknown_version(s, in_model, model, str_of(text), e);
    }
    *ret = sqlite3_column_int64(st, 0);
    if (ret_rejected)
        *ret_rejected = str_eq(str_of((const char *)sqlite3_column_text(st, 1)), STR("rejected"));
    sqlite3_reset(st);
    return 0;
}

int store_alias_target(struct store *s, int64_t in_model, struct str alias, int64_t *ret_id,
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
    bool is_damaged = sqlite3_column_int(st, 2) != 0;
    sqlite3_reset(st);
    return is_damaged ? store_row_damaged("an alias", e) : 0;
}

// 0 where all were rejected.
static int default_version(struct store *s, int64_t in_model, int64_t *ret_id, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_VERSION_DEFAULT, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, in_model);
    rc = store_step(s, st, e);
    if (rc < 0)
        return rc;
    *ret_id = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return 0;
}

int store_version_find(struct registry *r, struct str model, struct str selector, struct arena *a,
                       struct registry_version *ret, struct err *e)
{
    struct store *s = (struct store *)r;
    int64_t in_model, id = 0;
    uint64_t number;
    uint32_t alias_number;
    int rc = store_model_id(s, model, &in_model, e);
    if (rc)
        return rc;
    if (selector.n == 0)
        rc = default_version(s, in_model, &id, e);
    else if (str_to_u64(selector, UINT32_MAX, &number))
        rc = store_version_id(s, model, in_model, (uint32_t)number, &id, NULL, e);
    else
        rc = store_alias_target(s, in_model, selector, &id, &alias_number, e);
    if (rc)
        return rc;
    if (!id && selector.n == 0)
        return err_set(e, ERR_UNKNOWN_VERSION, "all versions of model '" STR_FMT "' were rejected",
                       STR_ARG(model));
    if (!id)
        return unknown_version(s, in_model, model, selector, e);
    sqlite3_stmt *st;
    rc = store_prepare(s, ST_VERSION_FULL, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, id);
    rc = store_step(s, st, e);
    if (rc < 0)
        return rc;
    bool is_damaged = rc == 1 && sqlite3_column_int(st, 18) != 0;
    rc = rc == 1 ? take_version(st, a, ret, e) : err_set(e, ERR_INTERNAL, "a version has vanished");
    sqlite3_reset(st);
    if (!rc && is_damaged)
        rc = store_row_damaged("a version", e);
    return rc ? rc : load_artifacts(s, ret, a, e);
}
