// SPDX-License-Identifier: Apache-2.0
// Reading an image: nothing in it is believed. After image_open every index that a kernel follows stays
// inside its section, whatever the bytes.
#include "engine/trees/code.h"
#include "engine/trees/heap.h"
#include "engine/trees/image.h"
#include "engine/trees/image_parts.h"
#include "engine/trees/oct.h"
#include "engine/trees/path.h"
#include "engine/trees/plane.h"
#include "engine/trees/quad.h"
#include "engine/trees/sparse.h"
#include "engine/trees/tile.h"

#include "base/limits.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

size_t image_part_bytes(enum image_section s)
{
    static const size_t BYTES[IMAGE_SECTIONS] = {
        [IMAGE_NAMES] = 1,
        [IMAGE_FEATURES] = sizeof(struct image_feature),
        [IMAGE_CATEGORIES] = sizeof(struct image_name),
        [IMAGE_BASE] = sizeof(double),
        [IMAGE_TREES] = sizeof(struct forest_tree),
        [IMAGE_NODES] = sizeof(struct forest_node),
        [IMAGE_LEAVES] = sizeof(double),
        [IMAGE_LINEAR] = sizeof(struct forest_linear),
        [IMAGE_LIN_FEATURES] = sizeof(uint32_t),
        [IMAGE_LIN_COEFS] = sizeof(double),
        [IMAGE_CAT_WORDS] = sizeof(uint32_t),
        [IMAGE_WEIGHTS] = sizeof(double),
        [IMAGE_COLS] = sizeof(struct code_col),
        [IMAGE_KEYS] = sizeof(int32_t),
        [IMAGE_CUTS] = sizeof(double),
        [IMAGE_CATS] = sizeof(struct code_cat),
        [IMAGE_CAT_ROWS] = 1,
        [IMAGE_GROUPS] = sizeof(uint32_t),
        [IMAGE_SPARSE_ROOTS] = sizeof(struct sparse_root),
        [IMAGE_SPARSE_NODES] = sizeof(struct sparse_node),
        [IMAGE_SPARSE_VALUES] = 1,
        [IMAGE_HEAP] = 1,
        [IMAGE_HEAP_MASKS] = 1,
        [IMAGE_PATH] = 1,
        [IMAGE_PATH_MASKS] = 1,
        [IMAGE_PLANE] = 1,
        [IMAGE_TILES] = sizeof(struct tile),
        [IMAGE_TILE_VALUES] = 1,
        [IMAGE_QUADS] = sizeof(struct quad),
        [IMAGE_QUAD_VALUES] = 1,
        [IMAGE_OCT] = 1,
    };
    return BYTES[s];
}

static int bad(struct err *e, const char *what)
{
    return err_set(e, ERR_BAD_MODEL, "image: %s", what);
}

static int check_spans(const uint8_t *bytes, size_t size, struct image *img, struct err *e)
{
    for (int s = 0; s < IMAGE_SECTIONS; s++) {
        const struct image_span *span = &img->h->spans[s];
        size_t part = image_part_bytes((enum image_section)s);
        if (span->offset % IMAGE_ALIGN || span->offset < sizeof *img->h ||
            span->offset > size - IMAGE_ALIGN || span->n > (size - IMAGE_ALIGN - span->offset) / part)
            return err_set(e, ERR_BAD_MODEL, "image: section %d lies outside", s);
        img->at[s] = bytes + span->offset;
        img->n[s] = span->n;
    }
    return 0;
}

static bool terminated(const char *z, size_t n)
{
    return memchr(z, 0, n) != NULL;
}

static int check_header(const void *bytes, size_t size, struct err *e)
{
    const struct image_header *h = bytes;
    if (size < sizeof *h + IMAGE_ALIGN || memcmp(h->magic, IMAGE_MAGIC, sizeof h->magic) != 0)
        return bad(e, "not an image of the tree engine");
    if (h->version != IMAGE_VERSION)
        return err_set(e, ERR_BAD_MODEL, "image: format %u; this build reads %d", h->version, IMAGE_VERSION);
    if (h->size != size)
        return bad(e, "cut short or too long");
    if (h->named > 1 || h->output_is_vector > 1 || h->average > 1 || h->coded > 1 ||
        h->family > FOREST_LIGHTGBM || h->transform >= TRANSFORM_LIMIT || h->input_dtype > DTYPE_BYTES ||
        h->output_dtype > DTYPE_BYTES)
        return bad(e, "a header field has no such value");
    if (!terminated(h->platform, sizeof h->platform) || !terminated(h->output_name, sizeof h->output_name) ||
        !terminated(h->objective, sizeof h->objective) || !terminated(h->one.kernel, sizeof h->one.kernel) ||
        !terminated(h->batch.kernel, sizeof h->batch.kernel))
        return bad(e, "a header string has no end");
    if (h->n_features < 1 || h->n_features > LIMIT_MODEL_FEATURES || h->n_groups < 1 ||
        h->n_groups > LIMIT_MODEL_OUTPUTS || h->n_trees > LIMIT_TREES ||
        (h->average && (!h->n_trees || h->n_trees % h->n_groups)))
        return bad(e, "a count is out of range");
    if (!h->coded && (h->code_stride || h->n_cols || h->heap_levels || h->path || h->plane_levels ||
                      h->tiles || h->quads || h->oct_steps))
        return bad(e, "a plain forest with columns");
    return 0;
}

