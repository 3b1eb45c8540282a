// SPDX-License-Identifier: Apache-2.0
// Packing and checking the path table.
#include "engine/trees/path.h"

#include "engine/trees/bits.h"
#include "engine/trees/leaf.h"

#include "base/limits.h"

#include <string.h>

struct packer {
    const struct rank *rank;
    uint8_t *bit; // (n_nodes) of the forest: where the node's decision is
    struct path_tree *to;
    uint32_t n_nodes, n_leaves; // of the tree so far
};

size_t path_tree_bytes(enum forest_family family)
{
    return sizeof(struct path_tree) + PATH_LEAVES * leaf_bytes(family);
}

uint32_t path_lane(uint32_t leaf)
{
    return leaf / 4 % 4 * 8 + leaf / 16 * 4 + leaf % 4;
}

static void pack_node(struct packer *p, const struct forest_tree *tree, uint32_t node, uint32_t path,
                      uint32_t expect)
{
    const struct forest *f = p->rank->forest;
    const struct forest_node *n = &f->nodes[tree->first_node + node];
    if (n->left == -1) {
        uint32_t leaf = p->n_leaves++;
        p->to->path[path_lane(leaf)] = path;
        p->to->expect[path_lane(leaf)] = expect;
        leaf_put(f, tree, n->leaf, p->to + 1, leaf);
        return;
    }
    uint32_t at = p->n_nodes++, bit = 1u << at;
    struct bits_node b = bits_of(p->rank, tree->first_node + node);
    p->to->f[at] = b.f;
    p->to->c[at] = b.c;
    p->to->d[at] = b.d;
    p->bit[tree->first_node + node] = (uint8_t)at;
    pack_node(p, tree, (uint32_t)n->left, path | bit, expect); // at most 31 deep
    pack_node(p, tree, (uint32_t)n->right, path | bit, expect | bit);
}

static void pack_tree(struct packer *p, const struct forest_tree *tree)
{
    p->n_nodes = p->n_leaves = 0;
    memset(p->to->d, bits_never().d, sizeof p->to->d);
    for (int i = 0; i < PATH_LEAVES; i++)
        p->to->expect[i] = 1; // with an empty path: matches nothing
    pack_node(p, tree, 0, 0, 0);
}

int path_pack(struct image_writer *w, const struct rank *r, struct arena *scratch, struct err *e)
{
    const struct forest *f = r->forest;
    if (r->n_num > BITS_MAX_COLS || bits_mask_size(r, sizeof(uint32_t)) > LIMIT_TREES_CATEGORY_BYTES)
        return 0;
    for (uint32_t t = 0; t < f->n_trees; t++)
        if (f->trees[t].n_nodes > 2 * PATH_LEAVES - 1)
            return 0;
    struct packer p = {.rank = r, .bit = arena_calloc(scratch, f->n_nodes, 1)};
    if (!p.bit)
        return err_set(e, ERR_NOMEM, "no memory to pack %u nodes", f->n_nodes);
    size_t tree_bytes = path_tree_bytes(f->family);
    char *to = image_section(w, IMAGE_PATH, f->n_trees * tree_bytes);
    for (uint32_t t = 0; to && t < f->n_trees; t++, to += tree_bytes) {
        p.to = (struct path_tree *)(void *)to;
        pack_tree(&p, &f->trees[r->order[t]]);
    }
    uint8_t *masks = image_section(w, IMAGE_PATH_MASKS, bits_mask_size(r, sizeof(uint32_t)));
    if (masks)
        bits_masks_fill(r, p.bit, sizeof(uint32_t), masks);
    w->h.path = 1;
    return 0;
}

int path_check(const struct image *img, struct err *e)
{
    const struct image_header *h = img->h;
    if (h->path == 0)
        return 0;
    if (h->path != 1 || h->n_num_cols > BITS_MAX_COLS ||
        img->n[IMAGE_PATH] != h->n_trees * path_tree_bytes((enum forest_family)h->family) ||
        !bits_masks_sound(img, IMAGE_PATH_MASKS, sizeof(uint32_t)))
        return err_set(e, ERR_BAD_MODEL, "image: the path table has the wrong size");
    return 0; // the kernels take bit 31 for the last leaf even where no path agrees
}
