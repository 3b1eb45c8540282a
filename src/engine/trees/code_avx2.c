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

AVX2_INLINE uint32_t search_near(const int32_t *keys, int32_t key)
{
    return count2(_mm256_set1_epi32(key), keys) / 2;
}

AVX2_INLINE uint32_t search_far(const int32_t *keys, int32_t key)
{
    __m256i k = _mm256_set1_epi32(key);
    uint32_t bucket2 = count2(k, keys);
    return bucket2 * 8 + count2(k, keys + CODE_BUCKET + bucket2 * 8) / 2;
}

// Folds the sign of eight floats; `missing` lanes become CODE_KEY_MISSING.
AVX2_INLINE __m256i keys_of(__m256 x, __m256i missing)
{
    __m256i bits = _mm256_castps_si256(_mm256_add_ps(x, _mm256_setzero_ps()));
    __m256i fold = _mm256_srli_epi32(_mm256_srai_epi32(bits, 31), 1);
    return _mm256_blendv_epi8(_mm256_xor_si256(bits, fold), _mm256_set1_epi32(CODE_KEY_MISSING), missing);
}

// codes | (key is missing ? 255 : 0), from the second half of a row's codes to the first.
AVX2_INLINE void put_missing(const struct coder *c, uint8_t *to)
{
    const __m256i none = _mm256_set1_epi32(CODE_KEY_MISSING);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (uint32_t i = 0; i < c->n_num; i += 32) {
        const __m256i *k = (const __m256i *)(const void *)(c->row_keys + i);
        __m256i a = _mm256_packs_epi32(_mm256_cmpeq_epi32(k[0], none), _mm256_cmpeq_epi32(k[1], none));
        __m256i b = _mm256_packs_epi32(_mm256_cmpeq_epi32(k[2], none), _mm256_cmpeq_epi32(k[3], none));
        __m256i m = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order);
        __m256i codes = _mm256_loadu_si256((const __m256i *)(const void *)(to + c->stride + i));
        _mm256_storeu_si256((__m256i *)(void *)(to + i), _mm256_or_si256(codes, m));
    }
}

AVX2_INLINE void float_keys(struct coder *c, const float *row)
{
    float *x = (float *)(void *)c->row_values;
    for (uint32_t i = 0; i < c->n_num; i++)
        x[i] = row[c->cols[i].feature];
    for (uint32_t i = 0; i < c->n_num; i += 8) {
        __m256 v = _mm256_load_ps(x + i);
        __m256i missing = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
        _mm256_store_si256((__m256i *)(void *)(c->row_keys + i), keys_of(v, missing));
    }
}

AVX2 void code_row_f32_avx2(struct coder *c, const void *row, uint8_t *to)
{
    float_keys(c, row);
    uint8_t *codes = to + c->stride;
    uint32_t i = 0;
    for (; i < c->n_near; i++)
        codes[i] = (uint8_t)search_near(c->keys + c->cols[i].table, c->row_keys[i]);
    for (; i < c->n_num; i++)
        codes[i] = (uint8_t)search_far(c->keys + c->cols[i].table, c->row_keys[i]);
    put_missing(c, to);
}

// Four doubles: what counts as zero becomes 0, what is missing -infinity, which passes no threshold.
AVX2_INLINE __m128i double_keys4(struct coder *c, uint32_t i)
{
    const __m256d zero_limit = _mm256_set1_pd((double)1e-35f);
    __m256d x = _mm256_load_pd(c->row_values + i);
    __m256d nan = _mm256_cmp_pd(x, x, _CMP_UNORD_Q);
    __m256d far = _mm256_cmp_pd(_mm256_andnot_pd(_mm256_set1_pd(-0.0), x), zero_limit, _CMP_GT_OQ);
    __m256d if_nan = _mm256_load_pd((const double *)(const void *)(c->nan_missing + i));
    __m256d if_zero = _mm256_load_pd((const double *)(const void *)(c->zero_missing + i));
    __m256d missing = _mm256_or_pd(_mm256_and_pd(nan, if_nan), _mm256_andnot_pd(far, if_zero));
    x = _mm256_blendv_pd(_mm256_and_pd(x, far), _mm256_set1_pd(-(double)INFINITY), missing);
    _mm256_store_pd(c->row_values + i, x);
    __m256 wide = _mm256_castpd_ps(missing);
    __m128i narrow = _mm_castps_si128(_mm_shuffle_ps(
        _mm256_castps256_ps128(wide), _mm256_extractf128_ps(wide, 1), _MM_SHUFFLE(2, 0, 2, 0)));
    __m256i keys = keys_of(_mm256_castps128_ps256(_mm256_cvtpd_ps(x)), _mm256_castsi128_si256(narrow));
    return _mm256_castsi256_si128(keys);
}

AVX2 void code_row_f64_avx2(struct coder *c, const void *row, uint8_t *to)
{
    const double *from = row;
    for (uint32_t i = 0; i < c->n_num; i++)
        c->row_values[i] = from[c->cols[i].feature];
    for (uint32_t i = 0; i < c->n_num; i += 4)
        _mm_store_si128((__m128i *)(void *)(c->row_keys + i), double_keys4(c, i));
    uint8_t *codes = to + c->stride;
    uint32_t i = 0;
    for (; i < c->n_near; i++) {
        uint32_t code = search_near(c->keys + c->cols[i].table, c->row_keys[i]);
        codes[i] = (uint8_t)(code + (c->row_values[i] > c->cuts[c->cols[i].cuts + code]));
    }
    for (; i < c->n_num; i++) {
        uint32_t code = search_far(c->keys + c->cols[i].table, c->row_keys[i]);
        codes[i] = (uint8_t)(code + (c->row_values[i] > c->cuts[c->cols[i].cuts + code]));
    }
    put_missing(c, to);
}

#endif
