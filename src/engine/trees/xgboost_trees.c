// SPDX-License-Identifier: Apache-2.0
// The trees of an XGBoost model document. Each tree is a set of parallel arrays with one item per node;
// leaves have left child -1. Pruned trees keep their deleted nodes in the arrays, marked by a feature index
// that cannot be; they are left out here and the rest is renumbered. Source: src/tree/tree_model.cc,
// src/tree/io_utils.h, src/tree/multi_target_tree_model.cc.
#include "engine/trees/xgboost_doc.h"

#include "base/limits.h"

#include <string.h>

enum { DELETED_FEATURE = INT32_MAX, CATEGORY_END = 1 << 24, DELETED = -2 };
#define DELETED_UNKNOWN UINT32_MAX // XGBoost 1.0 does not say how many

struct tree_in {
    struct doc doc;
    uint32_t n, n_deleted;
    int32_t *left, *right, *parent, *feature, *default_left, *split_type;
    int32_t *new_id; // node of the file -> node of the forest's tree, or DELETED
    float *condition;
    float *leaf_rows;   // vector leaves: (n_leaf_rows, leaf_width), else NULL
    size_t n_leaf_rows; // = nodes where a leaf's row is that of its node, before XGBoost 3.1
    bool row_by_leaf;   // the row's number stands in the leaf's right child
};

struct builder {
    struct arena *a;
    struct forest *f;
    struct err *e;
    struct tree_in in;   // arrays for the largest tree
    uint32_t max_leaves; // where the tree in hand must stop
    uint32_t cap_words;
};

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for the model's trees");
}

static int bad_node(struct builder *b, uint32_t node, const char *what)
{
    return err_set(b->e, ERR_BAD_MODEL, "node %u: %s", node, what);
}

// Sizes of one tree as declared, held against the length of its arrays: all later memory follows from these.
static int tree_sizes(struct doc tree, uint32_t *ret_n, uint32_t *ret_deleted, uint32_t *ret_width,
                      struct err *e)
{
    struct doc param, left;
    int rc = doc_get(tree, "tree_param", DOC_OBJECT, &param, e);
    if (!rc)
        rc = doc_param(param, "num_nodes", LIMIT_NODES, 0, ret_n, e);
    if (!rc)
        rc = doc_param(param, "num_deleted", LIMIT_NODES, DELETED_UNKNOWN, ret_deleted, e);
    if (!rc)
        rc = doc_param(param, "size_leaf_vector", LIMIT_MODEL_OUTPUTS, 1, ret_width, e);
    if (!rc)
        rc = doc_get(tree, "left_children", DOC_ARRAY, &left, e);
    if (rc)
        return rc;
    if (*ret_width == 0) // as XGBoost 1.x writes for plain leaves
        *ret_width = 1;
    if (doc_length(left) != *ret_n)
        return err_set(e, ERR_BAD_MODEL, "'left_children' has %zu values instead of %u", doc_length(left),
                       *ret_n);
    if (*ret_deleted != DELETED_UNKNOWN && *ret_deleted >= *ret_n)
        return err_set(e, ERR_BAD_MODEL, "%u of %u nodes deleted leaves no tree", *ret_deleted, *ret_n);
    return 0;
}