static bool open_name(const struct image *img, struct image_name name, struct str *ret)
{
    if (name.at > img->n[IMAGE_NAMES] || name.n > img->n[IMAGE_NAMES] - name.at)
        return false;
    *ret = (struct str){(const char *)img->at[IMAGE_NAMES] + name.at, name.n};
    return true;
}

static int open_feature(const struct image *img, uint32_t i, struct feature *ret, struct err *e)
{
    const struct image_feature *from = (const struct image_feature *)img->at[IMAGE_FEATURES] + i;
    uint64_t n = img->n[IMAGE_CATEGORIES];
    if (from->may_be_missing > 1 || from->categorical > 1 || from->was_seen > 1 ||
        from->type > FEATURE_BOOLEAN || from->first_category > n ||
        from->n_categories > n - from->first_category || !open_name(img, from->name, &ret->name))
        return err_set(e, ERR_BAD_MODEL, "image: feature %u is wrong", i);
    *ret = (struct feature){.name = ret->name,
                            .may_be_missing = from->may_be_missing,
                            .categorical = from->categorical,
                            .was_seen = from->was_seen,
                            .type = (enum feature_type)from->type,
                            .seen_min = from->seen_min,
                            .seen_max = from->seen_max};
    return 0;
}

// The names of the categories of all features, and a table of each feature that has them.
static int open_categories(struct image *img, struct err *e)
{
    const struct image_feature *features = img->at[IMAGE_FEATURES];
    const struct image_name *names = img->at[IMAGE_CATEGORIES];
    struct signature *sig = &img->forest.sig;
    uint32_t n = 0;
    uint64_t next = 0;
    for (uint32_t i = 0; i < sig->n_features; i++) {
        if (features[i].first_category != next)
            return err_set(e, ERR_BAD_MODEL, "image: the categories of feature %u are not its own", i);
        next += features[i].n_categories;
        n += features[i].n_categories > 0;
    }
    if (next != img->n[IMAGE_CATEGORIES] || next > LIMIT_CATEGORIES)
        return bad(e, "another number of categories than the features have");
    if (n == 0)
        return 0;
    img->categories = calloc(n, sizeof *img->categories);
    img->category_names = calloc(img->n[IMAGE_CATEGORIES], sizeof *img->category_names);
    if (!img->categories || !img->category_names)
        return err_set(e, ERR_NOMEM, "no memory for categories");
    for (uint64_t k = 0; k < img->n[IMAGE_CATEGORIES]; k++)
        if (!open_name(img, names[k], &img->category_names[k]))
            return bad(e, "the name of a category lies outside");
    for (uint32_t i = 0; i < sig->n_features; i++) {
        if (features[i].n_categories == 0)
            continue;
        struct categories *to = &img->categories[img->n_categories++];
        to->names = img->category_names + features[i].first_category;
        to->n = features[i].n_categories;
        int rc = categories_index(to, e);
        if (rc)
            return rc == ERR_NOMEM ? rc : bad(e, "two categories have one name");
        sig->features[i].categories = to;
        sig->takes_text = true;
    }
    return 0;
}

static int open_signature(struct image *img, struct err *e)
{
    const struct image_header *h = img->h;
    struct signature *sig = &img->forest.sig;
    if (img->n[IMAGE_FEATURES] != h->n_features)
        return bad(e, "the table of features has another size than the header says");
    *sig = (struct signature){.n_features = h->n_features,
                              .n_outputs = h->n_outputs,
                              .input_dtype = (enum dtype)h->input_dtype,
                              .output_dtype = (enum dtype)h->output_dtype,
                              .output_is_vector = h->output_is_vector,
                              .named = h->named,
                              .platform = h->platform,
                              .output_name = h->output_name};
    sig->features = calloc(h->n_features, sizeof *sig->features);
    if (!sig->features)
        return err_set(e, ERR_NOMEM, "no memory for %u features", h->n_features);
    for (uint32_t i = 0; i < h->n_features; i++) {
        int rc = open_feature(img, i, &sig->features[i], e);
        if (rc)
            return rc;
    }
    int rc = open_categories(img, e);
    return rc ? rc : signature_index(sig, e);
}

