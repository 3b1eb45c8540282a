// SPDX-License-Identifier: Apache-2.0
#include "codec.h"
#include "tensor/interface.h"
#include "tensor/rule.h"

static void is(struct buf *out, const char *expected)
{
    ck_assert(!out->failed);
    ck_assert_msg(str_eq(buf_str(out), str_of(expected)), STR_FMT, STR_ARG(buf_str(out)));
    buf_clear(out);
}

START_TEST(v1_lists_models_and_merges_both_status_shapes)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    kserve_v1_models_encode(NULL, 0, &out);
    is(&out, "{\"models\":[]}");
    struct str names[] = {STR("a"), STR("b\"c")};
    kserve_v1_models_encode(names, 2, &out);
    is(&out, "{\"models\":[\"a\",\"b\\\"c\"]}");
    struct api_version versions[] = {{STR("3"), NULL, true, NULL}, {STR("4"), NULL, false, NULL}};
    kserve_v1_model_encode(STR("churn"), versions, 2, &out);
    is(&out, "{\"name\":\"churn\",\"ready\":true,\"model_version_status\":["
             "{\"version\":\"3\",\"state\":\"AVAILABLE\",\"status\":{\"error_code\":\"OK\",\"error_message\":"
             "\"\"}},"
             "{\"version\":\"4\",\"state\":\"LOADING\",\"status\":{\"error_code\":\"OK\",\"error_message\":"
             "\"\"}}]}");
    kserve_v1_model_encode(STR("churn"), versions + 1, 1, &out);
    ck_assert(str_starts(buf_str(&out), STR("{\"name\":\"churn\",\"ready\":false,")));
    buf_done(&out);
}
END_TEST

START_TEST(v2_metadata_agrees_with_the_tensors)
{
    struct codec c;
    struct buf out;
    codec_init(&c, DTYPE_FP32);
    buf_init(&out, 1 << 16);
    kserve_v2_server_encode(STR("0.1.0"), &out);
    is(&out, "{\"name\":\"slipway\",\"version\":\"0.1.0\",\"extensions\":[]}");
    struct api_version versions[] = {
        {STR("3"), &c.sig, true, NULL}, {STR("4"), &c.sig, false, NULL}, {STR("5"), &c.sig, true, NULL}};
    kserve_v2_model_encode(STR("churn"), versions, 3, &c.sig, &out);
    is(&out, "{\"name\":\"churn\",\"versions\":[\"3\",\"5\"],\"platform\":\"test_json\","
             "\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[-1,3]}],"
             "\"outputs\":[{\"name\":\"prediction\",\"datatype\":\"FP32\",\"shape\":[-1]}],"
             "\"properties\":{\"features\":\"[\\\"age\\\",\\\"income\\\",\\\"code\\\"]\"}}");
    c.sig.named = false;
    c.sig.output_is_vector = true;
    c.sig.n_outputs = 4;
    kserve_v2_model_encode(STR("churn"), versions, 1, &c.sig, &out);
    is(&out, "{\"name\":\"churn\",\"versions\":[\"3\"],\"platform\":\"test_json\","
             "\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[-1,3]}],"
             "\"outputs\":[{\"name\":\"prediction\",\"datatype\":\"FP32\",\"shape\":[-1,4]}]}");
    buf_done(&out);
    codec_done(&c);
}
END_TEST

