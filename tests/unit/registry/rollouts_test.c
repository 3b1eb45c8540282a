// SPDX-License-Identifier: Apache-2.0
// Rollouts in the store: one at a time of a model, moves in order and with their audit rows, records that
// nobody changes.
#include "registry/small_store.h"

#include <string.h>

static struct small_store st;

static struct registry_rollout_move move_of(uint64_t number, const char *state, bool is_over)
{
    static char record[32];
    snprintf(record, sizeof record, "{\"move\":%u}", (unsigned)number);
    return (struct registry_rollout_move){.number = number,
                                          .event = STR("resume"),
                                          .state = str_of(state),
                                          .is_over = is_over,
                                          .record_json = str_of(record),
                                          .plan_json = STR("{\"state\":1}"),
                                          .counts_json = STR("[]")};
}

static int add(const char *model, const char *candidates, uint64_t *ret_id)
{
    const struct registry_rollout_move first = move_of(1, "warming", false);
    struct registry_rollout v = {.model = str_of(model),
                                 .alias = STR("champion"),
                                 .baseline = 3,
                                 .candidates = str_of(candidates),
                                 .request_json = STR("{\"model\":\"churn\"}"),
                                 .salt = STR("00112233445566778899aabbccddeeff")};
    ck_assert_int_eq(st.reg->ops->rollout_next(st.reg, v.model, v.candidates, &v.id, &v.attempt, &st.e), 0);
    *ret_id = v.id;
    return st.reg->ops->rollout_add(st.reg, &SMALL_CAUSE, &v, &first, &st.e);
}

static int make(uint64_t id, uint64_t number, const char *state, bool is_over)
{
    const struct registry_rollout_move m = move_of(number, state, is_over);
    return st.reg->ops->rollout_move(st.reg, &SMALL_CAUSE, id, &m, &st.e);
}

static struct registry_rollout find(uint64_t id)
{
    struct registry_rollout v;
    int rc = st.reg->ops->rollout_find(st.reg, id, &st.arena, &v, &st.e);
    ck_assert_msg(rc == 0, "%s", st.e.msg);
    return v;
}

static size_t n_listed(const char *model, bool not_over, uint64_t before, uint32_t limit)
{
    struct registry_rollout *list;
    size_t n;
    const struct registry_rollouts_query which = {str_of(model), not_over, before, limit};
    ck_assert_int_eq(st.reg->ops->rollouts(st.reg, &which, &st.arena, &list, &n, &st.e), 0);
    for (size_t i = 1; i < n; i++)
        ck_assert_uint_gt(list[i - 1].id, list[i].id);
    return n;
}

START_TEST(a_rollout_is_found_again_as_it_was_left)
{
    uint64_t id;
    small_store_init(&st);
    ck_assert_int_eq(add("churn", "4", &id), 0);
    ck_assert_int_eq(make(id, 2, "running", false), 0);
    ck_assert_int_eq(st.reg->ops->rollout_keep(st.reg, id, STR("[[1,2,3]]"), &st.e), 0);
    st.reg->ops->close(st.reg);
    small_store_open(&st);
    struct registry_rollout v = find(id);
    ck_assert(str_eq(v.model, STR("churn")) && str_eq(v.alias, STR("champion")) && v.baseline == 3);
    ck_assert(str_eq(v.candidates, STR("4")) && v.attempt == 1 && !v.is_over && v.n_moves == 2);
    ck_assert(str_eq(v.request_json, STR("{\"model\":\"churn\"}")) && str_eq(v.state, STR("running")));
    ck_assert(str_eq(v.plan_json, STR("{\"state\":1}")) && str_eq(v.counts_json, STR("[[1,2,3]]")));
    ck_assert(str_eq(v.salt, STR("00112233445566778899aabbccddeeff")));
    ck_assert(v.created_wall_ns == SMALL_CAUSE.wall_ns && v.moved_wall_ns == SMALL_CAUSE.wall_ns);
    ck_assert_int_eq(st.reg->ops->rollout_find(st.reg, id + 1, &st.arena, &v, &st.e), ERR_NOT_FOUND);
    small_store_done(&st);
}
END_TEST

