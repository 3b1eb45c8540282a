// SPDX-License-Identifier: Apache-2.0
// Decisions of many nodes as bits of one word, the common ground of the kernels that compare all nodes of a
// tree at once. A node is three bytes, kept in three arrays:
//
//     x = code of column f;  goes right iff the carry comes out of  (x + d) + c + 1     (x + d wraps at 256)
//
// with c = 255 - (least code that goes right) - d. Missing, 255, always carries when d is 0 and never when d
// is 1: so both directions cost no instruction that depends on the row. avg_epu8 leaves the carry in the top
// bit.
#pragma once

#include "engine/trees/image.h"
#include "engine/trees/rank.h"

enum { BITS_MAX_COLS = 64 }; // columns of numbers that f may name

struct bits_node {
    uint8_t f, c, d;
};

// A node that always goes left: padding, and category nodes, whose bits come from the masks.
struct bits_node bits_never(void);
struct bits_node bits_of(const struct rank *r, uint32_t node);

// Category nodes: for each category feature and each row of its table (code.h), a word a tree with the bits
// of the nodes that go right. The words of a row are or-ed over the features, then into the trees' decisions.
//
// Where the bit of a forest's node is: bit[node], of words of `bytes` bytes; trees in rank.order.
size_t bits_mask_size(const struct rank *r, uint32_t bytes);
void bits_masks_fill(const struct rank *r, const uint8_t *bit, uint32_t bytes, uint8_t *to);
uint32_t bits_mask_stride(uint32_t n_trees); // words of one table row: n_trees, padded

// Whether the section has the size that code_cats' rows need.
bool bits_masks_sound(const struct image *img, enum image_section s, uint32_t bytes);
