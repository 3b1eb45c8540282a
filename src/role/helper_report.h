// SPDX-License-Identifier: Apache-2.0
// What a throw-away process of the controller (compile.c, store.c) reports when its work failed, and how the
// controller reads it back. A report is lines of JSON, of which the last says how it ended.
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum { HELPER_REPORT_MAX = 64 << 10 }; // all its lines

struct yyjson_val;

// Appends {"code":"bad_model","message":"…","path":"…","hint":"…"}.
void helper_report_error(const struct err *e, struct buf *out);
// 0 when the report `root` is none of a failure; else its code, with e as the helper had it.
int helper_report_take(struct yyjson_val *root, struct err *e) ERR_CHECKED;
