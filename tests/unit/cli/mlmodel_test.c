// SPDX-License-Identifier: Apache-2.0
// MLmodel files as MLflow 1, 2 and 3 write them, and what is wrong with others.
#include "cli/mlflow.h"

#include "unit.h"

#include <string.h>

static struct arena arena;
static struct mlmodel m;
static struct err e;

static int parse(const char *yaml)
{
    arena_done(&arena);
    arena = (struct arena){0};
    ck_assert_int_eq(arena_init(&arena, 16 << 20, &e), 0);
    return mlmodel_parse(str_of(yaml), &arena, &m, &e);
}

static void is(struct str got, const char *want)
{
    ck_assert_msg(str_eq(got, str_of(want)), "expected '%s', got '" STR_FMT "'", want, STR_ARG(got));
}

START_TEST(a_model_of_mlflow_3_is_read)
{
    ck_assert_int_eq(
        parse("artifact_path: mlflow-artifacts:/0/models/m-1/artifacts\n"
              "flavors:\n"
              "  python_function:\n    data: model.json\n    loader_module: mlflow.xgboost\n"
              "    env:\n      conda: conda.yaml\n"
              "  xgboost:\n    code: null\n    data: model.json\n"
              "    model_class: xgboost.sklearn.XGBClassifier\n    xgb_version: 3.2.0\n"
              "mlflow_version: 3.5.1\nmodel_id: m-1\nmodel_uuid: m-1\nrun_id: abc\n"
              "saved_input_example_info:\n  artifact_path: input_example.json\n"
              "signature:\n  inputs: '[{\"type\": \"long\", \"name\":\n    \"age\"}]'\n  params: null\n"),
        0);
    is(m.run_id, "abc");
    is(m.model_id, "m-1");
    is(m.mlflow_version, "3.5.1");
    is(m.example, "input_example.json");
    is(m.signature_inputs, "[{\"type\": \"long\", \"name\": \"age\"}]");
    ck_assert_uint_eq(m.n_flavors, 2);
    const struct mlmodel_flavor *f = mlmodel_find(&m, "xgboost");
    is(f->data, "model.json");
    is(f->model_class, "xgboost.sklearn.XGBClassifier");
    is(f->library_version, "3.2.0");
    is(mlmodel_find(&m, "python_function")->loader_module, "mlflow.xgboost");
    ck_assert_ptr_null(mlmodel_find(&m, "onnx"));
}
END_TEST

START_TEST(an_older_one_is_read_too)
{
    ck_assert_int_eq(
        parse("flavors:\n  sklearn: {pickled_model: model.pkl, sklearn_version: '1.0'}\n  empty: {}\n"
              "model_uuid: 0123\nrun_id: ~\nsignature: null\n"),
        0);
    is(m.model_id, "0123");
    is(m.run_id, "");
    is(m.signature_inputs, "");
    ck_assert_uint_eq(m.n_flavors, 2);
}
END_TEST

START_TEST(what_is_wrong_is_said_with_its_line)
{
    ck_assert_int_eq(parse("flavors:\n  a: {data: [}\n"), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(e.msg, "MLmodel:2: not valid YAML"));
    ck_assert_int_eq(parse("run_id: a\n"), ERR_INVALID);
    ck_assert_str_eq(e.msg, "MLmodel names no flavors");
    ck_assert_int_eq(parse(""), ERR_INVALID);
    ck_assert_int_eq(parse("just text\n"), ERR_INVALID);
    ck_assert_int_eq(parse("a: &x b\nflavors: {onnx: {data: *x}}\n"), ERR_INVALID);
    ck_assert_str_eq(e.msg, "MLmodel:2: aliases are not understood here");
    ck_assert_int_eq(parse("flavors: {onnx: {data: a}}\nrun_id: a\nrun_id: b\n"), ERR_INVALID);
    ck_assert_str_eq(e.msg, "MLmodel:3: a second value for 'run_id'");
    ck_assert_int_eq(parse("? [a]\n: b\n"), ERR_INVALID);
    ck_assert_str_eq(e.msg, "MLmodel:1: a key is not a text");
}
END_TEST

