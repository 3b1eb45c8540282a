// SPDX-License-Identifier: Apache-2.0
// Aliases on SQLite: where they point, and the history from which a rollback finds its way.
#include "registry/store_sqlite.h"

#include "base/limits.h"

#include <stdio.h>

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

static int history_last(struct store *s, struct str model, struct str alias, int64_t *ret, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_HISTORY_LAST, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, model);
    store_bind_str(st, 2, alias);
    rc = store_step(s, st, e);
    if (rc != 1)
        return rc ? rc : err_set(e, ERR_INTERNAL, "a statement without an answer");
    *ret = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return 0;
}

struct str store_alias_note(char note[STORE_NOTE_SIZE], struct str alias, uint32_t number)
{
    int n = number ? snprintf(note, STORE_NOTE_SIZE, STR_FMT "=%u", STR_ARG(alias), number) : 0;
    return (struct str){note, (size_t)n};
}

int store_alias_move(struct store *s, const struct registry_cause *cause, struct store_alias_move *m,
                     struct err *e)
{
    sqlite3_stmt *st;
    int rc = alias_row_set(s, m->in_model, m->alias, m->to_id, e);
    if (rc || m->from == m->to)
        return rc;
    if (!m->keeps_back_id)
        rc = history_last(s, m->model, m->alias, &m->back_id, e);
    if (!rc)
        rc = store_prepare(s, ST_HISTORY_ADD, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, m->model);
    store_bind_str(st, 2, m->alias);
    sqlite3_bind_int64(st, 3, m->to);
    sqlite3_bind_int64(st, 4, m->from);
    sqlite3_bind_int64(st, 5, m->back_id);
    store_bind_str(st, 6, str_of(m->kind));
    sqlite3_bind_int64(st, 7, (int64_t)cause->wall_ns);
    store_bind_str(st, 8, cause->actor);
    store_bind_str(st, 9, cause->request_id);
    store_bind_str(st, 10, cause->reason);
    return store_run(s, st, e);
}

// Before the aliases of a version (id), of a model, or one of its aliases are removed: 0 and "" stand for
// any.
int store_history_removed(struct store *s, const struct registry_cause *cause, int64_t id, int64_t in_model,
                          struct str alias, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_HISTORY_REMOVED, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, id);
    sqlite3_bind_int64(st, 2, in_model);
    store_bind_str(st, 3, alias);
    sqlite3_bind_int64(st, 4, (int64_t)cause->wall_ns);
    store_bind_str(st, 5, cause->actor);
    store_bind_str(st, 6, cause->request_id);
    store_bind_str(st, 7, cause->reason);
    return store_run(s, st, e);
}

int store_aliases_note(struct store *s, int64_t id, int64_t in_model, struct buf *out, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ALIASES_NOTE, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, id);
    sqlite3_bind_int64(st, 2, in_model);
    rc = store_step(s, st, e);
    if (rc != 1)
        return rc;
    const char *text = (const char *)sqlite3_column_text(st, 0);
    if (text) {
        buf_putc(out, ' ');
        buf_puts(out, text);
    }
    sqlite3_reset(st);
    return out->failed ? store_no_memory(e) : 0;
}

// Only what may serve gets a name.
static int check_ready(struct str model, uint32_t number, bool is_rejected, struct err *e)
{
    if (!is_rejected)
        return 0;
    err_set(e, ERR_CONFLICT, "version %u of '" STR_FMT "' was rejected and cannot get an alias", number,
            STR_ARG(model));
    err_hint(e, "slipway show " STR_FMT "/%u says why.", STR_ARG(model), number);
    return ERR_CONFLICT;
}

