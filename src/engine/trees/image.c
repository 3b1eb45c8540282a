// SPDX-License-Identifier: Apache-2.0
// Writing an image.
#include "engine/trees/image.h"

#include "engine/trees/code.h"
#include "engine/trees/heap.h"
#include "engine/trees/image_parts.h"
#include "engine/trees/oct.h"
#include "engine/trees/path.h"
#include "engine/trees/plane.h"
#include "engine/trees/quad.h"
#include "engine/trees/rank.h"
#include "engine/trees/sparse.h"
#include "engine/trees/tile.h"

#include <string.h>

void *image_section(struct image_writer *w, enum image_section s, size_t n)
{
    size_t at = (w->to->n - w->start + IMAGE_ALIGN - 1) / IMAGE_ALIGN * IMAGE_ALIGN, bytes, all;
    if (__builtin_mul_overflow(n, image_part_bytes(s), &bytes) ||
        __builtin_add_overflow(bytes, 2 * (size_t)IMAGE_ALIGN - 1, &all)) {
        w->to->failed = true;
        return NULL;
    }
    all = all / IMAGE_ALIGN * IMAGE_ALIGN;
    size_t gap = at - (w->to->n - w->start);
    char *p = buf_reserve(w->to, gap + all);
    if (!p)
        return NULL;
    memset(p, 0, gap + all);
    buf_advance(w->to, gap + all);
    w->h.spans[s] = (struct image_span){.offset = at, .n = n};
    return p + gap;
}

void image_copy(struct image_writer *w, enum image_section s, const void *from, size_t n)
{
    void *to = image_section(w, s, n);
    if (to && n)
        memcpy(to, from, n * image_part_bytes(s));
}

static uint32_t n_categories(const struct feature *f)
{
    return f->categories ? f->categories->n : 0;
}

static void put_name(char **to, struct str name)
{
    if (name.n)
        memcpy(*to, name.p, name.n);
    *to += name.n;
}

// The names of all features, then those of all categories.
static void put_names(struct image_writer *w, const struct signature *s)
{
    size_t n_bytes = 0;
    for (uint32_t i = 0; i < s->n_features; i++) {
        n_bytes += s->features[i].name.n;
        for (uint32_t k = 0; k < n_categories(&s->features[i]); k++)
            n_bytes += s->features[i].categories->names[k].n;
    }
    if (n_bytes > UINT32_MAX) {
        w->to->failed = true;
        return;
    }
    char *to = image_section(w, IMAGE_NAMES, n_bytes);
    for (uint32_t i = 0; to && i < s->n_features; i++)
        put_name(&to, s->features[i].name);
    for (uint32_t i = 0; to && i < s->n_features; i++)
        for (uint32_t k = 0; k < n_categories(&s->features[i]); k++)
            put_name(&to, s->features[i].categories->names[k]);
}

// Returns how many categories there are, and where in IMAGE_NAMES they begin.
static uint32_t put_feature_table(struct image_writer *w, const struct signature *s, uint32_t *ret_names)
{
    struct image_feature *features = image_section(w, IMAGE_FEATURES, s->n_features);
    uint32_t at = 0, category = 0;
    for (uint32_t i = 0; features && i < s->n_features; i++) {
        const struct feature *from = &s->features[i];
        features[i] = (struct image_feature){.name = {at, (uint32_t)from->name.n},
                                             .first_category = category,
                                             .n_categories = n_categories(from),
                                             .may_be_missing = from->may_be_missing,
                                             .categorical = from->categorical,
                                             .was_seen = from->was_seen,
                                             .type = (uint8_t)from->type,
                                             .seen_min = from->seen_min,
                                             .seen_max = from->seen_max};
        at += (uint32_t)from->name.n;
        category += n_categories(from);
    }
    *ret_names = at;
    return category;
}

static void put_features(struct image_writer *w, const struct forest *f)
{
    const struct signature *s = &f->sig;
    uint32_t at = 0;
    put_names(w, s);
    uint32_t n = put_feature_table(w, s, &at);
    struct image_name *to = image_section(w, IMAGE_CATEGORIES, n);
    for (uint32_t i = 0; to && i < s->n_features; i++)
        for (uint32_t k = 0; k < n_categories(&s->features[i]); k++) {
            *to++ = (struct image_name){at, (uint32_t)s->features[i].categories->names[k].n};
            at += (uint32_t)s->features[i].categories->names[k].n;
        }
}

