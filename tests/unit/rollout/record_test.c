// SPDX-License-Identifier: Apache-2.0
// Random rollouts, recorded: reading the records back gives the same plan and the same bytes, whoever altered
// a record is found, and a controller that was killed at any point goes on where the records end.
#include "rollout/record.h"

#include "rollout/split.h"
#include "stats/random.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

enum { MOVES_MAX = 64 };

struct story {
    struct rollout_spec spec;
    struct plan plans[MOVES_MAX + 1]; // after n moves
    struct buf records[MOVES_MAX];
    size_t n;
};

static void traffic(const struct rollout_spec *spec, const struct plan *p, struct stats_random *r, double bad,
                    struct rollout_input *in)
{
    uint32_t weight = p->state == PLAN_SHADOW ? WEIGHT_ONE / 2 : plan_weight_bp(spec, p) * 100;
    double w = weight / (double)WEIGHT_ONE;
    uint64_t canary = stats_random_binomial(r, 20000, w), stable = 20000 - canary;
    counts_add(&in->assigned[0], weight, canary, stable);
    counts_add(&in->drawn[0], weight, canary, stable); // each has another key
    for (uint32_t i = 0; i < spec->rules.n_guards; i++) {
        uint64_t bad_canary = stats_random_binomial(r, canary, bad),
                 bad_stable = stats_random_binomial(r, stable, 0.01);
        counts_add(&in->tallies[0][i].requests, weight, canary, stable);
        counts_add(&in->tallies[0][i].events, weight, bad_canary, bad_stable);
    }
}

static const enum plan_event HANDS[] = {EVENT_PAUSE,   EVENT_RESUME,   EVENT_ADVANCE,  EVENT_FREEZE,
                                        EVENT_PROMOTE, EVENT_ROLLBACK, EVENT_SUPERSEDE};

static void move(struct story *s, struct rollout_input *in, enum plan_event event, const char *actor)
{
    enum plan_action action;
    struct err e;
    struct plan p = s->plans[s->n];
    in->event = event;
    snprintf(in->actor, sizeof in->actor, "%s", actor);
    snprintf(in->note, sizeof in->note, "%s", event == EVENT_PAUSE ? "lunch \"break\" é" : "");
    buf_init(&s->records[s->n], LIMIT_ROLLOUT_RECORD_BYTES);
    ck_assert_msg(rollout_move(&s->spec, &p, in, &action, &s->records[s->n], &e) == 0, "%s", e.msg);
    s->plans[++s->n] = p;
}

// A rollout as the controller drives it, with people who interfere now and then.
static void live(struct story *s, struct stats_random *r, double bad)
{
    static struct rollout_input in;
    struct judgement arms[GUARD_ARMS_MAX], all;
    struct err e;
    memset(&in, 0, sizeof in);
    s->n = 0;
    s->plans[0] = (struct plan){0};
    in.wall_ns = 1700000000000000000u;
    ck_assert_int_eq(rollout_request_decode(
                         STR("{\"model\":\"m\",\"candidate\":\"2\",\"shadow\":{},\"steps\":[{\"weight\":1},"
                             "{\"weight\":10},{\"weight\":50}]}"),
                         &s->spec, &e),
                     0);
    move(s, &in, EVENT_START, "ann");
    for (int tick = 0; tick < 400 && s->n < MOVES_MAX && !plan_is_over(&s->plans[s->n]); tick++) {
        const struct plan *p = &s->plans[s->n];
        struct plan_facts facts = {.ready = true, .routed = true};
        in.wall_ns += 200000000000;
        traffic(&s->spec, p, r, bad, &in);
        facts.canary_requests = rollout_requests(&s->spec, &in);
        rollout_judge(&s->spec, p, &in, arms, &all);
        enum plan_event hand = HANDS[stats_random_u64(r) % (sizeof HANDS / sizeof HANDS[0])];
        enum plan_event due = plan_due(&s->spec, p, in.wall_ns, &all, &facts);
        enum plan_state from = p->state;
        if (stats_random_u64(r) % 6 == 0 && plan_allows(&s->spec, p, hand))
            move(s, &in, hand, "ann");
        else if (due != EVENT_NONE)
            move(s, &in, due, "rollout");
        if (from == PLAN_SHADOW && s->plans[s->n].state == PLAN_RUNNING) { // other tallies for the steps
            memset(in.assigned, 0, sizeof in.assigned);
            memset(in.drawn, 0, sizeof in.drawn);
            memset(in.tallies, 0, sizeof in.tallies);
        }
    }
}

