// SPDX-License-Identifier: Apache-2.0
// From thresholds and category sets to columns. Every node ends with a column and the least code that goes
// right.
#include "engine/trees/rank.h"

#include "base/limits.h"
#include "engine/trees/code.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 3, MAX_LAYERS = 64, CLASSES = 3 };

// All thresholds of one feature and one rule for missing values.
struct slot {
    double *cuts; // ascending, distinct
    uint32_t n;
    uint32_t *col; // (n) where each cut went
    uint8_t *pos;  // (n) its place there
};

struct builder {
    const struct forest *f;
    struct arena *a;
    struct rank *r;
    struct slot *slots; // (n_features * SLOTS)
    uint32_t cap_cols;
};

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory to code the forest");
}

static bool is_leaf(const struct forest_node *n)
{
    return n->left == -1;
}

static struct slot *slot_of(const struct builder *b, const struct forest_node *n)
{
    return &b->slots[(size_t)n->feature * SLOTS + n->missing];
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int collect_cuts(struct builder *b, struct err *e)
{
    const struct forest *f = b->f;
    size_t n_slots = (size_t)f->sig.n_features * SLOTS;
    b->slots = arena_calloc(b->a, n_slots, sizeof *b->slots);
    if (!b->slots)
        return no_memory(e);
    for (uint32_t i = 0; i < f->n_nodes; i++)
        if (!is_leaf(&f->nodes[i]) && !f->nodes[i].categorical)
            slot_of(b, &f->nodes[i])->n++;
    for (size_t s = 0; s < n_slots; s++) {
        struct slot *slot = &b->slots[s];
        if (!slot->n)
            continue;
        slot->cuts = arena_calloc(b->a, slot->n, sizeof *slot->cuts);
        slot->col = arena_calloc(b->a, slot->n, sizeof *slot->col);
        slot->pos = arena_calloc(b->a, slot->n, 1);
        if (!slot->cuts || !slot->col || !slot->pos)
            return no_memory(e);
        slot->n = 0;
    }
    for (uint32_t i = 0; i < f->n_nodes; i++) {
        const struct forest_node *n = &f->nodes[i];
        if (!is_leaf(n) && !n->categorical)
            slot_of(b, n)->cuts[slot_of(b, n)->n++] = n->threshold;
    }
    for (size_t s = 0; s < n_slots; s++) {
        struct slot *slot = &b->slots[s];
        if (slot->n)
            qsort(slot->cuts, slot->n, sizeof *slot->cuts, by_value);
        uint32_t kept = 0;
        for (uint32_t i = 0; i < slot->n; i++)
            if (!kept || slot->cuts[i] != slot->cuts[kept - 1])
                slot->cuts[kept++] = slot->cuts[i];
        slot->n = kept;
    }
    return 0;
}

// The n-th (from 0) of the cuts that share cut i's float32. Only LightGBM's doubles can share one.
static uint32_t layer_of(const struct slot *s, uint32_t i)
{
    uint32_t layer = 0;
    while (i > layer && (float)s->cuts[i - layer - 1] == (float)s->cuts[i])
        layer++;
    return layer;
}

static struct rank_col *add_col(struct builder *b, uint32_t feature, uint32_t missing, struct err *e)
{
    struct rank *r = b->r;
    double *cuts = r->n_num < b->cap_cols ? arena_calloc(b->a, COL_CUTS, sizeof *cuts) : NULL;
    if (!cuts) {
        err_set(e, r->n_num < b->cap_cols ? ERR_NOMEM : ERR_UNSUPPORTED_MODEL, "too many columns to code");
        return NULL;
    }
    r->cols[r->n_num] = (struct rank_col){.feature = feature, .missing = (uint8_t)missing, .cuts = cuts};
    return &r->cols[r->n_num++];
}

static int fill_cols(struct builder *b, uint32_t feature, uint32_t missing, struct err *e)
{
    struct slot *s = &b->slots[(size_t)feature * SLOTS + missing];
    uint32_t n_layers = 1;
    for (uint32_t layer = 0; layer < n_layers; layer++) {
        struct rank_col *col = NULL;
        for (uint32_t i = 0; i < s->n; i++) {
            uint32_t of = b->f->family == FOREST_LIGHTGBM ? layer_of(s, i) : 0;
            n_layers = of >= n_layers ? of + 1 : n_layers;
            if (of != layer)
                continue;
            if (!col || col->n_cuts == COL_CUTS)
                col = add_col(b, feature, missing, e);
            if (!col)
                return e->code;
            s->col[i] = (uint32_t)(col - b->r->cols);
            s->pos[i] = (uint8_t)col->n_cuts;
            col->cuts[col->n_cuts++] = s->cuts[i];
        }
        if (n_layers > MAX_LAYERS)
            return err_set(e, ERR_UNSUPPORTED_MODEL, "thresholds of feature %u are too close to code",
                           feature);
    }
    return 0;
}

// Columns that are searched in the same way together: then coding is three loops without a decision per
// column.
static int sort_cols(struct builder *b, struct err *e)
{
    struct rank *r = b->r;
    struct rank_col *sorted = arena_calloc(b->a, r->n_num, sizeof *sorted);
    uint32_t *to = arena_calloc(b->a, r->n_num, sizeof *to), n = 0;
    uint8_t *class = arena_calloc(b->a, r->n_num, 1);
    if (!sorted || !to || !class)
        return no_memory(e);
    for (uint32_t i = 0; i < r->n_num; i++)
        class[i] = (uint8_t)code_class(&r->cols[i]);
    for (uint32_t of = 0; of < CLASSES; of++)
        for (uint32_t i = 0; i < r->n_num; i++)
            if (class[i] == of) {
                to[i] = n;
                sorted[n++] = r->cols[i];
            }
    r->cols = sorted;
    for (size_t s = 0; s < (size_t)b->f->sig.n_features * SLOTS; s++)
        for (uint32_t i = 0; i < b->slots[s].n; i++)
            b->slots[s].col[i] = to[b->slots[s].col[i]];
    return 0;
}

static int make_cols(struct builder *b, struct err *e)
{
    b->cap_cols = CODE_MAX_COLS;
    b->r->cols = arena_calloc(b->a, b->cap_cols, sizeof *b->r->cols);
    if (!b->r->cols)
        return no_memory(e);
    for (uint32_t feature = 0; feature < b->f->sig.n_features; feature++)
        for (uint32_t missing = 0; missing < SLOTS; missing++) {
            int rc = fill_cols(b, feature, missing, e);
            if (rc)
                return rc;
        }
    return sort_cols(b, e);
}

static uint32_t words_used(const struct forest *f, const struct forest_node *n)
{
    uint32_t words = n->cat_words;
    while (words && f->cat_words[n->cat_first + words - 1] == 0)
        words--;
    return words;
}

static uint32_t set_hash(const struct forest *f, const struct forest_node *n)
{
    uint32_t h = n->feature * 2 + n->default_left;
    for (uint32_t i = 0; i < words_used(f, n); i++)
        h = (h ^ f->cat_words[n->cat_first + i]) * 0x9E3779B1u ^ h >> 15;
    return h;
}

static bool same_set(const struct forest *f, const struct forest_node *a, const struct forest_node *b)
{
    uint32_t words = words_used(f, a);
    return a->feature == b->feature && words == words_used(f, b) &&
           (f->family == FOREST_LIGHTGBM || a->default_left == b->default_left) &&
           memcmp(f->cat_words + a->cat_first, f->cat_words + b->cat_first, words * sizeof(uint32_t)) == 0;
}

// Distinct sets in the order they are met; node_set gets each node's, found through a table of hashes.
static int find_sets(struct builder *b, uint32_t *node_set, struct err *e)
{
    const struct forest *f = b->f;
    uint32_t n = 0, cap = 16;
    for (uint32_t i = 0; i < f->n_nodes; i++)
        n += !is_leaf(&f->nodes[i]) && f->nodes[i].categorical;
    while (cap < 2 * n)
        cap *= 2;
    uint32_t *table = arena_calloc(b->a, cap, sizeof *table); // set + 1, 0 is free
    b->r->sets = arena_calloc(b->a, n, sizeof *b->r->sets);
    if (!table || !b->r->sets)
        return no_memory(e);
    for (uint32_t i = 0; i < f->n_nodes; i++) {
        const struct forest_node *node = &f->nodes[i];
        if (is_leaf(node) || !node->categorical)
            continue;
        uint32_t hash = set_hash(f, node), at = hash & (cap - 1);
        while (table[at] &&
               (b->r->sets[table[at] - 1].hash != hash || !same_set(f, b->r->sets[table[at] - 1].node, node)))
            at = (at + 1) & (cap - 1);
        if (!table[at]) {
            b->r->sets[b->r->n_sets++] = (struct rank_set){node, hash};
            table[at] = b->r->n_sets;
        }
        node_set[i] = table[at] - 1;
    }
    return 0;
}

// Brings the sets of one feature together and says how many categories its table tells apart.
static int group_sets(struct builder *b, uint32_t *node_set, struct err *e)
{
    struct rank *r = b->r;
    uint32_t n_features = b->f->sig.n_features, n_cats = 0, n = 0;
    struct rank_cat *cats = arena_calloc(b->a, n_features, sizeof *cats); // by feature
    struct rank_set *sorted = arena_calloc(b->a, r->n_sets, sizeof *sorted);
    uint32_t *to = arena_calloc(b->a, r->n_sets, sizeof *to);
    r->cats = arena_calloc(b->a, n_features, sizeof *r->cats);
    if (!cats || !sorted || !to || !r->cats)
        return no_memory(e);
    for (uint32_t i = 0; i < r->n_sets; i++) {
        struct rank_cat *c = &cats[r->sets[i].node->feature];
        uint32_t n_here = words_used(b->f, r->sets[i].node) * 32;
        c->n_sets++;
        c->n_cats = n_here > c->n_cats ? n_here : c->n_cats;
    }
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n_features; i++) {
        if (!cats[i].n_sets)
            continue;
        cats[i].feature = i;
        cats[i].first_set = n;
        bytes += ((uint64_t)cats[i].n_cats + 2) * cats[i].n_sets;
        r->cats[n_cats++] = cats[i];
        n += cats[i].n_sets;
        cats[i].n_sets = 0;
    }
    r->n_cats = n_cats;
    if (bytes > LIMIT_TREES_CATEGORY_BYTES || r->n_num + (uint64_t)r->n_sets > CODE_MAX_COLS)
        return err_set(e, ERR_UNSUPPORTED_MODEL, "%u category sets are too many to code", r->n_sets);
    for (uint32_t i = 0; i < r->n_sets; i++) {
        struct rank_cat *c = &cats[r->sets[i].node->feature];
        to[i] = c->first_set + c->n_sets++;
        sorted[to[i]] = r->sets[i];
    }
    r->sets = sorted;
    for (uint32_t i = 0; i < b->f->n_nodes; i++)
        if (!is_leaf(&b->f->nodes[i]) && b->f->nodes[i].categorical)
            node_set[i] = to[node_set[i]];
    return 0;
}

