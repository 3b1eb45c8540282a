// SPDX-License-Identifier: Apache-2.0
// The table of docs/signatures.md: what each mode does with each value that is not as the column says.
#include "tensor/rule.h"

#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// Columns: n a number 0 to 120.1, i an integer, b a boolean, c a category, l listed numbers; all may be
// missing but m. x has a rule for missing values only where the model has one: the last has none.
static struct rules *bind(const char *mode)
{
    static struct feature features[] = {{.name = {"n", 1}, .may_be_missing = true},
                                        {.name = {"i", 1}, .may_be_missing = true},
                                        {.name = {"b", 1}, .may_be_missing = true},
                                        {.name = {"c", 1}, .may_be_missing = true, .categorical = true},
                                        {.name = {"l", 1}, .may_be_missing = true},
                                        {.name = {"m", 1}, .may_be_missing = true},
                                        {.name = {"x", 1}}};
    struct signature model = {
        .n_features = 7, .input_dtype = DTYPE_FP32, .features = features, .named = true};
    char json[1024];
    struct rules *r;
    struct err e = {0};
    snprintf(json, sizeof json,
             "{\"inputs\":[{\"name\":\"n\",\"type\":\"number\",\"min\":0,\"max\":120.1,\"mode\":\"%s\"},"
             "{\"name\":\"i\",\"type\":\"integer\",\"mode\":\"%s\"},{\"name\":\"b\",\"type\":\"boolean\","
             "\"mode\":\"%s\"},"
             "{\"name\":\"c\",\"type\":\"category\",\"categories\":[\"low\",\"high\"],\"mode\":\"%s\"},"
             "{\"name\":\"l\",\"categories\":[1,2.5],\"mode\":\"%s\"},{\"name\":\"m\",\"missing\":false,"
             "\"mode\":\"%s\"},"
             "{\"name\":\"x\",\"missing\":false,\"categories\":[\"a\"],\"mode\":\"%s\"}],\"named\":true}",
             mode, mode, mode, mode, mode, mode, mode);
    ck_assert_msg(rules_bind(&model, str_of(json), &r, &e) == 0, "%s", e.msg);
    return r;
}

// What came of a value: the number, "missing", with "!" after it when it was warned of and "~" when coerced;
// or the error's code.
static const char *outcome(const struct rules *rules, const char *column, const char *value)
{
    static char text[64];
    const struct signature *s = rules_signature(rules);
    const struct feature *f = &s->features[signature_find(s, str_of(column))];
    struct rule_seen seen = {0}, more = {0};
    struct err e = {0};
    double v;
    int rc;
    if (strcmp(value, "null") == 0)
        rc = rule_missing(f->rule, f->name, &v, &seen, &e);
    else if (strcmp(value, "true") == 0)
        rc = rule_bool(f->rule, f->name, true, &v, &seen, &e);
    else if (*value == '"')
        rc = rule_text(f->rule, f->categories, f->name, (struct str){value + 1, strlen(value) - 2}, &v, &seen,
                       &e);
    else {
        v = (double)strtof(value, NULL);
        rc = 0;
    }
    if (rc == 0 && !isnan(v) && f->rule->looks) {
        rc = rule_number(f->rule, f->name, &v, &more, &e);
        seen = more.any ? more : seen;
    }
    if (rc) {
        ck_assert(seen.any && seen.action == RULE_REFUSED);
        ck_assert_msg(strstr(e.msg, column), "%s", e.msg);
        return err_name(rc);
    }
    const char *mark = !seen.any ? "" : seen.action == RULE_WARNED ? "!" : "~";
    if (isnan(v))
        snprintf(text, sizeof text, "missing%s", mark);
    else
        snprintf(text, sizeof text, "%g%s", v, mark);
    return text;
}

