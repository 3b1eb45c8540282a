// SPDX-License-Identifier: Apache-2.0
// JSON numbers (RFC 8259 section 6) copied as they stand, never valued: what `slipway predict` does with most
// of its input and of its output.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    DIGITS_WINDOW = 32,             // bytes that are read and written at once
    DIGITS_ROOM = DIGITS_WINDOW + 1 // for each number of a row and its comma
};

// Length of the number that starts at p[0..n); 0 when there is none or it breaks off, as in "1." and "01".
size_t digits_length(const char *p, size_t n);
// Copies the number that starts at p[0..n) to `to`, which has room for DIGITS_WINDOW bytes more than the
// number and may get any bytes behind it. Returns what digits_length would.
size_t digits_copy(const char *p, size_t n, char *to);
// Copies the row of a CSV file that starts at p[0..n) when it has n_values fields, each a number of at most
// DIGITS_WINDOW bytes or empty, which becomes null, and ends with LF or CRLF. `to` has room for n_values
// times DIGITS_ROOM and DIGITS_WINDOW more, and *ret_n says how much was written, without a line end. Returns
// the bytes of the row with its line end, or 0: it is another row, or near the end of the bytes, and `to` may
// hold anything.
size_t digits_copy_row(const char *p, size_t n, uint32_t n_values, char *to, size_t *ret_n);
