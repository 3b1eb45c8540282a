// SPDX-License-Identifier: Apache-2.0
// The parser of LightGBM text models, v3 and v4 (Booster.save_model, model_to_string): bytes to a forest.
// Twice over the trees: first to count and bound everything, then to fill arrays of exactly that size. Header
// and objective are in lightgbm_header.c, one tree in lightgbm_tree.c. Runs where a model is compiled, once.
// Source: LightGBM src/boosting/gbdt_model_text.cpp, src/io/tree.cpp.
#include "engine/trees/forest.h"
#include "engine/trees/formats.h"

#include "base/limits.h"
#include "engine/trees/lightgbm_header.h"
#include "engine/trees/lightgbm_tree.h"

bool lightgbm_text_detect(const uint8_t *bytes, size_t size)
{
    if (!size)
        return false;
    struct lines in = {.p = (const char *)bytes, .end = (const char *)bytes + size};
    struct str first, second;
    return lines_next(&in, &first) && str_eq(first, STR("tree")) && lines_next(&in, &second) &&
           str_starts(second, STR("version="));
}

struct sizes {
    uint64_t trees, nodes, leaves, cat_words, lin_terms;
    bool linear;
};

// Takes "Tree=number" and its block. *ret_end is set when "end of trees" stands there instead.
static int tree_next(struct lines *in, uint32_t number, struct tree_text *ret, bool *ret_end, struct err *e)
{
    struct str line = {0}, prefix = STR("Tree=");
    if (!lines_next_filled(in, &line))
        return err_set(e, ERR_BAD_MODEL,
                       "the file ends in line %u before 'end of trees', after %u trees: was it cut short?",
                       in->n, number);
    *ret_end = str_eq(line, STR("end of trees"));
    if (*ret_end)
        return 0;
    uint64_t v;
    if (!str_starts(line, prefix) ||
        !str_to_u64((struct str){line.p + prefix.n, line.n - prefix.n}, UINT32_MAX, &v) || v != number)
        return err_set(e, ERR_BAD_MODEL, "line %u: '%s' where 'Tree=%u' or 'end of trees' is expected", in->n,
                       lines_shown(line).z, number);
    return tree_text_read(in, number, ret, e);
}

static int trees_measure(struct lines in, struct sizes *ret, struct err *e)
{
    *ret = (struct sizes){0};
    for (;;) {
        struct tree_text t;
        bool end;
        int rc = tree_next(&in, (uint32_t)ret->trees, &t, &end, e);
        if (rc || end)
            return rc;
        ret->trees++;
        ret->nodes += 2 * (uint64_t)t.n_leaves - 1;
        ret->leaves += t.n_leaves;
        ret->cat_words += t.cat_words;
        ret->lin_terms += t.lin_terms;
        ret->linear |= t.linear;
        if (ret->trees > LIMIT_TREES || ret->nodes > LIMIT_NODES || ret->cat_words > LIMIT_NODES ||
            ret->lin_terms > LIMIT_NODES)
            return err_set(
                e, ERR_TOO_LARGE,
                "tree %u exceeds the limits of %d trees and %d nodes, category words or linear terms",
                t.number, (int)LIMIT_TREES, (int)LIMIT_NODES);
    }
}

static int arrays_alloc(const struct sizes *s, struct arena *a, struct forest *f, struct err *e)
{
    f->trees = arena_calloc(a, s->trees, sizeof *f->trees);
    f->nodes = arena_calloc(a, s->nodes, sizeof *f->nodes);
    f->leaf_values = arena_calloc(a, s->leaves, sizeof *f->leaf_values);
    f->cat_words = arena_calloc(a, s->cat_words, sizeof *f->cat_words);
    bool ok = f->trees && f->nodes && f->leaf_values && f->cat_words;
    if (s->linear) {
        f->linear = arena_calloc(a, s->leaves, sizeof *f->linear);
        f->linear_features = arena_calloc(a, s->lin_terms, sizeof *f->linear_features);
        f->linear_coefs = arena_calloc(a, s->lin_terms, sizeof *f->linear_coefs);
        ok = ok && f->linear && f->linear_features && f->linear_coefs;
    }
    return ok ? 0
              : err_set(e, ERR_NOMEM, "no memory for a model of %llu nodes", (unsigned long long)s->nodes);
}

static int trees_fill(struct lines *in, struct arena *a, struct forest *f, struct err *e)
{
    for (;;) {
        struct tree_text t;
        bool end;
        int rc = tree_next(in, f->n_trees, &t, &end, e);
        if (rc || end)
            return rc;
        rc = tree_text_parse(&t, a, f, e);
        if (rc)
            return rc;
    }
}

// A feature has no rule for missing values when each of its splits is numeric and of missing type None: there
// LightGBM takes NaN for 0, which is an accident of its training data and no rule.
static int missing_rules(struct forest *f, struct arena *a, struct err *e)
{
    bool *ruled = arena_calloc(a, f->sig.n_features, sizeof *ruled);
    if (!ruled)
        return err_set(e, ERR_NOMEM, "no memory for %u features", f->sig.n_features);
    for (uint32_t i = 0; i < f->n_nodes; i++) {
        const struct forest_node *n = &f->nodes[i];
        if (n->left == -1)
            continue;
        struct feature *feature = &f->sig.features[n->feature];
        feature->categorical |= n->categorical;
        ruled[n->feature] |= n->categorical || n->missing != MISSING_NONE;
        feature->may_be_missing = ruled[n->feature];
    }
    return 0;
}

int lightgbm_text_parse(const uint8_t *bytes, size_t size, struct arena *a, struct forest *ret, struct err *e)
{
    *ret = (struct forest){.family = FOREST_LIGHTGBM, .leaf_width = 1};
    struct lines in = {.p = (const char *)bytes, .end = (const char *)bytes + size};
    struct sizes sizes;
    int rc = header_parse(&in, a, ret, e);
    if (!rc)
        rc = trees_measure(in, &sizes, e);
    if (rc)
        return rc;
    if (!sizes.trees || sizes.trees % ret->n_groups)
        return err_set(e, ERR_BAD_MODEL, "%llu trees, expected a multiple of num_class %u and at least one",
                       (unsigned long long)sizes.trees, ret->n_groups);
    rc = arrays_alloc(&sizes, a, ret, e);
    if (!rc)
        rc = trees_fill(&in, a, ret, e);
    if (!rc)
        rc = pandas_categories_read(&in, a, &ret->sig, e);
    if (!rc)
        rc = missing_rules(ret, a, e);
    return rc ? rc : forest_check(ret, a, e);
}
