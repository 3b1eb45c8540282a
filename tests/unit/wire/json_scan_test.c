// SPDX-License-Identifier: Apache-2.0
#include "wire/json_numbers.h"

#include "base/limits.h"
#include "base/num.h"
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct json_scan scan_of(const char *text)
{
    struct json_scan s;
    json_scan_init(&s, str_of(text));
    return s;
}

static bool is_json(const char *text)
{
    struct json_scan s = scan_of(text);
    struct err e;
    return json_scan_skip(&s, &e) == 0 && json_scan_finish(&s, &e) == 0;
}

START_TEST(whole_documents_are_checked)
{
    static const char *const GOOD[] = {"1",
                                       "null",
                                       " [ ] ",
                                       "{}",
                                       "[1,[2,{\"a\":[]}],\"x\"]",
                                       "{\"a\":{\"b\":{}},\"c\":[[[]]]}",
                                       "\"\\u00e9\\ud83d\\ude00\\n\\/\"",
                                       "\"\xc3\xa9\xf0\x9f\x98\x80\"",
                                       "[NaN,-Infinity]"};
    static const char *const BAD[] = {"",
                                      "[",
                                      "]",
                                      "[}",
                                      "{]",
                                      "[1,]",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{1:2}",
                                      "{\"a\":1,}",
                                      "1 2",
                                      "[1}",
                                      "\"",
                                      "\"\\",
                                      "\"\\u12\"",
                                      "\"\\udc00\"",
                                      "\"\\ud83d\\u0041\"",
                                      "\"\xc0\x80\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"\xf4\x90\x80\x80\"",
                                      "\"\xe2\x82\"",
                                      "\"\x80\"",
                                      "\"\x1f\"",
                                      "tru",
                                      "Nan",
                                      "-Inf",
                                      "[1],",
                                      "//"};
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++)
        ck_assert_msg(is_json(GOOD[i]), "%s", GOOD[i]);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        ck_assert_msg(!is_json(BAD[i]), "%s", BAD[i]);
}
END_TEST

START_TEST(depth_has_a_limit)
{
    char text[300] = {0};
    struct err e;
    for (size_t depth = LIMIT_JSON_DEPTH; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        struct json_scan s = scan_of(text);
        ck_assert_int_eq(json_scan_skip(&s, &e), depth > LIMIT_JSON_DEPTH ? ERR_TOO_DEEP : 0);
    }
}
END_TEST

START_TEST(strings_lose_their_escapes)
{
    struct arena a;
    struct err e;
    struct str got;
    ck_assert_int_eq(arena_init(&a, 1 << 16, &e), 0);
    struct json_scan s =
        scan_of("\"plain\" \"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\ude00\\u0000z\"");
    ck_assert_int_eq(json_scan_string(&s, &a, &got, &e), 0);
    ck_assert(str_eq(got, STR("plain")) && got.p == s.start + 1);
    ck_assert_int_eq(json_scan_string(&s, &a, &got, &e), 0);
    ck_assert(str_eq(got, STR("a\"\\/\b\f\n\r\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\0z")));
    arena_done(&a);
}
END_TEST

START_TEST(keys_can_be_guessed)
{
    struct json_scan s = scan_of("\"age\":1");
    ck_assert(!json_scan_key_is(&s, STR("ag")) && !json_scan_key_is(&s, STR("agee")) && s.p == s.start);
    ck_assert(json_scan_key_is(&s, STR("age")) && *s.p == '1');
    s = scan_of("\"age\"");
    ck_assert(!json_scan_key_is(&s, STR("age")));
    static const char *const NEXT[] = {",\"age\":1", ", \"age\": 1"};
    static const char *const OTHER[] = {
        "\"age\":1", ",\"agee\":1", ",\"ag\":1", ",\"age\" :1", ",  \"age\":1", ",\"age\"",
        ", ",        ",",           "",          "}\"age\":1"};
    for (size_t i = 0; i < sizeof NEXT / sizeof NEXT[0]; i++) {
        s = scan_of(NEXT[i]);
        ck_assert_msg(json_scan_next_key_is(&s, STR("age")) && *s.p == '1', "%s", NEXT[i]);
    }
    for (size_t i = 0; i < sizeof OTHER / sizeof OTHER[0]; i++) {
        s = scan_of(OTHER[i]);
        ck_assert_msg(!json_scan_next_key_is(&s, STR("age")) && s.p == s.start, "%s", OTHER[i]);
    }
}
END_TEST

// A scan of text at the end of an exact allocation, after 64 bytes, with `behind` more bytes after it.
struct placed {
    char *body;
    struct json_scan s;
};

static struct placed place(const char *text, size_t behind)
{
    size_t n = strlen(text);
    struct placed at = {.body = malloc(64 + n + behind)};
    memset(at.body, '7', 64 + n + behind);
    memcpy(at.body + 64, text, n);
    if (behind)
        at.body[64 + n] = ',';
    json_scan_init(&at.s, (struct str){at.body, 64 + n + behind});
    at.s.p += 64;
    return at;
}

// Whether the hot loop takes the number is one question; if it does, the value must be exact.
static bool reads(const char *text)
{
    struct err e;
    size_t n = strlen(text), taken = 0;
    double expected = 0, got;
    float narrow;
    for (size_t behind = 0; behind < 100; behind += behind < 50 ? 7 : 49) {
        struct placed at = place(text, behind);
        struct json_scan slow = at.s, single = at.s, any = at.s;
        ck_assert_int_eq(json_scan_number(&slow, &expected, &e), 0);
        size_t count = json_scan_doubles(&at.s, &got, 1);
        ck_assert_msg(!count || (memcmp(&got, &expected, sizeof got) == 0 && at.s.p == at.body + 64 + n),
                      "%s: %a, expected %a", text, got, expected);
        double plain = 0; // the variant for every processor gives the same
        ck_assert_uint_eq(json_numbers_doubles_any(&any, &plain, 1), count);
        ck_assert(!count || (memcmp(&plain, &expected, sizeof plain) == 0 && any.p == at.s.p));
        ck_assert_uint_eq(json_scan_floats(&single, &narrow, 1), count);
        ck_assert(!count || narrow == (float)expected);
        ck_assert(behind == 0 || taken == count);
        taken = count;
        free(at.body);
    }
    return taken;
}

