// SPDX-License-Identifier: Apache-2.0
// Values into memory: runs of plain numbers by the scanner's hot loop (floats) or one of their own
// (integers), everything else one at a time. Integers are read from their digits, all 64 bits of them. The
// memory is that of a little-endian machine.
#include "api/tensor_value.h"

#include "api/base64.h"
#include "api/ruled_tensor.h"
#include "base/assert.h"
#include "base/num.h"
#include "tensor/half.h"

#include <math.h>
#include <string.h>

static const struct {
    uint64_t low, high; // from -low to high
} INTEGERS[] = {
    [DTYPE_BOOL] = {0, 1},
    [DTYPE_UINT8] = {0, UINT8_MAX},
    [DTYPE_UINT16] = {0, UINT16_MAX},
    [DTYPE_UINT32] = {0, UINT32_MAX},
    [DTYPE_UINT64] = {0, UINT64_MAX},
    [DTYPE_INT8] = {(uint64_t)1 << 7, INT8_MAX},
    [DTYPE_INT16] = {(uint64_t)1 << 15, INT16_MAX},
    [DTYPE_INT32] = {(uint64_t)1 << 31, INT32_MAX},
    [DTYPE_INT64] = {(uint64_t)1 << 63, INT64_MAX},
};

static bool is_integer(enum dtype t)
{
    return t >= DTYPE_BOOL && t <= DTYPE_INT64;
}

void tensor_value_range(struct tensor_read *r)
{
    r->low = r->high = UINT64_MAX;
    enum dtype both[] = {r->spec->dtype, r->as};
    for (int i = 0; i < 2; i++) {
        if (!is_integer(both[i]))
            continue;
        r->low = r->low < INTEGERS[both[i]].low ? r->low : INTEGERS[both[i]].low;
        r->high = r->high < INTEGERS[both[i]].high ? r->high : INTEGERS[both[i]].high;
    }
}

// Where n values of `size` bytes go, or NULL when they are only measured.
static char *take(struct tensor_read *r, size_t n, size_t size)
{
    char *to = r->at;
    if (!to) {
        r->measured += n * size;
        return NULL;
    }
    ASSERT(n * size <= (size_t)(r->end - to));
    r->at += n * size;
    return to;
}

static int does_not_fit(struct str text, enum dtype t, struct err *e)
{
    return err_set(e, ERR_OUT_OF_RANGE, "%.*s does not fit %s", text.n < 40 ? (int)text.n : 40, text.p,
                   dtype_name(t));
}

// The integers to which both datatypes bind values; of floats the one that can hold less.
static enum dtype narrower(const struct tensor_read *r)
{
    enum dtype model = r->spec->dtype;
    if (is_integer(r->as) && is_integer(model))
        return INTEGERS[r->as].high < INTEGERS[model].high ? r->as : model;
    return is_integer(r->as) || r->as < model ? r->as : model;
}

// A whole number with a point or an exponent, which is exact below 2^53.
static int size_of_float(struct tensor_read *r, struct str text, double v, uint64_t *ret, struct err *e)
{
    if (isfinite(v) && v != trunc(v))
        return err_set(e, ERR_WRONG_TYPE, "%.*s is no integer, but the datatype is %s",
                       text.n < 40 ? (int)text.n : 40, text.p,
                       dtype_name(is_integer(r->as) ? r->as : r->spec->dtype));
    if (fabs(v) >= 0x1p53) {
        does_not_fit(text, narrower(r), e);
        err_hint(e, "Integers of 2^53 and more are taken without point and exponent.");
        return ERR_OUT_OF_RANGE;
    }
    *ret = (uint64_t)fabs(v);
    return 0;
}

// The integer that starts here, as its size and sign.
static int read_integer(struct tensor_read *r, uint64_t *ret_size, bool *ret_negative, struct err *e)
{
    struct json_scan *json = &r->d->json;
    double v;
    const char *start = json->p;
    int rc = json_scan_number(json, &v, e);
    if (rc)
        return rc;
    struct str text = {start, (size_t)(json->p - start)};
    *ret_negative = *start == '-';
    struct str digits = {start + *ret_negative, text.n - *ret_negative};
    bool whole = true;
    for (size_t i = 0; i < digits.n; i++)
        whole &= digits.p[i] >= '0' && digits.p[i] <= '9';
    if (whole && !str_to_u64(digits, UINT64_MAX, ret_size))
        return does_not_fit(text, narrower(r), e);
    rc = whole ? 0 : size_of_float(r, text, v, ret_size, e);
    if (rc == 0 && *ret_size > (*ret_negative ? r->low : r->high))
        return does_not_fit(text, narrower(r), e);
    return rc;
}

// A text, a boolean or nothing for an integer input with a rule.
static int ruled_integer(struct tensor_read *r, enum json_kind k, uint64_t *ret_size, bool *ret_negative,
                         struct err *e)
{
    double v;
    int rc = ruled_value(r, k, &v, e);
    if (rc)
        return rc;
    *ret_negative = v < 0;
    if (!(fabs(v) < 0x1p53) || v != trunc(v) || (uint64_t)fabs(v) > (v < 0 ? r->low : r->high))
        return err_set(e, ERR_OUT_OF_RANGE, "%.17g does not fit %s", v, dtype_name(r->spec->dtype));
    *ret_size = (uint64_t)fabs(v);
    return 0;
}

