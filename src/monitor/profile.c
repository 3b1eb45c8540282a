// SPDX-License-Identifier: Apache-2.0
// Memory of a profile, and the profile as JSON.
#include "monitor/profile.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/num.h"
#include "base/siphash.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

const double PROFILE_SHARES[PROFILE_QUANTILES] = {0, .01, .05, .25, .5, .75, .95, .99, 1};
static const char *const KINDS[] = {"number", "category"};
static const char BEGIN[] = "{\"slipway_profile\":1,";
enum { COUNT_BITS_MAX = 53 };                      // counts are exact as doubles, and their sums fit
enum { LABEL_READ_MAX = 3 * PROFILE_LABEL_BYTES }; // bytes that are no UTF-8 became three each

uint32_t profile_cells(const struct profile_column *c)
{
    return c->n_bins + (c->kind == PROFILE_CATEGORY);
}

uint64_t profile_key_of_number(double v)
{
    uint64_t key;
    v += 0; // -0 is 0
    memcpy(&key, &v, sizeof key);
    return key;
}

double profile_number_of_key(uint64_t key)
{
    double v;
    memcpy(&v, &key, sizeof v);
    return v;
}

uint64_t profile_key_of_text(struct str text)
{
    return siphash((struct siphash_key){0x536c6970, 0x77617921}, text);
}

// ---- memory

void *profile_alloc(struct profile *p, size_t n, size_t size)
{
    if (p->n_blocks == p->cap_blocks) {
        size_t cap = p->cap_blocks ? 2 * p->cap_blocks : 64;
        void **grown = realloc(p->blocks, cap * sizeof *grown);
        if (!grown)
            return NULL;
        p->blocks = grown;
        p->cap_blocks = cap;
    }
    void *block = calloc(n ? n : 1, size);
    if (block)
        p->blocks[p->n_blocks++] = block;
    p->bytes += block ? n * size : 0;
    return block;
}

bool profile_text(struct profile *p, struct str text, struct str *ret)
{
    char *copy = profile_alloc(p, text.n + 1, 1);
    if (copy && text.n)
        memcpy(copy, text.p, text.n);
    *ret = (struct str){copy, copy ? text.n : 0};
    return copy != NULL;
}

struct profile *profile_new(uint32_t n_columns)
{
    struct profile *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->columns = profile_alloc(p, n_columns, sizeof *p->columns);
    p->n_columns = n_columns;
    if (p->columns)
        return p;
    profile_free(p);
    return NULL;
}

void profile_free(struct profile *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_blocks; i++)
        free(p->blocks[i]);
    free(p->blocks);
    free(p);
}

struct profile_column *profile_find(const struct profile *p, struct str name, bool is_output)
{
    for (uint32_t i = 0; i < p->n_columns; i++)
        if (p->columns[i].is_output == is_output && str_eq(p->columns[i].name, name))
            return &p->columns[i];
    return NULL;
}

// ---- out

static void put_number(struct buf *json, double v)
{
    char text[NUM_TEXT_MAX];
    buf_put(json, text, num_write_double(isfinite(v) ? v : 0, text));
}

static void put_numbers(struct buf *json, const char *name, const double *v, size_t n)
{
    buf_printf(json, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_putc(json, ',');
        put_number(json, v[i]);
    }
    buf_putc(json, ']');
}

static void put_counts(struct buf *json, const uint64_t *counts, size_t n)
{
    buf_puts(json, ",\"counts\":[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_putc(json, ',');
        buf_put_u64(json, counts[i]);
    }
    buf_putc(json, ']');
}

static void put_values(struct buf *json, const struct profile_column *c)
{
    buf_printf(json, ",\"complete\":%s,\"values\":[", c->is_complete ? "true" : "false");
    for (uint32_t i = 0; i < c->n_bins; i++) {
        if (i)
            buf_putc(json, ',');
        if (c->labels[i].n)
            buf_put_json_str(json, c->labels[i]);
        else
            put_number(json, profile_number_of_key(c->keys[i]));
    }
    // A text that was cut is known by its key only.
    buf_puts(json, "],\"keys\":[");
    for (uint32_t i = 0; i < c->n_bins; i++)
        buf_printf(json, i ? ",%" PRIu64 : "%" PRIu64, c->labels[i].n ? c->keys[i] : 0);
    buf_putc(json, ']');
}

