// SPDX-License-Identifier: Apache-2.0
#include "codec.h"

#define GIVES(body, n, ...) codec_gives(DTYPE_FP32, kserve_v2_decode, body, n, (const double[]){__VA_ARGS__})
#define GIVES64(body, n, ...)                                                                                \
    codec_gives(DTYPE_FP64, kserve_v2_decode, body, n, (const double[]){__VA_ARGS__})
#define REFUSES(body, code, path) codec_refuses(kserve_v2_decode, body, code, path, NULL)
#define HINTS(body, code, hint)   codec_refuses(kserve_v2_decode, body, code, NULL, hint)
// One input with all features.
#define X(shape, type, data)                                                                                 \
    "{\"inputs\":[{\"name\":\"x\",\"shape\":" shape ",\"datatype\":\"" type "\",\"data\":" data "}]}"
// An input for one feature.
#define COL(name, shape, type, data)                                                                         \
    "{\"name\":\"" name "\",\"shape\":" shape ",\"datatype\":\"" type "\",\"data\":" data "}"

START_TEST(data_is_flat_or_nested)
{
    GIVES(X("[1,3]", "FP32", "[1,2.5,3]"), 1, 1, 2.5, 3);
    GIVES(X("[2,3]", "FP32", "[1,2,3,4,5,6]"), 2, 1, 2, 3, 4, 5, 6);
    GIVES(X("[2,3]", "FP32", "[[1,2,3],[4,5,6]]"), 2, 1, 2, 3, 4, 5, 6);
    GIVES(X("[2,3]", "FP64", " [ [ 1 , null , 3 ] , [ NaN , 5 , 6e0 ] ] "), 2, 1, NAN, 3, NAN, 5, 6);
    GIVES(X("[0,3]", "FP32", "[]"), 0, 0);
}
END_TEST

START_TEST(fields_come_in_any_order)
{
    GIVES("{\"inputs\":[{\"data\":[[1,2,3]],\"parameters\":{},\"datatype\":\"FP32\",\"name\":\"x\",\"shape\":"
          "[1,3]}],\"id\":\"a\"}",
          1, 1, 2, 3);
    GIVES("{\"outputs\":[{\"name\":\"prediction\"}],\"inputs\":[{\"data\":[4],\"shape\":[1],\"datatype\":"
          "\"FP32\",\"name\":\"code\"}," COL("age", "[1]", "FP32", "[5]") "]}",
          1, 5, NAN, 4);
}
END_TEST

START_TEST(features_come_as_inputs_by_name)
{
    GIVES("{\"inputs\":[" COL("code", "[2]", "INT64", "[3,6]") "," COL(
              "age", "[2,1]", "FP32", "[[1],[4]]") "," COL("income", "[2,1]", "FP64", "[2,5]") "]}",
          2, 1, 2, 3, 4, 5, 6);
    GIVES("{\"inputs\":[" COL("code", "[2]", "BOOL", "[true,false]") "]}", 2, NAN, NAN, 1, NAN, NAN, 0);
}
END_TEST

