// SPDX-License-Identifier: Apache-2.0
// The categories that XGBoost 3.1 and later keep with a model: for each feature the encoding of its column in
// the training frame, texts as Arrow has them (all bytes in a row, and where each begins) or whole numbers.
// Source: src/data/cat_container.cc.
#include "engine/trees/categories.h"
#include "engine/trees/xgboost_doc.h"

#include "base/limits.h"

#include <stdio.h>
#include <string.h>

struct reading {
    struct signature *sig;
    struct arena *a;
    struct err *e;
};

static int no_memory(struct reading *r)
{
    return err_set(r->e, ERR_NOMEM, "no memory for the categories of the model");
}

static int wrong(struct reading *r, uint32_t feature)
{
    return err_set(r->e, ERR_BAD_MODEL, "'cats': the encoding of feature %u makes no sense", feature);
}

static int ints_of(struct reading *r, struct doc list, int32_t **ret, bool *ret_fit)
{
    size_t n = doc_length(list);
    *ret = arena_calloc(r->a, n, sizeof **ret);
    *ret_fit = true;
    if (!*ret)
        return no_memory(r);
    *ret_fit = list.ops->ints(list.val, *ret, n) == n;
    return 0;
}

static int take_texts(struct reading *r, struct doc offsets, struct doc values, uint32_t feature)
{
    size_t n = doc_length(offsets), n_bytes = doc_length(values);
    int32_t *at, *bytes;
    bool fit, fit_too;
    if (n < 2)
        return n_bytes ? wrong(r, feature) : 0;
    int rc = ints_of(r, offsets, &at, &fit);
    if (!rc)
        rc = ints_of(r, values, &bytes, &fit_too);
    if (rc)
        return rc;
    if (!fit || !fit_too || at[0] != 0 || at[n - 1] < 0 || (size_t)at[n - 1] != n_bytes)
        return wrong(r, feature);
    char *text = arena_alloc(r->a, n_bytes);
    struct str *names = arena_calloc(r->a, n - 1, sizeof *names);
    if (!text || !names)
        return no_memory(r);
    for (size_t i = 0; i < n_bytes; i++) {
        if (bytes[i] < INT8_MIN || bytes[i] > UINT8_MAX)
            return wrong(r, feature);
        text[i] = (char)bytes[i];
    }
    for (size_t i = 0; i + 1 < n; i++) {
        if (at[i + 1] < at[i])
            return wrong(r, feature);
        names[i] = (struct str){text + at[i], (size_t)(at[i + 1] - at[i])};
    }
    return categories_give(&r->sig->features[feature], names, n - 1, r->a, r->e);
}

// Numbers may be sent as text by their decimal form; those that are not whole are left to their codes.
static int take_numbers(struct reading *r, struct doc values, uint32_t feature)
{
    size_t n = doc_length(values);
    int32_t *numbers;
    bool fit;
    int rc = ints_of(r, values, &numbers, &fit);
    if (rc || !fit)
        return rc;
    struct str *names = arena_calloc(r->a, n, sizeof *names);
    if (!names)
        return no_memory(r);
    for (size_t i = 0; i < n; i++) {
        char z[16];
        size_t length = (size_t)snprintf(z, sizeof z, "%d", numbers[i]);
        char *text = arena_alloc(r->a, length);
        if (!text)
            return no_memory(r);
        memcpy(text, z, length);
        names[i] = (struct str){text, length};
    }
    return categories_give(&r->sig->features[feature], names, n, r->a, r->e);
}

static int take_encoding(struct reading *r, struct doc item, uint32_t feature)
{
    struct doc offsets, values;
    if (doc_kind(item) != DOC_OBJECT)
        return wrong(r, feature);
    int rc = doc_find(item, "offsets", DOC_ARRAY, &offsets, r->e);
    if (!rc)
        rc = doc_find(item, "values", DOC_ARRAY, &values, r->e);
    if (rc || !values.val)
        return rc;
    return offsets.val ? take_texts(r, offsets, values, feature) : take_numbers(r, values, feature);
}

int xgboost_categories_read(struct doc model, struct arena *a, struct signature *sig, struct err *e)
{
    struct reading r = {sig, a, e};
    struct doc cats, list = {0};
    int rc = doc_find(model, "cats", DOC_OBJECT, &cats, e);
    if (!rc && cats.val)
        rc = doc_find(cats, "enc", DOC_ARRAY, &list, e);
    if (rc || doc_length(list) == 0)
        return rc;
    if (doc_length(list) != sig->n_features)
        return err_set(e, ERR_BAD_MODEL, "'cats' is about %zu features, the model has %u", doc_length(list),
                       sig->n_features);
    struct doc item = doc_first(list);
    for (uint32_t i = 0; !rc && i < sig->n_features; i++) {
        rc = take_encoding(&r, item, i);
        item = i + 1 < sig->n_features ? doc_next(item) : item;
    }
    categories_limit(sig);
    return rc;
}
