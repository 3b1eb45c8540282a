// SPDX-License-Identifier: Apache-2.0
// One tree of a LightGBM text model. All indices are checked here, where line and field can be named; that
// the nodes form a tree is forest_check's part.
#include "engine/trees/lightgbm_tree.h"

#include "base/limits.h"

static const char *const FIELD_NAMES[TREE_FIELDS] = {
    [TREE_NUM_LEAVES] = "num_leaves",         [TREE_NUM_CAT] = "num_cat",
    [TREE_SPLIT_FEATURE] = "split_feature",   [TREE_THRESHOLD] = "threshold",
    [TREE_DECISION_TYPE] = "decision_type",   [TREE_LEFT_CHILD] = "left_child",
    [TREE_RIGHT_CHILD] = "right_child",       [TREE_LEAF_VALUE] = "leaf_value",
    [TREE_CAT_BOUNDARIES] = "cat_boundaries", [TREE_CAT_THRESHOLD] = "cat_threshold",
    [TREE_IS_LINEAR] = "is_linear",           [TREE_LEAF_CONST] = "leaf_const",
    [TREE_NUM_FEATURES] = "num_features",     [TREE_LEAF_FEATURES] = "leaf_features",
    [TREE_LEAF_COEFF] = "leaf_coeff",
};

// Statistics of training; LightGBM predicts without them too. Leaf values already include shrinkage.
static const char *const SKIPPED_NAMES[] = {"split_gain",     "leaf_weight",     "leaf_count",
                                            "internal_value", "internal_weight", "internal_count",
                                            "shrinkage"};

enum { DECISION_CATEGORICAL = 1, DECISION_DEFAULT_LEFT = 2, DECISION_MISSING_SHIFT = 2, DECISION_MAX = 15 };

static bool is_skipped(struct str name)
{
    for (size_t i = 0; i < sizeof SKIPPED_NAMES / sizeof *SKIPPED_NAMES; i++)
        if (str_eq(name, str_of(SKIPPED_NAMES[i])))
            return true;
    return false;
}

static int field_put(struct tree_text *t, struct str line, uint32_t line_no, struct err *e)
{
    struct str value = line, name = str_split(&value, '=');
    if (name.n == line.n)
        return err_set(e, ERR_BAD_MODEL, "line %u, tree %u: '%s' is not of the form name=value", line_no,
                       t->number, lines_shown(line).z);
    for (int i = 0; i < TREE_FIELDS; i++) {
        if (!str_eq(name, str_of(FIELD_NAMES[i])))
            continue;
        if (t->f[i].line)
            return err_set(e, ERR_BAD_MODEL, "line %u, tree %u: %s stands in line %u already", line_no,
                           t->number, FIELD_NAMES[i], t->f[i].line);
        t->f[i] = (struct field){value, line_no};
        return 0;
    }
    if (is_skipped(name))
        return 0;
    return err_set(e, ERR_UNSUPPORTED_MODEL,
                   "line %u, tree %u: the field '%s' of a tree is not one that this version knows", line_no,
                   t->number, lines_shown(name).z);
}

static struct list tree_list(const struct tree_text *t, enum tree_field i, uint32_t want, struct err *e)
{
    return list_of(t->f[i], FIELD_NAMES[i], t->number, want, e);
}

static int need(const struct tree_text *t, enum tree_field i, struct err *e)
{
    return t->f[i].line ? 0
                        : err_set(e, ERR_BAD_MODEL, "line %u, tree %u: the field '%s' is missing", t->line,
                                  t->number, FIELD_NAMES[i]);
}

// A tree of one leaf has no splits, but may have their fields, empty.
static int need_split(const struct tree_text *t, enum tree_field i, struct err *e)
{
    return t->n_leaves > 1 ? need(t, i, e) : 0;
}

static int number(const struct tree_text *t, enum tree_field i, int64_t min, int64_t max, int64_t *ret,
                  struct err *e)
{
    int rc = need(t, i, e);
    if (rc)
        return rc;
    struct list l = tree_list(t, i, 1, e);
    rc = list_int(&l, min, max, ret);
    return rc ? rc : list_end(&l);
}

