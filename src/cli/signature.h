// SPDX-License-Identifier: Apache-2.0
// Signatures as people see them: a table, a file that can be edited and pushed again, lists of changes.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <yyjson.h>

// Appends the signature file (JSON or YAML) as JSON. ERR_IO, ERR_INVALID, ERR_TOO_LARGE, ERR_NOMEM.
int signature_read_file(const char *path, struct buf *json, struct err *e) ERR_CHECKED;
// Appends the table of inputs, at most max_rows of them; nothing when no input has a rule and `always` is
// false. ERR_NOMEM.
int signature_put_table(yyjson_val *signature, size_t max_rows, bool always, struct buf *out,
                        struct err *e) ERR_CHECKED;
// Appends the YAML file that gives this signature again when it is pushed with the same model.
void signature_put_yaml(yyjson_val *signature, struct buf *out);
// Appends {"compared_with":2,"breaking":[…],"compatible":[…]}, one change a line. NULL: nothing.
void signature_put_changes(yyjson_val *changes, struct buf *out);
// Whether the input has a rule, and whether it takes texts.
bool signature_has_rule(yyjson_val *input);
bool signature_takes_text(yyjson_val *input);
