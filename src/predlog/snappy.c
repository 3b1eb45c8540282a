// SPDX-License-Identifier: Apache-2.0
// A length, then literals and copies of what was decoded before.
#include "predlog/snappy.h"

#include <stdint.h>
#include <string.h>

enum { LITERAL, COPY_1, COPY_2, COPY_4 };
enum { LITERAL_INLINE = 60 }; // lengths above are in 1 to 4 bytes of their own

struct stream {
    const uint8_t *p, *end;
    uint8_t *start, *to, *to_end;
};

static bool read_size(struct stream *s, size_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 35 && s->p < s->end; shift += 7) {
        uint8_t b = *s->p++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static bool read_le(struct stream *s, unsigned n, uint32_t *ret)
{
    if ((size_t)(s->end - s->p) < n)
        return false;
    *ret = 0;
    for (unsigned i = 0; i < n; i++)
        *ret |= (uint32_t)*s->p++ << 8 * i;
    return true;
}

static bool literal(struct stream *s, uint8_t tag)
{
    uint32_t n = tag >> 2;
    if (n >= LITERAL_INLINE && !read_le(s, n - LITERAL_INLINE + 1, &n))
        return false;
    size_t bytes = (size_t)n + 1;
    if (bytes > (size_t)(s->end - s->p) || bytes > (size_t)(s->to_end - s->to))
        return false;
    memcpy(s->to, s->p, bytes);
    s->p += bytes;
    s->to += bytes;
    return true;
}

// What is copied may reach into what it writes.
static bool copy(struct stream *s, size_t n, size_t offset)
{
    if (offset == 0 || offset > (size_t)(s->to - s->start) || n > (size_t)(s->to_end - s->to))
        return false;
    for (const uint8_t *from = s->to - offset; n > 0; n--)
        *s->to++ = *from++;
    return true;
}

static bool element(struct stream *s)
{
    uint8_t tag = *s->p++;
    uint32_t offset = 0;
    switch (tag & 3) {
    case LITERAL:
        return literal(s, tag);
    case COPY_1:
        return read_le(s, 1, &offset) && copy(s, (tag >> 2 & 7) + 4, (size_t)(tag >> 5) << 8 | offset);
    case COPY_2:
        return read_le(s, 2, &offset) && copy(s, (tag >> 2) + 1, offset);
    default:
        return read_le(s, 4, &offset) && copy(s, (tag >> 2) + 1, offset);
    }
}

bool snappy_decode(const void *from, size_t n, void *to, size_t size)
{
    struct stream s = {
        .p = from, .end = (const uint8_t *)from + n, .start = to, .to = to, .to_end = (uint8_t *)to + size};
    size_t said;
    if (!read_size(&s, &said) || said != size)
        return false;
    while (s.p < s.end)
        if (!element(&s))
            return false;
    return s.to == s.to_end;
}
