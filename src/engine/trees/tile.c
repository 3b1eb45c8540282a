// SPDX-License-Identifier: Apache-2.0
// Packing and checking tiles.
#include "engine/trees/tile.h"

#include "engine/trees/bits.h"
#include "engine/trees/leaf.h"

#include <string.h>

struct packer {
    const struct rank *rank;
    const struct forest_tree *tree;
    struct tile *tiles;
    uint32_t n_tiles;
    void *values;
    uint32_t n_values;
    uint32_t *size;  // (most nodes of a tree) inner nodes of each subtree
    uint32_t *order; // (most nodes of a tree)
    uint32_t *queue; // (most nodes of a tree) roots of tiles still to pack …
    uint32_t *tile;  // … and the tile each becomes
};

struct open_exit { // a place in a tile where a subtree hangs
    uint32_t node;
    uint16_t path, expect;
};

static const struct forest_node *node_at(const struct packer *p, uint32_t node)
{
    return &p->rank->forest->nodes[p->tree->first_node + node];
}

// Parents before children, then sizes from the back.
static void measure(struct packer *p)
{
    uint32_t n = 1;
    p->order[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct forest_node *here = node_at(p, p->order[i]);
        if (here->left == -1)
            continue;
        p->order[n++] = (uint32_t)here->left;
        p->order[n++] = (uint32_t)here->right;
    }
    while (n--) {
        const struct forest_node *here = node_at(p, p->order[n]);
        p->size[p->order[n]] = here->left == -1 ? 0 : 1 + p->size[here->left] + p->size[here->right];
    }
}

// Takes the exit with the largest subtree into the tile until it is full or all exits are leaves: that keeps
// the number of tiles on a path small.
static uint32_t grow_tile(struct packer *p, struct tile *to, uint32_t root, struct open_exit *exits)
{
    uint32_t n_exits = 1, n_nodes = 0;
    exits[0] = (struct open_exit){.node = root};
    while (n_nodes < TILE_NODES) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < n_exits; i++)
            if (p->size[exits[i].node] > p->size[exits[best].node])
                best = i;
        struct open_exit from = exits[best];
        if (p->size[from.node] == 0)
            break;
        uint16_t bit = (uint16_t)(1u << n_nodes);
        struct bits_node b = bits_of(p->rank, p->tree->first_node + from.node);
        to->f[n_nodes] = b.f;
        to->c[n_nodes] = b.c;
        to->d[n_nodes++] = b.d;
        const struct forest_node *n = node_at(p, from.node);
        uint16_t path = (uint16_t)(from.path | bit);
        exits[best] = (struct open_exit){(uint32_t)n->left, path, from.expect};
        exits[n_exits++] = (struct open_exit){(uint32_t)n->right, path, (uint16_t)(from.expect | bit)};
    }
    return n_exits;
}

static void pack_tree(struct packer *p, uint32_t top)
{
    uint32_t n = 1;
    measure(p);
    p->queue[0] = 0;
    p->tile[0] = top;
    for (uint32_t i = 0; i < n; i++) {
        struct tile *to = &p->tiles[p->tile[i]];
        struct open_exit exits[TILE_EXITS];
        memset(to->d, bits_never().d, sizeof to->d);
        memset(to->expect, 0xff, sizeof to->expect); // with an empty path: matches nothing
        for (uint32_t x = 0; x < TILE_EXITS; x++)
            to->exit[x] = TILE_LEAF;
        uint32_t n_exits = grow_tile(p, to, p->queue[i], exits);
        for (uint32_t x = 0; x < n_exits; x++) {
            to->path[x] = exits[x].path;
            to->expect[x] = exits[x].expect;
            if (p->size[exits[x].node] == 0) {
                leaf_put(p->rank->forest, p->tree, node_at(p, exits[x].node)->leaf, p->values, p->n_values);
                to->exit[x] = TILE_LEAF | p->n_values++;
            } else {
                p->queue[n] = exits[x].node;
                p->tile[n++] = to->exit[x] = p->n_tiles++;
            }
        }
    }
}

static int reserve(struct packer *p, struct arena *scratch, uint32_t n_inner, struct err *e)
{
    const struct forest *f = p->rank->forest;
    uint32_t largest = 1;
    for (uint32_t t = 0; t < f->n_trees; t++)
        largest = f->trees[t].n_nodes > largest ? f->trees[t].n_nodes : largest;
    p->size = arena_calloc(scratch, largest, sizeof *p->size);
    p->order = arena_calloc(scratch, largest, sizeof *p->order);
    p->queue = arena_calloc(scratch, largest, sizeof *p->queue);
    p->tile = arena_calloc(scratch, largest, sizeof *p->tile);
    p->tiles =
        arena_calloc(scratch, (size_t)f->n_trees + n_inner, sizeof *p->tiles); // at worst a node a tile
    p->values = arena_calloc(scratch, f->n_nodes, leaf_bytes(f->family));
    if (!p->size || !p->order || !p->queue || !p->tile || !p->tiles || !p->values)
        return err_set(e, ERR_NOMEM, "no memory to pack %u nodes", f->n_nodes);
    return 0;
}

int tile_pack(struct image_writer *w, const struct rank *r, struct arena *scratch, struct err *e)
{
    const struct forest *f = r->forest;
    if (r->n_num > BITS_MAX_COLS || r->n_sets)
        return 0;
    struct packer p = {.rank = r, .n_tiles = f->n_trees};
    int rc = reserve(&p, scratch, (f->n_nodes - f->n_trees) / 2, e);
    if (rc)
        return rc;
    for (uint32_t t = 0; t < f->n_trees; t++) {
        p.tree = &f->trees[r->order[t]];
        pack_tree(&p, t);
    }
    image_copy(w, IMAGE_TILES, p.tiles, p.n_tiles);
    image_copy(w, IMAGE_TILE_VALUES, p.values, p.n_values * leaf_bytes(f->family));
    w->h.tiles = 1;
    return 0;
}

int tile_check(const struct image *img, struct err *e)
{
    const struct image_header *h = img->h;
    const struct tile *tiles = img->at[IMAGE_TILES];
    uint64_t n = img->n[IMAGE_TILES];
    uint64_t n_values = img->n[IMAGE_TILE_VALUES] / leaf_bytes((enum forest_family)h->family);
    if (h->tiles == 0)
        return 0;
    if (h->tiles != 1 || h->n_num_cols > BITS_MAX_COLS || h->n_num_cols != h->n_cols || n < h->n_trees ||
        n > TILE_LEAF || n_values > TILE_LEAF)
        return err_set(e, ERR_BAD_MODEL, "image: the tile table has the wrong size");
    // A tile leads only to later ones: so every walk ends.
    for (uint64_t t = 0; t < n; t++)
        for (unsigned x = 0; x < TILE_EXITS; x++) {
            uint32_t to = tiles[t].exit[x];
            if (to & TILE_LEAF ? (to & ~TILE_LEAF) >= n_values : to <= t || to >= n)
                return err_set(e, ERR_BAD_MODEL, "image: tile %llu leads outside", (unsigned long long)t);
        }
    return 0;
}
