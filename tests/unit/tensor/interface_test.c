// SPDX-License-Identifier: Apache-2.0
#include "tensor/interface.h"

#include "base/limits.h"

#include "unit.h"

#include <string.h>

#define X     "{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,4]}"
#define Y     "{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[-1]}"
#define WHOLE "{\"platform\":\"onnx_onnxv1\",\"max_batch_rows\":64,\"inputs\":[" X "],\"outputs\":[" Y "]}"

static int decode(const char *json, struct interface **ret, struct err *e)
{
    size_t n = strlen(json);
    char *exact = malloc(n ? n : 1);
    memcpy(exact, json, n);
    int rc = interface_decode((struct str){exact, n}, ret, e);
    free(exact); // and nothing points into it
    return rc;
}

static void refuses(const char *json, const char *path)
{
    struct interface *i;
    struct err e = {0};
    int rc = decode(json, &i, &e);
    ck_assert_msg(rc == ERR_INVALID, "%s: %d", json, rc);
    ck_assert_ptr_null(i);
    ck_assert_msg(strcmp(e.path, path) == 0, "%s: path %s, %s", json, e.path, e.msg);
    ck_assert_uint_gt(strlen(e.msg), 0);
}

START_TEST(what_was_encoded_is_decoded)
{
    struct str labels[] = {STR("no"), STR(""), STR("\"y\\es\" \xc3\xa9")};
    struct tensor_spec inputs[] = {{.name = STR("age"), .dtype = DTYPE_FP32, .n_dims = 2, .shape = {-1, 1}},
                                   {.name = STR("a \"b\""),
                                    .dtype = DTYPE_BYTES,
                                    .n_dims = 8,
                                    .shape = {-1, 2, 3, 4, 5, 6, 7, 0},
                                    .optional = true},
                                   {.name = STR("s"), .dtype = DTYPE_BOOL, .any_shape = true}};
    struct tensor_spec outputs[] = {{.name = STR("label"), .dtype = DTYPE_INT64, .n_dims = 1, .shape = {-1}},
                                    {.name = STR("age"),
                                     .dtype = DTYPE_FP16,
                                     .n_dims = 2,
                                     .shape = {-1, 3},
                                     .labels = labels,
                                     .n_labels = 3},
                                    {.name = STR("any"), .dtype = DTYPE_UINT8, .any_shape = true}};
    struct interface in = {.platform = "onnx_onnxv1",
                           .n_inputs = 3,
                           .n_outputs = 3,
                           .inputs = inputs,
                           .outputs = outputs,
                           .max_batch_rows = 64},
                     *out;
    struct err e = {0};
    struct buf first, second;
    buf_init(&first, LIMIT_INTERFACE_BYTES);
    buf_init(&second, LIMIT_INTERFACE_BYTES);
    interface_encode(&in, &first);
    buf_putc(&first, 0);
    ck_assert_msg(decode(first.p, &out, &e) == 0, "%s: %s", e.path, e.msg);
    interface_encode(out, &second);
    buf_putc(&second, 0);
    ck_assert_str_eq(first.p, second.p);
    ck_assert_str_eq(out->platform, "onnx_onnxv1");
    ck_assert_uint_eq(out->max_batch_rows, 64);
    ck_assert_uint_eq(out->n_inputs, 3);
    ck_assert_uint_eq(out->n_outputs, 3);
    ck_assert(out->inputs[1].optional && !out->inputs[0].optional && out->inputs[2].any_shape);
    ck_assert_int_eq(out->inputs[1].shape[6], 7);
    ck_assert(str_eq(out->outputs[1].labels[2], labels[2]));
    ck_assert_uint_eq(out->outputs[1].n_labels, 3);
    ck_assert_ptr_null(out->outputs[0].labels);
    ck_assert_int_eq(out->outputs[1].dtype, DTYPE_FP16);
    ck_assert_int_eq(interface_input(out, STR("s")), 2);
    ck_assert_int_eq(interface_input(out, STR("label")), -1);
    ck_assert_int_eq(interface_output(out, STR("age")), 1);
    ck_assert_int_eq(interface_output(out, STR("ag")), -1);
    interface_free(out);
    interface_free(NULL);
    buf_done(&first);
    buf_done(&second);
}
END_TEST

START_TEST(the_json_is_this)
{
    struct interface *i;
    struct err e = {0};
    struct buf out;
    buf_init(&out, 1000);
    ck_assert_msg(decode(WHOLE, &i, &e) == 0, "%s", e.msg);
    interface_encode(i, &out);
    ck_assert(str_eq(buf_str(&out), STR(WHOLE)));
    interface_free(i);
    buf_done(&out);
}
END_TEST

