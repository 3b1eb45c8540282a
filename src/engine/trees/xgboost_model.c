// SPDX-License-Identifier: Apache-2.0
// An XGBoost model document, from its root to a checked forest: version, signature, booster, objective, early
// stopping. The trees are xgboost_trees.c's, the objectives xgboost_objective.c's, the encodings
// xgboost_json.c's and xgboost_ubj.c's. Source: src/learner.cc, src/gbm/.
//
// Early stopping: a model trained with it carries the attribute best_iteration. XGBModel.predict (the
// scikit-learn interface, all versions since 1.4) then uses the iterations up to and with it; Booster.predict
// uses all of them unless told otherwise. A file serves as XGBModel.predict would: the extra rounds were
// judged worse by whoever trained it. gblinear has no rounds to leave out and ignores the attribute, as the
// library does.
#include "engine/trees/xgboost_doc.h"

#include "base/limits.h"
#include "base/map.h"

#include <stdio.h>
#include <string.h>

enum { VERSION_MIN = 1, VERSION_MAX = 3 };

struct model_in {
    struct doc root, learner, booster;
    struct doc trees_model; // absent for gblinear
    int32_t version[3];
    struct arena *a;
    struct forest *f;
    struct err *e;
};

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for the model");
}

static int check_version(struct model_in *m)
{
    int32_t *v = m->version;
    int rc = doc_get_ints(m->root, "version", v, 3, m->e);
    if (rc)
        return rc;
    if (v[1] < 0 || v[1] > 99)
        return err_set(m->e, ERR_BAD_MODEL, "'version' says %d.%d.%d", v[0], v[1], v[2]);
    if (v[0] < VERSION_MIN || v[0] > VERSION_MAX)
        return err_set(m->e, ERR_UNSUPPORTED_MODEL,
                       "saved by XGBoost %d.%d.%d; versions %d to %d are understood", v[0], v[1], v[2],
                       (int)VERSION_MIN, (int)VERSION_MAX);
    return 0;
}

static int copy_name(struct model_in *m, struct str name, struct feature *to)
{
    char *p = arena_alloc(m->a, name.n);
    if (!p)
        return no_memory(m->e);
    memcpy(p, name.p, name.n);
    to->name = (struct str){p, name.n};
    return 0;
}

// A list of n strings, or an empty or absent one.
static int find_strings(struct model_in *m, const char *key, uint32_t n, struct doc *ret_first)
{
    struct doc list;
    int rc = doc_find(m->learner, key, DOC_ARRAY, &list, m->e);
    if (rc)
        return rc;
    *ret_first = doc_first(list);
    if (doc_length(list) && (doc_length(list) != n || doc_kind(*ret_first) != DOC_STRING))
        return err_set(m->e, ERR_BAD_MODEL, "'%s' is not a list of %u strings", key, n);
    return 0;
}

static int read_names(struct model_in *m)
{
    struct signature *s = &m->f->sig;
    struct doc d;
    int rc = find_strings(m, "feature_names", s->n_features, &d);
    s->named = d.val != NULL;
    for (uint32_t i = 0; !rc && i < s->n_features; i++) {
        char z[16];
        struct str name = {z, (size_t)snprintf(z, sizeof z, "f%u", i)};
        if (s->named) {
            if (doc_kind(d) != DOC_STRING || !doc_text(d).n)
                return err_set(m->e, ERR_BAD_MODEL, "feature name %u is not a string or is empty", i);
            name = doc_text(d);
            d = i + 1 < s->n_features ? doc_next(d) : d;
        }
        rc = copy_name(m, name, &s->features[i]);
        s->features[i].may_be_missing = true;
    }
    return rc;
}

static int read_types(struct model_in *m)
{
    struct signature *s = &m->f->sig;
    struct doc d;
    int rc = find_strings(m, "feature_types", s->n_features, &d);
    if (rc || !d.val)
        return rc;
    for (uint32_t i = 0; i < s->n_features; i++) {
        if (doc_kind(d) != DOC_STRING)
            return err_set(m->e, ERR_BAD_MODEL, "feature type %u is not a string", i);
        struct feature *f = &s->features[i];
        f->categorical = str_eq(doc_text(d), STR("c")) || str_eq(doc_text(d), STR("categorical"));
        f->type = str_eq(doc_text(d), STR("int")) ? FEATURE_INTEGER
                  : str_eq(doc_text(d), STR("i")) ? FEATURE_BOOLEAN
                                                  : FEATURE_NUMBER;
        d = i + 1 < s->n_features ? doc_next(d) : d;
    }
    return 0;
}

static int check_names_differ(struct model_in *m)
{
    const struct signature *s = &m->f->sig;
    struct map seen;
    int rc = map_init(&seen, s->n_features, m->e);
    for (uint32_t i = 0; !rc && i < s->n_features; i++)
        if (map_add(&seen, s->features[i].name, i, m->e))
            rc = err_set(m->e, ERR_BAD_MODEL, "two features are named '%.*s'",
                         (int)(s->features[i].name.n < 64 ? s->features[i].name.n : 64),
                         s->features[i].name.p);
    map_done(&seen);
    return rc;
}

