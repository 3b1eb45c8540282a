// SPDX-License-Identifier: Apache-2.0
// What goes into a version and what comes out: one table of named feature columns in, one tensor out.
#pragma once

#include "base/err.h"
#include "base/map.h"
#include "tensor/dtype.h"

#include <stdbool.h>
#include <stdint.h>

struct rule;

// Texts that a request may send in the place of numbers.
struct categories {
    struct str *names; // (n) unique
    double *codes;     // (n) what the model takes for each; NULL: 0, 1, 2 …
    uint32_t n;
    struct map by_name; // name -> index
};

// What a model file says of a feature's values beyond that they are numbers.
enum feature_type { FEATURE_NUMBER, FEATURE_INTEGER, FEATURE_BOOLEAN };

struct feature {
    struct str name;     // unique and never empty: "f0", "f1" … where the model has no names
    bool may_be_missing; // the model has a rule for a missing value of this feature
    bool categorical;    // values are category codes 0, 1, 2 …
    bool was_seen;       // seen_min and seen_max are those of the training rows; no rule follows from them
    enum feature_type type;
    double seen_min, seen_max;
    const struct categories *categories; // NULL: no texts are taken
    const struct rule *rule;             // NULL: numbers are not looked at (rule.h)
};

// Owned by the loaded model; read-only after signature_index.
struct signature {
    uint32_t n_features;
    uint32_t n_outputs;      // values per row in the output tensor
    enum dtype input_dtype;  // DTYPE_FP32 or DTYPE_FP64: what the model compares in
    enum dtype output_dtype; // DTYPE_FP32, DTYPE_FP64 or DTYPE_INT64
    bool output_is_vector;   // outputs are lists per row even when n_outputs is 1 (multi-class, multi-output)
    bool named;              // the names come from the model file or its user, not from us
    bool has_rules;          // some feature's numbers are to be looked at
    bool takes_text;         // some feature has categories or a rule
    const char *platform;    // "xgboost_json", "xgboost_ubj", "lightgbm_txt"; for metadata only
    const char *output_name; // "prediction"
    struct feature *features; // (n_features)
    struct map by_name;       // feature name -> index
};

// Index of the category of this name or MAP_NONE.
int64_t categories_find(const struct categories *c, struct str name);
// Builds by_name from names. ERR_DUPLICATE_KEY, ERR_NOMEM.
int categories_index(struct categories *c, struct err *e) ERR_CHECKED;

// Builds by_name from features. ERR_DUPLICATE_KEY, ERR_NOMEM.
int signature_index(struct signature *s, struct err *e) ERR_CHECKED;
// Index of the feature or MAP_NONE.
int64_t signature_find(const struct signature *s, struct str name);
// The known feature name nearest to `name`, empty when none is near.
struct str signature_nearest(const struct signature *s, struct str name);
