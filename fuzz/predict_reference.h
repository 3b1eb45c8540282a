// SPDX-License-Identifier: Apache-2.0
// Plain second implementations of the JSON codecs on yyjson's tree, for comparison: what a body means, with
// no regard for speed or for which error is named. Not compared are the limits (depth, rows) and bodies with
// the word Infinity; the word NaN is replaced by null before yyjson reads, which does not know it.
#pragma once

#include "api/predict.h"

#include <yyjson.h>

enum { REFERENCE_FEATURES = 3, REFERENCE_ROWS = 4096 };

struct reference {
    const struct signature *sig;
    uint32_t n_rows;
    double rows[REFERENCE_ROWS][REFERENCE_FEATURES]; // NaN: missing
};

typedef bool reference_fn(yyjson_val *root, struct reference *ret); // false: the body is refused
reference_fn reference_v1, reference_v2;

// The body of LLVMFuzzerTestOneInput: decodes both ways, expects the same, and writes an answer.
void reference_compare(const uint8_t *data, size_t n, predict_decode_fn *decode, predict_encode_fn *encode,
                       reference_fn *reference);
