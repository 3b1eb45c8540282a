// SPDX-License-Identifier: Apache-2.0
#include "role/replica/batch.h"

#include "unit.h"

static struct tensor_spec INPUTS[2];
static const struct interface MODEL = {.n_inputs = 2, .inputs = INPUTS};

static struct tensor matrix(enum dtype dtype, int64_t rows, int64_t columns)
{
    return (struct tensor){.dtype = dtype, .n_dims = 2, .shape = {rows, columns}};
}

START_TEST(only_requests_that_differ_in_rows_go_together)
{
    struct tensor a[2] = {matrix(DTYPE_FP32, 1, 4), matrix(DTYPE_INT64, 1, 2)};
    struct tensor b[2] = {matrix(DTYPE_FP32, 7, 4), matrix(DTYPE_INT64, 7, 2)};
    struct batch_item x = {.outputs = 1, .n_rows = 1, .inputs = a};
    struct batch_item y = {.outputs = 1, .n_rows = 7, .inputs = b};
    ck_assert(batch_may_join(&MODEL, &x, &y));
    y.outputs = 3;
    ck_assert(!batch_may_join(&MODEL, &x, &y));
    y.outputs = 1;
    y.alone = true;
    ck_assert(!batch_may_join(&MODEL, &x, &y));
    ck_assert(!batch_may_join(&MODEL, &y, &x));
    y.alone = false;
    y.n_rows = 0;
    ck_assert(!batch_may_join(&MODEL, &x, &y));
    ck_assert(!batch_may_join(&MODEL, &y, &x));
    y.n_rows = 7;
    b[1].shape[1] = 3;
    ck_assert(!batch_may_join(&MODEL, &x, &y));
    b[1] = matrix(DTYPE_INT32, 7, 2);
    ck_assert(!batch_may_join(&MODEL, &x, &y));
    b[1] = (struct tensor){.dtype = DTYPE_NONE}; // left out
    ck_assert(!batch_may_join(&MODEL, &x, &y));
    a[1] = b[1];
    ck_assert(batch_may_join(&MODEL, &x, &y));
    b[0].n_dims = 1;
    ck_assert(!batch_may_join(&MODEL, &x, &y));
}
END_TEST

static void note(struct batch_profile *p, uint32_t rows, uint64_t ns, int times)
{
    for (int i = 0; i < times; i++)
        batch_profile_note(p, rows, ns);
}

START_TEST(without_a_budget_only_the_maximum_counts)
{
    struct batch_profile p = {0};
    note(&p, 64, 1000000000, 10);
    ck_assert_uint_eq(batch_rows_within(&p, 64, 0), 64);
}
END_TEST

START_TEST(a_budget_is_approached_from_below)
{
    struct batch_profile p = {0};
    ck_assert_uint_eq(batch_rows_within(&p, 1024, 1000), 1);
    note(&p, 1, 10, 3);
    ck_assert_uint_eq(batch_rows_within(&p, 1024, 1000), 2); // not 100, which nobody has tried
    note(&p, 2, 20, 3);
    note(&p, 4, 40, 3);
    ck_assert_uint_eq(batch_rows_within(&p, 1024, 1000), 8);
    ck_assert_uint_eq(batch_rows_within(&p, 5, 1000), 5);
    ck_assert_uint_eq(batch_rows_within(&p, 1024, 30), 3);
    ck_assert_uint_eq(batch_rows_within(&p, 1024, 1), 1); // one row is always computed
    // Every size in turn until the budget is reached.
    struct batch_profile q = {0};
    uint32_t rows = 1, steps = 0;
    for (; steps < 100; steps++) {
        note(&q, rows, rows * 10, 1);
        uint32_t next = batch_rows_within(&q, 1024, 1000);
        if (next == rows)
            break;
        ck_assert_uint_gt(next, rows);
        rows = next;
    }
    ck_assert_uint_eq(rows, 100);
}
END_TEST

START_TEST(the_fit_is_monotone)
{
    struct batch_profile p = {0};
    note(&p, 1, 100, 8);
    note(&p, 8, 400, 8);
    note(&p, 16, 200, 8); // seems faster than 8: both count as 300
    note(&p, 32, 900, 8);
    ck_assert_uint_eq(batch_rows_within(&p, 1024, 300), 16);
    ck_assert_uint_lt(batch_rows_within(&p, 1024, 299), 9);
    uint32_t last = 0;
    for (uint64_t budget = 1; budget < 3000; budget++) {
        uint32_t now = batch_rows_within(&p, 1024, budget);
        ck_assert_msg(now >= last, "budget %d", (int)budget);
        last = now;
    }
    ck_assert_uint_eq(last, 64);
}
END_TEST

START_TEST(one_slow_batch_changes_little_and_is_forgotten)
{
    struct batch_profile p = {0};
    note(&p, 1, 10, 8);
    note(&p, 16, 100, 8);
    note(&p, 16, 1000000000, 1);
    ck_assert_uint_ge(batch_rows_within(&p, 1024, 150), 16);
    // Slow for so long that nobody tries the size again, it is tried again in the end.
    note(&p, 16, 1000000000, 200);
    ck_assert_uint_lt(batch_rows_within(&p, 1024, 150), 3);
    note(&p, 1, 10, 10000);
    note(&p, 2, 20, 1);
    ck_assert_uint_eq(batch_rows_within(&p, 1024, 150), 4);
}
END_TEST

START_TEST(any_number_of_rows_has_a_place)
{
    struct batch_profile p = {0};
    note(&p, 0, 10, 1);
    note(&p, UINT32_MAX, 1000, 1);
    ck_assert_uint_eq(batch_rows_within(&p, 77, 1000), 77);
    note(&p, 1, 0, 100); // a clock that stood still
    ck_assert_uint_ge(batch_rows_within(&p, 77, 1), 1);
}
END_TEST

UNIT_MAIN("role/replica/batch", only_requests_that_differ_in_rows_go_together,
          without_a_budget_only_the_maximum_counts, a_budget_is_approached_from_below, the_fit_is_monotone,
          one_slow_batch_changes_little_and_is_forgotten, any_number_of_rows_has_a_place)
