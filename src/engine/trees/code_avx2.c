// SPDX-License-Identifier: Apache-2.0
// Coding one row with AVX2: keys eight at a time, then two compares and a population count for each step of a
// search.
#include "engine/trees/code_simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define AVX2        __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define AVX2_INLINE AVX2 __attribute__((always_inline)) static inline

// Twice the number of the 16 table keys below the key.
AVX2_INLINE uint32_t count2(__m256i key, const int32_t *keys)
{
    __m256i low = _mm256_cmpgt_epi32(key, _mm256_load_si256((const __m256i *)(const void *)keys));
    __m256i high = _mm256_cmpgt_epi32(key, _mm256_load_si256((const __m256i *)(const void *)(keys + 8)));
    return (uint32_t)__builtin_popcount((uint32_t)_mm256_movemask_epi8(_mm256_packs_epi32(low, high)));
}

AVX2_INLINE uint32_t search_far(const int32_t *keys, uint32_t n_buckets, int32_t key)
{
    __m256i k = _mm256_set1_epi32(key);
    uint32_t first2 = count2(k, keys);
    if (n_buckets == 1)
        return first2 / 2;
    return first2 * 8 + count2(k, keys + CODE_BUCKET + first2 * 8) / 2;
}

// The number of the eight table keys below the key.
AVX2_INLINE uint32_t count8(int32_t key, const int32_t *keys)
{
    __m256i below =
        _mm256_cmpgt_epi32(_mm256_set1_epi32(key), _mm256_loadu_si256((const __m256i *)(const void *)keys));
    return (uint32_t)__builtin_popcount((uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(below)));
}

// slot_of in code.c, for eight columns.
AVX2_INLINE void find_slots(const struct coder *c, uint32_t i, __m256 x, __m256i keys)
{
    const float *by_key = (const float *)(const void *)(c->by_key + i);
    x = _mm256_blendv_ps(x, _mm256_cvtepi32_ps(keys), _mm256_load_ps(by_key));
    x = _mm256_add_ps(_mm256_mul_ps(x, _mm256_load_ps(c->scale + i)), _mm256_load_ps(c->shift + i));
    x = _mm256_max_ps(x, _mm256_setzero_ps()); // in this order: 0 for what is not a number
    x = _mm256_min_ps(x, _mm256_set1_ps(CODE_SLOTS - 1));
    __m256i line = _mm256_load_si256((const __m256i *)(const void *)(c->line + i));
    _mm256_store_si256((__m256i *)(void *)(c->slots + i), _mm256_add_epi32(_mm256_cvttps_epi32(x), line));
}

// Folds the sign of eight floats; `missing` lanes become CODE_KEY_MISSING.
AVX2_INLINE __m256i keys_of(__m256 x, __m256i missing)
{
    __m256i bits = _mm256_castps_si256(_mm256_add_ps(x, _mm256_setzero_ps()));
    __m256i fold = _mm256_srli_epi32(_mm256_srai_epi32(bits, 31), 1);
    return _mm256_blendv_epi8(_mm256_xor_si256(bits, fold), _mm256_set1_epi32(CODE_KEY_MISSING), missing);
}

AVX2_INLINE __m256 floats8(const float *row, const uint32_t *at)
{
    __m128 v[2];
    for (int h = 0; h < 2; h++, at += 4) {
        v[h] = _mm_load_ss(row + at[0]);
        v[h] = _mm_insert_ps(v[h], _mm_load_ss(row + at[1]), 0x10);
        v[h] = _mm_insert_ps(v[h], _mm_load_ss(row + at[2]), 0x20);
        v[h] = _mm_insert_ps(v[h], _mm_load_ss(row + at[3]), 0x30);
    }
    return _mm256_set_m128(v[1], v[0]);
}

// The code of one column, from the keys and slots of the row. Few columns are near ones with slot 0.
AVX2_INLINE uint32_t code_near(const struct coder *c, size_t i)
{
    uint32_t start = c->starts[(uint32_t)c->slots[i]];
    return start + count8(c->row_keys[i], c->keys + c->sorted[i] + start);
}

AVX2_INLINE uint32_t code_far(const struct coder *c, size_t i)
{
    return search_far(c->keys + c->cols[i].table, c->cols[i].n_buckets, c->row_keys[i]);
}

// Settles a tie of a double, rounded, with the next threshold.
AVX2_INLINE uint64_t past_tie(const struct coder *c, size_t i, uint32_t code)
{
    return (uint8_t)(code + (c->row_values[i] > c->cuts[c->cols[i].cuts + code]));
}

