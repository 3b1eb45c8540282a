// SPDX-License-Identifier: Apache-2.0
#include "codec.h"

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
    struct api_version versions[] = {{STR("3"), NULL, true}, {STR("4"), NULL, false}};
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
        {STR("3"), &c.sig, true}, {STR("4"), &c.sig, false}, {STR("5"), &c.sig, true}};
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
          errors_have_path_and_hint_only_where_there_are_any)
