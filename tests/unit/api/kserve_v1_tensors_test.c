// SPDX-License-Identifier: Apache-2.0
#include "tensor_codec.h"

#include "tensor/rule.h"

#define ONE(type, shape) MODEL(IN("x", type, shape), Y)
// A data frame, as skl2onnx makes models: a column for each input.
#define FRAME                                                                                                \
    MODEL(IN("age", "FP32", "[-1,1]") "," IN("sex", "BYTES", "[-1,1]") "," OPT("n", "INT64", "[-1]"),        \
          IN("label", "INT64", "[-1]") "," IN("score", "FP32", "[-1,2]"))
// Inputs whose rows are known in size.
#define FIXED                        MODEL(IN("a", "FP32", "[-1,2]") "," IN("b", "INT64", "[-1]") "," OPT("c", "INT8", "[-1,1]"), Y)
#define GIVES(model, body, expected) tensors_give(model, kserve_v1_tensors_decode, body, expected)
#define REFUSES(model, body, code, path)                                                                     \
    tensors_refuse(model, kserve_v1_tensors_decode, body, code, path, NULL)
#define HINTS(model, body, code, hint) tensors_refuse(model, kserve_v1_tensors_decode, body, code, NULL, hint)
#define ROWS(rows)                     "{\"instances\":" rows "}"
#define COLS(columns)                  "{\"inputs\":" columns "}"

START_TEST(instances_of_one_input_are_nested_lists)
{
    GIVES(ONE("FP32", "[-1,3]"), ROWS("[[1,2.5,3]]"), "x FP32 [1,3] 1 2.5 3");
    GIVES(ONE("FP32", "[-1,3]"), ROWS("[[1,2,3],[4,5,6]]"), "x FP32 [2,3] 1 2 3 4 5 6");
    GIVES(ONE("FP32", "[-1,3]"), ROWS(" [ [ 1 , null , 3 ] ] "), "x FP32 [1,3] 1 nan 3");
    GIVES(ONE("FP32", "[-1,3]"), ROWS("[]"), "x FP32 [0,3]");
    GIVES(ONE("INT64", "[-1,-1]"), ROWS("[[1,2],[3,4],[5,6]]"), "x INT64 [3,2] 1 2 3 4 5 6");
    GIVES(ONE("UINT8", "[-1,-1,2]"), ROWS("[[[1,2],[3,4]],[[5,6],[7,8]]]"),
          "x UINT8 [2,2,2] 1 2 3 4 5 6 7 8");
    GIVES(ONE("FP32", "[-1,1]"), ROWS("[1,2]"), "x FP32 [2,1] 1 2");
    GIVES(ONE("FP32", "[-1,1]"), ROWS("[[1],[2]]"), "x FP32 [2,1] 1 2");
    GIVES(ONE("FP32", "[-1,1]"), ROWS("[]"), "x FP32 [0,1]");
    GIVES(ONE("BYTES", "[-1]"), ROWS("[\"a,b\",\"\\\"\"]"), "x BYTES [2] 'a,b' '\"'");
    GIVES(ONE("BYTES", "[-1,-1]"), ROWS("[[\"a\",\"b\"]]"), "x BYTES [1,2] 'a' 'b'");
    GIVES(ONE("BYTES", "[-1,1]"), ROWS("[\"a\",\"b\"]"), "x BYTES [2,1] 'a' 'b'");
    GIVES(ONE("BYTES", "[-1]"), ROWS("[{\"b64\":\"aGk=\"},\"a\",{\"b64\":\"\"}]"), "x BYTES [3] 'hi' 'a' ''");
    GIVES(MODEL(ANY("x", "INT8"), Y), ROWS("[[[1],[2]]]"), "x INT8 [1,2,1] 1 2");
    GIVES(MODEL(ANY("x", "INT8"), Y), ROWS("[]"), "x INT8 [0]");
    GIVES(MODEL(IN("x", "FP32", "[-1,2]") "," OPT("z", "FP32", "[-1]"), Y), ROWS("[[1,2]]"),
          "x FP32 [1,2] 1 2");
    GIVES(ONE("FP32", "[-1,2]"),
          "{\"signature_name\":\"serving_default\",\"instances\":[[1,2]],\"parameters\":{}}",
          "x FP32 [1,2] 1 2");
}
END_TEST

