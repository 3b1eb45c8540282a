// SPDX-License-Identifier: Apache-2.0
// As the paper has it: two rounds for each word of the message, four to finish.
#include "base/siphash.h"

// All of the state is in registers only where everything is inlined, which compilers do not by themselves.
#define INLINED static inline __attribute__((always_inline))

INLINED uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

INLINED void round_of(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

INLINED void absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    round_of(v);
    round_of(v);
    v[0] ^= word;
}

// Up to eight bytes, little-endian.
static uint64_t word_at(const char *p, size_t n)
{
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)(uint8_t)p[i] << (8 * i);
    return word;
}

INLINED void begin(uint64_t v[4], struct siphash_key key)
{
    // "somepseudorandomlygeneratedbytes"
    v[0] = key.k0 ^ 0x736f6d6570736575u;
    v[1] = key.k1 ^ 0x646f72616e646f6du;
    v[2] = key.k0 ^ 0x6c7967656e657261u;
    v[3] = key.k1 ^ 0x7465646279746573u;
}

INLINED uint64_t finish(uint64_t v[4])
{
    v[2] ^= 0xff;
    round_of(v);
    round_of(v);
    round_of(v);
    round_of(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t siphash(struct siphash_key key, struct str message)
{
    uint64_t v[4];
    begin(v, key);
    size_t whole = message.n / 8 * 8;
    for (size_t at = 0; at < whole; at += 8)
        absorb(v, word_at(message.p + at, 8));
    absorb(v, (uint64_t)message.n << 56 | word_at(message.p + whole, message.n - whole));
    return finish(v);
}

uint64_t siphash_u64(struct siphash_key key, uint64_t number)
{
    uint64_t v[4];
    begin(v, key);
    absorb(v, number);
    absorb(v, (uint64_t)sizeof number << 56);
    return finish(v);
}
