// SPDX-License-Identifier: Apache-2.0
#include "os/fiber.h"

#include "unit.h"

struct work {
    struct fiber *fiber;
    int steps, done;
};

static int deep(struct work *w, int depth)
{
    volatile char room[512];
    room[depth % 512] = (char)depth;
    if (depth > 0)
        return deep(w, depth - 1) + (room[depth % 512] == (char)depth);
    for (int i = 0; i < w->steps; i++) {
        w->done++;
        fiber_pause(w->fiber);
    }
    return 0;
}

static void run(void *ctx)
{
    struct work *w = ctx;
    ck_assert_int_eq(deep(w, 100), 100);
    w->done = -1;
}

START_TEST(pauses_deep_in_calls_and_goes_on_there)
{
    struct work w[2] = {{.steps = 3}, {.steps = 5}};
    struct err e;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(fiber_new(run, &w[i], &w[i].fiber, &e), 0);
    for (int k = 1; k <= 3; k++) {
        for (int i = 0; i < 2; i++) { // in turn: neither disturbs the other
            ck_assert(fiber_resume(w[i].fiber));
            ck_assert_int_eq(w[i].done, k);
        }
    }
    ck_assert(!fiber_resume(w[0].fiber));
    ck_assert_int_eq(w[0].done, -1);
    ck_assert(fiber_resume(w[1].fiber));
    ck_assert_int_eq(w[1].done, 4);
    for (int i = 0; i < 2; i++) // the second unfinished
        fiber_free(w[i].fiber);
}
END_TEST

START_TEST(a_fiber_that_never_ran_is_freed)
{
    struct work w = {.steps = 1};
    struct err e;
    ck_assert_int_eq(fiber_new(run, &w, &w.fiber, &e), 0);
    fiber_free(w.fiber);
    fiber_free(NULL);
    ck_assert_int_eq(w.done, 0);
}
END_TEST

UNIT_MAIN("os/fiber", pauses_deep_in_calls_and_goes_on_there, a_fiber_that_never_ran_is_freed)
