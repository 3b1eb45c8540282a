// SPDX-License-Identifier: Apache-2.0
// Adding and removing models and versions on SQLite: each change is one transaction that ends with its audit
// row. Aliases are store_sqlite_alias.c, lists store_sqlite_read.c.
#include "registry/store_sqlite.h"

#include "base/limits.h"

#include <stdio.h>
#include <string.h>

enum { NOTE_MAX = 1 << 20 }; // bytes of what the audit says of before and after

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
        store_bind_str(st, 5, str_of(registry_role_name(f->role)));
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

static struct str or_else(struct str text, const char *otherwise)
{
    return text.n ? text : str_of(otherwise);
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
    store_bind_str(st, 3, v->engine);
    store_bind_str(st, 4, v->format);
    store_bind_str(st, 5, v->signature_json);
    store_bind_str(st, 6, v->description);
    store_bind_str(st, 7, or_else(v->tags_json, "{}"));
    store_bind_str(st, 8, v->created_by);
    sqlite3_bind_int64(st, 9, (int64_t)v->created_wall_ns);
    store_bind_str(st, 10, or_else(v->settings_json, "{}"));
    if (v->id)
        sqlite3_bind_int64(st, 11, (int64_t)v->id); // else NULL: the next
    store_bind_str(st, 12, or_else(v->state, "ready"));
    store_bind_str(st, 13, or_else(v->reasons_json, "[]"));
    store_bind_str(st, 14, v->admission_json);
    store_bind_str(st, 15, or_else(v->metrics_json, "{}"));
    store_bind_str(st, 16, v->trained_from);
    sqlite3_bind_int64(st, 17, v->replaces);
    rc = store_step(s, st, e);
    if (rc < 0)
        return rc;
    *ret_id = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    rc = store_prepare(s, ST_VERSION_SUM, &st, e); // now that its id is known
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, *ret_id);
    return store_run(s, st, e);
}

static int add_check(const struct registry_version *v, struct str alias, struct err *e)
{
    if (!registry_version_is_rejected(v))
        return 0;
    if (alias.n)
        return err_set(e, ERR_CONFLICT, "a version that was rejected cannot get an alias");
    return 0;
}

static int version_add(struct registry *r, const struct registry_cause *cause,
                       const struct registry_version *v, struct str alias, uint64_t *ret_id,
                       uint32_t *ret_number, struct err *e)
{
    struct store *s = (struct store *)r;
    char was[STORE_NOTE_SIZE], is[STORE_NOTE_SIZE];
    int64_t in_model = 0, id = 0, old_id;
    uint32_t number = 0, old_number = 0;
    int rc = add_check(v, alias, e);
    if (rc)
        return rc;
    rc = store_begin(s, e);
    if (!rc)
        rc = next_number(s, cause, v->model, v->number, &in_model, &number, e);
    if (!rc)
        rc = version_row_add(s, v, in_model, number, &id, e);
    if (!rc)
        rc = artifacts_add(s, id, v, e);
    if (!rc && alias.n)
        rc = store_alias_target(s, in_model, alias, &old_id, &old_number, e);
    struct store_alias_move move = {v->model, alias, in_model, id, old_number, number, .kind = "promote"};
    if (!rc && alias.n)
        rc = store_alias_move(s, cause, &move, e);
    if (!rc)
        rc = store_audit(s, cause, registry_version_is_rejected(v) ? "version_reject" : "version_add",
                         v->model, number, store_alias_note(was, alias, old_number),
                         store_alias_note(is, alias, alias.n ? number : 0), e);
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
    bool was_rejected = false;
    struct buf before;
    buf_init(&before, NOTE_MAX);
    int rc = store_begin(s, e);
    if (!rc)
        rc = store_model_id(s, model, &in_model, e);
    if (!rc)
        rc = store_version_id(s, model, in_model, number, &id, &was_rejected, e);
    if (!rc && !force)
        rc = check_not_named(s, model, id, number, e);
    buf_puts(&before, was_rejected ? "rejected" : "ready");
    if (!rc)
        rc = store_aliases_note(s, id, 0, &before, e);
    if (!rc)
        rc = store_history_removed(s, cause, id, 0, STR(""), e);
    if (!rc)
        rc = run_by_id(s, ST_ALIASES_OF_VERSION_REMOVE, id, e);
    if (!rc)
        rc = run_by_id(s, ST_VERSION_REMOVE, id, e);
    if (!rc)
        rc = store_audit(s, cause, "version_remove", model, number, buf_str(&before), STR(""), e);
    buf_done(&before);
    return store_end(s, rc, e);
}