// A bool that is neither 0 nor 1 must not be read as one.
static int check_bools(const struct image *img, struct err *e)
{
    const uint8_t *p = img->at[IMAGE_NODES];
    for (uint64_t i = 0; i < img->n[IMAGE_NODES]; i++, p += sizeof(struct forest_node))
        if (p[offsetof(struct forest_node, default_left)] > 1 ||
            p[offsetof(struct forest_node, categorical)] > 1)
            return bad(e, "a node's flag is neither yes nor no");
    return 0;
}

// struct forest has no const: what it points to here is only ever read.
static void *borrowed(const struct image *img, enum image_section s)
{
    union {
        const void *in;
        void *out;
    } cast = {img->at[s]};
    return cast.out;
}

static int open_plain(struct image *img, struct err *e)
{
    const struct image_header *h = img->h;
    struct forest *f = &img->forest;
    uint64_t n_weights = img->n[IMAGE_WEIGHTS];
    if (img->n[IMAGE_TREES] != h->n_trees || img->n[IMAGE_NODES] != h->n_nodes ||
        img->n[IMAGE_LEAVES] != (uint64_t)h->n_leaves * h->leaf_width ||
        (img->n[IMAGE_LINEAR] && img->n[IMAGE_LINEAR] != h->n_leaves) ||
        img->n[IMAGE_LIN_FEATURES] > UINT32_MAX || img->n[IMAGE_LIN_COEFS] != img->n[IMAGE_LIN_FEATURES] ||
        img->n[IMAGE_CAT_WORDS] > UINT32_MAX ||
        (n_weights && n_weights != ((uint64_t)h->n_features + 1) * h->n_groups))
        return bad(e, "a table of the forest has another size than the header says");
    f->trees = borrowed(img, IMAGE_TREES);
    f->n_trees = h->n_trees;
    f->nodes = borrowed(img, IMAGE_NODES);
    f->n_nodes = h->n_nodes;
    f->leaf_values = borrowed(img, IMAGE_LEAVES);
    f->n_leaves = h->n_leaves;
    f->linear = img->n[IMAGE_LINEAR] ? borrowed(img, IMAGE_LINEAR) : NULL;
    f->linear_features = borrowed(img, IMAGE_LIN_FEATURES);
    f->linear_coefs = borrowed(img, IMAGE_LIN_COEFS);
    f->n_linear_terms = (uint32_t)img->n[IMAGE_LIN_FEATURES];
    f->cat_words = borrowed(img, IMAGE_CAT_WORDS);
    f->n_cat_words = (uint32_t)img->n[IMAGE_CAT_WORDS];
    f->linear_weights = n_weights ? borrowed(img, IMAGE_WEIGHTS) : NULL;
    f->average = h->average;
    return check_bools(img, e);
}

static int open_forest(struct image *img, struct err *e)
{
    const struct image_header *h = img->h;
    struct forest *f = &img->forest;
    f->family = (enum forest_family)h->family;
    f->n_groups = h->n_groups;
    f->leaf_width = h->leaf_width;
    f->transform = (enum forest_transform)h->transform;
    f->transform_param = h->transform_param;
    f->objective = h->objective;
    f->base = borrowed(img, IMAGE_BASE);
    if (img->n[IMAGE_BASE] != h->n_groups)
        return bad(e, "the base scores have another number than the header says");
    int rc = h->coded ? 0 : open_plain(img, e);
    struct arena scratch;
    if (!rc)
        rc = arena_init(&scratch, ((size_t)f->n_nodes + 64) * 2 * sizeof(uint32_t), e);
    if (!rc) {
        rc = forest_check(f, &scratch, e);
        arena_done(&scratch);
    }
    f->average = h->average;
    return rc;
}

static int open_coded(const struct image *img, struct err *e)
{
    int rc = code_check(img, e);
    if (!rc)
        rc = sparse_check(img, e);
    if (!rc)
        rc = heap_check(img, e);
    if (!rc)
        rc = plane_check(img, e);
    if (!rc)
        rc = tile_check(img, e);
    if (!rc)
        rc = quad_check(img, e);
    if (!rc)
        rc = oct_check(img, e);
    return rc ? rc : path_check(img, e);
}

int image_open(const void *bytes, size_t size, struct image *ret, struct err *e)
{
    *ret = (struct image){.h = bytes};
    int rc = check_header(bytes, size, e);
    if (!rc)
        rc = check_spans(bytes, size, ret, e);
    if (!rc)
        rc = open_signature(ret, e);
    if (!rc)
        rc = open_forest(ret, e);
    if (!rc && ret->h->coded)
        rc = open_coded(ret, e);
    if (rc)
        image_close(ret);
    return rc;
}

void image_close(struct image *img)
{
    for (uint32_t i = 0; i < img->n_categories; i++)
        map_done(&img->categories[i].by_name);
    free(img->categories);
    free(img->category_names);
    map_done(&img->forest.sig.by_name);
    free(img->forest.sig.features);
    *img = (struct image){0};
}