int store_alias_set(struct registry *r, const struct registry_cause *cause, struct str model,
                    struct str alias, uint32_t number, struct err *e)
{
    struct store *s = (struct store *)r;
    char was[STORE_NOTE_SIZE], is[STORE_NOTE_SIZE];
    struct store_alias_move m = {.model = model, .alias = alias, .to = number, .kind = "promote"};
    bool is_rejected = false;
    int64_t old_id;
    int rc = store_begin(s, e);
    if (!rc)
        rc = store_model_id(s, model, &m.in_model, e);
    if (!rc)
        rc = store_version_id(s, model, m.in_model, number, &m.to_id, &is_rejected, e);
    if (!rc)
        rc = check_ready(model, number, is_rejected, e);
    if (!rc)
        rc = store_alias_target(s, m.in_model, alias, &old_id, &m.from, e);
    if (!rc)
        rc = store_alias_move(s, cause, &m, e);
    if (!rc)
        rc = store_audit(s, cause, "alias_set", model, number, store_alias_note(was, alias, m.from),
                         store_alias_note(is, alias, number), e);
    return store_end(s, rc, e);
}

static int no_alias(struct str model, struct str alias, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "model '" STR_FMT "' has no alias '" STR_FMT "'", STR_ARG(model),
                   STR_ARG(alias));
}

int store_alias_remove(struct registry *r, const struct registry_cause *cause, struct str model,
                       struct str alias, uint32_t *ret_was, struct err *e)
{
    struct store *s = (struct store *)r;
    char was[STORE_NOTE_SIZE];
    int64_t in_model = 0, id = 0;
    sqlite3_stmt *st;
    int rc = store_begin(s, e);
    if (!rc)
        rc = store_model_id(s, model, &in_model, e);
    if (!rc)
        rc = store_alias_target(s, in_model, alias, &id, ret_was, e);
    if (!rc && !id)
        rc = no_alias(model, alias, e);
    if (!rc)
        rc = store_history_removed(s, cause, 0, in_model, alias, e);
    if (!rc)
        rc = store_prepare(s, ST_ALIAS_REMOVE, &st, e);
    if (!rc) {
        sqlite3_bind_int64(st, 1, in_model);
        store_bind_str(st, 2, alias);
        rc = store_run(s, st, e);
    }
    if (!rc)
        rc = store_audit(s, cause, "alias_remove", model, *ret_was, store_alias_note(was, alias, *ret_was),
                         STR(""), e);
    return store_end(s, rc, e);
}

// One row of the history of an alias.
struct step {
    int64_t row, back; // back: the row of the step before; 0: none
    uint32_t version;
    int64_t version_id; // 0: it can not be gone back to
};

static int step_read(struct store *s, int64_t row, struct step *ret, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_HISTORY_BACK, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, row);
    rc = store_step(s, st, e);
    if (rc != 1)
        return rc ? rc : err_set(e, ERR_IO, "registry.db has lost a row of the history of an alias");
    *ret = (struct step){.row = row,
                         .version = (uint32_t)sqlite3_column_int64(st, 0),
                         .version_id = sqlite3_column_int64(st, 1),
                         .back = sqlite3_column_int64(st, 2)};
    sqlite3_reset(st);
    if (ret->back >= row)
        return err_set(e, ERR_IO, "registry.db has a history of an alias that goes in circles");
    return 0;
}

static int no_way_back(struct str model, struct str alias, uint32_t now, uint32_t to, struct err *e)
{
    if (to == now)
        err_set(e, ERR_CONFLICT, "the alias '" STR_FMT "' of '" STR_FMT "' names version %u already",
                STR_ARG(alias), STR_ARG(model), now);
    else if (to)
        err_set(e, ERR_CONFLICT,
                "the alias '" STR_FMT "' of '" STR_FMT "' cannot go back to version %u, which it never "
                "named before, or which exists no more",
                STR_ARG(alias), STR_ARG(model), to);
    else
        err_set(e, ERR_CONFLICT,
                "the alias '" STR_FMT "' of '" STR_FMT "' named no other version before that still exists",
                STR_ARG(alias), STR_ARG(model));
    err_hint(e, "Its history: slipway history " STR_FMT ". Any version: slipway alias.", STR_ARG(model));
    return ERR_CONFLICT;
}

