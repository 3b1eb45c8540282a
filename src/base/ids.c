// SPDX-License-Identifier: Apache-2.0
// UUIDv7 with RFC 9562's method 1: a counter in the bits after the time. Random bits: xoshiro256** (Blackman,
// Vigna).
#include "base/ids.h"

#include "base/assert.h"

#include <string.h>
#include <sys/random.h>

void ids_maker_init(struct ids_maker *m)
{
    memset(m, 0, sizeof *m);
    ASSERT(getrandom(m->state, sizeof m->state, 0) == (ssize_t)sizeof m->state);
    m->state[0] |= 1; // all zero is the one state the generator cannot leave
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t ids_random(struct ids_maker *m)
{
    uint64_t *s = m->state, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

// Eight hexadecimal digits of v at `to`, most significant first. All nibbles at once: spread one to a byte,
// then add what makes each a digit or a letter.
static void hex8(char *to, uint32_t v)
{
    uint64_t x = __builtin_bswap32(v); // the byte written first comes lowest
    x = (x | x << 16) & 0x0000ffff0000ffffu;
    x = (x | x << 8) & 0x00ff00ff00ff00ffu;
    x = (x >> 4 | x << 8) & 0x0f0f0f0f0f0f0f0fu;
    uint64_t letters = (x + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
    x += 0x3030303030303030u + letters * ('a' - '0' - 10);
    memcpy(to, &x, sizeof x);
}

void ids_uuid7(struct ids_maker *m, uint64_t wall_ms, char ret[IDS_UUID_SIZE])
{
    uint8_t raw[16];
    ids_uuid7_raw(m, wall_ms, ret, raw);
}

void ids_uuid7_raw(struct ids_maker *m, uint64_t wall_ms, char ret[IDS_UUID_SIZE], uint8_t ret_raw[16])
{
    uint64_t random = ids_random(m);
    if (wall_ms > m->last_ms) {
        m->last_ms = wall_ms;
        m->counter =
            (uint32_t)(random >> 40) & 0x1ffffff; // top bit clear: room to count within the millisecond
    } else if (++m->counter >> 26) {
        m->last_ms++; // counter used up: borrow the next millisecond
        m->counter = 0;
    }
    // 48 bits time | 4 version | 12 counter high | 2 variant | 14 counter low | 48 random
    uint64_t ms = m->last_ms & 0xffffffffffffu;
    uint32_t version = 0x7000 | m->counter >> 14, variant = 0x8000 | (m->counter & 0x3fff);
    uint64_t high = __builtin_bswap64(ms << 16 | version),
             low = __builtin_bswap64((uint64_t)variant << 48 | (random & 0xffffffffffffu));
    memcpy(ret_raw, &high, sizeof high);
    memcpy(ret_raw + sizeof high, &low, sizeof low);
    char digits[32];
    hex8(digits, (uint32_t)(ms >> 16));
    hex8(digits + 8, (uint32_t)(ms & 0xffff) << 16 | version);
    hex8(digits + 16, variant << 16 | (uint32_t)(random >> 32 & 0xffff));
    hex8(digits + 24, (uint32_t)random);
    memcpy(ret, digits, 8); // 8-4-4-4-12, each copy of a size known to the compiler
    memcpy(ret + 9, digits + 8, 4);
    memcpy(ret + 14, digits + 12, 4);
    memcpy(ret + 19, digits + 16, 4);
    memcpy(ret + 24, digits + 20, 12);
    ret[8] = ret[13] = ret[18] = ret[23] = '-';
    ret[36] = '\0';
}
