// SPDX-License-Identifier: Apache-2.0
// The engine as others use it: from a model file's bytes to predictions.
#include "engine/engine.h"

#include "unit.h"

#include <math.h>
#include <string.h>

// Two trees of one split each: x0 < 0.5 and x1 < 2, missing to the left and to the right.
static const char MODEL[] =
    "{\"learner\":{\"attributes\":{},\"feature_names\":[],\"feature_types\":[],\"gradient_booster\":{"
    "\"model\":{"
    "\"gbtree_model_param\":{\"num_parallel_tree\":\"1\",\"num_trees\":\"2\"},\"iteration_indptr\":[0,1,2],"
    "\"tree_info\":[0,0],\"trees\":["
    "{\"base_weights\":[0,0,0],\"categories\":[],\"categories_nodes\":[],\"categories_segments\":[],"
    "\"categories_sizes\":[],\"default_left\":[1,0,0],\"id\":0,\"left_children\":[1,-1,-1],"
    "\"loss_changes\":[0,0,0],\"parents\":[2147483647,0,0],\"right_children\":[2,-1,-1],"
    "\"split_conditions\":[0.5,1.0,2.0],\"split_indices\":[0,0,0],\"split_type\":[0,0,0],"
    "\"sum_hessian\":[1,1,1],\"tree_param\":{\"num_deleted\":\"0\",\"num_feature\":\"2\",\"num_nodes\":\"3\","
    "\"size_leaf_vector\":\"1\"}},"
    "{\"base_weights\":[0,0,0],\"categories\":[],\"categories_nodes\":[],\"categories_segments\":[],"
    "\"categories_sizes\":[],\"default_left\":[0,0,0],\"id\":1,\"left_children\":[1,-1,-1],"
    "\"loss_changes\":[0,0,0],\"parents\":[2147483647,0,0],\"right_children\":[2,-1,-1],"
    "\"split_conditions\":[2.0,10.0,20.0],\"split_indices\":[1,0,0],\"split_type\":[0,0,0],"
    "\"sum_hessian\":[1,1,1],\"tree_param\":{\"num_deleted\":\"0\",\"num_feature\":\"2\",\"num_nodes\":\"3\","
    "\"size_leaf_vector\":\"1\"}}]},\"name\":\"gbtree\"},"
    "\"learner_model_param\":{\"base_score\":\"2.5E-1\",\"boost_from_average\":\"1\",\"num_class\":\"0\","
    "\"num_feature\":\"2\",\"num_target\":\"1\"},"
    "\"objective\":{\"name\":\"reg:squarederror\",\"reg_loss_param\":{\"scale_pos_weight\":\"1\"}}},"
    "\"version\":[3,2,0]}";

static struct model *open_model(void **ret_mapped)
{
    struct buf image;
    struct err e = {0};
    struct model *m;
    const char *format = NULL;
    const struct engine *engine = engine_detect((const uint8_t *)MODEL, sizeof MODEL - 1, &format);
    ck_assert_ptr_eq(engine, &engine_trees);
    ck_assert_str_eq(format, "xgboost_json");
    buf_init(&image, 1 << 20);
    ck_assert_msg(engine->compile((const uint8_t *)MODEL, sizeof MODEL - 1, &image, &e) == 0, "%s", e.msg);
    *ret_mapped = aligned_alloc(64, (image.n + 63) / 64 * 64);
    memcpy(*ret_mapped, image.p, image.n);
    ck_assert_msg(engine->open(*ret_mapped, image.n, &m, &e) == 0, "%s", e.msg);
    buf_done(&image);
    return m;
}

