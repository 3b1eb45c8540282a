// SPDX-License-Identifier: Apache-2.0
// CSV records as RFC 4180 has them, whole and in pieces.
#include "cli/csv.h"

#include "unit.h"

#include <string.h>

static struct csv_row row;
static struct err e;
static char bytes[256];

// Takes one record; returns its fields joined by '|', or the error's name, or "more".
static const char *take(const char *text, bool end, size_t *used)
{
    static char out[256];
    size_t n = strlen(text), at = 0;
    memcpy(bytes, text, n);
    int rc = csv_take(bytes, n, end, &row, used, &e);
    if (rc < 0)
        return err_name(rc);
    if (rc == 0)
        return "more";
    for (uint32_t i = 0; i < row.n; i++) {
        if (i)
            out[at++] = '|';
        memcpy(out + at, row.fields[i].p, row.fields[i].n);
        at += row.fields[i].n;
    }
    out[at] = '\0';
    return out;
}

static const struct {
    const char *text;
    bool end;
    const char *want;
    size_t used;
} CASES[] = {
    {"a,b\nc", false, "a|b", 4},
    {"a,b\r\nc", false, "a|b", 5},
    {"a,,\n", false, "a||", 4},
    {"\nx", false, "", 1},
    {"a,b", true, "a|b", 3},
    {"a,b", false, "more", 0},
    {"a,b\r", true, "a|b", 4},
    {"\"a,b\",c\n", false, "a,b|c", 8},
    {"\"a\nb\",c\nd", false, "a\nb|c", 8},
    {"\"a\nb\",c", false, "more", 0},
    {"\"a \"\"b\"\"\",c\n", false, "a \"b\"|c", 12},
    {"\"\"\"\"\n", false, "\"", 5},
    {"\"\"\n", false, "", 3},
    {"\"\",\"\"\r\n", false, "|", 7},
    {"\"a\"", true, "a", 3},
    {"\"a", true, "invalid_argument", 0},
    {"\"a\"b\n", false, "invalid_argument", 0},
    {"a\"b,c\"\n", false, "invalid_argument", 0},
    {"a\rb\n", false, "invalid_argument", 0},
};

START_TEST(records_are_cut_as_the_rfc_says)
{
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        size_t used = 0;
        const char *got = take(CASES[i].text, CASES[i].end, &used);
        ck_assert_msg(strcmp(got, CASES[i].want) == 0, "%zu: '%s' gave '%s'", i, CASES[i].text, got);
        ck_assert_msg(used == CASES[i].used, "%zu: used %zu", i, used);
    }
}
END_TEST

// A record that is not complete leaves its bytes as they were: doubled quotes are undoubled only once.
START_TEST(an_incomplete_record_can_be_read_again)
{
    const char *whole = "\"x \"\"y\"\" z\",\"1\n2\"\n";
    size_t used;
    for (size_t n = 0; n < strlen(whole); n++) {
        memcpy(bytes, whole, sizeof bytes < strlen(whole) ? sizeof bytes : strlen(whole));
        ck_assert_int_eq(n ? csv_take(bytes, n, false, &row, &used, &e) : 0, 0);
        ck_assert_mem_eq(bytes, whole, strlen(whole));
    }
    ck_assert_str_eq(take(whole, false, &used), "x \"y\" z|1\n2");
}
END_TEST

START_TEST(too_many_fields_are_refused)
{
    size_t n = 300001, used;
    char *p = malloc(n);
    memset(p, ',', n);
    ck_assert_int_eq(csv_take(p, n, true, &row, &used, &e), ERR_TOO_LARGE);
    free(p);
    csv_row_done(&row);
}
END_TEST

UNIT_MAIN("cli/csv", records_are_cut_as_the_rfc_says, an_incomplete_record_can_be_read_again,
          too_many_fields_are_refused)
