// SPDX-License-Identifier: Apache-2.0
// A growing matrix (n_rows, n_features), row-major, of FP32 or FP64: where codecs write what they decode and
// what an engine computes as one batch. Several requests may append to one matrix; each undoes its own rows
// on an error.
#pragma once

#include "base/err.h"
#include "tensor/dtype.h"

#include <stdint.h>

struct rows {
    void *data;          // 64-byte aligned; float or double by dtype; NULL while cap_rows is 0
    enum dtype dtype;    // DTYPE_FP32 or DTYPE_FP64
    uint32_t n_features; // values per row, also the stride
    uint32_t n_rows, cap_rows, max_rows;
};

void rows_init(struct rows *r, enum dtype dtype, uint32_t n_features, uint32_t max_rows);
void rows_done(struct rows *r);
// Appends n rows, uninitialised, and returns the first one's address. ERR_TOO_LARGE past max_rows, ERR_NOMEM.
// Earlier pointers into the matrix become invalid. n may be 0; the address is then NULL while there is no
// data.
int rows_append(struct rows *r, uint32_t n, void **ret_first, struct err *e) ERR_CHECKED;
void rows_truncate(struct rows *r, uint32_t n_rows); // back to fewer rows, memory kept
