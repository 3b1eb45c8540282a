// SPDX-License-Identifier: Apache-2.0
// CSV as in RFC 4180: fields in quotes may hold commas, line ends and doubled quotes; lines end with LF or
// CRLF. Pure: one record from the bytes given. What fields mean is the reader's: cli/feed.c,
// role/baseline_rows.c.
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The fields of one record; reused from record to record, so that reading allocates only as rows get wider.
struct csv_row {
    struct str *fields; // (n), into the bytes parsed
    uint32_t n, cap;
};

void csv_row_done(struct csv_row *r);
// Takes the record at the start of p[0..n). 1: ret holds it and *ret_used says its bytes with its line end;
// 0: it is not complete (only when `end`, which says that nothing follows, is false). Quotes that a field
// doubles are undoubled in place, in p. ERR_INVALID for text behind a closing quote, a quote inside a field
// that is not quoted, or no closing quote; ERR_TOO_LARGE over twice LIMIT_MODEL_FEATURES fields; ERR_NOMEM.
int csv_take(char *p, size_t n, bool end, struct csv_row *ret, size_t *ret_used, struct err *e) ERR_CHECKED;
