// SPDX-License-Identifier: Apache-2.0
#include "rollout/judge.h"

#include "rollout/latency.h"
#include "unit.h"

#include <math.h>

static struct judge_rules rules(void)
{
    return (struct judge_rules){
        .alpha_fail = 0.05,
        .alpha_pass = 0.05,
        .alpha_ratio = 0.001,
        .min_effect_abs = 0.0005,
        .min_events = 5,
        .min_seconds = 10,
        .n_arms = 1,
        .n_guards = 2,
        .guards = {{.metric = GUARD_ERRORS, .fail_ratio = 1.1, .pass_ratio = 1.5, .slo = 0.005},
                   {.metric = GUARD_WRONG_PREDICTION, .fail_ratio = 1.1, .pass_ratio = 1.5}},
    };
}

static struct finding judged(const struct judge_rules *r, int guard, const uint64_t requests[2],
                             const uint64_t events[2], double seconds)
{
    struct tally t = {0};
    struct finding f;
    counts_add(&t.requests, 100000, requests[0], requests[1]);
    counts_add(&t.events, 100000, events[0], events[1]);
    judge_guard(r, &r->guards[guard], &t, seconds, &f);
    return f;
}

#define JUDGED(r, guard, rc, rs, ec, es, seconds)                                                            \
    judged(r, guard, (uint64_t[]){rc, rs}, (uint64_t[]){ec, es}, seconds)

START_TEST(missing_data_is_undecided)
{
    struct judge_rules r = rules();
    struct finding f = JUDGED(&r, 0, 0, 0, 0, 0, 1e6);
    ck_assert_int_eq(f.verdict, VERDICT_UNDECIDED);
    ck_assert_int_eq(f.reason, REASON_NO_DATA);
    // Stable data alone says nothing of the canary, not even with the SLO.
    f = JUDGED(&r, 0, 0, 100000, 0, 100, 1e6);
    ck_assert_int_eq(f.verdict, VERDICT_UNDECIDED);
    ck_assert_int_eq(f.reason, REASON_NO_DATA);
}
END_TEST

START_TEST(a_canary_fails_exactly_at_the_threshold)
{
    struct judge_rules r = rules();
    // 1.1 and two guardrails: ln 40 = 3.689
    struct finding below = JUDGED(&r, 0, 1000, 9000, 14, 40, 60),
                   above = JUDGED(&r, 0, 1000, 9000, 18, 40, 60);
    ck_assert_double_eq_tol(below.fail_at, log(40), 1e-15);
    ck_assert_double_lt(below.log_fail, below.fail_at);
    ck_assert_int_eq(below.verdict, VERDICT_UNDECIDED);
    ck_assert_int_eq(below.reason, REASON_NOT_SHOWN);
    ck_assert_double_ge(above.log_fail, above.fail_at);
    ck_assert_int_eq(above.verdict, VERDICT_FAIL);
    r.n_arms = 4000; // each arm has its part of alpha
    ck_assert_int_eq(JUDGED(&r, 0, 1000, 9000, 18, 40, 60).verdict, VERDICT_UNDECIDED);
}
END_TEST

START_TEST(each_filter_holds_a_failure_back_and_says_so)
{
    struct judge_rules r = rules();
    struct finding f = JUDGED(&r, 0, 10, 90, 4, 0, 60);
    ck_assert_double_ge(f.log_fail, f.fail_at);
    ck_assert_int_eq(f.verdict, VERDICT_UNDECIDED);
    ck_assert_int_eq(f.reason, REASON_FEW_EVENTS);
    f = JUDGED(&r, 0, 1000000, 9000000, 450, 900, 60);
    ck_assert_double_ge(f.log_fail, f.fail_at);
    ck_assert_int_eq(f.reason, REASON_SMALL_EFFECT);
    f = JUDGED(&r, 0, 1000, 9000, 30, 40, 9);
    ck_assert_int_eq(f.reason, REASON_TOO_EARLY);
    ck_assert_int_eq(f.verdict, VERDICT_UNDECIDED);
    ck_assert_int_eq(JUDGED(&r, 0, 1000, 9000, 30, 40, 10).verdict, VERDICT_FAIL);
}
END_TEST

