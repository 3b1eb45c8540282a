// SPDX-License-Identifier: Apache-2.0
// The plane kernel with AVX-512, written once for both value types: included with VALUE, VECTOR (64 bytes of
// values) and NAME(x) defined.

enum { NAME(vectors) = PLANE_ROWS * sizeof(VALUE) / sizeof(VECTOR) };

AVX512_INLINE void NAME(block)(struct trees *m, uint32_t n_rows, VALUE *out, int levels)
{
    const size_t bytes = sizeof(struct plane_tree) + (sizeof(VALUE) << levels);
    const uint32_t *first = m->img.at[IMAGE_GROUPS];
    const char *at = m->img.at[IMAGE_PLANE];
    uint32_t n_groups = m->img.h->n_groups;
    for (uint32_t g = 0; g < n_groups; g++) {
        VALUE lanes[PLANE_ROWS] __attribute__((aligned(64)));
        VECTOR sum[NAME(vectors)];
        for (uint32_t r = 0; r < PLANE_ROWS; r++)
            lanes[NAME(lane)(r)] = out[(r < n_rows ? r : 0) * n_groups + g];
        memcpy(sum, lanes, sizeof sum);
        for (uint32_t t = first[g]; t < first[g + 1]; t++, at += bytes) {
            const struct plane_tree *tree = (const struct plane_tree *)(const void *)at;
            NAME(add)(tree + 1, plane512_places(m->planes, tree, levels), levels, sum);
        }
        memcpy(lanes, sum, sizeof sum);
        for (uint32_t r = 0; r < n_rows; r++)
            out[r * n_groups + g] = lanes[NAME(lane)(r)];
    }
}

AVX512 static void NAME(block_4)(struct trees *m, uint32_t n_rows, VALUE *out)
{
    NAME(block)(m, n_rows, out, 4);
}

AVX512 static void NAME(block_5)(struct trees *m, uint32_t n_rows, VALUE *out)
{
    NAME(block)(m, n_rows, out, 5);
}

AVX512 static void NAME(block_6)(struct trees *m, uint32_t n_rows, VALUE *out)
{
    NAME(block)(m, n_rows, out, 6);
}

void NAME(run)(struct trees *m, const void *rows, uint32_t n_rows, void *margins)
{
    typedef void block(struct trees *, uint32_t, VALUE *);
    static block *const BLOCKS[] = {NAME(block_4), NAME(block_5), NAME(block_6)};
    block *run = BLOCKS[m->img.h->plane_levels - PLANE_MIN_LEVELS];
    for (uint32_t r = 0; r < n_rows; r += PLANE_ROWS) {
        uint32_t here = n_rows - r < PLANE_ROWS ? n_rows - r : PLANE_ROWS;
        plane_fill_avx2(m, trees_row(m, rows, r), here);
        run(m, here, (VALUE *)margins + (size_t)r * m->img.h->n_groups);
    }
}
