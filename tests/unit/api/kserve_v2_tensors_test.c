// SPDX-License-Identifier: Apache-2.0
#include "tensor_codec.h"

#include "base/limits.h"

// Two inputs by default.
#define XM               MODEL(IN("x", "FP32", "[-1,3]") "," OPT("ids", "INT64", "[-1]"), Y)
#define ONE(type, shape) MODEL(IN("x", type, shape), Y)
#define INPUT(name, shape, type, data)                                                                       \
    "{\"name\":\"" name "\",\"shape\":" shape ",\"datatype\":\"" type "\",\"data\":" data "}"
#define BODY(inputs)                 "{\"inputs\":[" inputs "]}"
#define X(shape, type, data)         BODY(INPUT("x", shape, type, data))
#define GIVES(model, body, expected) tensors_give(model, kserve_v2_tensors_decode, body, expected)
#define REFUSES(model, body, code, path)                                                                     \
    tensors_refuse(model, kserve_v2_tensors_decode, body, code, path, NULL)
#define HINTS(model, body, code, hint) tensors_refuse(model, kserve_v2_tensors_decode, body, code, NULL, hint)

START_TEST(data_is_flat_or_nested_like_the_shape)
{
    GIVES(XM, X("[1,3]", "FP32", "[1,2.5,3]"), "x FP32 [1,3] 1 2.5 3");
    GIVES(XM, X("[2,3]", "FP32", "[1,2,3,4,5,6]"), "x FP32 [2,3] 1 2 3 4 5 6");
    GIVES(XM, X("[2,3]", "FP32", " [ [ 1 , 2 , 3 ] , [ 4 , 5e0 , 6 ] ] "), "x FP32 [2,3] 1 2 3 4 5 6");
    GIVES(XM, X("[0,3]", "FP32", "[]"), "x FP32 [0,3]");
    GIVES(ONE("INT8", "[-1,2,2]"), X("[1,2,2]", "INT8", "[[[1,2],[3,4]]]"), "x INT8 [1,2,2] 1 2 3 4");
    GIVES(ONE("INT8", "[-1,2,2]"), X("[1,2,2]", "INT8", "[1,2,3,4]"), "x INT8 [1,2,2] 1 2 3 4");
    GIVES(ONE("INT8", "[2,0]"), X("[2,0]", "INT8", "[[],[]]"), "x INT8 [2,0]");
    GIVES(ONE("INT8", "[2,0]"), X("[2,0]", "INT8", "[]"), "x INT8 [2,0]");
    GIVES(ONE("FP32", "[]"), X("[]", "FP32", "[7]"), "x FP32 [] 7");
    GIVES(ONE("FP32", "[]"), X("[]", "FP32", "7"), "x FP32 [] 7");
    GIVES(ONE("FP32", "[-1,1]"), X("[2]", "FP32", "[7,8]"), "x FP32 [2,1] 7 8");
    GIVES(ONE("FP32", "[-1,1]"), X("[2,1]", "FP32", "[[7],[8]]"), "x FP32 [2,1] 7 8");
    GIVES(MODEL(ANY("x", "UINT8"), Y), X("[1,1,2]", "UINT8", "[[[7,8]]]"), "x UINT8 [1,1,2] 7 8");
    GIVES(MODEL(ANY("x", "UINT8"), Y), X("[]", "UINT8", "[7]"), "x UINT8 [] 7");
}
END_TEST

START_TEST(fields_come_in_any_order)
{
    GIVES(XM,
          BODY("{\"data\":[[1,2,3]],\"parameters\":{\"content_type\":\"np\"},\"datatype\":\"FP32\",\"name\":"
               "\"x\","
               "\"shape\":[1,3]}"),
          "x FP32 [1,3] 1 2 3");
    GIVES(ONE("BYTES", "[-1]"),
          BODY("{\"data\":[\"a\\u00e9\",\"\"],\"datatype\":\"BYTES\",\"shape\":[2],\"name\":\"x\"}"),
          "x BYTES [2] 'a\xc3\xa9' ''");
    GIVES(XM, BODY(INPUT("ids", "[2]", "INT64", "[7,8]") "," INPUT("x", "[1,3]", "FP32", "[1,2,3]")),
          "x FP32 [1,3] 1 2 3; ids INT64 [2] 7 8");
    GIVES(MODEL("", Y), BODY(""), "");
}
END_TEST