START_TEST(instances_of_several_inputs_are_objects)
{
    GIVES(FRAME, ROWS("[{\"age\":37,\"sex\":\"m\"},{\"sex\":\"f\",\"age\":51.5}]"),
          "age FP32 [2,1] 37 51.5; sex BYTES [2,1] 'm' 'f'");
    GIVES(FRAME, ROWS("[{\"n\":7,\"age\":[37],\"sex\":[\"m\\u00e9\"]}]"),
          "age FP32 [1,1] 37; sex BYTES [1,1] 'm\xc3\xa9'; n INT64 [1] 7");
    GIVES(FIXED, ROWS("[{\"a\":[1,2],\"b\":3},{\"a\":[4,5],\"b\":6},{\"b\":9,\"a\":[7,8]}]"),
          "a FP32 [3,2] 1 2 4 5 7 8; b INT64 [3] 3 6 9");
    GIVES(FIXED, ROWS("[{\"a\":[1,2],\"b\":3,\"c\":[-1]}]"),
          "a FP32 [1,2] 1 2; b INT64 [1] 3; c INT8 [1,1] -1");
    GIVES(FIXED, "{\"parameters\":{},\"inputs\":[{\"a\":[1,2],\"b\":3}]}", "a FP32 [1,2] 1 2; b INT64 [1] 3");
    GIVES(MODEL(IN("ids", "INT64", "[-1,-1]") "," IN("mask", "BOOL", "[-1,-1]"), Y),
          ROWS("[{\"ids\":[1,2,3],\"mask\":[true,true,false]},{\"ids\":[4,5,6],\"mask\":[1,0,0]}]"),
          "ids INT64 [2,3] 1 2 3 4 5 6; mask BOOL [2,3] 1 1 0 1 0 0");
    GIVES(MODEL(ANY("a", "INT8") "," IN("b", "INT8", "[2]"), Y),
          ROWS("[{\"a\":[1,2],\"b\":3},{\"a\":[4,5],\"b\":6}]"), "a INT8 [2,2] 1 2 4 5; b INT8 [2] 3 6");
    GIVES(ONE("FP32", "[-1,2]"), ROWS("[{\"x\":[1,2]}]"), "x FP32 [1,2] 1 2");
    GIVES(MODEL(IN("b64", "BYTES", "[-1]"), Y), ROWS("[{\"b64\":\"hi\"}]"), "b64 BYTES [1] 'hi'");
    GIVES(MODEL(IN("a\\u0041", "INT8", "[-1]") "," IN("\\\"", "INT8", "[-1]"), Y),
          ROWS("[{\"aA\":1,\"\\\"\":2},{\"a\\u0041\":3,\"\\u0022\":4}]"), "aA INT8 [2] 1 3; \" INT8 [2] 2 4");
}
END_TEST

START_TEST(inputs_are_whole_tensors)
{
    GIVES(ONE("FP32", "[-1,3]"), COLS("[[1,2,3]]"), "x FP32 [1,3] 1 2 3");
    GIVES(ONE("FP32", "[]"), COLS("5"), "x FP32 [] 5");
    GIVES(ONE("BYTES", "[]"), COLS("{\"b64\":\"aGk\"}"), "x BYTES [] 'hi'");
    GIVES(ONE("FP32", "[]"), COLS("{\"x\":5}"), "x FP32 [] 5");
    GIVES(FRAME, COLS("{\"sex\":[\"m\",\"f\"],\"age\":[[37],[51]],\"n\":[1,2]}"),
          "age FP32 [2,1] 37 51; sex BYTES [2,1] 'm' 'f'; n INT64 [2] 1 2");
    GIVES(MODEL(ANY("x", "INT8"), Y), COLS("5"), "x INT8 [] 5");
    GIVES(MODEL(IN("a", "FP32", "[2,2]") "," IN("b", "FP32", "[3]"), Y),
          COLS("{\"a\":[[1,2],[3,4]],\"b\":[5,6,7]}"), "a FP32 [2,2] 1 2 3 4; b FP32 [3] 5 6 7");
    GIVES(MODEL("", Y), COLS("{}"), "");
}
END_TEST

