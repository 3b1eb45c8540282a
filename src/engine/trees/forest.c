// SPDX-License-Identifier: Apache-2.0
// What a sound forest is. Every parser ends here, and every kernel and image is built from what passed here
// without asking again: a rule that is missing in this file is a read out of bounds elsewhere.
// Linear in the size of the forest and without recursion, because the file decides how deep trees are.
#include "engine/trees/forest.h"

#include "base/limits.h"

#include <math.h>

static int bad(struct err *e, const char *what)
{
    return err_set(e, ERR_BAD_MODEL, "%s", what);
}

static bool is_float32(double x)
{
    return (double)(float)x == x;
}

static uint32_t outputs_of(const struct forest *f)
{
    return f->transform == TRANSFORM_ARGMAX ? 1 : f->n_groups;
}

static int check_signature(const struct forest *f, struct err *e)
{
    const struct signature *s = &f->sig;
    enum dtype want = f->family == FOREST_XGBOOST ? DTYPE_FP32 : DTYPE_FP64;
    if (s->n_features < 1 || s->n_features > LIMIT_MODEL_FEATURES)
        return err_set(e, ERR_BAD_MODEL, "%u features; 1 to %d are possible", s->n_features,
                       (int)LIMIT_MODEL_FEATURES);
    if (!s->features)
        return bad(e, "the signature has no features");
    for (uint32_t i = 0; i < s->n_features; i++)
        if (!s->features[i].name.p || !s->features[i].name.n)
            return err_set(e, ERR_BAD_MODEL, "feature %u has an empty name", i);
    if (s->input_dtype != want || s->output_dtype != want)
        return bad(e, "the signature has another datatype than its library");
    if (s->n_outputs != outputs_of(f))
        return err_set(e, ERR_BAD_MODEL, "%u outputs declared, %u computed", s->n_outputs, outputs_of(f));
    return 0;
}

// Which features of the form the family knows at all, and the sizes that do not depend on a tree.
static int check_shape(const struct forest *f, struct err *e)
{
    if (f->family != FOREST_XGBOOST && f->family != FOREST_LIGHTGBM)
        return bad(e, "unknown forest family");
    if (f->transform >= TRANSFORM_LIMIT)
        return bad(e, "unknown output transform");
    if (f->n_groups < 1 || f->n_groups > LIMIT_MODEL_OUTPUTS)
        return err_set(e, ERR_BAD_MODEL, "%u outputs per row; 1 to %d are possible", f->n_groups,
                       (int)LIMIT_MODEL_OUTPUTS);
    if (f->leaf_width != 1 && f->leaf_width != f->n_groups)
        return err_set(e, ERR_BAD_MODEL, "leaves of %u values in a model of %u outputs", f->leaf_width,
                       f->n_groups);
    if (f->n_trees > LIMIT_TREES)
        return err_set(e, ERR_BAD_MODEL, "%u trees; at most %d are possible", f->n_trees, (int)LIMIT_TREES);
    if (f->n_nodes > LIMIT_NODES)
        return err_set(e, ERR_BAD_MODEL, "%u nodes; at most %d are possible", f->n_nodes, (int)LIMIT_NODES);
    if ((f->n_trees && !f->trees) || (f->n_nodes && !f->nodes) || (f->n_leaves && !f->leaf_values) ||
        (f->n_cat_words && !f->cat_words) || !f->base ||
        (f->n_linear_terms && (!f->linear_features || !f->linear_coefs)))
        return bad(e, "an array of the forest is absent");
    if (f->family == FOREST_XGBOOST && (f->linear || f->average))
        return bad(e, "an XGBoost forest has neither linear leaves nor an average");
    if (f->family == FOREST_LIGHTGBM && (f->linear_weights || f->leaf_width != 1))
        return bad(e, "a LightGBM forest has neither linear weights nor vector leaves");
    if (f->linear_weights && f->n_trees)
        return bad(e, "a linear model has no trees");
    if (f->average && (f->n_trees == 0 || f->n_trees % f->n_groups))
        return err_set(e, ERR_BAD_MODEL, "an average over %u trees for %u outputs", f->n_trees, f->n_groups);
    return check_signature(f, e);
}

