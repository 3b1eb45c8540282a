// SPDX-License-Identifier: Apache-2.0
// Numbers are copied whole windows at a time exactly as byte by byte.
#include "cli/digits.h"

#include "unit.h"

#include <stdint.h>
#include <string.h>

static const struct {
    const char *text;
    size_t length;
} CASES[] = {
    {"0", 1},
    {"-0", 2},
    {"12,", 2},
    {"-1.50]", 5},
    {"1e5", 3},
    {"1.5E-07,2", 7},
    {"2e+10 ", 5},
    {"18446744073709551615,", 20},
    {"123456789012345678901234567890.5,", 32},
    {"0.1234567890123456789012345678901234567890\n", 42},
    {"", 0},
    {",1", 0},
    {"-", 0},
    {"--1", 0},
    {"-.5", 0},
    {".5", 0},
    {"+1", 0},
    {"01", 0},
    {"-012", 0},
    {"1.", 0},
    {"1.,2", 0},
    {"1e", 0},
    {"1e+,", 0},
    {"1.e5", 0},
    {"nan", 0},
};

START_TEST(numbers_end_as_the_rfc_says)
{
    char to[128];
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const char *text = CASES[i].text;
        size_t n = strlen(text);
        ck_assert_msg(digits_length(text, n) == CASES[i].length, "'%s'", text);
        ck_assert_msg(digits_copy(text, n, to) == CASES[i].length, "'%s' copied", text);
        ck_assert_mem_eq(to, text, CASES[i].length);
    }
}
END_TEST

// Texts of a few characters that numbers are made of: most runs of digits, some broken everywhere.
START_TEST(whole_windows_equal_single_bytes)
{
    static const char ALPHABET[] = "0123456789012345678901234567890000....--,,\neE+ ]\"x\xb0";
    char text[80], to[sizeof text + DIGITS_WINDOW];
    uint64_t seed = 0x9e3779b97f4a7c15u;
    for (int round = 0; round < 300000; round++) {
        size_t n = DIGITS_WINDOW + (size_t)round % 40, kinds = round & 1 ? 34 : sizeof ALPHABET - 1;
        for (size_t i = 0; i < n; i++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            text[i] = ALPHABET[(seed >> 20) % kinds];
        }
        text[seed % n] = ALPHABET[(seed >> 40) % (sizeof ALPHABET - 1)];
        text[0] = seed >> 60 == 0 ? '-' : text[0];
        size_t want = digits_length(text, n), got = digits_copy(text, n, to);
        if (got != want || memcmp(to, text, want) != 0)
            ck_abort_msg("'%.*s': %zu, not %zu", (int)n, text, got, want);
    }
}
END_TEST

static const char BEHIND[] = "9,9\n......................................";

static const struct {
    const char *row;
    uint32_t n_values;
    const char *want; // NULL: not copied
} ROWS[] = {
    {"1,2.5,-3\n", 3, "1,2.5,-3"},
    {"1,2.5,-3\r\n", 3, "1,2.5,-3"},
    {"1e5,,0.5E-7\n", 3, "1e5,null,0.5E-7"},
    {",,\n", 3, "null,null,null"},
    {",1,\r\n", 3, "null,1,null"},
    {"7\n", 1, "7"},
    {"\n", 1, "null"},
    {"12345678901234567890123456789012,1\n", 2, "12345678901234567890123456789012,1"},
    {"123456789012345678901234567890123,1\n", 2, NULL},
    {"1,2\n", 3, NULL},
    {"1,2,3,4\n", 3, NULL},
    {"1,2,\n", 2, NULL},
    {"\n", 2, NULL},
    {"1,2\r3\n", 2, NULL},
    {"1,x\n", 2, NULL},
    {"1, 2\n", 2, NULL},
    {"1,\"2\"\n", 2, NULL},
    {"1,02\n", 2, NULL},
    {"1,2.\n", 2, NULL},
};

START_TEST(rows_of_numbers_are_copied_whole)
{
    char text[128], to[128];
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        const char *row = ROWS[i].row, *want = ROWS[i].want;
        size_t length = strlen(row), written = 0;
        memcpy(text, row, length);
        memcpy(text + length, BEHIND, sizeof BEHIND);
        size_t used = digits_copy_row(text, length + sizeof BEHIND, ROWS[i].n_values, to, &written);
        ck_assert_msg(used == (want ? length : 0), "'%s': %zu used", row, used);
        if (want) {
            ck_assert_uint_eq(written, strlen(want));
            ck_assert_mem_eq(to, want, written);
        }
        // Cut anywhere, the row is the same or not copied, and nothing behind the end is read.
        for (size_t n = 0; n <= length + DIGITS_WINDOW; n++) {
            char *exact = malloc(n ? n : 1);
            memcpy(exact, text, n);
            used = digits_copy_row(exact, n, ROWS[i].n_values, to, &written);
            ck_assert(used == 0 || (want && used == length && n >= length));
            free(exact);
        }
    }
}
END_TEST

UNIT_MAIN("cli/digits", rows_of_numbers_are_copied_whole, numbers_end_as_the_rfc_says,
          whole_windows_equal_single_bytes)
