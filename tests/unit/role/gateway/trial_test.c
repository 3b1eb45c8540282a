// SPDX-License-Identifier: Apache-2.0
// What a gateway counts of a rollout and how it says so: by the arm that was drawn, whoever answered, each
// entity's first bad event, scores by range, and a last message when all has ended.
#include "divided.h"
#include "unit.h"

#include "rollout/scores.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL_TO_CANARY  DIVIDED_CANARY("10000")
#define NONE_TO_CANARY DIVIDED_CANARY("0")
#define ERRORS         "\"guards\":[\"errors\"],"
#define SCORES         "\"guards\":[\"errors\",\"distribution\"],"

static void finish(struct trial_part *p, bool failed)
{
    trial_end(p, &(struct trial_outcome){.failed = failed});
}

// Sums of a pair that stands in the ticks: `"requests":[c,s]`, or with "events" the pairs behind it.
static void pairs_of(const char *reports, const char *name, unsigned i, unsigned ret[2])
{
    ret[0] = ret[1] = 0;
    for (const char *p = reports; (p = strstr(p, name)) != NULL;) {
        unsigned c, s;
        p += strlen(name);
        for (unsigned k = 0; k < i; k++)
            p = strchr(p, ']') + 2;
        ck_assert_int_eq(sscanf(p, "[%u,%u]", &c, &s), 2);
        ret[0] += c;
        ret[1] += s;
    }
}

// How often "firsts" tell of an event of an arm.
static unsigned firsts(const char *reports, enum arm arm, unsigned bit)
{
    unsigned n = 0;
    for (const char *p = reports; (p = strstr(p, "\"firsts\":[")) != NULL;) {
        unsigned long long entity;
        unsigned of, events;
        for (p += 9; *++p == '['; p = strchr(p, ']') + 1) {
            ck_assert_int_eq(sscanf(p, "[%llu,%u,%u]", &entity, &of, &events), 3);
            n += of == arm && (events >> bit & 1);
        }
    }
    return n;
}

static void counted(const char *reports, unsigned canary, unsigned stable, unsigned bad_canary,
                    unsigned bad_stable)
{
    unsigned n[2], bad[2];
    pairs_of(reports, "\"requests\":", 0, n);
    pairs_of(reports, "\"events\":[", 0, bad);
    ck_assert_msg(n[0] == canary && n[1] == stable && bad[0] == bad_canary && bad[1] == bad_stable, "%s",
                  reports);
}

// Until the last message: the table has no split, and all requests have ended.
static const char *ended(void)
{
    divided_route(NULL);
    return divided_wait("\"ended\":true");
}

START_TEST(requests_count_for_the_arm_that_was_drawn)
{
    struct deployment *d;
    divided_start();
    divided_route(ALL_TO_CANARY ERRORS "\"key\":\"none\",");
    for (int i = 0; i < 10; i++) {
        struct trial_part *p = divided_begin(NULL, NULL, &d);
        ck_assert_uint_eq(d->id, 9);
        ck_assert(str_eq(trial_arm(p), STR("canary")) && p->weight_bp == 10000);
        finish(p, i == 0);
    }
    divided_route(NONE_TO_CANARY ERRORS "\"key\":\"none\",");
    struct trial_part *p = divided_begin(NULL, NULL, &d);
    ck_assert(d->id == 7 && str_eq(trial_arm(p), STR("stable")) && p->weight_bp == 10000);
    finish(p, true);
    p = divided_begin(NULL, "canary", &d); // a tester
    ck_assert_uint_eq(d->id, 9);
    finish(p, true);
    counted(ended(), 10, 1, 1, 1);
    ck_assert_uint_eq(divided_sum("overridden"), 1);
    divided_end();
}
END_TEST

START_TEST(the_first_bad_event_of_an_entity_counts)
{
    struct deployment *d;
    divided_start();
    divided_route(ALL_TO_CANARY ERRORS DIVIDED_BY_USER);
    for (int i = 0; i < 12; i++)
        finish(divided_begin(i % 3 ? "ann" : "ben", NULL, &d), true);
    finish(divided_begin(NULL, NULL, &d), true); // no key: each for itself
    finish(divided_begin(NULL, NULL, &d), true);
    const char *told = ended();
    counted(told, 14, 0, 2, 0);
    ck_assert_uint_eq(firsts(told, ARM_CANARY, 0), 2);
    ck_assert_uint_eq(firsts(told, ARM_STABLE, 0), 0);
    divided_end();
}
END_TEST

START_TEST(what_came_last_is_told_before_the_end)
{
    for (int turns = 5; turns < 10; turns++) { // the first report comes in the tenth
        struct deployment *d;
        divided_start();
        divided_route(ALL_TO_CANARY ERRORS "\"key\":\"none\",");
        for (int i = 0; i < turns; i++)
            divided_turn();
        finish(divided_begin(NULL, NULL, &d), true);
        counted(ended(), 1, 0, 1, 0);
        divided_end();
    }
}
END_TEST

