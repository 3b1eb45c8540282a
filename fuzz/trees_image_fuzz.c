// SPDX-License-Identifier: Apache-2.0
// Damaged images of the tree engine: whatever is changed in a compiled model, opening it either refuses or
// leaves an image on which every kernel stays within bounds and comes to an end.
// Input: which image to start from, then edits of six bytes: an offset (4), what to do (1), a value (1).
#include "engine/trees/trees.h"

#include "../tests/unit/engine/trees/random_forest.h"

#include <stdint.h>
#include <stdlib.h>

enum { N_SHAPES = 8, N_ROWS = 67, EDIT_BYTES = 6 };

static const struct random_shape SHAPES[N_SHAPES] = {
    {.family = FOREST_XGBOOST, .n_features = 5, .n_groups = 1, .n_trees = 3, .depth = 6, .cuts = 30},
    {.family = FOREST_LIGHTGBM,
     .n_features = 5,
     .n_groups = 1,
     .n_trees = 3,
     .depth = 9,
     .leaves = 31,
     .cuts = 30},
    {.family = FOREST_XGBOOST, .n_features = 40, .n_groups = 3, .n_trees = 6, .depth = 4, .cuts = 3},
    {.family = FOREST_LIGHTGBM,
     .n_features = 6,
     .n_groups = 1,
     .n_trees = 3,
     .depth = 5,
     .cuts = 9,
     .categories = 40},
    {.family = FOREST_XGBOOST,
     .n_features = 3,
     .n_groups = 1,
     .n_trees = 2,
     .depth = 9,
     .leaves = 90,
     .cuts = 300},
    {.family = FOREST_XGBOOST,
     .n_features = 4,
     .n_groups = 2,
     .n_trees = 3,
     .depth = 4,
     .cuts = 5,
     .vector = true},
    {.family = FOREST_LIGHTGBM,
     .n_features = 4,
     .n_groups = 1,
     .n_trees = 3,
     .depth = 4,
     .cuts = 5,
     .linear = true},
    {.family = FOREST_XGBOOST,
     .n_features = 6,
     .n_groups = 1,
     .n_trees = 3,
     .depth = 3,
     .cuts = 9,
     .categories = 9},
};

static struct buf images[N_SHAPES];
static char rows[N_ROWS * 40 * sizeof(double)], out[N_ROWS * 8 * sizeof(double)];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    for (int i = 0; i < N_SHAPES; i++) {
        struct arena a;
        struct forest f;
        struct err e;
        buf_init(&images[i], 1 << 20);
        if (arena_init(&a, (size_t)64 << 20, &e) != 0)
            abort();
        random_forest(&SHAPES[i], (uint64_t)i + 1, &a, &f);
        if (image_build(&f, &a, &images[i], &e) != 0)
            abort();
        arena_done(&a);
    }
    return 0;
}

static void edit(char *image, size_t n, const uint8_t *at)
{
    uint32_t offset, small[1];
    memcpy(&offset, at, sizeof offset);
    // Half of the edits go to the header, which decides most and is small.
    offset = at[4] & 1 ? offset % (uint32_t)sizeof(struct image_header) : (uint32_t)(offset % n);
    if (at[4] & 2 && offset + sizeof small <= n) {
        memcpy(small, image + offset, sizeof small);
        small[0] += (uint32_t)(int8_t)at[5];
        memcpy(image + offset, small, sizeof small);
    } else
        image[offset] = (char)at[5];
}

static void run(const void *image, size_t n, const struct random_shape *s)
{
    struct trees *m;
    struct err e;
    if (trees_open(image, n, &m, &e) != 0)
        return;
    const struct image_header *h = m->img.h;
    uint64_t row_bytes = h->n_features * trees_value_bytes(m),
             margin_bytes = h->n_groups * trees_value_bytes(m);
    uint64_t least = row_bytes > margin_bytes ? row_bytes : margin_bytes;
    uint32_t n_rows = N_ROWS * row_bytes <= sizeof rows && N_ROWS * margin_bytes <= sizeof out ? N_ROWS : 1;
    if (row_bytes <= sizeof rows && margin_bytes <= sizeof out && least) {
        random_rows(s, 1, s->n_features ? N_ROWS : 1, rows);
        if (!h->coded)
            trees_margin_by(m, NULL, rows, n_rows, out);
        for (const struct kernel *k = KERNELS; k->name; k++)
            if (kernel_usable(k, h)) {
                trees_margin_by(m, k, rows, n_rows, out);
                trees_margin_by(m, k, rows, 1, out);
            }
    }
    trees_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const struct buf *from = &images[data[0] % N_SHAPES];
    // Its own allocation of the exact size, so that a read past the end is seen.
    char *image = aligned_alloc(IMAGE_ALIGN, from->n);
    if (!image)
        return 0;
    memcpy(image, from->p, from->n);
    for (size_t at = 1; at + EDIT_BYTES <= size && at < 64 * EDIT_BYTES; at += EDIT_BYTES)
        edit(image, from->n, data + at);
    run(image, from->n, &SHAPES[data[0] % N_SHAPES]);
    free(image);
    return 0;
}
