// SPDX-License-Identifier: Apache-2.0
// Broken XGBoost models: each is a sound one with one thing changed, and must be refused with a message that
// says what is wrong. Then every prefix of it and many random changes, which may be accepted but must never
// do harm (run this under the sanitizers).
#include "engine/trees/forest.h"
#include "engine/trees/xgboost.h"

#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// A categorical split (node 1), a numerical one, a stump; early stopped at the last iteration.
static const char GOOD[] =
    "{\"learner\":{\"attributes\":{\"best_iteration\":\"1\"},\"feature_names\":[\"age\",\"kind\"],"
    "\"feature_types\":[\"float\",\"c\"],\"gradient_booster\":{\"model\":{\"gbtree_model_param\":"
    "{\"num_parallel_tree\":\"1\",\"num_trees\":\"2\"},\"iteration_indptr\":[0,1,2],\"tree_info\":[0,0],"
    "\"trees\":[{"
    "\"categories\":[2,40],\"categories_nodes\":[1],\"categories_segments\":[0],\"categories_sizes\":[2],"
    "\"default_left\":[1,0,0,0,0],\"id\":0,\"left_children\":[1,3,-1,-1,-1],\"parents\":[2147483647,0,0,1,1],"
    "\"right_children\":[2,4,-1,-1,-1],\"split_conditions\":[5E-1,NaN,1E0,2E0,4E0],\"split_indices\":[0,1,0,"
    "0,0],"
    "\"split_type\":[0,1,0,0,0],\"tree_param\":{\"num_deleted\":\"0\",\"num_feature\":\"2\",\"num_nodes\":"
    "\"5\","
    "\"size_leaf_vector\":\"1\"}},{"
    "\"default_left\":[0,0,0],\"id\":1,\"left_children\":[1,-1,-1],\"parents\":[2147483647,0,0],"
    "\"right_children\":[2,-1,-1],\"split_conditions\":[-1.5E0,8E0,1.6E1],\"split_indices\":[0,0,0],"
    "\"tree_param\":{\"num_nodes\":\"3\",\"size_leaf_vector\":\"0\"}}]},\"name\":\"gbtree\"},"
    "\"learner_model_param\":{\"base_score\":\"[5E-1]\",\"num_class\":\"0\",\"num_feature\":\"2\","
    "\"num_target\":\"1\"},\"objective\":{\"name\":\"binary:logistic\"}},\"version\":[3,2,0]}";

enum { BAD = ERR_BAD_MODEL, UNSUPPORTED = ERR_UNSUPPORTED_MODEL };

