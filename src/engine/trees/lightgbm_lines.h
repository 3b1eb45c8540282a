// SPDX-License-Identifier: Apache-2.0
// The outer grammar of a LightGBM text model, shared by lightgbm_text.c (header, sections) and
// lightgbm_tree.c (one tree): lines, fields "name=value", and lists of numbers within a value. Private to the
// LightGBM parser. Everything borrows from the model's bytes.
#pragma once

#include "base/err.h"
#include "base/str.h"

struct lines {
    const char *p, *end;
    uint32_t n; // lines taken so far: the number of the last one
};

// The next line without its end (LF or CR LF); false at the end of the bytes.
bool lines_next(struct lines *in, struct str *ret);
// The next line that is not empty.
bool lines_next_filled(struct lines *in, struct str *ret);

struct field {
    struct str value;
    uint32_t line; // 0: the file does not have the field
};

// Text of the file made fit for a message: at most 40 characters, what is not printable ASCII as '?'.
struct shown {
    char z[48];
};
struct shown lines_shown(struct str s);

// The numbers of one field's value, separated by spaces.
struct list {
    struct str rest;
    const char *name;
    uint32_t line;
    int64_t tree;      // -1: a field of the header
    uint32_t at, want; // values taken, values there must be
    struct err *e;
};

// Starts a list that must have `want` values; e is kept and filled by the calls below.
struct list list_of(struct field f, const char *name, int64_t tree, uint32_t want, struct err *e);
// The next value, an integer from min to max. ERR_BAD_MODEL with line, tree, field and position.
int list_int(struct list *l, int64_t min, int64_t max, int64_t *ret) ERR_CHECKED;
// The next value as the nearest double. Infinity and NaN are refused. ERR_BAD_MODEL.
int list_double(struct list *l, double *ret) ERR_CHECKED;
// The same, but "inf" and "-inf" are numbers too: LightGBM splits all values from a missing one at infinity.
int list_threshold(struct list *l, double *ret) ERR_CHECKED;
// ERR_BAD_MODEL when values are left over.
int list_end(struct list *l) ERR_CHECKED;
// How many values a text has.
uint64_t list_count(struct str s);
