// SPDX-License-Identifier: Apache-2.0
// One step of the instruction takes eight bytes; the table takes one.
#include "base/crc32c.h"

#include <string.h>

// The table of the reflected polynomial 0x82f63b78, four bits at a time: small, and the same for everyone.
static const uint32_t NIBBLES[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_portable(uint32_t before, const void *p, size_t n)
{
    const uint8_t *at = p;
    uint32_t crc = ~before;
    for (size_t i = 0; i < n; i++) {
        crc ^= at[i];
        crc = crc >> 4 ^ NIBBLES[crc & 15];
        crc = crc >> 4 ^ NIBBLES[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)

enum { WORD = sizeof(uint64_t) };

static inline uint64_t word(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t before, const uint8_t *p, size_t n)
{
    uint64_t crc = ~before;
    for (; n >= 4 * WORD; p += 4 * WORD, n -= 4 * WORD) {
        crc = __builtin_ia32_crc32di(crc, word(p));
        crc = __builtin_ia32_crc32di(crc, word(p + WORD));
        crc = __builtin_ia32_crc32di(crc, word(p + 2 * WORD));
        crc = __builtin_ia32_crc32di(crc, word(p + 3 * WORD));
    }
    for (; n >= WORD; p += WORD, n -= WORD)
        crc = __builtin_ia32_crc32di(crc, word(p));
    for (; n; p++, n--)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *p);
    return ~(uint32_t)crc;
}

uint32_t crc32c(uint32_t before, const void *p, size_t n)
{
    return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(before, p, n) : crc32c_portable(before, p, n);
}

#else

uint32_t crc32c(uint32_t before, const void *p, size_t n)
{
    return crc32c_portable(before, p, n);
}

#endif
