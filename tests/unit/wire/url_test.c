// SPDX-License-Identifier: Apache-2.0
#include "wire/url.h"

#include "unit.h"

#include <string.h>

static char out[64];
static struct str got;
static struct err e;

#define ck_str(s, literal) ck_assert_msg(str_eq(s, STR(literal)), "'" STR_FMT "'", STR_ARG(s))

static int segment(const char *z)
{
    return url_segment_decode(str_of(z), out, sizeof out, &got, &e);
}

START_TEST(plain_segments_are_not_copied)
{
    struct str s = STR("churn-model_2.b+c");
    ck_assert_int_eq(url_segment_decode(s, NULL, 0, &got, &e), 0);
    ck_assert_ptr_eq(got.p, s.p);
    ck_assert_uint_eq(got.n, s.n);
}
END_TEST

START_TEST(escapes_are_decoded_once)
{
    ck_assert_int_eq(segment("a%20b%2Bc+d%c3%A9"), 0);
    ck_str(got, "a b+c+d\xc3\xa9");
    ck_assert_int_eq(segment("%2541"), 0);
    ck_str(got, "%41");
}
END_TEST

START_TEST(broken_escapes_are_refused)
{
    const char *bad[] = {"%", "a%2", "%g0", "%0g", "%%41", "% 41", "%+1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(segment(bad[i]) == ERR_INVALID, "accepted: %s", bad[i]);
}
END_TEST

START_TEST(segments_that_change_the_path_are_refused)
{
    const char *bad[] = {".", "..", "%2e", "%2E.", ".%2e", "a%2fb", "a%2Fb", "a%5cb", "a%00b", "%0a", "%7f"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(segment(bad[i]) == ERR_INVALID, "accepted: %s", bad[i]);
    ck_assert_int_eq(segment("..."), 0);
}
END_TEST

START_TEST(output_has_a_limit)
{
    ck_assert_int_eq(url_segment_decode(STR("%41bc"), out, 2, &got, &e), ERR_TOO_LARGE);
    ck_assert_int_eq(url_segment_decode(STR("%41bc"), out, 3, &got, &e), 0);
    ck_str(got, "Abc");
}
END_TEST

START_TEST(query_is_walked_in_order)
{
    struct str q = STR("&a=1&&b&c=d=e&"), k, v;
    ck_assert(url_query_next(&q, &k, &v));
    ck_str(k, "a");
    ck_str(v, "1");
    ck_assert(url_query_next(&q, &k, &v));
    ck_str(k, "b");
    ck_assert_uint_eq(v.n, 0);
    ck_assert(url_query_next(&q, &k, &v));
    ck_str(k, "c");
    ck_str(v, "d=e");
    ck_assert(!url_query_next(&q, &k, &v));
    q = STR("=v");
    ck_assert(url_query_next(&q, &k, &v));
    ck_assert_uint_eq(k.n, 0);
    ck_str(v, "v");
    q = STR("");
    ck_assert(!url_query_next(&q, &k, &v));
}
END_TEST

static int get(const char *query, const char *key)
{
    return url_query_get(str_of(query), str_of(key), out, sizeof out, &got, &e);
}

START_TEST(query_lookup)
{
    ck_assert_int_eq(get("x=1&name=a+b%26c&y", "name"), 1);
    ck_str(got, "a b&c");
    ck_assert_int_eq(get("x=1&y", "y"), 1);
    ck_assert_uint_eq(got.n, 0);
    ck_assert_int_eq(get("x=1&y", "z"), 0);
    ck_assert_int_eq(get("xx=1", "x"), 0);
    ck_assert_int_eq(get("x=1", "xx"), 0);
    ck_assert_int_eq(get("dry%5frun=1", "dry_run"), 1);
    ck_assert_int_eq(get("", "x"), 0);
}
END_TEST

START_TEST(query_lookup_refuses_what_is_ambiguous_or_broken)
{
    ck_assert_int_eq(get("x=1&x=1", "x"), ERR_INVALID);
    ck_assert_int_eq(get("x=1&%78=2", "x"), ERR_INVALID);
    ck_assert_int_eq(get("x=%zz", "x"), ERR_INVALID);
    ck_assert_int_eq(get("x=%0a", "x"), ERR_INVALID);
    ck_assert_int_eq(url_query_get(STR("x=abc"), STR("x"), out, 2, &got, &e), ERR_TOO_LARGE);
}
END_TEST

UNIT_MAIN("wire/url", plain_segments_are_not_copied, escapes_are_decoded_once, broken_escapes_are_refused,
          segments_that_change_the_path_are_refused, output_has_a_limit, query_is_walked_in_order,
          query_lookup, query_lookup_refuses_what_is_ambiguous_or_broken)
