// SPDX-License-Identifier: Apache-2.0
// Lines of the log as one flat table, in CSV or Parquet. Columns: what a line has at its top, inputs as
// input_NAME, outputs as output_NAME, short lists of numbers as NAME_0, NAME_1 …, other lists as JSON. What
// columns there are and of which types is known only when all lines were seen: they are kept in a file
// meanwhile.
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

struct yyjson_val;
struct sheet;

enum sheet_format { SHEET_CSV, SHEET_PARQUET };

// spool_fd: an empty file to read and write; borrowed. ERR_NOMEM.
int sheet_new(int spool_fd, struct sheet **ret, struct err *e) ERR_CHECKED;
void sheet_free(struct sheet *t); // NULL is fine
// Adds a line without newline, root being its JSON. ERR_TOO_LARGE: above LIMIT_LOG_COLUMNS; ERR_IO,
// ERR_NO_SPACE, ERR_NOMEM.
int sheet_add(struct sheet *t, struct str line, struct yyjson_val *root, struct err *e) ERR_CHECKED;
// Writes all of them to fd, from its position. ERR_IO, ERR_NO_SPACE, ERR_NOMEM.
int sheet_write(struct sheet *t, enum sheet_format format, int fd, struct err *e) ERR_CHECKED;
uint64_t sheet_n_rows(const struct sheet *t);
