// SPDX-License-Identifier: Apache-2.0
// Base64, one quantum of three bytes or four letters at a time.
#include "api/base64.h"

static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct str text, char *to, size_t *ret_n)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t n = 0;
    if (text.n % 4 == 0) // only whole quanta are padded
        for (int i = 0; i < 2 && text.n && text.p[text.n - 1] == '='; i++)
            text.n--;
    if (text.n % 4 == 1)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        int v = value_of(text.p[i]);
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            to[n++] = (char)(bits >> n_bits & 0xff);
        }
    }
    *ret_n = n;
    return (bits & ((1u << n_bits) - 1)) == 0; // what is left over says nothing
}

void base64_encode(struct str bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.n; i += 3) {
        uint32_t bits = 0;
        size_t left = bytes.n - i;
        char *to = buf_reserve(out, 4);
        if (!to)
            return;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < left ? (uint8_t)bytes.p[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            to[k] = k <= left ? LETTERS[bits >> (18 - 6 * k) & 63] : '=';
        buf_advance(out, 4);
    }
}
