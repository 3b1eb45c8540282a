// SPDX-License-Identifier: Apache-2.0
// Packing and checking blocks of three levels.
#include "engine/trees/oct.h"

#include "engine/trees/bits.h"
#include "engine/trees/leaf.h"

#include "base/limits.h"

#include <string.h>

struct packer {
    const struct rank *rank;
    const struct forest_tree *tree;
    uint8_t *top; // of the tree: its eight f; its c are 32 bytes on
    uint8_t *below;
    size_t value_bytes;
    uint32_t steps;
    uint8_t left;
};

// A group's trees with those that fill it up.
static uint32_t filled(uint32_t n_trees)
{
    return (n_trees + OCT_TREES - 1) / OCT_TREES * OCT_TREES;
}

static size_t table_bytes(const uint32_t *first, uint32_t n_groups, uint32_t steps, size_t value_bytes)
{
    size_t fours = 0;
    for (uint32_t g = 0; g < n_groups; g++)
        fours += filled(first[g + 1] - first[g]) / OCT_TREES;
    return fours * (OCT_TOP_BYTES + OCT_TREES * oct_tree_bytes(steps, value_bytes));
}

// The f of a block; i counts the blocks of its step. Its c are *ret_c bytes on.
static uint8_t *block_at(const struct packer *p, uint32_t step, uint32_t i, size_t *ret_c)
{
    size_t last = OCT_BLOCK_BYTES + 8 * p->value_bytes;
    *ret_c = step == 0 ? OCT_TOP_BYTES / 2 : 8;
    if (step == 0)
        return p->top;
    if (step + 1 < p->steps)
        return p->below + (size_t)i * OCT_BLOCK_BYTES;
    return p->below + (p->steps == 3 ? 8 * OCT_BLOCK_BYTES : 0) + i * last;
}

// Where leaf `place` of the padded tree is.
static uint8_t *leaf_at(const struct packer *p, uint32_t place)
{
    size_t c;
    if (p->steps == 1)
        return p->below + place * p->value_bytes;
    return block_at(p, p->steps - 1, place / 8, &c) + OCT_BLOCK_BYTES + place % 8 * p->value_bytes;
}

// Node i of level l, both from 0, counted in the padded tree.
static void pack_node(const struct packer *p, uint32_t node, uint32_t l, uint32_t i)
{
    const struct forest *f = p->rank->forest;
    const struct forest_node *n = &f->nodes[p->tree->first_node + node];
    if (n->left == -1) {
        leaf_put(f, p->tree, n->leaf, leaf_at(p, i << (3 * p->steps - l)), 0);
        return;
    }
    const struct rank_node *rn = &p->rank->nodes[p->tree->first_node + node];
    uint32_t under = l % 3;
    size_t c;
    uint8_t *lane = block_at(p, l / 3, i >> under, &c) + (1u << under) - 1 + (i & ((1u << under) - 1));
    lane[0] = (uint8_t)(rn->col | (rn->missing_left ? p->left : 0));
    lane[c] = (uint8_t)(255 - rn->at_least - rn->missing_left);
    pack_node(p, (uint32_t)n->left, l + 1, 2 * i); // at most nine deep
    pack_node(p, (uint32_t)n->right, l + 1, 2 * i + 1);
}

static void put_minus_zero(uint8_t *to, size_t n, size_t value_bytes)
{
    for (size_t i = 0; i < n; i++)
        if (value_bytes == sizeof(float))
            ((float *)(void *)to)[i] = -0.0f;
        else
            ((double *)(void *)to)[i] = -0.0;
}

// A lane that never goes right: c is 0 and missing goes left. Leaves that no row reaches are -0 too.
static void clear_tree(const struct packer *p)
{
    static const uint32_t BLOCKS[] = {1, 8, 64};
    for (uint32_t step = 0; step < p->steps; step++)
        for (uint32_t i = 0; i < BLOCKS[step]; i++) {
            size_t c;
            memset(block_at(p, step, i, &c), p->left, 8);
        }
    for (uint32_t place = 0; place < 1u << 3 * p->steps; place += 8)
        put_minus_zero(leaf_at(p, place), 8, p->value_bytes);
}

int oct_pack(struct image_writer *w, const struct rank *r, struct err *e)
{
    (void)e;
    const struct forest *f = r->forest;
    struct packer p = {.rank = r,
                       .value_bytes = leaf_bytes(f->family),
                       .left = w->h.n_cols > OCT_NARROW_COLS ? OCT_LEFT_WIDE : OCT_LEFT,
                       .steps = w->h.max_depth <= 3 ? 1 : (w->h.max_depth + 2) / 3};
    if (p.steps > OCT_MAX_STEPS || w->h.n_cols > OCT_MAX_COLS)
        return 0;
    const uint32_t *groups =
        (const uint32_t *)(const void *)(w->to->p + w->start + w->h.spans[IMAGE_GROUPS].offset);
    uint32_t first[LIMIT_MODEL_OUTPUTS + 1];
    if (w->to->failed)
        return 0; // which image_build reports
    memcpy(first, groups, (f->n_groups + 1) * sizeof *first);
    size_t bytes = table_bytes(first, f->n_groups, p.steps, p.value_bytes);
    size_t tree_bytes = oct_tree_bytes(p.steps, p.value_bytes);
    if (bytes > OCT_MAX_BYTES)
        return 0;
    uint8_t *at = image_section(w, IMAGE_OCT, bytes);
    for (uint32_t g = 0; at && g < f->n_groups; g++)
        for (uint32_t t = first[g]; t < first[g] + filled(first[g + 1] - first[g]); t++) {
            uint32_t lane = (t - first[g]) % OCT_TREES;
            p.top = at + 8 * (size_t)lane;
            p.below = at + OCT_TOP_BYTES + lane * tree_bytes;
            clear_tree(&p);
            if (t < first[g + 1]) {
                p.tree = &f->trees[r->order[t]];
                pack_node(&p, 0, 0, 0);
            }
            at += lane == OCT_TREES - 1 ? OCT_TOP_BYTES + OCT_TREES * tree_bytes : 0;
        }
    w->h.oct_steps = p.steps;
    return 0;
}

int oct_check(const struct image *img, struct err *e)
{
    const struct image_header *h = img->h;
    if (h->oct_steps == 0)
        return 0;
    if (h->oct_steps > OCT_MAX_STEPS || h->n_cols > OCT_MAX_COLS ||
        img->n[IMAGE_OCT] != table_bytes(img->at[IMAGE_GROUPS], h->n_groups, h->oct_steps,
                                         leaf_bytes((enum forest_family)h->family)))
        return err_set(e, ERR_BAD_MODEL, "image: the table of blocks of three levels has the wrong size");
    return 0; // c of the eighth lane may be anything: the exit tables have 256 entries
}