START_TEST(v2_metadata_of_tensors_has_classes_and_optional_inputs)
{
    struct str labels[] = {STR("no"), STR("y\"s")}, colours[] = {STR("red")};
    struct tensor_spec inputs[] = {
        {.name = STR("x"), .dtype = DTYPE_FP32, .n_dims = 4, .shape = {-1, 3, 224, 224}},
        {.name = STR("mask"), .dtype = DTYPE_BOOL, .optional = true},
        {.name = STR("any"), .dtype = DTYPE_BYTES, .any_shape = true, .optional = true}};
    struct tensor_spec outputs[] = {{.name = STR("label"), .dtype = DTYPE_INT64, .n_dims = 1, .shape = {-1}},
                                    {.name = STR("score"),
                                     .dtype = DTYPE_FP16,
                                     .n_dims = 2,
                                     .shape = {-1, 2},
                                     .labels = labels,
                                     .n_labels = 2},
                                    {.name = STR("c"),
                                     .dtype = DTYPE_FP16,
                                     .n_dims = 2,
                                     .shape = {-1, 1},
                                     .labels = colours,
                                     .n_labels = 1}};
    struct interface i = {
        .platform = "onnx_onnxv1", .n_inputs = 3, .n_outputs = 3, .inputs = inputs, .outputs = outputs};
    struct api_version versions[] = {{STR("3"), NULL, true, &i}, {STR("4"), NULL, false, &i}};
    struct buf out;
    buf_init(&out, 1 << 16);
    kserve_v2_interface_encode(STR("churn"), versions, 2, &i, &out);
    is(&out, "{\"name\":\"churn\",\"versions\":[\"3\"],\"platform\":\"onnx_onnxv1\","
             "\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,3,224,224]},"
             "{\"name\":\"mask\",\"datatype\":\"BOOL\",\"shape\":[]},"
             "{\"name\":\"any\",\"datatype\":\"BYTES\",\"shape\":[-1]}],"
             "\"outputs\":[{\"name\":\"label\",\"datatype\":\"INT64\",\"shape\":[-1]},"
             "{\"name\":\"score\",\"datatype\":\"FP16\",\"shape\":[-1,2]},"
             "{\"name\":\"c\",\"datatype\":\"FP16\",\"shape\":[-1,1]}],"
             "\"properties\":{\"labels\":\"{\\\"score\\\":[\\\"no\\\",\\\"y\\\\\\\"s\\\"],"
             "\\\"c\\\":[\\\"red\\\"]}\",\"optional_inputs\":\"[\\\"mask\\\",\\\"any\\\"]\"}}");
    i.n_inputs = i.n_outputs = 1;
    kserve_v2_interface_encode(STR("churn"), versions, 1, &i, &out);
    is(&out, "{\"name\":\"churn\",\"versions\":[\"3\"],\"platform\":\"onnx_onnxv1\","
             "\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,3,224,224]}],"
             "\"outputs\":[{\"name\":\"label\",\"datatype\":\"INT64\",\"shape\":[-1]}]}");
    buf_done(&out);
}
END_TEST

// The rules of docs/signatures.md as parameters, whose values are texts, numbers and truth values there.
START_TEST(v2_metadata_says_what_may_stand_in_the_inputs)
{
    struct codec c;
    struct buf out;
    struct rules *rules;
    struct err e;
    codec_init(&c, DTYPE_FP32);
    buf_init(&out, 1 << 16);
    c.sig.features[0].may_be_missing = true;
    c.sig.features[2].may_be_missing = true;
    ck_assert_msg(
        rules_bind(&c.sig,
                   STR("{\"inputs\":[{\"name\":\"age\",\"type\":\"number\",\"missing\":false,\"min\":18,"
                       "\"max\":120.1,\"mode\":\"strict\"},{\"name\":\"income\",\"type\":\"number\"},"
                       "{\"name\":\"code\",\"type\":\"category\",\"categories\":[\"a\",\"b\\\"c\"],"
                       "\"mode\":\"coerce\"}],\"named\":true}"),
                   &rules, &e) == 0,
        "%s", e.msg);
    struct api_version version = {STR("3"), &c.sig, true, NULL};
    kserve_v2_model_encode(STR("churn"), &version, 1, rules_signature(rules), &out);
    is(&out,
       "{\"name\":\"churn\",\"versions\":[\"3\"],\"platform\":\"test_json\","
       "\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[-1,3],\"parameters\":{\"columns\":"
       "\"[{\\\"name\\\":\\\"age\\\",\\\"mode\\\":\\\"strict\\\",\\\"type\\\":\\\"number\\\",\\\"missing\\\":"
       "false,"
       "\\\"min\\\":18,\\\"max\\\":120.1},"
       "{\\\"name\\\":\\\"code\\\",\\\"mode\\\":\\\"coerce\\\",\\\"type\\\":\\\"category\\\",\\\"missing\\\":"
       "true,"
       "\\\"categories\\\":[\\\"a\\\",\\\"b\\\\\\\"c\\\"]}]\"}}],"
       "\"outputs\":[{\"name\":\"prediction\",\"datatype\":\"FP32\",\"shape\":[-1]}],"
       "\"properties\":{\"features\":\"[\\\"age\\\",\\\"income\\\",\\\"code\\\"]\"}}");
    rules_free(rules);
    buf_done(&out);
    codec_done(&c);
}
END_TEST