static int model_remove(struct registry *r, const struct registry_cause *cause, struct str model,
                        struct err *e)
{
    struct store *s = (struct store *)r;
    int64_t in_model = 0;
    struct buf before;
    buf_init(&before, NOTE_MAX);
    buf_puts(&before, "ready");
    int rc = store_begin(s, e);
    if (!rc)
        rc = store_model_id(s, model, &in_model, e);
    if (!rc)
        rc = store_aliases_note(s, 0, in_model, &before, e);
    if (!rc)
        rc = store_history_removed(s, cause, 0, in_model, STR(""), e);
    if (!rc)
        rc = run_by_id(s, ST_ALIASES_REMOVE, in_model, e);
    if (!rc)
        rc = run_by_id(s, ST_VERSIONS_REMOVE, in_model, e);
    if (!rc)
        rc = store_audit(s, cause, "model_remove", model, 0, buf_str(&before), STR(""), e);
    buf_done(&before);
    return store_end(s, rc, e);
}

// When the disk is full the reserve is given up for these, once: they make things better or put them right.
static int alias_set(struct registry *r, const struct registry_cause *cause, struct str model,
                     struct str alias, uint32_t number, struct err *e)
{
    int rc = store_alias_set(r, cause, model, alias, number, e);
    if (rc == ERR_NO_SPACE && store_reserve_release((struct store *)r))
        rc = store_alias_set(r, cause, model, alias, number, e);
    return rc;
}

static int alias_remove(struct registry *r, const struct registry_cause *cause, struct str model,
                        struct str alias, uint32_t *ret_was, struct err *e)
{
    int rc = store_alias_remove(r, cause, model, alias, ret_was, e);
    if (rc == ERR_NO_SPACE && store_reserve_release((struct store *)r))
        rc = store_alias_remove(r, cause, model, alias, ret_was, e);
    return rc;
}

static int rollback(struct registry *r, const struct registry_cause *cause, struct str model,
                    struct str alias, uint32_t to, uint32_t expected, struct err *e)
{
    int rc = store_rollback(r, cause, model, alias, to, expected, e);
    if (rc == ERR_NO_SPACE && store_reserve_release((struct store *)r))
        rc = store_rollback(r, cause, model, alias, to, expected, e);
    return rc;
}

static int version_remove_anyway(struct registry *r, const struct registry_cause *cause, struct str model,
                                 uint32_t number, bool force, struct err *e)
{
    int rc = version_remove(r, cause, model, number, force, e);
    if (rc == ERR_NO_SPACE && store_reserve_release((struct store *)r))
        rc = version_remove(r, cause, model, number, force, e);
    return rc;
}

static int model_remove_anyway(struct registry *r, const struct registry_cause *cause, struct str model,
                               struct err *e)
{
    int rc = model_remove(r, cause, model, e);
    if (rc == ERR_NO_SPACE && store_reserve_release((struct store *)r))
        rc = model_remove(r, cause, model, e);
    return rc;
}

static int rollout_move(struct registry *r, const struct registry_cause *cause, uint64_t id,
                        const struct registry_rollout_move *move, struct err *e)
{
    int rc = store_rollout_move(r, cause, id, move, e);
    if (rc == ERR_NO_SPACE && store_reserve_release((struct store *)r))
        rc = store_rollout_move(r, cause, id, move, e);
    return rc;
}

static int collected(struct registry *r, const struct registry_cause *cause, struct str what, struct err *e)
{
    int rc = store_collected(r, cause, what, e);
    if (rc == ERR_NO_SPACE && store_reserve_release((struct store *)r))
        rc = store_collected(r, cause, what, e);
    return rc;
}

const struct registry_ops STORE_SQLITE_OPS = {
    .close = store_close,
    .version_next = version_next,
    .version_add = version_add,
    .version_remove = version_remove_anyway,
    .model_remove = model_remove_anyway,
    .alias_set = alias_set,
    .alias_remove = alias_remove,
    .rollback_find = store_rollback_find,
    .rollback = rollback,
    .room = store_room,
    .models = store_models,
    .models_page = store_models_page,
    .versions = store_versions,
    .versions_first = store_versions_first,
    .aliases = store_aliases,
    .alias_history = store_alias_history,
    .audit = store_audit_list,
    .audit_head = store_audit_head,
    .audit_verify = store_audit_verify,
    .once_find = store_once_find,
    .expired = store_expired,
    .collected = collected,
    .blob_users = store_blob_users,
    .version_find = store_version_find,
    .rollout_next = store_rollout_next,
    .rollout_add = store_rollout_add,
    .rollout_move = rollout_move,
    .rollout_keep = store_rollout_keep,
    .rollout_find = store_rollout_find,
    .rollouts = store_rollouts,
    .rollout_records = store_rollout_records,
};
