// SPDX-License-Identifier: Apache-2.0
#include "wire/json_scan.h"

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
}
END_TEST

// One number alone at the end of an exact allocation, and the same with a lot behind it.
static void reads(const char *text, bool plain)
{
    struct err e;
    size_t n = strlen(text);
    char *exact = malloc(n), *padded = malloc(n + 100);
    memcpy(exact, text, n);
    memset(padded, ',', n + 100);
    memcpy(padded, text, n);
    struct json_scan s;
    double expected = 0, got;
    float narrow;
    json_scan_init(&s, (struct str){exact, n});
    ck_assert_int_eq(json_scan_number(&s, &expected, &e), 0);
    for (int i = 0; i < 2; i++) {
        json_scan_init(&s, i ? (struct str){padded, n + 100} : (struct str){exact, n});
        size_t count = json_scan_doubles(&s, &got, 1);
        ck_assert_msg(count == plain, "%s", text);
        ck_assert_msg(!count || (memcmp(&got, &expected, sizeof got) == 0 && s.p == s.start + n),
                      "%s: %a, expected %a", text, got, expected);
        json_scan_init(&s, i ? (struct str){padded, n + 100} : (struct str){exact, n});
        ck_assert(json_scan_floats(&s, &narrow, 1) == plain);
        ck_assert(!plain || narrow == (float)expected);
    }
    free(exact);
    free(padded);
}

START_TEST(the_hot_loop_reads_what_the_exact_reader_reads)
{
    uint64_t state = 1;
    reads("0", true);
    reads("-0.0", true);
    reads("12345678", true);
    reads("0.1234567890123456789", true);
    reads("0.12345678901234567890", false);
    reads("123456789", false);
    reads("1e5", false);
    reads("1.5E-3", false);
    for (int i = 0; i < 100000; i++) {
        char text[64];
        state = state * 6364136223846793005u + 1442695040888963407u;
        int n_int = (int)(state >> 33) % 8 + 1, n_frac = (int)(state >> 40) % 20;
        unsigned long long a = (state >> 20) % 100000000, b = state * 0x9e3779b97f4a7c15u;
        for (int k = n_int; k < 8; k++)
            a /= 10;
        char frac[64];
        snprintf(frac, sizeof frac, "%020llu", b);
        snprintf(text, sizeof text, "%s%llu%s%.*s", state & 1 ? "-" : "", a, n_frac ? "." : "", n_frac,
                 frac + (b >> 60));
        size_t digits = strspn(text + (state & 1), "0123456789"),
               frac_digits = n_frac ? strlen(strchr(text, '.')) - 1 : 0;
        reads(text, frac_digits <= 8 || frac_digits + (a ? digits : 0) <= 19);
    }
}
END_TEST

START_TEST(the_hot_loop_stops_where_it_must)
{
    float v[8];
    struct json_scan s = scan_of("1, 2.5 ,3");
    ck_assert_uint_eq(json_scan_floats(&s, v, 8), 2);
    ck_assert(v[0] == 1 && v[1] == 2.5f && strcmp(s.p, " ,3") == 0);
    s = scan_of("1,2,null,3");
    ck_assert_uint_eq(json_scan_floats(&s, v, 8), 2);
    ck_assert_str_eq(s.p, ",null,3");
    s = scan_of("1,2,3]");
    ck_assert_uint_eq(json_scan_floats(&s, v, 2), 2);
    ck_assert_str_eq(s.p, ",3]");
    s = scan_of("1,02");
    ck_assert_uint_eq(json_scan_floats(&s, v, 8), 1);
    s = scan_of("1.5.5");
    ck_assert_uint_eq(json_scan_floats(&s, v, 8), 1);
    ck_assert_str_eq(s.p, ".5");
    static const char *const NONE[] = {"", "-", ".5", "1.", "x", "00", "-01", "1.e5", "+1"};
    for (size_t i = 0; i < sizeof NONE / sizeof NONE[0]; i++) {
        s = scan_of(NONE[i]);
        ck_assert_msg(json_scan_floats(&s, v, 8) == 0 && s.p == s.start, "%s", NONE[i]);
    }
}
END_TEST

UNIT_MAIN("wire/json_scan", whole_documents_are_checked, depth_has_a_limit, strings_lose_their_escapes,
          keys_can_be_guessed, the_hot_loop_reads_what_the_exact_reader_reads,
          the_hot_loop_stops_where_it_must)
