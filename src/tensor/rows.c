// SPDX-License-Identifier: Apache-2.0
// The growing matrix.
#include "tensor/rows.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, FIRST_CAP = 64 };

void rows_init(struct rows *r, enum dtype dtype, uint32_t n_features, uint32_t max_rows)
{
    *r = (struct rows){.dtype = dtype, .n_features = n_features, .max_rows = max_rows};
}

void rows_done(struct rows *r)
{
    free(r->data);
    r->data = NULL;
    r->n_rows = r->cap_rows = 0;
}

static int grow(struct rows *r, uint32_t need, struct err *e)
{
    uint64_t cap = r->cap_rows ? r->cap_rows : FIRST_CAP;
    while (cap < need)
        cap *= 2;
    cap = cap < r->max_rows ? cap : r->max_rows;
    size_t row_bytes = r->n_features * dtype_size(r->dtype), bytes;
    if (__builtin_mul_overflow((size_t)cap, row_bytes, &bytes) || bytes > SIZE_MAX / 2)
        return err_set(e, ERR_NOMEM, "%llu rows of %zu bytes", (unsigned long long)cap, row_bytes);
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *data = aligned_alloc(ALIGNMENT, bytes ? bytes : ALIGNMENT);
    if (!data)
        return err_set(e, ERR_NOMEM, "%zu bytes for %llu rows", bytes, (unsigned long long)cap);
    if (r->n_rows)
        memcpy(data, r->data, r->n_rows * row_bytes);
    free(r->data);
    r->data = data;
    r->cap_rows = (uint32_t)cap;
    return 0;
}

int rows_append(struct rows *r, uint32_t n, void **ret_first, struct err *e)
{
    if (n > r->max_rows - r->n_rows)
        return err_set(e, ERR_TOO_LARGE, "more rows than are taken in one request");
    if (r->n_rows + n > r->cap_rows) {
        int rc = grow(r, r->n_rows + n, e);
        if (rc)
            return rc;
    }
    size_t at = (size_t)r->n_rows * r->n_features * dtype_size(r->dtype);
    *ret_first = at ? (char *)r->data + at : r->data; // no rows for an empty matrix: there is no data yet
    r->n_rows += n;
    return 0;
}

void rows_truncate(struct rows *r, uint32_t n_rows)
{
    ASSERT(n_rows <= r->n_rows);
    r->n_rows = n_rows;
}