START_TEST(every_datatype_is_exact)
{
    GIVES(ONE("BOOL", "[-1]"), X("[4]", "BOOL", "[true,false,1,0]"), "x BOOL [4] 1 0 1 0");
    GIVES(ONE("UINT8", "[-1]"), X("[3]", "UINT8", "[0,255,1e1]"), "x UINT8 [3] 0 255 10");
    GIVES(ONE("UINT16", "[-1]"), X("[2]", "UINT16", "[0,65535]"), "x UINT16 [2] 0 65535");
    GIVES(ONE("UINT32", "[-1]"), X("[2]", "UINT32", "[4294967295,1.0]"), "x UINT32 [2] 4294967295 1");
    GIVES(ONE("UINT64", "[-1]"), X("[3]", "UINT64", "[18446744073709551615,9007199254740993,-0]"),
          "x UINT64 [3] 18446744073709551615 9007199254740993 0");
    GIVES(ONE("INT8", "[-1]"), X("[3]", "INT8", "[-128,127,-0.0]"), "x INT8 [3] -128 127 0");
    GIVES(ONE("INT16", "[-1]"), X("[2]", "INT16", "[-32768,32767]"), "x INT16 [2] -32768 32767");
    GIVES(ONE("INT32", "[-1]"), X("[2]", "INT32", "[-2147483648,2147483647]"),
          "x INT32 [2] -2147483648 2147483647");
    GIVES(ONE("INT64", "[-1]"),
          X("[4]", "INT64", "[-9223372036854775808,9223372036854775807,999999999999999999,1]"),
          "x INT64 [4] -9223372036854775808 9223372036854775807 999999999999999999 1");
    GIVES(ONE("FP16", "[-1]"), X("[6]", "FP16", "[1,0.1,65519,-1e-7,null,-Infinity]"),
          "x FP16 [6] 3c00 2e66 7bff 8002 7e00 fc00");
    GIVES(ONE("FP32", "[-1]"), X("[5]", "FP32", "[0.1,16777217,1e-46,NaN,Infinity]"),
          "x FP32 [5] 0.100000001 16777216 0 nan inf");
    GIVES(ONE("FP64", "[-1]"), X("[4]", "FP64", "[0.1,1e308,true,-Infinity]"),
          "x FP64 [4] 0.10000000000000001 1e+308 1 -inf");
    GIVES(ONE("BYTES", "[-1,2]"), X("[1,2]", "BYTES", "[[\"\",\"a\\n\\ud83d\\ude00\"]]"),
          "x BYTES [1,2] '' 'a\n\xf0\x9f\x98\x80'");
}
END_TEST

