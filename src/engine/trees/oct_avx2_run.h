// SPDX-License-Identifier: Apache-2.0
// The walk through blocks of three levels with AVX2, written once for both value types: included with VALUE,
// NAME(x) and EXIT_LAST, the table of distances to the last step's blocks, defined.

// Adds the leaves of `fours` times four trees.
AVX2_INLINE VALUE NAME(sum)(const struct oct_row *r, const uint8_t *at, uint32_t fours, VALUE sum, int steps,
                            int groups)
{
    const size_t last = OCT_BLOCK_BYTES + 8 * sizeof(VALUE);
    const size_t tree = steps == 1   ? 8 * sizeof(VALUE)
                        : steps == 2 ? 8 * last
                                     : 8 * OCT_BLOCK_BYTES + 64 * last;
    for (; fours; fours--, at += OCT_TOP_BYTES + OCT_TREES * tree) {
        // Of each tree, how far it has come; what is the same for all rows stays in the addresses.
        const uint8_t *to[OCT_TREES] = {at, at, at, at};
        size_t constant = OCT_TOP_BYTES;
        uint32_t decisions = oct_decide(r, oct_top(at), groups);
        if (steps == 3) {
            const uint8_t *block[OCT_TREES];
            for (int l = 0; l < OCT_TREES; l++) {
                size_t exit = HEAP_LEAF3[oct_byte(decisions, l)];
                block[l] = at + exit * OCT_BLOCK_BYTES;
                to[l] += exit * (8 * last);
            }
            decisions = oct_decide(r, oct_below(block, constant, tree), groups);
            constant += 8 * OCT_BLOCK_BYTES;
        }
        if (steps > 1) {
            for (int l = 0; l < OCT_TREES; l++)
                to[l] += EXIT_LAST[oct_byte(decisions, l)];
            decisions = oct_decide(r, oct_below(to, constant, tree), groups);
            constant += OCT_BLOCK_BYTES;
        }
        for (int l = 0; l < OCT_TREES; l++)
            sum += ((const VALUE *)(const void *)(to[l] + constant +
                                                  l * tree))[HEAP_LEAF3[oct_byte(decisions, l)]];
    }
    return sum;
}

AVX2_INLINE void NAME(rows)(struct trees *m, const void *rows, uint32_t n_rows, VALUE *out, int steps,
                            int groups)
{
    const uint32_t *first = m->img.at[IMAGE_GROUPS];
    const size_t four_bytes = OCT_TOP_BYTES + OCT_TREES * oct_tree_bytes((uint32_t)steps, sizeof(VALUE));
    uint32_t n_groups = m->img.h->n_groups;
    for (uint32_t r = 0; r < n_rows; r++, out += n_groups) {
        const void *row = trees_row(m, rows, r);
        const uint8_t *at = m->img.at[IMAGE_OCT];
        m->code(&m->coder, row, m->coder.codes);
        if (m->coder.n_cats) {
            code_cats(&m->coder, row);
            code_cat_cols(&m->coder, m->coder.codes);
        }
        struct oct_row codes = oct_row_load(m->coder.codes, groups);
        for (uint32_t g = 0; g < n_groups; g++) {
            uint32_t fours = (first[g + 1] - first[g] + OCT_TREES - 1) / OCT_TREES;
            out[g] = NAME(sum)(&codes, at, fours, out[g], steps, groups);
            at += fours * four_bytes;
        }
    }
}

#define VARIANT(steps, groups)                                                                               \
    AVX2 static void NAME(rows_##steps##_##groups)(struct trees * m, const void *rows, uint32_t n,           \
                                                   void *out)                                                \
    {                                                                                                        \
        NAME(rows)(m, rows, n, out, steps, groups);                                                          \
    }
VARIANT(1, 1)
VARIANT(1, 2)
VARIANT(1, 4)
VARIANT(1, 8)
VARIANT(2, 1)
VARIANT(2, 2)
VARIANT(2, 3)
VARIANT(2, 4)
VARIANT(2, 8)
VARIANT(3, 1)
VARIANT(3, 2)
VARIANT(3, 4)
VARIANT(3, 8)
#undef VARIANT

void NAME(run)(struct trees *m, const void *rows, uint32_t n_rows, void *margins)
{
    typedef void variant(struct trees *, const void *, uint32_t, void *);
    static variant *const VARIANTS[OCT_MAX_STEPS][5] = {
        {NAME(rows_1_1), NAME(rows_1_2), NAME(rows_1_4), NAME(rows_1_4), NAME(rows_1_8)},
        {NAME(rows_2_1), NAME(rows_2_2), NAME(rows_2_3), NAME(rows_2_4), NAME(rows_2_8)},
        {NAME(rows_3_1), NAME(rows_3_2), NAME(rows_3_4), NAME(rows_3_4), NAME(rows_3_8)},
    };
    uint32_t n_cols = m->img.h->n_cols, groups = n_cols ? (n_cols - 1) / 16 : 0;
    VARIANTS[m->img.h->oct_steps - 1][groups < 4 ? groups : 4](m, rows, n_rows, margins);
}
