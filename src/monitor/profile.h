// SPDX-License-Identifier: Apache-2.0
// The reference that a version's traffic is compared with: of each input and output how its values were
// distributed, in bins that are frozen with it. Made of a training file (profile_build.h) or of live windows
// (observer.h), kept as JSON, a few KB a column; the values themselves are not in it.
//
//   {"slipway_profile":1,"source":"train.csv","rows":10000,"columns":[
//    {"name":"age","role":"input","kind":"number","n":9900,"missing":100,"distinct":71,"whole":true,
//     "range":[18,90],"moments":[mean,deviation,spread],"quantiles":[18,19,…,90],"edges":[18,19,…,90],
//     "counts":[101,99,…]},
//    {"name":"color","role":"input","kind":"category","n":10000,"missing":0,"distinct":3,"whole":true,…,
//     "complete":true,"values":[0,1,2],"keys":[0,0,0],"counts":[5000,3000,2000,0]}]}
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PROFILE_BINS = 100,                  // of equal shares that numbers are to have
    PROFILE_BINS_MAX = 2 * PROFILE_BINS, // as values that repeat make more of them
    PROFILE_VALUES = 256,                // of a category with bins of their own
    PROFILE_FEW = 10,                    // so many different numbers are categories
    PROFILE_QUANTILES = 9,               // 0, .01, .05, .25, .5, .75, .95, .99, 1
    PROFILE_MEDIAN = 4,
    PROFILE_LABEL_BYTES = 40,
};
extern const double PROFILE_SHARES[PROFILE_QUANTILES];

enum profile_kind { PROFILE_NUMBER, PROFILE_CATEGORY };

struct profile_column {
    struct str name; // unique among inputs, or outputs
    enum profile_kind kind;
    bool is_output;
    bool is_whole;                    // numbers without a fraction
    bool is_complete;                 // every value that occurred has a bin of its own
    uint64_t n, n_missing;            // values, and missing ones besides
    uint64_t n_distinct;              // estimated (distinct.h)
    double min, max, mean, deviation; // of numbers, also those that are categories; 0 of texts
    double spread; // what distances are given in: the interquartile range / 1.349, else the deviation, else 1
    double quantiles[PROFILE_QUANTILES];
    uint32_t n_bins;
    double *edges;      // (n_bins + 1) of numbers, as in bins.h
    uint64_t *keys;     // (n_bins) of categories: what profile_key_… makes, the most frequent first
    struct str *labels; // (n_bins) of categories: texts, cut to PROFILE_LABEL_BYTES - 1; empty of numbers
    uint64_t *counts;   // (profile_cells)
};

struct profile {
    struct str source; // of what it was made
    uint64_t n_rows;
    uint32_t n_columns;
    struct profile_column *columns; // (n_columns) inputs, then outputs
    // Private
    void **blocks; // (n_blocks) what all this lies in
    size_t n_blocks, cap_blocks, bytes;
};

// Bins, and of categories one more for all other values.
uint32_t profile_cells(const struct profile_column *c);
uint64_t profile_key_of_number(double v);
double profile_number_of_key(uint64_t key);
uint64_t profile_key_of_text(struct str text);

// An empty one with room for n_columns. NULL without memory.
struct profile *profile_new(uint32_t n_columns);
void profile_free(struct profile *p); // NULL is fine
// n × size bytes, cleared, that live as long as p; NULL without memory.
void *profile_alloc(struct profile *p, size_t n, size_t size);
bool profile_text(struct profile *p, struct str text, struct str *ret); // a copy; false without memory
// The column or NULL.
struct profile_column *profile_find(const struct profile *p, struct str name, bool is_output);

bool profile_is_one(struct str bytes); // whether they begin like an encoded profile
void profile_encode(const struct profile *p, struct buf *json);
// Checks everything: what is stored may have been made elsewhere. ERR_INVALID with the JSON path;
// ERR_TOO_LARGE past LIMIT_PROFILE_BYTES or LIMIT_PROFILE_COLUMNS; ERR_NOMEM.
int profile_decode(struct str json, struct profile **ret, struct err *e) ERR_CHECKED;
