// SPDX-License-Identifier: Apache-2.0
// A row takes one value of each column that is used; row groups follow each other.
#include "predlog/parquet_read.h"

#include "base/assert.h"
#include "base/limits.h"
#include "predlog/parquet_parts.h"

#include <stdlib.h>
#include <string.h>

int parquet_file_open(struct str bytes, struct parquet_file **ret, struct err *e)
{
    struct parquet_file *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(e, ERR_NOMEM, "no memory for a Parquet file");
    f->bytes = bytes;
    f->zstd = ZSTD_createDCtx();
    // Each takes more bytes of the footer than half of those.
    buf_init(&f->chunks, 8 * (size_t)LIMIT_PARQUET_FOOTER_BYTES);
    buf_init(&f->groups, 8 * (size_t)LIMIT_PARQUET_FOOTER_BYTES);
    int rc = f->zstd ? parquet_footer_read(f, e) : err_set(e, ERR_NOMEM, "no memory for a Parquet file");
    if (rc) {
        parquet_file_close(f);
        return rc;
    }
    *ret = f;
    return 0;
}

void parquet_file_close(struct parquet_file *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; i < f->n_columns; i++) {
        buf_done(&f->columns[i].page);
        buf_done(&f->columns[i].dictionary);
        free(f->columns[i].texts);
    }
    free(f->columns);
    buf_done(&f->chunks);
    buf_done(&f->groups);
    ZSTD_freeDCtx(f->zstd);
    free(f);
}

uint32_t parquet_file_width(const struct parquet_file *f)
{
    return f->n_columns;
}

struct str parquet_file_name(const struct parquet_file *f, uint32_t column)
{
    ASSERT(column < f->n_columns);
    return f->columns[column].name;
}

int parquet_file_use(struct parquet_file *f, uint32_t column, struct err *e)
{
    ASSERT(column < f->n_columns && f->n_rows == 0);
    struct parquet_column_in *c = &f->columns[column];
    struct str shown = {c->name.p, c->name.n < 80 ? c->name.n : 80};
    c->is_used = true;
    if (!c->refused)
        return 0;
    err_set(e, ERR_INVALID, "column '" STR_FMT "' of the Parquet file is %s, which is not read",
            STR_ARG(shown), c->refused);
    err_hint(e, "Make it numbers, booleans or texts.");
    return ERR_INVALID;
}

// The next row group that has rows: 1; 0 at the end.
static int next_group(struct parquet_file *f, struct err *e)
{
    const struct parquet_chunk *chunks = (const struct parquet_chunk *)(const void *)f->chunks.p;
    for (; f->next_group < f->n_groups && f->rows_left == 0; f->next_group++) {
        int64_t rows;
        memcpy(&rows, f->groups.p + f->next_group * sizeof rows, sizeof rows);
        f->rows_left = (uint64_t)rows;
        for (uint32_t i = 0; rows && i < f->n_columns; i++) {
            struct parquet_column_in *c = &f->columns[i];
            if (!c->is_used)
                continue;
            const struct parquet_chunk *k = &chunks[(size_t)f->next_group * f->n_leaves + c->leaf];
            if (k->n_values != rows)
                return parquet_bad(e, "a column has not as many values as there are rows");
            parquet_chunk_begin(f, c, k);
        }
    }
    return f->rows_left > 0;
}

int parquet_file_next(struct parquet_file *f, struct parquet_cell *cells, struct err *e)
{
    int rc = f->rows_left ? 1 : next_group(f, e);
    if (rc <= 0)
        return rc;
    f->rows_left--;
    f->n_rows++;
    for (uint32_t i = 0; i < f->n_columns; i++) {
        cells[i].kind = PARQUET_CELL_NULL;
        rc = f->columns[i].is_used ? parquet_value_next(f, &f->columns[i], &cells[i], e) : 0;
        if (rc)
            return rc;
    }
    return 1;
}
