// SPDX-License-Identifier: Apache-2.0
#include "admission/golden.h"

#include "tensor/rule.h"

#include "models.h"

// The same with the names and rules of a signature document, or NULL.
static int hold_as(const char *signature, const char *json, uint32_t n_outputs, bool missing,
                   struct golden_worst *w, struct err *e)
{
    struct rules *rules = NULL;
    struct model m;
    struct subject s;
    struct golden *g = NULL;
    model_init(&m, missing, n_outputs);
    subject_of_model(&s, &ROWS_ENGINE, &m);
    *w = (struct golden_worst){0};
    *e = (struct err){0};
    if (signature)
        ck_assert_msg(rules_bind(&m.sig, str_of(signature), &rules, e) == 0, "%s", e->msg);
    s.asked_signature = rules ? rules_signature(rules) : NULL;
    int rc = golden_open(str_of(json), &s, &g, e);
    if (!rc)
        rc = subject_run(&s, golden_inputs(g), e);
    if (!rc)
        rc = golden_hold(g, &s, 0, golden_n_rows(g), w, e);
    golden_close(g);
    subject_done(&s);
    rules_free(rules);
    map_done(&m.sig.by_name);
    return rc;
}

// Opens a file for the model of rows and holds it against the model's own results.
static int hold(const char *json, uint32_t n_outputs, bool missing, struct golden_worst *w, struct err *e)
{
    return hold_as(NULL, json, n_outputs, missing, w, e);
}

START_TEST(rows_as_arrays_and_as_objects_mean_the_same)
{
    static const char *const FILES[] = {
        "{\"inputs\":[[1,2],[3,4]],\"outputs\":[5,11]}",
        "{\"inputs\":[{\"income\":2,\"age\":1},{\"age\":3,\"income\":4}],\"outputs\":[5,11]}",
        "{\"inputs\":{\"age\":[1,3],\"income\":[2,4]},\"outputs\":[5,11]}",
        " { \"outputs\" : [[5],[11]] , \"tolerance\" : 0, \"inputs\" : [[1,2],[3,4]] } ",
        "{\"inputs\":[[1,2],[3,4]],\"outputs\":{\"prediction\":[5,11]}}",
        "{\"inputs\":[[1,2],[3,4]],\"outputs\":[{\"prediction\":5},{\"prediction\":11}]}",
    };
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        struct golden_worst w;
        struct err e;
        ck_assert_msg(hold(FILES[i], 1, false, &w, &e) == 0, "%zu: %s at %s", i, e.msg, e.path);
        ck_assert(w.is_known && !w.is_beyond && w.difference == 0);
    }
}
END_TEST

START_TEST(the_worst_value_is_named_with_its_row_and_column)
{
    struct golden_worst w;
    struct err e;
    ck_assert_int_eq(hold("{\"inputs\":[[1,2],[3,4],[5,6]],\"outputs\":[[5,-5],[11,-11.5],[17.25,-17]],"
                          "\"tolerance\":0.1}",
                          2, false, &w, &e),
                     0);
    ck_assert(w.is_beyond);
    ck_assert_uint_eq(w.row, 1);
    ck_assert_str_eq(w.output, "prediction[1]");
    ck_assert_str_eq(w.expected, "-11.5");
    ck_assert_str_eq(w.got, "-11");
    ck_assert_double_eq_tol(w.difference, 0.5, 1e-12);
}
END_TEST

START_TEST(a_tolerance_is_absolute_relative_or_by_datatype)
{
    static const struct {
        const char *tolerance;
        bool is_beyond;
    } CASES[] = {{"", true},
                 {",\"tolerance\":0.2", true},
                 {",\"tolerance\":0.3", false},
                 {",\"tolerance\":{\"relative\":0.02}", true},
                 {",\"tolerance\":{\"relative\":0.03}", false},
                 {",\"tolerance\":{\"absolute\":0.1,\"relative\":0.02}", false}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char json[200];
        struct golden_worst w;
        struct err e;
        snprintf(json, sizeof json, "{\"inputs\":[[1,2],[3,4]],\"outputs\":[5,11.25]%s}", CASES[i].tolerance);
        ck_assert_msg(hold(json, 1, false, &w, &e) == 0, "%s", e.msg);
        ck_assert_msg(w.is_beyond == CASES[i].is_beyond, "%s: %g off", CASES[i].tolerance, w.difference);
    }
}
END_TEST