// A declared count is believed only as far as the text has values for it.
static int check_count(const struct tree_text *t, enum tree_field i, uint64_t want, struct err *e)
{
    int rc = need(t, i, e);
    uint64_t has = rc ? 0 : list_count(t->f[i].value);
    if (!rc && has != want)
        rc = err_set(e, ERR_BAD_MODEL, "line %u, tree %u: %s has %llu values, expected %llu", t->f[i].line,
                     t->number, FIELD_NAMES[i], (unsigned long long)has, (unsigned long long)want);
    return rc;
}

static int sizes_read(struct tree_text *t, struct err *e)
{
    int64_t leaves, cat, linear = 0;
    int rc = number(t, TREE_NUM_LEAVES, 1, LIMIT_NODES / 2, &leaves, e);
    if (!rc)
        rc = number(t, TREE_NUM_CAT, 0, LIMIT_NODES, &cat, e);
    if (!rc && t->f[TREE_IS_LINEAR].line) // LightGBM before 3.2 has no linear trees
        rc = number(t, TREE_IS_LINEAR, 0, 1, &linear, e);
    if (!rc)
        rc = check_count(t, TREE_LEAF_VALUE, (uint64_t)leaves, e);
    if (!rc && cat)
        rc = check_count(t, TREE_CAT_BOUNDARIES, (uint64_t)cat + 1, e);
    if (!rc && cat)
        rc = need(t, TREE_CAT_THRESHOLD, e);
    if (!rc && linear)
        rc = need(t, TREE_LEAF_FEATURES, e);
    if (rc)
        return rc;
    uint64_t words = cat ? list_count(t->f[TREE_CAT_THRESHOLD].value) : 0;
    uint64_t terms = linear ? list_count(t->f[TREE_LEAF_FEATURES].value) : 0;
    if (words > LIMIT_NODES || terms > LIMIT_NODES)
        return err_set(e, ERR_TOO_LARGE, "line %u, tree %u: more than %d category words or linear terms",
                       t->line, t->number, (int)LIMIT_NODES);
    t->n_leaves = (uint32_t)leaves;
    t->n_cat = (uint32_t)cat;
    t->linear = linear;
    t->cat_words = (uint32_t)words;
    t->lin_terms = (uint32_t)terms;
    return 0;
}

int tree_text_read(struct lines *in, uint32_t number_, struct tree_text *ret, struct err *e)
{
    *ret = (struct tree_text){.number = number_, .line = in->n};
    struct lines ahead = *in;
    struct str line;
    while (lines_next(&ahead, &line)) {
        if (str_starts(line, STR("Tree=")) || str_eq(line, STR("end of trees")))
            break;
        if (line.n) {
            int rc = field_put(ret, line, ahead.n, e);
            if (rc)
                return rc;
        }
        *in = ahead;
    }
    return sizes_read(ret, e);
}

static int children_parse(const struct tree_text *t, struct forest_node *nodes, struct err *e)
{
    uint32_t inner = t->n_leaves - 1;
    for (int side = 0; side < 2; side++) {
        enum tree_field which = side ? TREE_RIGHT_CHILD : TREE_LEFT_CHILD;
        struct list l = tree_list(t, which, inner, e);
        int rc = need_split(t, which, e);
        for (uint32_t i = 0; !rc && i < inner; i++) {
            int64_t v; // a node, or ~leaf
            rc = list_int(&l, -(int64_t)t->n_leaves, (int64_t)inner - 1, &v);
            if (rc)
                break;
            int32_t child = (int32_t)(v >= 0 ? v : inner + ~v);
            *(side ? &nodes[i].right : &nodes[i].left) = child;
        }
        if (!rc)
            rc = list_end(&l);
        if (rc)
            return rc;
    }
    return 0;
}

