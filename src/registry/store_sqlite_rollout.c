// SPDX-License-Identifier: Apache-2.0
// Rollouts on SQLite: each move is one transaction of its record, what the rollout is after it, and an audit
// row. What was counted between two moves is kept without an audit row: it is no change that anybody made.
#include "registry/store_sqlite.h"

#include <stdio.h>
#include <unistd.h>

enum { MOVE_NOTE_SIZE = 160 };

// What the audit says of a move: "rollout 12 running".
static struct str move_note(char note[MOVE_NOTE_SIZE], uint64_t id, struct str state)
{
    int n = snprintf(note, MOVE_NOTE_SIZE, "rollout %llu %.*s", (unsigned long long)id,
                     state.n < 64 ? (int)state.n : 64, state.p);
    return (struct str){note, (size_t)n};
}

int store_rollout_next(struct registry *r, struct str model, struct str candidates, uint64_t *ret_id,
                       uint32_t *ret_attempt, struct err *e)
{
    struct store *s = (struct store *)r;
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ROLLOUT_NEXT, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, model);
    store_bind_str(st, 2, candidates);
    rc = store_step(s, st, e);
    if (rc != 1)
        return rc ? rc : err_set(e, ERR_INTERNAL, "a statement without an answer");
    *ret_id = (uint64_t)sqlite3_column_int64(st, 0);
    *ret_attempt = (uint32_t)sqlite3_column_int64(st, 1);
    sqlite3_reset(st);
    return 0;
}

static int row_add(struct store *s, const struct registry_cause *cause, const struct registry_rollout *v,
                   struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ROLLOUT_ADD, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, (int64_t)v->id);
    store_bind_str(st, 2, v->model);
    store_bind_str(st, 3, v->alias);
    sqlite3_bind_int64(st, 4, v->baseline);
    store_bind_str(st, 5, v->candidates);
    sqlite3_bind_int64(st, 6, v->attempt);
    store_bind_str(st, 7, v->request_json);
    store_bind_str(st, 8, v->salt);
    sqlite3_bind_int64(st, 9, (int64_t)cause->wall_ns);
    rc = store_run(s, st, e);
    if (rc == ERR_CONFLICT)
        err_set(e, rc, "another rollout of model '" STR_FMT "' is not over", STR_ARG(v->model));
    return rc;
}

static int record_add(struct store *s, uint64_t id, uint64_t wall_ns, const struct registry_rollout_move *m,
                      struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ROLLOUT_RECORD_ADD, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, (int64_t)id);
    sqlite3_bind_int64(st, 2, (int64_t)m->number);
    sqlite3_bind_int64(st, 3, (int64_t)wall_ns);
    store_bind_str(st, 4, m->event);
    store_bind_str(st, 5, m->state);
    store_bind_str(st, 6, m->record_json);
    return store_run(s, st, e);
}

static int no_rollout(uint64_t id, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "there is no rollout %llu", (unsigned long long)id);
}

static int not_next(struct store *s, uint64_t id, uint64_t number, struct err *e)
{
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ROLLOUT_FIND, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, (int64_t)id);
    rc = store_step(s, st, e);
    if (rc <= 0)
        return rc ? rc : no_rollout(id, e);
    sqlite3_reset(st);
    return err_set(e, ERR_CONFLICT, "move %llu of rollout %llu is not its next one",
                   (unsigned long long)number, (unsigned long long)id);
}

// In a transaction: what the rollout is now, its record, the audit row.
static int move(struct store *s, const struct registry_cause *cause, uint64_t id,
                const struct registry_rollout_move *m, struct err *e)
{
    char note[MOVE_NOTE_SIZE], model[LIMIT_MODEL_NAME_BYTES + 1];
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ROLLOUT_MOVE, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, m->state);
    sqlite3_bind_int(st, 2, m->is_over);
    store_bind_str(st, 3, m->plan_json);
    store_bind_str(st, 4, m->counts_json);
    sqlite3_bind_int64(st, 5, (int64_t)cause->wall_ns);
    sqlite3_bind_int64(st, 6, (int64_t)id);
    sqlite3_bind_int64(st, 7, (int64_t)m->number - 1);
    rc = store_step(s, st, e);
    if (rc <= 0)
        return rc ? rc : not_next(s, id, m->number, e);
    snprintf(model, sizeof model, "%s", (const char *)sqlite3_column_text(st, 0));
    sqlite3_reset(st);
    rc = record_add(s, id, cause->wall_ns, m, e);
    return rc ? rc
              : store_audit(s, cause, "rollout", str_of(model), 0, m->event, move_note(note, id, m->state),
                            e);
}

int store_rollout_add(struct registry *r, const struct registry_cause *cause,
                      const struct registry_rollout *v, const struct registry_rollout_move *first,
                      struct err *e)
{
    struct store *s = (struct store *)r;
    int rc = store_begin(s, e);
    if (!rc)
        rc = row_add(s, cause, v, e);
    if (!rc)
        rc = move(s, cause, v->id, first, e);
    return store_end(s, rc, e);
}

int store_rollout_move(struct registry *r, const struct registry_cause *cause, uint64_t id,
                       const struct registry_rollout_move *m, struct err *e)
{
    struct store *s = (struct store *)r;
    int rc = store_begin(s, e);
    if (!rc)
        rc = move(s, cause, id, m, e);
    return store_end(s, rc, e);
}

