// SPDX-License-Identifier: Apache-2.0
// Trees of any shape with at most 32 leaves: every comparison of a tree is made at once, and the leaf is the
// one whose path agrees with all decisions on it:
//
//     (decisions & path[leaf]) == expect[leaf]      32 leaves at a time, no walk, no depth
//
// A tree in the image: f, c, d (bits.h), 32 bytes each; path and expect, 32 words each; 32 leaf values.
// Leaves are in the order in which AVX2 packs the results of four compares to bits, path_lane says where each
// word is.
#pragma once

#include "engine/trees/image.h"
#include "engine/trees/rank.h"

enum { PATH_LEAVES = 32 };

struct path_tree {
    uint8_t f[PATH_LEAVES], c[PATH_LEAVES], d[PATH_LEAVES];
    uint8_t zero[32];
    uint32_t path[PATH_LEAVES], expect[PATH_LEAVES];
};

// Appends IMAGE_PATH and PATH_MASKS if all trees fit and sets h.path; else nothing. ERR_NOMEM.
int path_pack(struct image_writer *w, const struct rank *r, struct arena *scratch, struct err *e) ERR_CHECKED;
int path_check(const struct image *img, struct err *e) ERR_CHECKED;

size_t path_tree_bytes(enum forest_family family); // with the leaf values
uint32_t path_lane(uint32_t leaf);                 // the word of path and expect that belongs to a leaf
