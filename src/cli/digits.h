// SPDX-License-Identifier: Apache-2.0
// JSON numbers (RFC 8259 section 6) copied as they stand, never valued: what `slipway predict` does with most
// of its input and of its output.
#pragma once

#include <stddef.h>

enum { DIGITS_WINDOW = 32 }; // bytes that are read and written at once

// Length of the number that starts at p[0..n); 0 when there is none or it breaks off, as in "1." and "01".
size_t digits_length(const char *p, size_t n);
// Copies the number that starts at p[0..n) to `to`, which has room for DIGITS_WINDOW bytes more than the
// number and may get any bytes behind it. Returns what digits_length would.
size_t digits_copy(const char *p, size_t n, char *to);
