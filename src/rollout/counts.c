// SPDX-License-Identifier: Apache-2.0
// A short sorted array: a rollout has as many weights as steps.
#include "rollout/counts.h"

#include <string.h>
#include <yyjson.h>

static struct counts_row *nearest(struct counts *c, uint32_t at, uint32_t weight)
{
    if (at == c->n_rows)
        return &c->rows[at - 1];
    if (at == 0)
        return &c->rows[0];
    return c->rows[at].weight - weight < weight - c->rows[at - 1].weight ? &c->rows[at] : &c->rows[at - 1];
}

static struct counts_row *row_for(struct counts *c, uint32_t weight)
{
    uint32_t at = 0;
    while (at < c->n_rows && c->rows[at].weight < weight)
        at++;
    if (at < c->n_rows && c->rows[at].weight == weight)
        return &c->rows[at];
    if (c->n_rows == COUNTS_WEIGHTS)
        return nearest(c, at, weight);
    memmove(&c->rows[at + 1], &c->rows[at], (c->n_rows - at) * sizeof c->rows[0]);
    c->rows[at] = (struct counts_row){.weight = weight};
    c->n_rows++;
    return &c->rows[at];
}

void counts_add(struct counts *c, uint32_t weight, uint64_t canary, uint64_t stable)
{
    if (weight == 0 || weight >= WEIGHT_ONE || (canary == 0 && stable == 0))
        return;
    struct counts_row *row = row_for(c, weight);
    row->n[ARM_CANARY] += canary;
    row->n[ARM_STABLE] += stable;
}

void counts_merge(struct counts *into, const struct counts *from)
{
    for (uint32_t i = 0; i < from->n_rows; i++)
        counts_add(into, from->rows[i].weight, from->rows[i].n[ARM_CANARY], from->rows[i].n[ARM_STABLE]);
}

uint64_t counts_of(const struct counts *c, enum arm arm)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < c->n_rows; i++)
        sum += c->rows[i].n[arm];
    return sum;
}

void counts_encode(const struct counts *c, struct buf *json)
{
    buf_putc(json, '[');
    for (uint32_t i = 0; i < c->n_rows; i++) {
        const struct counts_row *row = &c->rows[i];
        buf_printf(json, "%s[%u,%llu,%llu]", i ? "," : "", row->weight,
                   (unsigned long long)row->n[ARM_CANARY], (unsigned long long)row->n[ARM_STABLE]);
    }
    buf_putc(json, ']');
}

static int read_row(yyjson_val *json, struct counts_row *ret, struct err *e)
{
    uint64_t n[3];
    if (!yyjson_is_arr(json) || yyjson_arr_size(json) != 3)
        return err_set(e, ERR_INVALID, "expected [weight, canary, stable]");
    for (size_t i = 0; i < 3; i++) {
        yyjson_val *v = yyjson_arr_get(json, i);
        n[i] = yyjson_get_uint(v);
        // Sums of rows must not wrap either.
        if (!yyjson_is_uint(v) || n[i] > UINT64_MAX / COUNTS_WEIGHTS / 2)
            return err_set(e, ERR_INVALID, "expected whole numbers below 2^56");
    }
    if (n[0] == 0 || n[0] >= WEIGHT_ONE || (n[1] == 0 && n[2] == 0))
        return err_set(e, ERR_INVALID, "expected a weight of 1 to %d millionths, and not only zeros",
                       WEIGHT_ONE - 1);
    *ret = (struct counts_row){(uint32_t)n[0], {n[1], n[2]}};
    return 0;
}

int counts_read(struct yyjson_val *json, struct counts *ret, struct err *e)
{
    size_t i, max;
    yyjson_val *row;
    ret->n_rows = 0;
    if (!yyjson_is_arr(json) || yyjson_arr_size(json) > COUNTS_WEIGHTS)
        return err_set(e, ERR_INVALID, "expected an array of at most %d counts by weight", COUNTS_WEIGHTS);
    yyjson_arr_foreach(json, i, max, row)
    {
        int rc = read_row(row, &ret->rows[i], e);
        if (rc == 0 && i > 0 && ret->rows[i].weight <= ret->rows[i - 1].weight)
            rc = err_set(e, ERR_INVALID, "the weights do not ascend");
        if (rc)
            return rc;
        ret->n_rows++;
    }
    return 0;
}

int counts_decode(struct str json, struct counts *ret, struct err *e)
{
    yyjson_read_err why;
    // Without YYJSON_READ_INSITU the bytes are only read.
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)json.p, json.n, 0, NULL, &why);
    if (!doc && why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return err_set(e, ERR_NOMEM, "no memory to read counts of %zu bytes", json.n);
    if (!doc)
        return err_set(e, ERR_BAD_JSON, "not JSON at byte %zu: %s", why.pos, why.msg);
    int rc = counts_read(yyjson_doc_get_root(doc), ret, e);
    yyjson_doc_free(doc);
    return rc;
}
