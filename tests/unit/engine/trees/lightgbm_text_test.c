// SPDX-License-Identifier: Apache-2.0
// What the LightGBM parser makes of sound models: hand-made ones value by value, and models saved by
// LightGBM 3.3.5 with that release's own predictions, bit by bit.
#include "engine/trees/formats.h"
#include "lightgbm_models.h"

#include "engine/trees/forest.h"
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct arena arena;
static struct err err;
static struct forest forest;

static int parse(const char *text, size_t n)
{
    if (!arena.base)
        ck_assert_int_eq(arena_init(&arena, 64 << 20, &err), 0);
    arena_reset(&arena, 0);
    return lightgbm_text_parse((const uint8_t *)text, n, &arena, &forest, &err);
}

static void parse_ok(const char *text)
{
    int rc = parse(text, strlen(text));
    ck_assert_msg(rc == 0, "%s", err.msg);
}

// The text with the first `from` replaced.
static const char *edited(const char *text, const char *from, const char *to)
{
    static char out[8192];
    const char *at = strstr(text, from);
    ck_assert_msg(at != NULL, "the model has no '%s'", from);
    snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static double margin1(double a, double b, double c)
{
    double row[3] = {a, b, c}, out[2];
    forest_reference_margin(&forest, row, out);
    return out[0];
}

START_TEST(detects_by_content)
{
    const char *yes = "tree\nversion=v9\n", *crlf = "tree\r\nversion=v4\r\n", *no = "tree\nnum_class=1\n";
    ck_assert(lightgbm_text_detect((const uint8_t *)yes, strlen(yes)));
    ck_assert(lightgbm_text_detect((const uint8_t *)crlf, strlen(crlf)));
    ck_assert(!lightgbm_text_detect((const uint8_t *)no, strlen(no)));
    ck_assert(!lightgbm_text_detect((const uint8_t *)yes, 4));
    ck_assert(!lightgbm_text_detect(NULL, 0));
}
END_TEST

START_TEST(reads_splits_missing_values_and_categories)
{
    parse_ok(MODEL_SMALL);
    ck_assert_uint_eq(forest.n_trees, 2);
    ck_assert_uint_eq(forest.n_nodes, 8);
    ck_assert_uint_eq(forest.n_leaves, 5);
    ck_assert(margin1(0.5, 0, 1) == 10.125);
    ck_assert(margin1(0.5, 0, 33) == 10.125);
    ck_assert(margin1(0.5, 0, 32) == 20.125);
    ck_assert(margin1(NAN, 0, 2) == 20.125); // default left
    ck_assert(margin1(-1, 0, NAN) == 20.125);
    ck_assert(margin1(0.6, 1e300, 1) == 30.125); // up to infinity, included
    ck_assert(margin1(0.6, NAN, 1) == 30.125);   // type None: NaN is 0
}
END_TEST

START_TEST(signature_says_what_may_be_missing)
{
    parse_ok(MODEL_SMALL);
    const struct signature *s = &forest.sig;
    ck_assert_uint_eq(s->n_features, 3);
    ck_assert(str_eq(s->features[2].name, STR("kind")));
    ck_assert(s->features[0].may_be_missing && !s->features[1].may_be_missing &&
              s->features[2].may_be_missing);
    ck_assert(!s->features[0].categorical && !s->features[1].categorical && s->features[2].categorical);
    ck_assert(s->named && !s->output_is_vector && s->n_outputs == 1);
    ck_assert(s->input_dtype == DTYPE_FP64 && s->output_dtype == DTYPE_FP64);
    ck_assert_str_eq(s->platform, "lightgbm_txt");
    parse_ok(edited(MODEL_SMALL, "decision_type=10 9 0", "decision_type=10 9 4"));
    ck_assert(forest.sig.features[1].may_be_missing); // zero is missing: a rule
    parse_ok(edited(MODEL_SMALL, "split_feature=0 2 1", "split_feature=0 2 0"));
    ck_assert(forest.sig.features[1].may_be_missing); // not used at all
}
END_TEST

START_TEST(linear_leaves_sum_in_listed_order_and_fall_back_on_nan)
{
    parse_ok(MODEL_LINEAR);
    double out[2], row[2] = {-1, 3};
    forest_reference_margin(&forest, row, out);
    ck_assert(out[0] == 100 + 30 - 1 && out[1] == 3);
    row[1] = NAN;
    forest_reference_margin(&forest, row, out);
    ck_assert(out[0] == 1 && out[1] == 3);
    row[0] = 5;
    forest_reference_margin(&forest, row, out);
    ck_assert(out[0] == 200 && out[1] == 4); // the other leaf has no terms: nothing can be missing
    ck_assert(forest.sig.output_is_vector && forest.sig.n_outputs == 2);
    ck_assert(forest.transform == TRANSFORM_SIGMOID_EACH && forest.transform_param == 2.5);
    ck_assert_ptr_eq(strstr(forest.objective, "multiclassova"), forest.objective);
}
END_TEST

START_TEST(objectives_become_their_transforms)
{
    static const struct {
        const char *line;
        enum forest_transform transform;
        double param;
    } t[] = {
        {"objective=regression\n", TRANSFORM_IDENTITY, 1},
        {"objective=regression sqrt\n", TRANSFORM_SIGNED_SQUARE, 1},
        {"objective=regression_l1\n", TRANSFORM_IDENTITY, 1},
        {"objective=regression_l1 sqrt\n", TRANSFORM_SIGNED_SQUARE, 1},
        {"objective=huber\n", TRANSFORM_IDENTITY, 1},
        {"objective=fair sqrt\n", TRANSFORM_SIGNED_SQUARE, 1},
        {"objective=quantile sqrt\n", TRANSFORM_SIGNED_SQUARE, 1},
        {"objective=mape\n", TRANSFORM_IDENTITY, 1},
        {"objective=poisson\n", TRANSFORM_EXP, 1},
        {"objective=gamma\n", TRANSFORM_EXP, 1},
        {"objective=tweedie\n", TRANSFORM_EXP, 1},
        {"objective=cross_entropy\n", TRANSFORM_SIGMOID, 1},
        {"objective=cross_entropy_lambda\n", TRANSFORM_LOG1P_EXP, 1},
        {"objective=lambdarank\n", TRANSFORM_IDENTITY, 1},
        {"objective=rank_xendcg\n", TRANSFORM_IDENTITY, 1},
        {"objective=custom\n", TRANSFORM_IDENTITY, 1},
        {"", TRANSFORM_IDENTITY, 1}, // trained with an objective of the user's own
        {"objective=binary sigmoid:0.15\n", TRANSFORM_SIGMOID, 0.15},
        {"objective=binary sigmoid:1e-05\n", TRANSFORM_SIGMOID, 1e-05},
        // Not the nearest double to 5.56622: LightGBM reads this number its own way.
        {"objective=binary sigmoid:5.56622\n", TRANSFORM_SIGMOID, 0x1.643cf2cf95d4ep+2},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        parse_ok(edited(MODEL_SMALL, "objective=binary sigmoid:1\n", t[i].line));
        ck_assert_msg(forest.transform == t[i].transform && forest.transform_param == t[i].param, "%s %a",
                      t[i].line, forest.transform_param);
    }
    parse_ok(edited(MODEL_LINEAR, "multiclassova num_class:2 sigmoid:2.5", "multiclass num_class:2"));
    ck_assert(forest.transform == TRANSFORM_SOFTMAX);
}
END_TEST

START_TEST(average_output_divides)
{
    parse_ok(edited(MODEL_SMALL, "feature_names=", "average_output\nfeature_names="));
    ck_assert(forest.average);
    ck_assert(margin1(0.5, 0, 1) == 10.125 / 2);
}
END_TEST

START_TEST(tolerates_what_does_not_matter)
{
    parse_ok(edited(MODEL_SMALL, "tree_sizes=99 77\n", "")); // never trusted
    parse_ok(edited(MODEL_SMALL, "tree_sizes=99 77\n", "tree_sizes=x\nmonotone_constraints=0 0 1\n"));
    parse_ok(edited(MODEL_SMALL, "split_gain=3 2 1", "split_gain=nan inf"));
    parse_ok(edited(MODEL_SMALL, "is_linear=0\n", "")); // before 3.2
    parse_ok(edited(MODEL_SMALL, "pandas_categorical:[[\"x\", \"y\"], [0, 1]]\n", "pandas_categorical:null"));
    parse_ok(edited(MODEL_SMALL, "[[\"x\", \"y\"], [0, 1]]", "[[false, true], [0.0, 1.0, \"\\n\"]]"));
    parse_ok(edited(MODEL_SMALL, "feature_names=a b kind", "feature_names=a=b \"b\\ g\xc3\xb6"));
    ck_assert(str_eq(forest.sig.features[0].name, STR("a=b")));
    ck_assert(str_eq(forest.sig.features[1].name, STR("\"b\\")));
    char crlf[4096];
    size_t n = 0;
    for (const char *p = MODEL_SMALL; *p; p++) {
        if (*p == '\n')
            crlf[n++] = '\r';
        crlf[n++] = *p;
    }
    ck_assert_msg(parse(crlf, n) == 0, "%s", err.msg);
    ck_assert(margin1(0.5, 0, 33) == 10.125);
}
END_TEST

static char *file_read(const char *name, size_t *ret_n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/fixtures/lightgbm/%s", getenv("SOURCE_ROOT"), name);
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "open %s", path);
    char *p = calloc(1, 1 << 16);
    *ret_n = fread(p, 1, (1 << 16) - 1, f);
    fclose(f);
    return p;
}

