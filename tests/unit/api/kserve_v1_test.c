// SPDX-License-Identifier: Apache-2.0
#include "codec.h"

#define GIVES(body, n, ...)       codec_gives(DTYPE_FP32, kserve_v1_decode, body, n, (const double[]){__VA_ARGS__})
#define REFUSES(body, code, path) codec_refuses(kserve_v1_decode, body, code, path, NULL)
#define HINTS(body, code, hint)   codec_refuses(kserve_v1_decode, body, code, NULL, hint)

START_TEST(rows_come_as_arrays)
{
    GIVES("{\"instances\":[[1,2,3]]}", 1, 1, 2, 3);
    GIVES("{\"instances\":[[1.5,-2.25,3],[4e0,5E-1,0]]}", 2, 1.5, -2.25, 3, 4, 0.5, 0);
    GIVES(" { \"instances\" : [ [ 1 , 2 , 3 ] ,\n\t[ 4 , 5 , 6 ] ] } \r\n", 2, 1, 2, 3, 4, 5, 6);
    GIVES("{\"instances\":[]}", 0, 0);
    GIVES("{\"inputs\":[[1,2,3],[4,5,6]]}", 2, 1, 2, 3, 4, 5, 6);
}
END_TEST

START_TEST(rows_come_as_objects_in_any_order)
{
    GIVES("{\"instances\":[{\"age\":1,\"income\":2,\"code\":3},{\"age\":4,\"income\":5,\"code\":6}]}", 2, 1,
          2, 3, 4, 5, 6);
    GIVES("{\"instances\":[{\"code\":3,\"age\":1,\"income\":2},{\"age\":4,\"income\":5,\"code\":6},"
          "{\"age\":7, \"income\" : 8 , \"code\" :9}]}",
          3, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    GIVES("{\"instances\":[{\"\\u0061ge\":1,\"income\":2,\"code\":3},{\"age\":4,\"code\":5}]}", 2, 1, 2, 3, 4,
          NAN, 5);
    GIVES("{\"inputs\":[{\"code\":1}]}", 1, NAN, NAN, 1);
}
END_TEST

// A name with a backslash or a quote never matches by its raw bytes, in the first row or later.
START_TEST(names_that_need_escapes_are_compared_decoded)
{
    struct codec c;
    codec_init(&c, DTYPE_FP32);
    map_done(&c.sig.by_name);
    c.features[0].name = STR("a\\n"); // three characters
    ck_assert_int_eq(signature_index(&c.sig, &c.e), 0);
    ck_assert_int_eq(codec_decode(&c, kserve_v1_decode,
                                  "{\"instances\":[{\"a\\\\n\":1,\"code\":2},{\"a\\\\n\":3,\"code\":4}]}"),
                     0);
    ck_assert(codec_value(&c, 0, 0) == 1 && codec_value(&c, 1, 0) == 3);
    ck_assert_int_eq(codec_decode(&c, kserve_v1_decode, "{\"instances\":[{\"a\\n\":1,\"code\":2}]}"),
                     ERR_UNKNOWN_FEATURE);
    codec_done(&c);
}
END_TEST

START_TEST(columns_come_by_name)
{
    GIVES("{\"inputs\":{\"age\":[1,4],\"code\":[3,6],\"income\":[2,5]}}", 2, 1, 2, 3, 4, 5, 6);
    GIVES("{\"inputs\":{\"code\":[[3],[6]],\"income\":[[null],[5]]}}", 2, NAN, NAN, 3, NAN, 5, 6);
}
END_TEST

START_TEST(null_and_NaN_are_missing_and_booleans_are_numbers)
{
    GIVES("{\"instances\":[[null,NaN,1]]}", 1, NAN, NAN, 1);
    GIVES("{\"instances\":[{\"age\":NaN,\"income\":null,\"code\":1}]}", 1, NAN, NAN, 1);
    GIVES("{\"instances\":[[true,false,1]]}", 1, 1, 0, 1);
}
END_TEST

START_TEST(numbers_are_narrowed_by_way_of_double)
{
    // Between two floats, a hair above the middle: as double it is the middle, which then goes to even.
    GIVES("{\"instances\":[[1.00000005960464477539062500000001,0.1,16777217]]}", 1, 1, 0.1f, 16777216);
    codec_gives(DTYPE_FP64, kserve_v1_decode,
                "{\"instances\":[[0.1,0.10000000149011612,12345678901234567890]]}", 1,
                (const double[]){0.1, 0.10000000149011612, 12345678901234567890.0});
    GIVES("{\"instances\":[[1e-400,3.4028235e38,1]]}", 1, 0, 3.4028234663852886e38, 1);
    REFUSES("{\"instances\":[[1,2,3],[1,1e39,2]]}", ERR_OUT_OF_RANGE, "$.instances[1][1]");
    REFUSES("{\"instances\":[[1,-1e400,2]]}", ERR_OUT_OF_RANGE, "$.instances[0][1]");
    REFUSES("{\"instances\":[{\"age\":1e400}]}", ERR_OUT_OF_RANGE, "$.instances[0].age");
}
END_TEST

START_TEST(infinity_is_refused)
{
    REFUSES("{\"instances\":[[1,Infinity,2]]}", ERR_OUT_OF_RANGE, "$.instances[0][1]");
    HINTS("{\"instances\":[[1,-Infinity,2]]}", ERR_OUT_OF_RANGE,
          "Send null for a missing value, or the largest number that makes sense.");
}
END_TEST

START_TEST(a_missing_value_without_a_rule_names_its_field)
{
    REFUSES("{\"instances\":[[1,2,3],[1,2,null]]}", ERR_MISSING_FEATURE, "$.instances[1][2]");
    REFUSES("{\"instances\":[{\"age\":1,\"code\":null}]}", ERR_MISSING_FEATURE, "$.instances[0].code");
    REFUSES("{\"instances\":[{\"code\":1},{\"age\":1,\"income\":2}]}", ERR_MISSING_FEATURE,
            "$.instances[1].code");
    REFUSES("{\"inputs\":{\"age\":[1,2]}}", ERR_MISSING_FEATURE, "$.inputs.code");
    REFUSES("{\"inputs\":{\"code\":[1,NaN]}}", ERR_MISSING_FEATURE, "$.inputs.code[1]");
}
END_TEST

START_TEST(a_value_of_another_type_is_refused)
{
    HINTS("{\"instances\":[[1,\"2\",3]]}", ERR_WRONG_TYPE, "Send numbers without quotes.");
    REFUSES("{\"instances\":[[1,\"2\",3]]}", ERR_WRONG_TYPE, "$.instances[0][1]");
    REFUSES("{\"instances\":[[1,[2],3]]}", ERR_WRONG_TYPE, "$.instances[0][1]");
    REFUSES("{\"instances\":[{\"age\":{}}]}", ERR_WRONG_TYPE, "$.instances[0].age");
    HINTS("{\"instances\":[1,2,3]}", ERR_WRONG_TYPE, "One row is sent as [[3 numbers]].");
    REFUSES("{\"instances\":[1,2,3]}", ERR_WRONG_TYPE, "$.instances[0]");
    REFUSES("{\"instances\":{\"age\":[1]}}", ERR_WRONG_TYPE, "$.instances");
    REFUSES("{\"inputs\":\"x\"}", ERR_WRONG_TYPE, "$.inputs");
    REFUSES("{\"inputs\":{\"age\":1}}", ERR_WRONG_TYPE, "$.inputs.age");
    REFUSES("[[1,2,3]]", ERR_WRONG_TYPE, "$");
    REFUSES("{\"instances\":[[1,2,3],{\"code\":1}]}", ERR_WRONG_TYPE, "$.instances[1]");
    REFUSES("{\"instances\":[{\"code\":1},[1,2,3]]}", ERR_WRONG_TYPE, "$.instances[1]");
}
END_TEST

START_TEST(another_number_of_values_is_refused)
{
    REFUSES("{\"instances\":[[1,2,3],[1,2]]}", ERR_WRONG_COUNT, "$.instances[1]");
    REFUSES("{\"instances\":[[1,2,3,4]]}", ERR_WRONG_COUNT, "$.instances[0]");
    REFUSES("{\"instances\":[[]]}", ERR_WRONG_COUNT, "$.instances[0]");
    REFUSES("{\"inputs\":{\"age\":[1,2],\"code\":[1]}}", ERR_WRONG_COUNT, "$.inputs.code");
    REFUSES("{\"inputs\":{\"age\":[1],\"code\":[1,2]}}", ERR_WRONG_COUNT, "$.inputs.code[1]");
    REFUSES("{\"inputs\":{\"age\":[[1,2]]}}", ERR_WRONG_COUNT, "$.inputs.age[0]");
    REFUSES("{\"inputs\":{}}", ERR_WRONG_COUNT, "$.inputs");
    REFUSES("{}", ERR_WRONG_COUNT, "$");
    struct codec c;
    codec_init(&c, DTYPE_FP32);
    ck_assert_int_eq(codec_decode(&c, kserve_v1_decode, "{\"instances\":[[1,2,3,4,5]]}"), ERR_WRONG_COUNT);
    ck_assert_str_eq(c.e.msg, "the row has 5 values, expected 3");
    codec_done(&c);
}
END_TEST

START_TEST(an_unknown_feature_gets_the_nearest_name)
{
    HINTS("{\"instances\":[{\"incme\":1}]}", ERR_UNKNOWN_FEATURE, "Did you mean 'income'?");
    REFUSES("{\"instances\":[{\"code\":1},{\"incme\":1}]}", ERR_UNKNOWN_FEATURE, "$.instances[1].incme");
    REFUSES("{\"inputs\":{\"my age\":[1]}}", ERR_UNKNOWN_FEATURE, "$.inputs[\"my age\"]");
    HINTS("{\"instances\":[{\"qwertyuiop\":1}]}", ERR_UNKNOWN_FEATURE, "");
}
END_TEST

START_TEST(an_unknown_field_is_refused)
{
    HINTS("{\"instancs\":[[1,2,3]]}", ERR_UNKNOWN_FIELD, "Did you mean 'instances'?");
    REFUSES("{\"instances\":[[1,2,3]],\"x\":1}", ERR_UNKNOWN_FIELD, "$.x");
    REFUSES("{\"instances\":[],\"parameters\":{\"top_k\":3}}", ERR_UNKNOWN_FIELD, "$.parameters.top_k");
    REFUSES("{\"signature_name\":\"other\",\"instances\":[]}", ERR_UNKNOWN_FIELD, "$.signature_name");
    REFUSES("{\"signature_name\":1,\"instances\":[]}", ERR_WRONG_TYPE, "$.signature_name");
    REFUSES("{\"parameters\":[],\"instances\":[]}", ERR_WRONG_TYPE, "$.parameters");
    GIVES("{\"signature_name\":\"serving_default\",\"instances\":[[1,2,3]],\"parameters\":{}}", 1, 1, 2, 3);
    GIVES("{\"parameters\":null,\"instances\":[[1,2,3]]}", 1, 1, 2, 3);
}
END_TEST

START_TEST(a_key_twice_is_refused)
{
    REFUSES("{\"instances\":[{\"age\":1,\"age\":2,\"code\":1}]}", ERR_DUPLICATE_KEY, "$.instances[0].age");
    REFUSES("{\"instances\":[{\"age\":1,\"code\":1},{\"age\":1,\"income\":1,\"code\":2,\"age\":3}]}",
            ERR_DUPLICATE_KEY, "$.instances[1].age");
    REFUSES("{\"inputs\":{\"age\":[1],\"age\":[1]}}", ERR_DUPLICATE_KEY, "$.inputs.age");
    REFUSES("{\"instances\":[],\"instances\":[]}", ERR_DUPLICATE_KEY, "$.instances");
    REFUSES("{\"instances\":[],\"inputs\":[]}", ERR_DUPLICATE_KEY, "$.inputs");
}
END_TEST

START_TEST(broken_json_is_refused_with_its_byte)
{
    struct codec c;
    codec_init(&c, DTYPE_FP32);
    ck_assert_int_eq(codec_decode(&c, kserve_v1_decode, "{\"instances\":[[1,2,3]"), ERR_BAD_JSON);
    ck_assert_str_eq(c.e.msg, "not JSON at byte 21: expected ',' or ']', found the end of the text");
    ck_assert_int_eq(codec_decode(&c, kserve_v1_decode, "{\"instances\":[[1,02,3]]}"), ERR_BAD_JSON);
    ck_assert_str_eq(c.e.msg, "not JSON at byte 17: expected a number as JSON writes it, found '0'");
    ck_assert_str_eq(c.e.path, "$.instances[0][1]");
    codec_done(&c);
    static const char *const BAD[] = {
        "",
        " ",
        "{",
        "{\"instances\"",
        "{\"instances\":",
        "{\"instances\":[",
        "{\"instances\":[[",
        "{\"instances\":[[1",
        "{\"instances\":[[1,",
        "{\"instances\":[[1,2,3]]",
        "{\"instances\":[[1,2,3]]}x",
        "{\"instances\":[[1,2,3],]}",
        "{\"instances\":[[1,2,3,]]}",
        "{\"instances\":[[1 2 3]]}",
        "{\"instances\":[[1,2,3.]]}",
        "{\"instances\":[[1,2,.3]]}",
        "{\"instances\":[[1,2,+3]]}",
        "{\"instances\":[[1,2,-]]}",
        "{\"instances\":[[1,2,3e]]}",
        "{\"instances\":[[1,2,1.5.5]]}",
        "{\"instances\":[[1,nul,2]]}",
        "{\"instances\":[[1,nulll,2]]}",
        "{\"instances\":[[,1,2,3]]}",
        "{\"instances\":[{\"code\"1}]}",
        "{\"instances\":[{code:1}]}",
        "{\"instances\":[{\"code\":1,}]}",
        "{\"instances\":[{\"code\":}]}",
        "{'instances':[]}",
        "{\"instances\":[[1,2,3}]}",
        "{\"instances\":[[0x1,2,3]]}",
        "{\"\xff\":1}",
        "{\"\\x\":1}",
        "{\"\\ud800\":1}",
        "{\"a\nb\":1}",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        REFUSES(BAD[i], ERR_BAD_JSON, NULL);
}
END_TEST

START_TEST(nesting_over_the_limit_is_refused)
{
    char body[400] = "{\"instances\":[[1,2,3]],\"parameters\":{\"a\":";
    memset(body + strlen(body), '[', 100);
    REFUSES(body, ERR_UNKNOWN_FIELD, "$.parameters.a");
    memset(body, '[', 100);
    body[100] = '\0';
    REFUSES(body, ERR_WRONG_TYPE, "$");
    strcpy(body, "{\"instances\":[[1,2,3,");
    memset(body + strlen(body), '[', 100);
    REFUSES(body, ERR_TOO_DEEP, "$.instances[0]");
}
END_TEST

START_TEST(too_many_rows_are_refused)
{
    char body[9000] = "{\"instances\":[[1,2,3]";
    for (int i = 0; i < 1000; i++)
        strcat(body, ",[1,2,3]");
    strcat(body, "]}");
    REFUSES(body, ERR_TOO_LARGE, "$.instances[999]"); // one row was there before
}
END_TEST

START_TEST(a_model_of_one_feature_takes_scalars)
{
    struct codec c;
    codec_init(&c, DTYPE_FP32);
    c.sig.n_features = c.rows.n_features = 1;
    ck_assert_int_eq(codec_decode(&c, kserve_v1_decode, "{\"instances\":[1,null,2.5]}"), 0);
    ck_assert_uint_eq(c.rows.n_rows, 3);
    ck_assert_float_eq(((float *)c.rows.data)[2], 2.5f);
    ck_assert_int_eq(codec_decode(&c, kserve_v1_decode, "{\"instances\":[[4]]}"), 0);
    ck_assert_float_eq(((float *)c.rows.data)[3], 4);
    ck_assert_int_eq(codec_decode(&c, kserve_v1_decode, "{\"instances\":[1,[2]]}"), ERR_WRONG_TYPE);
    codec_done(&c);
}
END_TEST

static void answers(bool columns, enum dtype dtype, bool vector, uint32_t n_rows, const void *outputs,
                    const char *expected)
{
    struct codec c;
    struct buf out;
    codec_init(&c, DTYPE_FP32);
    buf_init(&out, 1 << 20);
    c.sig.output_dtype = dtype;
    c.sig.output_is_vector = vector;
    c.sig.n_outputs = vector ? 2 : 1;
    c.req.columns = columns;
    struct predict_answer a = {&c.sig, STR("churn"), STR("3"), STR("some-id"), outputs, n_rows};
    kserve_v1_encode(&c.req, &a, &out);
    ck_assert(!out.failed);
    ck_assert_msg(str_eq(buf_str(&out), str_of(expected)), STR_FMT, STR_ARG(buf_str(&out)));
    size_t n = out.n;
    for (size_t max = 0; max < n;
         max++) { // an answer that does not fit says so and writes nothing past the end
        buf_done(&out);
        buf_init(&out, max);
        kserve_v1_encode(&c.req, &a, &out);
        ck_assert(out.failed);
    }
    buf_done(&out);
    codec_done(&c);
}

START_TEST(answers_have_one_output_a_row)
{
    answers(false, DTYPE_FP32, false, 2, (const float[]){0.1f, 3}, "{\"predictions\":[0.1,3.0]}");
    answers(false, DTYPE_FP64, true, 2, (const double[]){0.1, 1e-7, 1, 2},
            "{\"predictions\":[[0.1,1e-07],[1.0,2.0]]}");
    answers(false, DTYPE_INT64, false, 2, (const int64_t[]){-7, INT64_MAX},
            "{\"predictions\":[-7,9223372036854775807]}");
    answers(true, DTYPE_FP32, false, 2, (const float[]){0.5f, 3},
            "{\"outputs\":[0.5,3.0],\"predictions\":[0.5,3.0]}");
    answers(false, DTYPE_FP32, false, 0, NULL, "{\"predictions\":[]}");
    answers(false, DTYPE_FP32, false, 3, (const float[]){NAN, INFINITY, -INFINITY},
            "{\"predictions\":[null,null,null]}");
}
END_TEST

static void says(const char *body, const char *message)
{
    struct codec c;
    codec_init(&c, DTYPE_FP32);
    ck_assert_int_eq(codec_decode(&c, kserve_v1_decode, body), ERR_WRONG_TYPE);
    ck_assert_str_eq(c.e.msg, message);
    codec_done(&c);
}

START_TEST(a_value_of_a_wrong_type_is_shown)
{
    says("{\"instances\":[[\"abc\",2,3]]}", "expected a number, got \"abc\"");
    says("{\"instances\":[[[1,\n2],2,3]]}", "expected a number, got [1, 2]");
    says("{\"instances\":true}", "expected an array of rows, got true");
    says("{\"instances\":7}", "expected an array of rows, got 7");
    says("{\"instances\":12345678901234567890123456789012345678901}",
         "expected an array of rows, got 1234567890123456789012345678901234567890…");
    // 40 bytes with the quotes are the most.
    says("{\"instances\":[[\"abcdefghijklmnopqrstuvwxyz0123456789AB\",2,3]]}",
         "expected a number, got \"abcdefghijklmnopqrstuvwxyz0123456789AB\"");
    says("{\"instances\":[[\"abcdefghijklmnopqrstuvwxyz0123456789ABC\",2,3]]}",
         "expected a number, got \"abcdefghijklmnopqrstuvwxyz0123456789ABC…");
    says("{\"instances\":[[\"abcdefghijklmnopqrstuvwxyz0123456789A€\",2,3]]}",
         "expected a number, got \"abcdefghijklmnopqrstuvwxyz0123456789A…");
}
END_TEST

START_TEST(a_long_body_is_decoded_with_pauses)
{
    codec_pauses(kserve_v1_decode, 0, 1, "{\"instances\":[", "[1.25,2,3]", 5000, "]}");
    codec_pauses(kserve_v1_decode, 0, 1, "{\"instances\":[", "{\"age\":1,\"code\":3}", 5000, "]}");
    codec_pauses(kserve_v1_decode, ERR_MISSING_FEATURE, 1, "{\"inputs\":{\"age\":[", "1", 50000, "]}}");
    codec_pauses(kserve_v1_decode, ERR_WRONG_COUNT, 1, "{\"instances\":[[", "1", 50000, "]]}");
    codec_pauses(kserve_v1_decode, 0, 1, "{\"instances\":[[1,", "                ", 5000, "2,3]]}");
    codec_pauses(kserve_v1_decode, ERR_UNKNOWN_FIELD, 1, "{\"", "names of any length", 5000, "\":1}");
}
END_TEST

UNIT_MAIN("api/kserve_v1", a_value_of_a_wrong_type_is_shown, rows_come_as_arrays,
          rows_come_as_objects_in_any_order, names_that_need_escapes_are_compared_decoded,
          columns_come_by_name, null_and_NaN_are_missing_and_booleans_are_numbers,
          numbers_are_narrowed_by_way_of_double, infinity_is_refused,
          a_missing_value_without_a_rule_names_its_field, a_value_of_another_type_is_refused,
          another_number_of_values_is_refused, an_unknown_feature_gets_the_nearest_name,
          an_unknown_field_is_refused, a_key_twice_is_refused, broken_json_is_refused_with_its_byte,
          nesting_over_the_limit_is_refused, too_many_rows_are_refused, a_model_of_one_feature_takes_scalars,
          answers_have_one_output_a_row, a_long_body_is_decoded_with_pauses)
