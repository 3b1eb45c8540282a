// SPDX-License-Identifier: Apache-2.0
// Broken LightGBM models: each is a sound one with one thing changed, and must be refused with a message that
// says what is wrong and where. Then every prefix of a model, and many random changes, which may be accepted
// but must never do harm (run this under the sanitizers).
#include "lightgbm_models.h"

#include "engine/trees/forest.h"
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BAD = ERR_BAD_MODEL, UNSUPPORTED = ERR_UNSUPPORTED_MODEL };

static const struct broken {
    const char *from, *to; // the first occurrence of `from` in the model becomes `to`
    int code;
    const char *says; // part of the message
} SMALL[] =
    {
        // the header
        {"tree\n", "tre\n", BAD, "line 1: a LightGBM text model begins with 'tree'"},
        {"version=v4\n", "", BAD, "the header has no 'version'"},
        {"version=v4", "version=v2", UNSUPPORTED, "line 2: text format version 'v2'; v3 and v4"},
        {"version=v4", "version=v5", UNSUPPORTED, "'v5'"},
        {"version=v4", "version", BAD, "line 2: version lacks a value"},
        {"version=v4", "version=v4\nversion=v4", BAD, "line 3: version stands in line 2 already"},
        {"num_class=1\n", "", BAD, "the header has no 'num_class'"},
        {"num_class=1", "num_class=", BAD, "line 3: num_class has only 0 values, expected 1"},
        {"num_class=1", "num_class=0", BAD, "line 3: num_class[0] is '0', expected an integer from 1"},
        {"num_class=1", "num_class=99999999999999999999", BAD, "line 3: num_class[0]"},
        {"num_class=1", "num_class=1 1", BAD, "line 3: num_class has 2 values, expected 1"},
        {"num_class=1", "num_class=2", BAD, "line 4: num_tree_per_iteration is 1 where num_class is 2"},
        {"num_tree_per_iteration=1\n", "", BAD, "the header has no 'num_tree_per_iteration'"},
        {"max_feature_idx=2", "max_feature_idx=-1", BAD, "line 6: max_feature_idx[0] is '-1'"},
        {"max_feature_idx=2", "max_feature_idx=4000000000", BAD, "line 6: max_feature_idx[0]"},
        {"max_feature_idx=2", "max_feature_idx=3", BAD,
         "line 8: feature_names has 3 names, max_feature_idx says 4"},
        {"binary sigmoid:1", "survival", UNSUPPORTED, "line 7: the objective 'survival' is not supported"},
        {"binary sigmoid:1", "", UNSUPPORTED, "line 7: the objective ''"},
        {"binary sigmoid:1", "binary sqrt", UNSUPPORTED, "line 7: objective 'binary sqrt' with 'sqrt'"},
        {"binary sigmoid:1", "huber sqrt", UNSUPPORTED, "with 'sqrt' is not supported"},
        {"sigmoid:1", "sigmoid:0", BAD, "line 7: sigmoid is '0', expected a number above 0"},
        {"sigmoid:1", "sigmoid:-1", BAD, "line 7: sigmoid is '-1'"},
        {"sigmoid:1", "sigmoid:nan", BAD, "line 7: sigmoid is 'nan'"},
        {"sigmoid:1", "sigmoid:1e999", BAD, "line 7: sigmoid is '1e999'"},
        {"sigmoid:1", "sigmoid:1e", BAD, "line 7: sigmoid is '1e'"},
        {"sigmoid:1", "sigmoid:123456789012345678", BAD, "line 7: sigmoid is"},
        {"binary sigmoid:1", "multiclass num_class:1", BAD,
         "line 7: the objective multiclass with num_class 1"},
        {"feature_names=a b kind", "feature_names=a b", BAD, "line 8: feature_names has 2 names"},
        {"feature_names=a b kind", "feature_names=a b a", BAD, "line 8: two features have the name 'a'"},
        {"feature_names=a b kind\n", "", BAD, "the header has no 'feature_names'"},
        {"[-1:1] [0:9] ", "[-1:1] ", BAD, "line 9: feature_infos has 2 values"},
        {"label_index=0", "decay=0.5", UNSUPPORTED, "line 5: the header field 'decay' is not one"},
        {"label_index=0", "median_output", UNSUPPORTED, "line 5: the header field 'median_output'"},
        {"label_index=0", "average_output=1", BAD, "line 5: average_output cannot have a value"},
        // the blocks
        {"Tree=0", "Tree=1", BAD, "line 12: 'Tree=1' where 'Tree=0' or 'end of trees' is expected"},
        {"Tree=1", "Tree=0", BAD, "line 33: 'Tree=0' where 'Tree=1'"},
        {"Tree=1", "Tree=", BAD, "line 33: 'Tree='"},
        {"Tree=0", "end of trees", BAD, "0 trees, expected a multiple of num_class 1 and at least one"},
        {"end of trees", "end of tree", BAD, "line 47, tree 1: 'end of tree' is not of the form name=value"},
        {"num_leaves=4\n", "", BAD, "line 12, tree 0: the field 'num_leaves' is missing"},
        {"num_leaves=4", "num_leaves=0", BAD, "line 13, tree 0: num_leaves[0] is '0'"},
        {"num_leaves=4", "num_leaves=-4", BAD, "line 13, tree 0: num_leaves[0] is '-4'"},
        {"num_leaves=4", "num_leaves=4.0", BAD, "num_leaves[0] is '4.0', expected an integer"},
        {"num_leaves=4", "num_leaves=5", BAD, "line 21, tree 0: leaf_value has 4 values, expected 5"},
        {"num_leaves=4", "num_leaves=100000000", BAD, "leaf_value has 4 values, expected 100000000"},
        {"num_leaves=4", "num_leaves=4294967295", BAD, "line 13, tree 0: num_leaves[0]"},
        {"num_leaves=4", "num_leaves=4\nnum_leaves=4", BAD, "line 14, tree 0: num_leaves stands in line 13"},
        {"shrinkage=1", "learning=1", UNSUPPORTED, "line 30, tree 0: the field 'learning' of a tree"},
        {"shrinkage=1", "\x01\xff", BAD, "line 30, tree 0: '\?\?' is not of the form"},
        // splits
        {"split_feature=0 2 1", "split_feature=0 3 1", BAD,
         "split_feature[1] is '3', expected an integer from 0 to 2"},
        {"split_feature=0 2 1", "split_feature=0 -1 1", BAD, "line 15, tree 0: split_feature[1] is '-1'"},
        {"split_feature=0 2 1", "split_feature=0 2", BAD, "line 15, tree 0: split_feature has only 2 values"},
        {"split_feature=0 2 1", "split_feature=0 2 1 1", BAD, "line 15, tree 0: split_feature has 4 values"},
        {"split_feature=0 2 1\n", "", BAD, "tree 0: the field 'split_feature' is missing"},
        {"threshold=0.5 0 inf", "threshold=nan 0 inf", BAD, "line 17, tree 0: threshold[0] is 'nan'"},
        {"threshold=0.5 0 inf", "threshold=0.5x 0 inf", BAD,
         "threshold[0] is '0.5x', expected a finite number"},
        {"threshold=0.5 0 inf", "threshold=0x1p-1 0 inf", BAD, "threshold[0] is '0x1p-1'"},
        {"threshold=0.5 0 inf", "threshold=1e999 0 inf", BAD, "threshold[0] is '1e999'"},
        {"threshold=0.5 0 inf", "threshold=0,5 0 inf", BAD, "threshold[0] is '0,5'"},
        {"threshold=0.5 0 inf", "threshold=0.5 0", BAD, "line 17, tree 0: threshold has only 2 values"},
        {"threshold=0.5 0 inf\n", "", BAD, "the field 'threshold' is missing"},
        {"threshold=\n", "threshold=1\n", BAD, "line 38, tree 1: threshold has 1 values, expected 0"},
        {"decision_type=10 9 0", "decision_type=10 9 12", BAD,
         "decision_type[2] is 12, which has no rule for missing"},
        {"decision_type=10 9 0", "decision_type=10 9 16", BAD, "line 18, tree 0: decision_type[2] is '16'"},
        {"decision_type=10 9 0", "decision_type=10 9", BAD, "line 18, tree 0: decision_type has only 2"},
        {"decision_type=10 9 0\n", "", BAD, "the field 'decision_type' is missing"},
        {"left_child=1 -1 -3", "left_child=3 -1 -3", BAD,
         "left_child[0] is '3', expected an integer from -4 to 2"},
        {"left_child=1 -1 -3", "left_child=1 -5 -3", BAD, "line 19, tree 0: left_child[1] is '-5'"},
        {"left_child=1 -1 -3", "left_child=0 -1 -3", BAD, "tree 0, node 0: two ways lead here"},
        {"left_child=1 -1 -3", "left_child=2 -1 -3", BAD, "tree 0, node 2: two ways lead here"},
        {"left_child=1 -1 -3", "left_child=1 -2 -3", BAD, "tree 0, node 4: two ways lead here"},
        {"left_child=1 -1 -3", "left_child=-1 -1 -3", BAD, "tree 0, node 1: no way leads here from the root"},
        {"left_child=1 -1 -3\n", "", BAD, "the field 'left_child' is missing"},
        {"right_child=2 -2 -4", "right_child=2 0 -4", BAD, "tree 0, node 0: two ways lead here"},
        {"right_child=2 -2 -4", "right_child=2 -2 -4 -4", BAD, "line 20, tree 0: right_child has 4 values"},
        {"right_child=2 -2 -4", "right_child=2 -2 --4", BAD, "line 20, tree 0: right_child[2] is '--4'"},
        {"leaf_value=10 20 30 40\n", "", BAD, "the field 'leaf_value' is missing"},
        {"leaf_value=10", "leaf_value=inf", BAD,
         "line 21, tree 0: leaf_value[0] is 'inf', expected a finite number"},
        {"leaf_value=10 20", "leaf_value=10 nan", BAD, "line 21, tree 0: leaf_value[1] is 'nan'"},
        // categories
        {"num_cat=1", "num_cat=0", BAD, "threshold[1] is '0', expected nothing: none is possible"},
        {"num_cat=1", "num_cat=2", BAD, "line 27, tree 0: cat_boundaries has 2 values, expected 3"},
        {"num_cat=1\n", "", BAD, "line 12, tree 0: the field 'num_cat' is missing"},
        {"threshold=0.5 0 inf", "threshold=0.5 1 inf", BAD,
         "threshold[1] is '1', expected an integer from 0 to 0"},
        {"threshold=0.5 0 inf", "threshold=0.5 0.5 inf", BAD, "threshold[1] is '0.5', expected an integer"},
        {"cat_boundaries=0 2", "cat_boundaries=1 2", BAD,
         "cat_boundaries[0] is '1', expected an integer from 0 to 0"},
        {"cat_boundaries=0 2", "cat_boundaries=0 3", BAD,
         "cat_boundaries[1] is '3', expected an integer from 2 to 2"},
        {"cat_boundaries=0 2", "cat_boundaries=0 -2", BAD, "cat_boundaries[1] is '-2'"},
        {"cat_boundaries=0 2\n", "", BAD, "the field 'cat_boundaries' is missing"},
        {"cat_threshold=2 2\n", "", BAD, "the field 'cat_threshold' is missing"},
        {"cat_threshold=2 2", "cat_threshold=2", BAD,
         "cat_boundaries[1] is '2', expected an integer from 1 to 1"},
        {"cat_threshold=2 2", "cat_threshold=2 4294967296", BAD,
         "line 28, tree 0: cat_threshold[1] is '4294967296'"},
        {"cat_threshold=2 2", "cat_threshold=2 -2", BAD, "line 28, tree 0: cat_threshold[1] is '-2'"},
        {"is_linear=0", "is_linear=2", BAD, "line 29, tree 0: is_linear[0] is '2'"},
        {"is_linear=0", "is_linear=1", BAD, "the field 'leaf_features' is missing"},
        // pandas
        {"[0, 1]", "[10, 20]", UNSUPPORTED, "pandas_categorical[1][0] is a number other than its code 0"},
        {"[0, 1]", "[true, false]", UNSUPPORTED, "pandas_categorical[1][0]"},
        {"[0, 1]", "7", BAD, "pandas_categorical[1] is not a list"},
        {"[0, 1]", "[0, 1", BAD, "pandas_categorical is neither null nor a JSON list"},
        {"pandas_categorical:[", "pandas_categorical:{", BAD, "line 56: pandas_categorical is neither"},
},
  LINEAR[] = {
      {"num_class:2", "num_class:3", BAD, "line 7: the objective has num_class '3', the header 2"},
      {"multiclassova num_class:2 sigmoid:2.5", "binary sigmoid:1", BAD,
       "the objective binary with num_class 2"},
      {"leaf_const=100 200\n", "", BAD, "line 11, tree 0: the field 'leaf_const' is missing"},
      {"leaf_const=100 200", "leaf_const=100", BAD, "tree 0: leaf_const has only 1 values, expected 2"},
      {"leaf_const=100 200", "leaf_const=100 nan", BAD, "leaf_const[1] is 'nan'"},
      {"num_features=2 0", "num_features=2 1", BAD,
       "num_features[1] is '1', expected an integer from 0 to 0"},
      {"num_features=2 0", "num_features=1 0", BAD, "leaf_features has 2 values, num_features add to 1"},
      {"num_features=2 0", "num_features=-1 3", BAD, "num_features[0] is '-1'"},
      {"num_features=2 0\n", "", BAD, "the field 'num_features' is missing"},
      {"leaf_features=1 0", "leaf_features=1 2", BAD,
       "leaf_features[1] is '2', expected an integer from 0 to 1"},
      {"leaf_features=1 0", "leaf_features=1 0 0", BAD, "leaf_features has 3 values, num_features add to 2"},
      {"leaf_coeff=10 1", "leaf_coeff=10", BAD, "tree 0: leaf_coeff has only 1 values, expected 2"},
      {"leaf_coeff=10 1", "leaf_coeff=10 1 1", BAD, "tree 0: leaf_coeff has 3 values"},
      {"leaf_coeff=10 1", "leaf_coeff=10 inf", BAD, "leaf_coeff[1] is 'inf'"},
      {"leaf_coeff=10 1  \n", "", BAD, "the field 'leaf_coeff' is missing"},
      {"Tree=1\n", "end of trees\nTree=1\n", BAD, "1 trees, expected a multiple of num_class 2"},
};

