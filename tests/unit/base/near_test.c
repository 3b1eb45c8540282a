// SPDX-License-Identifier: Apache-2.0
#include "base/near.h"

#include "unit.h"

static const struct str NAMES[] = {{"age", 3}, {"income", 6}, {"mean radius", 11}, {"mean area", 9}};

static int nearest(const char *name)
{
    return near_find(str_of(name), NAMES, sizeof NAMES / sizeof NAMES[0]);
}

START_TEST(suggests_the_name_meant)
{
    ck_assert_int_eq(nearest("aeg"), 0);
    ck_assert_int_eq(nearest("Income"), 1);
    ck_assert_int_eq(nearest("incom"), 1);
    ck_assert_int_eq(nearest("mean_radius"), 2);
    ck_assert_int_eq(nearest("mean aera"), 3);
}
END_TEST

START_TEST(suggests_nothing_for_a_stranger)
{
    ck_assert_int_eq(nearest("zzz"), -1);
    ck_assert_int_eq(nearest(""), -1);
    ck_assert_int_eq(nearest("a completely different and much longer name than any known one, really"), -1);
}
END_TEST

START_TEST(a_list_has_the_names_that_fit)
{
    char list[64], little[20];
    near_list(NAMES, 4, list, sizeof list);
    ck_assert_str_eq(list, "age, income, mean radius, mean area");
    near_list(NAMES, 4, little, sizeof little);
    ck_assert_str_eq(little, "age, income, ...");
    near_list(NAMES, 0, list, sizeof list);
    ck_assert_str_eq(list, "");
}
END_TEST

UNIT_MAIN("base/near", suggests_the_name_meant, suggests_nothing_for_a_stranger,
          a_list_has_the_names_that_fit)
