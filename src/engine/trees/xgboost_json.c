// SPDX-License-Identifier: Apache-2.0
// XGBoost's JSON models: yyjson reads the document, this file answers xgboost_model.c's questions about it.
// yyjson leaves numbers as text, because the library rounds them to float32 once, and a double in between
// could round twice.
#include "engine/trees/xgboost.h"
#include "engine/trees/xgboost_doc.h"

#include "base/limits.h"
#include "base/num.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

bool xgboost_float_parse(struct str s, float *ret)
{
    double d;
    size_t used;
    uint64_t bits;
    if (num_parse_loose(s.p, s.n, &d, &used)) {
        if (used != s.n)
            return false;
        *ret = (float)d;
        // Rounding twice differs from rounding once only if the double is a midpoint of two floats, or where
        // floats lose bits.
        memcpy(&bits, &d, sizeof bits);
        bool midpoint = (bits & 0x1fffffff) == 0x10000000;
        if ((!midpoint && fabs(d) >= (double)0x1p-126f) || d == 0.0)
            return true;
        char z[512];
        if (s.n >= sizeof z)
            return true;
        memcpy(z, s.p, s.n);
        z[s.n] = 0;
        *ret = strtof(z, NULL);
        return true;
    }
    bool negative = str_starts(s, STR("-"));
    struct str word = negative ? (struct str){s.p + 1, s.n - 1} : s;
    if (str_eq(word, STR("Infinity")) || str_eq(word, STR("inf")))
        *ret = negative ? -INFINITY : INFINITY;
    else if (str_eq(word, STR("NaN")) || str_eq(word, STR("nan")))
        *ret = NAN;
    else
        return false;
    return true;
}

static yyjson_val *val_of(const void *val)
{
    return (yyjson_val *)(uintptr_t)val; // yyjson's readers take no const
}

static enum doc_kind json_kind(const void *val)
{
    switch (yyjson_get_type(val_of(val))) {
    case YYJSON_TYPE_NULL:
        return DOC_NULL;
    case YYJSON_TYPE_BOOL:
        return DOC_BOOL;
    case YYJSON_TYPE_RAW:
        return DOC_NUMBER;
    case YYJSON_TYPE_STR:
        return DOC_STRING;
    case YYJSON_TYPE_ARR:
        return DOC_ARRAY;
    case YYJSON_TYPE_OBJ:
        return DOC_OBJECT;
    default:
        return DOC_ABSENT;
    }
}

static size_t json_length(const void *val)
{
    return unsafe_yyjson_get_len(val_of(val));
}

static const void *json_member(const void *obj, struct str key, bool *ret_twice)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(val_of(obj));
    const void *found = NULL;
    *ret_twice = false;
    for (yyjson_val *k; (k = yyjson_obj_iter_next(&it));) {
        if (!unsafe_yyjson_equals_strn(k, key.p, key.n))
            continue;
        *ret_twice = found != NULL;
        found = yyjson_obj_iter_get_val(k);
    }
    return found;
}

static const void *json_first(const void *arr)
{
    return yyjson_arr_get_first(val_of(arr));
}

static const void *json_next(const void *item)
{
    return unsafe_yyjson_get_next(val_of(item));
}

static struct str json_text(const void *string)
{
    yyjson_val *v = val_of(string);
    return (struct str){unsafe_yyjson_get_str(v), unsafe_yyjson_get_len(v)};
}

static bool json_float(yyjson_val *v, float *ret)
{
    if (unsafe_yyjson_is_raw(v))
        return xgboost_float_parse((struct str){unsafe_yyjson_get_raw(v), unsafe_yyjson_get_len(v)}, ret);
    *ret = yyjson_is_true(v) ? 1.0f : 0.0f;
    return unsafe_yyjson_is_bool(v);
}

static bool json_int(yyjson_val *v, int32_t *ret)
{
    if (!unsafe_yyjson_is_raw(v)) {
        *ret = yyjson_is_true(v);
        return unsafe_yyjson_is_bool(v);
    }
    struct str s = {unsafe_yyjson_get_raw(v), unsafe_yyjson_get_len(v)};
    bool negative = str_starts(s, STR("-"));
    uint64_t u;
    if (!str_to_u64(negative ? (struct str){s.p + 1, s.n - 1} : s, INT32_MAX, &u))
        return false;
    *ret = negative ? -(int32_t)u : (int32_t)u;
    return true;
}

static size_t json_floats(const void *arr, float *ret, size_t n)
{
    yyjson_val *v = yyjson_arr_get_first(val_of(arr));
    size_t i = 0;
    for (; i < n && json_float(v, &ret[i]); i++)
        v = unsafe_yyjson_get_next(v);
    return i;
}

static size_t json_ints(const void *arr, int32_t *ret, size_t n)
{
    yyjson_val *v = yyjson_arr_get_first(val_of(arr));
    size_t i = 0;
    for (; i < n && json_int(v, &ret[i]); i++)
        v = unsafe_yyjson_get_next(v);
    return i;
}

static bool json_integer(const void *number, int32_t *ret)
{
    return json_int(val_of(number), ret);
}

static const struct doc_ops JSON_OPS = {
    .kind = json_kind,
    .length = json_length,
    .member = json_member,
    .first = json_first,
    .next = json_next,
    .text = json_text,
    .floats = json_floats,
    .ints = json_ints,
    .integer = json_integer,
};

bool xgboost_json_detect(const uint8_t *bytes, size_t size)
{
    size_t n = size < LIMIT_DETECT_BYTES ? size : LIMIT_DETECT_BYTES, i = 0;
    while (i < n && (bytes[i] == ' ' || bytes[i] == '\t' || bytes[i] == '\n' || bytes[i] == '\r'))
        i++;
    if (i >= n || bytes[i] != '{')
        return false;
    return memmem(bytes + i, n - i, "\"learner\"", strlen("\"learner\"")) != NULL;
}

int xgboost_json_parse(const uint8_t *bytes, size_t size, struct arena *a, struct forest *ret, struct err *e)
{
    // Without the in-situ flag yyjson does not write to its input, though its signature could.
    yyjson_read_err why = {0};
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)bytes, size,
                                       YYJSON_READ_NUMBER_AS_RAW | YYJSON_READ_ALLOW_INF_AND_NAN, NULL, &why);
    if (!doc && why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return err_set(e, ERR_NOMEM, "no memory to read a JSON document of %zu bytes", size);
    if (!doc)
        return err_set(e, ERR_BAD_MODEL, "not JSON: %s at byte %zu", why.msg, why.pos);
    struct doc root = {&JSON_OPS, yyjson_doc_get_root(doc)};
    int rc = xgboost_model_build(root, "xgboost_json", a, ret, e);
    yyjson_doc_free(doc);
    return rc;
}
