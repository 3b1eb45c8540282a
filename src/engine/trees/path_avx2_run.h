// SPDX-License-Identifier: Apache-2.0
// The path match with AVX2, written once for both value types: included with VALUE and NAME(x) defined.

// Results of four compares of eight leaves each, packed to a bit a leaf; path_lane is this order.
AVX2_INLINE uint32_t NAME(leaf)(const struct path_tree *t, uint32_t decisions)
{
    const __m256i m = _mm256_set1_epi32((int)decisions);
    __m256i hit[4];
    for (int i = 0; i < 4; i++) {
        __m256i path = bits_load((const uint8_t *)(t->path + 8 * i));
        __m256i expect = bits_load((const uint8_t *)(t->expect + 8 * i));
        hit[i] = _mm256_cmpeq_epi32(_mm256_and_si256(m, path), expect);
    }
    __m256i packed =
        _mm256_packs_epi16(_mm256_packs_epi32(hit[0], hit[1]), _mm256_packs_epi32(hit[2], hit[3]));
    return (uint32_t)__builtin_ctz((uint32_t)_mm256_movemask_epi8(packed) | 1u << (PATH_LEAVES - 1));
}

AVX2_INLINE void NAME(rows)(struct trees *m, const void *rows, uint32_t n_rows, VALUE *out, int groups)
{
    const size_t bytes = sizeof(struct path_tree) + PATH_LEAVES * sizeof(VALUE);
    const uint32_t *first = m->img.at[IMAGE_GROUPS];
    uint32_t n_groups = m->img.h->n_groups;
    for (uint32_t r = 0; r < n_rows; r++, out += n_groups) {
        const void *row = trees_row(m, rows, r);
        m->code(&m->coder, row, m->coder.codes);
        struct bits_row codes = bits_row_load(m->coder.codes, groups);
        const uint32_t *words = (const uint32_t *)bits_row_words(m, row, IMAGE_PATH_MASKS, sizeof(uint32_t));
        const char *at = m->img.at[IMAGE_PATH];
        for (uint32_t g = 0; g < n_groups; g++) {
            VALUE sum = out[g];
            for (uint32_t i = first[g]; i < first[g + 1]; i++, at += bytes) {
                const struct path_tree *t = (const struct path_tree *)(const void *)at;
                uint32_t decisions = bits_decide32(&codes, t->f, t->c, t->d, groups);
                if (words)
                    decisions |= words[i];
                sum += ((const VALUE *)(const void *)(t + 1))[NAME(leaf)(t, decisions)];
            }
            out[g] = sum;
        }
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

AVX2 static void NAME(rows_3)(struct trees *m, const void *rows, uint32_t n, void *out)
{
    NAME(rows)(m, rows, n, out, 3);
}

AVX2 static void NAME(rows_4)(struct trees *m, const void *rows, uint32_t n, void *out)
{
    NAME(rows)(m, rows, n, out, 4);
}

void NAME(run)(struct trees *m, const void *rows, uint32_t n_rows, void *margins)
{
    uint32_t n_cols = m->img.h->n_num_cols;
    switch (n_cols ? (n_cols - 1) / 16 : 0) {
    case 0:
        NAME(rows_1)(m, rows, n_rows, margins);
        break;
    case 1:
        NAME(rows_2)(m, rows, n_rows, margins);
        break;
    case 2:
        NAME(rows_3)(m, rows, n_rows, margins);
        break;
    default:
        NAME(rows_4)(m, rows, n_rows, margins);
    }
}