static void put_column(struct buf *json, const struct profile_column *c)
{
    buf_puts(json, "\n{\"name\":");
    buf_put_json_str(json, c->name);
    buf_printf(json,
               ",\"role\":\"%s\",\"kind\":\"%s\",\"n\":%" PRIu64 ",\"missing\":%" PRIu64
               ",\"distinct\":%" PRIu64 ",\"whole\":%s",
               c->is_output ? "output" : "input", KINDS[c->kind], c->n, c->n_missing, c->n_distinct,
               c->is_whole ? "true" : "false");
    put_numbers(json, "range", (const double[]){c->min, c->max}, 2);
    put_numbers(json, "moments", (const double[]){c->mean, c->deviation, c->spread}, 3);
    put_numbers(json, "quantiles", c->quantiles, PROFILE_QUANTILES);
    if (c->kind == PROFILE_NUMBER)
        put_numbers(json, "edges", c->edges, c->n_bins + 1);
    else
        put_values(json, c);
    put_counts(json, c->counts, profile_cells(c));
    buf_putc(json, '}');
}

bool profile_is_one(struct str bytes)
{
    return str_starts(bytes, STR(BEGIN));
}

void profile_encode(const struct profile *p, struct buf *json)
{
    buf_puts(json, BEGIN);
    buf_puts(json, "\"source\":");
    buf_put_json_str(json, p->source);
    buf_printf(json, ",\"rows\":%" PRIu64 ",\"columns\":[", p->n_rows);
    for (uint32_t i = 0; i < p->n_columns; i++) {
        if (i)
            buf_putc(json, ',');
        put_column(json, &p->columns[i]);
    }
    buf_puts(json, "]}\n");
}

// ---- in

struct reading {
    struct profile *p;
    struct profile_column *c;
    yyjson_val *object;
    uint32_t i; // of the column
    struct err *e;
};

static int wrong(const struct reading *r, const char *field, const char *what)
{
    err_set(r->e, ERR_INVALID, "the profile is not sound: %s", what);
    err_at(r->e, "$.columns[%u].%s", r->i, field);
    return ERR_INVALID;
}

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for a profile");
}

static int read_count(yyjson_val *v, uint64_t *ret)
{
    if (!yyjson_is_uint(v) || yyjson_get_uint(v) >> COUNT_BITS_MAX)
        return ERR_INVALID;
    *ret = yyjson_get_uint(v);
    return 0;
}

// An array of exactly n finite numbers.
static int read_numbers(const struct reading *r, const char *field, double *ret, size_t n)
{
    yyjson_val *a = yyjson_obj_get(r->object, field), *v;
    size_t i, size;
    if (!yyjson_is_arr(a) || yyjson_arr_size(a) != n)
        return wrong(r, field, "another number of values than there should be");
    yyjson_arr_foreach(a, i, size, v)
    {
        ret[i] = yyjson_get_num(v);
        if (!yyjson_is_num(v) || !isfinite(ret[i]))
            return wrong(r, field, "not a number");
    }
    return 0;
}

static int read_edges(struct reading *r)
{
    struct profile_column *c = r->c;
    size_t n = yyjson_arr_size(yyjson_obj_get(r->object, "edges"));
    if (n < 2 || n > PROFILE_BINS_MAX + 1)
        return wrong(r, "edges", "as many bins as there cannot be");
    c->n_bins = (uint32_t)n - 1;
    c->edges = profile_alloc(r->p, n, sizeof *c->edges);
    if (!c->edges)
        return no_memory(r->e);
    int rc = read_numbers(r, "edges", c->edges, n);
    for (size_t i = 1; !rc && i < n; i++)
        if (c->edges[i] < c->edges[i - 1] || (i + 1 < n && c->edges[i] == c->edges[i - 1]))
            rc = wrong(r, "edges", "they do not ascend");
    return rc;
}

