// SPDX-License-Identifier: Apache-2.0
// The vectors are those of the autoscaler that the decision comes from (knative/serving autoscaler_test.go),
// and a trace worked out by hand.
#include "role/controller/autoscale.h"

#include "unit.h"

// As its tests have it: rates that do not limit unless the test says so.
static struct autoscale_spec spec(double target)
{
    return (struct autoscale_spec){.target = target,
                                   .panic_threshold = 2,
                                   .up_rate = 10,
                                   .down_rate = 10,
                                   .stable_s = 60,
                                   .min = 0,
                                   .max = 1000};
}

static uint32_t decide(struct autoscale *a, const struct autoscale_spec *s, double stable, double panic,
                       uint32_t ready, uint64_t now_s)
{
    return autoscale_decide(a, s, &(struct autoscale_load){stable, panic, ready, 0}, now_s);
}

static uint32_t fresh(struct autoscale_spec s, double stable, double panic, uint32_t ready)
{
    struct autoscale a = {0};
    return decide(&a, &s, stable, panic, ready, 1000);
}

START_TEST(vectors_of_the_source_hold)
{
    ck_assert_uint_eq(fresh(spec(10), 50, 10, 1), 5);
    ck_assert_uint_eq(fresh(spec(10), 100, 10, 1), 10);
    ck_assert_uint_eq(fresh(spec(10), 100, 100, 8), 10);
    ck_assert_uint_eq(fresh(spec(10), 50, 50, 8), 5);
    ck_assert_uint_eq(fresh(spec(10), 1, 0, 1), 1);
    ck_assert_uint_eq(fresh(spec(10), 0, 0, 1), 0);
    ck_assert_uint_eq(fresh(spec(10), 50, 100, 1), 10);
    ck_assert_uint_eq(fresh(spec(1), 11, 25, 10), 25);
    ck_assert_uint_eq(fresh(spec(10), 1000, 1001, 1), 10);
    ck_assert_uint_eq(fresh(spec(10), 1000, 1001, 10), 100);
    struct autoscale_spec slow_up = spec(1), slow_down = spec(10);
    slow_up.up_rate = 1.1;
    ck_assert_uint_eq(fresh(slow_up, 3, 3.1, 2), 3);
    slow_down.down_rate = 1.1;
    ck_assert_uint_eq(fresh(slow_down, 1, 1, 100), 90);
}
END_TEST

START_TEST(in_panic_it_never_goes_down)
{
    struct autoscale a = {.panicking = true, .panic_s = 990};
    struct autoscale_spec s = spec(1);
    ck_assert_uint_eq(decide(&a, &s, 50, 30, 5, 1000), 50);
    a = (struct autoscale){.panicking = true, .panic_s = 990};
    ck_assert_uint_eq(decide(&a, &s, 20, 30, 5, 1000), 30);
}
END_TEST

START_TEST(panic_holds_its_most_until_the_stable_window_is_over)
{
    struct autoscale a = {0};
    struct autoscale_spec s = spec(10);
    ck_assert_uint_eq(decide(&a, &s, 100, 100, 1, 1000), 10);
    ck_assert_uint_eq(decide(&a, &s, 100, 1000, 10, 1002), 100);
    ck_assert_uint_eq(decide(&a, &s, 1, 1, 100, 1032), 100);
    s.down_rate = 1000;
    ck_assert_uint_eq(decide(&a, &s, 1, 1, 100, 1063), 1);
}
END_TEST

START_TEST(scaling_down_waits_for_its_delay)
{
    struct autoscale a = {0};
    struct autoscale_spec s = spec(10);
    s.delay_s = 300;
    ck_assert_uint_eq(decide(&a, &s, 40, 40, 4, 1000), 4);
    for (uint64_t t = 1002; t <= 1300; t += AUTOSCALE_TICK_S)
        ck_assert_uint_eq(decide(&a, &s, 0, 0, 4, t), 4);
    ck_assert_uint_eq(decide(&a, &s, 0, 0, 4, 1302), 0);
}
END_TEST

START_TEST(a_load_from_nothing_to_fifty_and_back_takes_the_known_course)
{
    static const struct {
        uint64_t at_s;
        uint32_t n;
    } EXPECT[] = {{10, 2}, {12, 4}, {14, 6},  {16, 8},  {70, 8},
                  {80, 6}, {90, 5}, {100, 4}, {110, 3}, {118, 2}};
    struct autoscale a = {0};
    struct autoscale_spec s = spec(7);
    static struct autoscale_window w;
    s.up_rate = 1000;
    s.down_rate = 2;
    uint32_t n = 1, seen = 0;
    for (uint64_t t = 0; t <= 120; t++) {
        autoscale_window_add(&w, t, t < 10 ? 0 : t < 60 ? 50 : 10);
        if (t % AUTOSCALE_TICK_S)
            continue;
        n = decide(&a, &s, autoscale_window_mean(&w, t, 60), autoscale_window_mean(&w, t, 6), n, t);
        n = n ? n : 1;
        if (seen < sizeof EXPECT / sizeof EXPECT[0] && EXPECT[seen].at_s == t)
            ck_assert_msg(n == EXPECT[seen].n, "at %u s %u replicas, not %u", (unsigned)t, n, EXPECT[seen].n);
        seen += seen < sizeof EXPECT / sizeof EXPECT[0] && EXPECT[seen].at_s == t;
    }
    ck_assert_uint_eq(seen, sizeof EXPECT / sizeof EXPECT[0]);
}
END_TEST

