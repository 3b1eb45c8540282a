// SPDX-License-Identifier: Apache-2.0
// Rows for `slipway bench`: made up from a model's metadata or read from a file, with the predictions that
// the server gives for each row alone. Bodies of several rows are cut from them. Private to bench.c.
#pragma once

#include "cli/client.h"
#include "cli/load.h"

enum { BENCH_ROW_VALUES_MAX = 1 << 20 };

// Numbers of a kind differ by rounding where a server batches; those of trees do not.
#define BENCH_TOLERANCE 1e-6

struct bench_rows {
    struct str *rows; // (n) JSON arrays or objects, each one row; owned
    size_t n, cap;
    double *values;      // (n, n_values) row-major: what the server predicts for each row; owned
    size_t n_values;     // per row
    uint32_t n_features; // values of a row; 0: not known (rows from a file)
    double tolerance;    // as load_set has it; 0: BENCH_TOLERANCE
};

void bench_rows_done(struct bench_rows *b);
// n rows of random numbers of several sizes, after the shapes of the inputs in metadata (Open Inference
// Protocol): sizes left open are 1, optional inputs are left out. The same seed gives the same rows.
// ERR_UNSUPPORTED_MODEL for inputs that are not known or take no rows, ERR_NOMEM.
int bench_rows_make(struct bench_rows *b, yyjson_val *metadata, size_t n, struct err *e) ERR_CHECKED;
// The lines of a file, at most max of them. ERR_IO, ERR_INVALID naming the line, ERR_NOMEM.
int bench_rows_read(struct bench_rows *b, const char *path, size_t max, struct err *e) ERR_CHECKED;
// Asks the server for each row alone and keeps what it says. Errors of client_call, the server's refusal,
// ERR_WRONG_COUNT when rows have different numbers of predictions.
int bench_rows_learn(struct bench_rows *b, struct client *c, const char *path, struct err *e) ERR_CHECKED;
// Fills the set with bodies of n_rows rows each; their answers must have the values learned. ERR_NOMEM.
int bench_rows_cut(const struct bench_rows *b, uint32_t n_rows, const struct load_target *t,
                   struct load_set *s, struct err *e) ERR_CHECKED;