// First pass: allocates everything for the trees of the list.
static int allocate(struct builder *b, struct doc trees, uint32_t n_trees)
{
    uint64_t nodes = 0, leaves = 0;
    uint32_t largest = 0, t = 0;
    struct forest *f = b->f;
    for (struct doc d = doc_first(trees); t < n_trees; t++, d = t < n_trees ? doc_next(d) : d) {
        uint32_t n, deleted, width;
        if (doc_kind(d) != DOC_OBJECT)
            return err_set(b->e, ERR_BAD_MODEL, "tree %u is not an object", t);
        int rc = tree_sizes(d, &n, &deleted, &width, b->e);
        if (rc)
            return err_wrap(b->e, "tree %u", t);
        if (t > 0 && width != f->leaf_width)
            return err_set(b->e, ERR_BAD_MODEL, "tree %u: leaves of %u values after leaves of %u", t, width,
                           f->leaf_width);
        f->leaf_width = width;
        nodes += n;
        leaves += (n + 1) / 2;
        largest = n > largest ? n : largest;
    }
    if (nodes > LIMIT_NODES)
        return err_set(b->e, ERR_TOO_LARGE, "more than %d nodes", (int)LIMIT_NODES);
    f->trees = arena_calloc(b->a, n_trees, sizeof *f->trees);
    f->nodes = arena_calloc(b->a, nodes, sizeof *f->nodes);
    f->leaf_values = arena_calloc(b->a, leaves * f->leaf_width, sizeof *f->leaf_values);
    int32_t **ints[] = {&b->in.left,         &b->in.right,      &b->in.parent, &b->in.feature,
                        &b->in.default_left, &b->in.split_type, &b->in.new_id};
    bool ok = f->trees && f->nodes && f->leaf_values;
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++)
        ok = (*ints[i] = arena_calloc(b->a, largest, sizeof(int32_t))) && ok;
    b->in.condition = arena_calloc(b->a, largest, sizeof(float));
    return ok && b->in.condition ? 0 : no_memory(b->e);
}

// Since 3.1 the leaves' vectors are a table of their own; before, each node had a row of weights.
static int read_leaf_rows(struct builder *b)
{
    struct tree_in *in = &b->in;
    struct doc rows;
    int rc = doc_find(in->doc, "leaf_weights", DOC_ARRAY, &rows, b->e);
    if (rc)
        return rc;
    in->row_by_leaf = rows.val != NULL;
    const char *key = in->row_by_leaf ? "leaf_weights" : "base_weights";
    in->n_leaf_rows = in->row_by_leaf ? doc_length(rows) / b->f->leaf_width : in->n;
    size_t n = in->n_leaf_rows * b->f->leaf_width;
    if (!rows.val) {
        rc = doc_get(in->doc, key, DOC_ARRAY, &rows, b->e);
        if (rc)
            return rc;
        if (doc_length(rows) != n)
            return err_set(b->e, ERR_BAD_MODEL, "'%s' has %zu values instead of %zu", key, doc_length(rows),
                           n);
    }
    in->leaf_rows = arena_calloc(b->a, n, sizeof(float));
    return in->leaf_rows ? doc_get_floats(in->doc, key, in->leaf_rows, n, b->e) : no_memory(b->e);
}

static int read_arrays(struct builder *b)
{
    struct tree_in *in = &b->in;
    struct doc types;
    const struct {
        const char *key;
        int32_t *to;
    } ints[] = {
        {"left_children", in->left},    {"right_children", in->right},      {"parents", in->parent},
        {"split_indices", in->feature}, {"default_left", in->default_left},
    };
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
        int rc = doc_get_ints(in->doc, ints[i].key, ints[i].to, in->n, b->e);
        if (rc)
            return rc;
    }
    int rc = doc_get_floats(in->doc, "split_conditions", in->condition, in->n, b->e);
    if (!rc)
        rc = doc_find(in->doc, "split_type", DOC_ARRAY, &types, b->e);
    if (rc)
        return rc;
    memset(in->split_type, 0, in->n * sizeof *in->split_type);
    if (types.val) // absent before XGBoost 1.3, which had no categorical splits
        rc = doc_get_ints(in->doc, "split_type", in->split_type, in->n, b->e);
    if (!rc && b->f->leaf_width > 1)
        rc = read_leaf_rows(b);
    return rc;
}