// The depth of the deepest tree, of a forest that no table of kernels is packed from.
static int find_depth(struct image_writer *w, const struct forest *f, struct arena *scratch, struct err *e)
{
    uint32_t largest = 1;
    for (uint32_t t = 0; t < f->n_trees; t++)
        largest = f->trees[t].n_nodes > largest ? f->trees[t].n_nodes : largest;
    uint32_t *queue = arena_calloc(scratch, largest, sizeof *queue);
    uint32_t *depth = arena_calloc(scratch, largest, sizeof *depth);
    if (!queue || !depth)
        return err_set(e, ERR_NOMEM, "no memory to measure %u nodes", f->n_nodes);
    for (uint32_t t = 0; t < f->n_trees; t++) {
        uint32_t n = f->trees[t].n_nodes ? 1 : 0;
        queue[0] = depth[0] = 0;
        for (uint32_t i = 0; i < n; i++) { // a sound tree reaches each node once
            const struct forest_node *node = &f->nodes[f->trees[t].first_node + queue[i]];
            w->h.max_depth = depth[i] > w->h.max_depth ? depth[i] : w->h.max_depth;
            if (node->left == -1)
                continue;
            depth[n] = depth[n + 1] = depth[i] + 1;
            queue[n++] = (uint32_t)node->left;
            queue[n++] = (uint32_t)node->right;
        }
    }
    return 0;
}

static void put_plain(struct image_writer *w, const struct forest *f)
{
    image_copy(w, IMAGE_TREES, f->trees, f->n_trees);
    image_copy(w, IMAGE_NODES, f->nodes, f->n_nodes);
    image_copy(w, IMAGE_LEAVES, f->leaf_values, (size_t)f->n_leaves * f->leaf_width);
    image_copy(w, IMAGE_LINEAR, f->linear, f->linear ? f->n_leaves : 0);
    image_copy(w, IMAGE_LIN_FEATURES, f->linear_features, f->n_linear_terms);
    image_copy(w, IMAGE_LIN_COEFS, f->linear_coefs, f->n_linear_terms);
    image_copy(w, IMAGE_CAT_WORDS, f->cat_words, f->n_cat_words);
    image_copy(w, IMAGE_WEIGHTS, f->linear_weights,
               f->linear_weights ? ((size_t)f->sig.n_features + 1) * f->n_groups : 0);
}

static int put_coded(struct image_writer *w, const struct rank *r, struct arena *scratch, struct err *e)
{
    w->h.coded = 1;
    code_pack(w, r);
    int rc = sparse_pack(w, r, scratch, e);
    if (!rc)
        rc = heap_pack(w, r, scratch, e);
    if (!rc)
        rc = plane_pack(w, r, e);
    if (!rc)
        rc = tile_pack(w, r, scratch, e);
    if (!rc)
        rc = quad_pack(w, r, scratch, e);
    if (!rc)
        rc = oct_pack(w, r, e);
    return rc ? rc : path_pack(w, r, scratch, e);
}

static void copy_name(char *to, size_t cap, const char *from)
{
    size_t n = from ? strlen(from) : 0;
    n = n < cap ? n : cap - 1;
    if (n)
        memcpy(to, from, n);
}

static struct image_header header_of(const struct forest *f)
{
    struct image_header h = {.version = IMAGE_VERSION,
                             .family = f->family,
                             .n_features = f->sig.n_features,
                             .n_outputs = f->sig.n_outputs,
                             .input_dtype = f->sig.input_dtype,
                             .output_dtype = f->sig.output_dtype,
                             .output_is_vector = f->sig.output_is_vector,
                             .named = f->sig.named,
                             .n_groups = f->n_groups,
                             .leaf_width = f->leaf_width,
                             .n_trees = f->n_trees,
                             .n_nodes = f->n_nodes,
                             .n_leaves = f->n_leaves,
                             .transform = f->transform,
                             .average = f->average,
                             .transform_param = f->transform_param};
    memcpy(h.magic, IMAGE_MAGIC, sizeof h.magic);
    copy_name(h.platform, sizeof h.platform, f->sig.platform);
    copy_name(h.output_name, sizeof h.output_name, f->sig.output_name);
    copy_name(h.objective, sizeof h.objective, f->objective);
    return h;
}

int image_build(const struct forest *f, struct arena *scratch, struct buf *to, struct err *e)
{
    struct image_writer w = {.to = to, .start = to->n, .h = header_of(f)};
    char *header = buf_reserve(to, sizeof w.h);
    if (!header)
        return err_set(e, ERR_TOO_LARGE, "the image grew past its limit of %zu bytes", to->max);
    buf_advance(to, sizeof w.h);
    put_features(&w, f);
    image_copy(&w, IMAGE_BASE, f->base, f->n_groups);
    struct rank r;
    int rc = rank_build(f, scratch, &r, e);
    if (rc == 0)
        rc = put_coded(&w, &r, scratch, e);
    else if (rc == ERR_UNSUPPORTED_MODEL) {
        rc = find_depth(&w, f, scratch, e);
        put_plain(&w, f);
    }
    if (rc)
        return rc;
    for (int s = 0; s < IMAGE_SECTIONS; s++)
        if (!w.h.spans[s].offset)
            image_section(&w, (enum image_section)s, 0);
    if (to->failed)
        return err_set(e, ERR_TOO_LARGE, "the image grew past its limit of %zu bytes", to->max);
    w.h.size = to->n - w.start;
    memcpy(to->p + w.start, &w.h, sizeof w.h);
    return 0;
}