START_TEST(wrong_lists_are_refused)
{
    HINTS(ONE("FP32", "[-1,3]"), ROWS("[1,2,3]"), ERR_WRONG_TYPE,
          "A row is a list itself: one row is sent as [[…]].");
    REFUSES(ONE("FP32", "[-1,3]"), ROWS("[[1,2]]"), ERR_WRONG_COUNT, "$.instances[0]");
    REFUSES(ONE("FP32", "[-1,3]"), ROWS("[[1,2,3],[1,2,3,4]]"), ERR_WRONG_COUNT, "$.instances[1]");
    REFUSES(ONE("FP32", "[-1,-1]"), ROWS("[[1,2],[1]]"), ERR_WRONG_COUNT, "$.instances[1]");
    REFUSES(ONE("FP32", "[-1,-1]"), ROWS("[[1,2],[1,2,3]]"), ERR_WRONG_COUNT, "$.instances[1]");
    REFUSES(ONE("FP32", "[-1,-1]"), ROWS("[]"), ERR_WRONG_COUNT, "$.instances");
    REFUSES(ONE("BYTES", "[-1,-1]"), ROWS("[[\"a\"],[\"b\",\"c\"]]"), ERR_WRONG_COUNT, "$.instances[1]");
    REFUSES(ONE("FP32", "[1,3]"), ROWS("[[1,2,3],[4,5,6]]"), ERR_WRONG_COUNT, "$.instances");
    REFUSES(ONE("FP32", "[-1,3]"), ROWS("[[1,2,[3]]]"), ERR_WRONG_TYPE, "$.instances[0][2]");
    REFUSES(ONE("FP32", "[-1,3]"), ROWS("[[1,2,3],{}]"), ERR_WRONG_TYPE, "$.instances[1]");
    REFUSES(ONE("FP32", "[-1,1]"), ROWS("[1,[2]]"), ERR_WRONG_TYPE, "$.instances[1]");
    REFUSES(ONE("FP32", "[-1,1]"), ROWS("[[1],2]"), ERR_WRONG_TYPE, "$.instances[1]");
    REFUSES(MODEL(ANY("x", "INT8"), Y), ROWS("[[[[[[[[[1]]]]]]]]]"), ERR_WRONG_COUNT, "$.instances");
    REFUSES(ONE("INT64", "[-1]"), ROWS("[1,2.5]"), ERR_WRONG_TYPE, "$.instances[1]");
    REFUSES(ONE("INT8", "[-1]"), ROWS("[1,128]"), ERR_OUT_OF_RANGE, "$.instances[1]");
    REFUSES(ONE("BYTES", "[-1]"), ROWS("[{\"b64\":\"A\"}]"), ERR_WRONG_TYPE, "$.instances[0]");
    REFUSES(ONE("BYTES", "[-1]"), ROWS("[{\"b64\":1}]"), ERR_WRONG_TYPE, "$.instances[0].b64");
    REFUSES(ONE("BYTES", "[-1]"), ROWS("[\"a\",{}]"), ERR_WRONG_TYPE, "$.instances[1]");
    REFUSES(ONE("BYTES", "[-1]"), ROWS("[{\"b64\":\"\",\"c\":1}]"), ERR_UNKNOWN_FIELD, "$.instances[0].c");
    REFUSES(ONE("FP32", "[-1]"), ROWS("{\"x\":1}"), ERR_WRONG_TYPE, "$.instances");
    REFUSES(ONE("FP32", "[]"), ROWS("[{\"x\":1}]"), ERR_WRONG_TYPE, "$.instances[0].x");
}
END_TEST

