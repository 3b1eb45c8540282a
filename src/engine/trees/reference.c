// SPDX-License-Identifier: Apache-2.0
// The reference evaluator: the libraries' own prediction, written down plainly, one node at a time. It is the
// oracle of every kernel and never on the predict path. XGBoost: src/predictor/predict_fn.h,
// cpu_predictor.cc, common/categorical.h, gbm/gblinear.cc. LightGBM: include/LightGBM/tree.h,
// src/boosting/gbdt_prediction.cpp, src/c_api.cpp. The order and the type of each addition are part of the
// result.
#include "engine/trees/forest.h"

#include <math.h>

enum { XGBOOST_CATEGORY_END = 1 << 24 }; // integers above are not exact in float32
static const double LIGHTGBM_ZERO = (double)1e-35f;

static bool in_set(const struct forest *f, const struct forest_node *n, uint32_t category)
{
    return category / 32 < n->cat_words &&
           (f->cat_words[n->cat_first + category / 32] >> (category % 32) & 1u);
}

static bool xgboost_goes_left(const struct forest *f, const struct forest_node *n, float x)
{
    if (isnan(x))
        return n->default_left;
    if (!n->categorical)
        return x < (float)n->threshold;
    return x < 0 || x >= XGBOOST_CATEGORY_END || !in_set(f, n, (uint32_t)x);
}

static bool lightgbm_goes_left(const struct forest *f, const struct forest_node *n, double x)
{
    if (n->categorical)
        // The library truncates towards zero, so that -0.9 is category 0; what no int holds is in no set.
        return x > -1.0 && x < 2147483648.0 && in_set(f, n, (uint32_t)(int32_t)x);
    if (isnan(x) && n->missing != MISSING_NAN)
        x = 0.0;
    if ((n->missing == MISSING_ZERO && fabs(x) <= LIGHTGBM_ZERO) || (n->missing == MISSING_NAN && isnan(x)))
        return n->default_left;
    return x <= n->threshold;
}

static uint32_t xgboost_leaf(const struct forest *f, const struct forest_tree *t, const float *row)
{
    const struct forest_node *nodes = f->nodes + t->first_node, *n = nodes;
    while (n->left != -1)
        n = &nodes[xgboost_goes_left(f, n, row[n->feature]) ? n->left : n->right];
    return n->leaf;
}

// The C API passes on only what is not zero or NaN; all else becomes +0.0.
static double lightgbm_input(double x)
{
    return fabs(x) > LIGHTGBM_ZERO || isnan(x) ? x : 0.0;
}

static uint32_t lightgbm_leaf(const struct forest *f, const struct forest_tree *t, const double *row)
{
    const struct forest_node *nodes = f->nodes + t->first_node, *n = nodes;
    while (n->left != -1)
        n = &nodes[lightgbm_goes_left(f, n, lightgbm_input(row[n->feature])) ? n->left : n->right];
    return n->leaf;
}

static double lightgbm_leaf_value(const struct forest *f, uint32_t leaf, const double *row)
{
    if (!f->linear)
        return f->leaf_values[leaf];
    const struct forest_linear *l = &f->linear[leaf];
    double sum = l->constant;
    for (uint32_t i = l->first; i < l->first + l->n; i++) {
        double x = lightgbm_input(row[f->linear_features[i]]);
        if (isnan(x))
            return f->leaf_values[leaf];
        sum += f->linear_coefs[i] * x;
    }
    return sum;
}

// gblinear: bias and base first, then the features in order; a missing value adds nothing.
static void xgboost_linear_margin(const struct forest *f, const float *row, float *out)
{
    const double *bias = f->linear_weights + (size_t)f->sig.n_features * f->n_groups;
    for (uint32_t g = 0; g < f->n_groups; g++) {
        float sum = (float)bias[g] + (float)f->base[g];
        for (uint32_t i = 0; i < f->sig.n_features; i++)
            if (!isnan(row[i]))
                sum += row[i] * (float)f->linear_weights[(size_t)i * f->n_groups + g];
        out[g] = sum;
    }
}

static void xgboost_margin(const struct forest *f, const float *row, float *out)
{
    if (f->linear_weights) {
        xgboost_linear_margin(f, row, out);
        return;
    }
    for (uint32_t g = 0; g < f->n_groups; g++)
        out[g] = (float)f->base[g];
    for (uint32_t t = 0; t < f->n_trees; t++) {
        const struct forest_tree *tree = &f->trees[t];
        const double *v = f->leaf_values + (size_t)xgboost_leaf(f, tree, row) * f->leaf_width;
        uint32_t first = f->leaf_width == 1 ? tree->group : 0;
        for (uint32_t j = 0; j < f->leaf_width; j++)
            out[first + j] += (float)v[j] * tree->weight;
    }
}

static void lightgbm_margin(const struct forest *f, const double *row, double *out)
{
    for (uint32_t g = 0; g < f->n_groups; g++)
        out[g] = f->base[g];
    for (uint32_t t = 0; t < f->n_trees; t++)
        out[f->trees[t].group] += lightgbm_leaf_value(f, lightgbm_leaf(f, &f->trees[t], row), row);
    for (uint32_t g = 0; f->average && g < f->n_groups; g++)
        out[g] /= (double)(f->n_trees / f->n_groups);
}

void forest_reference_margin(const struct forest *f, const void *row, void *out)
{
    if (f->family == FOREST_XGBOOST)
        xgboost_margin(f, row, out);
    else
        lightgbm_margin(f, row, out);
}
