// SPDX-License-Identifier: Apache-2.0
// Scores by range, and the guardrail on their distribution: equal versions pass and rarely fail, shifted,
// spread and constant ones fail, and the record of it replays.
#include "rollout/scores.h"

#include "rollout/record.h"
#include "stats/random.h"
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct score_gate cut(const double *values, uint32_t n)
{
    double sample[SCORE_SAMPLE_MAX];
    struct score_gate g;
    for (uint32_t i = 0; i < SCORE_SAMPLE; i++)
        sample[i] = values[i % n];
    ck_assert(scores_freeze(sample, SCORE_SAMPLE, &g));
    return g;
}

START_TEST(scores_are_cut_at_quantiles)
{
    double sample[SCORE_SAMPLE];
    struct score_gate g = {0};
    for (int i = 0; i < SCORE_SAMPLE; i++)
        sample[i] = (i * 77) % SCORE_SAMPLE; // each of 0 … 199 once
    ck_assert(!scores_freeze(sample, SCORE_SAMPLE - 1, &g));
    ck_assert_uint_eq(g.n_cuts, 0);
    ck_assert(scores_freeze(sample, SCORE_SAMPLE, &g));
    ck_assert_uint_eq(g.n_cuts, 5);
    const double cuts[] = {9, 49, 99, 149, 189};
    for (int i = 0; i < 5; i++)
        ck_assert_double_eq(g.cuts[i], cuts[i]);
    ck_assert_uint_eq(scores_range(&g, -1e300), 0);
    ck_assert_uint_eq(scores_range(&g, 9), 0);
    ck_assert_uint_eq(scores_range(&g, nextafter(9, 10)), 1);
    ck_assert_uint_eq(scores_range(&g, 189), 4);
    ck_assert_uint_eq(scores_range(&g, 1e300), 5);
}
END_TEST

START_TEST(equal_scores_have_few_ranges)
{
    // Two classes: at most the first, or above it.
    struct score_gate g = cut((const double[]){0, 0, 0, 1}, 4);
    ck_assert_uint_eq(g.n_cuts, 1);
    ck_assert_double_eq(g.cuts[0], 0);
    // One that always says the same: less, the same, more.
    g = cut((const double[]){0.25}, 1);
    ck_assert_uint_eq(g.n_cuts, 2);
    ck_assert_uint_eq(scores_range(&g, 0.2), 0);
    ck_assert_uint_eq(scores_range(&g, 0.25), 1);
    ck_assert_uint_eq(scores_range(&g, 0.3), 2);
}
END_TEST

START_TEST(a_row_of_several_values_scores_as_its_greatest)
{
    ck_assert_double_eq(scores_of_row((const double[]){0.7}, 1), 0.7);
    ck_assert_double_eq(scores_of_row((const double[]){0.1, 0.2, 0.7, 0}, 4), 2);
    ck_assert(isnan(scores_of_row((const double[]){0.1, NAN}, 2)));
    ck_assert(isnan(scores_of_row((const double[]){HUGE_VAL}, 1)));
    ck_assert(isnan(scores_of_row(NULL, 0)));
}
END_TEST

// ---- the guardrail ----

static struct judge_rules rules(void)
{
    return (struct judge_rules){
        .alpha_fail = 0.05,
        .alpha_pass = 0.05,
        .alpha_ratio = 0.001,
        .min_effect_abs = 0.0005,
        .min_events = 5,
        .n_arms = 1,
        .n_guards = 4,
        .guards = {{.metric = GUARD_DISTRIBUTION, .fail_ratio = 1.25, .pass_ratio = 2}}};
}

struct shape {
    double mean, deviation;
};

// Requests until the verdict, looked at every hundred; 0: none within n.
static uint32_t until(enum verdict wanted, struct stats_random *r, struct shape canary, uint32_t n)
{
    static struct counts ranges[SCORE_RANGES];
    struct judge_rules judge = rules();
    struct score_gate g = {0};
    struct finding f;
    double sample[SCORE_SAMPLE];
    uint32_t n_sample = 0;
    memset(ranges, 0, sizeof ranges);
    for (uint32_t i = 1; i <= n; i++) {
        bool is_canary = stats_random_unit(r) < 0.1;
        double score = stats_random_normal(r);
        score = is_canary ? canary.mean + canary.deviation * score : score;
        if (g.n_cuts)
            counts_add(&ranges[scores_range(&g, score)], 100000, is_canary, !is_canary);
        else if (!is_canary)
            sample[n_sample++] = score;
        if (!g.n_cuts)
            (void)scores_freeze(sample, n_sample, &g);
        if (i % 100)
            continue;
        judge_ranges(&judge, &judge.guards[0], ranges, 1e9, &f);
        if (f.verdict == wanted)
            return i;
    }
    return 0;
}

static void always_found(struct shape canary, uint32_t within)
{
    struct stats_random r;
    stats_random_init(&r, 77);
    uint32_t most = 0, late = 0;
    for (int run = 0; run < 100; run++) {
        uint32_t n = until(VERDICT_FAIL, &r, canary, 3 * within);
        late += n == 0 || n > within;
        most = n > most ? n : most;
    }
    ck_assert_msg(late <= 5, "%u of 100 later than %u requests, the last after %u", late, within, most);
}

START_TEST(what_is_shifted_spread_or_constant_is_found)
{
    always_found((struct shape){1, 1}, 2000);
    always_found((struct shape){0.5, 1}, 8000);
    always_found((struct shape){-1, 1}, 2000);
    always_found((struct shape){0, 2}, 2000);
    always_found((struct shape){0, 0.1}, 2000);
}
END_TEST