static struct arena arena;
static struct err err;
static struct forest forest;

// From an allocation of exactly n bytes, so that the sanitizer sees one byte read too many.
static int parse(const char *text, size_t n)
{
    if (!arena.base)
        ck_assert_int_eq(arena_init(&arena, 64 << 20, &err), 0);
    arena_reset(&arena, 0);
    uint8_t *exact = malloc(n ? n : 1);
    memcpy(exact, text, n);
    memset(&err, 0, sizeof err);
    int rc = lightgbm_text_parse(exact, n, &arena, &forest, &err);
    if (rc == 0) { // whatever was accepted must compute
        static const double VALUES[] = {NAN, INFINITY, -INFINITY, 0, -0.0, 1e308, 33, -1, 4294967296.0};
        double margin[64], out[64], row[16];
        for (size_t v = 0; v < sizeof VALUES / sizeof *VALUES && forest.sig.n_features <= 16; v++) {
            for (size_t i = 0; i < 16; i++)
                row[i] = VALUES[(v + i * i) % (sizeof VALUES / sizeof *VALUES)];
            ck_assert_uint_le(forest.n_groups, 64);
            forest_reference_margin(&forest, row, margin);
            forest_transform(&forest, margin, out);
        }
    }
    free(exact);
    return rc;
}

