// SPDX-License-Identifier: Apache-2.0
// One "Tree=" block of a LightGBM text model: its fields, its sizes, and its nodes in a forest. Private to
// the LightGBM parser. Source: LightGBM src/io/tree.cpp (Tree::ToString), include/LightGBM/tree.h.
#pragma once

#include "engine/trees/forest.h"
#include "engine/trees/lightgbm_lines.h"

enum tree_field { // those that prediction needs; the rest of a block is known by name and skipped
    TREE_NUM_LEAVES,
    TREE_NUM_CAT,
    TREE_SPLIT_FEATURE,
    TREE_THRESHOLD,
    TREE_DECISION_TYPE,
    TREE_LEFT_CHILD,
    TREE_RIGHT_CHILD,
    TREE_LEAF_VALUE,
    TREE_CAT_BOUNDARIES,
    TREE_CAT_THRESHOLD,
    TREE_IS_LINEAR,
    TREE_LEAF_CONST,
    TREE_NUM_FEATURES,
    TREE_LEAF_FEATURES,
    TREE_LEAF_COEFF,
    TREE_FIELDS
};

struct tree_text {
    uint32_t number, line; // as in "Tree=7", and where that stands
    struct field f[TREE_FIELDS];
    uint32_t n_leaves;  // >= 1
    uint32_t n_cat;     // category sets
    uint32_t cat_words; // words of all its category sets
    uint32_t lin_terms; // terms of all its linear leaves
    bool linear;
};

// Reads the fields that follow the line "Tree=number", up to what is no field of a tree, and checks the sizes
// against the text, so that memory taken for them is bounded by the file. ERR_BAD_MODEL,
// ERR_UNSUPPORTED_MODEL for a field that this build does not know.
int tree_text_read(struct lines *in, uint32_t number, struct tree_text *ret, struct err *e) ERR_CHECKED;

// Appends the tree to the forest, whose arrays have room for it by the sizes above: inner node i becomes node
// i, leaf j node n_leaves - 1 + j. f->linear is NULL when no tree of the model is linear. ERR_BAD_MODEL,
// ERR_NOMEM.
int tree_text_parse(const struct tree_text *t, struct arena *a, struct forest *f, struct err *e) ERR_CHECKED;
