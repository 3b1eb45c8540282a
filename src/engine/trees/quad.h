// SPDX-License-Identifier: Apache-2.0
// Trees of any depth, with any number of columns, in blocks of four levels: a block is one cache line, so
// that a tree of depth 8 touches two of them and the line of its leaf. A walk inside a block is four steps
// without a branch and without child pointers; the blocks and leaves below a block lie side by side, in
// order.
//
// As with tiles, one row goes through the forest in waves, so that the lines of a wave are loaded at once.
#pragma once

#include "engine/trees/image.h"
#include "engine/trees/rank.h"

enum { QUAD_LEVELS = 4, QUAD_EXITS = 1 << QUAD_LEVELS, QUAD_LEAF = 1u << 31 };

struct quad {
    uint16_t f[QUAD_EXITS]; // by heap number 1 … 15: place in the codes of a row, both halves (code.h)
    uint8_t k[QUAD_EXITS];  // one less than the least code that goes right; 255: never
    uint32_t below;         // bit e: exit e leads to a block, else to a leaf
    uint32_t quads;         // the block of the first exit that leads to one
    uint32_t leaves;        // place in IMAGE_QUAD_VALUES of the first exit that does not
    uint32_t zero;
};

// Appends IMAGE_QUADS and QUAD_VALUES and sets h.quads. Block t is the top of tree t. ERR_NOMEM.
int quad_pack(struct image_writer *w, const struct rank *r, struct arena *scratch, struct err *e) ERR_CHECKED;
int quad_check(const struct image *img, struct err *e) ERR_CHECKED;