START_TEST(v2_metadata_of_tensors_says_what_may_stand_in_them)
{
    struct tensor_spec inputs[] = {{.name = STR("age"), .dtype = DTYPE_FP64, .n_dims = 2, .shape = {-1, 1}},
                                   {.name = STR("job"), .dtype = DTYPE_BYTES, .any_shape = true},
                                   {.name = STR("kind"), .dtype = DTYPE_INT64, .n_dims = 1, .shape = {-1}}};
    struct tensor_spec output = {.name = STR("y"), .dtype = DTYPE_FP32, .n_dims = 1, .shape = {-1}};
    struct interface i = {
        .platform = "onnx_onnxv1", .n_inputs = 3, .n_outputs = 1, .inputs = inputs, .outputs = &output};
    struct api_version version = {STR("1"), NULL, true, &i};
    struct rules *rules;
    struct buf out;
    struct err e;
    buf_init(&out, 1 << 16);
    ck_assert_msg(rules_bind_interface(
                      &i,
                      STR("{\"inputs\":[{\"name\":\"age\",\"datatype\":\"FP64\",\"shape\":[-1,1],\"max\":0.5,"
                          "\"mode\":\"warn\"},{\"name\":\"job\",\"datatype\":\"BYTES\",\"any_shape\":true,"
                          "\"categories\":[\"cook\"],\"mode\":\"strict\"},{\"name\":\"kind\",\"datatype\":"
                          "\"INT64\",\"shape\":[-1],\"categories\":[3,1],\"mode\":\"strict\"}],"
                          "\"outputs\":[],\"max_batch_rows\":0}"),
                      &rules, &e) == 0,
                  "%s", e.msg);
    kserve_v2_interface_encode(STR("m"), &version, 1, &i, &out);
    is(&out, "{\"name\":\"m\",\"versions\":[\"1\"],\"platform\":\"onnx_onnxv1\",\"inputs\":["
             "{\"name\":\"age\",\"datatype\":\"FP64\",\"shape\":[-1,1],"
             "\"parameters\":{\"mode\":\"warn\",\"missing\":true,\"max\":0.5}},"
             "{\"name\":\"job\",\"datatype\":\"BYTES\",\"shape\":[-1],"
             "\"parameters\":{\"mode\":\"strict\",\"missing\":false,\"categories\":\"[\\\"cook\\\"]\"}},"
             "{\"name\":\"kind\",\"datatype\":\"INT64\",\"shape\":[-1],"
             "\"parameters\":{\"mode\":\"strict\",\"missing\":false,\"categories\":\"[1,3]\"}}],"
             "\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[-1]}]}");
    rules_free(rules);
    buf_done(&out);
}
END_TEST

START_TEST(errors_have_path_and_hint_only_where_there_are_any)
{
    struct buf out;
    struct err e;
    buf_init(&out, 1 << 16);
    err_set(&e, ERR_UNKNOWN_FEATURE, "no feature 'a\"'");
    api_error_encode(&e, STR(""), &out);
    is(&out, "{\"error\":\"no feature 'a\\\"'\",\"code\":\"unknown_feature\"}");
    err_at(&e, "$.instances[0][\"a\\\"\"]");
    err_hint(&e, "Did you mean 'b'?");
    api_error_encode(&e, STR("r1"), &out);
    is(&out, "{\"error\":\"no feature "
             "'a\\\"'\",\"code\":\"unknown_feature\",\"path\":\"$.instances[0][\\\"a\\\\\\\"\\\"]\","
             "\"hint\":\"Did you mean 'b'?\",\"request_id\":\"r1\"}");
    buf_done(&out);
}
END_TEST

UNIT_MAIN("api/metadata", v1_lists_models_and_merges_both_status_shapes, v2_metadata_agrees_with_the_tensors,
          v2_metadata_of_tensors_has_classes_and_optional_inputs,
          v2_metadata_says_what_may_stand_in_the_inputs, v2_metadata_of_tensors_says_what_may_stand_in_them,
          errors_have_path_and_hint_only_where_there_are_any)
