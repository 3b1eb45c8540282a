// SPDX-License-Identifier: Apache-2.0
// Random forests and random rows for tests of the tree engine: every shape, every rule for missing values,
// thresholds and values of every kind that is hard to order.
#pragma once

#include "engine/trees/forest.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct random_shape {
    enum forest_family family;
    uint32_t n_features, n_groups, n_trees;
    uint32_t depth;      // at most; a node above it is a leaf now and then
    uint32_t leaves;     // at most in a tree; 0: no limit
    uint32_t cuts;       // distinct thresholds per feature, about
    uint32_t categories; // the last third of the features are categorical with so many categories; 0: none
    bool mixed_missing;  // LightGBM: the rule for missing values differs from node to node
    bool full;           // all trees are complete
    bool weighted;       // DART
    bool average;
    bool vector;     // vector leaves, XGBoost only
    bool linear;     // linear leaves, LightGBM only
    bool plain_cuts; // no threshold is infinite, tiny or huge
};

struct random_state {
    uint64_t s;
};

static inline uint64_t random_u64(struct random_state *r)
{
    r->s ^= r->s >> 12;
    r->s ^= r->s << 25;
    r->s ^= r->s >> 27;
    return r->s * 0x2545F4914F6CDD1Dull;
}

static inline uint32_t random_below(struct random_state *r, uint32_t n)
{
    return (uint32_t)(random_u64(r) >> 33) % n;
}

static inline double random_unit(struct random_state *r)
{
    return (double)(random_u64(r) >> 11) * 0x1p-53;
}

// A threshold of a feature: cut 0 … cuts - 1, always the same for the same numbers.
static inline double random_cut(const struct random_shape *s, uint32_t feature, uint32_t cut)
{
    static const double HARD[] = {0.0,    -0.0,  INFINITY,       -INFINITY, 1e-40,
                                  -1e-40, 1e-36, (double)1e-35f, 3e38,      -3e38};
    struct random_state r = {0x9E3779B97F4A7C15ull * (feature * 7919u + cut + 1)};
    random_u64(&r);
    double x = (random_unit(&r) - 0.5) * 8.0;
    uint32_t kind = random_below(&r, 16);
    if (!s->plain_cuts && kind == 0)
        x = HARD[random_below(&r, sizeof HARD / sizeof HARD[0])];
    else if (kind < 4)
        x = floor(x);
    else if (!s->plain_cuts && kind == 4 && s->family == FOREST_LIGHTGBM)
        x = nextafter(1.0, 2.0 * random_below(&r, 2)); // neighbours that are one float32
    else if (!s->plain_cuts && kind == 5 && s->family == FOREST_LIGHTGBM)
        x = random_below(&r, 2) ? 1e300 : DBL_MAX;
    return s->family == FOREST_XGBOOST ? (double)(float)x : x;
}

static inline bool random_is_categorical(const struct random_shape *s, uint32_t feature)
{
    return s->categories && feature >= s->n_features - (s->n_features + 2) / 3;
}

struct random_builder {
    const struct random_shape *s;
    struct forest *f;
    struct random_state *r;
};

static inline uint32_t random_leaf(struct random_builder *b)
{
    struct forest *f = b->f;
    for (uint32_t j = 0; j < f->leaf_width; j++) {
        double v = (random_unit(b->r) - 0.5) * 0.3;
        f->leaf_values[f->n_leaves * f->leaf_width + j] =
            b->s->family == FOREST_XGBOOST ? (double)(float)v : v;
    }
    if (f->linear) {
        f->linear[f->n_leaves] = (struct forest_linear){random_unit(b->r), f->n_linear_terms, 2};
        for (int i = 0; i < 2; i++) {
            f->linear_features[f->n_linear_terms] = random_below(b->r, b->s->n_features);
            f->linear_coefs[f->n_linear_terms++] = random_unit(b->r) - 0.5;
        }
    }
    return f->n_leaves++;
}

static inline void random_split(struct random_builder *b, struct forest_node *n)
{
    const struct random_shape *s = b->s;
    n->feature = random_below(b->r, s->n_features);
    n->default_left = random_below(b->r, 2);
    n->missing = MISSING_NAN;
    if (s->family == FOREST_LIGHTGBM)
        n->missing = (uint8_t)((s->mixed_missing ? random_below(b->r, 3) : n->feature) % 3);
    if (!random_is_categorical(s, n->feature)) {
        n->threshold = random_cut(s, n->feature, random_below(b->r, s->cuts));
        return;
    }
    n->categorical = true;
    n->cat_first = b->f->n_cat_words;
    n->cat_words = 1 + (s->categories - 1) / 32;
    for (uint32_t i = 0; i < n->cat_words; i++)
        b->f->cat_words[b->f->n_cat_words++] = random_below(b->r, 8) ? (uint32_t)random_u64(b->r) : 0;
}

