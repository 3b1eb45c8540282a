// SPDX-License-Identifier: Apache-2.0
// Packing and checking the heap table.
#include "engine/trees/heap.h"

#include "engine/trees/bits.h"
#include "engine/trees/leaf.h"
#include "engine/trees/oct.h"

#include "base/limits.h"

#include <string.h>

// Three steps down: bit 0, then bit 1 or 2, then one of bits 3 … 6.
#define R0(i)         ((i)&1)
#define R1(i)         ((i) >> (1 + R0(i)) & 1)
#define R2(i)         ((i) >> (3 + 2 * R0(i) + R1(i)) & 1)
#define LEAF(i)       (4 * R0(i) + 2 * R1(i) + R2(i))
#define LEAF4(i, by)  LEAF(i) * (by), LEAF((i) + 1) * (by), LEAF((i) + 2) * (by), LEAF((i) + 3) * (by)
#define LEAF16(i, by) LEAF4(i, by), LEAF4((i) + 4, by), LEAF4((i) + 8, by), LEAF4((i) + 12, by)
#define LEAF64(i, by) LEAF16(i, by), LEAF16((i) + 16, by), LEAF16((i) + 32, by), LEAF16((i) + 48, by)
#define LEAF256(by)   LEAF64(0, by), LEAF64(64, by), LEAF64(128, by), LEAF64(192, by)

const uint8_t HEAP_LEAF3[256] = {LEAF256(1)};
const uint16_t OCT_EXIT_F32[256] = {LEAF256(OCT_BLOCK_BYTES + 8 * sizeof(float))};
const uint16_t OCT_EXIT_F64[256] = {LEAF256(OCT_BLOCK_BYTES + 8 * sizeof(double))};

struct packer {
    const struct rank *rank;
    uint32_t levels;
    uint8_t *bit; // (n_nodes) of the forest: where the node's decision is
};

size_t heap_tree_bytes(uint32_t levels, enum forest_family family)
{
    return ((size_t)1 << levels) * (3 + leaf_bytes(family));
}

// The slot of node i of level l, both from 0.
static uint32_t slot_of(uint32_t levels, uint32_t l, uint32_t i)
{
    uint32_t top = levels - 3;
    if (l < top)
        return 8 * ((1u << l) - 1 + i) + 7;
    uint32_t under = l - top;
    return 8 * (i >> under) + (1u << under) - 1 + (i & ((1u << under) - 1));
}

static void pack_node(struct packer *p, const struct forest_tree *tree, uint32_t node, uint32_t l, uint32_t i,
                      uint8_t *to)
{
    const struct forest *f = p->rank->forest;
    const struct forest_node *n = &f->nodes[tree->first_node + node];
    size_t slots = (size_t)1 << p->levels;
    if (n->left == -1) {
        leaf_put(f, tree, n->leaf, to + 3 * slots, (size_t)i << (p->levels - l));
        return;
    }
    uint32_t slot = slot_of(p->levels, l, i);
    struct bits_node b = bits_of(p->rank, tree->first_node + node);
    to[slot] = b.f;
    to[slots + slot] = b.c;
    to[2 * slots + slot] = b.d;
    p->bit[tree->first_node + node] = (uint8_t)slot;
    pack_node(p, tree, (uint32_t)n->left, l + 1, 2 * i, to); // at most six deep
    pack_node(p, tree, (uint32_t)n->right, l + 1, 2 * i + 1, to);
}

int heap_pack(struct image_writer *w, const struct rank *r, struct arena *scratch, struct err *e)
{
    const struct forest *f = r->forest;
    uint32_t levels = w->h.max_depth < HEAP_MIN_LEVELS ? HEAP_MIN_LEVELS : w->h.max_depth;
    uint32_t mask_bytes = levels == HEAP_MAX_LEVELS ? sizeof(uint64_t) : sizeof(uint32_t);
    size_t tree_bytes = heap_tree_bytes(levels, f->family), slots = (size_t)1 << levels;
    if (levels > HEAP_MAX_LEVELS || r->n_num > BITS_MAX_COLS ||
        bits_mask_size(r, mask_bytes) > LIMIT_TREES_CATEGORY_BYTES)
        return 0;
    struct packer p = {.rank = r, .levels = levels, .bit = arena_calloc(scratch, f->n_nodes, 1)};
    if (!p.bit)
        return err_set(e, ERR_NOMEM, "no memory to pack %u nodes", f->n_nodes);
    uint8_t *to = image_section(w, IMAGE_HEAP, f->n_trees * tree_bytes);
    for (uint32_t t = 0; to && t < f->n_trees; t++, to += tree_bytes) {
        memset(to + 2 * slots, bits_never().d, slots);
        pack_node(&p, &f->trees[r->order[t]], 0, 0, 0, to);
    }
    uint8_t *masks = image_section(w, IMAGE_HEAP_MASKS, bits_mask_size(r, mask_bytes));
    if (masks)
        bits_masks_fill(r, p.bit, mask_bytes, masks);
    w->h.heap_levels = levels;
    return 0;
}

int heap_check(const struct image *img, struct err *e)
{
    uint32_t levels = img->h->heap_levels;
    if (levels == 0)
        return 0;
    uint32_t mask_bytes = levels == HEAP_MAX_LEVELS ? sizeof(uint64_t) : sizeof(uint32_t);
    if (levels < HEAP_MIN_LEVELS || levels > HEAP_MAX_LEVELS || img->h->n_num_cols > BITS_MAX_COLS ||
        img->n[IMAGE_HEAP] != img->h->n_trees * heap_tree_bytes(levels, (enum forest_family)img->h->family) ||
        !bits_masks_sound(img, IMAGE_HEAP_MASKS, mask_bytes))
        return err_set(e, ERR_BAD_MODEL, "image: the heap table has the wrong size");
    return 0; // its bytes can lead nowhere: every word of decisions names a leaf of the tree
}