START_TEST(the_rate_upwards_is_a_limit)
{
    static const uint32_t EXPECT[] = {2, 4, 8, 15};
    struct autoscale a = {0};
    struct autoscale_spec s = spec(7);
    s.up_rate = 2;
    uint32_t n = 1;
    for (unsigned i = 0; i < 4; i++) {
        n = decide(&a, &s, 100, 100, n, 1000 + 2 * i);
        ck_assert_uint_eq(n, EXPECT[i]);
    }
}
END_TEST

START_TEST(a_replica_that_is_starting_is_not_asked_for_twice)
{
    struct autoscale a = {0};
    struct autoscale_spec s = spec(1);
    struct autoscale_load l = {.stable = 3, .panic = 6, .ready = 1, .starting = 5};
    autoscale_decide(&a, &s, &l, 1000);
    ck_assert(!a.panicking);
    l.starting = 0;
    autoscale_decide(&a, &s, &l, 1002);
    ck_assert(a.panicking);
}
END_TEST

START_TEST(means_leave_out_the_time_before_the_first_write)
{
    static struct autoscale_window w;
    ck_assert_double_eq(autoscale_window_mean(&w, 5, 60), 0);
    autoscale_window_add(&w, 100, 4);
    autoscale_window_add(&w, 100, 8);
    ck_assert_double_eq(autoscale_window_mean(&w, 100, 60), 6);
    ck_assert_double_eq(autoscale_window_mean(&w, 102, 60), 2); // two seconds without a write
    autoscale_window_add(&w, 100 + AUTOSCALE_WINDOW_MAX_S + 50, 60);
    ck_assert_double_eq(autoscale_window_mean(&w, 100 + AUTOSCALE_WINDOW_MAX_S + 50, 60), 1);
}
END_TEST

START_TEST(from_zero_it_is_the_rate_and_the_backlog)
{
    ck_assert_uint_eq(autoscale_from_zero(3, 0.1, 0.7, 0, 1), 1);
    ck_assert_uint_eq(autoscale_from_zero(30, 0.1, 0.7, 0, 1), 5);
    ck_assert_uint_eq(autoscale_from_zero(3, 0.1, 0.7, 100, 2), 5);
}
END_TEST

// Mean waits in service times at utilisation 0.7: one server 2.33, two 0.96, four 0.36, eight 0.11.
START_TEST(the_guard_finds_the_servers_of_known_waits)
{
    ck_assert_uint_eq(autoscale_erlang(0.7, 2.34, 100), 1);
    ck_assert_uint_eq(autoscale_erlang(0.7, 2.33, 100), 2);
    ck_assert_uint_eq(autoscale_erlang(1.4, 0.97, 100), 2);
    ck_assert_uint_eq(autoscale_erlang(1.4, 0.95, 100), 3);
    ck_assert_uint_eq(autoscale_erlang(2.8, 0.36, 100), 4);
    ck_assert_uint_eq(autoscale_erlang(5.6, 0.12, 100), 8);
    ck_assert_uint_eq(autoscale_erlang(50, 0.25, 4), 4);
}
END_TEST

START_TEST(an_idle_version_keeps_what_is_dear_to_start)
{
    ck_assert_uint_eq(autoscale_idle_s(10), 60);
    ck_assert_uint_eq(autoscale_idle_s(10000), 200);
}
END_TEST

START_TEST(the_machine_is_shared_fairly)
{
    struct autoscale_claim c[] = {{.floor = 1, .wanted = 10, .cost = 1, .weight = 1},
                                  {.floor = 1, .wanted = 2, .cost = 1, .weight = 1},
                                  {.floor = 1, .wanted = 10, .cost = 1, .weight = 2}};
    ck_assert(autoscale_share(c, 3, 11));
    ck_assert_uint_eq(c[0].granted, 3);
    ck_assert_uint_eq(c[1].granted, 2);
    ck_assert_uint_eq(c[2].granted, 6);
    ck_assert(!autoscale_share(c, 3, 100));
    ck_assert_uint_eq(c[0].granted, 10);
    ck_assert(autoscale_share(c, 3, 2)); // floors stand
    ck_assert_uint_eq(c[2].granted, 1);
}
END_TEST

UNIT_MAIN("role/controller/autoscale", vectors_of_the_source_hold, in_panic_it_never_goes_down,
          panic_holds_its_most_until_the_stable_window_is_over, scaling_down_waits_for_its_delay,
          a_load_from_nothing_to_fifty_and_back_takes_the_known_course, the_rate_upwards_is_a_limit,
          a_replica_that_is_starting_is_not_asked_for_twice, means_leave_out_the_time_before_the_first_write,
          from_zero_it_is_the_rate_and_the_backlog, the_guard_finds_the_servers_of_known_waits,
          an_idle_version_keeps_what_is_dear_to_start, the_machine_is_shared_fairly)
