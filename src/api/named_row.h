// SPDX-License-Identifier: Apache-2.0
// Rows that come as objects, {"age":37,"income":1200.5}: keys are expected in the order of the row before, so
// that a key costs one comparison. Private to src/api.
#pragma once

#include "api/values.h"

struct named_row {
    uint32_t *order;     // (n_features) feature expected at each position of an object
    uint32_t *seen_in;   // (n_features) number of the last row that had the feature
    uint32_t row_number; // 1, 2 …
    uint32_t n_known;    // positions of order that are filled
};

// Takes its memory from d->scratch. ERR_NOMEM.
int named_row_init(struct named_row *r, struct decode *d, struct err *e) ERR_CHECKED;
// Reads the object that starts here into row (n_features). Absent features are missing. The path of an error
// starts at the key: ".age". ERR_DUPLICATE_KEY, ERR_UNKNOWN_FEATURE, ERR_MISSING_FEATURE and those of
// decode_value.
int named_row_decode(struct named_row *r, struct decode *d, void *row, struct err *e) ERR_CHECKED;