START_TEST(a_model_file_becomes_predictions)
{
    void *mapped;
    struct model *m = open_model(&mapped);
    const float rows[5][2] = {{0, 0}, {0.5f, 2}, {NAN, NAN}, {0.4f, 3}, {9, 1}};
    const float want[5] = {11.25f, 22.25f, 21.25f, 21.25f, 12.25f};
    float out[5];
    engine_trees.predict(m, rows, 5, out);
    ck_assert_mem_eq(out, want, sizeof want);
    for (int i = 0; i < 5; i++) {
        engine_trees.predict(m, rows[i], 1, out);
        ck_assert_mem_eq(out, want + i, sizeof *want);
    }
    ck_assert_uint_eq(engine_trees.n_margins(m), 1);
    ck_assert_uint_eq(engine_trees.signature(m)->n_features, 2);
    ck_assert_int_eq(signature_find(engine_trees.signature(m), STR("f1")), 1);
    engine_trees.close(m);
    free(mapped);
}
END_TEST

// Which kernel runs depends on how many rows there are: below one block, in the last block, in whole blocks.
START_TEST(any_number_of_rows_gives_the_same)
{
    enum { N = 200 };
    void *mapped;
    struct model *m = open_model(&mapped);
    static float rows[N][2], want[N], out[N + 1];
    for (int i = 0; i < N; i++) {
        rows[i][0] = i % 7 == 3 ? NAN : (float)(i % 3) / 2;
        rows[i][1] = i % 5 == 2 ? NAN : (float)(i % 4);
        engine_trees.predict(m, rows[i], 1, &want[i]);
    }
    for (uint32_t n = 0; n <= N; n++) {
        memset(out, 0, sizeof out);
        engine_trees.predict(m, rows, n, out);
        ck_assert_msg(memcmp(out, want, n * sizeof *out) == 0 && out[n] == 0, "%u rows", n);
    }
    engine_trees.close(m);
    free(mapped);
}
END_TEST

START_TEST(the_description_names_the_kernels)
{
    void *mapped;
    struct model *m = open_model(&mapped);
    struct buf json;
    buf_init(&json, 4096);
    engine_trees.describe(m, &json);
    buf_putc(&json, 0);
    ck_assert(!json.failed);
    ck_assert_ptr_nonnull(strstr(json.p, "{\"format\":\"xgboost_json\",\"objective\":\"reg:squarederror\","
                                         "\"n_features\":2,\"n_trees\":2,\"n_nodes\":6,\"max_depth\":1,"));
    ck_assert_ptr_nonnull(strstr(json.p, "\"kernel_one\":{\"name\":\""));
    ck_assert_ptr_nonnull(strstr(json.p, "\"kernel_batch\":{\"name\":\""));
    buf_done(&json);
    engine_trees.close(m);
    free(mapped);
}
END_TEST

START_TEST(other_bytes_are_refused)
{
    struct buf image;
    struct err e = {0};
    struct model *m = NULL;
    buf_init(&image, 1 << 20);
    ck_assert_int_eq(engine_trees.compile((const uint8_t *)"hello", 5, &image, &e), ERR_UNSUPPORTED_MODEL);
    static _Alignas(64) char zeros[4096];
    ck_assert_int_eq(engine_trees.open(zeros, sizeof zeros, &m, &e), ERR_BAD_MODEL);
    ck_assert_ptr_null(m);
    engine_trees.close(NULL);
    buf_done(&image);
}
END_TEST

START_TEST(every_way_to_compute_gives_the_same_bits)
{
    void *mapped;
    struct model *m = open_model(&mapped);
    float rows[200][2], want[200], out[200];
    uint32_t n = 0;
    engine_trees.make_rows(m, 1, 200, rows);
    engine_trees.predict(m, rows, 200, want);
    bool spread = false;
    for (int i = 1; i < 200; i++)
        spread |= want[i] != want[0];
    ck_assert(spread); // over the branches
    for (const char *name; (name = engine_trees.predict_by(m, n, rows, 200, out)) != NULL; n++)
        ck_assert_msg(memcmp(out, want, sizeof want) == 0, "%s", name);
    ck_assert_uint_ge(n, 2);
    engine_trees.close(m);
    free(mapped);
}
END_TEST

UNIT_MAIN("engine/trees/trees", any_number_of_rows_gives_the_same, a_model_file_becomes_predictions,
          every_way_to_compute_gives_the_same_bits, the_description_names_the_kernels,
          other_bytes_are_refused)
