// SPDX-License-Identifier: Apache-2.0
// The heap walk with AVX-512, written once for both value types: included with VALUE and NAME(x) defined. All
// decisions of a tree are five instructions; the look-ups of the leaf are those of the AVX2 walk, because the
// table's order of nodes is made for them.

AVX512_INLINE uint64_t NAME(decide)(__m512i row, const uint8_t *tree, int levels)
{
    const uint32_t slots = 1u << levels;
    const uint8_t *f = tree, *c = tree + slots, *d = tree + 2 * slots;
    return levels == 6   ? bits512_decide64(row, f, c, d)
           : levels == 5 ? bits512_decide32(row, f, c, d)
                         : bits512_decide16(row, f, c, d);
}

AVX512_INLINE void NAME(rows)(struct trees *m, const void *rows, uint32_t n_rows, VALUE *out, int levels)
{
    const size_t slots = (size_t)1 << levels, bytes = slots * (3 + sizeof(VALUE));
    const uint32_t *first = m->img.at[IMAGE_GROUPS];
    uint32_t n_groups = m->img.h->n_groups;
    for (uint32_t r = 0; r < n_rows; r++, out += n_groups) {
        const void *row = trees_row(m, rows, r);
        m->code(&m->coder, row, m->coder.codes);
        const __m512i codes = bits512_row(m->coder.codes);
        const uint64_t *words = bits_row_words(m, row, IMAGE_HEAP_MASKS, levels == 6 ? 8 : 4);
        const uint8_t *tree = m->img.at[IMAGE_HEAP];
        for (uint32_t g = 0; g < n_groups; g++) {
            VALUE sum = out[g];
            for (uint32_t t = first[g]; t < first[g + 1]; t++, tree += bytes) {
                uint64_t decisions = NAME(decide)(codes, tree, levels);
                if (words)
                    decisions |= levels == 6 ? words[t] : ((const uint32_t *)(const void *)words)[t];
                sum += ((const VALUE *)(const void *)(tree + 3 * slots))[heap_leaf(decisions, levels)];
            }
            out[g] = sum;
        }
    }
}

AVX512 static void NAME(rows_4)(struct trees *m, const void *rows, uint32_t n, void *out)
{
    NAME(rows)(m, rows, n, out, 4);
}

AVX512 static void NAME(rows_5)(struct trees *m, const void *rows, uint32_t n, void *out)
{
    NAME(rows)(m, rows, n, out, 5);
}

AVX512 static void NAME(rows_6)(struct trees *m, const void *rows, uint32_t n, void *out)
{
    NAME(rows)(m, rows, n, out, 6);
}

void NAME(run)(struct trees *m, const void *rows, uint32_t n_rows, void *margins)
{
    typedef void variant(struct trees *, const void *, uint32_t, void *);
    static variant *const VARIANTS[] = {NAME(rows_4), NAME(rows_5), NAME(rows_6)};
    VARIANTS[m->img.h->heap_levels - HEAP_MIN_LEVELS](m, rows, n_rows, margins);
}