START_TEST(a_model_has_one_rollout_at_a_time)
{
    uint64_t id, other, again;
    small_store_init(&st);
    ck_assert_int_eq(add("churn", "4", &id), 0);
    ck_assert_int_eq(add("churn", "5", &other), ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(st.e.msg, "not over"));
    ck_assert_int_eq(add("price", "4", &other), 0);
    ck_assert_uint_eq(n_listed("churn", true, 0, 0), 1);
    ck_assert_int_eq(make(id, 2, "rolled_back", true), 0);
    ck_assert_uint_eq(n_listed("churn", true, 0, 0), 0);
    ck_assert_int_eq(add("churn", "4", &again), 0);
    ck_assert_uint_eq(find(again).attempt, 2);
    ck_assert_uint_eq(find(other).attempt, 1);
    ck_assert_uint_eq(n_listed("", false, 0, 0), 3);
    ck_assert_uint_eq(n_listed("churn", false, 0, 1), 1);
    ck_assert_uint_eq(n_listed("churn", false, again, 0), 1);
    small_store_done(&st);
}
END_TEST

START_TEST(moves_are_kept_in_order_and_each_is_audited)
{
    struct registry_rollout_record *records;
    struct registry_audit *rows;
    uint64_t id;
    size_t n;
    small_store_init(&st);
    ck_assert_int_eq(add("churn", "4", &id), 0);
    ck_assert_int_eq(make(id, 3, "running", false), ERR_CONFLICT);
    ck_assert_int_eq(make(id, 1, "running", false), ERR_CONFLICT);
    ck_assert_int_eq(make(id + 1, 1, "running", false), ERR_NOT_FOUND);
    ck_assert_int_eq(make(id, 2, "running", false), 0);
    ck_assert_int_eq(make(id, 3, "paused", false), 0);
    ck_assert_int_eq(st.reg->ops->rollout_records(st.reg, id, 0, 0, &st.arena, &records, &n, &st.e), 0);
    ck_assert_uint_eq(n, 3);
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(records[i].number, i + 1);
    ck_assert(str_eq(records[2].record_json, STR("{\"move\":3}")) &&
              str_eq(records[1].state, STR("running")));
    ck_assert_int_eq(st.reg->ops->rollout_records(st.reg, id, 1, 1, &st.arena, &records, &n, &st.e), 0);
    ck_assert(n == 1 && records[0].number == 2);
    const struct registry_history_query of = {.model = STR("churn")};
    ck_assert_int_eq(st.reg->ops->audit(st.reg, &of, &st.arena, &rows, &n, &st.e), 0);
    ck_assert_uint_eq(n, 3);
    ck_assert(str_eq(rows[0].action, STR("rollout")) && str_eq(rows[0].actor, STR("tester")));
    ck_assert(str_eq(rows[0].after, STR("rollout 1 paused")) && str_eq(rows[0].before, STR("resume")));
    small_store_done(&st);
}
END_TEST

START_TEST(records_cannot_be_changed_or_deleted)
{
    char path[TEMPDIR_SIZE + 32];
    sqlite3 *db;
    uint64_t id;
    small_store_init(&st);
    ck_assert_int_eq(add("churn", "4", &id), 0);
    snprintf(path, sizeof path, "%s/registry.db", st.dir);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "UPDATE rollout_events SET record = ''", NULL, NULL, NULL),
                     SQLITE_CONSTRAINT);
    ck_assert_int_eq(sqlite3_exec(db, "DELETE FROM rollout_events", NULL, NULL, NULL), SQLITE_CONSTRAINT);
    ck_assert_int_eq(sqlite3_exec(db, "DELETE FROM rollouts", NULL, NULL, NULL), SQLITE_OK); // no key here
    sqlite3_close(db);
    small_store_done(&st);
}
END_TEST

START_TEST(a_rollout_outlives_its_model)
{
    uint64_t id;
    small_store_init(&st);
    small_store_add(&st, "churn", "champion");
    ck_assert_int_eq(add("churn", "1", &id), 0);
    ck_assert_int_eq(make(id, 2, "superseded", true), 0);
    ck_assert_int_eq(st.reg->ops->model_remove(st.reg, &SMALL_CAUSE, STR("churn"), &st.e), 0);
    ck_assert(str_eq(find(id).state, STR("superseded")));
    small_store_done(&st);
}
END_TEST

UNIT_MAIN("registry/rollouts", a_rollout_is_found_again_as_it_was_left, a_model_has_one_rollout_at_a_time,
          moves_are_kept_in_order_and_each_is_audited, records_cannot_be_changed_or_deleted,
          a_rollout_outlives_its_model)
