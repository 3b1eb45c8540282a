// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"

#include "unit.h"

#include <stdio.h>

START_TEST(finds_all_names_and_no_others)
{
    static char names[1000][8];
    struct map m;
    struct err e;
    ck_assert_int_eq(map_init(&m, 1000, &e), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(names[i], sizeof names[i], "n%u", i);
        ck_assert_int_eq(map_add(&m, str_of(names[i]), i, &e), 0);
    }
    for (uint32_t i = 0; i < 1000; i++)
        ck_assert_int_eq(map_get(&m, str_of(names[i])), i);
    ck_assert_int_eq(map_get(&m, STR("n1000")), MAP_NONE);
    ck_assert_int_eq(map_get(&m, STR("")), MAP_NONE);
    map_done(&m);
    ck_assert_int_eq(map_get(&m, STR("n1")), MAP_NONE);
}
END_TEST

START_TEST(a_name_twice_is_refused)
{
    struct map m;
    struct err e;
    ck_assert_int_eq(map_init(&m, 2, &e), 0);
    ck_assert_int_eq(map_add(&m, STR("a"), 0, &e), 0);
    ck_assert_int_eq(map_add(&m, STR("a"), 1, &e), ERR_DUPLICATE_KEY);
    ck_assert_int_eq(map_get(&m, STR("a")), 0);
    map_done(&m);
}
END_TEST

UNIT_MAIN("base/map", finds_all_names_and_no_others, a_name_twice_is_refused)
