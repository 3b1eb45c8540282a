// SPDX-License-Identifier: Apache-2.0
// A file of golden rows as it was read. Private to src/admission.
#pragma once

#include "admission/golden.h"
#include "base/arena.h"

#include <yyjson.h>

struct golden {
    struct arena arena;
    struct examples inputs;
    uint32_t n_rows; // 0: inputs and outputs are a whole
    bool has_tolerance;
    struct golden_tolerance tolerance;
    yyjson_doc *doc;
    yyjson_val *outputs; // an array of rows, an object of whole outputs by name, or one whole output
    // (n_outputs, n_rows) or (n_outputs, 1) without rows: what is expected, NULL where the file says nothing
    yyjson_val **expected;
};