static void forget(struct story *s)
{
    for (size_t i = 0; i < s->n; i++)
        buf_done(&s->records[i]);
}

START_TEST(a_replay_gives_the_same_plans_and_the_same_bytes)
{
    static struct story s;
    struct stats_random r;
    struct err e;
    size_t ends[PLAN_STATES] = {0};
    stats_random_init(&r, 4);
    for (int run = 0; run < 60; run++) {
        live(&s, &r, run % 2 ? 0.05 : 0.01);
        struct plan p = {0};
        for (size_t i = 0; i < s.n; i++) {
            ck_assert_msg(rollout_replay(&s.spec, &p, buf_str(&s.records[i]), &e) == 0, "%s", e.msg);
            // What a controller that was killed here finds again.
            ck_assert_mem_eq(&p, &s.plans[i + 1], sizeof p);
        }
        ends[p.state]++;
        forget(&s);
    }
    ck_assert_uint_gt(ends[PLAN_ROLLED_BACK], 10);
    ck_assert_uint_gt(ends[PLAN_SETTLED], 2);
}
END_TEST

START_TEST(a_record_that_was_altered_is_found)
{
    static struct story s;
    struct stats_random r;
    struct err e;
    stats_random_init(&r, 6);
    live(&s, &r, 0.05);
    size_t n_altered = 0;
    for (size_t at = 0; at < s.n; at++) {
        struct buf *b = &s.records[at];
        for (size_t i = 0; i < b->n; i++) {
            struct plan p = s.plans[at];
            char was = b->p[i];
            if (was < '0' || was > '9' || stats_random_u64(&r) % 20)
                continue;
            b->p[i] = was == '9' ? '8' : (char)(was + 1);
            ck_assert_msg(rollout_replay(&s.spec, &p, buf_str(b), &e) != 0, "byte %zu of %.*s", i, (int)b->n,
                          b->p);
            ck_assert_mem_eq(&p, &s.plans[at], sizeof p);
            n_altered++;
            b->p[i] = was;
        }
    }
    ck_assert_uint_gt(n_altered, 100);
    forget(&s);
}
END_TEST

START_TEST(a_move_that_was_not_due_is_found)
{
    static struct story s;
    struct stats_random r;
    struct err e;
    enum plan_action action;
    static struct rollout_input in;
    stats_random_init(&r, 8);
    live(&s, &r, 0.01);
    // From the running step: an event without evidence for it.
    struct plan p = {0};
    struct buf b;
    for (size_t i = 0; i < s.n && p.state != PLAN_RUNNING; i++)
        ck_assert_int_eq(rollout_replay(&s.spec, &p, buf_str(&s.records[i]), &e), 0);
    ck_assert_int_eq(p.state, PLAN_RUNNING);
    in = (struct rollout_input){.wall_ns = p.entered_ns + 1, .event = EVENT_GUARD_FAILED, .actor = "rollout"};
    buf_init(&b, LIMIT_ROLLOUT_RECORD_BYTES);
    struct plan next = p;
    ck_assert_int_eq(rollout_move(&s.spec, &next, &in, &action, &b, &e), 0);
    ck_assert_int_eq(rollout_replay(&s.spec, &p, buf_str(&b), &e), ERR_CONFLICT);
    ck_assert_str_eq(e.msg, "the event guard_failed was not due");
    buf_done(&b);
    forget(&s);
}
END_TEST

START_TEST(a_refused_move_leaves_no_trace)
{
    static struct rollout_input in;
    static struct rollout_spec spec;
    struct plan p = {0};
    struct buf b;
    struct err e;
    enum plan_action action;
    ck_assert_int_eq(rollout_request_decode(STR("{\"model\":\"m\",\"candidate\":\"2\"}"), &spec, &e), 0);
    in.event = EVENT_ROUTED;
    buf_init(&b, LIMIT_ROLLOUT_RECORD_BYTES);
    ck_assert_int_eq(rollout_move(&spec, &p, &in, &action, &b, &e), ERR_CONFLICT);
    ck_assert_uint_eq(b.n, 0);
    buf_done(&b);
    buf_init(&b, 100); // no room for the record
    in.event = EVENT_START;
    ck_assert_int_eq(rollout_move(&spec, &p, &in, &action, &b, &e), ERR_TOO_LARGE);
    ck_assert_int_eq(p.state, PLAN_CREATED);
    buf_done(&b);
}
END_TEST

UNIT_MAIN("rollout/record", a_replay_gives_the_same_plans_and_the_same_bytes,
          a_record_that_was_altered_is_found, a_move_that_was_not_due_is_found,
          a_refused_move_leaves_no_trace)
