// SPDX-License-Identifier: Apache-2.0
#include "role/gateway/patience.h"

#include "unit.h"

static const uint64_t MS = 1000000;
enum { HANG_MS = 1500, LOOK_MS = 500 };

// Looks every LOOK_MS until it is given up, at most `ms` long; how long that took, or 0.
static unsigned gives_up_within(struct patience *p, struct patience_seen s, unsigned ms)
{
    for (unsigned passed = 0; passed <= ms; passed += LOOK_MS) {
        s.now_ns = (1000 + passed) * MS;
        if (patience_look(p, &s))
            return passed;
    }
    return 0;
}

START_TEST(a_request_that_is_never_answered_is_noticed_soon_after_the_bound)
{
    struct patience p = {0};
    struct patience_seen s = {.oldest = 1, .n_in_turn = 1, .hang_ms = HANG_MS, .owes = true};
    unsigned ms = gives_up_within(&p, s, 60000);
    ck_assert_uint_gt(ms, 2 * HANG_MS);
    ck_assert_uint_le(ms, 2 * HANG_MS + 2 * LOOK_MS);
    ck_assert_uint_eq(patience_owed(&p, HANG_MS), 1);
    s.oldest = 2;
    ck_assert(!patience_look(&p, &s));
    ck_assert_uint_eq(patience_owed(&p, HANG_MS), 0);
}
END_TEST

START_TEST(one_that_owes_nothing_or_answers_now_and_then_is_kept)
{
    struct patience p = {0};
    struct patience_seen s = {.oldest = 1, .n_in_turn = 1, .hang_ms = HANG_MS};
    ck_assert_uint_eq(gives_up_within(&p, s, 60000), 0);
    s.owes = true;
    for (unsigned i = 0; i < 100; i++) { // slow, but each request is answered at last
        s.now_ns += 2 * HANG_MS * MS;
        ck_assert(!patience_look(&p, &s));
        s.oldest += i % 2;
    }
}
END_TEST

START_TEST(whoever_shares_it_with_others_waits_for_their_turns_too)
{
    struct patience p = {0};
    struct patience_seen s = {
        .now_ns = 1000 * MS, .oldest = 9, .n_in_turn = 8, .hang_ms = HANG_MS, .owes = true};
    ck_assert(!patience_look(&p, &s));
    s.n_in_turn = 1; // the others have had theirs
    unsigned ms = gives_up_within(&p, s, 60000);
    ck_assert_uint_gt(ms, 9 * HANG_MS);
    ck_assert_uint_le(ms, 9 * HANG_MS + 2 * LOOK_MS);
}
END_TEST

START_TEST(a_gateway_that_was_stopped_blames_nobody)
{
    struct patience p = {0};
    struct patience_seen s = {
        .now_ns = 1000 * MS, .oldest = 9, .n_in_turn = 1, .hang_ms = HANG_MS, .owes = true};
    ck_assert(!patience_look(&p, &s));
    s.now_ns += 3600 * 1000 * MS;
    ck_assert(!patience_look(&p, &s));
}
END_TEST

UNIT_MAIN("role/gateway/patience", a_request_that_is_never_answered_is_noticed_soon_after_the_bound,
          one_that_owes_nothing_or_answers_now_and_then_is_kept,
          whoever_shares_it_with_others_waits_for_their_turns_too, a_gateway_that_was_stopped_blames_nobody)
