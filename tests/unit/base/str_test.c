// SPDX-License-Identifier: Apache-2.0
#include "base/str.h"

#include "unit.h"

START_TEST(splits_at_the_first_separator)
{
    struct str rest = STR("a/b/c");
    ck_assert(str_eq(str_split(&rest, '/'), STR("a")));
    ck_assert(str_eq(str_split(&rest, '/'), STR("b")));
    ck_assert(str_eq(str_split(&rest, '/'), STR("c")));
    ck_assert_uint_eq(rest.n, 0);
    ck_assert(str_eq(str_split(&rest, '/'), STR("")));
}
END_TEST

START_TEST(numbers_are_exact_or_refused)
{
    uint64_t v;
    ck_assert(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &v) && v == UINT64_MAX);
    ck_assert(!str_to_u64(STR("18446744073709551616"), UINT64_MAX, &v));
    ck_assert(!str_to_u64(STR(""), UINT64_MAX, &v));
    ck_assert(!str_to_u64(STR("+1"), UINT64_MAX, &v));
    ck_assert(!str_to_u64(STR("11"), 10, &v));
}
END_TEST

START_TEST(comparisons)
{
    ck_assert(str_eq_nocase(STR("Content-LENGTH"), STR("content-length")));
    ck_assert(!str_eq(STR("a"), STR("b")));
    ck_assert(str_starts(STR("abc"), STR("ab")) && !str_starts(STR("a"), STR("ab")));
    ck_assert(str_ends(STR("abc"), STR("bc")) && !str_ends(STR("c"), STR("bc")));
    ck_assert_int_lt(str_cmp(STR("a"), STR("ab")), 0);
    ck_assert(str_eq(str_trim(STR(" \ta b\t ")), STR("a b")));
}
END_TEST

UNIT_MAIN("base/str", splits_at_the_first_separator, numbers_are_exact_or_refused, comparisons)