static int renumber(struct builder *b)
{
    struct tree_in *in = &b->in;
    int32_t next = 0;
    for (uint32_t i = 0; i < in->n; i++) {
        bool deleted = in->n_deleted && in->feature[i] == DELETED_FEATURE;
        in->new_id[i] = deleted ? DELETED : next++;
    }
    uint32_t n_deleted = in->n - (uint32_t)next;
    if (in->n_deleted != DELETED_UNKNOWN && in->n_deleted != n_deleted)
        return err_set(b->e, ERR_BAD_MODEL, "%u nodes are marked as deleted, %u are declared", n_deleted,
                       in->n_deleted);
    in->n_deleted = n_deleted;
    return in->new_id[0] == 0 ? 0 : bad_node(b, 0, "the root is deleted");
}

static int put_leaf(struct builder *b, uint32_t i, struct forest_node *node)
{
    const struct tree_in *in = &b->in;
    struct forest *f = b->f;
    if (f->n_leaves >= b->max_leaves)
        return bad_node(b, i, "one leaf more than a tree of so many nodes has");
    node->left = node->right = -1;
    node->leaf = f->n_leaves++;
    double *to = f->leaf_values + (size_t)node->leaf * f->leaf_width;
    if (f->leaf_width == 1) {
        *to = (double)in->condition[i];
        return 0;
    }
    uint32_t row = in->row_by_leaf ? (uint32_t)in->right[i] : i;
    if (row >= in->n_leaf_rows)
        return bad_node(b, i, "its leaf values lie outside the table");
    for (uint32_t j = 0; j < f->leaf_width; j++)
        to[j] = (double)in->leaf_rows[(size_t)row * f->leaf_width + j];
    return 0;
}

static int map_child(struct builder *b, uint32_t i, int32_t child, int32_t *ret)
{
    const struct tree_in *in = &b->in;
    if (child < 0 || (uint32_t)child >= in->n)
        return bad_node(b, i, "a child lies outside the tree");
    if (in->new_id[child] == DELETED)
        return bad_node(b, i, "a child is a deleted node");
    if (in->parent[child] != (int32_t)i)
        return bad_node(b, (uint32_t)child, "its parent is another node");
    *ret = in->new_id[child];
    return 0;
}

static int put_split(struct builder *b, uint32_t i, struct forest_node *node)
{
    const struct tree_in *in = &b->in;
    int rc = map_child(b, i, in->left[i], &node->left);
    if (!rc)
        rc = map_child(b, i, in->right[i], &node->right);
    if (rc)
        return rc;
    if (in->feature[i] < 0 || (uint32_t)in->feature[i] >= b->f->sig.n_features)
        return err_set(b->e, ERR_BAD_MODEL, "node %u: splits on feature %d of %u", i, in->feature[i],
                       b->f->sig.n_features);
    if (in->split_type[i] != 0 && in->split_type[i] != 1)
        return err_set(b->e, ERR_BAD_MODEL, "node %u: unknown split type %d", i, in->split_type[i]);
    if (in->default_left[i] != 0 && in->default_left[i] != 1)
        return err_set(b->e, ERR_BAD_MODEL, "node %u: 'default_left' is %d", i, in->default_left[i]);
    node->feature = (uint32_t)in->feature[i];
    node->default_left = in->default_left[i];
    node->categorical = in->split_type[i];
    if (node->categorical) {
        node->cat_first = UINT32_MAX; // until its set is found
        b->f->sig.features[node->feature].categorical = true;
    } else {
        node->threshold = (double)in->condition[i];
    }
    return 0;
}

// Room for n more words of category sets, cleared.
static int reserve_words(struct builder *b, uint32_t n)
{
    struct forest *f = b->f;
    if (n > LIMIT_CATEGORY_WORDS - f->n_cat_words)
        return err_set(b->e, ERR_TOO_LARGE, "the category sets need more than %d words",
                       (int)LIMIT_CATEGORY_WORDS);
    if (n <= b->cap_words - f->n_cat_words)
        return 0;
    uint32_t cap = 2 * (f->n_cat_words + n);
    uint32_t *words = arena_calloc(b->a, cap, sizeof *words);
    if (!words)
        return no_memory(b->e);
    if (f->n_cat_words)
        memcpy(words, f->cat_words, f->n_cat_words * sizeof *words);
    f->cat_words = words;
    b->cap_words = cap;
    return 0;
}

