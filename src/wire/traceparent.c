// SPDX-License-Identifier: Apache-2.0
// Strict: what is not as specified is not used in part either.
#include "wire/traceparent.h"

#include <string.h>

enum { VERSION_00_BYTES = 55, FLAG_SAMPLED = 1 };

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *p, uint8_t *ret, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int high = digit(p[2 * i]), low = digit(p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool is_zero(const uint8_t *p, size_t n)
{
    uint8_t all = 0;
    for (size_t i = 0; i < n; i++)
        all |= p[i];
    return all == 0;
}

bool traceparent_read(struct str h, struct traceparent *ret)
{
    uint8_t version, flags;
    if (h.n < VERSION_00_BYTES || h.p[2] != '-' || h.p[35] != '-' || h.p[52] != '-')
        return false;
    if (!read_hex(h.p, &version, 1) || !read_hex(h.p + 3, ret->trace, 16) ||
        !read_hex(h.p + 36, ret->parent, 8) || !read_hex(h.p + 53, &flags, 1))
        return false;
    if (version == 0xff || is_zero(ret->trace, 16) || is_zero(ret->parent, 8))
        return false;
    if (h.n > VERSION_00_BYTES && (version == 0 || h.p[VERSION_00_BYTES] != '-'))
        return false;
    ret->is_sampled = flags & FLAG_SAMPLED;
    return true;
}
