// SPDX-License-Identifier: Apache-2.0
// Trees of any depth and shape in tiles: a tile is up to 15 nodes around the top of a (sub)tree, compared at
// once; its up to 16 exits, each a leaf or the next tile, are told apart by their paths (as in path.h, on 16
// bits). A tree of depth 8 takes two or three tiles, one of 255 leaves about three.
//
// One row goes through the forest in waves, first all top tiles, then the next tiles of those trees that are
// not at a leaf yet: there is no branch on how deep a tree goes, and all tiles of a wave are independent.
#pragma once

#include "engine/trees/image.h"
#include "engine/trees/rank.h"

enum { TILE_NODES = 15, TILE_EXITS = 16, TILE_LEAF = 1u << 31 };

struct tile {
    uint8_t f[TILE_EXITS], c[TILE_EXITS], d[TILE_EXITS]; // bits.h; the last is unused
    uint16_t path[TILE_EXITS], expect[TILE_EXITS];
    uint32_t exit[TILE_EXITS]; // a tile, or TILE_LEAF | place in IMAGE_TILE_VALUES
};

// Appends IMAGE_TILES and TILE_VALUES and sets h.tiles if the columns fit and no node has a category set;
// else nothing. Tile t is the top of tree t. ERR_NOMEM.
int tile_pack(struct image_writer *w, const struct rank *r, struct arena *scratch, struct err *e) ERR_CHECKED;
int tile_check(const struct image *img, struct err *e) ERR_CHECKED;