// One set: the categories that go right.
static int put_set(struct builder *b, uint32_t i, const int32_t *categories, size_t n,
                   struct forest_node *node)
{
    struct forest *f = b->f;
    int32_t max = -1;
    if (node->cat_first != UINT32_MAX)
        return bad_node(b, i, "has two category sets");
    for (size_t k = 0; k < n; k++) {
        if (categories[k] < 0 || categories[k] >= CATEGORY_END)
            return err_set(b->e, ERR_BAD_MODEL, "node %u: category %d is not between 0 and %d", i,
                           categories[k], (int)CATEGORY_END - 1);
        max = categories[k] > max ? categories[k] : max;
    }
    uint32_t words = (uint32_t)(max + 32) / 32;
    int rc = reserve_words(b, words);
    if (rc)
        return rc;
    node->cat_first = f->n_cat_words;
    node->cat_words = words;
    f->n_cat_words += words;
    for (size_t k = 0; k < n; k++)
        f->cat_words[node->cat_first + (uint32_t)categories[k] / 32] |= 1u << (categories[k] % 32);
    return 0;
}

// An array of integers of whatever length it has.
static int all_ints(struct builder *b, const char *key, int32_t **ret, size_t *ret_n)
{
    struct doc d;
    *ret = NULL;
    *ret_n = 0;
    int rc = doc_find(b->in.doc, key, DOC_ARRAY, &d, b->e);
    if (rc || !d.val)
        return rc;
    *ret_n = doc_length(d);
    *ret = arena_calloc(b->a, *ret_n, sizeof **ret);
    return *ret ? doc_get_ints(b->in.doc, key, *ret, *ret_n, b->e) : no_memory(b->e);
}

// categories_nodes[j] splits on categories[segments[j] … segments[j] + sizes[j]).
static int read_sets(struct builder *b, struct forest_node *nodes)
{
    const struct tree_in *in = &b->in;
    int32_t *categories, *at, *segments, *sizes;
    size_t n_categories, n, n_segments, n_sizes;
    int rc = all_ints(b, "categories", &categories, &n_categories);
    if (!rc)
        rc = all_ints(b, "categories_nodes", &at, &n);
    if (!rc)
        rc = all_ints(b, "categories_segments", &segments, &n_segments);
    if (!rc)
        rc = all_ints(b, "categories_sizes", &sizes, &n_sizes);
    if (rc)
        return rc;
    if (n != n_segments || n != n_sizes)
        return err_set(b->e, ERR_BAD_MODEL, "%zu categorical nodes, %zu segments, %zu sizes", n, n_segments,
                       n_sizes);
    for (size_t j = 0; j < n; j++) {
        if (at[j] < 0 || (uint32_t)at[j] >= in->n)
            return err_set(b->e, ERR_BAD_MODEL, "category set %zu belongs to node %d of %u", j, at[j], in->n);
        if (segments[j] < 0 || sizes[j] < 0 || (size_t)segments[j] > n_categories ||
            (size_t)sizes[j] > n_categories - (size_t)segments[j])
            return err_set(b->e, ERR_BAD_MODEL, "category set %zu lies outside 'categories'", j);
        uint32_t i = (uint32_t)at[j];
        // A node that pruning made a leaf or deleted keeps its set in the file.
        if (in->new_id[i] == DELETED || in->left[i] == -1)
            continue;
        if (!nodes[in->new_id[i]].categorical)
            return bad_node(b, i, "has a category set but is no categorical split");
        rc = put_set(b, i, categories + segments[j], (size_t)sizes[j], &nodes[in->new_id[i]]);
        if (rc)
            return rc;
    }
    return 0;
}