static struct rank_node numeric_node(const struct builder *b, const struct forest_node *n)
{
    const struct slot *s = slot_of(b, n);
    const double *cut = bsearch(&n->threshold, s->cuts, s->n, sizeof *s->cuts, by_value);
    size_t i = (size_t)(cut - s->cuts);
    return (struct rank_node){.col = s->col[i],
                              .at_least = (uint8_t)(s->pos[i] + 1),
                              .missing_left = n->missing != MISSING_NONE && n->default_left};
}

static int order_by_group(struct builder *b, struct err *e)
{
    const struct forest *f = b->f;
    uint32_t n = 0;
    b->r->order = arena_calloc(b->a, f->n_trees, sizeof *b->r->order);
    uint32_t *first = arena_calloc(b->a, (size_t)f->n_groups + 1, sizeof *first);
    if (!b->r->order || !first)
        return no_memory(e);
    for (uint32_t t = 0; t < f->n_trees; t++)
        first[f->trees[t].group]++;
    for (uint32_t g = 0; g < f->n_groups; g++) {
        uint32_t count = first[g];
        first[g] = n;
        n += count;
    }
    for (uint32_t t = 0; t < f->n_trees; t++)
        b->r->order[first[f->trees[t].group]++] = t;
    return 0;
}

bool rank_set_goes_right(const struct forest *f, const struct forest_node *n, int64_t category)
{
    bool in = category >= 0 && category / 32 < n->cat_words &&
              (f->cat_words[n->cat_first + (uint32_t)(category / 32)] >> (category % 32) & 1u);
    if (f->family == FOREST_LIGHTGBM)
        return !in;
    return category == -2 ? !n->default_left : in;
}

