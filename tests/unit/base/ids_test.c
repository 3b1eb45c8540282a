// SPDX-License-Identifier: Apache-2.0
#include "base/ids.h"

#include "unit.h"

#include <string.h>

START_TEST(ids_have_the_shape_of_uuid7)
{
    struct ids_maker m;
    ids_maker_init(&m);
    char id[IDS_UUID_SIZE];
    ids_uuid7(&m, 0x0123456789ab, id);
    ck_assert_uint_eq(strlen(id), 36);
    ck_assert_int_eq(strncmp(id, "01234567-89ab-7", 15), 0);
    ck_assert_ptr_nonnull(strchr("89ab", id[19]));
}
END_TEST

START_TEST(ids_grow_even_when_the_clock_steps_back)
{
    struct ids_maker m;
    ids_maker_init(&m);
    char last[IDS_UUID_SIZE], id[IDS_UUID_SIZE];
    ids_uuid7(&m, 1000, last);
    for (uint64_t i = 0; i < 100000; i++) {
        ids_uuid7(&m, i % 3 ? 1000 : 500, id);
        ck_assert_int_gt(strcmp(id, last), 0);
        memcpy(last, id, sizeof last);
    }
}
END_TEST

UNIT_MAIN("base/ids", ids_have_the_shape_of_uuid7, ids_grow_even_when_the_clock_steps_back)