static int one_integer(struct tensor_read *r, struct err *e)
{
    uint64_t size = 0;
    bool negative = false;
    enum json_kind k = json_scan_kind(&r->d->json);
    if (k == JSON_NUMBER) {
        int rc = read_integer(r, &size, &negative, e);
        if (rc)
            return rc;
    } else if (r->spec->rule && (k == JSON_STRING || k == JSON_TRUE || k == JSON_FALSE)) {
        int rc = ruled_integer(r, k, &size, &negative, e);
        if (rc)
            return rc;
    } else if (k == JSON_TRUE || k == JSON_FALSE) {
        json_scan_word(&r->d->json, k);
        size = k == JSON_TRUE;
    } else {
        int rc = decode_unexpected(r->d, r->spec->dtype == DTYPE_BOOL ? "true or false" : "an integer", e);
        if (k == JSON_STRING)
            err_hint(e, "Send numbers without quotes.");
        return rc;
    }
    uint64_t bits = negative ? -size : size;
    char *to = take(r, 1, dtype_size(r->spec->dtype));
    if (to)
        memcpy(to, &bits, dtype_size(r->spec->dtype));
    return 0;
}

static double held_by(enum dtype as, double v)
{
    return as == DTYPE_FP16 ? half_to_double(half_from_double(v)) : as == DTYPE_FP32 ? (double)(float)v : v;
}

static void put_float(struct tensor_read *r, double v)
{
    enum dtype model = r->spec->dtype;
    char *to = take(r, 1, dtype_size(model));
    uint16_t half = half_from_double(v);
    float single = (float)v;
    if (to)
        memcpy(to,
               model == DTYPE_FP16   ? (void *)&half
               : model == DTYPE_FP32 ? (void *)&single
                                     : (void *)&v,
               dtype_size(model));
}

// An integer is rounded once, as a cast of its 64 bits gives.
static double float_of(enum dtype model, uint64_t size, bool negative)
{
    double v = model == DTYPE_FP32 ? (double)(float)size : (double)size;
    return negative ? -v : v;
}

static int one_number(struct tensor_read *r, struct err *e)
{
    const char *start = r->d->json.p;
    uint64_t size;
    double v;
    bool negative;
    int rc = is_integer(r->as) ? read_integer(r, &size, &negative, e) : json_scan_number(&r->d->json, &v, e);
    if (rc)
        return rc;
    if (is_integer(r->as))
        v = float_of(r->spec->dtype, size, negative);
    v = held_by(r->spec->dtype, held_by(r->as, v));
    if (isinf(v))
        return does_not_fit((struct str){start, (size_t)(r->d->json.p - start)},
                            is_integer(r->as) ? r->spec->dtype : narrower(r), e);
    put_float(r, v);
    return 0;
}

static int one_float(struct tensor_read *r, struct err *e)
{
    struct json_scan *json = &r->d->json;
    enum json_kind k = json_scan_kind(json);
    double v = (double)NAN;
    if (r->spec->rule &&
        (k == JSON_STRING || k == JSON_TRUE || k == JSON_FALSE || k == JSON_NULL || k == JSON_NAN)) {
        int rc = ruled_value(r, k, &v, e);
        if (rc == 0)
            put_float(r, v);
        return rc;
    }
    switch (k) {
    case JSON_NUMBER:
        return one_number(r, e);
    case JSON_TRUE:
    case JSON_FALSE:
        v = k == JSON_TRUE;
        break;
    case JSON_NULL:
    case JSON_NAN:
        break;
    case JSON_INFINITY:
        v = *json->p == '-' ? -(double)INFINITY : (double)INFINITY;
        json->p += *json->p == '-';
        break;
    default: {
        int rc = decode_unexpected(r->d, "a number", e);
        if (k == JSON_STRING)
            err_hint(e, "Send numbers without quotes.");
        return rc;
    }
    }
    json_scan_word(json, k);
    put_float(r, v);
    return 0;
}

// {"b64":"…"}, TensorFlow Serving's form of bytes that are no text.
static int read_b64(struct tensor_read *r, struct str *ret, struct err *e)
{
    static const struct str KEY[] = {STR("b64")};
    struct decode *d = r->d;
    struct str text = {0};
    bool first = true;
    uint32_t seen = 0, field;
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = json_scan_item(&d->json, '}', &first, e);
        if (rc <= 0)
            break;
        rc = decode_key(d, KEY, 1, &seen, "value", &field, e);
        if (rc)
            return rc;
        rc = json_scan_kind(&d->json) == JSON_STRING ? json_scan_string(&d->json, d->scratch, &text, e)
                                                     : decode_unexpected(d, "a string", e);
        if (rc)
            path_before(e, ".b64");
    }
    if (rc)
        return rc;
    char *to = arena_alloc(d->scratch, text.n);
    if (!to)
        return err_set(e, ERR_NOMEM, "no room for a value of %zu bytes", text.n);
    if (!seen || !base64_decode(text, to, &ret->n))
        return err_set(e, ERR_WRONG_TYPE, "the value is no base64");
    ret->p = to;
    return 0;
}

