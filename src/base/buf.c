// SPDX-License-Identifier: Apache-2.0
// The growable buffer: doubles up to its maximum, never past it.
#include "base/buf.h"

#include "base/assert.h"
#include "base/num.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_done(struct buf *b)
{
    if (!b)
        return;
    free(b->p);
    b->p = NULL;
    b->n = b->cap = 0;
}

static bool grow(struct buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap : 256;
    while (cap < need)
        cap *= 2;
    if (cap > b->max)
        cap = b->max;
    char *p = realloc(b->p, cap);
    if (!p)
        return false;
    b->p = p;
    b->cap = cap;
    return true;
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->failed || n > b->max - b->n || (b->n + n > b->cap && !grow(b, b->n + n))) {
        b->failed = true;
        return NULL;
    }
    return b->p + b->n;
}

void buf_advance(struct buf *b, size_t n)
{
    ASSERT(n <= b->cap - b->n);
    b->n += n;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    char *to = n ? buf_reserve(b, n) : NULL;
    if (!to)
        return;
    memcpy(to, p, n);
    b->n += n;
}

void buf_puts(struct buf *b, const char *z)
{
    buf_put(b, z, strlen(z));
}

void buf_put_str(struct buf *b, struct str s)
{
    buf_put(b, s.p, s.n);
}

void buf_putc(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}

// Into the room there is, and only where that is too small, once more.
void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    size_t room = b->failed ? 0 : b->cap - b->n;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(room ? b->p + b->n : NULL, room, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < room) {
        b->n += (size_t)n;
    } else {
        char *to = n >= 0 ? buf_reserve(b, (size_t)n + 1) : NULL;
        if (to)
            b->n += (size_t)vsnprintf(to, (size_t)n + 1, fmt, again);
    }
    va_end(again);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + v % 10);
    while (v /= 10);
    buf_put(b, digits + at, sizeof digits - at);
}

// Bytes at the start that stand for themselves.
static size_t plain_run(const unsigned char *p, size_t n)
{
    size_t i = 0;
    while (i < n && p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' && p[i] != '\\')
        i++;
    return i;
}

void buf_put_json_str(struct buf *b, struct str s)
{
    buf_putc(b, '"');
    for (size_t i = 0; i < s.n;) {
        const unsigned char *p = (const unsigned char *)s.p + i;
        size_t plain = plain_run(p, s.n - i);
        if (plain) {
            buf_put(b, p, plain);
            i += plain;
            continue;
        }
        size_t len = str_utf8_len((struct str){s.p + i, s.n - i});
        if (len == 0) {
            buf_put(b, "\xef\xbf\xbd", 3);
            len = 1;
        } else if (*p == '"' || *p == '\\') {
            buf_putc(b, '\\');
            buf_putc(b, (char)*p);
        } else if (*p < 0x20 || *p == 0x7f) {
            buf_printf(b, "\\u%04x", *p);
        } else {
            buf_put(b, p, len);
        }
        i += len;
    }
    buf_putc(b, '"');
}

void buf_put_json_number(struct buf *b, const char *name, double x)
{
    char text[NUM_TEXT_MAX];
    buf_printf(b, ",\"%s\":", name);
    if (isfinite(x))
        buf_put(b, text, num_write_double(x, text));
    else
        buf_puts(b, "null");
}

void buf_put_json_numbers(struct buf *b, const char *name, const double *x, size_t n)
{
    char text[NUM_TEXT_MAX];
    buf_printf(b, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++) {
        buf_puts(b, i ? "," : "");
        buf_put(b, text, num_write_double(x[i], text));
    }
    buf_putc(b, ']');
}

void buf_consume(struct buf *b, size_t n)
{
    ASSERT(n <= b->n);
    if (n && b->n > n)
        memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = false;
}

struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}
