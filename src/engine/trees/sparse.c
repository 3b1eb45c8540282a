// SPDX-License-Identifier: Apache-2.0
// Packing and checking the sparse table. It is walked in sparse_run.h.
#include "engine/trees/sparse.h"

#include "base/limits.h"
#include "engine/trees/leaf.h"

#include <string.h>

struct place {
    uint32_t source, depth;
};

struct packer {
    const struct rank *rank;
    uint32_t stride;
    struct sparse_node *nodes;
    void *values;
    struct place *queue; // (most nodes of a tree)
};

// Breadth first, so that the top of a tree, which every row visits, shares few cache lines.
static uint32_t pack_tree(struct packer *p, const struct forest_tree *tree, uint32_t at)
{
    const struct forest *f = p->rank->forest;
    uint32_t n = 1, depth = 0;
    p->queue[0] = (struct place){.source = tree->first_node};
    for (uint32_t i = 0; i < n; i++) {
        const struct place here = p->queue[i];
        const struct forest_node *from = &f->nodes[here.source];
        const struct rank_node *rn = &p->rank->nodes[here.source];
        struct sparse_node *to = &p->nodes[at + i];
        depth = here.depth > depth ? here.depth : depth;
        if (rn->col == RANK_NO_COL) {
            *to = (struct sparse_node){.f = (uint16_t)(p->stride - 1), .k = UINT8_MAX, .child = at + i};
            leaf_put(f, tree, from->leaf, p->values, at + i);
            continue;
        }
        *to = (struct sparse_node){.f = (uint16_t)(rn->col + (rn->missing_left ? p->stride : 0)),
                                   .k = (uint8_t)(rn->at_least - 1),
                                   .child = at + n};
        p->queue[n++] = (struct place){tree->first_node + (uint32_t)from->left, here.depth + 1};
        p->queue[n++] = (struct place){tree->first_node + (uint32_t)from->right, here.depth + 1};
    }
    return depth;
}

int sparse_pack(struct image_writer *w, const struct rank *r, struct arena *scratch, struct err *e)
{
    const struct forest *f = r->forest;
    uint32_t largest = 1, at = 0;
    for (uint32_t t = 0; t < f->n_trees; t++)
        largest = f->trees[t].n_nodes > largest ? f->trees[t].n_nodes : largest;
    struct packer p = {.rank = r, .stride = w->h.code_stride};
    p.queue = arena_calloc(scratch, largest, sizeof *p.queue);
    struct sparse_root *roots = arena_calloc(scratch, f->n_trees, sizeof *roots);
    p.nodes = arena_calloc(scratch, f->n_nodes, sizeof *p.nodes);
    p.values = arena_calloc(scratch, f->n_nodes, leaf_bytes(f->family));
    if (!p.queue || !roots || !p.nodes || !p.values)
        return err_set(e, ERR_NOMEM, "no memory to pack %u nodes", f->n_nodes);
    for (uint32_t i = 0; i < f->n_trees; i++) {
        const struct forest_tree *tree = &f->trees[r->order[i]];
        uint32_t depth = pack_tree(&p, tree, at);
        roots[i] = (struct sparse_root){at, (uint16_t)depth, (uint16_t)tree->group};
        w->h.max_depth = depth > w->h.max_depth ? depth : w->h.max_depth;
        at += tree->n_nodes;
    }
    uint32_t *groups = image_section(w, IMAGE_GROUPS, (size_t)f->n_groups + 1);
    for (uint32_t i = 0; groups && i < f->n_trees; i++)
        groups[roots[i].group + 1] = i + 1;
    for (uint32_t g = 1; groups && g <= f->n_groups; g++)
        groups[g] = groups[g] ? groups[g] : groups[g - 1];
    image_copy(w, IMAGE_SPARSE_ROOTS, roots, f->n_trees);
    image_copy(w, IMAGE_SPARSE_NODES, p.nodes, f->n_nodes);
    image_copy(w, IMAGE_SPARSE_VALUES, p.values, f->n_nodes * leaf_bytes(f->family));
    return 0;
}

int sparse_check(const struct image *img, struct err *e)
{
    const struct image_header *h = img->h;
    const struct sparse_root *roots = img->at[IMAGE_SPARSE_ROOTS];
    const struct sparse_node *nodes = img->at[IMAGE_SPARSE_NODES];
    const uint32_t *groups = img->at[IMAGE_GROUPS];
    uint64_t n_nodes = img->n[IMAGE_SPARSE_NODES];
    if (img->n[IMAGE_SPARSE_ROOTS] != h->n_trees || n_nodes != h->n_nodes ||
        img->n[IMAGE_SPARSE_VALUES] != n_nodes * leaf_bytes(h->family) ||
        img->n[IMAGE_GROUPS] != (uint64_t)h->n_groups + 1 || groups[0] != 0 ||
        groups[h->n_groups] != h->n_trees)
        return err_set(e, ERR_BAD_MODEL, "image: the tree table has other sizes than the header says");
    for (uint32_t g = 0; g < h->n_groups; g++)
        if (groups[g] > groups[g + 1])
            return err_set(e, ERR_BAD_MODEL, "image: the trees of output %u are out of order", g);
    for (uint32_t t = 0; t < h->n_trees; t++)
        if (roots[t].node >= n_nodes || roots[t].depth > LIMIT_TREE_DEPTH || roots[t].group >= h->n_groups)
            return err_set(e, ERR_BAD_MODEL, "image: the root of tree %u is wrong", t);
    for (uint64_t i = 0; i < n_nodes; i++)
        if (nodes[i].f >= 2 * h->code_stride || nodes[i].child + (nodes[i].k != UINT8_MAX) >= n_nodes)
            return err_set(e, ERR_BAD_MODEL, "image: node %llu leads outside", (unsigned long long)i);
    return 0;
}