START_TEST(what_the_datatype_rounds_is_no_difference)
{
    struct golden_worst w;
    struct err e;
    ck_assert_int_eq(hold("{\"inputs\":[[0.1,0]],\"outputs\":[0.1],\"tolerance\":0}", 1, false, &w, &e), 0);
    ck_assert(!w.is_beyond && w.difference == 0);
    ck_assert_int_eq(
        hold("{\"inputs\":[[0.1,0]],\"outputs\":[0.10000002],\"tolerance\":0}", 1, false, &w, &e), 0);
    ck_assert(w.is_beyond && w.difference > 0);
}
END_TEST

START_TEST(missing_inputs_and_outputs_that_are_no_numbers_are_compared)
{
    struct golden_worst w;
    struct err e;
    ck_assert_int_eq(hold("{\"inputs\":[[null,1],[1,1]],\"outputs\":[null,3]}", 1, true, &w, &e), 0);
    ck_assert(w.is_known && !w.is_beyond);
    ck_assert_int_eq(hold("{\"inputs\":[[NaN,1]],\"outputs\":[NaN]}", 1, true, &w, &e), 0);
    ck_assert(w.is_known && !w.is_beyond);
    ck_assert_int_eq(hold("{\"inputs\":[[NaN,1]],\"outputs\":[3]}", 1, true, &w, &e), 0);
    ck_assert(w.is_beyond && isinf(w.difference));
    ck_assert_str_eq(w.got, "null");
    ck_assert_int_eq(hold("{\"inputs\":[[1,1]],\"outputs\":[null]}", 1, true, &w, &e), 0);
    ck_assert(w.is_beyond);
}
END_TEST

