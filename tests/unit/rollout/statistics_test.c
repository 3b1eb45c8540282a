// SPDX-License-Identifier: Apache-2.0
// What docs/rollouts.md promises of whole rollouts, with few runs of each; dev/slow rollout_statistics has
// all. The bounds on false stops are those of the promised alpha plus 2.33 deviations.
#include "scenarios.h"

#include "unit.h"

START_TEST(a_good_version_is_rarely_rolled_back)
{
    struct outcome o = scenario_no_regression(3, 12, 0);
    ck_assert_int_le(o.stopped, 1);
    o = scenario_no_regression(3, 13, 1);
    ck_assert_int_le(o.stopped, 1);
}
END_TEST

START_TEST(three_times_the_errors_are_found)
{
    struct outcome o = scenario_errors(60, 14, 0.03, 0.01, 0.1, 4, 2e5);
    ck_assert_int_eq(o.stopped, o.runs);
    ck_assert_double_ge(o.n50, 4000);
    ck_assert_double_le(o.n50, 7500);
    ck_assert_double_le(o.n95, 20000);
}
END_TEST

START_TEST(a_broken_version_is_found_at_once)
{
    struct outcome o = scenario_errors(200, 15, 0.5, 0.01, 0.1, 4, 2e5);
    ck_assert_int_eq(o.stopped, o.runs);
    ck_assert_double_le(o.n99, 280);
    ck_assert_double_ge(o.n50, 50); // not before min_events
}
END_TEST

START_TEST(slowness_is_found_and_tolerated_slowness_is_not)
{
    struct outcome o = scenario_latency(20, 16, 1.2, 0, 2e5);
    ck_assert_double_le(o.n95, 11000);
    o = scenario_latency(5, 16, 1.0, 0.1, 10000);
    ck_assert_int_le(o.stopped, 1);
}
END_TEST

START_TEST(sticky_entities_are_counted_once)
{
    struct outcome once = scenario_sticky(25, 17, STICKY_FIRST), each = scenario_sticky(25, 17, STICKY_EVERY);
    ck_assert_int_le(once.stopped, 4);
    ck_assert_int_ge(each.stopped, 5); // the test bites
}
END_TEST

START_TEST(late_errors_and_batches_mislead_only_those_who_count_them_wrongly)
{
    struct outcome right = scenario_order(12, 18, 1), wrong = scenario_order(12, 18, 0);
    ck_assert_int_le(right.stopped, 3);
    ck_assert_int_ge(wrong.stopped, 5);
    right = scenario_batches(6, 18, 1);
    wrong = scenario_batches(6, 18, 0);
    ck_assert_int_le(right.stopped, 2);
    ck_assert_int_ge(wrong.stopped, 3);
}
END_TEST

START_TEST(shadow_pairs_decide_with_few_labels)
{
    struct outcome o = scenario_pairs(50, 19, 0.03, 0.01, 2e5);
    ck_assert_double_le(o.n95, 2600);
    o = scenario_pairs(10, 19, 0.02, 0.02, 20000);
    ck_assert_int_le(o.stopped, 2);
}
END_TEST

UNIT_MAIN("rollout/statistics", a_good_version_is_rarely_rolled_back, three_times_the_errors_are_found,
          a_broken_version_is_found_at_once, slowness_is_found_and_tolerated_slowness_is_not,
          sticky_entities_are_counted_once, late_errors_and_batches_mislead_only_those_who_count_them_wrongly,
          shadow_pairs_decide_with_few_labels)
