// SPDX-License-Identifier: Apache-2.0
// What the columns of a version are called and how each is logged: the document that stands in the log before
// the first record that needs it, and the programs made of it.
//
//   {"key":"00c0ffee00c0ffee","model":"churn","version":3,"table":true,
//    "inputs":[{"name":"age","datatype":"FP32"},{"name":"email","datatype":"BYTES","log":"hash"}],
//    "outputs":[{"name":"prediction","datatype":"FP32"}]}
//
// "log" is a rule of predlog/privacy.h, "keep" where it is left out. Of a table the inputs are the columns of
// one matrix; outputs always are tensors.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "predlog/record.h"

struct predlog_column {
    struct str name;
    enum dtype dtype;
    struct privacy_rule rule;
};

struct predlog_schema {
    uint64_t key;
    struct str model;
    uint32_t version;
    bool is_table;
    uint32_t n_inputs, n_outputs;
    struct predlog_column *inputs, *outputs;
};

// Reads a document into memory of its own. ERR_BAD_JSON, ERR_INVALID, ERR_TOO_LARGE, ERR_NOMEM.
int predlog_schema_read(struct str json, struct predlog_schema **ret, struct err *e) ERR_CHECKED;
void predlog_schema_free(struct predlog_schema *s); // NULL is fine; only of what was read
void predlog_schema_write(const struct predlog_schema *s, struct buf *json);
// A key that is the same for the same model, version, columns and rules, and for nothing else that is likely.
uint64_t predlog_schema_key(const struct predlog_schema *s);

// The programs of a schema, owned by the caller; `key` is of the hashes. ERR_INVALID, ERR_NOMEM.
int predlog_plan_init(struct record_plan *p, const struct predlog_schema *s, struct str key,
                      struct err *e) ERR_CHECKED;
void predlog_plan_done(struct record_plan *p); // zeroed is fine