static void refuses(const char *text, const struct broken *cases, size_t n)
{
    char broken[8192];
    int failed = 0;
    ck_assert_msg(parse(text, strlen(text)) == 0, "the sound model: %s", err.msg);
    for (size_t i = 0; i < n; i++) {
        const struct broken *b = &cases[i];
        const char *at = strstr(text, b->from);
        ck_assert_msg(at != NULL, "case %zu: no '%s'", i, b->from);
        snprintf(broken, sizeof broken, "%.*s%s%s", (int)(at - text), text, b->to, at + strlen(b->from));
        int rc = parse(broken, strlen(broken));
        if (rc == b->code && strstr(err.msg, b->says))
            continue;
        printf("'%s' in place of '%s': %d %s\n", b->to, b->from, rc, err.msg);
        failed++;
    }
    ck_assert_int_eq(failed, 0);
}

START_TEST(each_broken_model_is_refused_with_its_reason)
{
    refuses(MODEL_SMALL, SMALL, sizeof SMALL / sizeof *SMALL);
    refuses(MODEL_LINEAR, LINEAR, sizeof LINEAR / sizeof *LINEAR);
}
END_TEST

START_TEST(every_model_cut_short_is_refused)
{
    static const char *const MODELS[] = {MODEL_SMALL, MODEL_LINEAR};
    for (size_t m = 0; m < 2; m++) {
        size_t whole = (size_t)(strstr(MODELS[m], "end of trees") - MODELS[m]) + strlen("end of trees");
        for (size_t n = 0; n < whole; n++) {
            int rc = parse(MODELS[m], n); // a name cut in half is one that is not known
            ck_assert_msg(rc == BAD || rc == UNSUPPORTED, "the first %zu bytes: %s", n, err.msg);
        }
        ck_assert_int_eq(parse(MODELS[m], whole), 0);
    }
}
END_TEST

