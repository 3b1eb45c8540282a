// SPDX-License-Identifier: Apache-2.0
#include "rollout/cohorts.h"
#include "rollout/entities.h"

#include "stats/random.h"
#include "unit.h"

#include <string.h>
#include <yyjson.h>

enum { MARKS = 3 };
static const uint64_t SECOND = 1000000000;

static struct cohorts *made(void)
{
    struct cohorts *c;
    struct err e;
    ck_assert_int_eq(cohorts_new(SECOND, 5 * SECOND, 1, MARKS, &c, &e), 0);
    return c;
}

static uint64_t arrived(struct cohorts *c, uint64_t ns, uint32_t weight, enum arm arm)
{
    uint64_t cohort;
    ck_assert(cohorts_arrive(c, ns, weight, arm, &cohort));
    return cohort;
}

START_TEST(a_cohort_waits_for_those_before_it)
{
    struct cohorts *c = made();
    struct cohort_tick t;
    uint64_t slow = arrived(c, 0, 100000, ARM_STABLE), quick = arrived(c, SECOND, 100000, ARM_CANARY);
    cohorts_finish(c, quick, ARM_CANARY, 1, 0);
    ck_assert(!cohorts_close(c, 3 * SECOND, &t));
    ck_assert_uint_eq(cohorts_closed_until(c, 3 * SECOND), 0);
    ck_assert(!cohorts_is_empty(c));
    cohorts_finish(c, slow, ARM_STABLE, 0, 0);
    ck_assert(cohorts_close(c, 3 * SECOND, &t));
    ck_assert_uint_eq(t.opened_ns, 0);
    ck_assert_uint_eq(t.requests[ARM_STABLE], 1);
    ck_assert_uint_eq(t.events[0][ARM_STABLE], 0);
    ck_assert(cohorts_close(c, 3 * SECOND, &t));
    ck_assert_uint_eq(t.events[0][ARM_CANARY], 1);
    ck_assert(!cohorts_close(c, 3 * SECOND, &t));
    ck_assert(cohorts_is_empty(c));
    ck_assert_uint_eq(cohorts_closed_until(c, 3 * SECOND + 5), 3 * SECOND);
    cohorts_free(c);
}
END_TEST

START_TEST(what_never_ends_has_the_events_of_a_timeout)
{
    struct cohorts *c = made();
    struct cohort_tick t;
    uint64_t lost = arrived(c, 10, 100000, ARM_STABLE), done = arrived(c, 20, 100000, ARM_STABLE);
    cohorts_finish(c, done, ARM_STABLE, 2, 0);
    ck_assert(!cohorts_close(c, 6 * SECOND - 1, &t));
    ck_assert(cohorts_close(c, 6 * SECOND, &t));
    ck_assert_uint_eq(t.requests[ARM_STABLE], 2);
    ck_assert_uint_eq(t.events[0][ARM_STABLE], 1);
    ck_assert_uint_eq(t.events[1][ARM_STABLE], 1);
    cohorts_finish(c, lost, ARM_STABLE, 0, 0); // too late: counted as a timeout already
    ck_assert(!cohorts_close(c, 60 * SECOND, &t));
    cohorts_free(c);
}
END_TEST

START_TEST(a_new_weight_opens_a_new_cohort)
{
    struct cohorts *c = made();
    struct cohort_tick t;
    cohorts_finish(c, arrived(c, 100, 10000, ARM_CANARY), ARM_CANARY, 0, 0);
    cohorts_finish(c, arrived(c, 200, 50000, ARM_CANARY), ARM_CANARY, 0, 0);
    ck_assert(!cohorts_close(c, SECOND - 1, &t));
    ck_assert(cohorts_close(c, SECOND, &t));
    ck_assert_uint_eq(t.weight, 10000);
    ck_assert(cohorts_close(c, SECOND, &t));
    ck_assert_uint_eq(t.weight, 50000);
    cohorts_free(c);
}
END_TEST

START_TEST(a_full_ring_leaves_new_requests_out)
{
    struct cohorts *c = made();
    uint64_t cohort;
    int n = 0;
    while (cohorts_arrive(c, 0, 1000 + n % 2, ARM_STABLE, &cohort))
        n++;
    ck_assert_int_eq(n, 2 * (5 + 4));
    cohorts_free(c);
}
END_TEST

START_TEST(marks_come_with_their_cohort_and_in_no_tick)
{
    struct cohorts *c = made();
    struct cohort_tick t;
    struct cohort_mark m;
    for (int round = 0; round < 3; round++) { // places are given back
        uint64_t at = (uint64_t)round * 10 * SECOND;
        uint64_t one = arrived(c, at, 100000, ARM_CANARY), two = arrived(c, at + SECOND, 100000, ARM_STABLE);
        cohorts_finish(c, two, ARM_STABLE, 2, 7);
        cohorts_finish(c, one, ARM_CANARY, 1, 9);
        ck_assert(!cohorts_take_mark(c, &m));
        ck_assert(cohorts_close(c, at + 9 * SECOND, &t));
        ck_assert_uint_eq(t.requests[ARM_CANARY], 1);
        ck_assert_uint_eq(t.events[0][ARM_CANARY], 0);
        ck_assert(cohorts_take_mark(c, &m));
        ck_assert(m.entity == 9 && m.events == 1 && m.arm == ARM_CANARY);
        ck_assert(!cohorts_take_mark(c, &m));
        ck_assert(cohorts_close(c, at + 9 * SECOND, &t));
        ck_assert(cohorts_take_mark(c, &m));
        ck_assert(m.entity == 7 && m.events == 2 && m.arm == ARM_STABLE);
    }
    cohorts_free(c);
}
END_TEST

