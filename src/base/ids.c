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

static char *hex(char *to, uint64_t v, int digits)
{
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
        *to++ = "0123456789abcdef"[v >> shift & 15];
    return to;
}

void ids_uuid7(struct ids_maker *m, uint64_t wall_ms, char ret[IDS_UUID_SIZE])
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
    char *to = hex(ret, ms >> 16, 8);
    *to++ = '-';
    to = hex(to, ms & 0xffff, 4);
    *to++ = '-';
    to = hex(to, 0x7000 | m->counter >> 14, 4);
    *to++ = '-';
    to = hex(to, 0x8000 | (m->counter & 0x3fff), 4);
    *to++ = '-';
    to = hex(to, random & 0xffffffffffffu, 12);
    *to = '\0';
}