static int decisions_parse(const struct tree_text *t, struct forest_node *nodes, uint32_t n_features,
                           struct err *e)
{
    uint32_t inner = t->n_leaves - 1;
    struct list feature = tree_list(t, TREE_SPLIT_FEATURE, inner, e);
    struct list type = tree_list(t, TREE_DECISION_TYPE, inner, e);
    int rc = need_split(t, TREE_SPLIT_FEATURE, e);
    if (!rc)
        rc = need_split(t, TREE_DECISION_TYPE, e);
    for (uint32_t i = 0; !rc && i < inner; i++) {
        int64_t v, bits;
        if ((rc = list_int(&feature, 0, (int64_t)n_features - 1, &v)))
            break;
        if ((rc = list_int(&type, 0, DECISION_MAX, &bits)))
            break;
        int missing = (int)(bits >> DECISION_MISSING_SHIFT);
        if (missing > MISSING_NAN)
            return err_set(e, ERR_BAD_MODEL,
                           "line %u, tree %u: decision_type[%u] is %d, which has no rule for missing values",
                           t->f[TREE_DECISION_TYPE].line, t->number, i, (int)bits);
        nodes[i].feature = (uint32_t)v;
        nodes[i].categorical = bits & DECISION_CATEGORICAL;
        nodes[i].default_left = bits & DECISION_DEFAULT_LEFT;
        nodes[i].missing = (uint8_t)missing;
    }
    if (!rc)
        rc = list_end(&feature);
    return rc ? rc : list_end(&type);
}

// The category sets go to the forest's table; a categorical node's threshold is the number of its set.
static int thresholds_parse(const struct tree_text *t, struct forest_node *nodes, const uint32_t *bounds,
                            uint32_t first_word, struct err *e)
{
    uint32_t inner = t->n_leaves - 1;
    struct list l = tree_list(t, TREE_THRESHOLD, inner, e);
    int rc = need_split(t, TREE_THRESHOLD, e);
    for (uint32_t i = 0; !rc && i < inner; i++) {
        if (!nodes[i].categorical) {
            rc = list_threshold(&l, &nodes[i].threshold);
            continue;
        }
        int64_t set;
        rc = list_int(&l, 0, (int64_t)t->n_cat - 1, &set);
        if (!rc) {
            nodes[i].cat_first = first_word + bounds[set];
            nodes[i].cat_words = bounds[set + 1] - bounds[set];
        }
    }
    return rc ? rc : list_end(&l);
}

static int categories_parse(const struct tree_text *t, uint32_t *bounds, struct forest *f, struct err *e)
{
    struct list l = tree_list(t, TREE_CAT_BOUNDARIES, t->n_cat + 1, e);
    int64_t v, low = 0;
    int rc = 0;
    for (uint32_t i = 0; !rc && i <= t->n_cat; i++) {
        int64_t high = i == 0 ? 0 : t->cat_words;
        rc = list_int(&l, i == t->n_cat ? high : low, high, &v);
        if (!rc)
            bounds[i] = (uint32_t)(low = v);
    }
    if (!rc)
        rc = list_end(&l);
    l = tree_list(t, TREE_CAT_THRESHOLD, t->cat_words, e);
    for (uint32_t i = 0; !rc && i < t->cat_words; i++) {
        rc = list_int(&l, 0, UINT32_MAX, &v);
        if (!rc)
            f->cat_words[f->n_cat_words + i] = (uint32_t)v;
    }
    return rc ? rc : list_end(&l);
}

static int leaves_parse(const struct tree_text *t, struct forest_node *leaves, struct forest *f,
                        struct err *e)
{
    struct list l = tree_list(t, TREE_LEAF_VALUE, t->n_leaves, e);
    int rc = 0;
    for (uint32_t i = 0; !rc && i < t->n_leaves; i++) {
        uint32_t leaf = f->n_leaves + i;
        leaves[i] = (struct forest_node){.left = -1, .right = -1, .leaf = leaf};
        rc = list_double(&l, &f->leaf_values[leaf]);
        if (f->linear && !rc) // in a model with linear trees, an ordinary tree's leaves are constants
            f->linear[leaf] =
                (struct forest_linear){.constant = f->leaf_values[leaf], .first = f->n_linear_terms};
    }
    return rc ? rc : list_end(&l);
}