START_TEST(wrong_objects_are_refused)
{
    HINTS(FRAME, ROWS("[[37,\"m\"]]"), ERR_WRONG_TYPE,
          "A row is an object by input name; `inputs` is an object of tensors by input name.");
    HINTS(FRAME, COLS("[37]"), ERR_WRONG_TYPE, NULL);
    HINTS(FRAME, ROWS("[{\"aeg\":37}]"), ERR_UNKNOWN_FEATURE, "Did you mean 'age'?");
    REFUSES(FRAME, ROWS("[{\"aeg\":37}]"), ERR_UNKNOWN_FEATURE, "$.instances[0].aeg");
    // the input's name has a backslash; the second key is an A
    REFUSES(MODEL(IN("a\\\\u0041", "INT8", "[-1]"), Y), ROWS("[{\"a\\\\u0041\":1},{\"a\\u0041\":2}]"),
            ERR_UNKNOWN_FEATURE, "$.instances[1].aA");
    REFUSES(FRAME, ROWS("[{\"age\":37}]"), ERR_MISSING_FEATURE, "$.instances[0]");
    REFUSES(FRAME, ROWS("[{\"age\":37,\"sex\":\"m\"},{\"age\":37}]"), ERR_MISSING_FEATURE, "$.instances[1]");
    REFUSES(FRAME, ROWS("[{\"age\":37,\"sex\":\"m\",\"n\":1},{\"age\":37,\"sex\":\"m\"}]"),
            ERR_MISSING_FEATURE, "$.instances[1]");
    REFUSES(FRAME, ROWS("[{\"age\":37,\"sex\":\"m\"},{\"age\":37,\"sex\":\"m\",\"n\":1}]"), ERR_WRONG_COUNT,
            "$.instances[1].n");
    REFUSES(FRAME, ROWS("[{\"age\":37,\"age\":37,\"sex\":\"m\"}]"), ERR_DUPLICATE_KEY, "$.instances[0].age");
    REFUSES(FRAME, ROWS("[{\"age\":37,\"sex\":\"m\"},7]"), ERR_WRONG_TYPE, "$.instances[1]");
    REFUSES(FRAME, ROWS("[{\"age\":\"37\",\"sex\":\"m\"}]"), ERR_WRONG_TYPE, "$.instances[0].age");
    REFUSES(FRAME, ROWS("[{\"age\":37,\"sex\":1}]"), ERR_WRONG_TYPE, "$.instances[0].sex");
    REFUSES(FIXED, ROWS("[{\"a\":[1],\"b\":1}]"), ERR_WRONG_COUNT, "$.instances[0].a");
    REFUSES(FIXED, ROWS("[{\"a\":[1,2],\"b\":1,\"c\":1},{\"a\":[1,2],\"b\":1,\"c\":[1]}]"), ERR_WRONG_TYPE,
            "$.instances[1].c");
    REFUSES(FIXED, ROWS("[]"), ERR_WRONG_TYPE, "$.instances");
    REFUSES(MODEL(IN("a", "INT8", "[1]") "," IN("b", "INT8", "[-1]"), Y),
            ROWS("[{\"a\":1,\"b\":1},{\"a\":1,\"b\":1}]"), ERR_WRONG_COUNT, "$.instances");
    REFUSES(FRAME, COLS("{\"age\":[37],\"age\":[37]}"), ERR_DUPLICATE_KEY, "$.inputs.age");
    REFUSES(FRAME, COLS("{\"age\":[37]}"), ERR_MISSING_FEATURE, "$.inputs");
    REFUSES(FRAME, COLS("{\"age\":[37,[1]]}"), ERR_WRONG_TYPE, "$.inputs.age[1]");
    REFUSES(FRAME, COLS("{\"x\":1}"), ERR_UNKNOWN_FEATURE, "$.inputs.x");
}
END_TEST