static int read_signature(struct model_in *m, uint32_t n_features)
{
    struct signature *s = &m->f->sig;
    if (n_features < 1)
        return err_set(m->e, ERR_BAD_MODEL, "'num_feature' is 0");
    s->n_features = n_features;
    s->input_dtype = s->output_dtype = DTYPE_FP32;
    s->output_name = "prediction";
    s->features = arena_calloc(m->a, n_features, sizeof *s->features);
    if (!s->features)
        return no_memory(m->e);
    int rc = read_names(m);
    if (!rc)
        rc = read_types(m);
    return rc ? rc : check_names_differ(m);
}

// Sizes of the model, and the base score as it is saved.
static int read_params(struct model_in *m, struct str *ret_base_score)
{
    struct doc param, base;
    uint32_t n_features, n_classes, n_targets;
    int rc = doc_get(m->learner, "learner_model_param", DOC_OBJECT, &param, m->e);
    if (!rc)
        rc = doc_param(param, "num_feature", LIMIT_MODEL_FEATURES, 0, &n_features, m->e);
    if (!rc)
        rc = doc_param(param, "num_class", LIMIT_MODEL_OUTPUTS, 0, &n_classes, m->e);
    if (!rc)
        rc = doc_param(param, "num_target", LIMIT_MODEL_OUTPUTS, 1, &n_targets, m->e);
    if (!rc)
        rc = doc_get(param, "base_score", DOC_STRING, &base, m->e);
    if (rc)
        return rc;
    if (n_classes > 1 && n_targets > 1)
        return err_set(m->e, ERR_UNSUPPORTED_MODEL, "%u targets of %u classes each are not supported",
                       n_targets, n_classes);
    m->f->n_groups = n_classes > n_targets ? n_classes : n_targets;
    if (m->f->n_groups == 0)
        m->f->n_groups = 1;
    *ret_base_score = doc_text(base);
    return read_signature(m, n_features);
}

static int read_objective(struct model_in *m, struct str base_score)
{
    struct doc objective, name;
    struct xgboost_base base = {.saved_by = m->version[0] * 100 + m->version[1]};
    base.values = arena_calloc(m->a, m->f->n_groups, sizeof *base.values);
    if (!base.values)
        return no_memory(m->e);
    int rc = doc_get(m->learner, "objective", DOC_OBJECT, &objective, m->e);
    if (!rc)
        rc = doc_get(objective, "name", DOC_STRING, &name, m->e);
    if (!rc)
        rc = xgboost_base_score_parse(base_score, m->f->n_groups, &base, m->e);
    return rc ? rc : xgboost_objective_apply(doc_text(name), &base, m->a, m->f, m->e);
}

static int read_linear(struct model_in *m)
{
    struct doc model;
    size_t n = ((size_t)m->f->sig.n_features + 1) * m->f->n_groups;
    int rc = doc_get(m->booster, "model", DOC_OBJECT, &model, m->e);
    if (rc)
        return rc;
    float *weights = arena_calloc(m->a, n, sizeof *weights);
    m->f->linear_weights = arena_calloc(m->a, n, sizeof *m->f->linear_weights);
    if (!weights || !m->f->linear_weights)
        return no_memory(m->e);
    rc = doc_get_floats(model, "weights", weights, n, m->e);
    for (size_t i = 0; !rc && i < n; i++)
        m->f->linear_weights[i] = (double)weights[i];
    // The library starts every output of a linear model from the first base score, also where it saved one
    // each.
    for (uint32_t g = 1; g < m->f->n_groups; g++)
        m->f->base[g] = m->f->base[0];
    m->f->leaf_width = 1;
    return rc;
}

// DART's weights stand beside the inner gbtree, in newer files in the model itself.
static int read_weights(struct model_in *m, bool dart)
{
    struct forest *f = m->f;
    struct doc inside, where;
    int rc = doc_find(m->trees_model, "weight_drop", DOC_ARRAY, &inside, m->e);
    if (rc || (!inside.val && !dart))
        return rc;
    where = inside.val ? m->trees_model : m->booster;
    float *weights = arena_calloc(m->a, f->n_trees, sizeof *weights);
    if (!weights)
        return no_memory(m->e);
    rc = doc_get_floats(where, "weight_drop", weights, f->n_trees, m->e);
    for (uint32_t t = 0; !rc && t < f->n_trees; t++)
        f->trees[t].weight = weights[t];
    return rc;
}

