// SPDX-License-Identifier: Apache-2.0
// Packing and checking the plane table.
#include "engine/trees/plane.h"

#include "engine/trees/leaf.h"

#include <string.h>

struct packer {
    const struct rank *rank;
    const struct forest_tree *tree;
    struct plane_tree *to;
    uint32_t levels, stride;
};

size_t plane_tree_bytes(uint32_t levels, enum forest_family family)
{
    return sizeof(struct plane_tree) + ((size_t)1 << levels) * leaf_bytes(family);
}

// The value of one leaf, in the layout that plane.h says.
static void put_leaf(const struct packer *p, uint32_t leaf, size_t place)
{
    const struct forest *f = p->rank->forest;
    if (f->family == FOREST_LIGHTGBM) {
        leaf_put(f, p->tree, leaf, p->to + 1, place);
        return;
    }
    float value;
    uint32_t bits;
    leaf_put(f, p->tree, leaf, &value, 0);
    memcpy(&bits, &value, sizeof bits);
    for (uint32_t b = 0; b < sizeof bits; b++)
        ((uint8_t *)(p->to + 1))[((size_t)b << p->levels) + place] = (uint8_t)(bits >> 8 * b);
}

static void pack_node(const struct packer *p, uint32_t node, uint32_t heap, uint32_t level)
{
    const struct forest *f = p->rank->forest;
    const struct forest_node *n = &f->nodes[p->tree->first_node + node];
    const struct rank_node *rn = &p->rank->nodes[p->tree->first_node + node];
    uint32_t last = (1u << level) - 1;
    if (n->left == -1) {
        put_leaf(p, n->leaf, (size_t)(heap & last) << (p->levels - level));
        return;
    }
    p->to->plane[heap] = (rn->col + (rn->missing_left ? p->stride : 0)) * PLANE_ROWS;
    p->to->c[heap] = (uint8_t)(255 - rn->at_least);
    pack_node(p, (uint32_t)n->left, 2 * heap, level + 1); // at most six deep
    pack_node(p, (uint32_t)n->right, 2 * heap + 1, level + 1);
}

int plane_pack(struct image_writer *w, const struct rank *r, struct err *e)
{
    (void)e;
    const struct forest *f = r->forest;
    struct packer p = {.rank = r, .stride = w->h.code_stride};
    p.levels = w->h.max_depth < PLANE_MIN_LEVELS ? PLANE_MIN_LEVELS : w->h.max_depth;
    if (p.levels > PLANE_MAX_LEVELS)
        return 0;
    size_t tree_bytes = plane_tree_bytes(p.levels, f->family);
    char *to = image_section(w, IMAGE_PLANE, f->n_trees * tree_bytes);
    for (uint32_t t = 0; to && t < f->n_trees; t++, to += tree_bytes) {
        p.tree = &f->trees[r->order[t]];
        p.to = (struct plane_tree *)(void *)to;
        for (int i = 0; i < PLANE_NODES; i++)
            p.to->plane[i] = (w->h.code_stride - 1) * PLANE_ROWS; // always code 0: goes left
        pack_node(&p, 0, 1, 0);
    }
    w->h.plane_levels = p.levels;
    return 0;
}

int plane_check(const struct image *img, struct err *e)
{
    const struct image_header *h = img->h;
    if (h->plane_levels == 0)
        return 0;
    if (h->plane_levels < PLANE_MIN_LEVELS || h->plane_levels > PLANE_MAX_LEVELS)
        return err_set(e, ERR_BAD_MODEL, "image: planes of %u levels", h->plane_levels);
    size_t tree_bytes = plane_tree_bytes(h->plane_levels, (enum forest_family)h->family);
    if (img->n[IMAGE_PLANE] != h->n_trees * tree_bytes)
        return err_set(e, ERR_BAD_MODEL, "image: the plane table has the wrong size");
    const char *at = img->at[IMAGE_PLANE];
    for (uint32_t t = 0; t < h->n_trees; t++, at += tree_bytes)
        for (int i = 0; i < PLANE_NODES; i++)
            if (((const struct plane_tree *)(const void *)at)->plane[i] >
                (2 * h->code_stride - 1) * PLANE_ROWS)
                return err_set(e, ERR_BAD_MODEL, "image: a node of tree %u has no plane", t);
    return 0;
}