START_TEST(wrong_requests_are_refused)
{
    REFUSES(FIXED, "", ERR_BAD_JSON, NULL);
    REFUSES(FIXED, "[]", ERR_WRONG_TYPE, "$");
    REFUSES(FIXED, "{}", ERR_WRONG_COUNT, "$");
    REFUSES(ONE("FP32", "[-1]"), "{\"instances\":[1],\"inputs\":[1]}", ERR_DUPLICATE_KEY, "$.inputs");
    REFUSES(ONE("FP32", "[-1]"), "{\"instances\":[1],\"instances\":[1]}", ERR_DUPLICATE_KEY, "$.instances");
    REFUSES(ONE("FP32", "[-1]"), "{\"instances\":[1],\"more\":1}", ERR_UNKNOWN_FIELD, "$.more");
    REFUSES(ONE("FP32", "[-1]"), "{\"signature_name\":\"x\"}", ERR_UNKNOWN_FIELD, "$.signature_name");
    REFUSES(ONE("FP32", "[-1]"), "{\"parameters\":{\"a\":1}}", ERR_UNKNOWN_FIELD, "$.parameters.a");
    REFUSES(ONE("FP32", "[-1]"), "{\"instances\":[1]} 1", ERR_BAD_JSON, NULL);
    REFUSES(ONE("FP32", "[-1]"), "{\"instances\":[1", ERR_BAD_JSON, NULL);
    struct tensors t;
    for (int i = 0; i < 3; i++) {
        static const char *const bodies[] = {ROWS("[{\"a\":[1,2],\"b\":3}]"),
                                             ROWS("[{\"age\":37,\"sex\":\"m\"}]"), COLS("{\"age\":37}")};
        tensors_init(&t, i ? FRAME : FIXED);
        t.room = 3;
        ck_assert_int_eq(tensors_decode(&t, kserve_v1_tensors_decode, bodies[i]), ERR_TOO_LARGE);
        while (arena_alloc(&t.arena, 16))
            ;
        ck_assert_int_eq(tensors_decode(&t, kserve_v1_tensors_decode, bodies[i]), ERR_NOMEM);
        tensors_done(&t);
    }
}
END_TEST

// A list of many numbers takes memory for them and no more, whatever stands behind it.
START_TEST(memory_is_taken_for_what_is_there)
{
    struct tensors t;
    struct buf body;
    buf_init(&body, 1 << 20);
    for (int n = 1; n < 3000; n = n * 2 + 1) {
        tensors_init(&t, ONE("INT32", "[-1]"));
        buf_clear(&body);
        buf_puts(&body, "{\"instances\":[");
        for (int i = 0; i < n; i++)
            buf_printf(&body, "%s%d", i ? ", " : "", i);
        buf_puts(&body, "],\"signature_name\":\"serving_default\"}");
        buf_putc(&body, 0);
        t.room = (size_t)(n + 1) * 4;
        ck_assert_int_eq(tensors_decode(&t, kserve_v1_tensors_decode, body.p), 0);
        ck_assert_uint_eq(t.req.n_rows, (unsigned)n);
        ck_assert_uint_eq(t.req.inputs[0].bytes, (size_t)n * 4);
        ck_assert_int_eq(((const int32_t *)t.req.inputs[0].data)[n - 1], n - 1);
        tensors_done(&t);
    }
    buf_done(&body);
}
END_TEST

// Decodes body for a model whose input x is coerced: the values, and how many were counted as coerced.
static void coerced_give(const char *model, const char *body, const char *expected, uint32_t n_coerced)
{
    struct tensors t;
    struct rules *rules;
    struct buf text;
    tensors_init(&t, model);
    buf_init(&text, 1 << 16);
    ck_assert_int_eq(
        rules_bind_interface(t.i, STR("{\"inputs\":[{\"name\":\"x\",\"mode\":\"coerce\"}]}"), &rules, &t.e),
        0);
    int rc = tensors_decode(&t, kserve_v1_tensors_decode, body);
    ck_assert_msg(rc == 0, "%s: %s at %s", body, t.e.msg, t.e.path);
    tensors_text(&t, &text);
    ck_assert_msg(strcmp(text.p, expected) == 0, "%s\n     gave %s\n expected %s", body, text.p, expected);
    ck_assert_uint_eq(t.req.counts ? t.req.counts->n[RULE_TYPE][RULE_COERCED] : 0, n_coerced);
    buf_done(&text);
    rules_free(rules);
    tensors_done(&t);
}