START_TEST(random_changes_do_no_harm)
{
    static const char BYTES[] = "0123456789-+. =eEinfa\n\r\t\0\xff";
    static const char *const MODELS[] = {MODEL_SMALL, MODEL_LINEAR};
    uint64_t seed = 0x9e3779b97f4a7c15u;
    size_t refused = 0;
    enum { ROUNDS = 6000 };
    for (int round = 0; round < ROUNDS; round++) {
        char text[4096];
        size_t n = strlen(MODELS[round % 2]);
        memcpy(text, MODELS[round % 2], n);
        for (int k = 0; k < 1 + round % 4; k++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            size_t at = (size_t)(seed >> 20) % n;
            if (seed & 1) {
                text[at] = BYTES[(seed >> 8) % (sizeof BYTES - 1)];
            } else { // one byte less
                memmove(text + at, text + at + 1, n - at - 1);
                n--;
            }
        }
        int rc = parse(text, n);
        refused += rc != 0;
        ck_assert_msg(rc == 0 || err.msg[0], "refused without a reason");
    }
    ck_assert_uint_gt(refused, ROUNDS / 3);
    ck_assert_uint_lt(refused, ROUNDS);
}
END_TEST

START_TEST(without_memory_it_says_so)
{
    struct arena small;
    for (size_t cap = 64; cap < 4096; cap += 64) {
        ck_assert_int_eq(arena_init(&small, cap, &err), 0);
        int rc =
            lightgbm_text_parse((const uint8_t *)MODEL_LINEAR, strlen(MODEL_LINEAR), &small, &forest, &err);
        ck_assert(rc == 0 || rc == ERR_NOMEM);
        arena_done(&small);
        if (cap == 64)
            ck_assert_int_eq(rc, ERR_NOMEM);
    }
}
END_TEST

UNIT_MAIN("engine/trees/lightgbm_broken", each_broken_model_is_refused_with_its_reason,
          every_model_cut_short_is_refused, random_changes_do_no_harm, without_memory_it_says_so)
