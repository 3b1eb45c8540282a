// SPDX-License-Identifier: Apache-2.0
// Aliases: every move is remembered, a rollback goes further back each time and never to and fro.
#include "registry/small_store.h"

#include <string.h>

static struct small_store st;

static uint32_t champion(void)
{
    struct registry_version v;
    int rc = st.reg->ops->version_find(st.reg, STR("churn"), STR("champion"), &st.arena, &v, &st.e);
    ck_assert(rc == 0 || rc == ERR_UNKNOWN_VERSION);
    return rc ? 0 : v.number;
}

static void promote(uint32_t version)
{
    int rc = st.reg->ops->alias_set(st.reg, &SMALL_CAUSE, STR("churn"), STR("champion"), version, &st.e);
    ck_assert_msg(rc == 0, "%s", st.e.msg);
    ck_assert_uint_eq(champion(), version);
}

static int roll_back(uint32_t to)
{
    uint32_t target = 0;
    int rc = st.reg->ops->rollback_find(st.reg, STR("churn"), STR("champion"), to, &target, &st.e);
    if (rc)
        return rc;
    rc = st.reg->ops->rollback(st.reg, &SMALL_CAUSE, STR("churn"), STR("champion"), to, target, &st.e);
    ck_assert_msg(rc == 0, "%s", st.e.msg);
    ck_assert_uint_eq(champion(), target);
    return 0;
}

static void rolls_back_to(uint32_t version)
{
    ck_assert_msg(roll_back(0) == 0, "%s", st.e.msg);
    ck_assert_uint_eq(champion(), version);
}

static void start(uint32_t n_versions)
{
    small_store_init(&st);
    for (uint32_t i = 0; i < n_versions; i++)
        small_store_add(&st, "churn", "");
}

START_TEST(rolling_back_goes_further_back_each_time)
{
    start(4);
    promote(1);
    promote(2);
    promote(3);
    rolls_back_to(2);
    rolls_back_to(1);
    ck_assert_int_eq(roll_back(0), ERR_CONFLICT);
    ck_assert_uint_eq(champion(), 1);
    promote(4);
    rolls_back_to(1); // 2 and 3 were undone
    small_store_done(&st);
}
END_TEST

START_TEST(the_same_version_twice_is_two_steps_but_promoting_it_again_is_none)
{
    start(2);
    promote(1);
    promote(2);
    promote(1);
    promote(1);
    rolls_back_to(2);
    rolls_back_to(1);
    ck_assert_int_eq(roll_back(0), ERR_CONFLICT);
    small_store_done(&st);
}
END_TEST

START_TEST(versions_that_are_gone_are_passed_by)
{
    start(3);
    promote(1);
    promote(2);
    promote(3);
    ck_assert_int_eq(st.reg->ops->version_remove(st.reg, &SMALL_CAUSE, STR("churn"), 2, false, &st.e), 0);
    rolls_back_to(1);
    small_store_done(&st);
}
END_TEST

START_TEST(a_rollback_can_name_its_version_if_the_alias_named_it_before)
{
    start(4);
    for (uint32_t v = 1; v <= 3; v++)
        promote(v);
    ck_assert_int_eq(roll_back(4), ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(st.e.msg, "never"));
    ck_assert_int_eq(roll_back(3), ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(st.e.msg, "already"));
    ck_assert_int_eq(roll_back(1), 0);
    ck_assert_int_eq(roll_back(0), ERR_CONFLICT); // 2 and 3 came later
    ck_assert_int_eq(st.reg->ops->rollback(st.reg, &SMALL_CAUSE, STR("churn"), STR("champion"), 0, 2, &st.e),
                     ERR_CONFLICT);
    ck_assert_uint_eq(champion(), 1);
    small_store_done(&st);
}
END_TEST