static int one_string(struct tensor_read *r, struct err *e)
{
    struct decode *d = r->d;
    struct str s = {0};
    enum json_kind k = json_scan_kind(&d->json);
    int rc;
    if (k == JSON_STRING)
        rc = json_scan_string(&d->json, r->at ? d->scratch : NULL, &s, e);
    else if (k == JSON_OBJECT && r->b64)
        rc = read_b64(r, &s, e);
    else
        rc = decode_unexpected(d, "a string", e);
    if (rc == 0 && r->spec->rule && r->at)
        rc = ruled_string(r, s, e);
    if (rc)
        return rc;
    uint32_t length = (uint32_t)s.n;
    char *to = take(r, 1, sizeof length + s.n);
    if (!to)
        return 0;
    memcpy(to, &length, sizeof length);
    if (s.n)
        memcpy(to + sizeof length, s.p, s.n);
    return 0;
}

int tensor_value_one(struct tensor_read *r, struct err *e)
{
    if (is_integer(r->spec->dtype))
        return one_integer(r, e);
    return r->spec->dtype == DTYPE_BYTES ? one_string(r, e) : one_float(r, e);
}

enum { SPACES = 64 }; // between two numbers

// Integers of up to 18 digits, each followed by ',' or ']' at once. `size` is known where this is inlined.
static inline __attribute__((always_inline)) size_t integers(struct tensor_read *r, size_t size, char *to,
                                                             uint64_t n_max)
{
    struct json_scan *json = &r->d->json;
    const char *p = json->p, *end = json->end;
    size_t n = 0;
    while (n < n_max) {
        bool negative = p < end && *p == '-';
        uint64_t v = 0;
        const char *first = p + negative;
        for (p = first; p < end && (unsigned)(*p - '0') < 10 && p - first < 18; p++)
            v = v * 10 + (unsigned)(*p - '0');
        if (p == first || p == end || (*first == '0' && p - first > 1) || v > (negative ? r->low : r->high) ||
            (*p != ',' && *p != ']'))
            break;
        if (negative)
            v = -v;
        memcpy(to + n * size, &v, size);
        json->p = p;
        n++;
        if (*p == ']' || p >= json->pause_at)
            break;
        p++;
        for (int k = 0; k < SPACES && p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'); k++)
            p++; // more is left to the caller, who pauses in it
    }
    return n;
}

static size_t integer_run(struct tensor_read *r, char *to, uint64_t n)
{
    switch (dtype_size(r->spec->dtype)) {
    case 1:
        return integers(r, 1, to, n);
    case 2:
        return integers(r, 2, to, n);
    case 4:
        return integers(r, 4, to, n);
    default:
        return integers(r, 8, to, n);
    }
}

// Floats by way of doubles: the model's FP16, or another datatype between.
static size_t float_run(struct tensor_read *r, char *to, uint64_t n)
{
    enum { CHUNK = 64 };
    double values[CHUNK];
    enum dtype model = r->spec->dtype;
    struct json_scan from = r->d->json;
    size_t got = json_scan_doubles(&r->d->json, values, n < CHUNK ? n : CHUNK);
    for (size_t i = 0; i < got; i++) {
        double v = held_by(model, held_by(r->as, values[i]));
        uint16_t half = half_from_double(v);
        float single = (float)v;
        if (isinf(v)) { // tensor_value_one words it
            r->d->json = from;
            return 0;
        }
        if (model == DTYPE_FP16)
            memcpy(to + i * sizeof half, &half, sizeof half);
        else if (model == DTYPE_FP32)
            memcpy(to + i * sizeof single, &single, sizeof single);
        else
            memcpy(to + i * sizeof v, &v, sizeof v);
    }
    return got;
}

size_t tensor_value_run(struct tensor_read *r, uint64_t n)
{
    enum dtype model = r->spec->dtype;
    size_t size = dtype_size(model), got;
    if (!r->at || size == 0 || (is_integer(r->as) && !is_integer(model)))
        return 0;
    uint64_t room = (uint64_t)(r->end - r->at) / size;
    if (n > room)
        n = room;
    if (n == 0)
        return 0;
    bool by_narrower = r->as < model;
    if (is_integer(model))
        got = integer_run(r, r->at, n);
    else if (model == DTYPE_FP32 && !by_narrower)
        got = json_scan_floats(&r->d->json, (float *)(void *)r->at, n);
    else if (model == DTYPE_FP64 && !by_narrower)
        got = json_scan_doubles(&r->d->json, (double *)(void *)r->at, n);
    else
        got = float_run(r, r->at, n);
    r->at += got * size;
    return got;
}
