// SPDX-License-Identifier: Apache-2.0
// Making planes: rows are coded one by one, then turned, 16 rows by 16 columns at a time.
#include "engine/trees/kernel.h"

#if defined(__x86_64__)
#include "engine/trees/plane_avx2.h"

// One step of the turn: interleaves the bytes of v[i] and v[i + 8]. Four steps exchange rows and columns.
AVX2_INLINE void interleave(const __m128i from[16], __m128i to[16])
{
    for (int i = 0; i < 8; i++) {
        to[2 * i] = _mm_unpacklo_epi8(from[i], from[i + 8]);
        to[2 * i + 1] = _mm_unpackhi_epi8(from[i], from[i + 8]);
    }
}

AVX2_INLINE void turn16(const uint8_t *from, size_t row_bytes, uint8_t *to)
{
    __m128i a[16], b[16];
    for (int i = 0; i < 16; i++)
        a[i] = _mm_loadu_si128((const __m128i *)(const void *)(from + (size_t)i * row_bytes));
    interleave(a, b);
    interleave(b, a);
    interleave(a, b);
    interleave(b, a);
    for (int i = 0; i < 16; i++)
        _mm_store_si128((__m128i *)(void *)(to + (size_t)i * PLANE_ROWS), a[i]);
}

AVX2 void plane_fill_avx2(struct trees *m, const void *rows, uint32_t n_rows)
{
    struct coder *c = &m->coder;
    size_t row_bytes = 2 * (size_t)c->stride;
    for (uint32_t i = 0; i < n_rows; i++) {
        uint8_t *codes = c->codes + i * row_bytes;
        const void *row = trees_row(m, rows, i);
        m->code(c, row, codes);
        if (c->n_cats) {
            code_cats(c, row);
            code_cat_cols(c, codes);
        }
    }
    for (uint32_t half = 0; half < 2; half++)
        for (uint32_t col = 0; col < m->img.h->n_cols; col += 16)
            for (uint32_t row = 0; row < n_rows; row += 16) {
                size_t at = (size_t)half * c->stride + col;
                turn16(c->codes + row * row_bytes + at, row_bytes, m->planes + at * PLANE_ROWS + row);
            }
}

#endif
