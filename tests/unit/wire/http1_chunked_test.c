// SPDX-License-Identifier: Apache-2.0
#include "wire/http1.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct err e;

// Decodes text in pieces of `piece` bytes; the payload ends up in out. Returns the last result, and how many
// bytes were taken.
static int decode(const char *text, size_t n, size_t piece, char *out, size_t *ret_n, size_t *ret_used)
{
    struct http1_chunked k = {0};
    int rc = 0;
    *ret_n = *ret_used = 0;
    while (*ret_used < n && rc == 0) {
        size_t take = n - *ret_used < piece ? n - *ret_used : piece, used, payload;
        char *in = malloc(take);
        memcpy(in, text + *ret_used, take);
        rc = http1_chunked_decode(&k, in, take, &used, &payload, &e);
        memcpy(out + *ret_n, in, payload);
        *ret_n += payload;
        *ret_used += used;
        free(in);
    }
    return rc;
}

static int result(const char *text)
{
    char out[65536];
    size_t n, used;
    return decode(text, strlen(text), 7, out, &n, &used);
}

START_TEST(any_split_gives_the_same_body)
{
    const char *text =
        "5\r\nhello\r\n1;a=b;c=\"d\\\"e\";f\r\n \r\n00B\r\nworld, again\r\n0\r\nX-Trailer: v\r\n\r\nGET";
    const size_t body_end = strlen(text) - 3;
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        char out[128];
        size_t n, used;
        ck_assert_int_eq(decode(text, strlen(text), piece, out, &n, &used), ERR_BAD_HTTP); // 0xB is one short
    }
    text = "5\r\nhello\r\n1;a=b;c=\"d\\\"e\";f\r\n \r\n00C\r\nworld, again\r\n0\r\nX-Trailer: v\r\n\r\nGET";
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        char out[128];
        size_t n, used;
        ck_assert_int_eq(decode(text, strlen(text), piece, out, &n, &used), 1);
        ck_assert_uint_eq(used, body_end); // what follows is the next request
        ck_assert_uint_eq(n, 18);
        ck_assert_mem_eq(out, "hello world, again", 18);
    }
}
END_TEST

START_TEST(end_is_reported_with_the_last_byte)
{
    struct http1_chunked k = {0};
    char text[] = "0\r\n\r\n";
    size_t used, payload;
    ck_assert_int_eq(http1_chunked_decode(&k, text, 4, &used, &payload, &e), 0);
    ck_assert_int_eq(http1_chunked_decode(&k, text + 4, 1, &used, &payload, &e), 1);
    ck_assert_uint_eq(used, 1);
    ck_assert_int_eq(http1_chunked_decode(&k, text, 5, &used, &payload, &e), 1); // stays at its end
    ck_assert_uint_eq(used, 0);
}
END_TEST

START_TEST(framing_is_exact)
{
    const char *bad[] = {"5\nhello",
                         "5 \r\nhello",
                         " 5\r\nhello",
                         "+5\r\nhello",
                         "0x5\r\nhello",
                         "-1\r\n",
                         ";a\r\n",
                         "\r\n",
                         "g\r\n",
                         "5\r\nhello5\r\n",
                         "5\r\nhello5\n0\r\n\r\n",
                         "5\r\nhello\n0\r\n",
                         "5\r\nhello\r0",
                         "5\r\r",
                         "0\r\n\n",
                         "0\r\n\r\r",
                         "0\r\n A: b\r\n",
                         "0\r\nA : b\r\n",
                         "0\r\nA\r\n",
                         "0\r\nA: b\n",
                         "0\r\nA: b\rc",
                         "0\r\nA: b\x01\r\n",
                         "0\r\n: b\r\n",
                         "1;\r\na",
                         "1;a=\r\na",
                         "1; a\r\na",
                         "1;a =b\r\na",
                         "1;a=b\n",
                         "1;a=\"b\r\n",
                         "1;a=\"b\"c\r\n",
                         "1;a\x7f\r\n",
                         "1;a=\"\\\r\"\r\na"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(result(bad[i]) == ERR_BAD_HTTP, "accepted: %s", bad[i]);
}
END_TEST

START_TEST(sizes_cannot_overflow)
{
    ck_assert_int_eq(result("fffffffffffffff\r\nabc"), 0);
    ck_assert_int_eq(result("1000000000000000\r\nabc"), ERR_BAD_HTTP);
    ck_assert_int_eq(result("0000000000000001\r\nabc"), ERR_BAD_HTTP);
}
END_TEST

START_TEST(size_lines_have_a_limit)
{
    char text[512];
    for (int over = 0; over < 2; over++) {
        int n = snprintf(text, sizeof text, "1;");
        memset(text + n, 'a', LIMIT_HTTP_CHUNK_LINE_BYTES);
        snprintf(text + LIMIT_HTTP_CHUNK_LINE_BYTES - 2 + over, 64, "\r\nx\r\n0\r\n\r\n");
        ck_assert_int_eq(result(text), over ? ERR_BAD_HTTP : 1);
    }
}
END_TEST

START_TEST(each_line_has_its_own_limit)
{
    char text[8192];
    int n = 0;
    for (int i = 0; i < 4 * LIMIT_HTTP_CHUNK_LINE_BYTES / 3; i++)
        n += snprintf(text + n, 64, "1\r\nx\r\n");
    snprintf(text + n, 64, "0\r\n\r\n");
    ck_assert_int_eq(result(text), 1);
}
END_TEST

START_TEST(trailers_have_a_limit_together)
{
    enum { FIELD = 16 };
    for (int over = 0; over < 2; over++) {
        char *text = malloc(LIMIT_HTTP_HEAD_BYTES + 64);
        int at = snprintf(text, 64, "0;a=b\r\n"), start = at;
        while (at - start + 2 * FIELD <= LIMIT_HTTP_HEAD_BYTES)
            at += snprintf(text + at, FIELD + 1, "A: bcdefghijkl\r\n");
        // The last field and the empty line fill what is left.
        at += snprintf(text + at, 64, "B: %.*s\r\n", FIELD - 7 + over, "aaaaaaaaaaaaaaaa");
        snprintf(text + at, 64, "\r\n");
        ck_assert_int_eq(at + 2 - start, LIMIT_HTTP_HEAD_BYTES + over);
        ck_assert_int_eq(result(text), over ? ERR_HEADER_TOO_LARGE : 1);
        free(text);
    }
}
END_TEST

UNIT_MAIN("wire/http1_chunked", any_split_gives_the_same_body, end_is_reported_with_the_last_byte,
          framing_is_exact, sizes_cannot_overflow, size_lines_have_a_limit, each_line_has_its_own_limit,
          trailers_have_a_limit_together)