// The codes of eight columns, a byte each.
AVX2_INLINE uint64_t code8(const struct coder *c, size_t i, bool doubles)
{
    uint64_t codes = 0;
    if (i + 8 <= c->n_near) {
        for (size_t j = 0; j < 8; j++) {
            uint32_t code = code_near(c, i + j);
            codes |= (doubles ? past_tie(c, i + j, code) : (uint64_t)(uint8_t)code) << 8 * j;
        }
        return codes;
    }
    for (size_t j = 0; j < 8 && i + j < c->n_num; j++) {
        uint32_t code = i + j < c->n_near ? code_near(c, i + j) : code_far(c, i + j);
        codes |= (doubles ? past_tie(c, i + j, code) : (uint64_t)(uint8_t)code) << 8 * j;
    }
    return codes;
}

// Both halves of a row's codes, 16 columns at a time: whoever loads 16 codes soon after finds them in one
// store, which a processor can forward.
AVX2_INLINE void code_cols(const struct coder *c, bool doubles, uint8_t *to)
{
    const __m256i none = _mm256_set1_epi32(CODE_KEY_MISSING);
    for (size_t i = 0; i < c->n_num; i += 16) {
        uint64_t low = code8(c, i, doubles), high = code8(c, i + 8, doubles);
        const __m256i *k = (const __m256i *)(const void *)(c->row_keys + i);
        __m256i m = _mm256_packs_epi32(_mm256_cmpeq_epi32(k[0], none), _mm256_cmpeq_epi32(k[1], none));
        m = _mm256_permute4x64_epi64(m, _MM_SHUFFLE(3, 1, 2, 0));
        __m128i missing = _mm_packs_epi16(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
        __m128i codes = _mm_set_epi64x((int64_t)high, (int64_t)low);
        _mm_store_si128((__m128i *)(void *)(to + c->stride + i), codes);
        _mm_store_si128((__m128i *)(void *)(to + i), _mm_or_si128(codes, missing));
    }
}

AVX2 void code_row_f32_avx2(struct coder *c, const void *row, uint8_t *to)
{
    const struct coder local = *c; // which the bytes stored cannot change
    for (uint32_t i = 0; i < local.n_num; i += 8) {
        __m256 x = floats8(row, local.feature + i);
        __m256 is_col = _mm256_load_ps((const float *)(const void *)(local.is_col + i));
        __m256 missing = _mm256_and_ps(_mm256_cmp_ps(x, x, _CMP_UNORD_Q), is_col);
        __m256i keys = keys_of(x, _mm256_castps_si256(missing));
        _mm256_store_si256((__m256i *)(void *)(local.row_keys + i), keys);
        find_slots(&local, i, x, keys);
    }
    code_cols(&local, false, to);
}

AVX2_INLINE __m256d doubles4(const double *row, const uint32_t *at)
{
    __m128d low = _mm_loadh_pd(_mm_load_sd(row + at[0]), row + at[1]);
    __m128d high = _mm_loadh_pd(_mm_load_sd(row + at[2]), row + at[3]);
    return _mm256_set_m128d(high, low);
}

struct narrow { // of four doubles
    __m128 x;
    __m128 missing;
};

// What counts as zero becomes 0, what is missing -infinity, which passes no threshold.
AVX2_INLINE struct narrow doubles_prepare4(const struct coder *c, uint32_t i, const double *row)
{
    const __m256d zero_limit = _mm256_set1_pd((double)1e-35f);
    __m256d x = doubles4(row, c->feature + i);
    __m256d nan = _mm256_cmp_pd(x, x, _CMP_UNORD_Q);
    __m256d far = _mm256_cmp_pd(_mm256_andnot_pd(_mm256_set1_pd(-0.0), x), zero_limit, _CMP_GT_OQ);
    __m256d if_nan = _mm256_load_pd((const double *)(const void *)(c->nan_missing + i));
    __m256d if_zero = _mm256_load_pd((const double *)(const void *)(c->zero_missing + i));
    __m256d missing = _mm256_or_pd(_mm256_and_pd(nan, if_nan), _mm256_andnot_pd(far, if_zero));
    x = _mm256_blendv_pd(_mm256_and_pd(x, far), _mm256_set1_pd(-(double)INFINITY), missing);
    _mm256_store_pd(c->row_values + i, x);
    __m256 wide = _mm256_castpd_ps(missing);
    return (struct narrow){_mm256_cvtpd_ps(x),
                           _mm_shuffle_ps(_mm256_castps256_ps128(wide), _mm256_extractf128_ps(wide, 1),
                                          _MM_SHUFFLE(2, 0, 2, 0))};
}

AVX2 void code_row_f64_avx2(struct coder *c, const void *row, uint8_t *to)
{
    const struct coder local = *c;
    for (uint32_t i = 0; i < local.n_num; i += 8) {
        struct narrow low = doubles_prepare4(&local, i, row), high = doubles_prepare4(&local, i + 4, row);
        __m256 x = _mm256_set_m128(high.x, low.x);
        __m256i keys = keys_of(x, _mm256_castps_si256(_mm256_set_m128(high.missing, low.missing)));
        _mm256_store_si256((__m256i *)(void *)(local.row_keys + i), keys);
        find_slots(&local, i, x, keys);
    }
    code_cols(&local, true, to);
}

#endif
