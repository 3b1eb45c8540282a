// SPDX-License-Identifier: Apache-2.0
// The walk through blocks of four levels, written once for both value types: included with VALUE and NAME(x)
// defined.

QUAD_TARGET static void NAME(one_row)(struct trees *m, VALUE *out)
{
    const struct image_header *h = m->img.h;
    const uint32_t *first = m->img.at[IMAGE_GROUPS];
    const VALUE *values = m->img.at[IMAGE_QUAD_VALUES];
    struct quad_walk w = {.quads = m->img.at[IMAGE_QUADS],
                          .values = m->img.at[IMAGE_QUAD_VALUES],
                          .codes = m->coder.codes,
                          .value_bytes = sizeof(VALUE),
                          .row_bytes = 0,
                          .at = (uint32_t *)m->words,
                          .open = (uint32_t *)m->words + h->n_trees};
    for (uint32_t t = 0; t < h->n_trees; t++)
        w.at[t] = t;
    quad_to_leaves(&w, h->n_trees, h->max_depth);
    for (uint32_t g = 0; g < h->n_groups; g++) {
        VALUE sum = out[g];
        for (uint32_t t = first[g]; t < first[g + 1]; t++)
            sum += values[w.at[t] & ~(uint32_t)QUAD_LEAF];
        out[g] = sum;
    }
}

// Up to CODE_ROWS rows, tree by tree: a tree's blocks stay in the nearest cache.
QUAD_TARGET static void NAME(block)(struct trees *m, uint32_t n_rows, VALUE *out)
{
    const struct sparse_root *roots = m->img.at[IMAGE_SPARSE_ROOTS];
    const VALUE *values = m->img.at[IMAGE_QUAD_VALUES];
    uint32_t at[CODE_ROWS], open[CODE_ROWS], n_groups = m->img.h->n_groups;
    struct quad_walk w = {.quads = m->img.at[IMAGE_QUADS],
                          .values = m->img.at[IMAGE_QUAD_VALUES],
                          .codes = m->coder.codes,
                          .value_bytes = sizeof(VALUE),
                          .row_bytes = 2 * (size_t)m->coder.stride,
                          .at = at,
                          .open = open};
    for (uint32_t t = 0; t < m->img.h->n_trees; t++) {
        for (uint32_t r = 0; r < n_rows; r++)
            at[r] = t;
        quad_to_leaves(&w, n_rows, roots[t].depth);
        for (uint32_t r = 0; r < n_rows; r++)
            out[r * n_groups + roots[t].group] += values[at[r] & ~(uint32_t)QUAD_LEAF];
    }
}

void NAME(run)(struct trees *m, const void *rows, uint32_t n_rows, void *margins)
{
    VALUE *out = margins;
    size_t n_groups = m->img.h->n_groups;
    for (uint32_t r = 0, here; r < n_rows; r += here) {
        here = n_rows - r < CODE_ROWS ? n_rows - r : CODE_ROWS;
        for (uint32_t i = 0; i < here; i++) {
            uint8_t *codes = m->coder.codes + (size_t)i * 2 * m->coder.stride;
            m->code(&m->coder, trees_row(m, rows, r + i), codes);
            code_cats(&m->coder, trees_row(m, rows, r + i));
            code_cat_cols(&m->coder, codes);
        }
        if (here == 1)
            NAME(one_row)(m, out + r * n_groups);
        else
            NAME(block)(m, here, out + r * n_groups);
    }
}
