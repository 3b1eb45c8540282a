// SPDX-License-Identifier: Apache-2.0
// A small sound forest, and each way to break it: forest_check must name the fault.
#include "engine/trees/forest.h"

#include "base/limits.h"

#include "unit.h"

#include <math.h>
#include <string.h>

enum { N_NODES = 8, N_LEAVES = 5 };

// Two trees: one with a numerical and a categorical split, one stump.
struct fixture {
    struct forest f;
    struct feature features[3];
    struct forest_tree trees[2];
    struct forest_node nodes[N_NODES];
    double leaves[N_LEAVES], base[1], linear_weights[4];
    uint32_t words[1];
};

static struct forest_node split(int32_t left, int32_t right, uint32_t feature, double threshold)
{
    return (struct forest_node){
        .left = left, .right = right, .feature = feature, .threshold = threshold, .missing = MISSING_NAN};
}

static struct forest_node leaf(uint32_t i)
{
    return (struct forest_node){.left = -1, .right = -1, .leaf = i, .missing = MISSING_NAN};
}

static void fixture_init(struct fixture *x, enum forest_family family)
{
    memset(x, 0, sizeof *x);
    for (int i = 0; i < 3; i++)
        x->features[i].name = (struct str){&"abc"[i], 1};
    x->nodes[0] = split(1, 2, 0, 0.5);
    x->nodes[1] = split(3, 4, 1, 0.0);
    x->nodes[1].categorical = true;
    x->nodes[1].cat_words = 1;
    x->nodes[1].default_left = true;
    x->nodes[2] = leaf(0);
    x->nodes[3] = leaf(1);
    x->nodes[4] = leaf(2);
    x->nodes[5] = split(1, 2, 2, -1.0);
    x->nodes[6] = leaf(3);
    x->nodes[7] = leaf(4);
    x->trees[0] = (struct forest_tree){0, 5, 0, 1.0f};
    x->trees[1] = (struct forest_tree){5, 3, 0, 1.0f};
    x->words[0] = 1u << 2 | 1u << 5;
    for (int i = 0; i < N_LEAVES; i++)
        x->leaves[i] = 1 << i;
    enum dtype t = family == FOREST_XGBOOST ? DTYPE_FP32 : DTYPE_FP64;
    x->f = (struct forest){.family = family,
                           .sig = {.n_features = 3,
                                   .n_outputs = 1,
                                   .input_dtype = t,
                                   .output_dtype = t,
                                   .features = x->features},
                           .n_groups = 1,
                           .leaf_width = 1,
                           .trees = x->trees,
                           .n_trees = 2,
                           .nodes = x->nodes,
                           .n_nodes = N_NODES,
                           .leaf_values = x->leaves,
                           .n_leaves = N_LEAVES,
                           .cat_words = x->words,
                           .n_cat_words = 1,
                           .base = x->base,
                           .transform_param = 1.0};
}

static int check(const struct fixture *x, struct err *e)
{
    struct arena a;
    ck_assert_int_eq(arena_init(&a, 1 << 20, e), 0);
    memset(e, 0, sizeof *e);
    int rc = forest_check(&x->f, &a, e);
    arena_done(&a);
    return rc;
}

START_TEST(a_sound_forest_passes)
{
    struct fixture x;
    struct err e;
    fixture_init(&x, FOREST_XGBOOST);
    ck_assert_msg(check(&x, &e) == 0, "%s", e.msg);
    x.nodes[0].threshold = (double)INFINITY;
    ck_assert_msg(check(&x, &e) == 0, "%s", e.msg);
    fixture_init(&x, FOREST_LIGHTGBM);
    x.nodes[0].threshold = 0.1; // not a float32
    x.nodes[0].missing = MISSING_ZERO;
    ck_assert_msg(check(&x, &e) == 0, "%s", e.msg);
}
END_TEST