// An input with a rule takes numbers written as texts, also where nobody said how many values come.
START_TEST(memory_is_taken_for_texts_among_numbers)
{
    static const char *const bodies[] = {ROWS("[\"1\",2,3,4,5]"), ROWS("[1,2,\"3\",4,5]"),
                                         ROWS("[1,2,3,4,\"5\"]"), COLS("{\"x\":[1,\"2\",3,4,5]}")};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        coerced_give(ONE("INT64", "[-1]"), bodies[i], "x INT64 [5] 1 2 3 4 5", 1);
        coerced_give(ONE("FP32", "[-1]"), bodies[i], "x FP32 [5] 1 2 3 4 5", 1);
        coerced_give(MODEL(ANY("x", "FP64"), Y), bodies[i], "x FP64 [5] 1 2 3 4 5", 1);
    }
    coerced_give(ONE("INT8", "[-1]"), ROWS("[\"1\",\"2\",\"3\"]"), "x INT8 [3] 1 2 3", 3);
    coerced_give(ONE("FP32", "[-1,-1]"), ROWS("[[1,\"2\"],[\"3\",4]]"), "x FP32 [2,2] 1 2 3 4", 2);
    coerced_give(ONE("FP32", "[-1,2]"), ROWS("[[\"1\",2],[3,4]]"), "x FP32 [2,2] 1 2 3 4", 1);
    coerced_give(ONE("FP32", "[-1,2]"), ROWS("[{\"x\":[\"1\",2]},{\"x\":[3,4]}]"), "x FP32 [2,2] 1 2 3 4", 1);
}
END_TEST

START_TEST(long_bodies_are_read_with_pauses)
{
    tensors_pause(ONE("FP32", "[-1,2]"), kserve_v1_tensors_decode, 1, "{\"instances\":[", "[1.5,2.5]", 5000,
                  "]}");
    tensors_pause(FIXED, kserve_v1_tensors_decode, 1, "{\"instances\":[", "{\"a\":[1,2],\"b\":3}", 5000,
                  "]}");
    tensors_pause(FRAME, kserve_v1_tensors_decode, 2, "{\"instances\":[", "{\"age\":1,\"sex\":\"m\"}", 5000,
                  "]}");
}
END_TEST

static struct tensor tensor_of(enum dtype dtype, const void *data, size_t bytes, uint32_t n_dims,
                               int64_t rows, int64_t columns)
{
    return (struct tensor){
        .dtype = dtype, .data = data, .bytes = bytes, .n_dims = n_dims, .shape = {rows, columns}};
}

#define ARRAY(type, ...) (const type[]){__VA_ARGS__}, sizeof((const type[]){__VA_ARGS__})
#define ANSWERS(model, body, results, expected)                                                              \
    tensors_answer_is(model, kserve_v1_tensors_decode, kserve_v1_tensors_encode, body, results, expected)

