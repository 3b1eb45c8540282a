// SPDX-License-Identifier: Apache-2.0
// What the JSON codecs share: reading arrays of feature values under one policy for missing values, booleans
// and ranges (docs/api.md), paths of errors, and writing outputs. Private to src/api.
#pragma once

#include "api/predict.h"
#include "tensor/rule.h"
#include "wire/json_scan.h"

// How a request lays out its values: for the paths of errors that are found after all was read.
enum decode_layout {
    DECODE_LISTS,   // .instances[i][k]
    DECODE_VALUES,  // .instances[i]
    DECODE_OBJECTS, // .instances[i].name
    DECODE_COLUMNS, // .inputs.name[i]
    DECODE_FLAT,    // .inputs[0].data[i*n+k]
    DECODE_NESTED,  // .inputs[0].data[i][k]
    DECODE_TENSORS, // .inputs[input_of[k]].data[i]
};

// One request being decoded.
struct decode {
    struct json_scan json;
    const struct signature *sig;
    struct rows *rows;
    struct arena *scratch;
    uint32_t first_row; // rows->n_rows before this request
    // What its signature's rules need
    enum decode_layout layout;
    uint32_t n_warnings;
    uint32_t *input_of; // (n_features)
    struct rule_counts *counts;
};

void decode_init(struct decode *d, struct str body, const struct signature *sig, struct rows *rows,
                 struct arena *scratch);
// Bytes of one value in rows.
size_t decode_value_size(const struct decode *d);

// Reads the value that starts here, of the given feature, as a tensor of datatype `as` would hold it, and
// stores it in the model's type. DTYPE_NONE: no tensor between, the model's own type.
int decode_value(struct decode *d, enum dtype as, uint32_t feature, void *to, struct err *e) ERR_CHECKED;
// Reads an array of exactly n values into to[0..n). Value i belongs to feature (first + i) % n_features.
// `what` names the array in errors: "row". Paths start at the index: "[7]".
int decode_array(struct decode *d, enum dtype as, uint32_t first, void *to, uint64_t n, const char *what,
                 struct err *e) ERR_CHECKED;
// The next plain numbers of an array, at most n, into cells that lie stride bytes apart. Returns how many; 0
// says nothing: use decode_value.
size_t decode_run(struct decode *d, enum dtype as, void *to, size_t stride, uint64_t n);
// What a codec does at its end for a signature that takes texts or has rules. Unless rc says that the request
// failed already, all its numbers are held to the rules of their columns; `list` is where they stand:
// ".instances". Then what was counted is handed over. Returns rc, or that of the check.
int decode_finish_rules(struct decode *d, int rc, const char *list, struct predict_request *ret,
                        struct err *e) ERR_CHECKED;
// NaN where the model has a rule for it, else ERR_MISSING_FEATURE.
int decode_missing(struct decode *d, uint32_t feature, void *to, struct err *e) ERR_CHECKED;
// Where the value of row i of this request lies; valid until rows are appended.
void *decode_cell(const struct decode *d, uint32_t i, uint32_t feature);
// After columns were read: the features that are not in seen[0..n_features) are missing in every row.
int decode_fill_absent(struct decode *d, const uint8_t *seen, struct err *e) ERR_CHECKED;
// The feature of this name; ERR_UNKNOWN_FEATURE with the nearest name.
int decode_feature(const struct decode *d, struct str name, uint32_t *ret, struct err *e) ERR_CHECKED;

// Reads a key of an object whose keys are a closed list; refuses one that comes twice (bits of *seen) or is
// not listed, then with the nearest as hint. `what` names the object: "request". The path has the key.
int decode_key(struct decode *d, const struct str *known, uint32_t n, uint32_t *seen, const char *what,
               uint32_t *ret, struct err *e) ERR_CHECKED;
// The next field of such an object: json_scan_item and decode_key in one, with their errors. 1: *ret is the
// field; 0: the object ended.
int decode_field(struct decode *d, const struct str *known, uint32_t n, uint32_t *seen, const char *what,
                 bool *first, uint32_t *ret, struct err *e) ERR_CHECKED;
// ERR_WRONG_TYPE: expected so, got what starts here. ERR_BAD_JSON if nothing does.
int decode_unexpected(struct decode *d, const char *expected, struct err *e) ERR_CHECKED;

// Put a step before the path of e, which may be NULL: "$.instances", "[3]", ".age" or "[\"my age\"]".
void path_before(struct err *e, const char *step);
void path_index_before(struct err *e, uint64_t index);
void path_key_before(struct err *e, struct str key);

// Appends output values [0..n) of outputs separated by commas: shortest round-trip, null when not finite.
void values_encode(const void *outputs, enum dtype dtype, size_t n, struct buf *out);
