// SPDX-License-Identifier: Apache-2.0
// The AVX2 plane kernel with float values.
#include "engine/trees/kernel_list.h"

#if defined(__x86_64__)
#include "engine/trees/plane_avx2.h"

#define VALUE   float
#define NAME(x) plane_avx2_##x##_f32

// Where row r's sum is kept: the order in which unpacking leaves the rows.
AVX2_INLINE uint32_t NAME(lane)(uint32_t r)
{
    return r / 32 * 32 + r % 16 / 4 * 8 + r % 32 / 16 * 4 + r % 4;
}

// table[place] for 32 rows: a shuffle for each 16 entries, the place's bits 4 and 5 choose among them.
AVX2_INLINE __m256i NAME(bytes)(const uint8_t *table, __m256i place, int levels)
{
    __m256i v[4];
    for (int i = 0; i < 1 << (levels - 4); i++)
        v[i] = _mm256_shuffle_epi8(
            _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(table + 16 * i))),
            place);
    if (levels == 4)
        return v[0];
    __m256i bit4 = _mm256_slli_epi16(place, 3);
    __m256i low = _mm256_blendv_epi8(v[0], v[1], bit4);
    if (levels == 5)
        return low;
    return _mm256_blendv_epi8(low, _mm256_blendv_epi8(v[2], v[3], bit4), _mm256_slli_epi16(place, 2));
}

AVX2_INLINE void NAME(add32)(const uint8_t *leaves, __m256i place, int levels, VALUE *sum)
{
    __m256i b[4], value[4];
    for (int i = 0; i < 4; i++)
        b[i] = NAME(bytes)(leaves + ((size_t)i << levels), place, levels);
    __m256i low01 = _mm256_unpacklo_epi8(b[0], b[1]), high01 = _mm256_unpackhi_epi8(b[0], b[1]);
    __m256i low23 = _mm256_unpacklo_epi8(b[2], b[3]), high23 = _mm256_unpackhi_epi8(b[2], b[3]);
    value[0] = _mm256_unpacklo_epi16(low01, low23);
    value[1] = _mm256_unpackhi_epi16(low01, low23);
    value[2] = _mm256_unpacklo_epi16(high01, high23);
    value[3] = _mm256_unpackhi_epi16(high01, high23);
    for (int i = 0; i < 4; i++)
        _mm256_store_ps(sum + 8 * i,
                        _mm256_add_ps(_mm256_load_ps(sum + 8 * i), _mm256_castsi256_ps(value[i])));
}

AVX2_INLINE void NAME(add)(const void *leaves, struct plane_pair p, int levels, VALUE *sum)
{
    NAME(add32)(leaves, p.low, levels, sum);
    NAME(add32)(leaves, p.high, levels, sum + 32);
}

#include "engine/trees/plane_avx2_run.h"

#endif
