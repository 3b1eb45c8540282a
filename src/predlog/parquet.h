// SPDX-License-Identifier: Apache-2.0
// Writes Apache Parquet files (format 2.x): flat optional columns, PLAIN values, one zstd page for each
// column of a row group, statistics left out. As little as every reader needs.
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum parquet_type {
    PARQUET_BOOLEAN,
    PARQUET_INT64,
    PARQUET_DOUBLE,
    PARQUET_TEXT,      // UTF-8
    PARQUET_TIMESTAMP, // microseconds since 1970, UTC
};

enum { PARQUET_GROUP_ROWS = 65536, PARQUET_GROUP_BYTES = 64 << 20 };

struct parquet_column {
    struct str name;
    enum parquet_type type;
};

struct parquet;

// Begins a file in fd, at its position, which it borrows; the columns too. ERR_IO, ERR_NO_SPACE, ERR_NOMEM.
int parquet_new(int fd, const struct parquet_column *columns, uint32_t n, struct parquet **ret,
                struct err *e) ERR_CHECKED;
void parquet_free(struct parquet *p); // NULL is fine

// The values of the row at hand: those that are not put are null. Each at most once a row.
void parquet_put_bool(struct parquet *p, uint32_t column, bool v);
void parquet_put_i64(struct parquet *p, uint32_t column, int64_t v); // also of timestamps
void parquet_put_double(struct parquet *p, uint32_t column, double v);
void parquet_put_text(struct parquet *p, uint32_t column, struct str v);
// Ends the row; writes a row group when it is large enough. ERR_IO, ERR_NO_SPACE, ERR_NOMEM.
int parquet_end_row(struct parquet *p, struct err *e) ERR_CHECKED;
// Writes what is left and the footer: the file is complete.
int parquet_finish(struct parquet *p, struct err *e) ERR_CHECKED;
