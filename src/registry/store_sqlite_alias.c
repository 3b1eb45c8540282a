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