START_TEST(a_canary_passes_by_ratio_or_by_its_own_rate)
{
    struct judge_rules r = rules();
    struct finding f = JUDGED(&r, 0, 10000, 90000, 100, 900, 60);
    ck_assert_int_eq(f.verdict, VERDICT_PASS);
    ck_assert_int_eq(f.reason, REASON_RATIO_BELOW);
    f = JUDGED(&r, 0, 790, 7000, 0, 0, 60);
    ck_assert_int_eq(f.verdict, VERDICT_PASS);
    ck_assert_int_eq(f.reason, REASON_RATE_BELOW);
    // Half of alpha for each of the two ways.
    ck_assert_double_eq_tol(f.pass_at, log(40), 1e-15);
    f = JUDGED(&r, 0, 700, 7000, 0, 0, 60);
    ck_assert_int_eq(f.verdict, VERDICT_UNDECIDED);
    // A guardrail without SLO cannot pass without events.
    ck_assert_int_eq(JUDGED(&r, 1, 100000, 900000, 0, 0, 60).verdict, VERDICT_UNDECIDED);
}
END_TEST

START_TEST(uneven_labels_conclude_nothing)
{
    struct judge_rules r = rules();
    struct finding f = JUDGED(&r, 1, 1500, 8500, 400, 850, 60);
    ck_assert_double_ge(f.log_fail, f.fail_at);
    ck_assert_int_eq(f.verdict, VERDICT_UNDECIDED);
    ck_assert_int_eq(f.reason, REASON_LABELS_UNEVEN);
    ck_assert_int_eq(JUDGED(&r, 1, 1000, 9000, 270, 900, 60).verdict, VERDICT_FAIL);
}
END_TEST

START_TEST(one_failure_fails_and_one_undecided_holds)
{
    struct judge_rules r = rules();
    static struct tally t[2];
    static struct counts assigned;
    struct judgement j;
    counts_add(&assigned, 100000, 10000, 90000);
    for (int i = 0; i < 2; i++) {
        counts_add(&t[i].requests, 100000, 10000, 90000);
        counts_add(&t[i].events, 100000, 100, 900);
    }
    judge_all(&r, t, NULL, &assigned, 60, &j);
    ck_assert_int_eq(j.verdict, VERDICT_PASS);
    ck_assert(!j.unbalanced);
    t[1].events = (struct counts){0};
    judge_all(&r, t, NULL, &assigned, 60, &j);
    ck_assert_int_eq(j.verdict, VERDICT_UNDECIDED);
    counts_add(&t[0].events, 100000, 200, 0);
    judge_all(&r, t, NULL, &assigned, 60, &j);
    ck_assert_int_eq(j.verdict, VERDICT_FAIL);
    counts_add(&assigned, 100000, 2000, 0);
    judge_all(&r, t, NULL, &assigned, 60, &j);
    ck_assert(j.unbalanced);
}
END_TEST

START_TEST(slowness_is_measured_against_the_frozen_quantile)
{
    static struct hist recent;
    struct latency_gate g;
    for (uint64_t i = 1; i <= 199; i++)
        hist_add(&recent, i * 1000000);
    ck_assert(!latency_freeze(&recent, 0.95, 0.1, &g)); // 9.95 values beyond it
    hist_add(&recent, 200 * 1000000);
    ck_assert(latency_freeze(&recent, 0.95, 0.1, &g));
    ck_assert(!latency_is_slow(&g, ARM_STABLE, 190 * 1000000));
    ck_assert(latency_is_slow(&g, ARM_STABLE, 195 * 1000000));
    ck_assert(!latency_is_slow(&g, ARM_CANARY, 208 * 1000000));
    ck_assert(latency_is_slow(&g, ARM_CANARY, 214 * 1000000));
    ck_assert(!latency_freeze(&recent, 0.99, 0.1, &g));
}
END_TEST

UNIT_MAIN("rollout/judge", missing_data_is_undecided, a_canary_fails_exactly_at_the_threshold,
          each_filter_holds_a_failure_back_and_says_so, a_canary_passes_by_ratio_or_by_its_own_rate,
          uneven_labels_conclude_nothing, one_failure_fails_and_one_undecided_holds,
          slowness_is_measured_against_the_frozen_quantile)