static const struct {
    const char *column, *value, *strict, *coerce, *warn;
} TABLE[] = {
    {"n", "37", "37", "37", "37"},
    {"n", "120.1", "120.1", "120.1", "120.1"}, // as float32 it lies above the double
    {"n", "121", "out_of_range", "out_of_range", "121!"},
    {"n", "-1", "out_of_range", "out_of_range", "-1!"},
    {"n", "\"37\"", "wrong_type", "37~", "37!"},
    {"n", "\" 3.5 \"", "wrong_type", "3.5~", "3.5!"},
    {"n", "\"121\"", "wrong_type", "out_of_range", "121!"},
    {"n", "\"abc\"", "wrong_type", "wrong_type", "missing!"},
    {"n", "\"\"", "wrong_type", "wrong_type", "missing!"},
    {"n", "\"1e999\"", "wrong_type", "wrong_type", "missing!"},
    {"n", "true", "wrong_type", "1~", "1!"},
    {"n", "null", "missing", "missing", "missing"},
    {"i", "4", "4", "4", "4"},
    {"i", "4.5", "wrong_type", "wrong_type", "4.5!"},
    {"i", "\"4\"", "wrong_type", "4~", "4!"},
    {"i", "true", "wrong_type", "1~", "1!"},
    {"b", "true", "1", "1", "1"},
    {"b", "0", "0", "0", "0"},
    {"b", "2", "wrong_type", "wrong_type", "2!"},
    {"b", "\"False\"", "wrong_type", "0~", "0!"},
    {"c", "\"high\"", "1", "1", "1"},
    {"c", "1", "1", "1", "1"},
    {"c", "\"hihg\"", "unknown_category", "missing~", "missing!"},
    {"c", "2", "unknown_category", "missing~", "2!"},
    {"c", "0.5", "wrong_type", "wrong_type", "0.5!"},
    {"l", "2.5", "2.5", "2.5", "2.5"},
    {"l", "3", "unknown_category", "missing~", "3!"},
    {"m", "null", "missing_feature", "missing_feature", "missing!"},
    {"x", "null", "missing_feature", "missing_feature", "missing_feature"},
    {"x", "\"b\"", "unknown_category", "unknown_category", "unknown_category"},
};

START_TEST(each_mode_does_what_the_table_says)
{
    static const char *const MODES[] = {"strict", "coerce", "warn"};
    for (int m = 0; m < 3; m++) {
        struct rules *r = bind(MODES[m]);
        for (size_t i = 0; i < sizeof TABLE / sizeof TABLE[0]; i++) {
            const char *got = outcome(r, TABLE[i].column, TABLE[i].value);
            const char *want = m == 0 ? TABLE[i].strict : m == 1 ? TABLE[i].coerce : TABLE[i].warn;
            ck_assert_msg(strcmp(got, want) == 0, "%s %s %s: %s, expected %s", MODES[m], TABLE[i].column,
                          TABLE[i].value, got, want);
        }
        rules_free(r);
    }
}
END_TEST

START_TEST(the_nearest_category_is_named_first)
{
    struct rules *r = bind("strict");
    const struct feature *f = &rules_signature(r)->features[3];
    struct rule_seen seen = {0};
    struct err e = {0};
    double v;
    ck_assert_int_eq(rule_text(f->rule, f->categories, f->name, STR("hgih"), &v, &seen, &e),
                     ERR_UNKNOWN_CATEGORY);
    ck_assert_str_eq(e.msg, "'c' is 'hgih', expected one of 'high', 'low'");
    ck_assert_int_eq(rule_text(f->rule, f->categories, f->name, STR("zzzz"), &v, &seen, &e),
                     ERR_UNKNOWN_CATEGORY);
    ck_assert_str_eq(e.msg, "'c' is 'zzzz', expected one of 'low', 'high'");
    rules_free(r);
}
END_TEST

START_TEST(a_document_of_another_model_is_refused)
{
    struct feature f = {.name = STR("a")};
    struct signature model = {.n_features = 1, .input_dtype = DTYPE_FP64, .features = &f};
    struct rules *r;
    struct err e = {0};
    ck_assert_int_eq(rules_bind(&model, STR("{\"inputs\":[{\"name\":\"b\"}]}"), &r, &e), ERR_INVALID);
    ck_assert_ptr_null(r);
    ck_assert_int_eq(rules_bind(&model, STR("{\"inputs\":[{\"name\":\"a\"},{\"name\":\"b\"}]}"), &r, &e),
                     ERR_INVALID);
    ck_assert_int_eq(rules_bind(&model, STR("{\"inputs\":[{\"name\":\"b\"}],\"renamed\":true}"), &r, &e), 0);
    ck_assert_int_eq(signature_find(rules_signature(r), STR("b")), 0);
    ck_assert(!rules_signature(r)->has_rules);
    rules_free(r);
}
END_TEST

UNIT_MAIN("tensor/rule", each_mode_does_what_the_table_says, the_nearest_category_is_named_first,
          a_document_of_another_model_is_refused)
