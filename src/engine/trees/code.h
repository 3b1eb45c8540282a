// SPDX-License-Identifier: Apache-2.0
// Coding a row: from values to one byte per column, where the comparisons of the trees are made.
//
// A value becomes a key, an int32 of the same order (float bits, sign folded). How many keys of the column's
// sorted table are smaller is counted without a branch, and the columns come in this order:
//
//     few   at most 8 keys: one comparison of eight
//     near  a slot, 0 … 255, is computed from the value and says where in the table to compare eight keys;
//           for columns where some linear function, of the value or of its key, parts the keys well enough
//     far   all others: 16 pivots, then one of up to 16 buckets of 16 keys (or only one bucket)
//
// Any function that never falls would do for the slots: it is computed in the same way for the values and for
// the keys, so that a key of a lower slot is surely smaller and one of a higher slot surely not.
//
// LightGBM compares in double: its key is of the value rounded to float32, which keeps the order, and one
// comparison with the double threshold settles a tie.
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
    CODE_FEW = 8,
    CODE_SLOTS = 256,
    CODE_MAX_NEAR = 4096,
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
    uint32_t n_num;         // columns of numbers
    uint32_t n_few, n_near; // the first n_few are few, those up to n_near are near
    uint32_t n_cats, stride;
    bool lightgbm;
    // By column; padded with columns of feature 0.
    uint32_t *feature;
    uint32_t *is_col;     // all ones, 0 for padding, which is never missing
    uint32_t *sorted;     // the first key of its sorted table in keys
    float *scale, *shift; // slot = scale * x + shift, within 0 … 255
    uint32_t *by_key;     // all ones where x is the key and not the value
    int32_t *line;        // the column's line of `starts`: its first place
    uint8_t *starts;      // (n_near - n_few + 1, CODE_SLOTS) where to compare; few: line 0, 0
    int32_t *slots;       // line + slot of the row being coded
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
// Whether a column is few, near or far: 0, 1, 2.
uint32_t code_class(const struct rank_col *col);

// Copies the category columns of the lines found into `to`.
void code_cat_cols(const struct coder *c, uint8_t *to);