static const struct broken {
    const char *from, *to; // the first occurrence of `from` in the model becomes `to`
    int code;
    const char *says; // part of the message
} BROKEN[] = {
    // the document
    {"{\"learner\"", "[\"learner\"", BAD, "not JSON"},
    {"[3,2,0]}", "[3,2,0]", BAD, "not JSON"},
    {"[3,2,0]}", "[3,2,0]}}", BAD, "not JSON"},
    {"{\"learner\":{", "{\"lerner\":{", BAD, "'learner' is absent"},
    {"\"version\"", "\"learner\"", BAD, "'learner' stands twice"},
    {"\"version\":[3,2,0]", "\"x\":0", BAD, "'version' is absent"},
    {"[3,2,0]", "\"3.2\"", BAD, "'version' is a string, not a list"},
    {"[3,2,0]", "[3,2]", BAD, "'version' has 2 values instead of 3"},
    {"[3,2,0]", "[3,-2,0]", BAD, "'version' says 3.-2.0"},
    {"[3,2,0]", "[0,90,0]", UNSUPPORTED, "saved by XGBoost 0.90.0"},
    {"[3,2,0]", "[4,0,1]", UNSUPPORTED, "saved by XGBoost 4.0.1"},
    // sizes, names, base score, objective
    {"\"num_feature\":\"2\",\"num_target\"", "\"num_feature\":\"0\",\"num_target\"", BAD,
     "'num_feature' is 0"},
    {"\"num_feature\":\"2\",\"num_target\"", "\"num_feature\":\"100001\",\"num_target\"", BAD,
     "'num_feature' is '100001'"},
    {"\"num_feature\":\"2\",\"num_target\"", "\"num_feature\":\"-2\",\"num_target\"", BAD,
     "'num_feature' is '-2'"},
    {"\"num_feature\":\"2\",\"num_target\"", "\"num_feature\":\"3\",\"num_target\"", BAD,
     "'feature_names' is not a list of 3"},
    {"\"num_class\":\"0\"", "\"num_class\":0", BAD, "'num_class' is a number, not a string"},
    {"\"num_class\":\"0\"", "\"num_class\":\"4097\"", BAD, "'num_class' is '4097'"},
    {"\"num_class\":\"0\",\"num_feature\":\"2\",\"num_target\":\"1\"",
     "\"num_class\":\"3\",\"num_feature\":\"2\",\"num_target\":\"2\"", UNSUPPORTED, "2 targets of 3 classes"},
    {"[\"age\",\"kind\"]", "[\"age\"]", BAD, "'feature_names' is not a list of 2"},
    {"[\"age\",\"kind\"]", "[\"age\",7]", BAD, "feature name 1 is not a string"},
    {"[\"age\",\"kind\"]", "[\"age\",\"\"]", BAD, "feature name 1"},
    {"[\"age\",\"kind\"]", "[\"age\",\"age\"]", BAD, "two features are named 'age'"},
    {"[\"float\",\"c\"]", "[\"float\",null]", BAD, "feature type 1"},
    {"\"[5E-1]\"", "\"\"", BAD, "base_score '' is not a number"},
    {"\"[5E-1]\"", "\"[\"", BAD, "unfinished list"},
    {"\"[5E-1]\"", "\"[5E-1,\"", BAD, "unfinished list"},
    {"\"[5E-1]\"", "\"[5E-1,5E-1]\"", BAD, "more than 1 values"},
    {"\"[5E-1]\"", "\"0x1p-1\"", BAD, "base_score '0x1p-1'"},
    {"\"[5E-1]\"", "\"[2E0]\"", BAD, "base_score 2 of binary:logistic is not between 0 and 1"},
    {"\"[5E-1]\"", "\"NaN\"", BAD, "base_score"},
    {"binary:logistic", "my:objective", UNSUPPORTED, "objective 'my:objective' is not supported"},
    {"{\"name\":\"binary:logistic\"}", "{}", BAD, "'name' is absent"},
    // the booster
    {"\"name\":\"gbtree\"", "\"name\":\"gbforest\"", UNSUPPORTED, "booster 'gbforest' is not supported"},
    {"\"name\":\"gbtree\"", "\"name\":\"dart\"", BAD, "'weight_drop' is absent"},
    {"\"tree_info\"", "\"weight_drop\":[1],\"tree_info\"", BAD, "'weight_drop' has 1 values instead of 2"},
    {"\"tree_info\"", "\"weight_drop\":[1,NaN],\"tree_info\"", BAD, "tree 1: its weight"},
    {"\"name\":\"gbtree\"", "\"name\":\"gblinear\"", BAD, "'weights' is absent"},
    {"\"num_trees\":\"2\"", "\"num_trees\":\"3\"", BAD, "'trees' has 2 items, 'num_trees' is 3"},
    {"\"num_trees\":\"2\"", "\"num_trees\":\"2000000\"", BAD, "'num_trees' is '2000000'"},
    {"\"tree_info\":[0,0]", "\"tree_info\":[0]", BAD, "'tree_info' has 1 values instead of 2"},
    {"\"tree_info\":[0,0]", "\"tree_info\":[0,1]", BAD, "tree 1 adds to output 1 of 1"},
    {"\"tree_info\":[0,0]", "\"tree_info\":[-1,0]", BAD, "tree 0 adds to output -1 of 1"},
    {"\"best_iteration\":\"1\"", "\"best_iteration\":\"2\"", BAD, "'best_iteration' is 2, but"},
    {"\"best_iteration\":\"1\"", "\"best_iteration\":\"x\"", BAD, "'best_iteration' is 'x'"},
    {"[0,1,2]", "[0,2,1]", BAD, "'iteration_indptr': value 2 is out of order"},
    {"[0,1,2]", "[0,1,3]", BAD, "'iteration_indptr': value 2 is out of order"},
    // trees
    {"\"trees\":[{", "\"trees\":[7,{", BAD, "'trees' has 3 items"},
    {"\"id\":1", "\"id\":0", BAD, "tree 1: its 'id'"},
    {"\"num_nodes\":\"5\"", "\"num_nodes\":\"4\"", BAD, "tree 0: 'left_children' has 5 values instead of 4"},
    {"\"num_nodes\":\"3\"", "\"num_nodes\":\"0\"", BAD, "tree 1: 'left_children' has 3 values"},
    {"\"num_deleted\":\"0\"", "\"num_deleted\":\"5\"", BAD, "tree 0: 5 of 5 nodes deleted"},
    {"\"num_deleted\":\"0\"", "\"num_deleted\":\"1\"", BAD,
     "tree 0: 0 nodes are marked as deleted, 1 are declared"},
    {"\"size_leaf_vector\":\"0\"", "\"size_leaf_vector\":\"2\"", BAD,
     "tree 1: leaves of 2 values after leaves of 1"},
    {"[1,3,-1,-1,-1]", "[1,5,-1,-1,-1]", BAD, "tree 0: node 1: a child lies outside"},
    {"[1,3,-1,-1,-1]", "[1,-7,-1,-1,-1]", BAD, "tree 0: node 1: a child lies outside"},
    {"[1,3,-1,-1,-1]", "[1,3,-1,-1]", BAD, "tree 0: 'left_children' has 4 values"},
    {"[1,3,-1,-1,-1]", "[1,3.5,-1,-1,-1]", BAD, "'left_children': value 1 is not a 32-bit integer"},
    {"[1,3,-1,-1,-1]", "[1,99999999999,-1,-1,-1]", BAD, "'left_children': value 1 is not a 32-bit integer"},
    {"[1,3,-1,-1,-1]", "[1,3,0,-1,-1]", BAD, "tree 0: node 0: its parent is another node"},
    {"[2,4,-1,-1,-1]", "[2,0,-1,-1,-1]", BAD, "tree 0: node 0: its parent is another node"},
    {"[2,4,-1,-1,-1]", "[2,3,-1,-1,-1]", BAD, "two ways lead here"},
    {"[2147483647,0,0,1,1]", "[2147483647,0,0,1,0]", BAD, "tree 0: node 4: its parent is another node"},
    {
        "[1,3,-1,-1,-1]",
        "[-1,3,-1,-1,-1]",
        BAD,
        "tree 0: node 4: one leaf more",
    },
    {"\"split_indices\":[0,1,0,0,0]", "\"split_indices\":[0,2,0,0,0]", BAD,
     "tree 0: node 1: splits on feature 2 of 2"},
    {"\"split_indices\":[0,1,0,0,0]", "\"split_indices\":[-1,1,0,0,0]", BAD,
     "tree 0: node 0: splits on feature -1"},
    {"\"default_left\":[1,0,0,0,0]", "\"default_left\":[2,0,0,0,0]", BAD,
     "tree 0: node 0: 'default_left' is 2"},
    {"\"split_type\":[0,1,0,0,0]", "\"split_type\":[0,2,0,0,0]", BAD, "tree 0: node 1: unknown split type 2"},
    {"\"split_type\":[0,1,0,0,0]", "\"split_type\":[1,1,0,0,0]", BAD,
     "tree 0: node 0: a categorical split without"},
    {"\"split_type\":[0,1,0,0,0]", "\"split_type\":[0,0,0,0,0]", BAD,
     "tree 0: node 1: has a category set but"},
    {"[5E-1,NaN,1E0,2E0,4E0]", "[NaN,NaN,1E0,2E0,4E0]", BAD, "tree 0, node 0: the threshold is not a number"},
    {"[5E-1,NaN,1E0,2E0,4E0]", "[5E-1,NaN,NaN,2E0,4E0]", BAD, "is not a finite number"},
    {"[5E-1,NaN,1E0,2E0,4E0]", "[5E-1,NaN,1E99,2E0,4E0]", BAD, "is not a finite number"},
    {"[5E-1,NaN,1E0,2E0,4E0]", "[5E-1,NaN,\"1\",2E0,4E0]", BAD,
     "'split_conditions': value 2 is not a number"},
    {"[5E-1,NaN,1E0,2E0,4E0]", "[5E-1,NaN,null,2E0,4E0]", BAD, "'split_conditions': value 2 is not a number"},
    // category sets
    {"\"categories\":[2,40]", "\"categories\":[2,-1]", BAD, "tree 0: node 1: category -1 is not between"},
    {"\"categories\":[2,40]", "\"categories\":[2,16777216]", BAD, "tree 0: node 1: category 16777216"},
    {"\"categories\":[2,40]", "\"categories\":[2]", BAD, "tree 0: category set 0 lies outside"},
    {"\"categories_nodes\":[1]", "\"categories_nodes\":[5]", BAD, "category set 0 belongs to node 5 of 5"},
    {"\"categories_nodes\":[1]", "\"categories_nodes\":[0]", BAD, "tree 0: node 0: has a category set but"},
    {"\"categories_nodes\":[1]", "\"categories_nodes\":[]", BAD, "0 categorical nodes, 1 segments, 1 sizes"},
    {"\"categories_segments\":[0]", "\"categories_segments\":[-1]", BAD, "category set 0 lies outside"},
    {"\"categories_segments\":[0]", "\"categories_segments\":[1]", BAD, "category set 0 lies outside"},
    {"\"categories_segments\":[0]", "\"categories_segments\":[3]", BAD, "category set 0 lies outside"},
    {"\"categories_sizes\":[2]", "\"categories_sizes\":[2147483647]", BAD, "category set 0 lies outside"},
    {"\"categories_sizes\":[2]", "\"categories_sizes\":[-2]", BAD, "category set 0 lies outside"},
    {"\"categories_nodes\":[1],\"categories_segments\":[0],\"categories_sizes\":[2]",
     "\"categories_nodes\":[1,1],\"categories_segments\":[0,0],\"categories_sizes\":[2,2]", BAD,
     "tree 0: node 1: has two category sets"},
};

