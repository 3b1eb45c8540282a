// SPDX-License-Identifier: Apache-2.0
// Trees of at most six levels as complete trees: every comparison of a tree is made at once, and two look-ups
// turn the word of decisions into the place of the leaf.
//
// A word is made of bytes. Byte j holds the subtree under the j-th node of level `levels - 3`: its seven
// nodes, root first, in bits 0 … 6. The nodes above those subtrees, root first, are the bits 7 of bytes 0, 1,
// 2 …
//
//     levels 6: 64 slots, 7 nodes on top     levels 5: 32 slots, 3 on top     levels 4: 16 slots, 1 on top
//
// A tree in the image: f, c, d (bits.h), `slots` bytes each, then `slots` leaf values.
#pragma once

#include "engine/trees/image.h"
#include "engine/trees/rank.h"

enum { HEAP_MIN_LEVELS = 4, HEAP_MAX_LEVELS = 6 };

// Appends IMAGE_HEAP and HEAP_MASKS if all trees fit and sets heap_levels; else nothing. ERR_NOMEM.
int heap_pack(struct image_writer *w, const struct rank *r, struct arena *scratch, struct err *e) ERR_CHECKED;
int heap_check(const struct image *img, struct err *e) ERR_CHECKED;

size_t heap_tree_bytes(uint32_t levels, enum forest_family family);
// The leaf's place from the seven decisions of a three-level tree, root in bit 0; all 256 entries are filled.
extern const uint8_t HEAP_LEAF3[256];