static int read_value(struct reading *r, uint32_t i, yyjson_val *value, yyjson_val *key)
{
    struct profile_column *c = r->c;
    if (yyjson_is_num(value) && isfinite(yyjson_get_num(value))) {
        c->keys[i] = profile_key_of_number(yyjson_get_num(value));
        return 0;
    }
    struct str text = {yyjson_get_str(value), yyjson_get_len(value)};
    if (!yyjson_is_str(value) || text.n == 0 || text.n > LABEL_READ_MAX || !yyjson_is_uint(key))
        return wrong(r, "values", "neither a number nor a text with its key");
    c->keys[i] = yyjson_get_uint(key);
    return profile_text(r->p, text, &c->labels[i]) ? 0 : no_memory(r->e);
}

static int read_values(struct reading *r)
{
    struct profile_column *c = r->c;
    yyjson_val *values = yyjson_obj_get(r->object, "values"), *keys = yyjson_obj_get(r->object, "keys"), *v;
    size_t n = yyjson_arr_size(values), i, size;
    int rc = 0;
    if (!yyjson_is_arr(values) || n > PROFILE_VALUES || yyjson_arr_size(keys) != n)
        return wrong(r, "values", "as many as there cannot be");
    c->n_bins = (uint32_t)n;
    c->is_complete = yyjson_is_true(yyjson_obj_get(r->object, "complete"));
    c->keys = profile_alloc(r->p, n, sizeof *c->keys);
    c->labels = profile_alloc(r->p, n, sizeof *c->labels);
    if (!c->keys || !c->labels)
        return no_memory(r->e);
    yyjson_arr_foreach(values, i, size, v)
    {
        rc = rc ? rc : read_value(r, (uint32_t)i, v, yyjson_arr_get(keys, i));
        for (size_t k = 0; !rc && k < i; k++)
            if (c->keys[k] == c->keys[i])
                rc = wrong(r, "values", "a value is there twice");
    }
    return rc;
}

static int read_counts(struct reading *r)
{
    struct profile_column *c = r->c;
    yyjson_val *a = yyjson_obj_get(r->object, "counts"), *v;
    size_t i, size;
    uint64_t sum = 0;
    if (!yyjson_is_arr(a) || yyjson_arr_size(a) != profile_cells(c))
        return wrong(r, "counts", "another number of them than of bins");
    c->counts = profile_alloc(r->p, profile_cells(c), sizeof *c->counts);
    if (!c->counts)
        return no_memory(r->e);
    yyjson_arr_foreach(a, i, size, v)
    {
        if (read_count(v, &c->counts[i]))
            return wrong(r, "counts", "not a count");
        sum += c->counts[i];
    }
    return sum == c->n ? 0 : wrong(r, "counts", "they do not sum to n");
}

static int read_name(struct reading *r)
{
    yyjson_val *name = yyjson_obj_get(r->object, "name"), *role = yyjson_obj_get(r->object, "role");
    struct str text = {yyjson_get_str(name), yyjson_get_len(name)};
    if (!yyjson_is_str(name) || text.n == 0 || text.n > LIMIT_TENSOR_NAME_BYTES)
        return wrong(r, "name", "no name");
    r->c->is_output = yyjson_equals_str(role, "output");
    if (!r->c->is_output && !yyjson_equals_str(role, "input"))
        return wrong(r, "role", "neither input nor output");
    return profile_text(r->p, text, &r->c->name) ? 0 : no_memory(r->e);
}

