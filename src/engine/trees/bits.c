// SPDX-License-Identifier: Apache-2.0
#include "engine/trees/bits.h"

#include "engine/trees/code.h"

#include <string.h>

struct bits_node bits_never(void)
{
    return (struct bits_node){.f = 0, .c = 0, .d = 1}; // no code is 254
}

struct bits_node bits_of(const struct rank *r, uint32_t node)
{
    const struct rank_node *n = &r->nodes[node];
    if (n->col == RANK_NO_COL || n->col >= r->n_num)
        return bits_never();
    return (struct bits_node){
        .f = (uint8_t)n->col, .c = (uint8_t)(255 - n->at_least - n->missing_left), .d = n->missing_left};
}

uint32_t bits_mask_stride(uint32_t n_trees)
{
    return (n_trees + 7) / 8 * 8;
}

size_t bits_mask_size(const struct rank *r, uint32_t bytes)
{
    size_t rows = 0;
    for (uint32_t i = 0; i < r->n_cats; i++)
        rows += (size_t)r->cats[i].n_cats + 2;
    return rows * bits_mask_stride(r->forest->n_trees) * bytes;
}

static void set_bit(uint8_t *words, uint32_t bytes, uint32_t tree, uint8_t bit)
{
    if (bytes == sizeof(uint32_t))
        ((uint32_t *)(void *)words)[tree] |= 1u << bit;
    else
        ((uint64_t *)(void *)words)[tree] |= UINT64_C(1) << bit;
}

void bits_masks_fill(const struct rank *r, const uint8_t *bit, uint32_t bytes, uint8_t *to)
{
    const struct forest *f = r->forest;
    size_t row_bytes = (size_t)bits_mask_stride(f->n_trees) * bytes;
    for (uint32_t i = 0; i < r->n_cats; i++) {
        const struct rank_cat *cat = &r->cats[i];
        for (uint32_t t = 0; t < f->n_trees; t++) {
            const struct forest_tree *tree = &f->trees[r->order[t]];
            for (uint32_t at = tree->first_node; at < tree->first_node + tree->n_nodes; at++) {
                const struct forest_node *n = &f->nodes[at];
                if (n->left == -1 || !n->categorical || n->feature != cat->feature)
                    continue;
                for (int64_t row = 0; row < (int64_t)cat->n_cats + 2; row++)
                    if (rank_set_goes_right(f, n, row < cat->n_cats ? row : cat->n_cats - row - 1))
                        set_bit(to + (size_t)row * row_bytes, bytes, t, bit[at]);
            }
        }
        to += ((size_t)cat->n_cats + 2) * row_bytes;
    }
}

bool bits_masks_sound(const struct image *img, enum image_section s, uint32_t bytes)
{
    const struct code_cat *cats = img->at[IMAGE_CATS];
    uint64_t rows = 0;
    for (uint64_t i = 0; i < img->n[IMAGE_CATS]; i++)
        rows += (uint64_t)cats[i].n_cats + 2;
    return img->n[s] == rows * bits_mask_stride(img->h->n_trees) * bytes;
}
