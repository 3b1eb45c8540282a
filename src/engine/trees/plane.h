// SPDX-License-Identifier: Apache-2.0
// Many rows at once: 64 rows' codes of a column lie side by side (a plane), a comparison is made for all of
// them in two instructions, and the leaf's place is chosen bottom up:
//
//     place(node) = decision(node) ? place(right child) : place(left child)      64 rows at a time
//
// For trees of at most six levels, as complete trees, whatever the number of columns. Category columns are
// planes like the others. A tree in the image: struct plane_tree, then 2^levels leaf values: doubles, or the
// four bytes of floats apart, first all lowest bytes, so that a leaf is looked up as four bytes by shuffles.
#pragma once

#include "engine/trees/image.h"
#include "engine/trees/rank.h"

enum { PLANE_ROWS = 64, PLANE_MIN_LEVELS = 4, PLANE_MAX_LEVELS = 6, PLANE_NODES = 64 };

struct plane_tree {
    uint32_t
        plane[PLANE_NODES]; // where the column's plane starts, by heap number 1 … 63; missing as in code.h
    uint8_t c[PLANE_NODES]; // goes right iff the top bit of avg(code, c) is set; 0 never
};

// Appends IMAGE_PLANE if all trees fit and sets h.plane_levels; else nothing. ERR_NOMEM.
int plane_pack(struct image_writer *w, const struct rank *r, struct err *e) ERR_CHECKED;
int plane_check(const struct image *img, struct err *e) ERR_CHECKED;

size_t plane_tree_bytes(uint32_t levels, enum forest_family family); // with the leaf values
