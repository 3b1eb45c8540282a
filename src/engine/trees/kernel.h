// SPDX-License-Identifier: Apache-2.0
// The kernels: ways to compute the margins of rows from an image. All give the same bits; which one is
// fastest depends on the forest and the processor, so it is measured (choose.h).
#pragma once

#include "engine/trees/code.h"
#include "engine/trees/image.h"

struct trees; // an opened model

struct kernel {
    const char *name;
    bool (*fits)(const struct image_header *h); // the image has the table it needs
    bool (*cpu)(void);                          // this processor can run it
    // rows: (n_rows, n_features) of the input type; margins: (n_rows, n_groups) of the same type.
    void (*run)(struct trees *m, const void *rows, uint32_t n_rows, void *margins);
    bool one, batch; // worth trying for one row; for many
};

struct trees {
    struct image img;
    struct coder coder;
    const struct kernel *one, *batch;                            // NULL: plain
    void (*code)(struct coder *c, const void *row, uint8_t *to); // the fastest coder of this processor
    void *margins;                                               // (CODE_ROWS, n_groups) for predict
    uint8_t *planes; // (2 * stride, CODE_ROWS) codes by column, plane.h
    uint64_t *words; // (n_trees, padded) decisions on categories of the row being walked
};

// All kernels, NULL-terminated.
extern const struct kernel KERNELS[];
const struct kernel *kernel_find(const char *name);
bool kernel_usable(const struct kernel *k, const struct image_header *h);
// AVX-512 with F, BW, VL and VBMI, and all that the AVX2 kernels need.
bool cpu_avx512(void);

typedef void coder_fn(struct coder *c, const void *row, uint8_t *to);
// The fastest coder that this processor can run.
coder_fn *coder_best(const struct image_header *h);

// The model's input row i, counted from `rows`.
const void *trees_row(const struct trees *m, const void *rows, uint32_t i);
