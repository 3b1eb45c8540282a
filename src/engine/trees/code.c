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

static float value_of_key(int32_t key)
{
    int32_t bits = key ^ (key >> 31 & INT32_MAX);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

struct slot_line {
    float scale, shift;
    bool by_key;
};

// What the vector coders compute, in the same order.
static uint32_t slot_of(const struct slot_line *l, int32_t key)
{
    float x = (l->by_key ? (float)key : value_of_key(key)) * l->scale + l->shift;
    x = x > 0.0f ? x : 0.0f;
    return (uint32_t)(x < (float)(CODE_SLOTS - 1) ? x : (float)(CODE_SLOTS - 1));
}

// A line through the keys but for `out` at each end; whether no slot has more keys than one comparison.
static bool line_fits(const int32_t *keys, uint32_t n, uint32_t out, bool by_key, struct slot_line *ret)
{
    if (n < 2 * out + 2)
        return false;
    int32_t low = keys[out], high = keys[n - 1 - out];
    double from = by_key ? low : (double)value_of_key(low), to = by_key ? high : (double)value_of_key(high);
    ret->by_key = by_key;
    ret->scale = (float)((CODE_SLOTS - 1) / (to - from));
    ret->shift = (float)(-from * (double)ret->scale);
    if (!isfinite(ret->scale) || !(ret->scale > 0.0f) || !isfinite(ret->shift))
        return false;
    for (uint32_t i = CODE_FEW; i < n; i++)
        if (slot_of(ret, keys[i]) == slot_of(ret, keys[i - CODE_FEW]))
            return false;
    return true;
}

// Keys of thresholds, ascending. The ends may lie far outside, as long as they fit into one slot each.
static bool find_line(const int32_t *keys, uint32_t n, struct slot_line *ret)
{
    for (int by_key = 0; by_key < 2; by_key++)
        for (uint32_t out = 0; out < CODE_FEW; out += CODE_FEW - 1)
            if (line_fits(keys, n, out, by_key, ret))
                return true;
    return false;
}

uint32_t code_class(const struct rank_col *col)
{
    int32_t keys[COL_CUTS];
    struct slot_line line;
    for (uint32_t i = 0; i < col->n_cuts; i++)
        keys[i] = key_of((float)col->cuts[i]);
    return col->n_cuts <= CODE_FEW ? 0 : find_line(keys, col->n_cuts, &line) ? 1 : 2;
}

static void *aligned_zeroed(size_t n, size_t size)
{
    size_t bytes = (n * size + 2 * IMAGE_ALIGN - 1) / IMAGE_ALIGN * IMAGE_ALIGN;
    void *p = aligned_alloc(IMAGE_ALIGN, bytes);
    if (p)
        memset(p, 0, bytes);
    return p;
}

static const int32_t *sorted_of(const struct coder *c, uint32_t col)
{
    return c->keys + c->cols[col].table + (c->cols[col].n_buckets > 1 ? CODE_BUCKET : 0);
}

// The thresholds' keys, which are one more than the table's for XGBoost; returns how many.
static uint32_t keys_of_cuts(const struct coder *c, uint32_t col, int32_t keys[CODE_BUCKET * CODE_BUCKET])
{
    const int32_t *sorted = sorted_of(c, col);
    uint32_t n = 0;
    for (; sorted[n] != CODE_KEY_NEVER; n++)
        keys[n] = sorted[n] + !c->lightgbm;
    return n;
}

// Fills `starts` of one near column. The eight keys compared may not leave the column's table: then they
// start earlier, with keys that are smaller anyway.
static void fill_starts(const struct coder *c, uint32_t col, const int32_t *keys, uint32_t n,
                        const struct slot_line *line, uint8_t *starts)
{
    uint32_t last = (uint32_t)c->cols[col].n_buckets * CODE_BUCKET - CODE_FEW, at = 0;
    for (uint32_t s = 0; s < CODE_SLOTS; s++) {
        while (at < n && slot_of(line, keys[at]) < s)
            at++;
        starts[s] = (uint8_t)(at < last ? at : last);
    }
}

// How each column is searched; a column out of order only makes those after it far.
static int plan_search(struct coder *c, struct err *e)
{
    int32_t keys[CODE_BUCKET * CODE_BUCKET];
    struct slot_line line;
    uint32_t n_near = 0;
    while (c->n_few < c->n_num && c->cols[c->n_few].n_buckets == 1 &&
           keys_of_cuts(c, c->n_few, keys) <= CODE_FEW)
        c->n_few++;
    while (c->n_few + n_near < c->n_num && n_near < CODE_MAX_NEAR &&
           find_line(keys, keys_of_cuts(c, c->n_few + n_near, keys), &line))
        n_near++;
    c->n_near = c->n_few + n_near;
    c->starts = aligned_zeroed(n_near + 1, CODE_SLOTS); // the first line is zero: few columns, padding
    if (!c->starts)
        return err_set(e, ERR_NOMEM, "no memory for the slots of %u columns", n_near);
    for (uint32_t i = 0; i < c->n_num; i++) {
        c->feature[i] = c->cols[i].feature;
        c->is_col[i] = UINT32_MAX;
        c->sorted[i] = (uint32_t)(sorted_of(c, i) - c->keys);
        c->nan_missing[i] = c->cols[i].missing == MISSING_NAN ? UINT64_MAX : 0;
        c->zero_missing[i] = c->cols[i].missing == MISSING_ZERO ? UINT64_MAX : 0;
        uint32_t n = keys_of_cuts(c, i, keys);
        if (i < c->n_few || i >= c->n_near || !find_line(keys, n, &line))
            continue;
        c->scale[i] = line.scale;
        c->shift[i] = line.shift;
        c->by_key[i] = line.by_key ? UINT32_MAX : 0;
        c->line[i] = (int32_t)((i - c->n_few + 1) * CODE_SLOTS);
        fill_starts(c, i, keys, n, &line, c->starts + c->line[i]);
    }
    return 0;
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
    ret->nan_missing = aligned_zeroed(padded, sizeof *ret->nan_missing);
    ret->zero_missing = aligned_zeroed(padded, sizeof *ret->zero_missing);
    ret->feature = aligned_zeroed(padded, sizeof *ret->feature);
    ret->is_col = aligned_zeroed(padded, sizeof *ret->is_col);
    ret->sorted = aligned_zeroed(padded, sizeof *ret->sorted);
    ret->scale = aligned_zeroed(padded, sizeof *ret->scale);
    ret->shift = aligned_zeroed(padded, sizeof *ret->shift);
    ret->by_key = aligned_zeroed(padded, sizeof *ret->by_key);
    ret->line = aligned_zeroed(padded, sizeof *ret->line);
    ret->slots = aligned_zeroed(padded, sizeof *ret->slots);
    ret->row_keys = aligned_zeroed(padded, sizeof *ret->row_keys);
    ret->row_values = aligned_zeroed(padded, sizeof *ret->row_values);
    ret->cat_row = aligned_zeroed(ret->n_cats, sizeof *ret->cat_row);
    ret->codes = aligned_zeroed((size_t)CODE_ROWS * 2, ret->stride);
    bool all = ret->nan_missing && ret->zero_missing && ret->feature && ret->is_col && ret->sorted &&
               ret->scale && ret->shift && ret->by_key && ret->line && ret->slots && ret->row_keys &&
               ret->row_values && ret->cat_row && ret->codes;
    int rc =
        all ? plan_search(ret, e) : err_set(e, ERR_NOMEM, "no memory for the codes of %d rows", CODE_ROWS);
    if (rc)
        code_close(ret);
    return rc;
}

void code_close(struct coder *c)
{
    free(c->feature);
    free(c->is_col);
    free(c->sorted);
    free(c->scale);
    free(c->shift);
    free(c->by_key);
    free(c->line);
    free(c->starts);
    free(c->slots);
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