START_TEST(a_broken_file_is_refused_with_the_place)
{
    static const struct {
        const char *json;
        int code;
        const char *path, *says;
    } CASES[] = {
        {"", ERR_BAD_JSON, "", ""},
        {"[]", ERR_WRONG_TYPE, "", "an object"},
        {"{\"inputs\":[[1,2]]}", ERR_INVALID, "$", "outputs"},
        {"{\"outputs\":[1]}", ERR_INVALID, "$", "inputs"},
        {"{\"inputs\":[[1,2]],\"outputs\":[5]", ERR_BAD_JSON, "", ""},
        {"{\"inputs\":[[1,2]],\"outputs\":[5]} x", ERR_BAD_JSON, "", ""},
        {"{\"inputs\":[[1,2]],\"output\":[5]}", ERR_UNKNOWN_FIELD, "$.output", "output"},
        {"{\"inputs\":[[1,2]],\"inputs\":[[1,2]],\"outputs\":[5]}", ERR_DUPLICATE_KEY, "$.inputs", "twice"},
        {"{\"inputs\":[[1,2],[1]],\"outputs\":[5,5]}", ERR_WRONG_COUNT, "$.inputs[1]", "expected 2"},
        {"{\"inputs\":[[1,2],[1,\"x\"]],\"outputs\":[5,5]}", ERR_WRONG_TYPE, "$.inputs[1][1]", "a number"},
        {"{\"inputs\":[{\"age\":1,\"incme\":2}],\"outputs\":[5]}", ERR_UNKNOWN_FEATURE, "$.inputs[0].incme",
         "incme"},
        {"{\"inputs\":[[1,null]],\"outputs\":[5]}", ERR_MISSING_FEATURE, "$.inputs[0][1]", "missing"},
        {"{\"inputs\":[],\"outputs\":[]}", ERR_WRONG_COUNT, "$.inputs", "no golden rows"},
        {"{\"inputs\":[[1,2]],\"outputs\":[5,6]}", ERR_WRONG_COUNT, "$.outputs", "1 rows of inputs"},
        {"{\"inputs\":[[1,2]],\"outputs\":5}", ERR_WRONG_TYPE, "$.outputs", "array of rows"},
        {"{\"inputs\":[[1,2]],\"outputs\":[[5,6]]}", ERR_WRONG_TYPE, "$.outputs[0]", "a number"},
        {"{\"inputs\":[[1,2]],\"outputs\":[\"5\"]}", ERR_WRONG_TYPE, "$.outputs[0]", "a number"},
        {"{\"inputs\":[[1,2]],\"outputs\":{\"predction\":[5]}}", ERR_UNKNOWN_OUTPUT, "$.outputs",
         "predction"},
        {"{\"inputs\":[[1,2]],\"outputs\":[5],\"tolerance\":-1}", ERR_OUT_OF_RANGE, "$.tolerance", "from 0"},
        {"{\"inputs\":[[1,2]],\"outputs\":[5],\"tolerance\":\"1\"}", ERR_WRONG_TYPE, "$.tolerance", "number"},
        {"{\"inputs\":[[1,2]],\"outputs\":[5],\"tolerance\":{\"abs\":1}}", ERR_UNKNOWN_FIELD, "$.tolerance",
         "absolute"},
        {"{\"inputs\":[[1,2]],\"outputs\":[5],\"tolerance\":{\"relative\":NaN}}", ERR_OUT_OF_RANGE,
         "$.tolerance.relative", "from 0"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct golden_worst w;
        struct err e;
        int rc = hold(CASES[i].json, 1, false, &w, &e);
        ck_assert_msg(rc == CASES[i].code && e.code == rc, "%s: %d %s", CASES[i].json, rc, e.msg);
        ck_assert_msg(strcmp(e.path, CASES[i].path) == 0, "%s: at %s", CASES[i].json, e.path);
        ck_assert_msg(strstr(e.msg, CASES[i].says) != NULL, "%s: %s", CASES[i].json, e.msg);
    }
}
END_TEST

static int hold_tensors(const char *json, uint32_t max_batch_rows, struct golden_worst *w, struct err *e)
{
    static struct session session;
    struct subject s;
    struct golden *g = NULL;
    session_init(&session);
    *w = (struct golden_worst){0};
    *e = (struct err){0};
    ck_assert_int_eq(subject_of_session(&s, &TENSORS_RUNTIME, &session, max_batch_rows, e), 0);
    int rc = golden_open(str_of(json), &s, &g, e);
    if (!rc)
        rc = subject_run(&s, golden_inputs(g), e);
    if (!rc)
        rc = golden_hold(g, &s, 0, golden_n_rows(g), w, e);
    golden_close(g);
    subject_done(&s);
    return rc;
}

#define INPUTS "\"inputs\":[{\"x\":[1,2],\"word\":\"abc\"},{\"x\":[5,1],\"word\":\"\"}]"

START_TEST(names_and_texts_are_those_of_the_signature)
{
    static const char SIGNATURE[] =
        "{\"inputs\":[{\"name\":\"years\",\"type\":\"number\",\"max\":3,\"mode\":\"strict\"},"
        "{\"name\":\"kind\",\"type\":\"category\",\"categories\":[\"low\",\"high\"],\"mode\":\"strict\"}],"
        "\"named\":true,\"renamed\":true}";
    static const char *const GOOD[] = {
        "{\"inputs\":[[1,\"high\"],[3,\"low\"]],\"outputs\":[3,3]}",
        "{\"inputs\":[{\"kind\":\"high\",\"years\":1}],\"outputs\":[3]}",
        "{\"inputs\":{\"kind\":[\"high\",0],\"years\":[1,3]},\"outputs\":[3,3]}",
        "{\"inputs\":[[9,1]],\"outputs\":[11]}",                   // no request may have it
        "{\"inputs\":[{\"age\":1,\"income\":2}],\"outputs\":[5]}", // the file's own names
    };
    struct golden_worst w;
    struct err e;
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        ck_assert_msg(hold_as(SIGNATURE, GOOD[i], 1, true, &w, &e) == 0, "%zu: %s at %s", i, e.msg, e.path);
        ck_assert_msg(w.is_known && !w.is_beyond && w.difference == 0, "%zu", i);
    }
    ck_assert_int_eq(
        hold_as(SIGNATURE, "{\"inputs\":[[1,\"low\"],[1,\"hihg\"]],\"outputs\":[1,3]}", 1, true, &w, &e),
        ERR_UNKNOWN_CATEGORY);
    ck_assert_str_eq(e.path, "$.inputs[1][1]");
    ck_assert_msg(strstr(e.msg, "expected one of 'high'"), "%s", e.msg);
}
END_TEST