static int linear_constants_parse(const struct tree_text *t, struct forest *f, struct err *e)
{
    struct list constant = tree_list(t, TREE_LEAF_CONST, t->n_leaves, e);
    struct list n = tree_list(t, TREE_NUM_FEATURES, t->n_leaves, e);
    int rc = need(t, TREE_LEAF_CONST, e);
    if (!rc)
        rc = need(t, TREE_NUM_FEATURES, e);
    uint32_t used = 0;
    for (uint32_t i = 0; !rc && i < t->n_leaves; i++) {
        struct forest_linear *leaf = &f->linear[f->n_leaves + i];
        int64_t v = 0;
        rc = list_double(&constant, &leaf->constant);
        if (!rc)
            rc = list_int(&n, 0, (int64_t)t->lin_terms - used, &v);
        leaf->first = f->n_linear_terms + used;
        leaf->n = (uint32_t)v;
        used += leaf->n;
    }
    if (!rc)
        rc = list_end(&constant);
    if (!rc)
        rc = list_end(&n);
    if (!rc && used != t->lin_terms)
        rc =
            err_set(e, ERR_BAD_MODEL, "line %u, tree %u: leaf_features has %u values, num_features add to %u",
                    t->f[TREE_LEAF_FEATURES].line, t->number, t->lin_terms, used);
    return rc;
}

static int linear_parse(const struct tree_text *t, struct forest *f, struct err *e)
{
    int rc = linear_constants_parse(t, f, e);
    if (!rc)
        rc = need(t, TREE_LEAF_COEFF, e);
    struct list feature = tree_list(t, TREE_LEAF_FEATURES, t->lin_terms, e);
    struct list coef = tree_list(t, TREE_LEAF_COEFF, t->lin_terms, e);
    for (uint32_t i = 0; !rc && i < t->lin_terms; i++) {
        int64_t v = 0;
        rc = list_int(&feature, 0, (int64_t)f->sig.n_features - 1, &v);
        if (!rc)
            rc = list_double(&coef, &f->linear_coefs[f->n_linear_terms + i]);
        f->linear_features[f->n_linear_terms + i] = (uint32_t)v;
    }
    return rc ? rc : list_end(&coef);
}

static int splits_parse(const struct tree_text *t, struct forest_node *nodes, const uint32_t *bounds,
                        struct forest *f, struct err *e)
{
    int rc = children_parse(t, nodes, e);
    if (!rc)
        rc = decisions_parse(t, nodes, f->sig.n_features, e);
    return rc ? rc : thresholds_parse(t, nodes, bounds, f->n_cat_words, e);
}

int tree_text_parse(const struct tree_text *t, struct arena *a, struct forest *f, struct err *e)
{
    struct forest_node *nodes = f->nodes + f->n_nodes;
    uint32_t inner = t->n_leaves - 1;
    uint32_t *bounds = arena_calloc(a, (size_t)t->n_cat + 1, sizeof *bounds);
    if (!bounds)
        return err_set(e, ERR_NOMEM, "no memory for the category sets of tree %u", t->number);
    int rc = t->n_cat ? categories_parse(t, bounds, f, e) : 0;
    if (!rc)
        rc = splits_parse(t, nodes, bounds, f, e);
    if (!rc)
        rc = leaves_parse(t, nodes + inner, f, e);
    if (!rc && t->linear)
        rc = linear_parse(t, f, e);
    if (rc)
        return rc;
    f->trees[f->n_trees++] = (struct forest_tree){.first_node = f->n_nodes,
                                                  .n_nodes = inner + t->n_leaves,
                                                  .group = (t->number) % f->n_groups,
                                                  .weight = 1.0f};
    f->n_nodes += inner + t->n_leaves;
    f->n_leaves += t->n_leaves;
    f->n_cat_words += t->cat_words;
    f->n_linear_terms += t->lin_terms;
    return 0;
}
