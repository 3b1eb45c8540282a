// SPDX-License-Identifier: Apache-2.0
// XGBoost's UBJSON models (the default file format since 2.1): a reader of the whole of UBJSON draft 12 but
// the high-precision numbers, giving the same view as xgboost_json.c. Packed arrays of numbers stay where
// they are in the file; all else becomes one node each in the arena. Everything is big-endian.
#include "engine/trees/xgboost.h"
#include "engine/trees/xgboost_doc.h"

#include "base/limits.h"

#include <inttypes.h>
#include <string.h>

struct ubj_val {
    uint8_t marker; // of the value; 'S' for 'C' too
    uint8_t item;   // '[' with packed numbers: their marker; else 0
    uint64_t n;     // items, members, or bytes of a string
    union {
        const uint8_t *bytes;        // 'S', packed '[', and the payload of a number
        const struct ubj_val *first; // '[', '{'
    };
    const struct ubj_val *next; // sibling
    struct str key;             // in an object
};

struct reader {
    const uint8_t *at, *end, *start;
    struct arena *a;
    struct err *e;
    unsigned depth;
};

static int fault(struct reader *r, const char *what)
{
    return err_set(r->e, ERR_BAD_MODEL, "not UBJSON: %s at byte %zu", what, (size_t)(r->at - r->start));
}

static size_t left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

static size_t number_size(uint8_t marker)
{
    switch (marker) {
    case 'i':
    case 'U':
        return 1;
    case 'I':
        return 2;
    case 'l':
    case 'd':
        return 4;
    case 'L':
    case 'D':
        return 8;
    default:
        return 0;
    }
}

