// SPDX-License-Identifier: Apache-2.0
#include "role/feedback_keys.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

enum { LIFE_S = 1000, NOW_S = 1763850000 };

static struct feedback_keys keys;

static bool renew(uint64_t now_s, uint8_t fill)
{
    uint8_t fresh[FEEDBACK_KEY_BYTES];
    memset(fresh, fill, sizeof fresh);
    return feedback_keys_renew(&keys, now_s, LIFE_S, fresh);
}

START_TEST(a_key_seals_for_one_life_and_opens_for_two)
{
    ck_assert(renew(NOW_S, 1));
    ck_assert(!renew(NOW_S + LIFE_S - 1, 2));
    ck_assert(renew(NOW_S + LIFE_S, 2)); // the first sealed until now
    ck_assert_uint_eq(keys.n, 2);
    ck_assert(keys.list[0].number == 2 && keys.list[0].bytes[31] == 2 && keys.list[1].bytes[0] == 1);
    ck_assert(!renew(NOW_S + 2 * LIFE_S - 1, 3));
    ck_assert(renew(NOW_S + 2 * LIFE_S, 3)); // what the first sealed last has expired
    ck_assert_uint_eq(keys.n, 2);
    ck_assert(keys.list[0].bytes[0] == 3 && keys.list[1].bytes[0] == 2);
    ck_assert(renew(NOW_S + 9 * LIFE_S, 4)); // it was off for long
    ck_assert_uint_eq(keys.n, 2);
    ck_assert(renew(NOW_S + 10 * LIFE_S - 1 + 1, 5));
    ck_assert(keys.list[0].bytes[0] == 5 && keys.list[1].bytes[0] == 4);
}
END_TEST

START_TEST(numbers_go_round_and_there_are_never_too_many)
{
    for (unsigned i = 0; i < 600; i++) {
        ck_assert(feedback_keys_renew(&keys, NOW_S + i, i % 7 ? 1 : 0, (const uint8_t[32]){(uint8_t)i}));
        ck_assert_uint_ge(keys.n, 1);
        ck_assert_uint_le(keys.n, FEEDBACK_KEYS_MAX);
        ck_assert_uint_eq(keys.list[0].bytes[0], (uint8_t)i);
        for (uint32_t k = 1; k < keys.n; k++)
            ck_assert_uint_ne(keys.list[k].number, keys.list[0].number);
    }
}
END_TEST

START_TEST(what_was_written_is_read)
{
    struct buf out, again;
    struct feedback_keys read;
    struct err e;
    buf_init(&out, FEEDBACK_KEYS_TEXT_MAX);
    buf_init(&again, FEEDBACK_KEYS_TEXT_MAX);
    for (uint8_t i = 0; i < FEEDBACK_KEYS_MAX; i++)
        keys.list[keys.n++] = (struct feedback_key){4294967295, (uint8_t)(255 - i), {i, 0xab}};
    feedback_keys_write(&keys, &out);
    ck_assert(!out.failed && strncmp(out.p, "255 4294967295 00ab00", 21) == 0);
    ck_assert_int_eq(feedback_keys_read(buf_str(&out), &read, &e), 0);
    feedback_keys_write(&read, &again);
    ck_assert(str_eq(buf_str(&out), buf_str(&again)));
    ck_assert_int_eq(feedback_keys_read((struct str){0}, &read, &e), 0);
    ck_assert_uint_eq(read.n, 0);
    buf_done(&out);
    buf_done(&again);
}
END_TEST

START_TEST(what_is_no_list_of_keys_is_refused)
{
#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    static const char *const BAD[] = {
        "1",
        "1 2 3",
        "256 2 " KEY,
        "1 -2 " KEY,
        "1 2 " KEY "0",
        "1 2 0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
        "1 2 " KEY "\n1 3 " KEY, // twice
        "1 2 " KEY "\n\n2 3 " KEY,
        "1 4294967296 " KEY,
        "1 2 " KEY "\n2 2 " KEY "\n3 2 " KEY "\n4 2 " KEY "\n5 2 " KEY "\n6 2 " KEY "\n7 2 " KEY "\n8 2 " KEY
        "\n9 2 " KEY,
    };
    struct err e;
    ck_assert_int_eq(feedback_keys_read(STR("1 2 " KEY "\n"), &keys, &e), 0);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        ck_assert_msg(feedback_keys_read(str_of(BAD[i]), &keys, &e) == ERR_INVALID, "%s", BAD[i]);
}
END_TEST

UNIT_MAIN("role/feedback_keys", a_key_seals_for_one_life_and_opens_for_two,
          numbers_go_round_and_there_are_never_too_many, what_was_written_is_read,
          what_is_no_list_of_keys_is_refused)
