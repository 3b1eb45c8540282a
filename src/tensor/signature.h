// SPDX-License-Identifier: Apache-2.0
// What goes into a version and what comes out: one table of named feature columns in, one tensor out.
#pragma once

#include "base/err.h"
#include "base/map.h"
#include "tensor/dtype.h"

#include <stdbool.h>
#include <stdint.h>

struct feature {
    struct str name;     // unique and never empty: "f0", "f1" … where the model has no names
    bool may_be_missing; // the model has a rule for a missing value of this feature
    bool categorical;    // values are category codes 0, 1, 2 …
};

// Owned by the loaded model; read-only after signature_index.
struct signature {
    uint32_t n_features;
    uint32_t n_outputs;      // values per row in the output tensor
    enum dtype input_dtype;  // DTYPE_FP32 or DTYPE_FP64: what the model compares in
    enum dtype output_dtype; // DTYPE_FP32, DTYPE_FP64 or DTYPE_INT64
    bool output_is_vector;   // outputs are lists per row even when n_outputs is 1 (multi-class, multi-output)
    bool named;              // the names come from the model file, not from us
    const char *platform;    // "xgboost_json", "xgboost_ubj", "lightgbm_txt"; for metadata only
    const char *output_name; // "prediction"
    struct feature *features; // (n_features)
    struct map by_name;       // feature name -> index
};

// Builds by_name from features. ERR_DUPLICATE_KEY, ERR_NOMEM.
int signature_index(struct signature *s, struct err *e) ERR_CHECKED;
// Index of the feature or MAP_NONE.
int64_t signature_find(const struct signature *s, struct str name);
// The known feature name nearest to `name`, empty when none is near.
struct str signature_nearest(const struct signature *s, struct str name);
