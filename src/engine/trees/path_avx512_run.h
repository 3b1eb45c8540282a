// SPDX-License-Identifier: Apache-2.0
// The path match with AVX-512, written once for both value types: included with VALUE and NAME(x) defined.

// Sixteen leaves a compare, a bit a word; the table has the words in the order of the AVX2 kernel, path_lane.
AVX512_INLINE uint32_t NAME(leaf)(const struct path_tree *t, uint32_t decisions)
{
    static const uint8_t LEAF_OF_WORD[PATH_LEAVES] = {0,  1,  2,  3,  16, 17, 18, 19, 4,  5,  6,
                                                      7,  20, 21, 22, 23, 8,  9,  10, 11, 24, 25,
                                                      26, 27, 12, 13, 14, 15, 28, 29, 30, 31};
    const __m512i m = _mm512_set1_epi32((int)decisions);
    // Not testn of (m ^ expect) & path: it would find the empty paths of the words that have no leaf.
    __m512i low = _mm512_and_si512(m, _mm512_loadu_si512((const void *)t->path));
    __m512i high = _mm512_and_si512(m, _mm512_loadu_si512((const void *)(t->path + 16)));
    uint32_t hit = _mm512_cmpeq_epi32_mask(low, _mm512_loadu_si512((const void *)t->expect));
    hit |= (uint32_t)_mm512_cmpeq_epi32_mask(high, _mm512_loadu_si512((const void *)(t->expect + 16))) << 16;
    return LEAF_OF_WORD[__builtin_ctz(hit | 1u << (PATH_LEAVES - 1))];
}

AVX512 static void NAME(rows)(struct trees *m, const void *rows, uint32_t n_rows, VALUE *out)
{
    const size_t bytes = sizeof(struct path_tree) + PATH_LEAVES * sizeof(VALUE);
    const uint32_t *first = m->img.at[IMAGE_GROUPS];
    uint32_t n_groups = m->img.h->n_groups;
    for (uint32_t r = 0; r < n_rows; r++, out += n_groups) {
        const void *row = trees_row(m, rows, r);
        m->code(&m->coder, row, m->coder.codes);
        const __m512i codes = bits512_row(m->coder.codes);
        const uint32_t *words = (const uint32_t *)bits_row_words(m, row, IMAGE_PATH_MASKS, sizeof(uint32_t));
        const char *at = m->img.at[IMAGE_PATH];
        for (uint32_t g = 0; g < n_groups; g++) {
            VALUE sum = out[g];
            for (uint32_t i = first[g]; i < first[g + 1]; i++, at += bytes) {
                const struct path_tree *t = (const struct path_tree *)(const void *)at;
                uint32_t decisions = bits512_decide32(codes, t->f, t->c, t->d);
                if (words)
                    decisions |= words[i];
                sum += ((const VALUE *)(const void *)(t + 1))[NAME(leaf)(t, decisions)];
            }
            out[g] = sum;
        }
    }
}

void NAME(run)(struct trees *m, const void *rows, uint32_t n_rows, void *margins)
{
    NAME(rows)(m, rows, n_rows, margins);
}
