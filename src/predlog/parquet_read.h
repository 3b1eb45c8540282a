// SPDX-License-Identifier: Apache-2.0
// Reads Apache Parquet files as pandas, PyArrow and Polars write tables: flat columns, pages of version 1 and
// 2, values PLAIN or by a dictionary, uncompressed or by Snappy, gzip or zstd. What is not of that is refused
// by its name. Pure: the file lies in memory and nothing in it is believed.
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum parquet_cell_kind {
    PARQUET_CELL_NULL,
    PARQUET_CELL_BOOL,
    PARQUET_CELL_INT,
    PARQUET_CELL_UINT,
    PARQUET_CELL_DOUBLE,
    PARQUET_CELL_TEXT
};

struct parquet_cell {
    enum parquet_cell_kind kind;
    bool is_true;
    int64_t i;
    uint64_t u;
    double d;
    struct str text; // until the next row
};

struct parquet_file;

// The footer. `bytes` must live as long. ERR_INVALID: it is damaged, no Parquet file, or of a kind that is
// not read, which is named. ERR_TOO_LARGE, ERR_NOMEM.
int parquet_file_open(struct str bytes, struct parquet_file **ret, struct err *e) ERR_CHECKED;
void parquet_file_close(struct parquet_file *f); // NULL is fine
uint32_t parquet_file_width(const struct parquet_file *f);
struct str parquet_file_name(const struct parquet_file *f, uint32_t column); // borrowed from the bytes
// From the next row on its values are wanted: others are not looked at. ERR_INVALID: it is of a kind that is
// not read, which is named.
int parquet_file_use(struct parquet_file *f, uint32_t column, struct err *e) ERR_CHECKED;
// The next row into cells (width), null where a column is not used: 1; 0 at the end. ERR_INVALID: damaged, or
// of a codec or an encoding that is not read; ERR_TOO_LARGE, ERR_NOMEM.
int parquet_file_next(struct parquet_file *f, struct parquet_cell *cells, struct err *e) ERR_CHECKED;