START_TEST(marks_are_bounded_and_those_that_nobody_took_make_room)
{
    struct cohorts *c = made();
    struct cohort_tick t;
    struct cohort_mark m;
    // The second round leaves them there, so that there is room again when the third is closed.
    static const int TAKEN[] = {MARKS, 0, 0, MARKS};
    for (int round = 0; round < 4; round++) {
        uint64_t at = (uint64_t)round * SECOND;
        for (uint64_t i = 0; i < MARKS + 2; i++)
            cohorts_finish(c, arrived(c, at, 100000, ARM_CANARY), ARM_CANARY, 1, i + 1);
        ck_assert(cohorts_close(c, at + SECOND, &t));
        ck_assert_uint_eq(t.requests[ARM_CANARY], MARKS + 2);
        for (int i = 0; i < TAKEN[round]; i++)
            ck_assert(cohorts_take_mark(c, &m));
        ck_assert(round == 1 || !cohorts_take_mark(c, &m));
    }
    cohorts_free(c);
}
END_TEST

// Only the upper half of a hash is looked at.
#define HASH(x) ((uint64_t)(x) << 32)

START_TEST(only_the_first_event_of_an_entity_counts)
{
    struct entities s;
    struct err e;
    ck_assert_int_eq(entities_init(&s, 64, &e), 0);
    ck_assert(entities_first(&s, HASH(7)));
    ck_assert(!entities_first(&s, HASH(7)));
    ck_assert(entities_first(&s, HASH(0)));
    ck_assert(!entities_first(&s, HASH(0)));
    ck_assert(entities_first(&s, HASH(64 + 7))); // the same slot
    ck_assert(!entities_first(&s, HASH(7)));
    entities_done(&s);
}
END_TEST

START_TEST(a_full_set_counts_a_sample_and_nobody_twice)
{
    enum { ENTITIES = 100000, SLOTS = 4096 };
    static int counted[ENTITIES];
    static uint64_t hashes[ENTITIES];
    struct entities s;
    struct stats_random r;
    struct err e;
    int n = 0;
    stats_random_init(&r, 9);
    for (int i = 0; i < ENTITIES; i++)
        hashes[i] = stats_random_u64(&r);
    ck_assert_int_eq(entities_init(&s, SLOTS, &e), 0);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < ENTITIES; i++)
            counted[i] += entities_first(&s, hashes[i]);
    for (int i = 0; i < ENTITIES; i++) {
        ck_assert_int_le(counted[i], 1);
        n += counted[i];
        // Who is still sampled was counted.
        if (hashes[i] >> (64 - s.halvings) == 0)
            ck_assert_int_eq(counted[i], 1);
    }
    ck_assert_uint_le(s.n, SLOTS / 2);
    ck_assert_uint_ge(s.halvings, 5);
    ck_assert_int_ge(n, 3 * SLOTS / 2);
    entities_done(&s);
}
END_TEST

START_TEST(who_had_an_event_is_read_back)
{
    enum { ENTITIES = 3000 };
    static const char *const BAD[] = {"[]", "{\"halvings\":0}", "{\"halvings\":25,\"of\":[]}",
                                      "{\"halvings\":0,\"of\":[0]}", "{\"halvings\":0,\"of\":[4294967296]}"};
    struct entities s, again, small;
    struct buf json;
    struct err e;
    int first = 0;
    ck_assert_int_eq(entities_init(&s, 4096, &e), 0);
    ck_assert_int_eq(entities_init(&again, 4096, &e), 0);
    ck_assert_int_eq(entities_init(&small, 64, &e), 0);
    for (uint64_t i = 0; i < ENTITIES; i++)
        first += entities_first(&s, entities_event(i, 0));
    ck_assert(s.halvings == 1 && first > 2048 && first < ENTITIES);
    buf_init(&json, 1 << 20);
    entities_encode(&s, &json);
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    ck_assert_int_eq(entities_read(yyjson_doc_get_root(doc), &again, &e), 0);
    ck_assert(again.n == s.n && again.halvings == s.halvings);
    ck_assert_int_eq(entities_read(yyjson_doc_get_root(doc), &small, &e), 0);
    ck_assert(small.n <= 32 && small.halvings > s.halvings);
    yyjson_doc_free(doc);
    for (uint64_t i = 0; i < ENTITIES; i++) {
        ck_assert(!entities_first(&again, entities_event(i, 0)));
        ck_assert(!entities_first(&small, entities_event(i, 0)));
    }
    ck_assert(entities_first(&again, HASH(12345))); // another, who is in the sample
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        doc = yyjson_read(BAD[i], strlen(BAD[i]), 0);
        ck_assert_msg(entities_read(yyjson_doc_get_root(doc), &again, &e) == ERR_INVALID, "%s", BAD[i]);
        yyjson_doc_free(doc);
    }
    buf_done(&json);
    entities_done(&s);
    entities_done(&again);
    entities_done(&small);
}
END_TEST

UNIT_MAIN("rollout/cohorts", a_cohort_waits_for_those_before_it, what_never_ends_has_the_events_of_a_timeout,
          a_new_weight_opens_a_new_cohort, a_full_ring_leaves_new_requests_out,
          marks_come_with_their_cohort_and_in_no_tick, marks_are_bounded_and_those_that_nobody_took_make_room,
          only_the_first_event_of_an_entity_counts, a_full_set_counts_a_sample_and_nobody_twice,
          who_had_an_event_is_read_back)
