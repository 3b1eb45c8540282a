// SPDX-License-Identifier: Apache-2.0
#include "rollout/planner.h"

#include "unit.h"

#include <math.h>

static struct rollout_spec spec;
static struct planner_answer answer;
static struct err e;

static void ask(const char *json, double base_rate, double harm, double rps)
{
    ck_assert_msg(rollout_request_decode(str_of(json), &spec, &e) == 0, "%s %s", e.path, e.msg);
    struct planner_question q = {&spec, 0, base_rate, harm, rps, 1, 40};
    ck_assert_msg(planner_ask(&q, &answer, &e) == 0, "%s", e.msg);
}

#define FOUR                                                                                                 \
    "\"guardrails\":[{\"metric\":\"errors\"},{\"metric\":\"latency\"},{\"metric\":\"latency\",\"q\":0.99},"  \
    "{\"metric\":\"invalid_output\"}]"

START_TEST(a_harm_is_found_as_soon_as_the_simulations_say)
{
    // 1 % -> 3 % at 10 %, alpha 0.0125: N50 5,432, N95 14,284 when looked at after every event.
    ask("{\"model\":\"m\",\"candidate\":\"2\",\"steps\":[{\"weight\":10,\"on_undecided\":\"wait\"}]," FOUR
        "}",
        0.01, 3, 100);
    ck_assert_double_ge(answer.detect.share, 0.99);
    ck_assert_double_eq_tol(answer.detect.n50 / 5432, 1, 0.3);
    ck_assert_double_eq_tol(answer.detect.n95 / 14284, 1, 0.5);
    ck_assert_double_eq_tol(answer.exposed50 / answer.detect.n50, 0.1, 0.03);
    ck_assert_uint_eq(answer.n_steps, 1);
    ck_assert(!answer.steps[0].never_detects && !answer.steps[0].never_passes);
}
END_TEST

START_TEST(promotion_takes_as_long_as_the_simulations_say)
{
    // Truth 1, base 1 %, ramp: to show r < 1.5 takes N50 83k, N95 161k.
    ask("{\"model\":\"m\",\"candidate\":\"2\",\"guardrails\":[{\"metric\":\"errors\"}]}", 0.01, 3, 50);
    ck_assert_double_ge(answer.promote.share, 0.9);
    // The first four steps are as long as 1,000 canary requests take.
    ck_assert_double_ge(answer.promote.n50, 1000 / 0.01 + 1000 / 0.05 + 1000 / 0.1);
    ck_assert_double_le(answer.promote.n50, 250000);
    ask("{\"model\":\"m\",\"candidate\":\"2\",\"guardrails\":[{\"metric\":\"errors\",\"pass_ratio\":1.25}]}",
        0.01, 3, 50);
    ck_assert_double_ge(answer.promote.n95, 150000); // it is harder to show r < 1.25
}
END_TEST

START_TEST(a_step_that_cannot_decide_is_named)
{
    // One request a minute: 1,440 a day, 14 of them for the canary.
    ask("{\"model\":\"m\",\"candidate\":\"2\",\"steps\":[{\"weight\":1},{\"weight\":50}]}", 0.01, 2,
        1.0 / 60);
    ck_assert_uint_eq(answer.n_steps, 2);
    ck_assert(answer.steps[0].never_detects && answer.steps[0].never_passes);
    ck_assert(isinf(answer.steps[0].detect.n50) && isinf(answer.promote.n50));
    ck_assert_double_ge(answer.held, 0.9);
    ck_assert_double_eq_tol(answer.steps[0].requests_max, 1440, 1e-6);
    // The same plan at 1,000 a second decides in every step.
    ask("{\"model\":\"m\",\"candidate\":\"2\",\"steps\":[{\"weight\":1},{\"weight\":50}]}", 0.01, 2, 1000);
    ck_assert(!answer.steps[0].never_detects && !answer.steps[1].never_passes);
}
END_TEST

START_TEST(the_same_seed_gives_the_same_answer)
{
    struct planner_answer first;
    ask("{\"model\":\"m\",\"candidate\":\"2\"}", 0.01, 3, 100);
    first = answer;
    ask("{\"model\":\"m\",\"candidate\":\"2\"}", 0.01, 3, 100);
    ck_assert_mem_eq(&first, &answer, sizeof first);
}
END_TEST

START_TEST(a_senseless_question_is_refused)
{
    struct planner_question q = {&spec, 0, 0.01, 3, 100, 1, 200};
    ck_assert_int_eq(rollout_request_decode(STR("{\"model\":\"m\",\"candidate\":\"2\"}"), &spec, &e), 0);
    q.base_rate = 0;
    ck_assert_int_eq(planner_ask(&q, &answer, &e), ERR_OUT_OF_RANGE);
    ck_assert_str_eq(e.path, "$.base_rate");
    q.base_rate = 0.01;
    q.harm = 1;
    ck_assert_int_eq(planner_ask(&q, &answer, &e), ERR_OUT_OF_RANGE);
    q.harm = nan("");
    ck_assert_int_eq(planner_ask(&q, &answer, &e), ERR_OUT_OF_RANGE);
    q.harm = 2;
    q.runs = PLANNER_RUNS_MAX + 1;
    ck_assert_int_eq(planner_ask(&q, &answer, &e), ERR_OUT_OF_RANGE);
    ck_assert_str_eq(e.path, "$.runs");
}
END_TEST

UNIT_MAIN("rollout/planner", a_harm_is_found_as_soon_as_the_simulations_say,
          promotion_takes_as_long_as_the_simulations_say, a_step_that_cannot_decide_is_named,
          the_same_seed_gives_the_same_answer, a_senseless_question_is_refused)