static int read_booster(struct model_in *m)
{
    struct doc name, holder = {0};
    int rc = doc_get(m->learner, "gradient_booster", DOC_OBJECT, &m->booster, m->e);
    if (!rc)
        rc = doc_get(m->booster, "name", DOC_STRING, &name, m->e);
    if (rc)
        return rc;
    struct str s = doc_text(name);
    bool dart = str_eq(s, STR("dart"));
    if (str_eq(s, STR("gblinear")))
        return read_linear(m);
    if (!dart && !str_eq(s, STR("gbtree")))
        return err_set(m->e, ERR_UNSUPPORTED_MODEL, "booster '%.*s' is not supported",
                       (int)(s.n < 64 ? s.n : 64), s.p);
    if (dart)
        rc = doc_find(m->booster, "gbtree", DOC_OBJECT, &holder, m->e);
    if (!rc)
        rc = doc_get(holder.val ? holder : m->booster, "model", DOC_OBJECT, &m->trees_model, m->e);
    if (!rc)
        rc = xgboost_trees_build(m->trees_model, m->a, m->f, m->e);
    if (!rc)
        rc = xgboost_categories_read(m->trees_model, m->a, &m->f->sig, m->e);
    return rc ? rc : read_weights(m, dart);
}

static int past_the_end(struct model_in *m, uint32_t iteration)
{
    return err_set(m->e, ERR_BAD_MODEL, "'best_iteration' is %u, but the model has fewer iterations",
                   iteration);
}

// Since 2.0 the model says at which tree each iteration ends.
static int trees_by_index(struct model_in *m, struct doc list, uint32_t iteration, uint32_t *ret)
{
    size_t n = doc_length(list);
    int32_t *ends = arena_calloc(m->a, n, sizeof *ends);
    if (!ends)
        return no_memory(m->e);
    int rc = doc_get_ints(m->trees_model, "iteration_indptr", ends, n, m->e);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        if (ends[i] < (i ? ends[i - 1] : 0) || (uint32_t)ends[i] > m->f->n_trees)
            return err_set(m->e, ERR_BAD_MODEL, "'iteration_indptr': value %zu is out of order", i);
    if (iteration + 1 >= n)
        return past_the_end(m, iteration);
    *ret = (uint32_t)ends[iteration + 1];
    return 0;
}

// Before, all iterations are of one size, from 1.6 on in the model. Older ones wrote best_ntree_limit beside
// best_iteration: trees of one output up to there.
static int trees_by_size(struct model_in *m, struct doc attributes, uint32_t iteration, uint32_t *ret)
{
    struct doc param;
    uint32_t parallel, limit;
    int rc = doc_get(m->trees_model, "gbtree_model_param", DOC_OBJECT, &param, m->e);
    if (!rc)
        rc = doc_param(param, "num_parallel_tree", LIMIT_TREES, 0, &parallel, m->e);
    if (!rc)
        rc = doc_param(attributes, "best_ntree_limit", LIMIT_TREES, iteration + 1, &limit, m->e);
    if (rc)
        return rc;
    uint64_t n = (parallel ? (uint64_t)parallel * (iteration + 1) : limit) * m->f->n_groups;
    if (n > m->f->n_trees)
        return past_the_end(m, iteration);
    *ret = (uint32_t)n;
    return 0;
}

// Leaves out the trees after the best iteration. They were read and checked with the rest.
static int apply_early_stopping(struct model_in *m)
{
    struct doc attributes, best = {0}, list;
    uint32_t iteration, n_trees = 0;
    int rc = doc_find(m->learner, "attributes", DOC_OBJECT, &attributes, m->e);
    if (!rc && attributes.val)
        rc = doc_find(attributes, "best_iteration", DOC_STRING, &best, m->e);
    if (rc || !best.val || !m->trees_model.val)
        return rc;
    rc = doc_param(attributes, "best_iteration", LIMIT_TREES, 0, &iteration, m->e);
    if (!rc)
        rc = doc_find(m->trees_model, "iteration_indptr", DOC_ARRAY, &list, m->e);
    if (!rc)
        rc = list.val ? trees_by_index(m, list, iteration, &n_trees)
                      : trees_by_size(m, attributes, iteration, &n_trees);
    if (rc)
        return rc;
    struct forest *f = m->f;
    if (n_trees < f->n_trees)
        f->n_nodes = f->trees[n_trees].first_node;
    f->n_trees = n_trees;
    return 0;
}

int xgboost_model_build(struct doc root, const char *platform, struct arena *a, struct forest *ret,
                        struct err *e)
{
    struct model_in m = {.root = root, .a = a, .f = ret, .e = e};
    struct str base_score;
    *ret = (struct forest){.family = FOREST_XGBOOST, .sig.platform = platform};
    if (doc_kind(root) != DOC_OBJECT)
        return err_set(e, ERR_BAD_MODEL, "the document is not an object");
    int rc = doc_get(root, "learner", DOC_OBJECT, &m.learner, e);
    if (!rc)
        rc = check_version(&m);
    if (!rc)
        rc = read_params(&m, &base_score);
    if (!rc)
        rc = read_objective(&m, base_score);
    if (!rc)
        rc = read_booster(&m);
    if (!rc)
        rc = forest_check(ret, a, e);
    return rc ? rc : apply_early_stopping(&m);
}