static void compute(const struct forest *f)
{
    static const float VALUES[] = {0.0f, -0.0f, 2.0f, 40.0f, -1.0f, 1e38f, 16777216.0f};
    float *row = calloc(f->sig.n_features, sizeof *row), *margins = calloc(f->n_groups, sizeof *margins);
    float *out = calloc(f->sig.n_outputs, sizeof *out);
    for (size_t i = 0; i <= sizeof VALUES / sizeof VALUES[0]; i++) {
        for (uint32_t j = 0; j < f->sig.n_features; j++)
            row[j] = i ? VALUES[i - 1] : NAN;
        forest_reference_margin(f, row, margins);
        forest_transform(f, margins, out);
    }
    free(row);
    free(margins);
    free(out);
}

// Parses a heap copy of exactly n bytes, so that AddressSanitizer sees a read past them; computes when it is
// accepted.
static int parse(const void *bytes, size_t n, struct err *e)
{
    static struct arena a;
    struct forest f;
    if (!a.base)
        ck_assert_int_eq(arena_init(&a, (size_t)16 << 20, e), 0);
    arena_reset(&a, (size_t)16 << 20);
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, bytes, n);
    memset(e, 0, sizeof *e);
    int rc = xgboost_json_parse(copy, n, &a, &f, e);
    if (rc == 0)
        compute(&f);
    else
        ck_assert_msg(rc == e->code && e->msg[0], "refused without a reason");
    free(copy);
    return rc;
}