// Whoever waits for a whole second to end notices a bad candidate a second later.
START_TEST(what_arrives_within_a_tenth_of_a_second_is_counted_together)
{
    uint64_t opened_ns = 0, second_ns = 1000000000;
    for (int i = 0; i < 10 && opened_ns % second_ns == 0; i++) { // by chance it may be a whole second
        struct deployment *d;
        divided_start();
        divided_route(ALL_TO_CANARY ERRORS "\"key\":\"none\",");
        finish(divided_begin(NULL, NULL, &d), false);
        const char *at = strstr(ended(), "\"opened_ns\":");
        ck_assert_ptr_nonnull(at);
        opened_ns = strtoull(at + strlen("\"opened_ns\":"), NULL, 10);
        divided_end();
    }
    ck_assert_uint_eq(opened_ns % (second_ns / 10), 0);
    ck_assert_uint_ne(opened_ns % second_ns, 0);
}
END_TEST

START_TEST(what_a_shield_answers_is_the_candidates_failure)
{
    struct deployment *d;
    divided_start();
    divided_route(ALL_TO_CANARY ERRORS "\"key\":\"none\",\"shield\":true,");
    struct trial_part *p = divided_begin(NULL, NULL, &d);
    ck_assert(trial_is_shielded(p));
    ck_assert(trial_shield(p, true, &d));
    ck_assert_uint_eq(d->id, 7);
    ck_assert(!trial_is_shielded(p)); // the baseline has no shield
    trial_scored(p, DTYPE_FP32, (const float[]){1}, 1);
    finish(p, false);
    counted(ended(), 1, 0, 1, 0);
    ck_assert_uint_eq(divided_sum("fallbacks"), 1);
    divided_end();
}
END_TEST

START_TEST(scores_are_told_until_there_are_cuts_and_counted_from_then_on)
{
    struct deployment *d;
    divided_start();
    divided_route(NONE_TO_CANARY SCORES "\"key\":\"none\",");
    for (int i = 0; i < 3; i++) {
        struct trial_part *p = divided_begin(NULL, NULL, &d);
        trial_scored(p, DTYPE_FP64, (const double[]){i ? 0.25 * i : (double)NAN}, 1);
        finish(p, false);
    }
    const char *told = divided_wait("\"scores\":[0.25,0.5]");
    ck_assert_ptr_null(strstr(told, "\"ranges\""));
    divided_route(ALL_TO_CANARY SCORES "\"key\":\"none\",\"cuts\":[0.25,1],");
    static const double SAID[] = {-1, 0.25, 0.3, 2, 3, (double)NAN};
    for (size_t i = 0; i < sizeof SAID / sizeof SAID[0]; i++) {
        struct trial_part *p = divided_begin(NULL, NULL, &d);
        trial_scored(p, DTYPE_FP64, &SAID[i], 1);
        finish(p, false);
    }
    told = ended();
    static const unsigned IN_RANGE[] = {2, 1, 2, 0, 0, 0};
    for (unsigned i = 0; i < SCORE_RANGES; i++) {
        unsigned n[2];
        pairs_of(told, "\"ranges\":[", i, n);
        ck_assert_msg(n[0] == IN_RANGE[i] && n[1] == 0, "range %u: %s", i, told);
    }
    divided_end();
}
END_TEST

START_TEST(an_entity_has_one_score)
{
    struct deployment *d;
    divided_start();
    divided_route(ALL_TO_CANARY SCORES DIVIDED_BY_USER "\"cuts\":[0.5],");
    for (int i = 0; i < 6; i++) {
        struct trial_part *p = divided_begin(i % 2 ? "ann" : "ben", NULL, &d);
        trial_scored(p, DTYPE_INT64, (const int64_t[]){1}, 1);
        finish(p, false);
    }
    ck_assert_uint_eq(firsts(ended(), ARM_CANARY, GUARDS_MAX + 1), 2);
    divided_end();
}
END_TEST

// Independent draws of the router.
static unsigned drawn(const char *reports)
{
    unsigned n = 0;
    for (const char *p = reports; (p = strstr(p, "\"drawn\":[")) != NULL;) {
        unsigned arm, weight, canary, stable;
        for (p += 8; *++p == '['; p = strchr(p, ']') + 1) {
            ck_assert_int_eq(sscanf(p, "[%u,%u,%u,%u]", &arm, &weight, &canary, &stable), 4);
            n += canary + stable;
        }
    }
    return n;
}

static void draw_three(void)
{
    struct deployment *d;
    finish(divided_begin("ann", NULL, &d), false);
    finish(divided_begin("ben", NULL, &d), false);
    finish(divided_begin("ann", NULL, &d), false);
    finish(divided_begin(NULL, NULL, &d), false); // no key: each for itself
}

