// SPDX-License-Identifier: Apache-2.0
// Packing and checking blocks of four levels.
#include "engine/trees/quad.h"

#include "engine/trees/leaf.h"

#include <string.h>

struct packer {
    const struct rank *rank;
    const struct forest_tree *tree;
    uint32_t stride;
    struct quad *quads; // NULL: only counting
    char *values;
    uint64_t n_quads, n_values;
    uint32_t *queue; // (most nodes of a tree) roots of blocks still to pack …
    uint32_t *place; // … and the block each becomes
};

enum { NOWHERE = UINT32_MAX };

static const struct forest_node *node_at(const struct packer *p, uint32_t node)
{
    return &p->rank->forest->nodes[p->tree->first_node + node];
}

// Fills the block under heap number i of level l; exits gets the nodes under it.
static void fill(const struct packer *p, uint32_t node, uint32_t i, uint32_t l, struct quad *to,
                 uint32_t *exits)
{
    const struct forest_node *n = node_at(p, node);
    if (l == QUAD_LEVELS || n->left == -1) {
        exits[(i << (QUAD_LEVELS - l)) - QUAD_EXITS] = node; // where its nodes that always go left lead
        return;
    }
    const struct rank_node *rn = &p->rank->nodes[p->tree->first_node + node];
    to->f[i] = (uint16_t)(rn->col + (rn->missing_left ? p->stride : 0));
    to->k[i] = (uint8_t)(rn->at_least - 1);
    fill(p, (uint32_t)n->left, 2 * i, l + 1, to, exits); // at most four deep
    fill(p, (uint32_t)n->right, 2 * i + 1, l + 1, to, exits);
}

static void pack_tree(struct packer *p, uint32_t top)
{
    uint32_t n = 1;
    p->queue[0] = 0;
    p->place[0] = top;
    for (uint32_t i = 0; i < n; i++) {
        struct quad q = {.quads = (uint32_t)p->n_quads, .leaves = (uint32_t)p->n_values};
        uint32_t exits[QUAD_EXITS];
        memset(exits, 0xff, sizeof exits);
        memset(q.k, UINT8_MAX, sizeof q.k);
        for (uint32_t x = 0; x < QUAD_EXITS; x++)
            q.f[x] = (uint16_t)(p->stride - 1);
        fill(p, p->queue[i], 1, 0, &q, exits);
        for (uint32_t x = 0; x < QUAD_EXITS; x++) {
            const struct forest_node *to = exits[x] == NOWHERE ? NULL : node_at(p, exits[x]);
            if (to && to->left != -1) {
                q.below |= 1u << x;
                p->queue[n] = exits[x];
                p->place[n++] = (uint32_t)p->n_quads++;
                continue;
            }
            if (to && p->values)
                leaf_put(p->rank->forest, p->tree, to->leaf, p->values, p->n_values);
            p->n_values++;
        }
        if (p->quads)
            p->quads[p->place[i]] = q;
    }
}

static void pack_all(struct packer *p)
{
    const struct forest *f = p->rank->forest;
    p->n_quads = f->n_trees;
    p->n_values = 0;
    for (uint32_t t = 0; t < f->n_trees; t++) {
        p->tree = &f->trees[p->rank->order[t]];
        pack_tree(p, t);
    }
}

int quad_pack(struct image_writer *w, const struct rank *r, struct arena *scratch, struct err *e)
{
    const struct forest *f = r->forest;
    uint32_t largest = 1;
    for (uint32_t t = 0; t < f->n_trees; t++)
        largest = f->trees[t].n_nodes > largest ? f->trees[t].n_nodes : largest;
    struct packer p = {.rank = r, .stride = w->h.code_stride};
    p.queue = arena_calloc(scratch, largest, sizeof *p.queue);
    p.place = arena_calloc(scratch, largest, sizeof *p.place);
    if (!p.queue || !p.place)
        return err_set(e, ERR_NOMEM, "no memory to pack %u nodes", f->n_nodes);
    pack_all(&p);
    if (p.n_quads >= QUAD_LEAF || p.n_values >= QUAD_LEAF)
        return 0;
    size_t n_values = p.n_values, n_quads = p.n_quads;
    char *values = arena_calloc(scratch, n_values, leaf_bytes(f->family));
    if (!values)
        return err_set(e, ERR_NOMEM, "no memory to pack %u nodes", f->n_nodes);
    p.values = values;
    p.quads = image_section(w, IMAGE_QUADS, n_quads);
    if (!p.quads)
        return 0; // the writer's buffer has failed, which image_build reports
    pack_all(&p);
    image_copy(w, IMAGE_QUAD_VALUES, values, n_values * leaf_bytes(f->family));
    w->h.quads = 1;
    return 0;
}

int quad_check(const struct image *img, struct err *e)
{
    const struct image_header *h = img->h;
    const struct quad *quads = img->at[IMAGE_QUADS];
    uint64_t n = img->n[IMAGE_QUADS];
    uint64_t n_values = img->n[IMAGE_QUAD_VALUES] / leaf_bytes((enum forest_family)h->family);
    if (h->quads == 0)
        return 0;
    if (h->quads != 1 || n < h->n_trees || n > QUAD_LEAF || n_values > QUAD_LEAF)
        return err_set(e, ERR_BAD_MODEL, "image: the table of blocks has the wrong size");
    // A block leads only to later ones: so every walk ends.
    for (uint64_t t = 0; t < n; t++) {
        const struct quad *q = &quads[t];
        uint32_t n_below = (uint32_t)__builtin_popcount(q->below);
        bool sound = q->below >> QUAD_EXITS == 0 && (!q->below || q->quads > t) &&
                     (uint64_t)q->quads + n_below <= n &&
                     (uint64_t)q->leaves + QUAD_EXITS - n_below <= n_values;
        for (uint32_t i = 0; i < QUAD_EXITS; i++)
            sound &= q->f[i] < 2 * h->code_stride;
        if (!sound)
            return err_set(e, ERR_BAD_MODEL, "image: block %llu leads outside", (unsigned long long)t);
    }
    return 0;
}
