// SPDX-License-Identifier: Apache-2.0
// What two versions say to the same requests: how often they decide differently, by how much their scores
// differ, which classes they take for each other, and the rows that differ most. Plain counts, so that those
// of gateways and of times add up.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct yyjson_val;

enum {
    PAIRS_BUCKETS = 256, // of differences: 0, and then four to each power of two from 2^-40 up
    PAIRS_CLASSES = 16,  // told apart; the last are all others
    PAIRS_WORST = 8,
    PAIRS_ID_SIZE = 37,
};

// The answer of one version to one request: numbers for each row, and what it decided, if it says that.
struct pairs_answer {
    uint32_t n_rows, n_values; // of each row
    const double *values;      // (n_rows, n_values); NULL: none
    const int64_t *classes; // (n_rows); NULL: the greatest value decides, or whether one is at least a half
};

struct pairs_worst {
    double difference, stable, shadow; // the value of the row that differs most
    uint32_t row;
    char id[PAIRS_ID_SIZE]; // of the prediction that was answered
};

struct pairs {
    uint64_t n;             // requests that both answered, or at least one
    uint64_t stable_failed; // alone, as below
    uint64_t shadow_failed;
    uint64_t unlike;   // answers that cannot be compared: other numbers of rows or values
    uint64_t dropped;  // requests that were to be mirrored and were not
    uint64_t rows;     // compared
    uint64_t disagree; // of them, decided differently
    uint64_t differences[PAIRS_BUCKETS];
    uint64_t confusion[PAIRS_CLASSES][PAIRS_CLASSES]; // stable's, shadow's
    uint32_t n_worst;
    struct pairs_worst worst[PAIRS_WORST]; // the greatest difference first
};

// Both answered. id: of the prediction.
void pairs_add(struct pairs *p, const struct pairs_answer *stable, const struct pairs_answer *shadow,
               const char *id);
void pairs_merge(struct pairs *into, const struct pairs *from);
// The q-quantile of the differences, 0 <= q <= 1: the upper edge of its bucket, 19 % too high at most; 0
// without rows.
double pairs_quantile(const struct pairs *p, double q);
// The upper edge of a bucket of differences.
double pairs_bucket_edge(uint32_t bucket);

// {"n":9,"stable_failed":0,"shadow_failed":0,"unlike":0,"dropped":0,"rows":9,"disagree":1,"differences":
// [[bucket,count],…],"confusion":[[stable,shadow,count],…],"worst":[{"difference":0.5,"stable":0.2,"shadow":
// 0.7,"row":0,"id":"…"}]}
void pairs_encode(const struct pairs *p, struct buf *json);
// ERR_INVALID.
int pairs_read(struct yyjson_val *json, struct pairs *ret, struct err *e) ERR_CHECKED;
