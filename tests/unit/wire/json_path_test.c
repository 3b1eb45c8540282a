// SPDX-License-Identifier: Apache-2.0
#include "wire/json_path.h"

#include "unit.h"

static struct arena arena;

static struct str find(const char *json, const char *path)
{
    struct str got;
    struct err e;
    if (arena.cap == 0 && arena.used == 0)
        ck_assert_int_eq(arena_init(&arena, 1 << 20, &e), 0);
    ck_assert_msg(json_path_check(str_of(path), &e) == 0, "%s", path);
    return json_path_find(str_of(json), str_of(path), &arena, &got) ? got : (struct str){0};
}

#define ck_found(json, path, text)                                                                           \
    do {                                                                                                     \
        struct str got_ = find(json, path);                                                                  \
        ck_assert_msg(str_eq(got_, STR(text)), "%s: '" STR_FMT "'", path, STR_ARG(got_));                    \
    } while (0)
#define ck_none(json, path) ck_assert_msg(!find(json, path).p, "%s in %s", path, json)

START_TEST(fields_and_items_are_found)
{
    const char *body =
        "{\"a\": [1, {\"user\": \"ann\"}], \"id\" : \"r7\", \"inputs\":{\"u\":[-1.5e3 ,true]}}";
    ck_found(body, "$.id", "r7");
    ck_found(body, "$.a[0]", "1");
    ck_found(body, "$.a[1].user", "ann");
    ck_found(body, "$.inputs.u[0]", "-1.5e3");
    ck_found(body, "$.inputs.u[1]", "true");
    ck_found("[[\"x\"],[\"y\"]]", "$[1][0]", "y");
}
END_TEST

START_TEST(escapes_of_names_and_values_are_undone)
{
    ck_found("{\"us\\u0065r\":\"a\\nb\"}", "$.user", "a\nb");
}
END_TEST

START_TEST(what_is_no_single_value_or_not_there_is_not_found)
{
    const char *body = "{\"a\":null,\"b\":[],\"c\":{},\"d\":[1],\"e\":NaN}";
    ck_none(body, "$.a");
    ck_none(body, "$.b");
    ck_none(body, "$.b[0]");
    ck_none(body, "$.c");
    ck_none(body, "$.d.x");
    ck_none(body, "$.d[1]");
    ck_none(body, "$.e");
    ck_none(body, "$.f");
    ck_none("", "$.a");
    ck_none("[1]", "$.a");
}
END_TEST

START_TEST(the_text_is_read_no_further_than_the_value)
{
    ck_found("{\"a\":{\"x\":[]},\"b\":\"v\", broken", "$.b", "v");
    ck_none("{\"a\":{\"x\":[}},\"b\":\"v\"}", "$.b");
    ck_none("{\"a\" 1,\"b\":\"v\"}", "$.b");
    ck_none("{\"b\":\"v", "$.b");
    ck_none("{\"b\":-", "$.b");
}
END_TEST

START_TEST(the_first_of_two_keys_counts)
{
    ck_found("{\"b\":1,\"b\":2}", "$.b", "1");
}
END_TEST

START_TEST(paths_are_checked)
{
    static const char *const BAD[] = {
        "",        "$",     "a",      "$.",    "$..a",    "$a",    ".a",    "$.a.",
        "$.a[",    "$.a[]", "$.a[x]", "$.a]b", "$.a[-1]", "$.a[1", "$[1]x", "$.a[99999999999]",
        "$.a[0[1]"};
    struct err e;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        ck_assert_msg(json_path_check(str_of(BAD[i]), &e) == ERR_INVALID, "accepted: %s", BAD[i]);
}
END_TEST

UNIT_MAIN("wire/json_path", fields_and_items_are_found, escapes_of_names_and_values_are_undone,
          what_is_no_single_value_or_not_there_is_not_found, the_text_is_read_no_further_than_the_value,
          the_first_of_two_keys_counts, paths_are_checked)
