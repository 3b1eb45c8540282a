// SPDX-License-Identifier: Apache-2.0
// Column tables and the portable coder. The vector coder is in code_avx2.c.
#include "engine/trees/code.h"

#include "base/assert.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double LIGHTGBM_ZERO = (double)1e-35f;
enum { XGBOOST_CATEGORY_END = 1 << 24 };

// Adding 0 makes -0 into 0; folding the sign makes the order of ints that of floats. Never called with NaN.
static int32_t key_of(float x)
{
    int32_t bits;
    x += 0.0f;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ (bits >> 31 & INT32_MAX);
}

static uint32_t buckets_of(const struct rank_col *c)
{
    return c->n_cuts / CODE_BUCKET + 1; // the last key of the last bucket stays CODE_KEY_NEVER
}

static uint32_t keys_of(uint32_t n_buckets)
{
    return (n_buckets + (n_buckets > 1)) * CODE_BUCKET;
}

static void pack_col(const struct rank_col *col, bool lightgbm, int32_t *keys, double *cuts)
{
    uint32_t n_buckets = buckets_of(col), n_keys = keys_of(n_buckets);
    for (uint32_t i = 0; i < n_keys; i++)
        keys[i] = CODE_KEY_NEVER;
    int32_t *sorted = keys + (n_buckets > 1 ? CODE_BUCKET : 0);
    // Passing is "value's key > table's key": for XGBoost x >= t, so one less; for LightGBM x > t.
    for (uint32_t i = 0; i < col->n_cuts; i++)
        sorted[i] = key_of((float)col->cuts[i]) - (lightgbm ? 0 : 1);
    for (uint32_t b = 0; n_buckets > 1 && b + 1 < n_buckets; b++)
        keys[b] = sorted[b * CODE_BUCKET + CODE_BUCKET - 1];
    for (uint32_t i = 0; lightgbm && i < n_buckets * CODE_BUCKET; i++)
        cuts[i] = i < col->n_cuts ? col->cuts[i] : (double)INFINITY;
}

static void pack_cols(struct image_writer *w, const struct rank *r)
{
    bool lightgbm = r->forest->family == FOREST_LIGHTGBM;
    size_t n_keys = 0, n_cuts = 0;
    struct code_col *cols = image_section(w, IMAGE_COLS, r->n_num);
    for (uint32_t i = 0; cols && i < r->n_num; i++) {
        uint32_t n_buckets = buckets_of(&r->cols[i]);
        cols[i] = (struct code_col){.feature = r->cols[i].feature,
                                    .table = (uint32_t)n_keys,
                                    .cuts = (uint32_t)n_cuts,
                                    .n_buckets = (uint16_t)n_buckets,
                                    .missing = r->cols[i].missing};
        n_keys += keys_of(n_buckets);
        n_cuts += lightgbm ? n_buckets * CODE_BUCKET : 0;
    }
    int32_t *keys = image_section(w, IMAGE_KEYS, n_keys);
    size_t keys_at = (size_t)w->h.spans[IMAGE_KEYS].offset;
    double *cuts = image_section(w, IMAGE_CUTS, n_cuts);
    if (!keys || !cuts)
        return;
    keys = (int32_t *)(void *)(w->to->p + w->start + keys_at); // the buffer may have moved
    for (uint32_t i = 0; i < r->n_num; i++) {
        pack_col(&r->cols[i], lightgbm, keys, cuts);
        keys += keys_of(buckets_of(&r->cols[i]));
        cuts += lightgbm ? buckets_of(&r->cols[i]) * CODE_BUCKET : 0;
    }
}

void code_pack(struct image_writer *w, const struct rank *r)
{
    const struct forest *f = r->forest;
    pack_cols(w, r);
    size_t n_bytes = 0;
    struct code_cat *cats = image_section(w, IMAGE_CATS, r->n_cats);
    for (uint32_t i = 0; cats && i < r->n_cats; i++) {
        const struct rank_cat *c = &r->cats[i];
        cats[i] = (struct code_cat){.feature = c->feature,
                                    .n_cats = c->n_cats,
                                    .first_col = r->n_num + c->first_set,
                                    .n_sets = c->n_sets,
                                    .rows = n_bytes};
        n_bytes += ((size_t)c->n_cats + 2) * c->n_sets;
    }
    uint8_t *rows = image_section(w, IMAGE_CAT_ROWS, n_bytes);
    for (uint32_t i = 0; rows && i < r->n_cats; i++) {
        const struct rank_cat *c = &r->cats[i];
        for (int64_t row = 0; row < (int64_t)c->n_cats + 2; row++)
            for (uint32_t s = 0; s < c->n_sets; s++)
                *rows++ = rank_set_goes_right(f, r->sets[c->first_set + s].node,
                                              row < c->n_cats ? row : c->n_cats - row - 1);
    }
    w->h.n_num_cols = r->n_num;
    w->h.n_cols = r->n_num + r->n_sets;
    w->h.code_stride = (w->h.n_cols + 64) / 64 * 64; // at least one column that stays 0
}

