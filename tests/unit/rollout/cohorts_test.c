// SPDX-License-Identifier: Apache-2.0
#include "rollout/cohorts.h"
#include "rollout/entities.h"

#include "stats/random.h"
#include "unit.h"

static const uint64_t SECOND = 1000000000;

static struct cohorts *made(void)
{
    struct cohorts *c;
    struct err e;
    ck_assert_int_eq(cohorts_new(SECOND, 5 * SECOND, 1, &c, &e), 0);
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
    cohorts_finish(c, quick, ARM_CANARY, 1);
    ck_assert(!cohorts_close(c, 3 * SECOND, &t));
    ck_assert_uint_eq(cohorts_closed_until(c, 3 * SECOND), 0);
    cohorts_finish(c, slow, ARM_STABLE, 0);
    ck_assert(cohorts_close(c, 3 * SECOND, &t));
    ck_assert_uint_eq(t.opened_ns, 0);
    ck_assert_uint_eq(t.requests[ARM_STABLE], 1);
    ck_assert_uint_eq(t.events[0][ARM_STABLE], 0);
    ck_assert(cohorts_close(c, 3 * SECOND, &t));
    ck_assert_uint_eq(t.events[0][ARM_CANARY], 1);
    ck_assert(!cohorts_close(c, 3 * SECOND, &t));
    ck_assert_uint_eq(cohorts_closed_until(c, 3 * SECOND + 5), 3 * SECOND);
    cohorts_free(c);
}
END_TEST

START_TEST(what_never_ends_has_the_events_of_a_timeout)
{
    struct cohorts *c = made();
    struct cohort_tick t;
    uint64_t lost = arrived(c, 10, 100000, ARM_STABLE), done = arrived(c, 20, 100000, ARM_STABLE);
    cohorts_finish(c, done, ARM_STABLE, 2);
    ck_assert(!cohorts_close(c, 6 * SECOND - 1, &t));
    ck_assert(cohorts_close(c, 6 * SECOND, &t));
    ck_assert_uint_eq(t.requests[ARM_STABLE], 2);
    ck_assert_uint_eq(t.events[0][ARM_STABLE], 1);
    ck_assert_uint_eq(t.events[1][ARM_STABLE], 1);
    cohorts_finish(c, lost, ARM_STABLE, 0); // too late: counted as a timeout already
    ck_assert(!cohorts_close(c, 60 * SECOND, &t));
    cohorts_free(c);
}
END_TEST

START_TEST(a_new_weight_opens_a_new_cohort)
{
    struct cohorts *c = made();
    struct cohort_tick t;
    cohorts_finish(c, arrived(c, 100, 10000, ARM_CANARY), ARM_CANARY, 0);
    cohorts_finish(c, arrived(c, 200, 50000, ARM_CANARY), ARM_CANARY, 0);
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

START_TEST(only_the_first_event_of_an_entity_counts)
{
    struct entities s;
    struct err e;
    ck_assert_int_eq(entities_init(&s, 64, &e), 0);
    ck_assert(entities_first(&s, 7));
    ck_assert(!entities_first(&s, 7));
    ck_assert(entities_first(&s, 0));
    ck_assert(!entities_first(&s, 0));
    ck_assert(entities_first(&s, 64 + 7)); // the same slot
    ck_assert(!entities_first(&s, 7));
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

UNIT_MAIN("rollout/cohorts", a_cohort_waits_for_those_before_it, what_never_ends_has_the_events_of_a_timeout,
          a_new_weight_opens_a_new_cohort, a_full_ring_leaves_new_requests_out,
          only_the_first_event_of_an_entity_counts, a_full_set_counts_a_sample_and_nobody_twice)
