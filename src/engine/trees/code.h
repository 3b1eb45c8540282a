// SPDX-License-Identifier: Apache-2.0
// Coding a row: from values to one byte per column, where the comparisons of the trees are made.
//
// A value becomes a key, an int32 of the same order (float bits, sign folded); the key is searched in the
// column's table of 16 keys, or first in 16 pivots and then in one of up to 16 buckets of 16 keys. Both steps
// count the table keys that are smaller, without a branch. LightGBM compares in double: its key is of the
// value rounded to float32, which keeps the order, and one comparison with the double threshold settles a
// tie.
//
// Codes of a row, code_stride bytes twice:   [missing = 255][missing = 0]
// so that a node finds "missing goes right" in the first half and "missing goes left" in the second. Column
// code_stride - 1 is 0 in both.
#pragma once

#include "engine/trees/image.h"
#include "engine/trees/rank.h"

enum {
    CODE_BUCKET = 16,
    CODE_MAX_COLS = 32000,
    CODE_KEY_MISSING = INT32_MIN,
    CODE_KEY_NEVER = INT32_MAX, // no value's key is above it
};

struct code_col {
    uint32_t feature;
    uint32_t table; // first key in IMAGE_KEYS: the 16 pivots, or the only bucket
    uint32_t cuts;  // first threshold in IMAGE_CUTS (LightGBM)
    uint16_t n_buckets;
    uint8_t missing; // enum node_missing
    uint8_t zero;
};

struct code_cat {
    uint32_t feature;
    uint32_t n_cats; // rows of the table: n_cats categories, "outside", "missing"
    uint32_t first_col, n_sets;
    uint64_t rows; // first byte in IMAGE_CAT_ROWS; a row is n_sets bytes
};

// What coding needs at hand; filled by code_open, which also allocates.
struct coder {
    const struct code_col *cols;
    const int32_t *keys;
    const double *cuts;
    const struct code_cat *cats;
    const uint8_t *cat_rows;
    uint32_t n_num, n_near; // columns; those with one bucket come first
    uint32_t n_cats, stride;
    bool lightgbm;
    uint64_t *nan_missing,
        *zero_missing;  // (n_num, padded) all ones where NaN, where zero is missing; LightGBM
    int32_t *row_keys;  // (n_num, padded) of the row being coded
    double *row_values; // (n_num, padded) the same
    uint32_t *cat_row;  // (n_cats) the row's line in each category table
    uint8_t *codes;     // (CODE_ROWS, 2 * stride)
};

enum { CODE_ROWS = 64 };

// Appends IMAGE_COLS, KEYS, CUTS, CATS and CAT_ROWS.
void code_pack(struct image_writer *w, const struct rank *r);
// Checks these sections. ERR_BAD_MODEL.
int code_check(const struct image *img, struct err *e) ERR_CHECKED;

int code_open(const struct image *img, struct coder *ret, struct err *e) ERR_CHECKED;
void code_close(struct coder *c);

// Codes the columns of numbers of one row of the model's input type into `to` (2 * stride).
void code_row(struct coder *c, const void *row, uint8_t *to);
// Finds the row's line in each category table, cat_row.
void code_cats(struct coder *c, const void *row);
// Copies the category columns of the lines found into `to`.
void code_cat_cols(const struct coder *c, uint8_t *to);
