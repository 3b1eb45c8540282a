// SPDX-License-Identifier: Apache-2.0
// The walk over the sparse table, written once for both value types: included with VALUE and NAME(x) defined.
// One row walks eight trees at a time, many rows walk each tree eight rows at a time: eight independent
// chains of loads hide each other's latency.

enum { NAME(LANES) = 8 };

// Takes `steps` steps in all lanes. Past the first six, where skewed trees are mostly done, it looks whether
// any lane still moves.
static inline void NAME(walk)(const struct sparse_node *nodes, const uint8_t *const codes[], uint32_t at[],
                              uint32_t steps)
{
    enum { SURE = 6 };
    for (uint32_t s = 0; s < steps; s++) {
        uint32_t moved = 0;
        for (int l = 0; l < NAME(LANES); l++) {
            const struct sparse_node *n = &nodes[at[l]];
            uint32_t next = n->child + (codes[l][n->f] > n->k);
            moved |= next ^ at[l];
            at[l] = next;
        }
        if (s >= SURE && !moved)
            return;
    }
}

static void NAME(one_row)(const struct trees *m, const uint8_t *codes, VALUE *out)
{
    const struct sparse_root *roots = m->img.at[IMAGE_SPARSE_ROOTS];
    const struct sparse_node *nodes = m->img.at[IMAGE_SPARSE_NODES];
    const VALUE *values = m->img.at[IMAGE_SPARSE_VALUES];
    const uint8_t *lanes[NAME(LANES)];
    for (int l = 0; l < NAME(LANES); l++)
        lanes[l] = codes;
    uint32_t n = m->img.h->n_trees, group = 0;
    VALUE sum = out[0];
    for (uint32_t t = 0; t < n; t += NAME(LANES)) {
        uint32_t at[NAME(LANES)], steps = 0, here = n - t < NAME(LANES) ? n - t : NAME(LANES);
        for (uint32_t l = 0; l < NAME(LANES); l++) {
            const struct sparse_root *r = &roots[t + (l < here ? l : 0)];
            at[l] = r->node;
            steps = r->depth > steps ? r->depth : steps;
        }
        NAME(walk)(nodes, lanes, at, steps);
        for (uint32_t l = 0; l < here; l++) {
            if (roots[t + l].group != group) {
                out[group] = sum;
                group = roots[t + l].group;
                sum = out[group];
            }
            sum += values[at[l]];
        }
    }
    out[group] = sum;
}

static void NAME(block)(const struct trees *m, uint32_t n_rows, VALUE *out)
{
    const struct sparse_root *roots = m->img.at[IMAGE_SPARSE_ROOTS];
    const struct sparse_node *nodes = m->img.at[IMAGE_SPARSE_NODES];
    const VALUE *values = m->img.at[IMAGE_SPARSE_VALUES];
    size_t row_codes = 2 * (size_t)m->coder.stride, n_groups = m->img.h->n_groups;
    for (uint32_t t = 0; t < m->img.h->n_trees; t++)
        for (uint32_t r = 0; r < n_rows; r += NAME(LANES)) {
            uint32_t at[NAME(LANES)], here = n_rows - r < NAME(LANES) ? n_rows - r : NAME(LANES);
            const uint8_t *lanes[NAME(LANES)];
            for (uint32_t l = 0; l < NAME(LANES); l++) {
                at[l] = roots[t].node;
                lanes[l] = m->coder.codes + (r + (l < here ? l : 0)) * row_codes;
            }
            NAME(walk)(nodes, lanes, at, roots[t].depth);
            for (uint32_t l = 0; l < here; l++)
                out[(r + l) * n_groups + roots[t].group] += values[at[l]];
        }
}

void NAME(run)(struct trees *m, const void *rows, uint32_t n_rows, void *margins)
{
    VALUE *out = margins;
    size_t n_groups = m->img.h->n_groups;
    for (uint32_t r = 0; r < n_rows;) {
        uint32_t here = n_rows - r < CODE_ROWS ? n_rows - r : CODE_ROWS;
        for (uint32_t i = 0; i < here; i++) {
            uint8_t *codes = m->coder.codes + (size_t)i * 2 * m->coder.stride;
            m->code(&m->coder, trees_row(m, rows, r + i), codes);
            code_cats(&m->coder, trees_row(m, rows, r + i));
            code_cat_cols(&m->coder, codes);
        }
        if (here == 1)
            NAME(one_row)(m, m->coder.codes, out + r * n_groups);
        else
            NAME(block)(m, here, out + r * n_groups);
        r += here;
    }
}
