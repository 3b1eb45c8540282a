// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"

#include "unit.h"

#include <errno.h>
#include <string.h>

START_TEST(every_code_has_a_name_and_a_status)
{
    for (int code = -1; code > ERR_CODE_LIMIT; code--) {
        ck_assert_ptr_nonnull(err_name(code));
        ck_assert_int_ge(err_http_status(code), 400);
        for (int other = -1; other > code; other--)
            ck_assert_str_ne(err_name(code), err_name(other));
    }
    ck_assert_int_eq(err_http_status(12345), 500);
}
END_TEST

START_TEST(wrapping_prefixes_and_never_overflows)
{
    struct err e;
    ck_assert_int_eq(err_set(&e, ERR_BAD_MODEL, "tree %d is a cycle", 3), ERR_BAD_MODEL);
    err_at(&e, "$.x");
    ck_assert_int_eq(err_wrap(&e, "load %s", "churn"), ERR_BAD_MODEL);
    ck_assert_str_eq(e.msg, "load churn: tree 3 is a cycle");
    ck_assert_str_eq(e.path, "$.x");
    for (int i = 0; i < 100; i++)
        err_wrap(&e, "a rather long prefix number %d", i);
    ck_assert_uint_lt(strlen(e.msg), sizeof e.msg);
}
END_TEST

START_TEST(errno_values_become_codes)
{
    struct err e;
    ck_assert_int_eq(err_errno(&e, ENOSPC, "write '%s'", "f"), ERR_NO_SPACE);
    ck_assert_str_eq(e.msg, "write 'f': No space left on device");
    ck_assert_int_eq(err_errno(&e, EIO, "write"), ERR_IO);
}
END_TEST

UNIT_MAIN("base/err", every_code_has_a_name_and_a_status, wrapping_prefixes_and_never_overflows,
          errno_values_become_codes)
