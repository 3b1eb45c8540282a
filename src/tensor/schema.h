// SPDX-License-Identifier: Apache-2.0
// A signature as a document: what a version's inputs and outputs are called, what they are and what may stand
// in them. The model file gives one, its user completes it, the registry keeps the two made one; versions are
// compared by theirs. What is done with it at a request is rule.h.
//
//   {"inputs":[{"name":"age","datatype":"FP32","type":"number","missing":false,"min":0,"max":120,
//               "mode":"strict","description":"at the time of the order","unit":"years"},
//              {"name":"color","datatype":"FP32","type":"category","missing":true,"categorical":true,
//               "categories":["blue","green","red"]}],
//    "outputs":[{"name":"prediction","datatype":"FP32","shape":[-1]}],"named":true}
//
// Models of tensors have the members of interface.h as well. Of a user's document nothing is required: what
// it leaves out stays as it is in the model file. Unknown members are errors there and passed over elsewhere.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "tensor/dtype.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stdint.h>

enum schema_type {
    SCHEMA_TYPE_UNSAID,
    SCHEMA_NUMBER,
    SCHEMA_INTEGER,
    SCHEMA_BOOLEAN,
    SCHEMA_CATEGORY,
    SCHEMA_TEXT
};
// UNSAID: no rule, numbers are not looked at.
enum schema_mode { SCHEMA_MODE_UNSAID, SCHEMA_STRICT, SCHEMA_COERCE, SCHEMA_WARN };
enum schema_answer { SCHEMA_ANSWER_UNSAID, SCHEMA_NO, SCHEMA_YES };

struct schema_column {
    struct str name;
    enum dtype dtype; // DTYPE_NONE: unsaid
    enum schema_type type;
    enum schema_mode mode;
    enum schema_answer missing;
    bool has_min, has_max;
    double min, max;
    // The values allowed: texts with the codes that the model takes for them, or numbers.
    bool has_categories, has_codes; // codes: said, else 0, 1, 2 …
    bool numeric;                   // categories are numbers, which are what the model takes
    struct str *categories;         // (n_categories) as text
    double *codes;                  // (n_categories)
    uint32_t n_categories;
    struct str description, unit;
    struct str log; // rule of predlog/privacy.h, not looked at here; empty: logged as it is
    // From the model file
    bool categorical, was_seen;
    double seen_min, seen_max;
    // Of outputs, and of tensors
    bool has_shape, any_shape, optional;
    uint32_t n_dims;
    int64_t shape[TENSOR_DIMS_MAX];
    struct str *labels; // (n_labels)
    uint32_t n_labels;
};

struct schema {
    struct schema_column *inputs, *outputs;
    uint32_t n_inputs, n_outputs;
    bool named;   // false: the names are ours, f0, f1 …
    bool renamed; // the names are the user's, the model file has none
    bool tensors; // inputs are tensors by name; else columns of one matrix, which may come by position
    struct str platform;
    uint64_t max_batch_rows; // of tensors
};

// Reads a document into memory of the arena; nothing points into `json` afterwards. `at` is the path that
// errors begin with: "$" or "$.signature". A user's document is read strictly and may have "mode" for all the
// columns that it lists. ERR_BAD_JSON, ERR_WRONG_TYPE, ERR_UNKNOWN_FIELD (hint: the nearest name),
// ERR_DUPLICATE_KEY, ERR_INVALID, ERR_OUT_OF_RANGE, ERR_TOO_LARGE, ERR_NOMEM.
int schema_read(struct str json, bool is_users, const char *at, struct arena *a, struct schema *ret,
                struct err *e) ERR_CHECKED;
// Appends the document, with `changes` (a JSON object or empty) as its member of this name.
void schema_write(const struct schema *s, struct str changes, struct buf *json);
// Appends the document as far as the file of a model of rows gives it.
struct signature;
void schema_write_signature(const struct signature *s, struct buf *json);

// Completes `model`, as it was inferred from the file, by what its user says. What contradicts the file is
// refused naming the column: another count, an unknown column (hint: the nearest name), a type or category
// that the model cannot take. Where the file has no names, as many columns as the model has are named by
// their order. Memory of user must live as long as model's. ERR_INVALID, ERR_WRONG_COUNT,
// ERR_UNKNOWN_FEATURE, ERR_UNKNOWN_OUTPUT, ERR_WRONG_TYPE, ERR_NOMEM, with paths from `at`.
int schema_complete(struct schema *model, const struct schema *user, const char *at, struct arena *a,
                    struct err *e) ERR_CHECKED;
// Whether the gateways need the document: a rule, texts or names that the compiled model does not know.
bool schema_has_rules(const struct schema *s);

// What changes for clients when `now` answers in the place of `before`: one sentence each, naming the column.
struct schema_change {
    struct str text; // "input 'age' was removed"
    bool breaking;   // a request that was answered is refused or means something else, or answers look
                     // different
};
struct schema_changes {
    struct schema_change *list; // (n) breaking ones first
    uint32_t n, n_breaking;
};
// ERR_NOMEM.
int schema_compare(const struct schema *before, const struct schema *now, struct arena *a,
                   struct schema_changes *ret, struct err *e) ERR_CHECKED;

const char *schema_type_name(enum schema_type t); // "number"; "" unsaid
const char *schema_mode_name(enum schema_mode m); // "strict"; "" unsaid
