// SPDX-License-Identifier: Apache-2.0
// What docs/rollouts.md promises of whole rollouts, with few runs of each; dev/slow rollout_statistics has
// all. The bounds on false stops are those of the promised alpha plus 2.33 deviations.
#include "scenarios.h"

#include "unit.h"

START_TEST(a_good_version_is_rarely_rolled_back)
{
    struct outcome o = scenario_no_regression(12, 12, 0);
    ck_assert_int_le(o.stopped, 2);
    o = scenario_no_regression(12, 13, 1);
    ck_assert_int_le(o.stopped, 2);
}
END_TEST

START_TEST(three_times_the_errors_are_found)
{
    struct outcome o = scenario_errors(300, 14, 0.03, 0.01, 0.1, 4, 2e5);
    ck_assert_int_eq(o.stopped, o.runs);
    ck_assert_double_ge(o.n50, 4500);
    ck_assert_double_le(o.n50, 6300);
    ck_assert_double_le(o.n95, 16500);
}
END_TEST

START_TEST(a_broken_version_is_found_at_once)
{
    struct outcome o = scenario_errors(2000, 15, 0.5, 0.01, 0.1, 4, 2e5);
    ck_assert_int_eq(o.stopped, o.runs);
    ck_assert_double_le(o.n99, 250);
    ck_assert_double_ge(o.n50, 50); // not before min_events
}
END_TEST

START_TEST(slowness_is_found_and_tolerated_slowness_is_not)
{
    struct outcome o = scenario_latency(100, 16, 1.2, 0, 2e5);
    ck_assert_double_le(o.n95, 8500);
    o = scenario_latency(40, 16, 1.0, 0.1, 30000);
    ck_assert_int_le(o.stopped, 2);
}
END_TEST

START_TEST(sticky_entities_are_counted_once)
{
    struct outcome once = scenario_sticky(150, 17, 1), each = scenario_sticky(150, 17, 0);
    ck_assert_int_le(once.stopped, 13);
    ck_assert_int_ge(each.stopped, 30); // the test bites
}
END_TEST

START_TEST(late_errors_and_batches_mislead_only_those_who_count_them_wrongly)
{
    struct outcome right = scenario_order(60, 18, 1), wrong = scenario_order(60, 18, 0);
    ck_assert_int_le(right.stopped, 6);
    ck_assert_int_ge(wrong.stopped, 24);
    right = scenario_batches(60, 18, 1);
    wrong = scenario_batches(60, 18, 0);
    ck_assert_int_le(right.stopped, 6);
    ck_assert_int_ge(wrong.stopped, 24);
}
END_TEST

START_TEST(shadow_pairs_decide_with_few_labels)
{
    struct outcome o = scenario_pairs(300, 19, 0.03, 0.01, 2e5);
    ck_assert_double_le(o.n95, 2300);
    o = scenario_pairs(100, 19, 0.02, 0.02, 20000);
    ck_assert_int_le(o.stopped, 10);
}
END_TEST

UNIT_MAIN("rollout/statistics", a_good_version_is_rarely_rolled_back, three_times_the_errors_are_found,
          a_broken_version_is_found_at_once, slowness_is_found_and_tolerated_slowness_is_not,
          sticky_entities_are_counted_once, late_errors_and_batches_mislead_only_those_who_count_them_wrongly,
          shadow_pairs_decide_with_few_labels)
