// SPDX-License-Identifier: Apache-2.0
#include "cli/beside.h"

#include "unit.h"

#include <string.h>

#define ENTRY       "\x0a\x08location\x12"
#define BYTES(text) ((struct str){text, sizeof text - 1})

static unsigned n_names(struct str model, struct str *ret, unsigned max)
{
    size_t at = 0;
    unsigned n = 0;
    while (n < max && beside_next_name(model, &at, &ret[n]))
        n++;
    return n;
}

START_TEST(names_are_found_wherever_they_stand)
{
    struct str names[4];
    ck_assert_uint_eq(n_names(BYTES("xx" ENTRY "\x05"
                                    "w.bin"
                                    "yy" ENTRY "\x03"
                                    "a/b" ENTRY "\x01"
                                    "c"),
                              names, 4),
                      3);
    ck_assert(str_eq(names[0], STR("w.bin")) && str_eq(names[1], STR("a/b")) && str_eq(names[2], STR("c")));
}
END_TEST

START_TEST(a_name_of_more_than_127_bytes_has_a_length_of_two)
{
    char model[300];
    struct str names[2];
    size_t n = sizeof ENTRY - 1;
    memcpy(model, ENTRY, n);
    model[n++] = (char)(0x80 | 150 % 128);
    model[n++] = 150 / 128;
    memset(model + n, 'n', 150);
    ck_assert_uint_eq(n_names((struct str){model, n + 150}, names, 2), 1);
    ck_assert_uint_eq(names[0].n, 150);
}
END_TEST

START_TEST(what_is_cut_short_or_too_long_is_none)
{
    struct str names[2];
    ck_assert_uint_eq(n_names(BYTES(ENTRY), names, 2), 0);
    ck_assert_uint_eq(n_names(BYTES(ENTRY "\x05"
                                          "w.bi"),
                              names, 2),
                      0);
    ck_assert_uint_eq(n_names(BYTES(ENTRY "\x80"), names, 2), 0);
    ck_assert_uint_eq(n_names(BYTES(ENTRY "\x00" ENTRY "\xff\xff\xff" ENTRY "\x01"
                                          "c"),
                              names, 2),
                      1);
    ck_assert_uint_eq(n_names(BYTES(""), names, 2), 0);
}
END_TEST

UNIT_MAIN("cli/beside", names_are_found_wherever_they_stand,
          a_name_of_more_than_127_bytes_has_a_length_of_two, what_is_cut_short_or_too_long_is_none)