static int check_numbers(const struct forest *f, struct err *e)
{
    bool single = f->family == FOREST_XGBOOST;
    if (!isfinite(f->transform_param))
        return bad(e, "the parameter of the output transform is not finite");
    for (uint32_t g = 0; g < f->n_groups; g++)
        if (!isfinite(f->base[g]) || (single && !is_float32(f->base[g])))
            return err_set(e, ERR_BAD_MODEL, "base score %u is not a finite number", g);
    for (uint64_t i = 0, n = (uint64_t)f->n_leaves * f->leaf_width; i < n; i++)
        if (!isfinite(f->leaf_values[i]) || (single && !is_float32(f->leaf_values[i])))
            return err_set(e, ERR_BAD_MODEL, "value %llu of leaf %llu is not a finite number",
                           (unsigned long long)(i % f->leaf_width), (unsigned long long)(i / f->leaf_width));
    for (uint32_t i = 0; i < f->n_linear_terms; i++) {
        if (!isfinite(f->linear_coefs[i]))
            return err_set(e, ERR_BAD_MODEL, "coefficient %u of the linear leaves is not finite", i);
        if (f->linear_features[i] >= f->sig.n_features)
            return err_set(e, ERR_BAD_MODEL, "linear term %u uses feature %u of %u", i, f->linear_features[i],
                           f->sig.n_features);
    }
    for (uint32_t i = 0; f->linear && i < f->n_leaves; i++) {
        const struct forest_linear *l = &f->linear[i];
        if (!isfinite(l->constant))
            return err_set(e, ERR_BAD_MODEL, "the constant of linear leaf %u is not finite", i);
        if (l->first > f->n_linear_terms || l->n > f->n_linear_terms - l->first)
            return err_set(e, ERR_BAD_MODEL, "the terms of linear leaf %u lie outside the table", i);
    }
    if (f->linear_weights)
        for (uint64_t i = 0, n = ((uint64_t)f->sig.n_features + 1) * f->n_groups; i < n; i++)
            if (!isfinite(f->linear_weights[i]) || !is_float32(f->linear_weights[i]))
                return err_set(e, ERR_BAD_MODEL, "linear weight %llu is not a finite number",
                               (unsigned long long)i);
    return 0;
}

static int bad_node(struct err *e, uint32_t tree, uint32_t node, const char *what)
{
    return err_set(e, ERR_BAD_MODEL, "tree %u, node %u: %s", tree, node, what);
}

static int check_node(const struct forest *f, uint32_t t, uint32_t i, struct err *e)
{
    const struct forest_tree *tree = &f->trees[t];
    const struct forest_node *n = &f->nodes[tree->first_node + i];
    if (n->left == -1 && n->right == -1)
        return n->leaf < f->n_leaves ? 0 : bad_node(e, t, i, "its leaf value lies outside the table");
    if (n->left < 0 || n->right < 0 || (uint32_t)n->left >= tree->n_nodes ||
        (uint32_t)n->right >= tree->n_nodes)
        return bad_node(e, t, i, "a child lies outside the tree");
    if (n->feature >= f->sig.n_features)
        return err_set(e, ERR_BAD_MODEL, "tree %u, node %u: splits on feature %u of %u", t, i, n->feature,
                       f->sig.n_features);
    if (n->missing > MISSING_NAN || (f->family == FOREST_XGBOOST && n->missing != MISSING_NAN))
        return bad_node(e, t, i, "unknown rule for missing values");
    if (n->categorical) {
        if (n->cat_first > f->n_cat_words || n->cat_words > f->n_cat_words - n->cat_first)
            return bad_node(e, t, i, "its category set lies outside the table");
        return 0;
    }
    if (isnan(n->threshold))
        return bad_node(e, t, i, "the threshold is not a number");
    if (f->family == FOREST_XGBOOST && !is_float32(n->threshold))
        return bad_node(e, t, i, "the threshold is not a float32");
    return 0;
}

