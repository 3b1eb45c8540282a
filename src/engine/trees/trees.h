// SPDX-License-Identifier: Apache-2.0
// Inside of the tree engine, for choose.c, tests and benchmarks: opening an image with a kernel of one's
// choice.
#pragma once

#include "engine/trees/kernel.h"

// As engine.open; the kernels are the image's own choice where this processor has them, else the first
// usable.
int trees_open(const void *image, size_t size, struct trees **ret, struct err *e) ERR_CHECKED;
void trees_close(struct trees *m);
size_t trees_value_bytes(const struct trees *m); // of an input value and of a margin
// Margins with a given kernel; k NULL walks the plain forest.
void trees_margin_by(struct trees *m, const struct kernel *k, const void *rows, uint32_t n_rows, void *out);

// One made-up row of the input type, near the model's thresholds. *state is any number but 0 and moves on.
void trees_make_row(const struct trees *m, void *row, uint64_t *state);

// Times the usable kernels on made-up rows and writes the fastest into the image's header: it is what
// trees_open will use. ERR_NOMEM, ERR_BAD_MODEL.
int trees_choose(struct buf *image, size_t start, struct err *e) ERR_CHECKED;