int rank_build(const struct forest *f, struct arena *a, struct rank *ret, struct err *e)
{
    if (f->leaf_width != 1 || f->linear || f->linear_weights || !f->n_trees)
        return err_set(e, ERR_UNSUPPORTED_MODEL, "no plain scalar leaves");
    *ret = (struct rank){.forest = f};
    struct builder b = {.f = f, .a = a, .r = ret};
    uint32_t *node_set = arena_calloc(a, f->n_nodes, sizeof *node_set);
    ret->nodes = arena_calloc(a, f->n_nodes, sizeof *ret->nodes);
    if (!node_set || !ret->nodes)
        return no_memory(e);
    int rc = collect_cuts(&b, e);
    if (!rc)
        rc = make_cols(&b, e);
    if (!rc)
        rc = find_sets(&b, node_set, e);
    if (!rc)
        rc = group_sets(&b, node_set, e);
    if (!rc)
        rc = order_by_group(&b, e);
    for (uint32_t i = 0; !rc && i < f->n_nodes; i++) {
        const struct forest_node *n = &f->nodes[i];
        if (is_leaf(n))
            ret->nodes[i] = (struct rank_node){.col = RANK_NO_COL};
        else if (n->categorical)
            ret->nodes[i] = (struct rank_node){.col = ret->n_num + node_set[i], .at_least = 1};
        else
            ret->nodes[i] = numeric_node(&b, n);
    }
    return rc;
}
