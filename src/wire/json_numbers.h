// SPDX-License-Identifier: Apache-2.0
// The variants of the loop over numbers, one for each instruction set; all give the same. Private to
// src/wire: json_scan_floats and json_scan_doubles choose.
#pragma once

#include "wire/json_scan.h"

enum { WINDOW = 32, NO_POINT = 16 }; // see json_numbers_scan.h

size_t json_numbers_floats_any(struct json_scan *s, float *out, size_t n_max);
size_t json_numbers_doubles_any(struct json_scan *s, double *out, size_t n_max);
size_t json_numbers_floats_avx2(struct json_scan *s, float *out, size_t n_max);
size_t json_numbers_doubles_avx2(struct json_scan *s, double *out, size_t n_max);
