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
struct table;

enum table_format { TABLE_CSV, TABLE_PARQUET };

// spool_fd: an empty file to read and write; borrowed. ERR_NOMEM.
int table_new(int spool_fd, struct table **ret, struct err *e) ERR_CHECKED;
void table_free(struct table *t); // NULL is fine
// Adds a line without newline, root being its JSON. ERR_TOO_LARGE: above LIMIT_LOG_COLUMNS; ERR_IO,
// ERR_NO_SPACE, ERR_NOMEM.
int table_add(struct table *t, struct str line, struct yyjson_val *root, struct err *e) ERR_CHECKED;
// Writes all of them to fd, from its position. ERR_IO, ERR_NO_SPACE, ERR_NOMEM.
int table_write(struct table *t, enum table_format format, int fd, struct err *e) ERR_CHECKED;
uint64_t table_n_rows(const struct table *t);