START_TEST(an_equal_version_is_rarely_taken_for_another_and_passes)
{
    struct stats_random r;
    stats_random_init(&r, 78);
    int failed = 0, passed = 0;
    for (int run = 0; run < 60; run++) {
        failed += until(VERDICT_FAIL, &r, (struct shape){0, 1}, 20000) > 0;
        passed += until(VERDICT_PASS, &r, (struct shape){0, 1}, 40000) > 0;
    }
    ck_assert_int_le(failed, 1); // 0.75 are promised at the border, none are expected within it
    ck_assert_int_ge(passed, 54);
}
END_TEST

START_TEST(without_scores_nothing_is_decided)
{
    static struct counts ranges[SCORE_RANGES];
    struct judge_rules judge = rules();
    struct finding f;
    judge_ranges(&judge, &judge.guards[0], ranges, 1e9, &f);
    ck_assert_int_eq(f.verdict, VERDICT_UNDECIDED);
    ck_assert_int_eq(f.reason, REASON_NO_DATA);
    counts_add(&ranges[0], 100000, 0, 5000); // of the stable version alone
    judge_ranges(&judge, &judge.guards[0], ranges, 1e9, &f);
    ck_assert_int_eq(f.verdict, VERDICT_UNDECIDED);
    ck_assert_int_eq(f.reason, REASON_NO_DATA);
    ck_assert_uint_eq(f.requests[ARM_STABLE], 5000);
}
END_TEST

// ---- its record ----

START_TEST(the_record_of_a_shift_replays)
{
    static struct rollout_input in;
    static struct rollout_spec spec;
    struct plan p = {0};
    struct err e;
    struct buf b;
    enum plan_action action;
    ck_assert_int_eq(
        rollout_request_decode(STR("{\"model\":\"m\",\"candidate\":\"2\",\"steps\":[{\"weight\":10}],"
                                   "\"guardrails\":[{\"metric\":\"errors\"},{\"metric\":\"distribution\"}]}"),
                               &spec, &e),
        0);
    p = (struct plan){.state = PLAN_RUNNING, .step_ns = 1, .entered_ns = 1, .started_ns = 1};
    in = (struct rollout_input){.wall_ns = 60000000000, .event = EVENT_GUARD_FAILED, .actor = "rollout"};
    counts_add(&in.assigned[0], 100000, 600, 5400);
    counts_add(&in.ranges[0][0], 100000, 100, 2700);
    counts_add(&in.ranges[0][1], 100000, 500, 2700);
    struct plan before = p;
    buf_init(&b, LIMIT_ROLLOUT_RECORD_BYTES);
    ck_assert_int_eq(rollout_move(&spec, &p, &in, &action, &b, &e), 0);
    ck_assert_int_eq(p.state, PLAN_ROLLING_BACK);
    buf_putc(&b, '\0');
    ck_assert_ptr_nonnull(
        strstr(b.p, "\"metric\":\"distribution\",\"verdict\":\"fail\",\"reason\":\"worse\""));
    char *ranges = strstr(b.p, "\"ranges\":[[[100000,100,2700]],[[100000,500,2700]],[],[],[],[]]");
    ck_assert_ptr_nonnull(ranges);
    struct plan again = before;
    ck_assert_msg(rollout_replay(&spec, &again, (struct str){b.p, b.n - 1}, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(again.state, p.state);
    ck_assert_uint_eq(again.n_moves, p.n_moves);
    memcpy(strstr(ranges, "500"), "600", 3);
    again = before;
    ck_assert_int_ne(rollout_replay(&spec, &again, (struct str){b.p, b.n - 1}, &e), 0);
    buf_done(&b);
}
END_TEST

static void is_refused(const char *guards, const char *why)
{
    static struct rollout_spec spec;
    struct err e;
    char text[512];
    snprintf(text, sizeof text, "{\"model\":\"m\",\"candidate\":\"2\",\"guardrails\":[%s]}", guards);
    ck_assert_int_ne(rollout_request_decode(str_of(text), &spec, &e), 0);
    ck_assert_msg(strstr(e.msg, why) != NULL, "%s", e.msg);
}

START_TEST(requests_say_what_is_wrong_with_such_guardrails)
{
    static struct rollout_spec spec;
    struct err e;
    is_refused("{\"metric\":\"distribution\"},{\"metric\":\"distribution\"}", "at most one");
    is_refused("{\"metric\":\"distribution\",\"slo\":0.1}", "no such field");
    is_refused("{\"metric\":\"distribution\",\"fail_ratio\":0.5}", "at least 1");
    is_refused("{\"metric\":\"errors\",\"range\":[0,1]}", "only with the metric invalid_output");
    is_refused("{\"metric\":\"invalid_output\",\"range\":[1,0]}", "two numbers");
    is_refused("{\"metric\":\"invalid_output\",\"range\":[0]}", "two numbers");
    ck_assert_int_eq(rollout_request_decode(STR("{\"model\":\"m\",\"candidate\":\"2\",\"guardrails\":[{"
                                                "\"metric\":\"invalid_output\",\"range\":[-1,1e3]}]}"),
                                            &spec, &e),
                     0);
    ck_assert(spec.rules.guards[0].has_bounds);
    ck_assert_double_eq(spec.rules.guards[0].hi, 1000);
}
END_TEST

UNIT_MAIN("rollout/scores", scores_are_cut_at_quantiles, equal_scores_have_few_ranges,
          a_row_of_several_values_scores_as_its_greatest, what_is_shifted_spread_or_constant_is_found,
          an_equal_version_is_rarely_taken_for_another_and_passes, without_scores_nothing_is_decided,
          the_record_of_a_shift_replays, requests_say_what_is_wrong_with_such_guardrails)
