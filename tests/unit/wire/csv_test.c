// SPDX-License-Identifier: Apache-2.0
// CSV records as RFC 4180 has them, whole and in pieces.
#include "wire/csv.h"

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

// A record that starts with no room for fields is read byte by byte, one with room in one pass: both give the
// same fields, bytes used and errors.
START_TEST(records_in_one_pass_equal_records_by_bytes)
{
    static const char ALPHABET[] = "0123456789.,,,,--+ abc\xc3\n\r\"";
    static struct csv_row fast;
    char text[120], other[sizeof text];
    uint64_t seed = 0x9e3779b97f4a7c15u;
    size_t n_taken = 0;
    for (int round = 0; round < 50000; round++) {
        size_t n = 1 + (size_t)round % sizeof text, used = 0, plain_used = 0;
        for (size_t i = 0; i < n; i++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            // Line ends and quotes are rare, else all records would be short or wrong.
            bool any = (seed >> 50) % 32 == 0;
            text[i] = ALPHABET[(seed >> 20) % (any ? sizeof ALPHABET - 1 : sizeof ALPHABET - 4)];
        }
        if (round & 1)
            memcpy(text + n / 2, "\r\n", n - n / 2 < 2 ? n - n / 2 : 2);
        memcpy(other, text, n);
        struct csv_row plain = {0};
        int rc = csv_take(text, n, round & 2, &fast, &used, &e);
        int plain_rc = csv_take(other, n, round & 2, &plain, &plain_used, &e);
        ck_assert_int_eq(rc, plain_rc);
        if (rc == 1) {
            n_taken += fast.n > 8;
            ck_assert_uint_eq(used, plain_used);
            ck_assert_uint_eq(fast.n, plain.n);
            for (uint32_t i = 0; i < plain.n; i++)
                if (!str_eq(fast.fields[i], plain.fields[i]) ||
                    fast.fields[i].p - text != plain.fields[i].p - other)
                    ck_abort_msg("field %u of '%.*s'", i, (int)used, other);
        }
        csv_row_done(&plain);
    }
    ck_assert_uint_gt(n_taken, 1000);
    csv_row_done(&fast);
}
END_TEST

START_TEST(as_many_fields_as_allowed_are_taken)
{
    size_t n = 200000, used;
    char *p = malloc(n + 64);
    memset(p, '0', n + 64); // behind the row, so that all of it is read in one pass
    memset(p, ',', n - 1);
    p[n - 1] = p[n] = '\n';
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(csv_take(p, n + 64, true, &row, &used, &e), 1);
        ck_assert_uint_eq(row.n, n);
    }
    p[n - 1] = ',';
    ck_assert_int_eq(csv_take(p, n + 64, true, &row, &used, &e), ERR_TOO_LARGE);
    free(p);
    csv_row_done(&row);
}
END_TEST

UNIT_MAIN("wire/csv", records_in_one_pass_equal_records_by_bytes, as_many_fields_as_allowed_are_taken,
          records_are_cut_as_the_rfc_says, an_incomplete_record_can_be_read_again,
          too_many_fields_are_refused)
