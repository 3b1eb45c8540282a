// SPDX-License-Identifier: Apache-2.0
// Trees in blocks of three levels: seven nodes and eight exits. Four trees walk side by side: their four
// blocks are 32 lanes of one comparison, a table of 128 entries turns each block's seven decisions into the
// exit taken, and three bytes of address arithmetic lead to the next block.
//
//     four trees of six levels      top: the roots' blocks together       32 f, 32 c
//     (two steps), in the image     then, tree by tree, eight blocks of   8 f, 8 c, 8 leaf values
//     nine levels (three steps)     top, then tree by tree eight blocks of 8 f, 8 c and 64 with values
//     three levels (one step)       top, then tree by tree eight leaf values
//
// f is the column's place among the row's codes, with OCT_LEFT (many columns: OCT_LEFT_WIDE) where missing
// goes left; a node goes right iff the carry comes out of (code + left) + c + 1: see bits.h, where d is what
// is a bit of f here. Nodes are in the order of HEAP_LEAF3; the eighth lane never goes right.
//
// Category columns are columns like the others. The trees of a group are filled up to fours with trees whose
// leaves are all -0, which changes no sum.
#pragma once

#include "engine/trees/image.h"
#include "engine/trees/rank.h"

enum {
    OCT_TREES = 4,
    OCT_MAX_STEPS = 3,
    OCT_MAX_COLS = 128,
    OCT_NARROW_COLS = 64,
    OCT_LEFT = 0x40,      // up to OCT_NARROW_COLS columns
    OCT_LEFT_WIDE = 0x80, // more
    OCT_TOP_BYTES = 64,
    OCT_BLOCK_BYTES = 16,
    OCT_MAX_BYTES = 64 << 20,
};

// Appends IMAGE_OCT if all trees fit and sets h.oct_steps; else nothing. ERR_NOMEM.
int oct_pack(struct image_writer *w, const struct rank *r, struct err *e) ERR_CHECKED;
int oct_check(const struct image *img, struct err *e) ERR_CHECKED;

// HEAP_LEAF3 times the bytes of a block with values.
extern const uint16_t OCT_EXIT_F32[256], OCT_EXIT_F64[256];

// Bytes of the blocks of one tree below the top.
static inline size_t oct_tree_bytes(uint32_t steps, size_t value_bytes)
{
    size_t last = OCT_BLOCK_BYTES + 8 * value_bytes;
    return steps == 1 ? 8 * value_bytes : steps == 2 ? 8 * last : 8 * OCT_BLOCK_BYTES + 64 * last;
}
