// SPDX-License-Identifier: Apache-2.0
// One step of the tile walk, shared by both value types.
#pragma once

#include "engine/trees/bits_avx2.h"
#include "engine/trees/sparse.h"
#include "engine/trees/tile.h"

// The exit a row takes. Where no path agrees, which no sound tile allows, the last: any exit is safe.
AVX2_INLINE uint32_t tile_exit(const struct bits_row *r, const struct tile *t, int groups)
{
    const __m256i m = _mm256_set1_epi16((short)bits_decide16(r, t->f, t->c, t->d, groups));
    __m256i path = bits_load((const uint8_t *)t->path), expect = bits_load((const uint8_t *)t->expect);
    __m256i hit = _mm256_cmpeq_epi16(_mm256_and_si256(m, path), expect);
    return t->exit[__builtin_ctz((uint32_t)_mm256_movemask_epi8(hit) | 1u << 31) / 2];
}