START_TEST(a_key_is_drawn_once)
{
    divided_start();
    divided_route(NULL);
    divided_route(DIVIDED_CANARY("5000") ERRORS DIVIDED_BY_USER);
    draw_three();
    ck_assert_uint_eq(drawn(ended()), 3);
    divided_end();
}
END_TEST

START_TEST(who_comes_into_a_rollout_does_not_know_whose_key_was_drawn)
{
    divided_start();
    divided_route(DIVIDED_CANARY("5000") ERRORS DIVIDED_BY_USER);
    draw_three();
    ck_assert_uint_eq(drawn(ended()), 1);
    divided_end();
}
END_TEST

#define SHADOW "\"arms\":[],\"shadow\":{\"deployment\":9,\"share\":10000,\"budget_percent\":50},"

START_TEST(of_an_entity_one_pair_counts)
{
    struct pairs_answer good = {1, 1, (double[]){1}, NULL}, low = {1, 1, (double[]){0}, NULL}, none = {0};
    divided_start();
    divided_route(SHADOW SCORES DIVIDED_BY_USER "\"cuts\":[0.5],");
    struct trial *t = divided_gateway.trials;
    const struct trial_pair fails = {.failed = {[ARM_CANARY] = true}, .answers = {&none, &good}};
    const struct trial_pair differs = {.answers = {&low, &good}};
    struct trial_pair of[] = {fails, fails, fails, differs, differs, differs, fails, differs};
    static const uint64_t ENTITIES[] = {7, 9, 7, 7, 7, 9, 0, 0};
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        of[i].entity = ENTITIES[i];
        trial_pair(t, &of[i]);
    }
    // Its first pair was the candidate's failure.
    trial_pair(t,
               &(struct trial_pair){.failed = {[ARM_STABLE] = true}, .answers = {&good, &none}, .entity = 7});
    const char *told = ended();
    counted(told, 9, 9, 1, 0);
    ck_assert_uint_eq(firsts(told, ARM_CANARY, 0), 2);
    ck_assert_uint_eq(firsts(told, ARM_STABLE, 0), 0);
    unsigned n[2];
    pairs_of(told, "\"ranges\":[", 0, n);
    ck_assert(n[0] == 1 && n[1] == 0);
    pairs_of(told, "\"ranges\":[", 1, n);
    ck_assert(n[0] == 0 && n[1] == 1);
    ck_assert_uint_eq(firsts(told, ARM_CANARY, GUARDS_MAX), 2);
    ck_assert_uint_eq(firsts(told, ARM_STABLE, GUARDS_MAX + 1), 2);
    divided_end();
}
END_TEST

START_TEST(sound_is_what_is_finite_and_within_bounds)
{
    struct deployment *d;
    divided_start();
    divided_route(ALL_TO_CANARY ERRORS "\"key\":\"none\",\"range\":[0,1],");
    struct trial_part *p = divided_begin(NULL, NULL, &d);
    ck_assert(trial_is_sound(p, DTYPE_FP32, (const float[]){0, 0.5f, 1}, 3));
    ck_assert(!trial_is_sound(p, DTYPE_FP32, (const float[]){0, 1.5f}, 2));
    ck_assert(!trial_is_sound(p, DTYPE_FP64, (const double[]){(double)NAN}, 1));
    ck_assert(!trial_is_sound(p, DTYPE_INT64, (const int64_t[]){2}, 1));
    finish(p, false);
    (void)ended();
    divided_end();
}
END_TEST

START_TEST(a_rollout_goes_on_until_its_last_request_has_ended)
{
    struct deployment *d;
    divided_start();
    divided_route(ALL_TO_CANARY ERRORS "\"key\":\"none\",");
    struct trial_part *p = divided_begin(NULL, NULL, &d);
    divided_route(NULL);
    const char *told = divided_wait("\"ended\":false");
    ck_assert_ptr_null(strstr(told, "\"ended\":true"));
    finish(p, true);
    counted(divided_wait("\"ended\":true"), 1, 0, 1, 0);
    ck_assert_ptr_null(divided_gateway.trials);
    divided_end();
}
END_TEST

UNIT_MAIN("role/gateway/trial", requests_count_for_the_arm_that_was_drawn,
          the_first_bad_event_of_an_entity_counts, a_key_is_drawn_once,
          who_comes_into_a_rollout_does_not_know_whose_key_was_drawn, of_an_entity_one_pair_counts,
          what_came_last_is_told_before_the_end, what_arrives_within_a_tenth_of_a_second_is_counted_together,
          what_a_shield_answers_is_the_candidates_failure,
          scores_are_told_until_there_are_cuts_and_counted_from_then_on, an_entity_has_one_score,
          sound_is_what_is_finite_and_within_bounds, a_rollout_goes_on_until_its_last_request_has_ended)
