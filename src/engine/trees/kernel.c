// SPDX-License-Identifier: Apache-2.0
// The table of kernels, best guess first within each kind.
#include "engine/trees/kernel.h"

#include "engine/trees/sparse.h"

#include <string.h>

static bool any_cpu(void)
{
    return true;
}

static bool coded_f32(const struct image_header *h)
{
    return h->coded && h->family == FOREST_XGBOOST;
}

static bool coded_f64(const struct image_header *h)
{
    return h->coded && h->family == FOREST_LIGHTGBM;
}

const struct kernel KERNELS[] = {
    {"sparse_f32", coded_f32, any_cpu, sparse_run_f32, true, true},
    {"sparse_f64", coded_f64, any_cpu, sparse_run_f64, true, true},
    {0},
};

const struct kernel *kernel_find(const char *name)
{
    for (const struct kernel *k = KERNELS; k->name; k++)
        if (strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

bool kernel_usable(const struct kernel *k, const struct image_header *h)
{
    return k->fits(h) && k->cpu();
}

const void *trees_row(const struct trees *m, const void *rows, uint32_t i)
{
    return (const char *)rows + (size_t)i * m->img.h->n_features * dtype_size(m->img.forest.sig.input_dtype);
}