START_TEST(depth_size_and_count_are_bounded)
{
    struct buf b;
    buf_init(&b, 64 << 20);
    buf_puts(&b, "a: ");
    for (int i = 0; i < 40; i++)
        buf_putc(&b, '[');
    buf_putc(&b, '\0');
    ck_assert_int_eq(parse(b.p), ERR_TOO_DEEP);
    buf_clear(&b);
    buf_puts(&b, "flavors:\n");
    for (int i = 0; i < 40; i++)
        buf_printf(&b, "  f%d: {data: x}\n", i);
    buf_putc(&b, '\0');
    ck_assert_int_eq(parse(b.p), ERR_TOO_LARGE);
    buf_clear(&b);
    for (int i = 0; i < (9 << 20) / 16; i++)
        buf_puts(&b, "# sixteen bytes\n");
    buf_putc(&b, '\0');
    ck_assert_int_eq(parse(b.p), ERR_TOO_LARGE);
    buf_done(&b);
}
END_TEST

static const char *signature(const char *json, bool underscores)
{
    static char text[4096];
    struct mlmodel_column *columns;
    size_t n;
    struct buf out;
    buf_init(&out, sizeof text - 1);
    if (mlmodel_columns(str_of(json), &arena, &columns, &n, &e))
        return e.msg;
    bool says = mlmodel_put_signature(columns, n, underscores, &out);
    snprintf(text, sizeof text, "%.*s", (int)out.n, out.n ? out.p : "");
    ck_assert_int_eq(says, out.n > 0);
    buf_done(&out);
    return text;
}

START_TEST(columns_become_our_signature)
{
    ck_assert_int_eq(parse("flavors: {a: {b: c}}\n"), 0);
    static const char ALL[] =
        "[{\"type\":\"long\",\"name\":\"a b\"},{\"type\":\"integer\",\"name\":\"b\"},"
        "{\"type\":\"double\",\"name\":\"c\"},{\"type\":\"float\",\"name\":\"d\"},"
        "{\"type\":\"boolean\",\"name\":\"e\"},{\"type\":\"string\",\"name\":\"f\\\"\"}]";
    ck_assert_str_eq(signature(ALL, true),
                     "{\"inputs\":[{\"name\":\"a_b\",\"type\":\"integer\"},"
                     "{\"name\":\"b\",\"type\":\"integer\"},{\"name\":\"c\",\"type\":\"number\"},"
                     "{\"name\":\"d\",\"type\":\"number\"},{\"name\":\"e\",\"type\":\"boolean\"},"
                     "{\"name\":\"f\\\"\"}]}");
    ck_assert_ptr_nonnull(strstr(signature(ALL, false), "\"a b\""));
    ck_assert_str_eq(
        signature("[{\"type\":\"tensor\",\"tensor-spec\":{\"dtype\":\"float32\",\"shape\":[-1,3]}}]", false),
        "");
    ck_assert_str_eq(signature("[{\"type\":\"double\"}]", false), "");
    ck_assert_str_eq(signature("[]", false), "");
    ck_assert_str_eq(signature("{}", false), "the signature in MLmodel is not a list of columns");
    ck_assert_str_eq(signature("[1]", false), "column 1 of the signature in MLmodel has no type");
    ck_assert_str_eq(signature("[", false), "the signature in MLmodel is not JSON");
}
END_TEST

START_TEST(a_refusal_brings_lines_with_this_model_in_them)
{
    struct package p;
    ck_assert_int_eq(package_init(&p, &e), 0);
    ck_assert_int_eq(parse("flavors: {sklearn: {x: y}}\nsignature:\n  inputs: "
                           "'[{\"type\":\"string\",\"name\":\"a\\u001b\\\"\"}]'\n"),
                     0);
    ck_assert_int_eq(mlflow_refuse(&m, "models:/\"x/1", &p, &e), ERR_UNSUPPORTED_MODEL);
    buf_putc(&p.notes, '\0');
    ck_assert_ptr_nonnull(strstr(p.notes.p, "load_model(\"models:/\\\"x/1\")"));
    ck_assert_ptr_nonnull(strstr(p.notes.p, "\"a\\u001b\\\"\": StringTensorType,"));
    package_done(&p);
}
END_TEST

UNIT_MAIN("cli/mlmodel", a_model_of_mlflow_3_is_read, an_older_one_is_read_too,
          what_is_wrong_is_said_with_its_line, depth_size_and_count_are_bounded, columns_become_our_signature,
          a_refusal_brings_lines_with_this_model_in_them)
