// SPDX-License-Identifier: Apache-2.0
// What requests may hold in memory while no replica has room for them.
#include "role/gateway/call_parts.h"

#include "unit.h"

enum { MIB = 1 << 20, CALLS = 64 };

static struct gateway gateway;
static struct backend noisy = {.g = &gateway}, quiet = {.g = &gateway};
static struct deployment of_noisy = {.model = (char[]){"noisy"}, .backend = &noisy},
                         of_quiet = {.model = (char[]){"quiet"}, .backend = &quiet};

// Takes memory for n calls of so many MiB each; how many got it.
static unsigned take(struct call *calls, unsigned n, struct deployment *d, size_t mib)
{
    unsigned taken = 0;
    for (unsigned i = 0; i < n; i++) {
        struct err e;
        calls[i] = (struct call){.deployment = d};
        int rc = call_memory_take(&calls[i], mib * MIB, &e);
        ck_assert(rc == 0 || rc == ERR_BUSY);
        taken += rc == 0;
    }
    return taken;
}

static void give_back(struct call *calls, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        call_memory_free(&calls[i]);
}

START_TEST(one_model_gets_half_and_leaves_the_others_theirs)
{
    struct call a[CALLS], b[CALLS];
    ck_assert_uint_eq(take(a, CALLS, &of_noisy, 32) * 32, GATEWAY_JOBS_BYTES / MIB / 2);
    ck_assert_uint_eq(noisy.waiting_bytes, GATEWAY_JOBS_BYTES / 2);
    ck_assert_uint_eq(take(b, CALLS, &of_quiet, 32) * 32,
                      GATEWAY_JOBS_BYTES / MIB / 4); // half of what is left
    ck_assert_uint_le(gateway.jobs_bytes, GATEWAY_JOBS_BYTES);
    give_back(a, CALLS);
    give_back(b, CALLS);
    ck_assert_uint_eq(gateway.jobs_bytes + noisy.waiting_bytes + quiet.waiting_bytes, 0);
}
END_TEST

START_TEST(what_jobs_hold_is_not_there_for_calls)
{
    struct call a[CALLS];
    gateway.jobs_bytes = GATEWAY_JOBS_BYTES - 64 * MIB;
    ck_assert_uint_eq(take(a, CALLS, &of_noisy, 16), 2);
    give_back(a, CALLS);
    gateway.jobs_bytes = GATEWAY_JOBS_BYTES + MIB; // jobs grow while they are decoded
    ck_assert_uint_eq(take(a, 1, &of_noisy, 1), 0);
    gateway.jobs_bytes = 0;
}
END_TEST

START_TEST(a_message_that_no_replica_takes_is_refused)
{
    struct call a;
    struct err e;
    ck_assert_uint_eq(take(&a, 1, &of_noisy, 100), 1);
    ck_assert_int_eq(call_memory_shrink(&a, LINK_RING_BYTES, &e), ERR_TOO_LARGE);
    ck_assert_int_eq(call_memory_shrink(&a, LINK_RING_BYTES - RING_ALIGN, &e), 0);
    ck_assert_uint_eq(gateway.jobs_bytes, LINK_RING_BYTES - RING_ALIGN);
    give_back(&a, 1);
    ck_assert_uint_eq(gateway.jobs_bytes, 0);
}
END_TEST

UNIT_MAIN("role/gateway/call_message", one_model_gets_half_and_leaves_the_others_theirs,
          what_jobs_hold_is_not_there_for_calls, a_message_that_no_replica_takes_is_refused)
