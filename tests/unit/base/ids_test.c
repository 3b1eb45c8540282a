// SPDX-License-Identifier: Apache-2.0
#include "base/ids.h"

#include "unit.h"

#include <stdio.h>
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

START_TEST(every_digit_is_written_as_it_is)
{
    struct ids_maker m;
    ids_maker_init(&m);
    char id[IDS_UUID_SIZE], want[16];
    for (uint64_t ms = 1; ms < 0xffffffffffffu; ms = ms * 3 + 0x123456789u) {
        m.last_ms = 0;
        ids_uuid7(&m, ms, id);
        snprintf(want, sizeof want, "%08x-%04x-7", (unsigned)(ms >> 16), (unsigned)(ms & 0xffff));
        ck_assert_int_eq(strncmp(id, want, 15), 0);
        ck_assert_uint_eq(strspn(id + 24, "0123456789abcdef"), 12);
        ck_assert(id[8] == '-' && id[13] == '-' && id[18] == '-' && id[23] == '-');
    }
}
END_TEST

UNIT_MAIN("base/ids", every_digit_is_written_as_it_is, ids_have_the_shape_of_uuid7,
          ids_grow_even_when_the_clock_steps_back)