START_TEST(the_sound_model_is_accepted_and_means_what_it_says)
{
    struct arena a;
    struct forest f;
    struct err e;
    ck_assert_int_eq(arena_init(&a, 1 << 24, &e), 0);
    ck_assert(xgboost_json_detect((const uint8_t *)GOOD, sizeof GOOD - 1));
    ck_assert(!xgboost_ubj_detect((const uint8_t *)GOOD, sizeof GOOD - 1));
    ck_assert_msg(!xgboost_json_parse((const uint8_t *)GOOD, sizeof GOOD - 1, &a, &f, &e), "%s", e.msg);
    ck_assert(f.n_trees == 2 && f.n_nodes == 8 && f.sig.named && f.sig.features[1].categorical);
    float margin;
    forest_reference_margin(&f, (float[]){0.0f, 40.0f}, &margin);
    ck_assert_float_eq(margin, 4.0f + 16.0f);
    forest_reference_margin(&f, (float[]){NAN, 3.0f}, &margin);
    ck_assert_float_eq(margin, 2.0f + 16.0f);
    arena_done(&a);
}
END_TEST

START_TEST(each_broken_model_is_refused_with_its_fault)
{
    for (size_t i = 0; i < sizeof BROKEN / sizeof BROKEN[0]; i++) {
        const struct broken *b = &BROKEN[i];
        struct err e;
        char text[sizeof GOOD + 256];
        const char *at = strstr(GOOD, b->from);
        ck_assert_msg(at, "case %zu is not in the model: %s", i, b->from);
        int n = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - GOOD), GOOD, b->to, at + strlen(b->from));
        int rc = parse(text, (size_t)n, &e);
        ck_assert_msg(rc == b->code, "case %zu, %s -> %s: %d %s", i, b->from, b->to, rc, e.msg);
        ck_assert_msg(rc == 0 || strstr(e.msg, b->says), "case %zu, %s -> %s says: %s", i, b->from, b->to,
                      e.msg);
    }
}
END_TEST

START_TEST(no_prefix_is_accepted_or_does_harm)
{
    struct err e;
    for (size_t n = 0; n < sizeof GOOD - 1; n++)
        ck_assert_int_eq(parse(GOOD, n, &e), ERR_BAD_MODEL);
}
END_TEST

START_TEST(random_changes_do_no_harm)
{
    static const char BYTES[] = "0123456789-[]{}\",:eENTn";
    uint64_t state = 88172645463325252u;
    struct err e;
    for (int round = 0; round < 4000; round++) {
        char text[sizeof GOOD];
        memcpy(text, GOOD, sizeof text);
        for (int k = 0; k < 1 + round % 3; k++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text[state % (sizeof GOOD - 1)] = BYTES[(state >> 32) % (sizeof BYTES - 1)];
        }
        (void)parse(text, sizeof text - 1, &e);
    }
}
END_TEST

UNIT_MAIN("engine/trees/xgboost_broken", the_sound_model_is_accepted_and_means_what_it_says,
          each_broken_model_is_refused_with_its_fault, no_prefix_is_accepted_or_does_harm,
          random_changes_do_no_harm)
