// SPDX-License-Identifier: Apache-2.0
// A growable byte buffer with a named maximum. Appending past the maximum or without memory sets `failed`,
// which sticks: append freely, check once at the end.
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *p;       // not NUL-terminated; NULL while cap is 0
    size_t n, cap; // bytes used, bytes allocated
    size_t max;    // bytes it may grow to
    bool failed;   // something did not fit
};

void buf_init(struct buf *b, size_t max); // allocates nothing
void buf_done(struct buf *b);             // frees; NULL is fine; the buffer may be used again after buf_init
// Makes room for n more bytes and returns where they go, or NULL (and sets failed). Advance with buf_advance.
char *buf_reserve(struct buf *b, size_t n);
void buf_advance(struct buf *b, size_t n); // n must have been reserved
void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *z);
void buf_put_str(struct buf *b, struct str s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_put_u64(struct buf *b, uint64_t v); // decimal
// Appends s as a JSON string with quotes; invalid UTF-8 bytes become U+FFFD.
void buf_put_json_str(struct buf *b, struct str s);
// Appends ,"name":1.5; null in place of what is not finite, of which JSON has none.
void buf_put_json_number(struct buf *b, const char *name, double x);
// Appends ,"name":[1.5,2.0]; x: (n), finite.
void buf_put_json_numbers(struct buf *b, const char *name, const double *x, size_t n);
void buf_consume(struct buf *b, size_t n); // drops n bytes from the front
void buf_clear(struct buf *b);             // n = 0, failed = false, memory kept
struct str buf_str(const struct buf *b);