static uint64_t big_endian(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static int64_t integer_of(uint8_t marker, const uint8_t *p)
{
    uint64_t v = big_endian(p, number_size(marker));
    switch (marker) {
    case 'i':
        return (int8_t)v;
    case 'I':
        return (int16_t)v;
    case 'l':
        return (int32_t)v;
    default:
        return (int64_t)v; // 'U' is never negative
    }
}

static bool is_integer(uint8_t marker)
{
    return number_size(marker) && marker != 'd' && marker != 'D';
}

static float float_of(uint8_t marker, const uint8_t *p)
{
    if (marker == 'd') {
        uint32_t bits = (uint32_t)big_endian(p, 4);
        float f;
        memcpy(&f, &bits, sizeof f);
        return f;
    }
    if (marker == 'D') {
        uint64_t bits = big_endian(p, 8);
        double d;
        memcpy(&d, &bits, sizeof d);
        return (float)d;
    }
    return (float)integer_of(marker, p);
}

// A length: an integer with its marker, not negative.
static int read_length(struct reader *r, uint64_t *ret)
{
    if (left(r) < 1)
        return fault(r, "the file ends where a length belongs");
    uint8_t marker = *r->at;
    if (!is_integer(marker))
        return fault(r, "a length is not an integer");
    if (left(r) < 1 + number_size(marker))
        return fault(r, "the file ends inside a length");
    int64_t n = integer_of(marker, r->at + 1);
    if (n < 0)
        return fault(r, "a length is negative");
    r->at += 1 + number_size(marker);
    *ret = (uint64_t)n;
    return 0;
}

static int read_text(struct reader *r, struct str *ret)
{
    uint64_t n;
    int rc = read_length(r, &n);
    if (rc)
        return rc;
    if (n > left(r))
        return fault(r, "a string is longer than the file");
    *ret = (struct str){(const char *)r->at, (size_t)n};
    r->at += n;
    return 0;
}

static int read_value(struct reader *r, uint8_t marker, struct ubj_val *ret);

// The optional "$type" and "#count" of a container; *ret_counted tells whether there is a count.
static int read_header(struct reader *r, struct ubj_val *v, bool *ret_counted)
{
    *ret_counted = false;
    if (left(r) >= 2 && *r->at == '$') {
        v->item = r->at[1];
        if (v->marker != '[' || !number_size(v->item))
            return fault(r, "a typed container of something else than numbers");
        r->at += 2;
        if (left(r) < 1 || *r->at != '#')
            return fault(r, "a typed array without a count");
    }
    if (left(r) < 1 || *r->at != '#')
        return 0;
    r->at++;
    *ret_counted = true;
    return read_length(r, &v->n);
}

static int read_packed(struct reader *r, struct ubj_val *v)
{
    if (v->n > left(r) / number_size(v->item))
        return fault(r, "a typed array is longer than the file");
    v->bytes = r->at;
    r->at += v->n * number_size(v->item);
    return 0;
}

static int read_item(struct reader *r, bool in_object, struct ubj_val **ret)
{
    struct ubj_val *v = arena_calloc(r->a, 1, sizeof *v);
    if (!v)
        return err_set(r->e, ERR_NOMEM, "no memory for the model's document");
    int rc = in_object ? read_text(r, &v->key) : 0;
    if (rc)
        return rc;
    if (left(r) < 1)
        return fault(r, "the file ends where a value belongs");
    uint8_t marker = *r->at++;
    *ret = v;
    return read_value(r, marker, v);
}

static int read_container(struct reader *r, struct ubj_val *v)
{
    bool counted;
    int rc = read_header(r, v, &counted);
    if (rc)
        return rc;
    if (v->item)
        return read_packed(r, v);
    if (r->depth >= LIMIT_JSON_DEPTH)
        return fault(r, "nested too deep");
    r->depth++;
    uint8_t close = v->marker == '{' ? '}' : ']';
    const struct ubj_val **tail = &v->first;
    uint64_t n = 0;
    for (; !counted || n < v->n; n++) {
        if (!counted && left(r) >= 1 && *r->at == close) {
            r->at++;
            break;
        }
        struct ubj_val *item = NULL;
        rc = read_item(r, v->marker == '{', &item);
        if (rc)
            return rc;
        *tail = item;
        tail = &item->next;
    }
    v->n = n;
    r->depth--;
    return 0;
}

static int read_value(struct reader *r, uint8_t marker, struct ubj_val *ret)
{
    struct str s = {0};
    ret->marker = marker;
    switch (marker) {
    case 'Z':
    case 'T':
    case 'F':
        return 0;
    case '[':
    case '{':
        return read_container(r, ret);
    case 'S': {
        int rc = read_text(r, &s);
        ret->bytes = (const uint8_t *)s.p;
        ret->n = s.n;
        return rc;
    }
    case 'C':
        ret->marker = 'S';
        ret->n = 1;
        break;
    default:
        ret->n = number_size(marker);
        if (!ret->n) {
            r->at--;
            return fault(r, "an unknown type marker");
        }
    }
    if (ret->n > left(r))
        return fault(r, "the file ends inside a value");
    ret->bytes = r->at;
    r->at += ret->n;
    return 0;
}

static enum doc_kind ubj_kind(const void *val)
{
    switch (((const struct ubj_val *)val)->marker) {
    case 'Z':
        return DOC_NULL;
    case 'T':
    case 'F':
        return DOC_BOOL;
    case 'S':
        return DOC_STRING;
    case '[':
        return DOC_ARRAY;
    case '{':
        return DOC_OBJECT;
    default:
        return DOC_NUMBER;
    }
}

static size_t ubj_length(const void *val)
{
    return (size_t)((const struct ubj_val *)val)->n;
}

static const void *ubj_member(const void *obj, struct str key, bool *ret_twice)
{
    const struct ubj_val *found = NULL;
    *ret_twice = false;
    for (const struct ubj_val *v = ((const struct ubj_val *)obj)->first; v; v = v->next) {
        if (!str_eq(v->key, key))
            continue;
        *ret_twice = found != NULL;
        found = v;
    }
    return found;
}

static const void *ubj_first(const void *arr)
{
    const struct ubj_val *v = arr;
    return v->item ? NULL : v->first;
}

static const void *ubj_next(const void *item)
{
    return ((const struct ubj_val *)item)->next;
}

static struct str ubj_text(const void *string)
{
    const struct ubj_val *v = string;
    return (struct str){(const char *)v->bytes, (size_t)v->n};
}

static bool ubj_float(uint8_t marker, const uint8_t *p, float *ret)
{
    *ret = marker == 'T' ? 1.0f : 0.0f;
    if (number_size(marker))
        *ret = float_of(marker, p);
    return number_size(marker) || marker == 'T' || marker == 'F';
}

static bool ubj_int(uint8_t marker, const uint8_t *p, int32_t *ret)
{
    int64_t v = marker == 'T';
    if (is_integer(marker))
        v = integer_of(marker, p);
    *ret = (int32_t)v;
    return (is_integer(marker) || marker == 'T' || marker == 'F') && v >= INT32_MIN && v <= INT32_MAX;
}

static size_t ubj_floats(const void *arr, float *ret, size_t n)
{
    const struct ubj_val *v = arr, *item = v->first;
    size_t i = 0, size = number_size(v->item);
    if (size) {
        while (i < n && ubj_float(v->item, v->bytes + i * size, &ret[i]))
            i++;
        return i;
    }
    for (; i < n && ubj_float(item->marker, item->bytes, &ret[i]); i++)
        item = item->next;
    return i;
}

static size_t ubj_ints(const void *arr, int32_t *ret, size_t n)
{
    const struct ubj_val *v = arr, *item = v->first;
    size_t i = 0, size = number_size(v->item);
    if (size) {
        while (i < n && ubj_int(v->item, v->bytes + i * size, &ret[i]))
            i++;
        return i;
    }
    for (; i < n && ubj_int(item->marker, item->bytes, &ret[i]); i++)
        item = item->next;
    return i;
}

static bool ubj_integer(const void *number, int32_t *ret)
{
    const struct ubj_val *v = number;
    return ubj_int(v->marker, v->bytes, ret);
}

static const struct doc_ops UBJ_OPS = {
    .kind = ubj_kind,
    .length = ubj_length,
    .member = ubj_member,
    .first = ubj_first,
    .next = ubj_next,
    .text = ubj_text,
    .floats = ubj_floats,
    .ints = ubj_ints,
    .integer = ubj_integer,
};

bool xgboost_ubj_detect(const uint8_t *bytes, size_t size)
{
    size_t n = size < LIMIT_DETECT_BYTES ? size : LIMIT_DETECT_BYTES;
    // After '{' comes a length or a count, never the quote or the space of JSON.
    if (n < 2 || bytes[0] != '{' || !(is_integer(bytes[1]) || bytes[1] == '#'))
        return false;
    return memmem(bytes, n, "learner", strlen("learner")) != NULL;
}

int xgboost_ubj_parse(const uint8_t *bytes, size_t size, struct arena *a, struct forest *ret, struct err *e)
{
    struct reader r = {.at = bytes, .end = bytes + size, .start = bytes, .a = a, .e = e};
    struct ubj_val *root = NULL;
    int rc = read_item(&r, false, &root);
    if (rc)
        return rc;
    if (left(&r))
        return fault(&r, "bytes after the end of the document");
    return xgboost_model_build((struct doc){&UBJ_OPS, root}, "xgboost_ubj", a, ret, e);
}