static int build_tree(struct builder *b, struct doc doc, struct forest_tree *tree)
{
    struct tree_in *in = &b->in;
    struct forest_node *nodes = b->f->nodes + b->f->n_nodes;
    uint32_t width;
    in->doc = doc;
    int rc = tree_sizes(doc, &in->n, &in->n_deleted, &width, b->e);
    if (!rc)
        rc = read_arrays(b);
    if (!rc)
        rc = renumber(b);
    b->max_leaves = b->f->n_leaves + (in->n - in->n_deleted + 1) / 2;
    for (uint32_t i = 0; !rc && i < in->n; i++) {
        if (in->new_id[i] == DELETED)
            continue;
        struct forest_node *node = &nodes[in->new_id[i]];
        node->missing = MISSING_NAN;
        rc = in->left[i] == -1 ? put_leaf(b, i, node) : put_split(b, i, node);
    }
    if (!rc)
        rc = read_sets(b, nodes);
    if (rc)
        return rc;
    tree->first_node = b->f->n_nodes;
    tree->n_nodes = in->n - in->n_deleted;
    tree->weight = 1.0f;
    b->f->n_nodes += tree->n_nodes;
    for (uint32_t i = 0; i < in->n; i++)
        if (in->new_id[i] != DELETED && nodes[in->new_id[i]].categorical &&
            nodes[in->new_id[i]].cat_first == UINT32_MAX)
            return bad_node(b, i, "a categorical split without a category set");
    return 0;
}

// The library stores a tree at the place its id says; it has always written them in that order.
static int check_id(struct doc tree, uint32_t t, struct err *e)
{
    struct doc d;
    int32_t id;
    int rc = doc_find(tree, "id", DOC_NUMBER, &d, e);
    if (rc || !d.val)
        return rc;
    if (!d.ops->integer(d.val, &id) || id != (int32_t)t)
        return err_set(e, ERR_BAD_MODEL, "its 'id' is not its place in the list");
    return 0;
}

static int read_groups(struct builder *b, struct doc model, uint32_t n)
{
    int32_t *groups = arena_calloc(b->a, n, sizeof *groups);
    if (!groups)
        return no_memory(b->e);
    int rc = doc_get_ints(model, "tree_info", groups, n, b->e);
    for (uint32_t t = 0; !rc && t < n; t++) {
        b->f->trees[t].group = (uint32_t)groups[t];
        if (groups[t] < 0 || (uint32_t)groups[t] >= b->f->n_groups)
            return err_set(b->e, ERR_BAD_MODEL, "tree %u adds to output %d of %u", t, groups[t],
                           b->f->n_groups);
    }
    return rc;
}

int xgboost_trees_build(struct doc model, struct arena *a, struct forest *f, struct err *e)
{
    struct builder b = {.a = a, .f = f, .e = e};
    struct doc param, trees;
    uint32_t n;
    int rc = doc_get(model, "gbtree_model_param", DOC_OBJECT, &param, e);
    if (!rc)
        rc = doc_param(param, "num_trees", LIMIT_TREES, 0, &n, e);
    if (!rc)
        rc = doc_get(model, "trees", DOC_ARRAY, &trees, e);
    if (rc)
        return rc;
    if (doc_length(trees) != n)
        return err_set(e, ERR_BAD_MODEL, "'trees' has %zu items, 'num_trees' is %u", doc_length(trees), n);
    f->leaf_width = 1;
    rc = allocate(&b, trees, n);
    if (!rc)
        rc = read_groups(&b, model, n);
    struct doc d = doc_first(trees);
    for (uint32_t t = 0; !rc && t < n; t++, d = t < n ? doc_next(d) : d) {
        rc = check_id(d, t, e);
        if (!rc)
            rc = build_tree(&b, d, &f->trees[t]);
        if (rc)
            return err_wrap(e, "tree %u", t);
        f->n_trees++;
    }
    return rc;
}
