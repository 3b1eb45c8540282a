// SPDX-License-Identifier: Apache-2.0
// Numbers and their decimal texts, both ways exact and independent of the locale. Reading rounds to the
// nearest double, ties to even, however many digits there are. Writing gives the shortest text that reads
// back to the same number; its layout is that of Python's repr: "0.1", "3.0", "1e-07", "1.5e+300".
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NUM_TEXT_MAX = 32 }; // bytes a written number may take; no NUL is written

// Reads the JSON number (RFC 8259 section 6) at the start of p[0..n). False when there is none; else
// *ret_used is its length in bytes. What follows it is the caller's to judge. A number beyond the largest
// double becomes an infinity, one too small becomes zero or subnormal, both with their sign.
bool num_parse_double(const char *p, size_t n, double *ret, size_t *ret_used);
// The same for model files, which also write "+1", "01", ".5" and "5."; no words such as nan or inf.
bool num_parse_loose(const char *p, size_t n, double *ret, size_t *ret_used);
// digits × 10^exp10, rounded to nearest even; infinity beyond the largest double.
double num_from_decimal(uint64_t digits, int exp10);

// Writes v, which must be finite, and returns the number of bytes. "-0.0" keeps its sign.
size_t num_write_float(float v, char ret[NUM_TEXT_MAX]);
size_t num_write_double(double v, char ret[NUM_TEXT_MAX]);
size_t num_write_i64(int64_t v, char ret[NUM_TEXT_MAX]);
