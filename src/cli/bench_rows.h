// SPDX-License-Identifier: Apache-2.0
// Rows for `slipway bench`: made up from a model's metadata or read from a file, with the predictions that
// the server gives for each row alone. Bodies of several rows are cut from them. Private to bench.c.
#pragma once

#include "cli/client.h"
#include "cli/load.h"

struct bench_rows {
    struct str *rows; // (n) JSON arrays or objects, each one row; owned
    size_t n, cap;
    double *values;      // (n, n_values) row-major: what the server predicts for each row; owned
    size_t n_values;     // per row
    uint32_t n_features; // 0: not known (rows from a file)
};

void bench_rows_done(struct bench_rows *b);
// n rows of random numbers of several sizes, after the shapes of the inputs in metadata (Open Inference
// Protocol). The same seed gives the same rows. ERR_UNSUPPORTED_MODEL for inputs that are not numbers,
// ERR_NOMEM.
int bench_rows_make(struct bench_rows *b, yyjson_val *metadata, size_t n, struct err *e) ERR_CHECKED;
// The lines of a file, at most max of them. ERR_IO, ERR_INVALID naming the line, ERR_NOMEM.
int bench_rows_read(struct bench_rows *b, const char *path, size_t max, struct err *e) ERR_CHECKED;
// Asks the server for each row alone and keeps what it says. Errors of client_call, the server's refusal,
// ERR_WRONG_COUNT when rows have different numbers of predictions.
int bench_rows_learn(struct bench_rows *b, struct client *c, const char *path, struct err *e) ERR_CHECKED;
// Fills the set with bodies of n_rows rows each; their answers must have the values learned. ERR_NOMEM.
int bench_rows_cut(const struct bench_rows *b, uint32_t n_rows, const struct load_target *t,
                   struct load_set *s, struct err *e) ERR_CHECKED;
