// SPDX-License-Identifier: Apache-2.0
// What a server says about models and versions, as people read it. Tolerant: a field that is missing is left
// out, one that is new is shown.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <yyjson.h>

// The text of a string, number or boolean; "" for others. Borrowed from scratch, which has 32 bytes.
const char *cli_describe_scalar(yyjson_val *v, char scratch[32]);
// Appends "  name  value" lines for a version: state, format, digest, features and output (or
// inputs and outputs with datatype and shape), replicas, settings, engine, tags.
void cli_describe_version(yyjson_val *version, struct buf *out);
// Appends the shell command that asks a version for a prediction; nothing for a model too wide for a line.
void cli_describe_curl(yyjson_val *version, const char *url, struct buf *out);
// Appends a table of an array of objects: a row each, a column for each of the n fields under its head.
// ERR_NOMEM.
int cli_describe_table(yyjson_val *rows, const char *const *fields, const char *const *heads, size_t n,
                       struct buf *out, struct err *e);