START_TEST(tensors_are_asked_and_answered_by_name)
{
    static const char *const FILES[] = {
        "{" INPUTS ",\"outputs\":[{\"score\":[2,-2],\"label\":1},{\"score\":[4,-4],\"label\":1}]}",
        "{" INPUTS ",\"outputs\":[{\"label\":1},{\"label\":1,\"score\":[4,-4]}]}", // some may be left out
        "{" INPUTS ",\"outputs\":{\"score\":[[2,-2],[4,-4]],\"label\":[1,1]}}",
        "{\"inputs\":{\"x\":[[1,2],[5,1]],\"word\":[\"abc\",\"\"]},\"outputs\":{\"score\":[[2,-2],[4,-4]]}}",
    };
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++)
        for (uint32_t rows = 0; rows < 64; rows += 32) {
            struct golden_worst w;
            struct err e;
            if (rows == 0 && i < 2)
                continue; // without rows outputs are a whole
            ck_assert_msg(hold_tensors(FILES[i], rows, &w, &e) == 0, "%zu: %s at %s", i, e.msg, e.path);
            ck_assert_msg(w.is_known && !w.is_beyond, "%zu: row %u %s", i, w.row, w.output);
        }
}
END_TEST

START_TEST(a_wrong_value_of_one_output_is_named)
{
    struct golden_worst w;
    struct err e;
    ck_assert_int_eq(
        hold_tensors("{" INPUTS ",\"outputs\":{\"score\":[[2,-2],[4,-4]],\"label\":[1,0]}}", 32, &w, &e), 0);
    ck_assert(w.is_beyond);
    ck_assert_uint_eq(w.row, 1);
    ck_assert_str_eq(w.output, "label");
    ck_assert_int_eq(hold_tensors("{" INPUTS ",\"outputs\":{\"score\":[[2,-2],[4,-9]]}}", 0, &w, &e), 0);
    ck_assert(w.is_beyond);
    ck_assert_str_eq(w.output, "score[1][1]");
}
END_TEST

START_TEST(outputs_of_another_shape_are_refused_with_the_place)
{
    struct golden_worst w;
    struct err e;
    ck_assert_int_eq(hold_tensors("{" INPUTS ",\"outputs\":{\"score\":[[2,-2],[4,-4,0]]}}", 32, &w, &e),
                     ERR_WRONG_COUNT);
    ck_assert_str_eq(e.path, "$.outputs.score[1]");
    ck_assert_int_eq(
        hold_tensors("{" INPUTS ",\"outputs\":[{\"label\":1},{\"score\":[4,\"x\"]}]}", 32, &w, &e),
        ERR_WRONG_TYPE);
    ck_assert_str_eq(e.path, "$.outputs[1].score[1]");
    ck_assert_int_eq(hold_tensors("{" INPUTS ",\"outputs\":[1,2]}", 32, &w, &e), ERR_WRONG_TYPE);
    ck_assert_str_eq(e.path, "$.outputs[0]");
    ck_assert_int_eq(hold_tensors("{" INPUTS ",\"outputs\":{\"score\":[[2,-2]]}}", 32, &w, &e),
                     ERR_WRONG_COUNT);
    ck_assert_str_eq(e.path, "$.outputs.score");
}
END_TEST

UNIT_MAIN("admission/golden", rows_as_arrays_and_as_objects_mean_the_same,
          the_worst_value_is_named_with_its_row_and_column, a_tolerance_is_absolute_relative_or_by_datatype,
          what_the_datatype_rounds_is_no_difference,
          missing_inputs_and_outputs_that_are_no_numbers_are_compared,
          a_broken_file_is_refused_with_the_place, names_and_texts_are_those_of_the_signature,
          tensors_are_asked_and_answered_by_name, a_wrong_value_of_one_output_is_named,
          outputs_of_another_shape_are_refused_with_the_place)
