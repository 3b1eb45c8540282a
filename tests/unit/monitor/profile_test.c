// SPDX-License-Identifier: Apache-2.0
// Profiles: what is made of values, that it comes back from its JSON, and that what is not sound is refused.
#include "monitor/profile_build.h"

#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

// Columns: a normal one with missing values, whole numbers, few numbers, texts.
static struct profile *sample(uint32_t rows)
{
    static const char *const COLORS[] = {"red", "green", "blue"};
    struct profile_builder b[4];
    struct profile *p = profile_new(4);
    struct stats_random r;
    stats_random_init(&r, 3);
    for (int i = 0; i < 4; i++)
        ck_assert(profile_builder_init(&b[i], i == 3, PROFILE_BUILD_K));
    for (uint32_t i = 0; i < rows; i++) {
        profile_builder_number(&b[0], i % 50 == 0 ? (double)NAN : stats_random_normal(&r));
        profile_builder_number(&b[1], 18 + i % 60);
        profile_builder_number(&b[2], i % 10 ? 0 : i % 20 ? 2.5 : -1);
        profile_builder_text(&b[3], str_of(COLORS[i % 6 / 2 + (i % 6 == 5 ? -1 : 0)]));
    }
    const char *const names[] = {"x", "age", "few", "color"};
    p->n_rows = rows;
    ck_assert(profile_text(p, STR("train.csv"), &p->source));
    for (int i = 0; i < 4; i++) {
        p->columns[i].is_output = i == 3;
        ck_assert(profile_text(p, str_of(names[i]), &p->columns[i].name));
        ck_assert(profile_builder_end(&b[i], p, &p->columns[i]));
        profile_builder_done(&b[i]);
    }
    return p;
}

static uint64_t sum_of(const struct profile_column *c)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < profile_cells(c); i++)
        sum += c->counts[i];
    return sum;
}

START_TEST(numbers_become_bins_of_equal_shares)
{
    struct profile *p = sample(30000);
    const struct profile_column *x = &p->columns[0];
    ck_assert_int_eq(x->kind, PROFILE_NUMBER);
    ck_assert_uint_eq(x->n, 29400);
    ck_assert_uint_eq(x->n_missing, 600);
    ck_assert_uint_eq(sum_of(x), x->n);
    ck_assert(!x->is_whole);
    ck_assert_uint_ge(x->n_bins, 90);
    ck_assert_uint_le(x->n_bins, PROFILE_BINS_MAX);
    for (uint32_t i = 0; i < x->n_bins; i++) {
        ck_assert_double_gt(x->edges[i + 1], x->edges[i]);
        ck_assert_uint_le(x->counts[i], 29400 / PROFILE_BINS + 1);
    }
    ck_assert_double_eq(x->edges[0], x->min);
    ck_assert_double_eq(x->edges[x->n_bins], x->max);
    ck_assert_double_eq_tol(x->mean, 0, .02);
    ck_assert_double_eq_tol(x->deviation, 1, .02);
    ck_assert_double_eq_tol(x->spread, 1, .03);
    ck_assert_double_eq_tol(x->quantiles[PROFILE_MEDIAN], 0, .03);
    ck_assert_double_eq_tol((double)x->n_distinct, 29400, 29400 * .05);
    profile_free(p);
}
END_TEST

START_TEST(frequent_values_have_bins_of_their_own_and_few_values_are_categories)
{
    struct profile *p = sample(3600);
    const struct profile_column *age = &p->columns[1], *few = &p->columns[2], *color = &p->columns[3];
    ck_assert_int_eq(age->kind, PROFILE_NUMBER);
    ck_assert(age->is_whole);
    ck_assert_uint_eq(age->n_bins, 60);
    for (uint32_t i = 0; i < 60; i++) {
        ck_assert_double_eq(age->edges[i], 18 + i);
        ck_assert_uint_eq(age->counts[i], 60);
    }
    ck_assert_int_eq(few->kind, PROFILE_CATEGORY);
    ck_assert(few->is_complete);
    ck_assert_uint_eq(few->n_bins, 3);
    ck_assert_double_eq(profile_number_of_key(few->keys[0]), 0);
    ck_assert_uint_eq(few->counts[0], 3240);
    ck_assert_uint_eq(few->counts[3], 0); // others
    ck_assert_int_eq(color->kind, PROFILE_CATEGORY);
    ck_assert_uint_eq(color->keys[0], profile_key_of_text(color->labels[0]));
    ck_assert_uint_eq(sum_of(color), 3600);
    profile_free(p);
}
END_TEST

// 99.5 % zeros: the rest must not share their bin.
START_TEST(a_value_that_is_nearly_all_leaves_the_others_theirs)
{
    struct profile_builder b;
    struct profile *p = profile_new(1);
    ck_assert(profile_builder_init(&b, false, PROFILE_BUILD_K_LIVE));
    for (int i = 0; i < 20000; i++)
        profile_builder_number(&b, i % 200 ? 0 : 1 + i / 200);
    ck_assert(profile_builder_end(&b, p, &p->columns[0]));
    ck_assert_int_eq(p->columns[0].kind, PROFILE_NUMBER);
    ck_assert_uint_ge(p->columns[0].n_bins, 2);
    ck_assert_double_gt(p->columns[0].edges[1], 0);
    ck_assert_double_eq_tol((double)p->columns[0].counts[0], 19900, 20000 * KLL_RANK_ERROR / 512);
    ck_assert_double_eq(p->columns[0].spread, p->columns[0].deviation); // quartiles are equal
    profile_builder_done(&b);
    profile_free(p);
}
END_TEST