#define BREAK(fault, what)                                                                                   \
    do {                                                                                                     \
        struct fixture x;                                                                                    \
        struct err e;                                                                                        \
        fixture_init(&x, FOREST_XGBOOST);                                                                    \
        fault;                                                                                               \
        ck_assert_msg(check(&x, &e) == ERR_BAD_MODEL, "accepted: %s", #fault);                               \
        ck_assert_msg(strstr(e.msg, what), "%s gave: %s", #fault, e.msg);                                    \
    } while (0)

START_TEST(each_fault_is_refused_and_named)
{
    BREAK(x.f.family = 2, "family");
    BREAK(x.f.transform = TRANSFORM_LIMIT, "transform");
    BREAK(x.f.n_groups = 0, "0 outputs per row");
    BREAK(x.f.n_groups = LIMIT_MODEL_OUTPUTS + 1, "outputs per row");
    BREAK(x.f.leaf_width = 2, "leaves of 2 values");
    BREAK(x.f.n_trees = LIMIT_TREES + 1, "trees; at most");
    BREAK(x.f.n_nodes = LIMIT_NODES + 1, "nodes; at most");
    BREAK(x.f.trees = NULL, "array");
    BREAK(x.f.nodes = NULL, "array");
    BREAK(x.f.leaf_values = NULL, "array");
    BREAK(x.f.cat_words = NULL, "array");
    BREAK(x.f.base = NULL, "array");
    BREAK(x.f.average = true, "average");
    BREAK(x.f.linear_weights = x.linear_weights, "linear model has no trees");
    BREAK(x.f.sig.n_features = 0, "0 features");
    BREAK(x.f.sig.n_features = LIMIT_MODEL_FEATURES + 1, "features; 1 to");
    BREAK(x.f.sig.features = NULL, "no features");
    BREAK(x.features[1].name.n = 0, "feature 1 has an empty name");
    BREAK(x.f.sig.input_dtype = DTYPE_FP64, "datatype");
    BREAK(x.f.sig.n_outputs = 2, "2 outputs declared, 1 computed");
    BREAK(x.f.transform_param = (double)NAN, "not finite");
    BREAK(x.base[0] = (double)INFINITY, "base score 0");
    BREAK(x.base[0] = 0.1, "base score 0");
    BREAK(x.leaves[3] = (double)NAN, "leaf 3 is not a finite");
    BREAK(x.leaves[4] = 0.1, "leaf 4");
    BREAK(x.trees[1].first_node = 4, "tree 1: its nodes");
    BREAK(x.trees[0].n_nodes = 0, "tree 0: its nodes");
    BREAK(x.trees[1].n_nodes = 4, "tree 1: its nodes");
    BREAK(x.f.n_trees = 1, "3 nodes belong to no tree");
    BREAK(x.trees[1].group = 1, "adds to output 1 of 1");
    BREAK(x.trees[1].weight = INFINITY, "tree 1: its weight");
    BREAK(x.nodes[3].leaf = N_LEAVES, "tree 0, node 3: its leaf value");
    BREAK(x.nodes[0].right = 5, "tree 0, node 0: a child lies outside");
    BREAK(x.nodes[0].left = -1, "tree 0, node 0: a child lies outside");
    BREAK(x.nodes[0].left = -2, "tree 0, node 0: a child lies outside");
    BREAK(x.nodes[5].feature = 3, "tree 1, node 0: splits on feature 3 of 3");
    BREAK(x.nodes[0].missing = MISSING_ZERO, "missing values");
    BREAK(x.nodes[1].cat_words = 2, "tree 0, node 1: its category set");
    BREAK(x.nodes[1].cat_first = UINT32_MAX, "tree 0, node 1: its category set");
    BREAK(x.nodes[5].threshold = (double)NAN, "tree 1, node 0: the threshold is not a number");
    BREAK(x.nodes[0].threshold = 0.1, "not a float32");
    BREAK(x.nodes[1].left = 0, "tree 0, node 0: two ways");
    BREAK(x.nodes[1].right = 3, "tree 0, node 3: two ways");
    BREAK(x.nodes[1].left = 1, "tree 0, node 1: two ways");
    BREAK(x.nodes[1] = leaf(0), "tree 0, node 3: no way leads here");
}
END_TEST

START_TEST(linear_leaves_stay_inside_their_table)
{
    static uint32_t features[2] = {0, 2};
    static double coefs[2] = {1.0, 2.0};
    struct forest_linear linear[N_LEAVES] = {[1] = {.constant = 1.0, .first = 0, .n = 2}};
    struct fixture x;
    struct err e;
    fixture_init(&x, FOREST_LIGHTGBM);
    x.f.linear = linear;
    x.f.linear_features = features;
    x.f.linear_coefs = coefs;
    x.f.n_linear_terms = 2;
    ck_assert_msg(check(&x, &e) == 0, "%s", e.msg);
    linear[1].first = UINT32_MAX;
    ck_assert_int_eq(check(&x, &e), ERR_BAD_MODEL);
    linear[1].first = 1;
    ck_assert_int_eq(check(&x, &e), ERR_BAD_MODEL);
    linear[1].first = 0;
    linear[2].constant = (double)NAN;
    ck_assert_int_eq(check(&x, &e), ERR_BAD_MODEL);
    linear[2].constant = 0;
    features[1] = 3;
    ck_assert_int_eq(check(&x, &e), ERR_BAD_MODEL);
    features[1] = 2;
    coefs[0] = (double)NAN;
    ck_assert_int_eq(check(&x, &e), ERR_BAD_MODEL);
}
END_TEST

// A chain: each left child is the next split, each right child a leaf.
static int check_chain(uint32_t depth, struct err *e)
{
    struct fixture x;
    fixture_init(&x, FOREST_XGBOOST);
    struct forest_node *nodes = calloc(2 * depth + 1, sizeof *nodes);
    for (uint32_t i = 0; i < depth; i++) {
        nodes[2 * i] = split((int32_t)(2 * i + 2), (int32_t)(2 * i + 1), 0, 0.0);
        nodes[2 * i + 1] = leaf(0);
    }
    nodes[2 * depth] = leaf(1);
    x.trees[0] = (struct forest_tree){0, 2 * depth + 1, 0, 1.0f};
    x.f.nodes = nodes;
    x.f.n_nodes = 2 * depth + 1;
    x.f.n_trees = 1;
    int rc = check(&x, e);
    free(nodes);
    return rc;
}

START_TEST(depth_is_limited)
{
    struct err e;
    ck_assert_msg(check_chain(LIMIT_TREE_DEPTH, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(check_chain(LIMIT_TREE_DEPTH + 1, &e), ERR_BAD_MODEL);
    ck_assert_ptr_nonnull(strstr(e.msg, "tree 0 is deeper than"));
}
END_TEST

static float xgboost(const struct fixture *x, float a, float b, float c)
{
    float out, row[3] = {a, b, c};
    forest_reference_margin(&x->f, row, &out);
    return out;
}

START_TEST(xgboost_compares_below_and_sends_unknown_categories_left)
{
    struct fixture x;
    fixture_init(&x, FOREST_XGBOOST);
    x.base[0] = 0.25;
    ck_assert_float_eq(xgboost(&x, 0.5f, 0, 0), 0.25f + 1 + 16);    // equal goes right
    ck_assert_float_eq(xgboost(&x, 0, 0, -2), 0.25f + 2 + 8);       // not in the set: left
    ck_assert_float_eq(xgboost(&x, 0, 2, -2), 0.25f + 4 + 8);       // in the set: right
    ck_assert_float_eq(xgboost(&x, 0, 5.9f, -2), 0.25f + 4 + 8);    // truncated
    ck_assert_float_eq(xgboost(&x, 0, 37, -2), 0.25f + 2 + 8);      // past the set
    ck_assert_float_eq(xgboost(&x, 0, -0.5f, -2), 0.25f + 2 + 8);   // negative
    ck_assert_float_eq(xgboost(&x, 0, 3e38f, -2), 0.25f + 2 + 8);   // no integer
    ck_assert_float_eq(xgboost(&x, 0, NAN, -2), 0.25f + 2 + 8);     // default left
    ck_assert_float_eq(xgboost(&x, NAN, NAN, NAN), 0.25f + 1 + 16); // default right
    x.trees[1].weight = 0.5f;
    ck_assert_float_eq(xgboost(&x, NAN, NAN, NAN), 0.25f + 1 + 8);
}
END_TEST

START_TEST(xgboost_linear_leaves_missing_values_out)
{
    struct fixture x;
    fixture_init(&x, FOREST_XGBOOST);
    x.f.n_trees = x.f.n_nodes = 0;
    x.f.linear_weights = x.linear_weights;
    memcpy(x.linear_weights, (double[]){1, 10, 100, 0.5}, sizeof x.linear_weights);
    x.base[0] = 0.25;
    struct err e;
    ck_assert_msg(check(&x, &e) == 0, "%s", e.msg);
    ck_assert_float_eq(xgboost(&x, 1, NAN, 2), 201.75f);
    x.linear_weights[3] = (double)NAN;
    ck_assert_int_eq(check(&x, &e), ERR_BAD_MODEL);
}
END_TEST

static double lightgbm(const struct fixture *x, double a, double b, double c)
{
    double out, row[3] = {a, b, c};
    forest_reference_margin(&x->f, row, &out);
    return out;
}

START_TEST(lightgbm_compares_up_to_and_follows_the_missing_type)
{
    struct fixture x;
    const double nan = (double)NAN;
    fixture_init(&x, FOREST_LIGHTGBM);
    ck_assert_double_eq(lightgbm(&x, 0.5, 2, -1), 2 + 8); // equal goes left; in the set: left
    ck_assert_double_eq(lightgbm(&x, 0.5, 3, -1), 4 + 8);
    ck_assert_double_eq(lightgbm(&x, 0.5, nan, -1), 4 + 8);
    ck_assert_double_eq(lightgbm(&x, 0.5, -1, -1), 4 + 8);
    ck_assert_double_eq(lightgbm(&x, 0.5, 1e300, -1), 4 + 8);
    x.words[0] = 1;
    ck_assert_double_eq(lightgbm(&x, 0.5, -0.9, -1), 2 + 8); // truncates to category 0
    ck_assert_double_eq(lightgbm(&x, nan, 1, -1), 1 + 8);    // MISSING_NAN, default right
    x.nodes[0].missing = MISSING_NONE;
    ck_assert_double_eq(lightgbm(&x, nan, 1, -1), 4 + 8); // NaN is 0.0
    x.nodes[0].missing = MISSING_ZERO;
    ck_assert_double_eq(lightgbm(&x, 1e-36, 1, -1), 1 + 8); // zero is missing
    x.nodes[0].default_left = true;
    ck_assert_double_eq(lightgbm(&x, nan, 1, -1), 4 + 8);
    x.f.average = true;
    ck_assert_double_eq(lightgbm(&x, nan, 1, -1), (4 + 8) / 2.0);
}
END_TEST

START_TEST(transforms_are_those_of_the_library)
{
    struct fixture x;
    float in[3] = {1.0f, 3.0f, 3.0f}, out[3];
    fixture_init(&x, FOREST_XGBOOST);
    x.f.n_groups = 3;
    x.f.transform = TRANSFORM_ARGMAX;
    forest_transform(&x.f, in, out);
    ck_assert_float_eq(out[0], 1.0f); // the first of equals
    x.f.transform = TRANSFORM_SOFTMAX;
    forest_transform(&x.f, in, out);
    ck_assert_float_eq_tol(out[0] + out[1] + out[2], 1.0f, 1e-6f);
    ck_assert_float_eq_tol(out[1] / out[0], expf(2.0f), 1e-4f);
    x.f.transform = TRANSFORM_HINGE;
    forest_transform(&x.f, (float[]){0.0f, -1.0f, 0.1f}, out);
    ck_assert(out[0] == 0.0f && out[1] == 0.0f && out[2] == 1.0f);
    x.f.transform = TRANSFORM_SIGMOID;
    forest_transform(&x.f, (float[]){0.0f, -1000.0f, 1000.0f}, out);
    ck_assert(out[0] == 0.5f && out[1] > 0.0f && out[1] < 1e-37f && out[2] == 1.0f);
    x.f.transform = TRANSFORM_EXPECTILE;
    forest_transform(&x.f, (float[]){-2.0f, 0.0f, -100.0f}, out);
    ck_assert_float_eq(out[0], -2.0f);
    ck_assert_float_eq_tol(out[1], -2.0f + 0.693148f, 1e-6f);
    ck_assert(out[2] >= out[1]);
    double d[1];
    fixture_init(&x, FOREST_LIGHTGBM);
    x.f.transform = TRANSFORM_SIGNED_SQUARE;
    forest_transform(&x.f, (double[]){-3.0}, d);
    ck_assert_double_eq(d[0], -9.0);
    x.f.transform = TRANSFORM_SIGMOID;
    x.f.transform_param = 2.0;
    forest_transform(&x.f, (double[]){1.0}, d);
    ck_assert_double_eq(d[0], 1.0 / (1.0 + exp(-2.0)));
}
END_TEST

UNIT_MAIN("engine/trees/forest", a_sound_forest_passes, each_fault_is_refused_and_named,
          linear_leaves_stay_inside_their_table, depth_is_limited,
          xgboost_compares_below_and_sends_unknown_categories_left, xgboost_linear_leaves_missing_values_out,
          lightgbm_compares_up_to_and_follows_the_missing_type, transforms_are_those_of_the_library)
