// SPDX-License-Identifier: Apache-2.0
// The tree table that every coded forest has and every processor can walk: eight bytes a node, children side
// by side, a leaf that leads to itself, so that a walk is a fixed number of steps without a branch:
//
//     node = child + (codes[f] > k)
#pragma once

#include "engine/trees/image.h"
#include "engine/trees/rank.h"

struct sparse_root {
    uint32_t node;         // in IMAGE_SPARSE_NODES
    uint16_t depth, group; // steps until every walk is at a leaf; the output it adds to
};

struct sparse_node {
    uint16_t f; // place in the codes of a row, both halves: code.h
    uint8_t k;  // one less than the least code that goes right; 255: never
    uint8_t zero;
    uint32_t child; // the left one; the right one follows. A leaf: itself
};

// Appends IMAGE_GROUPS, SPARSE_ROOTS, SPARSE_NODES and SPARSE_VALUES. ERR_NOMEM.
int sparse_pack(struct image_writer *w, const struct rank *r, struct arena *scratch,
                struct err *e) ERR_CHECKED;
int sparse_check(const struct image *img, struct err *e) ERR_CHECKED;
