// SPDX-License-Identifier: Apache-2.0
// A forest as its library means it: the one form all model parsers produce and all kernels are built from.
// Plain arrays, nothing packed. What runs is the image (image.h); this lives only while a model is compiled.
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "tensor/signature.h"

#include <stdbool.h>
#include <stdint.h>

// How values are compared and summed. Source: XGBoost src/predictor, LightGBM include/LightGBM/tree.h.
enum forest_family {
    // float32. Left iff x < threshold; missing is NaN and follows default_left. A category in the set goes
    // RIGHT; one outside the set, negative, >= 2^24 or past the set's end goes LEFT. Sum: base, then
    // leaf * weight of each tree.
    FOREST_XGBOOST,
    // float64. Left iff x <= threshold; missing by the node's missing type. A category in the set goes LEFT,
    // all else and NaN RIGHT. |x| <= 1e-35f becomes 0 on input. Sum: from 0.0 in tree order.
    FOREST_LIGHTGBM,
};

enum node_missing { // LightGBM only; XGBoost nodes are MISSING_NAN
    MISSING_NONE,   // NaN counts as 0.0
    MISSING_ZERO,   // 0 (|x| <= 1e-35f) and NaN are missing
    MISSING_NAN,    // NaN is missing
};

struct forest_node {
    int32_t left, right; // nodes of the same tree, numbered from 0 = root; both -1: leaf
    uint32_t feature;    // < n_features; 0 for a leaf
    bool default_left;   // where a missing value goes
    bool categorical;
    uint8_t missing;               // enum node_missing
    double threshold;              // for XGBoost exactly a float32; may be infinite, never NaN
    uint32_t cat_first, cat_words; // the category set in forest.cat_words: bit c%32 of word c/32
    uint32_t leaf;                 // a leaf: index of its value(s), forest.leaf_values[leaf * leaf_width …]
};

struct forest_linear { // a linear leaf (LightGBM linear_tree)
    double constant;
    uint32_t first, n; // its terms in forest.linear_features / linear_coefs, in summing order
};

struct forest_tree {
    uint32_t first_node, n_nodes; // in forest.nodes; n_nodes >= 1
    uint32_t group;               // the output the tree adds to, when leaf_width is 1
    float weight;                 // DART weight; 1 otherwise
};

enum forest_transform {
    TRANSFORM_IDENTITY,
    TRANSFORM_SIGMOID, // XGBoost: float, clamped at 88.7; LightGBM: 1/(1+exp(-param*x)) in double
    TRANSFORM_SOFTMAX, // over the margins of a row
    TRANSFORM_ARGMAX,  // multi:softmax: index of the first largest margin, one output, as float
    TRANSFORM_EXP,
    TRANSFORM_HINGE,         // x > 0 ? 1 : 0
    TRANSFORM_SIGMOID_EACH,  // LightGBM multiclassova, param = sigmoid
    TRANSFORM_LOG1P_EXP,     // LightGBM cross_entropy_lambda
    TRANSFORM_SIGNED_SQUARE, // LightGBM regression with sqrt
    TRANSFORM_EXPECTILE,     // XGBoost reg:expectileerror
    TRANSFORM_LIMIT,
};

struct forest {
    enum forest_family family;
    struct signature sig;      // names point into the parse arena
    uint32_t n_groups;         // margins per row
    uint32_t leaf_width;       // 1, or n_groups for vector leaves
    struct forest_tree *trees; // (n_trees) in summing order
    uint32_t n_trees;
    struct forest_node *nodes; // (n_nodes)
    uint32_t n_nodes;
    double *leaf_values; // (n_leaves * leaf_width); for XGBoost each exactly a float32
    uint32_t n_leaves;
    struct forest_linear *linear; // (n_leaves) or NULL
    uint32_t *linear_features;    // (n_linear_terms)
    double *linear_coefs;         // (n_linear_terms)
    uint32_t n_linear_terms;
    uint32_t *cat_words; // (n_cat_words)
    uint32_t n_cat_words;
    double *base; // (n_groups) margins that the sum starts from; XGBoost: each exactly a float32
    bool average; // divide the sum by trees per group (LightGBM rf)
    // gblinear: n_trees is 0 and weights is (n_features + 1, n_groups), the last row the bias; each exactly a
    // float32.
    double *linear_weights;
    enum forest_transform transform;
    double transform_param;
    const char *objective; // the library's own name, for describe
};

// Checks every index, size, cycle, depth, count and number of a forest that a parser built: the one place
// that says what a sound forest is. Trees lie one after the other in `nodes` and fill it; each node of a tree
// is reached from its root exactly once (a parser leaves out nodes that its library marks as deleted); every
// number is finite but a threshold, which may be infinite. Linear in the forest's size, no recursion. Takes 8
// bytes per node of the largest tree from `scratch`. ERR_BAD_MODEL naming the tree and node, ERR_NOMEM.
int forest_check(const struct forest *f, struct arena *scratch, struct err *e) ERR_CHECKED;

// The reference: a literal transcription of the library's own prediction, slow and plain. All kernels are
// tested against it. row: n_features values of input_dtype; out: n_groups margins of input_dtype.
void forest_reference_margin(const struct forest *f, const void *row, void *out);
// margins (n_groups) -> outputs (n_outputs), both as in forest_reference_margin; may not alias.
void forest_transform(const struct forest *f, const void *margins, void *out);

// The parsers: all of `f` is allocated from the arena. ERR_BAD_MODEL, ERR_UNSUPPORTED_MODEL, ERR_NOMEM.
// Each calls forest_check before it returns.
int xgboost_json_parse(const uint8_t *bytes, size_t size, struct arena *a, struct forest *ret,
                       struct err *e) ERR_CHECKED;
int xgboost_ubj_parse(const uint8_t *bytes, size_t size, struct arena *a, struct forest *ret,
                      struct err *e) ERR_CHECKED;
int lightgbm_text_parse(const uint8_t *bytes, size_t size, struct arena *a, struct forest *ret,
                        struct err *e) ERR_CHECKED;
