// SPDX-License-Identifier: Apache-2.0
// Turns the comparisons of a forest into comparisons of small ranks. Only the order of a value among the
// thresholds of its feature decides where it goes, so the rank of the value says all, exactly:
//
//   thresholds of a feature     t0 < t1 < t2 …       code(x) = how many of them x passes
//   "x passes t2, go right"  =  code(x) >= 3         XGBoost passes when x >= t, LightGBM when x > t
//
// A column is up to COL_CUTS thresholds of one feature and one rule for missing values; a feature with more
// is several columns. A category set is a column too: its code is 1 where the set's node goes right. Used
// while a model is compiled.
#pragma once

#include "base/arena.h"
#include "engine/trees/forest.h"

enum {
    COL_CUTS = 253, // codes 0 … 253; 255 is "missing"; 254 is never used, so that no code + 1 is 255
    COL_MISSING = 255,
    RANK_NO_COL = UINT32_MAX,
};

struct rank_col {
    uint32_t feature;
    uint8_t missing; // enum node_missing
    uint32_t n_cuts;
    double *cuts; // ascending; for LightGBM no two are the same float32
};

struct rank_set {
    const struct forest_node *node; // the first that has this feature, set and default
    uint32_t hash;
};

struct rank_cat { // a feature with category sets
    uint32_t feature;
    uint32_t n_cats;    // categories 0 … n_cats - 1 are told apart; all others are alike
    uint32_t first_set; // its sets are neighbours in rank.sets, its columns neighbours after n_num
    uint32_t n_sets;
};

struct rank_node {
    uint32_t col;     // in columns, or n_num + set; RANK_NO_COL for a leaf
    uint8_t at_least; // goes right iff code(col) >= at_least
    bool missing_left;
};

struct rank {
    const struct forest *forest;
    struct rank_col *cols; // (n_num), by code_class
    uint32_t n_num;
    struct rank_set *sets; // (n_sets)
    uint32_t n_sets;
    struct rank_cat *cats; // (n_cats)
    uint32_t n_cats;
    struct rank_node *nodes; // (forest.n_nodes)
    uint32_t *order;         // (n_trees) trees by group, within a group in the forest's order
};

// Whether a node of this rank goes right for a category (or XGBoost's "not a category", -1, or missing, -2).
bool rank_set_goes_right(const struct forest *f, const struct forest_node *n, int64_t category);

// Everything from the arena. ERR_NOMEM; ERR_UNSUPPORTED_MODEL when the forest cannot be coded.
int rank_build(const struct forest *f, struct arena *a, struct rank *ret, struct err *e) ERR_CHECKED;
