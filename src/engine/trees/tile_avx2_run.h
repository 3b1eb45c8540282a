// SPDX-License-Identifier: Apache-2.0
// The tile walk with AVX2, written once for both value types: included with VALUE and NAME(x) defined.

// One row, all trees, wave by wave.
AVX2_INLINE void NAME(row)(struct trees *m, const struct bits_row *codes, VALUE *out, int groups)
{
    const struct tile *tiles = m->img.at[IMAGE_TILES];
    const VALUE *values = m->img.at[IMAGE_TILE_VALUES];
    const uint32_t *first = m->img.at[IMAGE_GROUPS];
    uint32_t n_trees = m->img.h->n_trees, n_groups = m->img.h->n_groups;
    uint32_t *at = (uint32_t *)m->words, *open = at + n_trees, n_open = 0;
    for (uint32_t t = 0; t < n_trees; t++) {
        at[t] = tile_exit(codes, &tiles[t], groups);
        open[n_open] = t;
        n_open += !(at[t] & TILE_LEAF);
    }
    while (n_open) {
        uint32_t n = n_open;
        n_open = 0;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t t = open[i];
            at[t] = tile_exit(codes, &tiles[at[t]], groups);
            open[n_open] = t;
            n_open += !(at[t] & TILE_LEAF);
        }
    }
    for (uint32_t g = 0; g < n_groups; g++) {
        VALUE sum = out[g];
        for (uint32_t t = first[g]; t < first[g + 1]; t++)
            sum += values[at[t] & ~TILE_LEAF];
        out[g] = sum;
    }
}

// Up to CODE_ROWS rows, tree by tree: a tree's tiles stay in the nearest cache.
AVX2_INLINE void NAME(block)(struct trees *m, uint32_t n_rows, VALUE *out, int groups)
{
    const struct tile *tiles = m->img.at[IMAGE_TILES];
    const VALUE *values = m->img.at[IMAGE_TILE_VALUES];
    const struct sparse_root *roots = m->img.at[IMAGE_SPARSE_ROOTS];
    const size_t row_codes = 2 * (size_t)m->coder.stride;
    uint32_t n_groups = m->img.h->n_groups;
    for (uint32_t t = 0; t < m->img.h->n_trees; t++) {
        uint32_t at[CODE_ROWS], open[CODE_ROWS + 1], n_open = 0;
        for (uint32_t r = 0; r < n_rows; r++) {
            struct bits_row codes = bits_row_load(m->coder.codes + r * row_codes, groups);
            at[r] = tile_exit(&codes, &tiles[t], groups);
            open[n_open] = r;
            n_open += !(at[r] & TILE_LEAF);
        }
        while (n_open) {
            uint32_t n = n_open;
            n_open = 0;
            for (uint32_t i = 0; i < n; i++) {
                uint32_t r = open[i];
                struct bits_row codes = bits_row_load(m->coder.codes + r * row_codes, groups);
                at[r] = tile_exit(&codes, &tiles[at[r]], groups);
                open[n_open] = r;
                n_open += !(at[r] & TILE_LEAF);
            }
        }
        for (uint32_t r = 0; r < n_rows; r++)
            out[r * n_groups + roots[t].group] += values[at[r] & ~TILE_LEAF];
    }
}

AVX2_INLINE void NAME(rows)(struct trees *m, const void *rows, uint32_t n_rows, VALUE *out, int groups)
{
    const size_t row_codes = 2 * (size_t)m->coder.stride;
    for (uint32_t r = 0; r < n_rows; r += CODE_ROWS, out += CODE_ROWS * (size_t)m->img.h->n_groups) {
        uint32_t here = n_rows - r < CODE_ROWS ? n_rows - r : CODE_ROWS;
        for (uint32_t i = 0; i < here; i++)
            m->code(&m->coder, trees_row(m, rows, r + i), m->coder.codes + i * row_codes);
        struct bits_row codes = bits_row_load(m->coder.codes, groups);
        if (here == 1)
            NAME(row)(m, &codes, out, groups);
        else
            NAME(block)(m, here, out, groups);
    }
}

AVX2 static void NAME(rows_1)(struct trees *m, const void *rows, uint32_t n, void *out)
{
    NAME(rows)(m, rows, n, out, 1);
}

AVX2 static void NAME(rows_2)(struct trees *m, const void *rows, uint32_t n, void *out)
{
    NAME(rows)(m, rows, n, out, 2);
}

AVX2 static void NAME(rows_4)(struct trees *m, const void *rows, uint32_t n, void *out)
{
    NAME(rows)(m, rows, n, out, 4);
}

void NAME(run)(struct trees *m, const void *rows, uint32_t n_rows, void *margins)
{
    uint32_t n_cols = m->img.h->n_num_cols;
    if (n_cols <= 16)
        NAME(rows_1)(m, rows, n_rows, margins);
    else if (n_cols <= 32)
        NAME(rows_2)(m, rows, n_rows, margins);
    else
        NAME(rows_4)(m, rows, n_rows, margins);
}
