// SPDX-License-Identifier: Apache-2.0
// The number of replicas of one version over time, with a clock that the test moves and gateways that it
// plays. Replicas are there as soon as they are wanted, unless the test says otherwise.
#include "role/controller/scaler.h"

#include "unit.h"

#define S UINT64_C(1000000000)
static const uint64_t START = 5000 * S;

static struct world {
    struct scaler s;
    struct scaler_counts counts;
    struct version_settings v;
    struct scaler_facts f;
    uint64_t now;
} W;

static void begin(uint32_t min, uint32_t max, uint32_t wanted)
{
    W = (struct world){.now = START};
    version_settings_init(&W.v);
    W.v.min_replicas = min;
    W.v.max_replicas = max;
    W.f = (struct scaler_facts){.settings = &W.v, .ready = wanted, .wanted = wanted};
    scaler_init(&W.s, wanted, W.now);
    scaler_sample(&W.s, &W.counts, W.now);
}

// Seconds with so many requests under way, of which `rate` a second come and each costs `cost_ns`.
static void pass(unsigned seconds, double in_flight, uint64_t rate, uint64_t cost_ns)
{
    for (unsigned i = 0; i < seconds; i++) {
        W.now += S;
        W.counts.in_flight_ns += (uint64_t)(in_flight * (double)S);
        W.counts.arrivals += rate;
        W.counts.n_computed += rate;
        W.counts.computed_ns += rate * cost_ns;
        scaler_sample(&W.s, &W.counts, W.now);
    }
}

static uint32_t decide(void)
{
    return W.f.wanted = scaler_decide(&W.s, &W.f, W.now);
}

// Decides every other second, replicas are ready at once.
static uint32_t run(unsigned seconds, double in_flight, uint64_t rate, uint64_t cost_ns)
{
    for (unsigned i = 0; i < seconds; i += AUTOSCALE_TICK_S) {
        pass(AUTOSCALE_TICK_S, in_flight, rate, cost_ns);
        W.f.ready = decide();
    }
    return W.f.wanted;
}

START_TEST(replicas_follow_the_requests_under_way)
{
    begin(1, 20, 1);
    ck_assert_uint_eq(run(10, 0, 0, 0), 1);
    ck_assert_uint_eq(run(10, 7, 0, 0), 10); // 7 / 0.7, in panic
    ck_assert_uint_eq(run(30, 0, 0, 0), 10); // which holds for its window
    ck_assert_uint_eq(run(120, 0, 0, 0), 1);
    ck_assert_uint_eq(run(10, 700, 0, 0), 20);
}
END_TEST

START_TEST(with_more_concurrency_fewer_are_wanted)
{
    begin(1, 20, 1);
    W.v.concurrency = 4;
    ck_assert_uint_eq(run(10, 7, 0, 0), 3); // 7 / 2.8
}
END_TEST

START_TEST(a_shorter_window_forgets_sooner)
{
    begin(1, 20, 1);
    W.v.scale_window_s = 4;
    ck_assert_uint_eq(run(4, 7, 0, 0), 10);
    ck_assert_uint_eq(run(14, 0, 0, 0), 1);
}
END_TEST

START_TEST(the_queue_keeps_one_more_than_the_load_asks_for)
{
    // 6 a second of 100 ms: 0.6 busy. One would do by the load, but a request would wait 1.5 times its cost.
    begin(1, 8, 1);
    ck_assert_uint_eq(run(60, 0.6, 6, 100000000), 2);
    begin(1, 8, 1);
    ck_assert_uint_eq(run(60, 0.1, 1, 100000000), 1);
}
END_TEST

START_TEST(a_new_controller_ends_none_during_the_first_minute)
{
    begin(1, 8, 5);
    ck_assert_uint_eq(run(58, 0, 0, 0), 5);
    ck_assert_uint_eq(run(20, 0, 0, 0), 1);
    begin(0, 8, 1);
    ck_assert_uint_eq(run(58, 0, 0, 0), 1);
}
END_TEST