START_TEST(one_output_is_a_list_of_values)
{
    struct tensor y = tensor_of(DTYPE_FP32, ARRAY(float, 0.1f, 2), 1, 2, 0);
    ANSWERS(ONE("FP32", "[-1]"), ROWS("[1,2]"), &y, "{\"predictions\":[0.1,2.0]}");
    ANSWERS(ONE("FP32", "[-1]"), COLS("[1,2]"), &y, "{\"outputs\":[0.1,2.0],\"predictions\":[0.1,2.0]}");
    y = tensor_of(DTYPE_INT64, ARRAY(int64_t, 1, 2, 3, 4), 2, 2, 2);
    ANSWERS(ONE("FP32", "[-1]"), ROWS("[1,2]"), &y, "{\"predictions\":[[1,2],[3,4]]}");
    y = tensor_of(DTYPE_INT64, NULL, 0, 2, 0, 2);
    ANSWERS(ONE("FP32", "[-1]"), ROWS("[]"), &y, "{\"predictions\":[]}");
    y = tensor_of(DTYPE_FP32, ARRAY(float, 0.5f), 0, 0, 0);
    ANSWERS(ONE("FP32", "[-1]"), ROWS("[1,2]"), &y, "{\"outputs\":0.5,\"predictions\":0.5}");
    y = tensor_of(DTYPE_BYTES, "\1\0\0\0a\1\0\0\0b", 10, 1, 2, 0);
    ANSWERS(ONE("FP32", "[-1]"), ROWS("[1,2]"), &y, "{\"predictions\":[\"a\",\"b\"]}");
    y = tensor_of(DTYPE_BYTES, "\1\0\0\0a\1\0\0\0\xff", 10, 1, 2, 0);
    ANSWERS(ONE("FP32", "[-1]"), ROWS("[1,2]"), &y,
            "{\"predictions\":[{\"b64\":\"YQ==\"},{\"b64\":\"/w==\"}]}");
    y.dtype = DTYPE_NONE;
    ANSWERS(ONE("FP32", "[-1]"), ROWS("[1,2]"), &y, "{\"outputs\":null,\"predictions\":null}");
}
END_TEST

START_TEST(several_outputs_are_objects)
{
    struct tensor results[] = {tensor_of(DTYPE_INT64, ARRAY(int64_t, 1, 0), 1, 2, 0),
                               tensor_of(DTYPE_FP32, ARRAY(float, 0.25f, 0.75f, 1, 0), 2, 2, 2)};
    const char *rows = ROWS("[{\"age\":1,\"sex\":\"m\"},{\"age\":2,\"sex\":\"f\"}]"),
               *columns = "{\"outputs\":{\"label\":[1,0],\"score\":[[0.25,0.75],[1.0,0.0]]},"
                          "\"predictions\":{\"label\":[1,0],\"score\":[[0.25,0.75],[1.0,0.0]]}}";
    ANSWERS(FRAME, rows, results,
            "{\"predictions\":[{\"label\":1,\"score\":[0.25,0.75]},{\"label\":0,\"score\":[1.0,0.0]}]}");
    ANSWERS(FRAME, COLS("{\"age\":[1,2],\"sex\":[\"m\",\"f\"]}"), results, columns);
    results[0].n_dims = 0; // no rows
    ANSWERS(FRAME, rows, results,
            "{\"outputs\":{\"label\":1,\"score\":[[0.25,0.75],[1.0,0.0]]},"
            "\"predictions\":{\"label\":1,\"score\":[[0.25,0.75],[1.0,0.0]]}}");
    results[0].dtype = DTYPE_NONE;
    ANSWERS(FRAME, rows, results, "{\"predictions\":[{\"score\":[0.25,0.75]},{\"score\":[1.0,0.0]}]}");
    results[1] = tensor_of(DTYPE_FP32, ARRAY(float, 0.25f), 2, 1, 1);
    ANSWERS(FRAME, rows, results, "{\"outputs\":{\"score\":[[0.25]]},\"predictions\":{\"score\":[[0.25]]}}");
}
END_TEST

UNIT_MAIN("api/kserve_v1_tensors", instances_of_one_input_are_nested_lists,
          instances_of_several_inputs_are_objects, inputs_are_whole_tensors, wrong_lists_are_refused,
          wrong_objects_are_refused, wrong_requests_are_refused, memory_is_taken_for_what_is_there,
          memory_is_taken_for_texts_among_numbers, long_bodies_are_read_with_pauses,
          one_output_is_a_list_of_values, several_outputs_are_objects)
