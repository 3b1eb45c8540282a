// SPDX-License-Identifier: Apache-2.0
// The table of moves: what each state allows, what is routed in it, and that nothing else can happen.
#include "rollout/plan.h"

#include "rollout/split.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct rollout_spec spec;
static struct plan plan;
static struct err e;
static const uint64_t SECOND = 1000000000;
static uint64_t now = 1000000000;

static void start(const char *more)
{
    char json[512];
    int n = snprintf(json, sizeof json, "{\"model\":\"m\",\"candidate\":\"2\"%s}", more);
    ck_assert_msg(rollout_request_decode((struct str){json, (size_t)n}, &spec, &e) == 0, "%s %s", e.path,
                  e.msg);
    plan = (struct plan){0};
}

static enum plan_action does(enum plan_event event)
{
    enum plan_action action;
    now += 1000000000;
    ck_assert_msg(plan_apply(&spec, &plan, event, now, 0, &action, &e) == 0, "%s", e.msg);
    return action;
}

#define TWO_STEPS ",\"steps\":[{\"weight\":1},{\"weight\":10}]"

static void assert_at(enum plan_state state, uint32_t step, uint32_t weight_bp)
{
    ck_assert_str_eq(plan_state_name(plan.state), plan_state_name(state));
    ck_assert_uint_eq(plan.step, step);
    ck_assert_uint_eq(plan_weight_bp(&spec, &plan), weight_bp);
}

START_TEST(a_good_candidate_is_promoted_step_by_step)
{
    start(TWO_STEPS);
    assert_at(PLAN_CREATED, 0, 0);
    ck_assert_int_eq(does(EVENT_START), ACTION_PREPARE);
    assert_at(PLAN_WARMING, 0, 0);
    ck_assert_uint_eq(plan_next_weight_bp(&spec, &plan), 100);
    ck_assert_int_eq(does(EVENT_READY), ACTION_ROUTE);
    assert_at(PLAN_RUNNING, 0, 100);
    ck_assert_int_eq(does(EVENT_STEP_PASSED), ACTION_PREPARE);
    assert_at(PLAN_SCALING, 0, 100); // capacity first, then the weight
    ck_assert_uint_eq(plan_next_weight_bp(&spec, &plan), 1000);
    does(EVENT_READY);
    assert_at(PLAN_RUNNING, 1, 1000);
    does(EVENT_STEP_PASSED);
    ck_assert_uint_eq(plan_next_weight_bp(&spec, &plan), 9500);
    does(EVENT_READY);
    assert_at(PLAN_BAKING, 1, 9500);
    ck_assert_int_eq(does(EVENT_BAKED), ACTION_PROMOTE);
    assert_at(PLAN_PROMOTING, 1, 10000);
    does(EVENT_ROUTED);
    assert_at(PLAN_PROMOTED, 1, 10000);
    ck_assert(!plan_is_over(&plan));
    ck_assert_int_eq(does(EVENT_UNDO_OVER), ACTION_RELEASE_BASELINE);
    assert_at(PLAN_SETTLED, 1, 10000);
    ck_assert(plan_is_over(&plan));
}
END_TEST

START_TEST(undo_returns_all_traffic)
{
    start(TWO_STEPS);
    does(EVENT_START);
    does(EVENT_READY);
    ck_assert_int_eq(does(EVENT_PROMOTE), ACTION_PROMOTE);
    does(EVENT_ROUTED);
    ck_assert_int_eq(does(EVENT_ROLLBACK), ACTION_WITHDRAW);
    assert_at(PLAN_ROLLING_BACK, 0, 0);
    ck_assert_int_eq(does(EVENT_ROUTED), ACTION_RELEASE_CANDIDATE);
    ck_assert(plan_is_over(&plan));
}
END_TEST

START_TEST(waiting_keeps_the_weight_and_resuming_goes_back)
{
    const enum plan_event waits[] = {EVENT_PAUSE, EVENT_FREEZE};
    for (int i = 0; i < 2; i++) {
        start(TWO_STEPS ",\"shadow\":{}");
        does(EVENT_START);
        does(EVENT_READY);
        does(waits[i]);
        assert_at(i ? PLAN_FROZEN : PLAN_PAUSED, 0, 0);
        ck_assert_int_eq(does(EVENT_RESUME), ACTION_MIRROR);
        assert_at(PLAN_SHADOW, 0, 0);
        does(EVENT_SHADOW_DONE);
        does(waits[i]);
        assert_at(i ? PLAN_FROZEN : PLAN_PAUSED, 0, 100);
        ck_assert_int_eq(does(EVENT_RESUME), ACTION_ROUTE);
        does(EVENT_STEP_TIMEOUT);
        assert_at(PLAN_HELD, 0, 100);
        does(waits[i]); // from one waiting state to the next: the way back stays
        does(EVENT_RESUME);
        assert_at(PLAN_RUNNING, 0, 100);
    }
}
END_TEST

