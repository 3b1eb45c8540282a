// SPDX-License-Identifier: Apache-2.0
// The rows of a training file, one after another: names of columns, then cells, whether it is CSV or Parquet.
// The file is mapped and nothing in it is believed.
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cell_kind { CELL_MISSING, CELL_NUMBER, CELL_TEXT };
struct cell {
    enum cell_kind kind;
    double number;   // of a text, too, where it reads as one
    bool is_number;  // it does
    struct str text; // of a text; until the next row
};

struct baseline_rows;

// bytes are a private, writable mapping: quotes are undoubled in place. Refused: ERR_INVALID names what is
// not read and how to convert it; ERR_TOO_LARGE, ERR_NOMEM.
int baseline_rows_open(char *bytes, size_t n, struct baseline_rows **ret, struct err *e) ERR_CHECKED;
void baseline_rows_close(struct baseline_rows *r); // NULL is fine
uint32_t baseline_rows_width(const struct baseline_rows *r);
struct str baseline_rows_name(const struct baseline_rows *r, uint32_t i);
const char *baseline_rows_format(const struct baseline_rows *r); // "CSV", "Parquet"
// Column i is wanted: the cells of others may be missing. as_text: of numbers, too, their text. Before the
// first row. ERR_INVALID: it is of a kind that is not read.
int baseline_rows_use(struct baseline_rows *r, uint32_t i, bool as_text, struct err *e) ERR_CHECKED;
// The next row into cells (width): 1, 0 at the end, or ERR_INVALID with the line, ERR_NOMEM.
int baseline_rows_next(struct baseline_rows *r, struct cell *cells, struct err *e) ERR_CHECKED;
uint64_t baseline_rows_at(const struct baseline_rows *r); // number of the row last read, from 1
