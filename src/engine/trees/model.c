// SPDX-License-Identifier: Apache-2.0
// An opened image with its scratch memory and its kernels.
#include "engine/trees/trees.h"

#include <stdlib.h>
#include <string.h>

size_t trees_value_bytes(const struct trees *m)
{
    return m->img.h->family == FOREST_XGBOOST ? sizeof(float) : sizeof(double);
}

static const struct kernel *pick(const struct image_header *h, const char *chosen, bool batch)
{
    const struct kernel *k = kernel_find(chosen);
    if (k && kernel_usable(k, h))
        return k;
    for (k = KERNELS; k->name; k++)
        if (kernel_usable(k, h) && (batch ? k->batch : k->one))
            return k;
    return NULL;
}

int trees_open(const void *image, size_t size, struct trees **ret, struct err *e)
{
    struct trees *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, ERR_NOMEM, "no memory to open a model");
    int rc = image_open(image, size, &m->img, e);
    if (!rc && m->img.h->coded)
        rc = code_open(&m->img, &m->coder, e);
    if (!rc) {
        m->one = pick(m->img.h, m->img.h->one.kernel, false);
        m->batch = pick(m->img.h, m->img.h->batch.kernel, true);
        m->code = coder_best(m->img.h);
        m->margins = calloc((size_t)CODE_ROWS * m->img.h->n_groups, trees_value_bytes(m));
        m->words = calloc((m->img.h->n_trees + 7) / 8 * 8, sizeof *m->words);
        size_t plane_bytes = (2 * (size_t)m->img.h->code_stride + 1) * CODE_ROWS;
        m->planes = aligned_alloc(IMAGE_ALIGN, plane_bytes);
        if (m->planes)
            memset(m->planes, 0, plane_bytes);
        if (!m->margins || !m->words || !m->planes)
            rc = err_set(e, ERR_NOMEM, "no memory for the margins of %d rows", CODE_ROWS);
    }
    if (rc) {
        trees_close(m);
        return rc;
    }
    *ret = m;
    return 0;
}

void trees_close(struct trees *m)
{
    if (!m)
        return;
    code_close(&m->coder);
    image_close(&m->img);
    free(m->planes);
    free(m->words);
    free(m->margins);
    free(m);
}

static void fill_base(const struct trees *m, uint32_t n_rows, void *out)
{
    const double *base = m->img.at[IMAGE_BASE];
    uint32_t n = m->img.h->n_groups;
    for (size_t i = 0; i < (size_t)n_rows * n; i++)
        if (m->img.h->family == FOREST_XGBOOST)
            ((float *)out)[i] = (float)base[i % n];
        else
            ((double *)out)[i] = base[i % n];
}

void trees_margin_by(struct trees *m, const struct kernel *k, const void *rows, uint32_t n_rows, void *out)
{
    const struct image_header *h = m->img.h;
    if (!k) {
        size_t bytes = h->n_groups * trees_value_bytes(m);
        for (uint32_t i = 0; i < n_rows; i++)
            forest_reference_margin(&m->img.forest, trees_row(m, rows, i), (char *)out + i * bytes);
        return;
    }
    fill_base(m, n_rows, out);
    k->run(m, rows, n_rows, out);
    for (size_t i = 0; h->average && i < (size_t)n_rows * h->n_groups; i++)
        ((double *)out)[i] /= (double)(h->n_trees / h->n_groups);
}