// Breadth first from the root. Each node must be met exactly once: a second meeting is a cycle or a shared
// node, none is a node that belongs to no path (parsers leave out what their library marks as deleted).
static int check_reach(const struct forest *f, uint32_t t, uint32_t *queue, uint32_t *depth, struct err *e)
{
    const struct forest_tree *tree = &f->trees[t];
    const struct forest_node *nodes = f->nodes + tree->first_node;
    for (uint32_t i = 0; i < tree->n_nodes; i++)
        depth[i] = UINT32_MAX;
    uint32_t met = 1;
    queue[0] = 0;
    depth[0] = 0;
    for (uint32_t at = 0; at < met; at++) {
        const struct forest_node *n = &nodes[queue[at]];
        if (n->left == -1)
            continue;
        if (depth[queue[at]] >= LIMIT_TREE_DEPTH)
            return err_set(e, ERR_BAD_MODEL, "tree %u is deeper than %d levels", t, (int)LIMIT_TREE_DEPTH);
        const int32_t children[2] = {n->left, n->right};
        for (int c = 0; c < 2; c++) {
            uint32_t child = (uint32_t)children[c];
            if (depth[child] != UINT32_MAX)
                return bad_node(e, t, child, "two ways lead here (a cycle or a shared node)");
            depth[child] = depth[queue[at]] + 1;
            queue[met++] = child;
        }
    }
    for (uint32_t i = 0; met < tree->n_nodes && i < tree->n_nodes; i++)
        if (depth[i] == UINT32_MAX)
            return bad_node(e, t, i, "no way leads here from the root");
    return 0;
}

static int check_tree(const struct forest *f, uint32_t t, uint32_t *queue, uint32_t *depth, struct err *e)
{
    const struct forest_tree *tree = &f->trees[t];
    if (f->leaf_width == 1 && tree->group >= f->n_groups)
        return err_set(e, ERR_BAD_MODEL, "tree %u adds to output %u of %u", t, tree->group, f->n_groups);
    if (!isfinite(tree->weight) || (f->family == FOREST_LIGHTGBM && tree->weight != 1.0f))
        return err_set(e, ERR_BAD_MODEL, "tree %u: its weight is not a finite number", t);
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        int rc = check_node(f, t, i, e);
        if (rc)
            return rc;
    }
    return check_reach(f, t, queue, depth, e);
}

int forest_check(const struct forest *f, struct arena *scratch, struct err *e)
{
    int rc = check_shape(f, e);
    if (!rc)
        rc = check_numbers(f, e);
    if (rc)
        return rc;
    // Trees lie one after the other and fill the node array: so no node is shared or forgotten.
    uint32_t next = 0, largest = 0;
    for (uint32_t t = 0; t < f->n_trees; t++) {
        const struct forest_tree *tree = &f->trees[t];
        if (tree->n_nodes < 1 || tree->first_node != next || tree->n_nodes > f->n_nodes - next)
            return err_set(e, ERR_BAD_MODEL, "tree %u: its nodes do not follow those of the tree before", t);
        next += tree->n_nodes;
        largest = tree->n_nodes > largest ? tree->n_nodes : largest;
    }
    if (next != f->n_nodes)
        return err_set(e, ERR_BAD_MODEL, "%u nodes belong to no tree", f->n_nodes - next);
    uint32_t *queue = arena_calloc(scratch, largest, sizeof *queue);
    uint32_t *depth = arena_calloc(scratch, largest, sizeof *depth);
    if (!queue || !depth)
        return err_set(e, ERR_NOMEM, "no memory to check trees of %u nodes", largest);
    for (uint32_t t = 0; t < f->n_trees; t++) {
        rc = check_tree(f, t, queue, depth, e);
        if (rc)
            return rc;
    }
    return 0;
}