#define SPEC(spec)  "{\"platform\":\"p\",\"max_batch_rows\":0,\"inputs\":[" X "," spec "],\"outputs\":[" Y "]}"
#define OUT(spec)   "{\"platform\":\"p\",\"max_batch_rows\":0,\"inputs\":[" X "],\"outputs\":[" Y "," spec "]}"
#define BATCH(a, b) "{\"platform\":\"p\",\"max_batch_rows\":1,\"inputs\":[" a "],\"outputs\":[" b "]}"

START_TEST(a_broken_document_is_refused)
{
    refuses("", "");
    refuses("{", "");
    refuses(WHOLE " ,", "");
    refuses("[]", "$");
    refuses("{}", "$");
    refuses("{\"platform\":\"p\",\"max_batch_rows\":0,\"inputs\":[],\"outputs\":[],\"more\":1}", "$");
    refuses("{\"platform\":\"p\",\"max_batch_rows\":0,\"inputs\":[],\"outputs\":[],\"inputs\":[]}", "$");
    refuses("{\"platform\":\"p\",\"max_batch_rows\":0,\"inputs\":[]}", "$");
    refuses("{\"platform\":\"\",\"max_batch_rows\":0,\"inputs\":[],\"outputs\":[]}", "$");
    refuses("{\"platform\":\"a\\u0000b\",\"max_batch_rows\":0,\"inputs\":[],\"outputs\":[]}", "$");
    refuses("{\"platform\":1,\"max_batch_rows\":0,\"inputs\":[],\"outputs\":[]}", "$");
    refuses("{\"platform\":\"p\",\"max_batch_rows\":-1,\"inputs\":[],\"outputs\":[]}", "$");
    refuses("{\"platform\":\"p\",\"max_batch_rows\":4294967296,\"inputs\":[],\"outputs\":[]}", "$");
    refuses("{\"platform\":\"p\",\"max_batch_rows\":1,\"inputs\":[],\"outputs\":[]}", "$");
    refuses("{\"platform\":\"p\",\"max_batch_rows\":0,\"inputs\":{},\"outputs\":[]}", "$.inputs");
    refuses("{\"platform\":\"p\",\"max_batch_rows\":0,\"inputs\":[],\"outputs\":null}", "$.outputs");
}
END_TEST

START_TEST(a_broken_tensor_is_refused)
{
    refuses(SPEC("1"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"FP32\"}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"shape\":[]}"), "$.inputs[1]");
    refuses(SPEC("{\"datatype\":\"FP32\",\"shape\":[]}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"\",\"datatype\":\"FP32\",\"shape\":[]}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"a\\u0000\",\"datatype\":\"FP32\",\"shape\":[]}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"fp32\",\"shape\":[]}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"NONE\",\"shape\":[]}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":7,\"shape\":[]}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":4}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[1,1,1,1,1,1,1,1,1]}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[-2]}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[1.5]}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[4294967296]}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[4294967295,4294967295]}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[],\"any_shape\":true}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"FP32\",\"any_shape\":false}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[],\"optional\":1}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[],\"shape\":[]}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[],\"size\":1}"), "$.inputs[1]");
    refuses(SPEC("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[],\"labels\":[\"a\"]}"), "$.inputs[1]");
    refuses(SPEC(X), "$.inputs");
    refuses(OUT("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[],\"optional\":true}"), "$.outputs[1]");
    refuses(OUT("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[],\"labels\":[]}"), "$.outputs[1]");
    refuses(OUT("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[],\"labels\":\"a\"}"), "$.outputs[1]");
    refuses(OUT("{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[],\"labels\":[1]}"), "$.outputs[1]");
    refuses(BATCH("{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[]}", Y), "$.inputs[0]");
    refuses(BATCH("{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,4]}", Y), "$.inputs[0]");
    refuses(BATCH(X, "{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[]}"), "$.outputs[0]");
}
END_TEST

START_TEST(there_are_at_most_64_inputs)
{
    struct buf json;
    buf_init(&json, 1 << 20);
    for (int n = TENSORS_MAX; n <= TENSORS_MAX + 1; n++) {
        struct interface *i;
        struct err e = {0};
        buf_clear(&json);
        buf_puts(&json, "{\"platform\":\"p\",\"max_batch_rows\":0,\"outputs\":[],\"inputs\":[");
        for (int k = 0; k < n; k++)
            buf_printf(&json, "%s{\"name\":\"x%d\",\"datatype\":\"FP32\",\"shape\":[]}", k ? "," : "", k);
        buf_puts(&json, "]}");
        ck_assert_int_eq(interface_decode(buf_str(&json), &i, &e), n == TENSORS_MAX ? 0 : ERR_INVALID);
        interface_free(i);
    }
    buf_done(&json);
}
END_TEST

UNIT_MAIN("tensor/interface", what_was_encoded_is_decoded, the_json_is_this, a_broken_document_is_refused,
          a_broken_tensor_is_refused, there_are_at_most_64_inputs)