START_TEST(the_hot_loop_reads_what_the_exact_reader_reads)
{
    static const char *const PLAIN[] = {"0",
                                        "-0.0",
                                        "7",
                                        "12345678",
                                        "123456789012345",
                                        "1234567890123456",
                                        "12345678901234567",
                                        "9999999999999999999",
                                        "0.1234567890123456789",
                                        "0.00012345678901234567",
                                        "123.45678901234567",
                                        "1234567.8901234567",
                                        "123456789.0123456789",
                                        "-0.10000000149011612",
                                        "1.2345678901234567",
                                        "12.345678901234567",
                                        "1.23456789012345",
                                        "123456789012345.6",
                                        "1234567890123456.7",
                                        "0.5",
                                        "-3.25",
                                        "-12345678901234567.25"};
    static const char *const OTHERS[] = {
        "1e5", "1.5E-3", "12345678901234567890", "0.1234567890123456789012345", "1234567890.12345678901234",
        "3e0"};
    for (size_t i = 0; i < sizeof PLAIN / sizeof PLAIN[0]; i++)
        ck_assert_msg(reads(PLAIN[i]), "%s", PLAIN[i]);
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++)
        ck_assert_msg(!reads(OTHERS[i]), "%s", OTHERS[i]);
    uint64_t state = 1;
    size_t taken = 0;
    for (int i = 0; i < 50000; i++) { // every length of both parts, so every shape of plain number
        char text[64], whole[32], frac[32];
        state = state * 6364136223846793005u + 1442695040888963407u;
        int n_int = (int)(state >> 33) % 20 + 1, n_frac = (int)(state >> 40) % 22;
        snprintf(whole, sizeof whole, "%020llu", (unsigned long long)(state * 0x9e3779b97f4a7c15u));
        snprintf(frac, sizeof frac, "%021llu",
                 (unsigned long long)(state * 0xbf58476d1ce4e5b9u >> (state >> 59)));
        if (whole[20 - n_int] == '0' && n_int > 1)
            whole[20 - n_int] = '1';
        snprintf(text, sizeof text, "%s%s%s%.*s", state & 1 << 20 ? "-" : "", whole + 20 - n_int,
                 n_frac ? "." : "", n_frac, frac);
        taken += reads(text);
    }
    ck_assert_uint_gt(taken, 20000);
}
END_TEST

static void stops(const char *text, size_t n_expected, const char *rest)
{
    for (size_t behind = 0; behind < 100; behind += 11) {
        float v[8];
        struct placed at = place(text, behind);
        size_t n = json_scan_floats(&at.s, v, 8);
        ck_assert_msg(n == n_expected, "%s: %zu", text, n);
        ck_assert_msg(memcmp(at.s.p, rest, strlen(rest)) == 0, "%s", text);
        for (size_t i = 0; i < n; i++)
            ck_assert(v[i] == (float)(i + 1));
        free(at.body);
    }
}

START_TEST(the_hot_loop_stops_where_it_must)
{
    stops("1, 2.0 ,3", 2, " ,3");
    stops("1,\n\t 2,null,3", 2, ",null,3");
    stops("1,2,3]", 3, "]");
    stops("1,02", 1, ",02");
    stops("1,-02", 1, ",-02");
    stops("1.0.5", 1, ".5");
    stops("1,2e0,3", 1, ",2e0,3");
    stops("1,2,3,4,5,6,7,8,9", 8, ",9");
    stops("1,", 1, ",");
    static const char *const NONE[] = {"-",    ".5", "1.", "x",   "00",  "-01",
                                       "1.e5", "+1", "",   "--1", "-.5", "1.,"};
    for (size_t i = 0; i < sizeof NONE / sizeof NONE[0]; i++) {
        struct placed at = place(NONE[i], 0);
        float v[8];
        ck_assert_msg(json_scan_floats(&at.s, v, 8) == 0 && at.s.p == at.body + 64, "%s", NONE[i]);
        free(at.body);
    }
}
END_TEST

START_TEST(the_hot_loop_returns_now_and_then)
{
    enum { N = 40000 };
    static char text[2 * N];
    static float v[N];
    for (int i = 0; i < 2 * N; i++)
        text[i] = i % 2 ? ',' : '7';
    memset(text, ' ', 16);
    struct json_scan s;
    json_scan_init(&s, (struct str){text, sizeof text});
    s.p += 16;
    ck_assert_uint_eq(json_scan_floats(&s, v, N), 16384);
    ck_assert_ptr_eq(s.p, text + 16 + 2 * 16384 - 1);
    memset(text + 40, ' ', 1000); // much space: the caller's
    s.p = text + 16;
    ck_assert_uint_eq(json_scan_floats(&s, v, N), 12);
    ck_assert_ptr_eq(s.p, text + 39);
}
END_TEST

UNIT_MAIN("wire/json_scan", whole_documents_are_checked, depth_has_a_limit, strings_lose_their_escapes,
          keys_can_be_guessed, the_hot_loop_reads_what_the_exact_reader_reads,
          the_hot_loop_stops_where_it_must, the_hot_loop_returns_now_and_then)