START_TEST(a_column_of_extremes_and_one_without_values_are_made)
{
    struct profile_builder b, none;
    struct profile *p = profile_new(2);
    struct buf json;
    struct err e;
    struct profile *again;
    ck_assert(profile_builder_init(&b, false, PROFILE_BUILD_K_LIVE));
    ck_assert(profile_builder_init(&none, false, PROFILE_BUILD_K_LIVE));
    for (int i = 0; i < 400; i++) {
        profile_builder_number(&b, i % 3 ? i : i % 2 ? HUGE_VAL : -HUGE_VAL);
        profile_builder_missing(&none);
    }
    ck_assert(profile_builder_end(&b, p, &p->columns[0]));
    ck_assert(profile_builder_end(&none, p, &p->columns[1]));
    ck_assert(profile_text(p, STR("x"), &p->columns[0].name));
    ck_assert(profile_text(p, STR("none"), &p->columns[1].name));
    ck_assert_double_eq(p->columns[0].max, DBL_MAX);
    ck_assert_uint_eq(p->columns[1].n_bins, 0);
    buf_init(&json, 1 << 20);
    profile_encode(p, &json);
    ck_assert_msg(profile_decode(buf_str(&json), &again, &e) == 0, "%s at %s", e.msg, e.path);
    profile_free(again);
    buf_done(&json);
    profile_builder_done(&b);
    profile_builder_done(&none);
    profile_free(p);
}
END_TEST

START_TEST(a_profile_comes_back_from_its_json)
{
    struct profile *p = sample(5000), *again;
    struct buf json, second;
    struct err e;
    buf_init(&json, 1 << 20);
    buf_init(&second, 1 << 20);
    profile_encode(p, &json);
    ck_assert(profile_is_one(buf_str(&json)));
    ck_assert_uint_le(json.n, 4 * 5000);
    ck_assert_msg(profile_decode(buf_str(&json), &again, &e) == 0, "%s at %s", e.msg, e.path);
    profile_encode(again, &second);
    ck_assert_uint_eq(json.n, second.n);
    ck_assert_mem_eq(json.p, second.p, json.n);
    ck_assert_ptr_nonnull(profile_find(again, STR("color"), true));
    ck_assert_ptr_null(profile_find(again, STR("color"), false));
    buf_done(&json);
    buf_done(&second);
    profile_free(p);
    profile_free(again);
}
END_TEST

// Each replaces a part of a sound profile by one that is not.
START_TEST(what_is_not_sound_is_refused)
{
    static const char SOUND[] =
        "{\"slipway_profile\":1,\"source\":\"s\",\"rows\":4,\"columns\":[{\"name\":\"a\",\"role\":\"input\","
        "\"kind\":\"number\",\"n\":4,\"missing\":0,\"distinct\":4,\"whole\":true,\"range\":[1,4],"
        "\"moments\":[2.5,1,1],\"quantiles\":[1,1,1,1,2,3,4,4,4],\"edges\":[1,2,4],\"counts\":[2,2]},"
        "{\"name\":\"b\",\"role\":\"output\",\"kind\":\"category\",\"n\":4,\"missing\":0,\"distinct\":2,"
        "\"whole\":false,\"range\":[0,0],\"moments\":[0,0,1],\"quantiles\":[0,0,0,0,0,0,0,0,0],"
        "\"complete\":true,\"values\":[1,\"x\"],\"keys\":[0,7],\"counts\":[2,1,1]}]}";
    static const char *const CHANGES[][2] = {
        {"profile\":1", "profile\":2"},
        {"\"rows\":4", "\"rows\":-4"},
        {"\"n\":4", "\"n\":5"},
        {"\"n\":4", "\"n\":9007199254740992"},
        {"input", "other"},
        {"number", "strange"},
        {"[1,4]", "[4,1]"},
        {"[1,4]", "[1]"},
        {"[2.5,1,1]", "[2.5,1,0]"},
        {"[2.5,1,1]", "[2.5,-1,1]"},
        {"[1,2,4]", "[1,1,4]"},
        {"[1,2,4]", "[1,2]"},
        {"[1,2,4]", "[1]"},
        {"[2,2]", "[2,2.5]"},
        {"[2,2]", "[4]"},
        {"[1,\"x\"]", "[1,\"\"]"},
        {"[1,\"x\"]", "[1,1]"},
        {"[0,7]", "[0]"},
        {"[0,7]", "[0,\"7\"]"},
        {"[2,1,1]", "[2,2]"},
        {"\"name\":\"a\"", "\"name\":\"\""},
        {"\"columns\":[", "\"columns\":[7,"},
    };
    struct profile *p;
    struct err e;
    ck_assert_msg(profile_decode(str_of(SOUND), &p, &e) == 0, "%s at %s", e.msg, e.path);
    profile_free(p);
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        char json[2048];
        const char *at = strstr(SOUND, CHANGES[i][0]);
        ck_assert_ptr_nonnull(at);
        snprintf(json, sizeof json, "%.*s%s%s", (int)(at - SOUND), SOUND, CHANGES[i][1],
                 at + strlen(CHANGES[i][0]));
        ck_assert_msg(profile_decode(str_of(json), &p, &e) == ERR_INVALID, "%s was taken", CHANGES[i][1]);
        ck_assert_ptr_null(p);
    }
}
END_TEST

UNIT_MAIN("monitor/profile", numbers_become_bins_of_equal_shares,
          frequent_values_have_bins_of_their_own_and_few_values_are_categories,
          a_value_that_is_nearly_all_leaves_the_others_theirs,
          a_column_of_extremes_and_one_without_values_are_made, a_profile_comes_back_from_its_json,
          what_is_not_sound_is_refused)