static int read_moments(struct reading *r)
{
    double range[2] = {0}, moments[3] = {0};
    int rc = read_numbers(r, "range", range, 2);
    if (!rc)
        rc = read_numbers(r, "moments", moments, 3);
    if (!rc)
        rc = read_numbers(r, "quantiles", r->c->quantiles, PROFILE_QUANTILES);
    if (!rc && (range[0] > range[1] || !(moments[1] >= 0)))
        rc = wrong(r, "range", "it is empty");
    if (!rc && !(moments[2] > 0))
        rc = wrong(r, "moments", "the spread is not above 0");
    r->c->min = range[0];
    r->c->max = range[1];
    r->c->mean = moments[0];
    r->c->deviation = moments[1];
    r->c->spread = moments[2];
    return rc;
}

static int read_column(struct reading *r)
{
    struct profile_column *c = r->c;
    yyjson_val *kind = yyjson_obj_get(r->object, "kind");
    bool is_number = yyjson_equals_str(kind, KINDS[PROFILE_NUMBER]);
    if (!is_number && !yyjson_equals_str(kind, KINDS[PROFILE_CATEGORY]))
        return wrong(r, "kind", "neither number nor category");
    c->kind = is_number ? PROFILE_NUMBER : PROFILE_CATEGORY;
    c->is_whole = yyjson_is_true(yyjson_obj_get(r->object, "whole"));
    if (read_count(yyjson_obj_get(r->object, "n"), &c->n) ||
        read_count(yyjson_obj_get(r->object, "missing"), &c->n_missing) ||
        read_count(yyjson_obj_get(r->object, "distinct"), &c->n_distinct))
        return wrong(r, "n", "not a count");
    int rc = read_name(r);
    if (!rc)
        rc = read_moments(r);
    if (!rc)
        rc = is_number ? read_edges(r) : read_values(r);
    return rc ? rc : read_counts(r);
}

static int read_columns(struct profile *p, yyjson_val *columns, struct err *e)
{
    int rc = 0;
    for (uint32_t i = 0; !rc && i < p->n_columns; i++) {
        struct reading r = {p, &p->columns[i], yyjson_arr_get(columns, i), i, e};
        rc = read_column(&r);
        if (!rc && i && p->columns[i - 1].is_output && !p->columns[i].is_output)
            rc = wrong(&r, "role", "an input behind an output");
        if (!rc && profile_find(p, p->columns[i].name, p->columns[i].is_output) != &p->columns[i])
            rc = wrong(&r, "name", "a column is there twice");
    }
    return rc;
}

static int read_profile(yyjson_val *root, struct profile **ret, struct err *e)
{
    yyjson_val *columns = yyjson_obj_get(root, "columns"), *source = yyjson_obj_get(root, "source");
    uint64_t rows;
    if (yyjson_get_uint(yyjson_obj_get(root, "slipway_profile")) != 1)
        return err_set(e, ERR_INVALID, "not a profile that this version reads");
    if (!yyjson_is_arr(columns) || !yyjson_is_str(source) || read_count(yyjson_obj_get(root, "rows"), &rows))
        return err_set(e, ERR_INVALID, "the profile has no source, rows or columns");
    if (yyjson_arr_size(columns) > LIMIT_PROFILE_COLUMNS)
        return err_set(e, ERR_TOO_LARGE, "the profile has more than %d columns", LIMIT_PROFILE_COLUMNS);
    struct profile *p = *ret = profile_new((uint32_t)yyjson_arr_size(columns));
    if (!p || !profile_text(p, (struct str){yyjson_get_str(source), yyjson_get_len(source)}, &p->source))
        return no_memory(e);
    p->n_rows = rows;
    return read_columns(p, columns, e);
}

int profile_decode(struct str json, struct profile **ret, struct err *e)
{
    *ret = NULL;
    if (json.n > LIMIT_PROFILE_BYTES)
        return err_set(e, ERR_TOO_LARGE, "a profile has at most %d bytes", LIMIT_PROFILE_BYTES);
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    int rc = doc ? read_profile(yyjson_doc_get_root(doc), ret, e)
                 : err_set(e, ERR_INVALID, "the profile is no JSON, or there is no memory for it");
    yyjson_doc_free(doc);
    if (rc) {
        profile_free(*ret);
        *ret = NULL;
    }
    return rc;
}