START_TEST(what_an_earlier_controller_learned_is_in_the_counters)
{
    begin(1, 8, 1);
    W.s = (struct scaler){0};
    W.counts = (struct scaler_counts){.arrivals = 10, .computed_ns = 3 * S, .n_computed = 10};
    scaler_sample(&W.s, &W.counts, W.now);
    ck_assert_double_eq_tol(W.s.service_s, 0.3, 1e-9);
    ck_assert_uint_eq(decide(), 1); // but its requests are none of now
}
END_TEST

START_TEST(the_last_one_ends_after_the_idle_time_and_not_before)
{
    begin(0, 4, 1);
    ck_assert_uint_eq(run(10, 0.5, 2, 1000000), 1);
    ck_assert_uint_eq(run(58, 0, 0, 0), 1);
    ck_assert_uint_eq(run(4, 0, 0, 0), 0);
    ck_assert_uint_eq(run(600, 0, 0, 0), 0);
}
END_TEST

START_TEST(what_takes_long_to_load_is_kept_longer)
{
    begin(0, 4, 1);
    W.f.start_ms = 10000; // 20 times that is 200 s
    ck_assert_uint_eq(run(198, 0, 0, 0), 1);
    ck_assert_uint_eq(run(4, 0, 0, 0), 0);
    begin(0, 4, 1);
    W.v.idle_s = 6;
    ck_assert_uint_eq(run(4, 0, 0, 0), 1);
    ck_assert_uint_eq(run(4, 0, 0, 0), 0);
}
END_TEST

START_TEST(one_that_waits_keeps_the_last_one)
{
    begin(0, 4, 1);
    pass(200, 0, 0, 0);
    W.f.waiting = 1;
    ck_assert_uint_eq(decide(), 1);
}
END_TEST

START_TEST(at_zero_what_waits_starts_one_and_no_more_while_that_is_loading)
{
    begin(0, 20, 0);
    run(4, 0, 0, 0);
    W.f.waiting = 1;
    scaler_woken(&W.s, W.now);
    ck_assert_uint_eq(decide(), 1);
    // It takes 20 s; 3 requests a second of 100 ms wait, which one replica can well do.
    W.s.service_s = 0.1;
    for (uint32_t i = 1; i <= 10; i++) {
        pass(2, 6 * i, 3, 0);
        W.counts.n_computed -= 6; // none was
        W.s.last.n_computed -= 6;
        W.s.service_s = 0.1;
        W.f.waiting = 6 * i;
        ck_assert_uint_eq(decide(), 1);
    }
}
END_TEST

START_TEST(from_zero_the_rate_and_the_backlog_count)
{
    begin(0, 20, 0);
    pass(2, 0, 0, 0);
    W.s.service_s = 0.1;
    W.f.waiting = 30;
    W.counts.arrivals += 30;
    W.now += S;
    scaler_sample(&W.s, &W.counts, W.now); // 30 in one of 3 seconds: 10 a second of 100 ms at 70 %
    ck_assert_uint_eq(decide(), 2);
    W.f.waiting = 500; // within ten seconds: 50 a second
    ck_assert_uint_eq(decide(), 5);
    W.f.waiting = 0;
    ck_assert_uint_eq(decide(), 5); // those that are starting are let be
    W.f.waiting = 1000000;
    ck_assert_uint_eq(decide(), 20);
}
END_TEST

START_TEST(counters_that_go_back_begin_anew)
{
    begin(1, 20, 1);
    run(10, 0.1, 1, 1000);
    W.counts = (struct scaler_counts){0};
    W.now += S;
    scaler_sample(&W.s, &W.counts, W.now);
    ck_assert_uint_eq(decide(), 1);
    ck_assert_uint_eq(run(10, 7, 0, 0), 10);
}
END_TEST

UNIT_MAIN("role/controller/scaler", replicas_follow_the_requests_under_way,
          with_more_concurrency_fewer_are_wanted, a_shorter_window_forgets_sooner,
          the_queue_keeps_one_more_than_the_load_asks_for, a_new_controller_ends_none_during_the_first_minute,
          what_an_earlier_controller_learned_is_in_the_counters,
          the_last_one_ends_after_the_idle_time_and_not_before, what_takes_long_to_load_is_kept_longer,
          one_that_waits_keeps_the_last_one, at_zero_what_waits_starts_one_and_no_more_while_that_is_loading,
          from_zero_the_rate_and_the_backlog_count, counters_that_go_back_begin_anew)
