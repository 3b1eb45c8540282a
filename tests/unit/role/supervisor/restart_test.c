// SPDX-License-Identifier: Apache-2.0
#include "role/supervisor/restart.h"

#include "unit.h"

static const uint64_t SECOND = 1000000000;

START_TEST(the_first_restart_is_immediate_and_all_are_within_200_ms)
{
    struct restart r = {0};
    uint64_t delay = 1, last = 0;
    for (int i = 0; i < RESTART_INTENSITY - 1; i++) {
        ck_assert(restart_after_death(&r, SECOND * 100 + (uint64_t)i, &delay));
        ck_assert(i == 0 ? delay == 0 : delay > last);
        ck_assert_uint_lt(delay, 200000000);
        last = delay;
    }
}
END_TEST

START_TEST(the_fifth_death_within_30_s_is_the_last)
{
    struct restart r = {0};
    uint64_t delay;
    for (int i = 0; i < 4; i++)
        ck_assert(restart_after_death(&r, SECOND * (100 + 7 * (uint64_t)i), &delay));
    ck_assert(!restart_after_death(&r, SECOND * 100 + SECOND * 30 - 1, &delay));
}
END_TEST

START_TEST(deaths_older_than_30_s_are_forgotten)
{
    struct restart r = {0};
    uint64_t delay;
    for (int i = 0; i < 4; i++)
        ck_assert(restart_after_death(&r, SECOND * 100, &delay));
    ck_assert(restart_after_death(&r, SECOND * 130, &delay));
    ck_assert_uint_eq(delay, 0);
    // One every 8 s for ever: at most four in any 30 s.
    for (uint64_t i = 1; i < 100; i++)
        ck_assert(restart_after_death(&r, SECOND * (130 + 8 * i), &delay));
}
END_TEST

UNIT_MAIN("role/supervisor/restart", the_first_restart_is_immediate_and_all_are_within_200_ms,
          the_fifth_death_within_30_s_is_the_last, deaths_older_than_30_s_are_forgotten)
