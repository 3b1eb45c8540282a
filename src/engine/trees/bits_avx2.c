// SPDX-License-Identifier: Apache-2.0
#include "engine/trees/kernel.h"

#if defined(__x86_64__)
#include "engine/trees/bits_avx2.h"

AVX2 const uint64_t *bits_row_words(struct trees *m, const void *row, enum image_section masks,
                                    uint32_t bytes)
{
    struct coder *c = &m->coder;
    if (c->n_cats == 0)
        return NULL;
    code_cats(c, row);
    size_t line_bytes = (size_t)bits_mask_stride(m->img.h->n_trees) * bytes; // a multiple of 32
    const uint8_t *table = m->img.at[masks];
    for (uint32_t i = 0; i < c->n_cats; i++) {
        const uint8_t *line = table + c->cat_row[i] * line_bytes;
        uint8_t *to = (uint8_t *)m->words;
        for (size_t at = 0; at < line_bytes; at += 32) {
            __m256i v = bits_load(line + at);
            if (i)
                v = _mm256_or_si256(v, bits_load(to + at));
            _mm256_storeu_si256((__m256i *)(void *)(to + at), v);
        }
        table += ((size_t)c->cats[i].n_cats + 2) * line_bytes;
    }
    return m->words;
}

#endif