START_TEST(an_alias_that_was_removed_comes_back_by_a_rollback)
{
    uint32_t was;
    start(3);
    promote(1);
    promote(2);
    ck_assert_int_eq(
        st.reg->ops->alias_remove(st.reg, &SMALL_CAUSE, STR("churn"), STR("champion"), &was, &st.e), 0);
    ck_assert_uint_eq(was, 2);
    ck_assert_uint_eq(champion(), 0);
    ck_assert_int_eq(
        st.reg->ops->alias_remove(st.reg, &SMALL_CAUSE, STR("churn"), STR("champion"), &was, &st.e),
        ERR_NOT_FOUND);
    rolls_back_to(2);
    rolls_back_to(1);
    // Dropped with its version.
    promote(3);
    ck_assert_int_eq(st.reg->ops->version_remove(st.reg, &SMALL_CAUSE, STR("churn"), 3, true, &st.e), 0);
    ck_assert_uint_eq(champion(), 0);
    rolls_back_to(1);
    ck_assert_int_eq(st.reg->ops->rollback_find(st.reg, STR("churn"), STR("blue"), 0, &was, &st.e),
                     ERR_NOT_FOUND);
    ck_assert_int_eq(st.reg->ops->rollback_find(st.reg, STR("chrun"), STR("blue"), 0, &was, &st.e),
                     ERR_UNKNOWN_MODEL);
    small_store_done(&st);
}
END_TEST

static size_t history(const char *model, const char *alias, uint64_t before, uint32_t limit,
                      struct registry_alias_change **ret)
{
    const struct registry_history_query q = {
        .model = str_of(model), .alias = str_of(alias), .before = before, .limit = limit};
    size_t n;
    ck_assert_int_eq(st.reg->ops->alias_history(st.reg, &q, &st.arena, ret, &n, &st.e), 0);
    return n;
}

START_TEST(the_history_tells_each_move_and_outlives_the_model)
{
    struct registry_alias_change *h;
    start(1);
    small_store_add(&st, "churn", "champion");
    promote(1);
    rolls_back_to(2);
    ck_assert_int_eq(st.reg->ops->alias_set(st.reg, &SMALL_CAUSE, STR("churn"), STR("blue"), 1, &st.e), 0);
    ck_assert_int_eq(st.reg->ops->model_remove(st.reg, &SMALL_CAUSE, STR("churn"), &st.e), 0);
    ck_assert_uint_eq(history("churn", "", 0, 0, &h), 6);
    ck_assert_uint_eq(history("churn", "champion", 0, 0, &h), 4);
    ck_assert(str_eq(h[0].kind, STR("remove")) && h[0].previous == 2 && h[0].version == 0);
    ck_assert(str_eq(h[1].kind, STR("rollback")) && h[1].previous == 1 && h[1].version == 2);
    ck_assert(str_eq(h[2].kind, STR("promote")) && h[2].previous == 2 && h[2].version == 1);
    ck_assert(h[3].previous == 0 && h[3].version == 2 && str_eq(h[3].alias, STR("champion")));
    ck_assert(str_eq(h[1].reason, STR("because")) && str_eq(h[1].actor, STR("tester")));
    ck_assert(str_eq(h[1].request_id, STR("req-1")) && h[1].wall_ns == SMALL_CAUSE.wall_ns);
    ck_assert_uint_eq(history("churn", "champion", h[1].id, 1, &h), 1);
    ck_assert_uint_eq(h[0].version, 1);
    ck_assert_uint_eq(history("other", "", 0, 0, &h), 0);
    small_store_done(&st);
}
END_TEST

UNIT_MAIN("registry/alias_history", rolling_back_goes_further_back_each_time,
          the_same_version_twice_is_two_steps_but_promoting_it_again_is_none,
          versions_that_are_gone_are_passed_by, a_rollback_can_name_its_version_if_the_alias_named_it_before,
          an_alias_that_was_removed_comes_back_by_a_rollback,
          the_history_tells_each_move_and_outlives_the_model)