START_TEST(values_are_held_by_the_named_datatype_first)
{
    GIVES(ONE("FP64", "[-1]"), X("[2]", "FP32", "[0.1,1e-1]"),
          "x FP64 [2] 0.10000000149011612 0.10000000149011612");
    GIVES(ONE("FP64", "[-1]"), X("[1]", "FP16", "[0.1]"), "x FP64 [1] 0.0999755859375");
    GIVES(ONE("FP32", "[-1]"), X("[1]", "FP16", "[0.1]"), "x FP32 [1] 0.0999755859");
    GIVES(ONE("FP32", "[-1]"), X("[2]", "FP64", "[0.1,16777217]"), "x FP32 [2] 0.100000001 16777216");
    GIVES(ONE("FP16", "[-1]"), X("[1]", "FP64", "[0.1]"), "x FP16 [1] 2e66");
    // 2^60 + 2^36 + 1: by way of double it is a middle of two floats and goes down, from the integer it goes
    // up
    GIVES(ONE("FP32", "[-1]"), X("[2]", "INT64", "[1152921573326323713,-7]"), "x FP32 [2] 1.15292164e+18 -7");
    GIVES(ONE("FP64", "[-1]"), X("[1]", "UINT64", "[18446744073709551615]"),
          "x FP64 [1] 1.8446744073709552e+19");
    GIVES(ONE("INT64", "[-1]"), X("[2]", "INT8", "[-128,127]"), "x INT64 [2] -128 127");
    GIVES(ONE("INT8", "[-1]"), X("[2]", "INT64", "[-128,127]"), "x INT8 [2] -128 127");
    GIVES(ONE("INT32", "[-1]"), X("[2]", "BOOL", "[true,0]"), "x INT32 [2] 1 0");
    REFUSES(ONE("INT64", "[-1]"), X("[1]", "INT8", "[128]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[0]");
    REFUSES(ONE("INT8", "[-1]"), X("[1]", "INT64", "[128]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[0]");
    REFUSES(ONE("UINT8", "[-1]"), X("[2]", "INT8", "[1,-1]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[1]");
    REFUSES(ONE("FP32", "[-1]"), X("[1]", "INT8", "[1.5]"), ERR_WRONG_TYPE, "$.inputs[0].data[0]");
    REFUSES(ONE("FP64", "[-1]"), X("[1]", "FP32", "[1e39]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[0]");
    REFUSES(ONE("FP16", "[-1]"), X("[2]", "FP32", "[1,65520]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[1]");
    REFUSES(ONE("INT64", "[-1]"), X("[1]", "FP32", "[1]"), ERR_WRONG_TYPE, "$.inputs[0].datatype");
    REFUSES(ONE("BYTES", "[-1]"), X("[1]", "FP32", "[1]"), ERR_WRONG_TYPE, "$.inputs[0].datatype");
    REFUSES(ONE("FP32", "[-1]"), X("[1]", "BYTES", "[\"1\"]"), ERR_WRONG_TYPE, "$.inputs[0].datatype");
    HINTS(ONE("FP32", "[-1]"), X("[1]", "float32", "[1]"), ERR_WRONG_TYPE,
          "Datatypes are BOOL, INT8 to INT64, UINT8 to UINT64, FP16, FP32, FP64 and BYTES.");
}
END_TEST

START_TEST(values_that_do_not_fit_are_refused)
{
    REFUSES(ONE("BOOL", "[-1]"), X("[1]", "BOOL", "[2]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[0]");
    REFUSES(ONE("BOOL", "[-1]"), X("[1]", "BOOL", "[null]"), ERR_WRONG_TYPE, "$.inputs[0].data[0]");
    REFUSES(ONE("UINT64", "[-1]"), X("[1]", "UINT64", "[18446744073709551616]"), ERR_OUT_OF_RANGE,
            "$.inputs[0].data[0]");
    REFUSES(ONE("INT64", "[-1]"), X("[1]", "INT64", "[9223372036854775808]"), ERR_OUT_OF_RANGE,
            "$.inputs[0].data[0]");
    REFUSES(ONE("INT64", "[-1]"), X("[1]", "INT64", "[-9223372036854775809]"), ERR_OUT_OF_RANGE,
            "$.inputs[0].data[0]");
    HINTS(ONE("INT64", "[-1]"), X("[1]", "INT64", "[1e18]"), ERR_OUT_OF_RANGE,
          "Integers of 2^53 and more are taken without point and exponent.");
    REFUSES(ONE("INT32", "[-1]"), X("[1]", "INT32", "[1.5]"), ERR_WRONG_TYPE, "$.inputs[0].data[0]");
    REFUSES(ONE("INT32", "[-1]"), X("[1]", "INT32", "[NaN]"), ERR_WRONG_TYPE, "$.inputs[0].data[0]");
    REFUSES(ONE("INT32", "[-1]"), X("[1]", "INT32", "[01]"), ERR_BAD_JSON, NULL);
    HINTS(ONE("INT32", "[-1]"), X("[1]", "INT32", "[\"1\"]"), ERR_WRONG_TYPE, "Send numbers without quotes.");
    HINTS(ONE("FP32", "[-1]"), X("[1]", "FP32", "[\"1\"]"), ERR_WRONG_TYPE, "Send numbers without quotes.");
    REFUSES(ONE("FP32", "[-1]"), X("[1]", "FP32", "[1e39]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[0]");
    REFUSES(ONE("FP64", "[-1]"), X("[1]", "FP64", "[1e309]"), ERR_OUT_OF_RANGE, "$.inputs[0].data[0]");
    REFUSES(ONE("BYTES", "[-1]"), X("[1]", "BYTES", "[1]"), ERR_WRONG_TYPE, "$.inputs[0].data[0]");
    REFUSES(ONE("BYTES", "[-1]"), X("[1]", "BYTES", "[{\"b64\":\"\"}]"), ERR_WRONG_TYPE,
            "$.inputs[0].data[0]");
    REFUSES(ONE("BYTES", "[-1]"), X("[1]", "BYTES", "[\"\\ud800\"]"), ERR_BAD_JSON, NULL);
}
END_TEST

START_TEST(shape_interface_and_data_agree)
{
    REFUSES(XM, X("[2,3]", "FP32", "[1,2,3,4,5]"), ERR_WRONG_COUNT, "$.inputs[0].data");
    REFUSES(XM, X("[1,3]", "FP32", "[1,2,3,4,5]"), ERR_WRONG_COUNT, "$.inputs[0].data");
    REFUSES(XM, X("[2,3]", "FP32", "[[1,2,3]]"), ERR_WRONG_COUNT, "$.inputs[0].data");
    REFUSES(XM, X("[1,3]", "FP32", "[[1,2,3],[4,5,6]]"), ERR_WRONG_COUNT, "$.inputs[0].data");
    REFUSES(XM, X("[1,3]", "FP32", "[[1,2]]"), ERR_WRONG_COUNT, "$.inputs[0].data[0]");
    REFUSES(XM, X("[2,3]", "FP32", "[[1,2,3],4,5,6]"), ERR_WRONG_TYPE, "$.inputs[0].data[1]");
    REFUSES(XM, X("[2,3]", "FP32", "[1,2,3,[4,5,6]]"), ERR_WRONG_TYPE, "$.inputs[0].data[3]");
    REFUSES(XM, X("[1,4]", "FP32", "[1,2,3,4]"), ERR_WRONG_COUNT, "$.inputs[0].shape");
    REFUSES(XM, X("[3]", "FP32", "[1,2,3]"), ERR_WRONG_COUNT, "$.inputs[0].shape");
    REFUSES(XM, X("[1,3,1]", "FP32", "[1,2,3]"), ERR_WRONG_COUNT, "$.inputs[0].shape");
    REFUSES(XM, X("[900,3]", "FP32", "[]"), ERR_WRONG_COUNT, "$.inputs[0].data");
    REFUSES(XM, X("[-1,3]", "FP32", "[1,2,3]"), ERR_OUT_OF_RANGE, "$.inputs[0].shape[0]");
    REFUSES(XM, X("[1,1,1,1,1,1,1,1,1]", "FP32", "[1]"), ERR_WRONG_COUNT, "$.inputs[0].shape");
    REFUSES(XM, X("3", "FP32", "[1,2,3]"), ERR_WRONG_TYPE, "$.inputs[0].shape");
    REFUSES(XM, X("[1,3]", "FP32", "3"), ERR_WRONG_TYPE, "$.inputs[0].data");
    REFUSES(MODEL(ANY("x", "FP32"), Y), X("[4294967295,4294967295]", "FP32", "[1]"), ERR_WRONG_COUNT,
            "$.inputs[0].data");
    REFUSES(ONE("BYTES", "[-1]"), X("[2]", "BYTES", "[\"a\"]"), ERR_WRONG_COUNT, "$.inputs[0].data");
    REFUSES(ONE("FP32", "[-1,1]"), X("[2]", "FP32", "[[7],[8]]"), ERR_WRONG_TYPE, "$.inputs[0].data[0]");
}
END_TEST

START_TEST(inputs_and_outputs_go_by_name)
{
    HINTS(ONE("FP32", "[-1]"), BODY(INPUT("input-0", "[1]", "FP32", "[1]")), ERR_UNKNOWN_FEATURE,
          "Its input is 'x'.");
    HINTS(XM, BODY(INPUT("isd", "[1]", "INT64", "[1]")), ERR_UNKNOWN_FEATURE, "Did you mean 'ids'?");
    REFUSES(XM, BODY(INPUT("z", "[1]", "FP32", "[1]")), ERR_UNKNOWN_FEATURE, "$.inputs[0].name");
    REFUSES(XM, BODY(INPUT("ids", "[1]", "INT64", "[1]")), ERR_MISSING_FEATURE, "$.inputs");
    REFUSES(XM, BODY(INPUT("x", "[0,3]", "FP32", "[]") "," INPUT("x", "[0,3]", "FP32", "[]")),
            ERR_DUPLICATE_KEY, "$.inputs[1].name");
    REFUSES(XM, "{}", ERR_WRONG_COUNT, "$");
    REFUSES(XM, "{\"inputs\":null}", ERR_WRONG_TYPE, "$.inputs");
    REFUSES(XM, BODY("7"), ERR_WRONG_TYPE, "$.inputs[0]");
    REFUSES(XM, BODY("{\"name\":\"x\",\"shape\":[1,3],\"datatype\":\"FP32\"}"), ERR_WRONG_COUNT,
            "$.inputs[0]");
    REFUSES(XM, BODY("{\"name\":\"x\",\"shape\":[1,3],\"data\":[1,2,3]}"), ERR_WRONG_COUNT, "$.inputs[0]");
    REFUSES(XM, "[]", ERR_WRONG_TYPE, "$");
    REFUSES(XM, "{\"inputs\":[],\"more\":1}", ERR_UNKNOWN_FIELD, "$.more");
    REFUSES(XM, BODY("{\"nmae\":\"x\"}"), ERR_UNKNOWN_FIELD, "$.inputs[0].nmae");
    REFUSES(XM, "{\"outputs\":[{\"name\":\"z\"}],\"inputs\":[]}", ERR_UNKNOWN_OUTPUT, "$.outputs[0].name");
    HINTS(XM, "{\"outputs\":[{\"name\":\"Z\"}],\"inputs\":[]}", ERR_UNKNOWN_OUTPUT, "Its output is 'y'.");
    REFUSES(XM, "{\"outputs\":[{\"name\":\"y\"},{\"name\":\"y\"}],\"inputs\":[]}", ERR_DUPLICATE_KEY,
            "$.outputs[1].name");
    GIVES(ONE("BYTES", "[-1]"),
          BODY("{\"name\":\"x\",\"shape\":[1],\"datatype\":\"BYTES\",\"parameters\":{\"content_type\":"
               "\"str\"},\"data\":[\"a\"]}"),
          "x BYTES [1] 'a'");
    HINTS(XM, BODY("{\"parameters\":{\"content_type\":\"base64\"}}"), ERR_UNKNOWN_FIELD,
          "Tensors are \"np\", \"pd\" or \"str\".");
    REFUSES(XM, "{\"parameters\":{\"content_type\":\"str\"}}", ERR_UNKNOWN_FIELD,
            "$.parameters.content_type");
    REFUSES(XM, "{\"parameters\":{\"priority\":1},\"inputs\":[]}", ERR_UNKNOWN_FIELD,
            "$.parameters.priority");
    REFUSES(XM,
            BODY("{\"name\":\"x\",\"shape\":[1,3],\"datatype\":\"FP32\",\"parameters\":{\"binary_data_size\":"
                 "12}}"),
            ERR_UNKNOWN_FIELD, "$.inputs[0].parameters.binary_data_size");
    REFUSES(XM, X("[1,3]", "FP32", "[1,2,3]") "x", ERR_BAD_JSON, NULL);
}
END_TEST

START_TEST(a_full_sink_and_a_full_arena_refuse)
{
    struct tensors t;
    tensors_init(&t, XM);
    t.room = 11;
    ck_assert_int_eq(tensors_decode(&t, kserve_v2_tensors_decode, X("[1,3]", "FP32", "[1,2,3]")),
                     ERR_TOO_LARGE);
    ck_assert_str_eq(t.e.path, "$.inputs[0].data");
    t.room = 12;
    ck_assert_int_eq(tensors_decode(&t, kserve_v2_tensors_decode, X("[1,3]", "FP32", "[1,2,3]")), 0);
    while (arena_alloc(&t.arena, 16))
        ;
    ck_assert_int_eq(tensors_decode(&t, kserve_v2_tensors_decode, X("[1,3]", "FP32", "[1,2,3]")), ERR_NOMEM);
    tensors_done(&t);
}
END_TEST

// Data in front of the shape and strings are read twice.
START_TEST(long_bodies_are_read_with_pauses)
{
#define FRONT(shape, type)                                                                                   \
    "{\"inputs\":[{\"name\":\"x\",\"shape\":" shape ",\"datatype\":\"" type "\",\"data\":["
    tensors_pause(ONE("FP32", "[-1]"), kserve_v2_tensors_decode, 1, FRONT("[9000]", "FP32"), "1.5e0", 9000,
                  "]}]}");
    tensors_pause(ONE("INT32", "[-1]"), kserve_v2_tensors_decode, 1, FRONT("[9000]", "INT32"), "12345", 9000,
                  "]}]}");
    tensors_pause(ONE("BYTES", "[-1]"), kserve_v2_tensors_decode, 2, FRONT("[9000]", "BYTES"), "\"abc\"",
                  9000, "]}]}");
    tensors_pause(ONE("INT32", "[-1]"), kserve_v2_tensors_decode, 2, "{\"inputs\":[{\"data\":[", "12345",
                  9000, "],\"name\":\"x\",\"shape\":[9000],\"datatype\":\"INT32\"}]}");
}
END_TEST

START_TEST(the_request_is_remembered)
{
    struct tensors t;
    tensors_init(
        &t, MODEL(IN("x", "FP32", "[-1,1]") "," OPT("z", "INT64", "[-1]"), Y "," IN("p", "FP32", "[-1]")));
    ck_assert_int_eq(
        tensors_decode(
            &t, kserve_v2_tensors_decode,
            "{\"id\":\"a\\n\",\"outputs\":[{\"name\":\"p\",\"parameters\":{\"binary_data\":true}}],"
            "\"parameters\":null,\"inputs\":[" INPUT("x", "[2,1]", "FP32", "[1,2]") "]}"),
        0);
    ck_assert(str_eq(t.req.id, STR("a\n")));
    ck_assert_uint_eq(t.req.outputs, 2);
    ck_assert_uint_eq(t.req.n_rows, 2);
    ck_assert_int_eq(
        tensors_decode(&t, kserve_v2_tensors_decode,
                       "{\"outputs\":null,\"inputs\":[" INPUT("x", "[2,1]", "FP32", "[1,2]") "," INPUT(
                           "z", "[3]", "INT64", "[1,2,3]") "]}"),
        0);
    ck_assert_uint_eq(t.req.outputs, 3);
    ck_assert_uint_eq(t.req.n_rows, 0);
    ck_assert_uint_eq(t.req.id.n, 0);
    tensors_done(&t);
}
END_TEST

static struct tensor tensor_of(enum dtype dtype, const void *data, size_t bytes, uint32_t n_dims,
                               int64_t rows, int64_t columns)
{
    return (struct tensor){
        .dtype = dtype, .data = data, .bytes = bytes, .n_dims = n_dims, .shape = {rows, columns}};
}

static void writes(struct tensor result, const char *expected)
{
    char whole[1024];
    snprintf(
        whole, sizeof whole,
        "{\"model_name\":\"churn\",\"model_version\":\"3\",\"id\":\"p1\",\"outputs\":[{\"name\":\"y\",%s}]}",
        expected);
    tensors_answer_is(MODEL("", Y), kserve_v2_tensors_decode, kserve_v2_tensors_encode, BODY(""), &result,
                      whole);
}

#define ARRAY(type, ...) (const type[]){__VA_ARGS__}, sizeof((const type[]){__VA_ARGS__})

START_TEST(every_datatype_is_written)
{
    writes(tensor_of(DTYPE_BOOL, ARRAY(uint8_t, 0, 1), 1, 2, 0),
           "\"datatype\":\"BOOL\",\"shape\":[2],\"data\":[false,true]");
    writes(tensor_of(DTYPE_UINT8, ARRAY(uint8_t, 0, 255), 1, 2, 0),
           "\"datatype\":\"UINT8\",\"shape\":[2],\"data\":[0,255]");
    writes(tensor_of(DTYPE_UINT16, ARRAY(uint16_t, 65535), 1, 1, 0),
           "\"datatype\":\"UINT16\",\"shape\":[1],\"data\":[65535]");
    writes(tensor_of(DTYPE_UINT32, ARRAY(uint32_t, UINT32_MAX), 1, 1, 0),
           "\"datatype\":\"UINT32\",\"shape\":[1],\"data\":[4294967295]");
    writes(tensor_of(DTYPE_UINT64, ARRAY(uint64_t, UINT64_MAX, INT64_MAX, (uint64_t)1 << 63), 1, 3, 0),
           "\"datatype\":\"UINT64\",\"shape\":[3],\"data\":[18446744073709551615,9223372036854775807,"
           "9223372036854775808]");
    writes(tensor_of(DTYPE_INT8, ARRAY(int8_t, -128), 1, 1, 0),
           "\"datatype\":\"INT8\",\"shape\":[1],\"data\":[-128]");
    writes(tensor_of(DTYPE_INT16, ARRAY(int16_t, -32768), 1, 1, 0),
           "\"datatype\":\"INT16\",\"shape\":[1],\"data\":[-32768]");
    writes(tensor_of(DTYPE_INT32, ARRAY(int32_t, INT32_MIN), 1, 1, 0),
           "\"datatype\":\"INT32\",\"shape\":[1],\"data\":[-2147483648]");
    writes(tensor_of(DTYPE_INT64, ARRAY(int64_t, INT64_MIN, 9007199254740993), 2, 1, 2),
           "\"datatype\":\"INT64\",\"shape\":[1,2],\"data\":[-9223372036854775808,9007199254740993]");
    writes(tensor_of(DTYPE_FP16, ARRAY(uint16_t, 0x3c00, 0x2e66, 0x7c00), 1, 3, 0),
           "\"datatype\":\"FP16\",\"shape\":[3],\"data\":[1.0,0.099975586,null]");
    writes(tensor_of(DTYPE_FP32, ARRAY(float, 0.1f, -0.0f, (float)__builtin_nan("")), 1, 3, 0),
           "\"datatype\":\"FP32\",\"shape\":[3],\"data\":[0.1,-0.0,null]");
    writes(tensor_of(DTYPE_FP64, ARRAY(double, 0.1, -__builtin_inf()), 1, 2, 0),
           "\"datatype\":\"FP64\",\"shape\":[2],\"data\":[0.1,null]");
    writes(tensor_of(DTYPE_FP64, ARRAY(double, 5), 0, 0, 0),
           "\"datatype\":\"FP64\",\"shape\":[],\"data\":[5.0]");
    writes(tensor_of(DTYPE_FP32, NULL, 0, 2, 0, 3), "\"datatype\":\"FP32\",\"shape\":[0,3],\"data\":[]");
    writes(tensor_of(DTYPE_BYTES, "\3\0\0\0a\"\n\0\0\0\0", 11, 1, 2, 0),
           "\"datatype\":\"BYTES\",\"shape\":[2],\"data\":[\"a\\\"\\u000a\",\"\"]");
    writes(tensor_of(DTYPE_BYTES, "\3\0\0\0a\xff\n\0\0\0\0", 11, 1, 2, 0),
           "\"datatype\":\"BYTES\",\"shape\":[2],\"parameters\":{\"content_type\":\"base64\"},\"data\":["
           "\"Yf8K\",\"\"]");
}
END_TEST

// More values than are written at once.
START_TEST(long_lists_have_a_comma_between_all_values)
{
    static uint8_t values[1000];
    struct tensor result = tensor_of(DTYPE_UINT8, values, sizeof values, 1, sizeof values, 0);
    struct tensors t;
    struct buf out;
    tensors_init(&t, MODEL("", Y));
    buf_init(&out, 1 << 16);
    ck_assert_int_eq(tensors_decode(&t, kserve_v2_tensors_decode, BODY("")), 0);
    struct tensors_answer a = {t.i, STR("m"), STR("1"), STR("p"), &result};
    kserve_v2_tensors_encode(&t.req, &a, &out);
    size_t n_zeros = 0, n_commas = 0, from = (size_t)(strstr(out.p, "\"data\":") - out.p);
    for (size_t i = from; i < out.n; i++) {
        n_zeros += out.p[i] == '0' && (out.p[i + 1] == ',' || out.p[i + 1] == ']');
        n_commas += out.p[i] == ',';
    }
    ck_assert_uint_eq(n_zeros, 1000);
    ck_assert_uint_eq(n_commas, 999);
    buf_done(&out);
    tensors_done(&t);
}
END_TEST

START_TEST(only_wanted_and_computed_outputs_are_answered)
{
    struct tensor results[3] = {tensor_of(DTYPE_INT64, ARRAY(int64_t, 1), 1, 1, 0),
                                tensor_of(DTYPE_FP32, ARRAY(float, 0.5f), 1, 1, 0),
                                {.dtype = DTYPE_NONE}};
    const char *model =
        MODEL("", IN("a", "INT64", "[-1]") "," IN("b", "FP32", "[-1]") "," IN("c", "FP32", "[-1]"));
    tensors_answer_is(model, kserve_v2_tensors_decode, kserve_v2_tensors_encode,
                      "{\"id\":\"i\",\"inputs\":[],\"outputs\":[{\"name\":\"b\"},{\"name\":\"c\"}]}", results,
                      "{\"model_name\":\"churn\",\"model_version\":\"3\",\"id\":\"i\",\"outputs\":["
                      "{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[0.5]}]}");
    tensors_answer_is(model, kserve_v2_tensors_decode, kserve_v2_tensors_encode,
                      "{\"inputs\":[],\"outputs\":[]}", results,
                      "{\"model_name\":\"churn\",\"model_version\":\"3\",\"id\":\"p1\",\"outputs\":["
                      "{\"name\":\"a\",\"datatype\":\"INT64\",\"shape\":[1],\"data\":[1]},"
                      "{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[0.5]}]}");
}
END_TEST

// The memory belongs to another process, which changed a length after the check.
START_TEST(lengths_that_changed_end_the_answer)
{
    static const char *const changed[] = {"\4\0\0\0abc", "\0\0\0\0\0\0\0", "\377\377\377\377abc"};
    for (int i = 0; i < 3; i++) {
        char *exact = malloc(7);
        memcpy(exact, changed[i], 7);
        struct tensor result = tensor_of(DTYPE_BYTES, exact, 7, 1, 2, 0);
        struct tensors t;
        struct buf out;
        tensors_init(&t, MODEL("", Y));
        buf_init(&out, 1 << 16);
        ck_assert_int_eq(tensors_decode(&t, kserve_v2_tensors_decode, BODY("")), 0);
        struct tensors_answer a = {t.i, STR("m"), STR("1"), STR("p"), &result};
        kserve_v2_tensors_encode(&t.req, &a, &out);
        ck_assert(out.failed);
        buf_done(&out);
        tensors_done(&t);
        free(exact);
    }
}
END_TEST

UNIT_MAIN("api/kserve_v2_tensors", data_is_flat_or_nested_like_the_shape, fields_come_in_any_order,
          every_datatype_is_exact, values_are_held_by_the_named_datatype_first,
          values_that_do_not_fit_are_refused, shape_interface_and_data_agree, inputs_and_outputs_go_by_name,
          a_full_sink_and_a_full_arena_refuse, long_bodies_are_read_with_pauses, the_request_is_remembered,
          every_datatype_is_written, long_lists_have_a_comma_between_all_values,
          only_wanted_and_computed_outputs_are_answered, lengths_that_changed_end_the_answer)