static int check_col(const struct image *img, const struct code_col *c, struct err *e)
{
    uint64_t n_keys = keys_of(c->n_buckets), n_cuts = (uint64_t)c->n_buckets * CODE_BUCKET;
    if (c->feature >= img->h->n_features || c->n_buckets < 1 || c->n_buckets > CODE_BUCKET ||
        c->missing > MISSING_NAN || c->table % CODE_BUCKET || c->table + n_keys > img->n[IMAGE_KEYS] ||
        (img->h->family == FOREST_LIGHTGBM && c->cuts + n_cuts > img->n[IMAGE_CUTS]))
        return err_set(e, ERR_BAD_MODEL, "image: a column lies outside its tables");
    const int32_t *keys = (const int32_t *)img->at[IMAGE_KEYS] + c->table;
    const int32_t *sorted = keys + (c->n_buckets > 1 ? CODE_BUCKET : 0);
    // No key may lead the search past the last bucket, or past the last place of a bucket.
    for (uint32_t b = 0; b < CODE_BUCKET && c->n_buckets > 1; b++)
        if (keys[b] != (b + 1u < c->n_buckets ? sorted[b * CODE_BUCKET + CODE_BUCKET - 1] : CODE_KEY_NEVER))
            return err_set(e, ERR_BAD_MODEL, "image: a column's pivots are wrong");
    for (uint64_t i = 1; i < n_cuts; i++)
        if (sorted[i] < sorted[i - 1])
            return err_set(e, ERR_BAD_MODEL, "image: a column's keys are not sorted");
    if (sorted[n_cuts - 1] != CODE_KEY_NEVER)
        return err_set(e, ERR_BAD_MODEL, "image: a column's table has no end");
    return 0;
}

static int check_cat(const struct image *img, uint32_t i, uint32_t *next_col, struct err *e)
{
    const struct code_cat *c = (const struct code_cat *)img->at[IMAGE_CATS] + i;
    uint64_t bytes = ((uint64_t)c->n_cats + 2) * c->n_sets;
    if (c->feature >= img->h->n_features || c->n_cats > INT32_MAX || c->first_col != *next_col ||
        c->n_sets > img->h->n_cols - *next_col || c->rows > img->n[IMAGE_CAT_ROWS] ||
        bytes > img->n[IMAGE_CAT_ROWS] - c->rows)
        return err_set(e, ERR_BAD_MODEL, "image: the table of category feature %u is wrong", i);
    *next_col += c->n_sets;
    return 0;
}

int code_check(const struct image *img, struct err *e)
{
    const struct image_header *h = img->h;
    uint32_t next_col = h->n_num_cols;
    if (h->n_num_cols > h->n_cols || h->n_cols > CODE_MAX_COLS || img->n[IMAGE_COLS] != h->n_num_cols ||
        h->code_stride != (h->n_cols + 64) / 64 * 64 || img->n[IMAGE_CATS] > h->n_features)
        return err_set(e, ERR_BAD_MODEL, "image: %u columns, %u of numbers", h->n_cols, h->n_num_cols);
    int rc = 0;
    for (uint32_t i = 0; !rc && i < h->n_num_cols; i++)
        rc = check_col(img, (const struct code_col *)img->at[IMAGE_COLS] + i, e);
    for (uint32_t i = 0; !rc && i < img->n[IMAGE_CATS]; i++)
        rc = check_cat(img, i, &next_col, e);
    if (!rc && next_col != h->n_cols)
        rc = err_set(e, ERR_BAD_MODEL, "image: %u columns are filled by nothing", h->n_cols - next_col);
    return rc;
}

static void *aligned_zeroed(size_t n, size_t size)
{
    size_t bytes = (n * size + 2 * IMAGE_ALIGN - 1) / IMAGE_ALIGN * IMAGE_ALIGN;
    void *p = aligned_alloc(IMAGE_ALIGN, bytes);
    if (p)
        memset(p, 0, bytes);
    return p;
}