// Splits random leaves (or the shallowest, when complete) until the tree is as large as asked for.
static inline void random_tree(struct random_builder *b, uint32_t max_leaves)
{
    struct forest *f = b->f;
    struct forest_tree *t = &f->trees[f->n_trees];
    uint8_t depth[4096];
    *t = (struct forest_tree){f->n_nodes, 1, f->n_trees % b->s->n_groups, 1.0f};
    if (b->s->weighted)
        t->weight = (float)(0.2 + random_unit(b->r));
    struct forest_node *nodes = f->nodes + f->n_nodes;
    nodes[0] = (struct forest_node){.left = -1, .right = -1};
    depth[0] = 0;
    uint32_t n = 1, leaves = 1;
    for (uint32_t i = 0, idle = 0; leaves < max_leaves && n + 2 <= sizeof depth && idle < 4 * n + 16; i++) {
        uint32_t at = b->s->full ? i : random_below(b->r, n);
        if (b->s->full && at >= n)
            break;
        if (nodes[at].left != -1 || depth[at] >= b->s->depth) {
            idle++;
            continue;
        }
        random_split(b, &nodes[at]);
        nodes[at].left = (int32_t)n;
        nodes[at].right = (int32_t)n + 1;
        for (uint32_t c = n; c < n + 2; c++) {
            nodes[c] = (struct forest_node){.left = -1, .right = -1};
            depth[c] = (uint8_t)(depth[at] + 1);
        }
        n += 2;
        leaves++;
        idle = 0;
    }
    for (uint32_t i = 0; i < n; i++)
        if (nodes[i].left == -1)
            nodes[i].leaf = random_leaf(b);
    t->n_nodes = n;
    f->n_nodes += n;
    f->n_trees++;
}

static inline void random_signature(const struct random_shape *s, struct arena *a, struct forest *f)
{
    enum dtype t = s->family == FOREST_XGBOOST ? DTYPE_FP32 : DTYPE_FP64;
    f->sig = (struct signature){.n_features = s->n_features,
                                .n_outputs = s->n_groups,
                                .input_dtype = t,
                                .output_dtype = t,
                                .output_is_vector = s->n_groups > 1,
                                .platform = "random",
                                .output_name = "prediction"};
    f->sig.features = arena_calloc(a, s->n_features, sizeof *f->sig.features);
    for (uint32_t i = 0; i < s->n_features; i++) {
        char *name = arena_alloc(a, 16);
        f->sig.features[i].name = (struct str){name, (size_t)snprintf(name, 16, "f%u", i)};
        f->sig.features[i].may_be_missing = true;
        f->sig.features[i].categorical = random_is_categorical(s, i);
    }
}

// Everything from the arena, which must be large enough.
static inline void random_forest(const struct random_shape *s, uint64_t seed, struct arena *a,
                                 struct forest *f)
{
    struct random_state r = {seed * 0x9E3779B97F4A7C15ull + 1};
    uint32_t max_leaves = s->leaves ? s->leaves : s->depth < 11 ? 1u << s->depth : 2048;
    size_t leaves = (size_t)s->n_trees * max_leaves;
    *f = (struct forest){.family = s->family,
                         .n_groups = s->n_groups,
                         .leaf_width = s->vector ? s->n_groups : 1,
                         .average = s->average,
                         .transform = s->n_groups > 1 ? TRANSFORM_SOFTMAX : TRANSFORM_SIGMOID,
                         .transform_param = 1.0,
                         .objective = "random"};
    random_signature(s, a, f);
    f->trees = arena_calloc(a, s->n_trees, sizeof *f->trees);
    f->nodes = arena_calloc(a, 2 * leaves, sizeof *f->nodes);
    f->leaf_values = arena_calloc(a, leaves * f->leaf_width, sizeof *f->leaf_values);
    f->cat_words = arena_calloc(a, leaves * (1 + s->categories / 32), sizeof *f->cat_words);
    f->base = arena_calloc(a, s->n_groups, sizeof *f->base);
    if (s->linear) {
        f->linear = arena_calloc(a, leaves, sizeof *f->linear);
        f->linear_features = arena_calloc(a, leaves * 2, sizeof *f->linear_features);
        f->linear_coefs = arena_calloc(a, leaves * 2, sizeof *f->linear_coefs);
    }
    for (uint32_t g = 0; g < s->n_groups && s->family == FOREST_XGBOOST; g++)
        f->base[g] = (double)(float)(random_unit(&r) - 0.5);
    struct random_builder b = {s, f, &r};
    for (uint32_t t = 0; t < s->n_trees; t++)
        random_tree(&b, s->full ? max_leaves : 1 + random_below(&r, max_leaves));
}

static inline double random_value(const struct random_shape *s, uint32_t feature, struct random_state *r)
{
    static const double HARD[] = {NAN,      INFINITY, -INFINITY,    0.0,          -0.0,   1e-45,
                                  -1e-45,   1e-35,    -1e-35,       1e-34,        3.4e38, -3e38,
                                  1e300,    -1e300,   1e-310,       -0.5,         -1.0,   -1.5,
                                  16777215, 16777216, 2147483647.0, 2147483648.0, 5e9,    -5e9};
    uint32_t kind = random_below(r, 12);
    if (kind == 0)
        return (double)NAN;
    if (kind == 1)
        return HARD[random_below(r, sizeof HARD / sizeof HARD[0])];
    if (random_is_categorical(s, feature))
        return (double)random_below(r, s->categories + 8) + (kind == 2 ? 0.75 : 0.0);
    double x = random_cut(s, feature, random_below(r, s->cuts));
    if (kind < 5)
        return x;
    if (kind < 8)
        return s->family == FOREST_XGBOOST ? (double)nextafterf((float)x, kind == 5 ? INFINITY : -INFINITY)
                                           : nextafter(x, kind == 5 ? (double)INFINITY : (double)-INFINITY);
    return (random_unit(r) - 0.5) * 10.0;
}

// (n_rows, n_features) of the family's type.
static inline void random_rows(const struct random_shape *s, uint64_t seed, uint32_t n_rows, void *rows)
{
    struct random_state r = {seed * 0xD1B54A32D192ED03ull + 1};
    for (size_t i = 0; i < (size_t)n_rows * s->n_features; i++) {
        double x = random_value(s, (uint32_t)(i % s->n_features), &r);
        if (s->family == FOREST_XGBOOST)
            ((float *)rows)[i] = (float)x;
        else
            ((double *)rows)[i] = x;
    }
}