// Walks back from the last row: what was undone is passed by, because a rollback's row points to where its
// target had come from.
static int find_back(struct store *s, struct store_alias_move *m, uint32_t to, struct err *e)
{
    struct step at = {0};
    int64_t present_id, row = 0;
    int rc = store_model_id(s, m->model, &m->in_model, e);
    if (!rc)
        rc = store_alias_target(s, m->in_model, m->alias, &present_id, &m->from, e);
    if (!rc)
        rc = history_last(s, m->model, m->alias, &row, e);
    if (rc)
        return rc;
    if (!row)
        return no_alias(m->model, m->alias, e);
    for (; !rc && row; row = at.back) {
        rc = step_read(s, row, &at, e);
        if (rc || !at.version_id || at.version == m->from || (to && at.version != to))
            continue;
        m->to = at.version;
        m->to_id = at.version_id;
        m->back_id = at.back;
        return 0;
    }
    return rc ? rc : no_way_back(m->model, m->alias, m->from, to, e);
}

int store_rollback_find(struct registry *r, struct str model, struct str alias, uint32_t to,
                        uint32_t *ret_number, struct err *e)
{
    struct store_alias_move m = {.model = model, .alias = alias};
    int rc = find_back((struct store *)r, &m, to, e);
    *ret_number = m.to;
    return rc;
}

int store_rollback(struct registry *r, const struct registry_cause *cause, struct str model, struct str alias,
                   uint32_t to, uint32_t expected, struct err *e)
{
    struct store *s = (struct store *)r;
    char was[STORE_NOTE_SIZE], is[STORE_NOTE_SIZE];
    struct store_alias_move m = {.model = model, .alias = alias, .kind = "rollback", .keeps_back_id = true};
    int rc = store_begin(s, e);
    if (!rc)
        rc = find_back(s, &m, to, e);
    if (!rc && m.to != expected)
        rc = err_set(e, ERR_CONFLICT, "the alias was moved by somebody else meanwhile");
    if (!rc)
        rc = store_alias_move(s, cause, &m, e);
    if (!rc)
        rc = store_audit(s, cause, "rollback", model, m.to, store_alias_note(was, alias, m.from),
                         store_alias_note(is, alias, m.to), e);
    return store_end(s, rc, e);
}

static int change_read(sqlite3_stmt *st, struct arena *a, struct registry_alias_change *ret, struct err *e)
{
    *ret = (struct registry_alias_change){.id = (uint64_t)sqlite3_column_int64(st, 0),
                                          .model = store_column_str(st, 1, a),
                                          .alias = store_column_str(st, 2, a),
                                          .version = (uint32_t)sqlite3_column_int64(st, 3),
                                          .previous = (uint32_t)sqlite3_column_int64(st, 4),
                                          .kind = store_column_str(st, 5, a),
                                          .wall_ns = (uint64_t)sqlite3_column_int64(st, 6),
                                          .actor = store_column_str(st, 7, a),
                                          .request_id = store_column_str(st, 8, a),
                                          .reason = store_column_str(st, 9, a)};
    bool whole =
        ret->model.p && ret->alias.p && ret->kind.p && ret->actor.p && ret->request_id.p && ret->reason.p;
    return whole ? 0 : store_no_memory(e);
}

int store_alias_history(struct registry *r, const struct registry_history_query *which, struct arena *a,
                        struct registry_alias_change **ret, size_t *ret_n, struct err *e)
{
    struct store *s = (struct store *)r;
    struct store_list l = {.item_bytes = sizeof **ret};
    sqlite3_stmt *st;
    enum store_statement pages = !which->model.n  ? ST_HISTORY
                                 : which->alias.n ? ST_HISTORY_OF_ALIAS
                                                  : ST_HISTORY_OF;
    int rc = store_prepare(s, pages, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, which->model);
    store_bind_str(st, 2, which->alias);
    sqlite3_bind_int64(st, 3, store_before(which->before));
    sqlite3_bind_int64(st, 4, which->limit ? (int64_t)which->limit : -1);
    while ((rc = store_step(s, st, e)) == 1) {
        struct registry_alias_change *change = store_list_add(&l, a);
        rc = change ? change_read(st, a, change, e) : store_no_memory(e);
        if (rc) {
            sqlite3_reset(st);
            return rc;
        }
    }
    *ret = l.items;
    *ret_n = l.n;
    return rc;
}