int store_rollout_keep(struct registry *r, uint64_t id, struct str counts_json, struct err *e)
{
    struct store *s = (struct store *)r;
    sqlite3_stmt *st;
    if (s->is_suspect || !s->db) // to prove the storage is a change's business
        return err_set(e, ERR_READ_ONLY, "the registry's storage failed");
    int rc = store_prepare(s, ST_ROLLOUT_KEEP, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, counts_json);
    sqlite3_bind_int64(st, 2, (int64_t)id);
    return store_run(s, st, e);
}

static int rollout_read(sqlite3_stmt *st, struct arena *a, struct registry_rollout *ret, struct err *e)
{
    *ret = (struct registry_rollout){.id = (uint64_t)sqlite3_column_int64(st, 0),
                                     .model = store_column_str(st, 1, a),
                                     .alias = store_column_str(st, 2, a),
                                     .baseline = (uint32_t)sqlite3_column_int64(st, 3),
                                     .candidates = store_column_str(st, 4, a),
                                     .attempt = (uint32_t)sqlite3_column_int64(st, 5),
                                     .request_json = store_column_str(st, 6, a),
                                     .salt = store_column_str(st, 7, a),
                                     .state = store_column_str(st, 8, a),
                                     .is_over = sqlite3_column_int(st, 9) != 0,
                                     .n_moves = (uint64_t)sqlite3_column_int64(st, 10),
                                     .created_wall_ns = (uint64_t)sqlite3_column_int64(st, 11),
                                     .moved_wall_ns = (uint64_t)sqlite3_column_int64(st, 12),
                                     .plan_json = store_column_str(st, 13, a),
                                     .counts_json = store_column_str(st, 14, a)};
    bool whole = ret->model.p && ret->alias.p && ret->candidates.p && ret->request_json.p && ret->salt.p &&
                 ret->state.p && ret->plan_json.p && ret->counts_json.p;
    return whole ? 0 : store_no_memory(e);
}

int store_rollout_find(struct registry *r, uint64_t id, struct arena *a, struct registry_rollout *ret,
                       struct err *e)
{
    struct store *s = (struct store *)r;
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ROLLOUT_FIND, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, id > INT64_MAX ? 0 : (int64_t)id);
    rc = store_step(s, st, e);
    if (rc <= 0)
        return rc ? rc : no_rollout(id, e);
    rc = rollout_read(st, a, ret, e);
    sqlite3_reset(st);
    return rc;
}

int store_rollouts(struct registry *r, const struct registry_rollouts_query *which, struct arena *a,
                   struct registry_rollout **ret, size_t *ret_n, struct err *e)
{
    struct store *s = (struct store *)r;
    struct store_list l = {.item_bytes = sizeof **ret};
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ROLLOUTS, &st, e);
    if (rc)
        return rc;
    store_bind_str(st, 1, which->model);
    sqlite3_bind_int(st, 2, which->not_over);
    sqlite3_bind_int64(st, 3, (int64_t)which->before);
    sqlite3_bind_int64(st, 4, which->limit ? (int64_t)which->limit : -1);
    while ((rc = store_step(s, st, e)) == 1) {
        struct registry_rollout *v = store_list_add(&l, a);
        rc = v ? rollout_read(st, a, v, e) : store_no_memory(e);
        if (rc) {
            sqlite3_reset(st);
            return rc;
        }
    }
    *ret = l.items;
    *ret_n = l.n;
    return rc;
}

int store_rollout_records(struct registry *r, uint64_t id, uint64_t after, uint32_t limit, struct arena *a,
                          struct registry_rollout_record **ret, size_t *ret_n, struct err *e)
{
    struct store *s = (struct store *)r;
    struct store_list l = {.item_bytes = sizeof **ret};
    sqlite3_stmt *st;
    int rc = store_prepare(s, ST_ROLLOUT_RECORDS, &st, e);
    if (rc)
        return rc;
    sqlite3_bind_int64(st, 1, (int64_t)id);
    sqlite3_bind_int64(st, 2, (int64_t)after);
    sqlite3_bind_int64(st, 3, limit ? (int64_t)limit : -1);
    while ((rc = store_step(s, st, e)) == 1) {
        struct registry_rollout_record *v = store_list_add(&l, a);
        if (v)
            *v = (struct registry_rollout_record){.number = (uint64_t)sqlite3_column_int64(st, 0),
                                                  .wall_ns = (uint64_t)sqlite3_column_int64(st, 1),
                                                  .event = store_column_str(st, 2, a),
                                                  .state = store_column_str(st, 3, a),
                                                  .record_json = store_column_str(st, 4, a)};
        if (!v || !v->event.p || !v->state.p || !v->record_json.p) {
            sqlite3_reset(st);
            return store_no_memory(e);
        }
    }
    *ret = l.items;
    *ret_n = l.n;
    return rc;
}

int registry_sqlite_rollout_read(const char *data_dir, uint64_t id, struct arena *a,
                                 struct registry_rollout *ret, struct registry_rollout_record **ret_records,
                                 size_t *ret_n, struct err *e)
{
    struct store s = {.dir_fd = -1, .lock_fd = -1, .head_fd = -1};
    int rc = store_open_to_read(data_dir, &s.dir_fd, &s.db, e);
    if (!rc && sqlite3_exec(s.db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        rc = err_set(e, ERR_IO, "registry: %s", sqlite3_errmsg(s.db));
    if (!rc)
        rc = store_rollout_find(&s.base, id, a, ret, e);
    if (!rc)
        rc = store_rollout_records(&s.base, id, 0, 0, a, ret_records, ret_n, e);
    for (int i = 0; i < ST_LIMIT; i++)
        sqlite3_finalize(s.statements[i]);
    sqlite3_close(s.db);
    if (s.dir_fd >= 0)
        close(s.dir_fd);
    return rc;
}