START_TEST(values_are_held_by_their_datatype_first)
{
    GIVES64(X("[1,3]", "FP32", "[0.1,1e0,0.1e0]"), 1, 0.1f, 1, 0.1f);
    GIVES64(X("[1,3]", "FP64", "[0.1,1e0,0.1e0]"), 1, 0.1, 1, 0.1);
    GIVES(X("[1,3]", "FP64", "[0.1,1e0,16777217]"), 1, 0.1f, 1, 16777216);
    GIVES64(X("[1,3]", "INT64", "[9007199254740993,-9223372036854775808,9223372036854775807]"), 1,
            9007199254740992.0, -0x1p63, 0x1p63);
    // 2^60 + 2^36 + 1: by way of double it is a middle of two floats and goes down, from the integer it goes
    // up
    GIVES(X("[1,3]", "UINT64", "[1152921573326323713,18446744073709551615,0]"), 1, 0x1.000002p60, 0x1p64, 0);
    GIVES(X("[1,3]", "INT8", "[-128,127,1.0]"), 1, -128, 127, 1);
    GIVES(X("[1,3]", "UINT16", "[65535,1e2,0]"), 1, 65535, 100, 0);
    REFUSES(X("[1,3]", "INT8", "[-128,128,0]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[1]");
    REFUSES(X("[1,3]", "UINT32", "[[0,1,-1]]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[0][2]");
    REFUSES(X("[1,3]", "INT64", "[9223372036854775808,0,0]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[0]");
    HINTS(X("[1,3]", "INT64", "[1e18,0,0]"), ERR_OUT_OF_RANGE,
          "Integers of 2^53 and more are taken without point and exponent.");
    REFUSES(X("[1,3]", "UINT64", "[18446744073709551616,0,0]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[0]");
    REFUSES(X("[1,3]", "INT32", "[1.5,0,0]"), ERR_WRONG_TYPE, "$.inputs[0].data[0]");
    REFUSES(X("[1,3]", "BOOL", "[2,0,0]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[0]");
    REFUSES(X("[1,3]", "FP32", "[1e39,0,0]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[0]");
    REFUSES(X("[1,3]", "FP64", "[1e39,0,0]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[0]");
    REFUSES(X("[1,3]", "FP64", "[Infinity,0,0]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[0]");
    HINTS(X("[1,3]", "FP16", "[1,2,3]"), ERR_WRONG_TYPE,
          "Numbers come as FP32, FP64, INT8 to INT64, UINT8 to UINT64 or BOOL.");
    REFUSES(X("[1,3]", "BYTES", "[\"a\",\"b\",\"c\"]"), ERR_WRONG_TYPE, "$.inputs[0].datatype");
    REFUSES(X("[1,3]", "float", "[1,2,3]"), ERR_WRONG_TYPE, "$.inputs[0].datatype");
}
END_TEST

START_TEST(shape_and_data_must_agree)
{
    REFUSES(X("[2,3]", "FP32", "[1,2,3,4,5]"), ERR_WRONG_COUNT, "$.inputs[0].data");
    REFUSES(X("[1,3]", "FP32", "[1,2,3,4,5]"), ERR_WRONG_COUNT, "$.inputs[0].data");
    REFUSES(X("[2,3]", "FP32", "[[1,2,3]]"), ERR_WRONG_COUNT, "$.inputs[0].data");
    REFUSES(X("[1,3]", "FP32", "[[1,2,3],[4,5,6]]"), ERR_WRONG_COUNT, "$.inputs[0].data[1]");
    REFUSES(X("[1,3]", "FP32", "[[1,2]]"), ERR_WRONG_COUNT, "$.inputs[0].data[0]");
    REFUSES(X("[2,3]", "FP32", "[[1,2,3],4,5,6]"), ERR_WRONG_TYPE, "$.inputs[0].data[1]");
    REFUSES(X("[2,3]", "FP32", "[1,2,3,[4,5,6]]"), ERR_WRONG_TYPE, "$.inputs[0].data[3]");
    REFUSES(X("[1,4]", "FP32", "[1,2,3,4]"), ERR_WRONG_COUNT, "$.inputs[0].shape");
    REFUSES(X("[1,3,1]", "FP32", "[1,2,3]"), ERR_WRONG_COUNT, "$.inputs[0].shape");
    REFUSES(X("[]", "FP32", "[]"), ERR_WRONG_COUNT, "$.inputs[0].shape");
    REFUSES(X("[900,3]", "FP32", "[]"), ERR_WRONG_COUNT, "$.inputs[0].shape");
    REFUSES(X("[4000000000,3]", "FP32", "[]"), ERR_TOO_LARGE, "$.inputs[0].shape");
    REFUSES(X("[-1,3]", "FP32", "[1,2,3]"), ERR_OUT_OF_RANGE, "$.inputs[0].shape[0]");
    REFUSES(X("[1.5,3]", "FP32", "[1,2,3]"), ERR_OUT_OF_RANGE, "$.inputs[0].shape[0]");
    REFUSES(X("[\"1\",3]", "FP32", "[1,2,3]"), ERR_WRONG_TYPE, "$.inputs[0].shape[0]");
    REFUSES(X("3", "FP32", "[1,2,3]"), ERR_WRONG_TYPE, "$.inputs[0].shape");
    REFUSES(X("[1,3]", "FP32", "3"), ERR_WRONG_TYPE, "$.inputs[0].data");
    HINTS(X("[3]", "FP32", "[1,2,3]"), ERR_UNKNOWN_FEATURE, "One row with all features has the shape [1,3].");
    REFUSES("{\"inputs\":[" COL("code", "[2]", "FP32", "[1]") "]}", ERR_WRONG_COUNT, "$.inputs[0].data");
    REFUSES("{\"inputs\":[" COL("code", "[1]", "FP32", "[1,2]") "]}", ERR_WRONG_COUNT, "$.inputs[0].data[1]");
    REFUSES("{\"inputs\":[" COL("code", "[1]", "FP32", "[[1]]") "]}", ERR_WRONG_TYPE, "$.inputs[0].data[0]");
    REFUSES("{\"inputs\":[" COL("code", "[1]", "FP32", "[1]") "," COL("age", "[2]", "FP32", "[1,2]") "]}",
            ERR_WRONG_COUNT, "$.inputs[1].shape");
}
END_TEST

START_TEST(inputs_are_one_of_two_sorts)
{
    REFUSES("{\"inputs\":[" COL("code", "[1]", "FP32", "[1]") "," COL("x", "[1,3]", "FP32", "[1,2,3]") "]}",
            ERR_WRONG_COUNT, "$.inputs[1]");
    REFUSES("{\"inputs\":[" COL("x", "[1,3]", "FP32", "[1,2,3]") "," COL("code", "[1]", "FP32", "[1]") "]}",
            ERR_WRONG_COUNT, "$.inputs[1]");
    REFUSES("{\"inputs\":[" COL("code", "[1]", "FP32", "[1]") "," COL("code", "[1]", "FP32", "[1]") "]}",
            ERR_DUPLICATE_KEY, "$.inputs[1].name");
    HINTS("{\"inputs\":[" COL("coed", "[1]", "FP32", "[1]") "]}", ERR_UNKNOWN_FEATURE,
          "Did you mean 'code'?");
    REFUSES("{\"inputs\":[" COL("age", "[1]", "FP32", "[1]") "]}", ERR_MISSING_FEATURE, "$.inputs.code");
    REFUSES(X("[1,3]", "FP32", "[1,2,null]"), ERR_MISSING_FEATURE, "$.inputs[0].data[2]");
    REFUSES(X("[2,3]", "FP32", "[1,2,3,4,5,null]"), ERR_MISSING_FEATURE, "$.inputs[0].data[5]");
    REFUSES(X("[1,3]", "FP32", "[1,\"2\",3]"), ERR_WRONG_TYPE, "$.inputs[0].data[1]");
    REFUSES("{\"inputs\":[]}", ERR_WRONG_COUNT, "$.inputs");
    REFUSES("{}", ERR_WRONG_COUNT, "$");
    REFUSES("{\"inputs\":{}}", ERR_WRONG_TYPE, "$.inputs");
    REFUSES("{\"inputs\":null}", ERR_WRONG_TYPE, "$.inputs");
    REFUSES("[]", ERR_WRONG_TYPE, "$");
    REFUSES("{\"inputs\":[{\"name\":\"x\",\"shape\":[1,3],\"datatype\":\"FP32\"}]}", ERR_WRONG_COUNT,
            "$.inputs[0]");
    REFUSES("{\"inputs\":[{\"name\":\"x\",\"data\":[1,2,3],\"datatype\":\"FP32\"}]}", ERR_WRONG_COUNT,
            "$.inputs[0]");
    REFUSES("{\"inputs\":[{\"data\":[1,2,[],3],\"name\":\"x\",\"shape\":[1,3],\"datatype\":\"FP32\"}]}",
            ERR_WRONG_TYPE, "$.inputs[0].data[2]");
}
END_TEST

START_TEST(parameters_are_taken_or_refused_by_name)
{
    GIVES("{\"parameters\":{\"binary_data_output\":true,\"content_type\":\"pd\"},\"inputs\":[{\"name\":\"x\","
          "\"shape\":[1,3],"
          "\"datatype\":\"FP32\",\"parameters\":{\"content_type\":\"np\"},\"data\":[1,2,3]}],"
          "\"outputs\":[{\"name\":\"prediction\",\"parameters\":{\"binary_data\":true}}]}",
          1, 1, 2, 3);
    GIVES("{\"id\":null,\"parameters\":null,\"outputs\":null,\"inputs\":[" COL("x", "[1,3]", "FP32",
                                                                               "[1,2,3]") "]}",
          1, 1, 2, 3);
    HINTS("{\"inputs\":[{\"name\":\"x\",\"shape\":[1,3],\"datatype\":\"FP32\",\"parameters\":{\"binary_data_"
          "size\":12}}]}",
          ERR_UNKNOWN_FIELD,
          "Send the values as JSON in `data`; with tritonclient: set_data_from_numpy(values, "
          "binary_data=False).");
    REFUSES("{\"parameters\":{\"priority\":1}}", ERR_UNKNOWN_FIELD, "$.parameters.priority");
    REFUSES("{\"parameters\":{\"binary_data\":true}}", ERR_UNKNOWN_FIELD, "$.parameters.binary_data");
    REFUSES("{\"parameters\":{\"binary_data_output\":1}}", ERR_WRONG_TYPE, "$.parameters.binary_data_output");
    REFUSES("{\"parameters\":{\"content_type\":\"str\"}}", ERR_UNKNOWN_FIELD, "$.parameters.content_type");
    REFUSES("{\"parameters\":[]}", ERR_WRONG_TYPE, "$.parameters");
    REFUSES("{\"outputs\":[{\"name\":\"prediction\",\"parameters\":{\"classification\":3}}]}",
            ERR_UNKNOWN_FIELD, "$.outputs[0].parameters.classification");
    HINTS("{\"inputz\":[]}", ERR_UNKNOWN_FIELD, "Did you mean 'inputs'?");
    REFUSES("{\"inputs\":[{\"nam\":\"x\"}]}", ERR_UNKNOWN_FIELD, "$.inputs[0].nam");
    REFUSES("{\"id\":\"a\",\"id\":\"b\"}", ERR_DUPLICATE_KEY, "$.id");
    REFUSES("{\"inputs\":[{\"name\":\"x\",\"name\":\"y\"}]}", ERR_DUPLICATE_KEY, "$.inputs[0].name");
    REFUSES("{\"id\":7}", ERR_WRONG_TYPE, "$.id");
}
END_TEST

START_TEST(outputs_are_checked)
{
    GIVES("{\"outputs\":[],\"inputs\":[" COL("x", "[1,3]", "FP32", "[1,2,3]") "]}", 1, 1, 2, 3);
    HINTS("{\"outputs\":[{\"name\":\"predictions\"}]}", ERR_UNKNOWN_OUTPUT, "Its output is 'prediction'.");
    REFUSES("{\"outputs\":[{\"name\":\"prediction\"},{\"name\":\"y\"}]}", ERR_UNKNOWN_OUTPUT,
            "$.outputs[1].name");
    REFUSES("{\"outputs\":[{}]}", ERR_UNKNOWN_OUTPUT, "$.outputs[0].name");
    REFUSES("{\"outputs\":[\"prediction\"]}", ERR_WRONG_TYPE, "$.outputs[0]");
    REFUSES("{\"outputs\":{}}", ERR_WRONG_TYPE, "$.outputs");
}
END_TEST

START_TEST(broken_json_is_refused)
{
    static const char *const BAD[] = {"",
                                      "{",
                                      "{\"inputs\":[",
                                      "{\"inputs\":[{\"name\":\"x\",\"data\":[1,}]}",
                                      X("[1,3]", "FP32", "[1,2,3"),
                                      X("[1,3]", "FP32", "[1,,3]"),
                                      X("[1,3]", "FP32", "[1,2,03]"),
                                      X("[2,3]", "FP32", "[[1,2,3],]"),
                                      X("[1,3,]", "FP32", "[1,2,3]"),
                                      X("[1,3]", "FP32", "[1,2,3]") "]"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        REFUSES(BAD[i], ERR_BAD_JSON, NULL);
}
END_TEST

START_TEST(a_model_of_one_feature_takes_any_name)
{
    struct codec c;
    codec_init(&c, DTYPE_FP32);
    c.sig.n_features = c.rows.n_features = 1;
    ck_assert_int_eq(codec_decode(&c, kserve_v2_decode, X("[2]", "FP32", "[1,2]")), 0);
    ck_assert_int_eq(codec_decode(&c, kserve_v2_decode, X("[2,1]", "FP32", "[[3],[4]]")), 0);
    ck_assert_uint_eq(c.rows.n_rows, 4);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_float_eq(((float *)c.rows.data)[i], (float)(i + 1));
    codec_done(&c);
}
END_TEST

START_TEST(the_answer_echoes_the_id_or_gives_the_prediction_id)
{
    struct codec c;
    struct buf out;
    buf_init(&out, 1 << 16);
    codec_init(&c, DTYPE_FP32);
    float two[] = {0.25f, NAN};
    struct predict_answer a = {&c.sig, STR("churn"), STR("3"), STR("p-1"), two, 2};
    ck_assert_int_eq(
        codec_decode(&c, kserve_v2_decode,
                     "{\"id\":\"q\\n1\",\"inputs\":[" COL("x", "[2,3]", "FP32", "[1,2,3,4,5,6]") "]}"),
        0);
    kserve_v2_encode(&c.req, &a, &out);
    ck_assert(
        str_eq(buf_str(&out),
               STR("{\"model_name\":\"churn\",\"model_version\":\"3\",\"id\":\"q\\u000a1\",\"outputs\":"
                   "[{\"name\":\"prediction\",\"datatype\":\"FP32\",\"shape\":[2],\"data\":[0.25,null]}]}")));
    buf_clear(&out);
    c.sig.output_is_vector = true;
    c.sig.n_outputs = 2;
    a.n_rows = 1;
    c.req.id = (struct str){0};
    kserve_v2_encode(&c.req, &a, &out);
    ck_assert(str_eq(
        buf_str(&out),
        STR("{\"model_name\":\"churn\",\"model_version\":\"3\",\"id\":\"p-1\",\"outputs\":"
            "[{\"name\":\"prediction\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[0.25,null]}]}")));
    buf_done(&out);
    codec_done(&c);
}
END_TEST

START_TEST(a_long_body_is_decoded_with_pauses)
{
#define FRONT "{\"inputs\":[{\"name\":\"x\",\"shape\":[5000,3],\"datatype\":\"FP32\",\"data\":["
    codec_pauses(kserve_v2_decode, 0, 1, FRONT, "[1.25,2,3]", 5000, "]}]}");
    codec_pauses(kserve_v2_decode, 0, 1, FRONT, "1.2e0,2.5e0,3.5e0", 5000, "]}]}");
    codec_pauses(kserve_v2_decode, ERR_WRONG_COUNT, 1, FRONT, "[1.25,2,3]", 6000, "]}]}");
    // Passed over, then read: twice as many bytes.
    codec_pauses(kserve_v2_decode, 0, 2, "{\"inputs\":[{\"data\":[", "[1.25,2,3]", 5000,
                 "],\"name\":\"x\",\"shape\":[5000,3],\"datatype\":\"FP32\"}]}");
}
END_TEST

UNIT_MAIN("api/kserve_v2", data_is_flat_or_nested, fields_come_in_any_order, features_come_as_inputs_by_name,
          values_are_held_by_their_datatype_first, shape_and_data_must_agree, inputs_are_one_of_two_sorts,
          parameters_are_taken_or_refused_by_name, outputs_are_checked, broken_json_is_refused,
          a_model_of_one_feature_takes_any_name, the_answer_echoes_the_id_or_gives_the_prediction_id,
          a_long_body_is_decoded_with_pauses)
