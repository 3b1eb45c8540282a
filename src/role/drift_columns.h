// SPDX-License-Identifier: Apache-2.0
// The columns of a version that are watched for drift, out of its signature document: each input and output
// of a table; of a model of tensors each of rows, [-1] or [-1, k], which has k columns. The process that
// makes a profile of a training file and the monitor go by the same list.
#pragma once

#include "base/arena.h"
#include "monitor/observer.h"
#include "predlog/privacy.h"
#include "tensor/schema.h"

struct drift_column {
    struct observer_column as; // name, is_output, is_category; the name lies in the arena
    uint32_t tensor, element;  // of the inputs, or outputs: 0 of a table; and which value of a row
    uint32_t width;            // values that a row of the tensor has
    bool is_text;
    enum privacy_what logged; // what of it is in the log
};

struct drift_columns {
    struct drift_column *items; // (n) inputs, then outputs
    uint32_t n, n_inputs;
    uint32_t n_left_out; // more than LIMIT_PROFILE_COLUMNS, or tensors whose rows are no columns
    bool is_table;
    uint32_t table_width;           // of a table: numbers that a row has in the log
    struct drift_column *unwatched; // (n_unwatched) whose values are not in the log; drift_columns_of_log
    uint32_t n_unwatched;
};

enum { DRIFT_OUTPUTS_MAX = 64 }; // of one tensor

// All in the arena; the schema must live as long. ERR_NOMEM.
int drift_columns_of(const struct schema *s, struct arena *a, struct drift_columns *ret,
                     struct err *e) ERR_CHECKED;
// Leaves those whose values are in the log, at their places there; the others become `unwatched`. ERR_NOMEM.
int drift_columns_of_log(struct drift_columns *d, struct arena *a, struct err *e) ERR_CHECKED;
