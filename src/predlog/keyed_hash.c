// SPDX-License-Identifier: Apache-2.0
// SHA-256 as FIPS 180-4 section 6.2 writes it down.
#include "predlog/keyed_hash.h"

#include <string.h>

enum { BLOCK = 64 };

static const uint32_t START[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t turn(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void compress(uint32_t state[8], const uint8_t block[BLOCK])
{
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) {
        memcpy(&w[i], block + 4 * i, sizeof w[i]);
        w[i] = __builtin_bswap32(w[i]);
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[i - 7] +
               (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t t1 = s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) +
                      ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[i] + w[i];
        uint32_t t2 = (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) +
                      ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof s[0]);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

// The rest of a message of which n_before bytes, a multiple of the block, are in the state already.
static void finish(uint32_t state[8], uint64_t n_before, struct str rest, uint8_t ret[KEYED_HASH_BYTES])
{
    uint64_t bits = __builtin_bswap64((n_before + rest.n) * 8);
    uint8_t last[2 * BLOCK] = {0};
    for (; rest.n >= BLOCK; rest.p += BLOCK, rest.n -= BLOCK)
        compress(state, (const uint8_t *)rest.p);
    if (rest.n)
        memcpy(last, rest.p, rest.n);
    last[rest.n] = 0x80;
    size_t n = rest.n < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    memcpy(last + n - sizeof bits, &bits, sizeof bits);
    for (size_t i = 0; i < n; i += BLOCK)
        compress(state, last + i);
    for (int i = 0; i < 8; i++) {
        uint32_t word = __builtin_bswap32(state[i]);
        memcpy(ret + 4 * i, &word, sizeof word);
    }
}

void keyed_hash_init(struct keyed_hash *h, struct str key)
{
    uint8_t padded[BLOCK] = {0}, block[BLOCK];
    if (key.n > BLOCK) {
        uint32_t state[8];
        memcpy(state, START, sizeof state);
        finish(state, 0, key, padded);
    } else if (key.n) {
        memcpy(padded, key.p, key.n);
    }
    for (int i = 0; i < BLOCK; i++)
        block[i] = padded[i] ^ 0x36;
    memcpy(h->inner, START, sizeof h->inner);
    compress(h->inner, block);
    for (int i = 0; i < BLOCK; i++)
        block[i] = padded[i] ^ 0x5c;
    memcpy(h->outer, START, sizeof h->outer);
    compress(h->outer, block);
}

void keyed_hash_full(const struct keyed_hash *h, struct str message, uint8_t ret[KEYED_HASH_BYTES])
{
    uint8_t inner[KEYED_HASH_BYTES];
    uint32_t state[8];
    memcpy(state, h->inner, sizeof state);
    finish(state, BLOCK, message, inner);
    memcpy(state, h->outer, sizeof state);
    finish(state, BLOCK, (struct str){(const char *)inner, sizeof inner}, ret);
}

uint64_t keyed_hash_64(const struct keyed_hash *h, struct str message)
{
    uint8_t full[KEYED_HASH_BYTES];
    uint64_t first;
    keyed_hash_full(h, message, full);
    memcpy(&first, full, sizeof first);
    first = __builtin_bswap64(first);
    return first ? first : 1;
}
