// SPDX-License-Identifier: Apache-2.0
// What both value types of the AVX2 heap walk share.
#pragma once

#include "engine/trees/bits_avx2.h"
#include "engine/trees/heap.h"
#include "engine/trees/kernel.h"

struct heap_row {
    struct bits_row row;
    const uint8_t *trees;
    const uint64_t *words; // decisions on categories; NULL when there are none
};

AVX2_INLINE uint64_t heap_decide(const struct bits_row *r, const uint8_t *tree, int levels, int groups)
{
    const uint32_t slots = 1u << levels;
    const uint8_t *f = tree, *c = tree + slots, *d = tree + 2 * slots;
    if (levels == 4)
        return bits_decide16(r, f, c, d, groups);
    uint64_t low = bits_decide32(r, f, c, d, groups);
    return levels == 5 ? low : low | (uint64_t)bits_decide32(r, f + 32, c + 32, d + 32, groups) << 32;
}

// Three levels a look-up; the levels above the last three are six levels' three, five levels' two, or one.
AVX2_INLINE uint32_t heap_leaf(uint64_t m, int levels)
{
    uint32_t under;
    if (levels == 6)
        under = 8u * HEAP_LEAF3[_pext_u64(m, 0x0080808080808080u)];
    else if (levels == 5)
        under = 4u * (HEAP_LEAF3[_pext_u64(m, 0x00808080u)] & 6u); // the third level is not there
    else
        under = (uint32_t)m >> 4 & 8;
    return under + HEAP_LEAF3[(uint8_t)(m >> under)];
}
