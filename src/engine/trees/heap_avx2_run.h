// SPDX-License-Identifier: Apache-2.0
// The heap walk with AVX2, written once for both value types: included with VALUE and NAME(x) defined.

AVX2_INLINE VALUE NAME(sum)(const struct heap_row *h, uint32_t first, uint32_t end, VALUE sum, int levels,
                            int groups)
{
    const size_t slots = (size_t)1 << levels, bytes = slots * (3 + sizeof(VALUE));
    const uint8_t *tree = h->trees + first * bytes;
    for (uint32_t t = first; t < end; t++, tree += bytes) {
        uint64_t m = heap_decide(&h->row, tree, levels, groups);
        if (h->words)
            m |= levels == 6 ? h->words[t] : ((const uint32_t *)(const void *)h->words)[t];
        sum += ((const VALUE *)(const void *)(tree + 3 * slots))[heap_leaf(m, levels)];
    }
    return sum;
}

AVX2_INLINE void NAME(rows)(struct trees *m, const void *rows, uint32_t n_rows, VALUE *out, int levels,
                            int groups)
{
    const uint32_t *first = m->img.at[IMAGE_GROUPS];
    uint32_t n_groups = m->img.h->n_groups;
    struct heap_row h = {.trees = m->img.at[IMAGE_HEAP]};
    for (uint32_t r = 0; r < n_rows; r++, out += n_groups) {
        const void *row = trees_row(m, rows, r);
        m->code(&m->coder, row, m->coder.codes);
        h.row = bits_row_load(m->coder.codes, groups);
        h.words = bits_row_words(m, row, IMAGE_HEAP_MASKS, levels == 6 ? 8 : 4);
        for (uint32_t g = 0; g < n_groups; g++)
            out[g] = NAME(sum)(&h, first[g], first[g + 1], out[g], levels, groups);
    }
}

#define VARIANT(levels, groups)                                                                              \
    AVX2 static void NAME(rows_##levels##_##groups)(struct trees * m, const void *rows, uint32_t n,          \
                                                    void *out)                                               \
    {                                                                                                        \
        NAME(rows)(m, rows, n, out, levels, groups);                                                         \
    }
VARIANT(4, 1)
VARIANT(4, 2)
VARIANT(4, 3)
VARIANT(4, 4)
VARIANT(5, 1)
VARIANT(5, 2)
VARIANT(5, 3)
VARIANT(5, 4)
VARIANT(6, 1)
VARIANT(6, 2)
VARIANT(6, 3)
VARIANT(6, 4)
#undef VARIANT

void NAME(run)(struct trees *m, const void *rows, uint32_t n_rows, void *margins)
{
    typedef void variant(struct trees *, const void *, uint32_t, void *);
    static variant *const VARIANTS[3][4] = {
        {NAME(rows_4_1), NAME(rows_4_2), NAME(rows_4_3), NAME(rows_4_4)},
        {NAME(rows_5_1), NAME(rows_5_2), NAME(rows_5_3), NAME(rows_5_4)},
        {NAME(rows_6_1), NAME(rows_6_2), NAME(rows_6_3), NAME(rows_6_4)},
    };
    uint32_t n_cols = m->img.h->n_num_cols;
    VARIANTS[m->img.h->heap_levels - HEAP_MIN_LEVELS][n_cols ? (n_cols - 1) / 16 : 0](m, rows, n_rows,
                                                                                      margins);
}