int code_open(const struct image *img, struct coder *ret, struct err *e)
{
    size_t padded = (img->h->n_num_cols + 63u) / 32 * 32;
    *ret = (struct coder){.cols = img->at[IMAGE_COLS],
                          .keys = img->at[IMAGE_KEYS],
                          .cuts = img->at[IMAGE_CUTS],
                          .cats = img->at[IMAGE_CATS],
                          .cat_rows = img->at[IMAGE_CAT_ROWS],
                          .n_num = img->h->n_num_cols,
                          .n_cats = (uint32_t)img->n[IMAGE_CATS],
                          .stride = img->h->code_stride,
                          .lightgbm = img->h->family == FOREST_LIGHTGBM};
    // A wrong split into near and far would read the wrong table, so it is recomputed, not trusted.
    while (ret->n_near < ret->n_num && ret->cols[ret->n_near].n_buckets == 1)
        ret->n_near++;
    for (uint32_t i = 0; i < ret->n_num; i++) {
        if ((ret->cols[i].n_buckets == 1) != (i < ret->n_near))
            return err_set(e, ERR_BAD_MODEL, "image: columns are not sorted by the size of their tables");
    }
    ret->nan_missing = aligned_zeroed(padded, sizeof *ret->nan_missing);
    ret->zero_missing = aligned_zeroed(padded, sizeof *ret->zero_missing);
    ret->row_keys = aligned_zeroed(padded, sizeof *ret->row_keys);
    ret->row_values = aligned_zeroed(padded, sizeof *ret->row_values);
    ret->cat_row = aligned_zeroed(ret->n_cats, sizeof *ret->cat_row);
    ret->codes = aligned_zeroed((size_t)CODE_ROWS * 2, ret->stride);
    if (!ret->nan_missing || !ret->zero_missing || !ret->row_keys || !ret->row_values || !ret->cat_row ||
        !ret->codes) {
        code_close(ret);
        return err_set(e, ERR_NOMEM, "no memory for the codes of %d rows", CODE_ROWS);
    }
    for (uint32_t i = 0; i < ret->n_num; i++) {
        ret->nan_missing[i] = ret->cols[i].missing == MISSING_NAN ? UINT64_MAX : 0;
        ret->zero_missing[i] = ret->cols[i].missing == MISSING_ZERO ? UINT64_MAX : 0;
    }
    return 0;
}

void code_close(struct coder *c)
{
    free(c->nan_missing);
    free(c->zero_missing);
    free(c->row_keys);
    free(c->row_values);
    free(c->cat_row);
    free(c->codes);
    *c = (struct coder){0};
}

static uint32_t count_below(int32_t key, const int32_t *keys)
{
    uint32_t n = 0;
    for (int i = 0; i < CODE_BUCKET; i++)
        n += key > keys[i];
    return n;
}

static uint32_t search(const struct coder *c, const struct code_col *col, int32_t key)
{
    const int32_t *keys = c->keys + col->table;
    if (col->n_buckets == 1)
        return count_below(key, keys);
    uint32_t b = count_below(key, keys);
    return b * CODE_BUCKET + count_below(key, keys + (b + 1) * CODE_BUCKET);
}

// The row's table of a category feature: a category, n_cats "outside", n_cats + 1 "missing".
static uint32_t category_row(const struct coder *c, const struct code_cat *cat, const void *row)
{
    double x = c->lightgbm ? ((const double *)row)[cat->feature] : (double)((const float *)row)[cat->feature];
    if (isnan(x))
        return cat->n_cats + 1;
    bool outside = c->lightgbm ? !(x > -1.0 && x < (double)cat->n_cats)
                               : !(x >= 0.0 && x < (double)cat->n_cats && x < XGBOOST_CATEGORY_END);
    return outside ? cat->n_cats : (uint32_t)x;
}

void code_cats(struct coder *c, const void *row)
{
    for (uint32_t i = 0; i < c->n_cats; i++)
        c->cat_row[i] = category_row(c, &c->cats[i], row);
}

void code_cat_cols(const struct coder *c, uint8_t *to)
{
    for (uint32_t i = 0; i < c->n_cats; i++) {
        const struct code_cat *cat = &c->cats[i];
        memcpy(to + cat->first_col, c->cat_rows + cat->rows + (size_t)c->cat_row[i] * cat->n_sets,
               cat->n_sets);
    }
}

static void code_float(struct coder *c, const float *row, uint8_t *to)
{
    for (uint32_t i = 0; i < c->n_num; i++) {
        float x = row[c->cols[i].feature];
        bool missing = isnan(x);
        uint8_t code = (uint8_t)search(c, &c->cols[i], missing ? CODE_KEY_MISSING : key_of(x));
        to[c->stride + i] = code;
        to[i] = missing ? COL_MISSING : code;
    }
}

static void code_double(struct coder *c, const double *row, uint8_t *to)
{
    for (uint32_t i = 0; i < c->n_num; i++) {
        const struct code_col *col = &c->cols[i];
        double x = row[col->feature];
        bool nan = isnan(x), zero = !(fabs(x) > LIGHTGBM_ZERO);
        bool missing = (nan && col->missing == MISSING_NAN) || (zero && col->missing == MISSING_ZERO);
        x = zero ? 0.0 : x; // NaN too
        uint32_t code = search(c, col, missing ? CODE_KEY_MISSING : key_of((float)x));
        code += !missing && x > c->cuts[col->cuts + code];
        to[c->stride + i] = (uint8_t)code;
        to[i] = missing ? COL_MISSING : (uint8_t)code;
    }
}

void code_row(struct coder *c, const void *row, uint8_t *to)
{
    if (c->lightgbm)
        code_double(c, row, to);
    else
        code_float(c, row, to);
}
