// SPDX-License-Identifier: Apache-2.0
#include "api/request_path.h"

#include "unit.h"

static struct arena arena;
static struct schema schema;

static void read_schema(const char *json)
{
    struct err e;
    ck_assert_int_eq(arena_init(&arena, 64 << 20, &e), 0);
    ck_assert_msg(schema_read(str_of(json), false, "$", &arena, &schema, &e) == 0, "%s", e.msg);
}

static void expect(bool possible, const char *const *paths)
{
    for (; *paths; paths++)
        ck_assert_msg(request_path_is_possible(&schema, str_of(*paths)) == possible, "%s", *paths);
}

static void expect_example(const char *wanted)
{
    char got[160];
    request_path_example(&schema, got, sizeof got);
    ck_assert_str_eq(got, wanted);
}

static const char TABLE[] = "{\"inputs\":[{\"name\":\"user_id\",\"datatype\":\"FP32\"},{\"name\":\"age\","
                            "\"datatype\":\"FP32\"}],\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\","
                            "\"shape\":[-1]}],\"named\":true}";
static const char TENSORS[] =
    "{\"platform\":\"onnx\",\"max_batch_rows\":64,\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\","
    "\"shape\":[-1,3]},{\"name\":\"who\",\"datatype\":\"BYTES\",\"shape\":[-1,1]}],"
    "\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[-1,3]}]}";

START_TEST(values_of_rows_and_columns_are_keys)
{
    static const char *const POSSIBLE[] = {"$.instances[0].user_id",
                                           "$.instances[12][1]",
                                           "$.inputs[0].age",
                                           "$.inputs[0][0]",
                                           "$.inputs.age[3]",
                                           "$.inputs[0].data[7]",
                                           "$.inputs[0].data[7][1]",
                                           "$.inputs[1].name",
                                           "$.inputs[0].shape[1]",
                                           "$.inputs[0].parameters.content_type",
                                           "$.outputs[0].name",
                                           "$.id",
                                           NULL};
    static const char *const NEVER[] = {
        "$.user_id",
        "$.instances",
        "$.instances[0]",
        "$.instances.user_id",
        "$.instances[0].userid",
        "$.instances[0][2]",
        "$.instances[0].user_id.x",
        "$.instances[0].user_id[0]",
        "$.inputs.user_id",
        "$.inputs.nobody[0]",
        "$.inputs[0].data",
        "$.inputs[0].data.user_id",
        "$.inputs[0].parameters.user_id",
        "$.parameters.user_id",
        "$.outputs[0].datatype",
        "$.id[0]",
        "$.id.x",
        "$[0]",
        "$.",
        "user_id",
        "$.instances[0].user_id[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]",
        NULL};
    read_schema(TABLE);
    expect(true, POSSIBLE);
    expect(false, NEVER);
    expect_example("$.instances[0].user_id");
    arena_done(&arena);
}
END_TEST

START_TEST(values_within_tensors_are_keys)
{
    static const char *const POSSIBLE[] = {"$.instances[4].x[2]",
                                           "$.instances[4].who[0]",
                                           "$.instances[4].who",
                                           "$.instances[4].who.b64",
                                           "$.inputs.x[900][2]",
                                           "$.inputs.who[0][0].b64",
                                           "$.inputs[1].data[0]",
                                           "$.inputs[1].data[0][0]",
                                           "$.inputs[1].datatype",
                                           "$.id",
                                           NULL};
    static const char *const NEVER[] = {"$.instances[4].x[3]",
                                        "$.instances[4].x",
                                        "$.instances[4][0]",
                                        "$.instances[4].y[0]",
                                        "$.instances[4].x.b64",
                                        "$.inputs.x[0]",
                                        "$.inputs.x[0][0][0]",
                                        "$.who",
                                        NULL};
    read_schema(TENSORS);
    expect(true, POSSIBLE);
    expect(false, NEVER);
    expect_example("$.instances[0].x[0]");
    arena_done(&arena);
}
END_TEST

START_TEST(with_one_input_rows_need_no_names)
{
    static const char *const POSSIBLE[] = {"$.instances[0]", "$.inputs[0]", NULL};
    static const char *const ROWS[] = {"$.instances[0][2]", "$.inputs[0][2]", NULL}, *const NEVER[] = {
                                                                                         "$.instances[0][3]",
                                                                                         "$.instances[0]",
                                                                                         NULL};
    read_schema("{\"inputs\":[{\"name\":\"a.b\",\"datatype\":\"FP32\"}],\"outputs\":[{\"name\":\"y\","
                "\"datatype\":\"FP32\",\"shape\":[-1]}],\"named\":true}");
    expect(true, POSSIBLE);
    expect_example("$.inputs[0].data[0]"); // a path cannot name this column
    arena_done(&arena);
    read_schema("{\"platform\":\"onnx\",\"max_batch_rows\":64,\"inputs\":[{\"name\":\"x\",\"datatype\":"
                "\"FP32\",\"shape\":[-1,3]}],\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\","
                "\"shape\":[-1,3]}]}");
    expect(true, ROWS);
    expect(false, NEVER);
    arena_done(&arena);
}
END_TEST

UNIT_MAIN("api/request_path", values_of_rows_and_columns_are_keys, values_within_tensors_are_keys,
          with_one_input_rows_need_no_names)
