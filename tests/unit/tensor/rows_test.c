// SPDX-License-Identifier: Apache-2.0
#include "tensor/rows.h"

#include "unit.h"

START_TEST(rows_keep_their_values_while_growing)
{
    struct rows r;
    struct err e;
    rows_init(&r, DTYPE_FP32, 3, 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        void *p;
        ck_assert_int_eq(rows_append(&r, 1, &p, &e), 0);
        for (int k = 0; k < 3; k++)
            ((float *)p)[k] = (float)(i * 3 + (uint32_t)k);
    }
    for (uint32_t i = 0; i < 3000; i++)
        ck_assert_float_eq(((float *)r.data)[i], (float)i);
    void *p;
    ck_assert_int_eq(rows_append(&r, 1, &p, &e), ERR_TOO_LARGE);
    rows_truncate(&r, 10);
    ck_assert_int_eq(rows_append(&r, 990, &p, &e), 0);
    rows_done(&r);
}
END_TEST

// Under UBSan also: an offset is not added to a NULL pointer.
START_TEST(no_rows_may_be_appended)
{
    struct rows r;
    struct err e;
    void *p = &r;
    rows_init(&r, DTYPE_FP64, 3, 10);
    ck_assert_int_eq(rows_append(&r, 0, &p, &e), 0);
    ck_assert_ptr_null(p);
    ck_assert_uint_eq(r.n_rows, 0);
    ck_assert_int_eq(rows_append(&r, 2, &p, &e), 0);
    ck_assert_ptr_eq(p, r.data);
    ck_assert_int_eq(rows_append(&r, 0, &p, &e), 0);
    ck_assert_ptr_eq(p, (double *)r.data + 6);
    ck_assert_uint_eq(r.n_rows, 2);
    rows_done(&r);
}
END_TEST

UNIT_MAIN("tensor/rows", rows_keep_their_values_while_growing, no_rows_may_be_appended)