START_TEST(each_policy_does_what_it_says)
{
    const struct {
        const char *more;
        enum plan_event event;
        enum plan_state to;
    } cases[] = {
        {"", EVENT_GUARD_FAILED, PLAN_ROLLING_BACK},
        {",\"on_fail\":\"freeze\"", EVENT_GUARD_FAILED, PLAN_FROZEN},
        {",\"on_fail\":\"freeze\"", EVENT_LOST, PLAN_ROLLING_BACK},
        {"", EVENT_STEP_TIMEOUT, PLAN_HELD},
        {",\"on_timeout\":\"rollback\"", EVENT_STEP_TIMEOUT, PLAN_ROLLING_BACK},
        {",\"on_timeout\":\"advance\"", EVENT_STEP_TIMEOUT, PLAN_SCALING},
        {"", EVENT_UNBALANCED, PLAN_FROZEN},
        {"", EVENT_SUPERSEDE, PLAN_SUPERSEDED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start(cases[i].more);
        does(EVENT_START);
        does(EVENT_READY);
        does(cases[i].event);
        ck_assert_str_eq(plan_state_name(plan.state), plan_state_name(cases[i].to));
    }
}
END_TEST

START_TEST(a_shadow_and_an_ab_test_leave_the_decision_to_a_person)
{
    start(",\"strategy\":\"shadow\"");
    does(EVENT_START);
    does(EVENT_READY);
    does(EVENT_SHADOW_DONE);
    assert_at(PLAN_HELD, 0, 0);
    ck_assert(!plan_allows(&spec, &plan, EVENT_ADVANCE));
    ck_assert(!plan_allows(&spec, &plan, EVENT_STEP_PASSED));
    does(EVENT_PROMOTE);
    assert_at(PLAN_PROMOTING, 0, 10000);
    ck_assert_int_eq(
        rollout_request_decode(
            STR("{\"model\":\"m\",\"strategy\":\"ab\",\"arms\":[{\"version\":\"2\",\"weight\":20},"
                "{\"version\":\"3\",\"weight\":30}]}"),
            &spec, &e),
        0);
    plan = (struct plan){0};
    does(EVENT_START);
    does(EVENT_READY);
    assert_at(PLAN_RUNNING, 0, 5000);
    does(EVENT_STEP_PASSED);
    assert_at(PLAN_HELD, 0, 5000);
    ck_assert(!plan_allows(&spec, &plan, EVENT_PROMOTE)); // which of the two?
}
END_TEST

START_TEST(what_is_not_in_the_table_is_refused_and_changes_nothing)
{
    start(TWO_STEPS);
    does(EVENT_START);
    struct plan before = plan;
    enum plan_action action;
    ck_assert_int_eq(plan_apply(&spec, &plan, EVENT_BAKED, now, 0, &action, &e), ERR_CONFLICT);
    ck_assert_mem_eq(&before, &plan, sizeof plan);
    ck_assert_str_eq(e.msg, "the rollout is warming, there is no baked from there");
    ck_assert_str_eq(e.hint, "Possible now: pause, freeze, rollback.");
}
END_TEST

// Every state that can be reached, by all events from all reached plans.
START_TEST(rolling_back_is_possible_from_everywhere_and_weights_are_declared)
{
    const char *const specs[] = {"", TWO_STEPS ",\"shadow\":{}", ",\"strategy\":\"shadow\"",
                                 TWO_STEPS ",\"on_fail\":\"freeze\",\"on_timeout\":\"advance\"",
                                 ",\"on_timeout\":\"rollback\",\"bake\":{\"holdback\":0}"};
    bool reached[PLAN_STATES] = {false};
    for (size_t k = 0; k < sizeof specs / sizeof specs[0]; k++) {
        static struct plan todo[4096];
        static bool seen[PLAN_STATES][PLAN_STATES][ROLLOUT_STEPS_MAX];
        size_t n = 1;
        enum plan_action action;
        memset(seen, 0, sizeof seen);
        start(specs[k]);
        todo[0] = plan;
        while (n > 0) {
            struct plan at = todo[--n];
            reached[at.state] = true;
            if (!plan_is_over(&at) && at.state != PLAN_ROLLING_BACK)
                ck_assert_msg(plan_allows(&spec, &at, EVENT_ROLLBACK), "%s", plan_state_name(at.state));
            for (enum plan_event v = 0; v < PLAN_EVENTS; v++) {
                struct plan next = at; // plan_apply checks the weight
                if (plan_apply(&spec, &next, v, now, 0, &action, &e))
                    continue;
                ck_assert(!plan_is_over(&at));
                ck_assert_uint_eq(next.n_moves, at.n_moves + 1);
                bool *known = &seen[next.state][next.back][next.step];
                if (!*known) {
                    *known = true;
                    ck_assert_uint_lt(n, 4096);
                    todo[n++] = next;
                }
            }
        }
    }
    for (int s = 0; s < PLAN_STATES; s++)
        ck_assert_msg(reached[s], "%s is never reached", plan_state_name(s));
}
END_TEST

static enum plan_event due_after(double seconds, uint64_t requests, enum verdict verdict, bool unbalanced)
{
    struct judgement j = {.verdict = verdict, .unbalanced = unbalanced};
    struct plan_facts facts = {.canary_requests = requests};
    return plan_due(&spec, &plan, plan.step_ns + (uint64_t)(int64_t)(seconds * 1e9), &j, &facts);
}

START_TEST(a_step_needs_time_requests_and_no_open_question)
{
    start(",\"steps\":[{\"weight\":1},{\"weight\":10}]");
    does(EVENT_START);
    does(EVENT_READY);
    ck_assert_int_eq(due_after(299, 1000, VERDICT_PASS, false), EVENT_NONE);
    ck_assert_int_eq(due_after(300, 999, VERDICT_PASS, false), EVENT_NONE);
    ck_assert_int_eq(due_after(300, 1000, VERDICT_PASS, false), EVENT_STEP_PASSED);
    ck_assert_int_eq(due_after(300, 1000, VERDICT_UNDECIDED, false), EVENT_STEP_PASSED); // not the last step
    ck_assert_int_eq(due_after(1, 1, VERDICT_FAIL, false), EVENT_GUARD_FAILED);
    ck_assert_int_eq(due_after(1, 1, VERDICT_PASS, true), EVENT_UNBALANCED);
    ck_assert_int_eq(due_after(86400, 10, VERDICT_PASS, false), EVENT_STEP_TIMEOUT);
    ck_assert_int_eq(due_after(-1, 1000, VERDICT_PASS, false), EVENT_NONE); // the clock was set back
    does(EVENT_STEP_PASSED);
    does(EVENT_READY);
    ck_assert_int_eq(due_after(300, 1000, VERDICT_UNDECIDED, false), EVENT_NONE);
    ck_assert_int_eq(due_after(300, 1000, VERDICT_PASS, false), EVENT_STEP_PASSED);
    does(EVENT_STEP_TIMEOUT);
    ck_assert_int_eq(plan.state, PLAN_HELD);
    ck_assert_int_eq(due_after(90000, 1000, VERDICT_UNDECIDED, false), EVENT_NONE); // not again
    ck_assert_int_eq(due_after(90000, 1000, VERDICT_PASS, false), EVENT_STEP_PASSED);
    ck_assert_int_eq(plan_due(&spec, &plan, now, NULL, &(struct plan_facts){.canary_requests = 5000}),
                     EVENT_NONE);
}
END_TEST

START_TEST(replicas_that_do_not_come_hold_until_a_person_goes_on)
{
    start("");
    does(EVENT_START);
    does(EVENT_READY);
    does(EVENT_STEP_PASSED);
    ck_assert_int_eq(plan.state, PLAN_SCALING);
    does(EVENT_UNREADY);
    ck_assert_int_eq(plan.state, PLAN_HELD);
    const struct judgement passed = {.verdict = VERDICT_PASS};
    const struct plan_facts facts = {.canary_requests = 1000000, .ready = true};
    ck_assert_int_eq(plan_due(&spec, &plan, now + 6000 * SECOND, &passed, &facts), EVENT_NONE);
    ck_assert(plan_allows(&spec, &plan, EVENT_ADVANCE));
}
END_TEST

START_TEST(readiness_baking_and_undo_have_their_times)
{
    start("");
    does(EVENT_START);
    struct plan_facts facts = {0};
    ck_assert_int_eq(plan_due(&spec, &plan, now + 599 * SECOND, NULL, &facts), EVENT_NONE);
    ck_assert_int_eq(plan_due(&spec, &plan, now + 600 * SECOND, NULL, &facts), EVENT_UNREADY);
    facts.ready = true;
    ck_assert_int_eq(plan_due(&spec, &plan, now, NULL, &facts), EVENT_READY);
    facts.lost = true;
    ck_assert_int_eq(plan_due(&spec, &plan, now, NULL, &facts), EVENT_LOST);
    does(EVENT_READY);
    plan.state = PLAN_BAKING;
    facts = (struct plan_facts){0};
    ck_assert_int_eq(plan_due(&spec, &plan, now + 1799 * SECOND, NULL, &facts), EVENT_NONE);
    ck_assert_int_eq(plan_due(&spec, &plan, now + 1800 * SECOND, NULL, &facts), EVENT_BAKED);
    does(EVENT_BAKED);
    ck_assert_int_eq(plan_due(&spec, &plan, now, NULL, &facts), EVENT_NONE);
    facts.routed = true;
    ck_assert_int_eq(plan_due(&spec, &plan, now, NULL, &facts), EVENT_ROUTED);
    does(EVENT_ROUTED);
    ck_assert_int_eq(plan_due(&spec, &plan, now + 3600 * SECOND, NULL, &facts), EVENT_UNDO_OVER);
}
END_TEST

UNIT_MAIN("rollout/plan", a_good_candidate_is_promoted_step_by_step, undo_returns_all_traffic,
          waiting_keeps_the_weight_and_resuming_goes_back, each_policy_does_what_it_says,
          a_shadow_and_an_ab_test_leave_the_decision_to_a_person,
          what_is_not_in_the_table_is_refused_and_changes_nothing,
          rolling_back_is_possible_from_everywhere_and_weights_are_declared,
          a_step_needs_time_requests_and_no_open_question, readiness_baking_and_undo_have_their_times,
          replicas_that_do_not_come_hold_until_a_person_goes_on)