// The numbers up to '|' or the end of the line.
static size_t numbers(const char **p, double *ret, size_t max)
{
    size_t n = 0;
    while (**p && **p != '|' && **p != '\n') {
        char *end;
        ck_assert_uint_lt(n, max);
        ret[n++] = strtod(*p, &end);
        ck_assert(end != *p);
        *p = end + strspn(end, " ");
    }
    *p += **p != '\0';
    return n;
}

static void compare_with_library(const char *model, const char *rows)
{
    size_t n, n_rows = 0;
    char *text = file_read(model, &n);
    ck_assert_msg(parse(text, n) == 0, "%s", err.msg);
    char *expected = file_read(rows, &n);
    for (const char *p = strchr(expected, '\n') + 1; *p; n_rows++) {
        double row[8], raw, out, got_raw, got;
        ck_assert_uint_eq(numbers(&p, row, 8), forest.sig.n_features);
        ck_assert_uint_eq(numbers(&p, &raw, 1) + numbers(&p, &out, 1), 2);
        forest_reference_margin(&forest, row, &got_raw);
        forest_transform(&forest, &got_raw, &got);
        ck_assert_msg(got_raw == raw || (isnan(raw) && isnan(got_raw)), "row %zu: %a, not %a", n_rows,
                      got_raw, raw);
        // The last step is the machine's own exp: one unit in the last place at most.
        ck_assert_msg((isnan(out) && isnan(got)) || got == out ||
                          fabs(got - out) <= fabs(nextafter(out, 2 * out) - out),
                      "row %zu: %a, not %a", n_rows, got, out);
    }
    ck_assert_uint_eq(n_rows, 52);
    free(text);
    free(expected);
}

START_TEST(predicts_as_lightgbm_335_did)
{
    compare_with_library("binary_v3.txt", "binary_v3.rows");
    ck_assert(str_eq(forest.sig.features[1].name, STR("net_income"))); // the library's own replacement
    ck_assert(str_eq(forest.sig.features[2].name, STR("ratio=a/b")));
    ck_assert(forest.transform_param == 0.7);
    compare_with_library("linear_v3.txt", "linear_v3.rows");
    ck_assert(forest.linear && forest.n_linear_terms > 0);
}
END_TEST

UNIT_MAIN("engine/trees/lightgbm_text", detects_by_content, reads_splits_missing_values_and_categories,
          signature_says_what_may_be_missing, linear_leaves_sum_in_listed_order_and_fall_back_on_nan,
          objectives_become_their_transforms, average_output_divides, tolerates_what_does_not_matter,
          predicts_as_lightgbm_335_did)
