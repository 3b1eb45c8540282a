// SPDX-License-Identifier: Apache-2.0
// Records as lines of JSON: what segments hold, what the commands show and what everybody else reads. Of a
// table one line for each row, of a model of tensors one for each request.
//
//   {"seq":41,"row":0,"kind":"prediction","id":"019a…","time":"2026-11-22T10:49:29.123456Z","model":"churn",
//    "version":3,"arm":0,"status":200,"error":null,"latency_us":61,"queue_us":20,"compute_us":8,"rows":1,
//    "bucket":0,"weight_bp":10000,"sample_weight":1.0,"truncated":false,"fallback":false,"override":false,
//    "trace_id":null,"parent_id":null,"inputs":{"age":31.0},"outputs":{"prediction":0.25}}
//   {"seq":…,"kind":"gap","time":"…","model":null,"reason":"torn","records":null,"first_seq":…,"last_seq":…,"bytes":…}
//
// Missing values are null, as are numbers that JSON has no word for; hashes are 16 hex digits; a column that
// is dropped has no member.
#pragma once

#include "base/buf.h"
#include "predlog/record.h"
#include "predlog/schema.h"

enum { LINE_TIME_SIZE = 28 }; // "2026-11-22T10:49:29.123456Z" with NUL

// Appends the lines of a record with their newlines and returns how many; 0 for a schema. schema NULL, or one
// that does not fit the record: without model's name, inputs and outputs.
uint32_t line_put(const struct record *r, const struct predlog_schema *schema, struct buf *out);
void line_time(uint64_t wall_ns, char ret[LINE_TIME_SIZE]);
