// SPDX-License-Identifier: Apache-2.0
// Pseudo-random values by row, so that a row is the same alone and among others.
#include "tensor/made_up.h"

#include "tensor/half.h"

#include <string.h>

#define N_OF(array) (sizeof(array) / sizeof(array)[0])

bool made_up_way(unsigned i, struct made_up *ret)
{
    static const int64_t FREE_SIZES[] = {4, 1, 2, 8, 16, 32};
    static const struct {
        unsigned from, n;
    } INTS[] = {{1, 3}, {0, 2}}; // a division by zero ends the process
    if (i >= N_OF(INTS) * N_OF(FREE_SIZES))
        return false;
    *ret = (struct made_up){.free_size = FREE_SIZES[i % N_OF(FREE_SIZES)],
                            .int_from = INTS[i / N_OF(FREE_SIZES)].from,
                            .n_ints = INTS[i / N_OF(FREE_SIZES)].n};
    return true;
}

static uint64_t mix(uint64_t *state) // splitmix64
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static double uniform(uint64_t *state) // -2 … 2
{
    return (double)(mix(state) >> 11) / (double)(1ull << 51) - 2;
}

static void put_element(const struct made_up *m, enum dtype t, double scale, uint64_t *state, struct buf *b)
{
    static const char *const WORDS[] = {"a", "b", "yes", "no", "0", "1"};
    if (t == DTYPE_BYTES) {
        const char *word = WORDS[mix(state) % N_OF(WORDS)];
        uint32_t n = (uint32_t)strlen(word);
        buf_put(b, &n, sizeof n);
        buf_put(b, word, n);
        return;
    }
    union {
        uint64_t integer; // little-endian: its first bytes are the smaller types'
        double fp64;
        float fp32;
        uint16_t fp16;
    } v = {.integer = t == DTYPE_BOOL ? mix(state) % 2 : m->int_from + mix(state) % m->n_ints};
    if (t == DTYPE_FP64)
        v.fp64 = uniform(state) * scale;
    else if (t == DTYPE_FP32)
        v.fp32 = (float)(uniform(state) * scale);
    else if (t == DTYPE_FP16)
        v.fp16 = half_from_double(uniform(state) * scale);
    buf_put(b, &v, dtype_size(t));
}

// Rows have different magnitudes, so that what is relative to a batch shows.
void made_up_input(const struct made_up *m, const struct tensor_spec *spec, uint32_t input, uint64_t seed,
                   const uint32_t *rows, uint32_t n, struct buf *memory, struct tensor *ret)
{
    static const double SCALES[] = {1, 2, 0.5, 4};
    *ret = (struct tensor){.name = spec->name, .dtype = spec->dtype, .n_dims = spec->n_dims};
    for (uint32_t d = 0; d < spec->n_dims; d++)
        ret->shape[d] = spec->shape[d] >= 0 ? spec->shape[d] : d == 0 ? n : m->free_size;
    int64_t n_rows = spec->n_dims ? ret->shape[0] : 1,
            row = spec->n_dims ? tensor_n_elements(ret->shape + 1, spec->n_dims - 1) : 1;
    buf_clear(memory);
    for (int64_t i = 0; i < n_rows && row >= 0 && !memory->failed; i++) {
        uint32_t number = rows && i < n ? rows[i] : (uint32_t)i;
        uint64_t state = (seed << 48 | (uint64_t)input << 32 | number) * 0x2545f4914f6cdd1d;
        for (int64_t k = 0; k < row && !memory->failed; k++)
            put_element(m, spec->dtype, SCALES[number % N_OF(SCALES)], &state, memory);
    }
    memory->failed |= row < 0;
    ret->data = memory->p;
    ret->bytes = memory->n;
}
