// SPDX-License-Identifier: Apache-2.0
// A tensor's values as JSON: floats with the fewest digits that read back to the same number, null when not
// finite; bytes as strings, or as base64 when one of them is no UTF-8. Private to src/api.
#pragma once

#include "api/tensors.h"

struct tensor_write {
    const struct tensor *t;
    struct buf *out;
    size_t at;   // bytes of the tensor that were written
    bool base64; // BYTES of which some are no text
};

void tensor_write_init(struct tensor_write *w, const struct tensor *t, struct buf *out);
// The next n values, separated by commas.
void tensor_write_values(struct tensor_write *w, uint64_t n);
// The next values as nested lists of the dimensions from `level` on, base64 in objects {"b64":"…"}.
void tensor_write_nested(struct tensor_write *w, uint32_t level);
