// SPDX-License-Identifier: Apache-2.0
// Values in and out, for the JSON codecs. Numbers without an exponent take the scanner's hot loop, everything
// else one value at a time.
#include "api/ruled.h"

#include "base/limits.h"
#include "base/near.h"
#include "base/num.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void decode_init(struct decode *d, struct str body, const struct signature *sig, struct rows *rows,
                 struct arena *scratch)
{
    d->sig = sig;
    d->rows = rows;
    d->scratch = scratch;
    d->first_row = rows->n_rows;
    d->layout = DECODE_LISTS;
    d->n_warnings = 0;
    d->input_of = NULL;
    d->counts = NULL;
    json_scan_init(&d->json, body);
}

size_t decode_value_size(const struct decode *d)
{
    return d->sig->input_dtype == DTYPE_FP64 ? sizeof(double) : sizeof(float);
}

void path_before(struct err *e, const char *step)
{
    if (!e)
        return;
    char rest[ERR_PATH_MAX];
    memcpy(rest, e->path, sizeof rest);
    err_at(e, "%s%s", step, rest);
}

void path_index_before(struct err *e, uint64_t index)
{
    char step[32];
    snprintf(step, sizeof step, "[%llu]", (unsigned long long)index);
    path_before(e, step);
}

void path_key_before(struct err *e, struct str key)
{
    char step[ERR_PATH_MAX];
    bool plain = key.n > 0 && !(key.p[0] >= '0' && key.p[0] <= '9');
    for (size_t i = 0; i < key.n && plain; i++) {
        unsigned letter = (unsigned)((key.p[i] | 0x20) - 'a'), digit = (unsigned)(key.p[i] - '0');
        plain = letter < 26 || digit < 10 || key.p[i] == '_';
    }
    snprintf(step, sizeof step, plain ? ".%.*s" : "[\"%.*s\"]", STR_ARG(key));
    path_before(e, step);
}

enum { SHOWN_BYTES = 40, SHOWN_SIZE = SHOWN_BYTES + sizeof "…" };

// The value that starts here as it stands in the body, shortened, on one line.
static void show_value(const struct decode *d, char ret[SHOWN_SIZE])
{
    struct err ignored;
    struct json_scan look;
    const char *p = d->json.p;
    size_t left = (size_t)(d->json.end - p), n = left < SHOWN_BYTES ? left : SHOWN_BYTES;
    json_scan_init(&look, (struct str){p, left > n ? n + 1 : n}); // one more tells that a number ends
    bool whole = json_scan_skip(&look, &ignored) == 0 && (size_t)(look.p - p) <= n;
    if (whole)
        n = (size_t)(look.p - p);
    else
        while (n < left && n > 0 && ((unsigned char)p[n] & 0xc0) == 0x80) // not in the midst of a character
            n--;
    for (size_t i = 0; i < n; i++)
        ret[i] = (unsigned char)p[i] < ' ' ? ' ' : p[i];
    const char *end = whole ? "" : "…";
    memcpy(ret + n, end, strlen(end) + 1);
}

int decode_unexpected(struct decode *d, const char *expected, struct err *e)
{
    enum json_kind k = json_scan_kind(&d->json);
    if (k == JSON_END || k == JSON_BAD) // the scanner words it, with the place
        return json_scan_skip(&d->json, e);
    char shown[SHOWN_SIZE];
    show_value(d, shown);
    return err_set(e, ERR_WRONG_TYPE, "expected %s, got %s", expected, shown);
}

int decode_missing(struct decode *d, uint32_t feature, void *to, struct err *e)
{
    const struct feature *f = &d->sig->features[feature];
    if (f->rule)
        return ruled_missing(d, f, to, e);
    if (!f->may_be_missing)
        return err_set(e, ERR_MISSING_FEATURE,
                       "feature '" STR_FMT "' is missing, and the model has no rule for that",
                       STR_ARG(f->name));
    if (d->sig->input_dtype == DTYPE_FP64)
        *(double *)to = (double)NAN;
    else
        *(float *)to = NAN;
    return 0;
}

int decode_feature(const struct decode *d, struct str name, uint32_t *ret, struct err *e)
{
    int64_t found = signature_find(d->sig, name);
    if (found != MAP_NONE) {
        *ret = (uint32_t)found;
        return 0;
    }
    err_set(e, ERR_UNKNOWN_FEATURE, "the model has no feature '" STR_FMT "'", STR_ARG(name));
    struct str near = {0};
    if (d->sig->n_features <= LIMIT_NEAR_CANDIDATES)
        near = signature_nearest(d->sig, name);
    if (near.n)
        err_hint(e, "Did you mean '" STR_FMT "'?", STR_ARG(near));
    else if (!d->sig->named)
        err_hint(e, "The model file names no features: they are f0 to f%u.", d->sig->n_features - 1);
    return ERR_UNKNOWN_FEATURE;
}

static int unknown_key(struct str name, const struct str *known, uint32_t n, const char *what, struct err *e)
{
    err_set(e, ERR_UNKNOWN_FIELD, "the %s has no field '" STR_FMT "'", what, STR_ARG(name));
    int near = near_find(name, known, n);
    if (near >= 0)
        err_hint(e, "Did you mean '" STR_FMT "'?", STR_ARG(known[near]));
    path_key_before(e, name);
    return ERR_UNKNOWN_FIELD;
}

int decode_key(struct decode *d, const struct str *known, uint32_t n, uint32_t *seen, const char *what,
               uint32_t *ret, struct err *e)
{
    struct str name;
    uint32_t i = 0;
    while (i < n && (*seen & 1u << i || !json_scan_key_is(&d->json, known[i])))
        i++;
    if (i == n) {
        int rc = json_scan_key(&d->json, d->scratch, &name, e);
        if (rc)
            return rc;
        for (i = 0; i < n && !str_eq(name, known[i]);)
            i++;
        if (i == n)
            return unknown_key(name, known, n, what, e);
    }
    if (*seen & 1u << i) {
        err_set(e, ERR_DUPLICATE_KEY, "'" STR_FMT "' stands twice in the %s", STR_ARG(name), what);
        path_key_before(e, name);
        return ERR_DUPLICATE_KEY;
    }
    *seen |= 1u << i;
    *ret = i;
    return 0;
}

int decode_field(struct decode *d, const struct str *known, uint32_t n, uint32_t *seen, const char *what,
                 bool *first, uint32_t *ret, struct err *e)
{
    int rc = json_scan_item(&d->json, '}', first, e);
    if (rc <= 0)
        return rc;
    rc = decode_key(d, known, n, seen, what, ret, e);
    return rc ? rc : 1;
}

static const struct {
    double min, max; // of the values, both ends included
} INTEGERS[] = {
    [DTYPE_BOOL] = {0, 1},
    [DTYPE_UINT8] = {0, UINT8_MAX},
    [DTYPE_UINT16] = {0, UINT16_MAX},
    [DTYPE_UINT32] = {0, UINT32_MAX},
    [DTYPE_UINT64] = {0, 0x1p64},
    [DTYPE_INT8] = {INT8_MIN, INT8_MAX},
    [DTYPE_INT16] = {INT16_MIN, INT16_MAX},
    [DTYPE_INT32] = {INT32_MIN, INT32_MAX},
    [DTYPE_INT64] = {-0x1p63, 0x1p63},
};

static bool is_integer(enum dtype t)
{
    return t >= DTYPE_BOOL && t <= DTYPE_INT64;
}

static int does_not_fit(struct str text, const char *type, struct err *e)
{
    return err_set(e, ERR_OUT_OF_RANGE, "%.*s does not fit %s", text.n < 40 ? (int)text.n : 40, text.p, type);
}

// A whole number of 2^53 or more, from its digits: the double may have rounded it already. One rounding to
// the model's type, as a cast of the 64-bit integer gives.
static int store_large_integer(struct decode *d, struct str text, enum dtype as, void *to, struct err *e)
{
    bool negative = text.p[0] == '-';
    struct str digits = {text.p + negative, text.n - negative};
    uint64_t size, max = as == DTYPE_UINT64 ? UINT64_MAX : (uint64_t)INT64_MAX + negative;
    if (!str_to_u64(digits, max, &size)) {
        does_not_fit(text, dtype_name(as), e);
        err_hint(e, "Integers of 2^53 and more are taken without point and exponent.");
        return ERR_OUT_OF_RANGE;
    }
    if (d->sig->input_dtype == DTYPE_FP64)
        *(double *)to = negative ? -(double)size : (double)size;
    else
        *(float *)to = negative ? -(float)size : (float)size;
    return 0;
}

// Stores v, read from text, as a tensor of datatype `as` and then the model's type hold it.
static int store(struct decode *d, double v, struct str text, enum dtype as, void *to, struct err *e)
{
    bool wide = d->sig->input_dtype == DTYPE_FP64;
    if (is_integer(as)) {
        if (v != trunc(v))
            return err_set(e, ERR_WRONG_TYPE, "%.*s is no integer, but the tensor's datatype is %s",
                           text.n < 40 ? (int)text.n : 40, text.p, dtype_name(as));
        if (v < INTEGERS[as].min || v > INTEGERS[as].max)
            return does_not_fit(text, dtype_name(as), e);
        if (fabs(v) >= 0x1p53)
            return store_large_integer(d, text, as, to, e);
    }
    if (isinf(v))
        return does_not_fit(text, "a 64-bit float", e);
    if (!wide || as == DTYPE_FP32) {
        float f = (float)v;
        if (isinf(f))
            return does_not_fit(text, "a 32-bit float", e);
        v = (double)f;
    }
    if (wide)
        *(double *)to = v;
    else
        *(float *)to = (float)v;
    return 0;
}

int decode_value(struct decode *d, enum dtype as, uint32_t feature, void *to, struct err *e)
{
    enum json_kind k = json_scan_kind(&d->json);
    const char *start = d->json.p;
    double v;
    switch (k) {
    case JSON_NUMBER: {
        if (as == DTYPE_BYTES)
            return decode_unexpected(d, "a string, as the datatype BYTES says", e);
        int rc = json_scan_number(&d->json, &v, e);
        return rc ? rc : store(d, v, (struct str){start, (size_t)(d->json.p - start)}, as, to, e);
    }
    case JSON_TRUE:
    case JSON_FALSE:
        json_scan_word(&d->json, k);
        if (d->sig->features[feature].rule)
            return ruled_bool(d, &d->sig->features[feature], k == JSON_TRUE, to, e);
        return store(d, k == JSON_TRUE, (struct str){0}, as, to, e);
    case JSON_NULL:
    case JSON_NAN:
        json_scan_word(&d->json, k);
        return decode_missing(d, feature, to, e);
    case JSON_INFINITY:
        err_set(e, ERR_OUT_OF_RANGE, "Infinity is not accepted as the value of a feature");
        err_hint(e, "Send null for a missing value, or the largest number that makes sense.");
        return ERR_OUT_OF_RANGE;
    default: {
        if (k == JSON_STRING && d->sig->takes_text && (as == DTYPE_NONE || as == DTYPE_BYTES))
            return ruled_text(d, &d->sig->features[feature], to, e);
        int rc = decode_unexpected(d, "a number", e);
        if (k == JSON_STRING)
            err_hint(e, "Send numbers without quotes.");
        return rc;
    }
    }
}

// Numbers that a tensor of datatype `as` holds before the model does.
static __attribute__((noinline)) size_t read_run_as(struct decode *d, enum dtype as, void *to, uint64_t n)
{
    if (as != DTYPE_FP32 && as != DTYPE_FP64)
        return 0;
    if (d->sig->input_dtype == DTYPE_FP32)
        return json_scan_floats(&d->json, to, n);
    size_t got = json_scan_doubles(&d->json, to, n);
    for (size_t i = 0; i < got && as == DTYPE_FP32; i++)
        ((double *)to)[i] = (double)(float)((double *)to)[i];
    return got;
}

// As many plain numbers as stand here; 0 sends the caller to decode_value.
static size_t read_run(struct decode *d, enum dtype as, void *to, uint64_t n)
{
    if (as != DTYPE_NONE)
        return read_run_as(d, as, to, n);
    if (d->sig->input_dtype == DTYPE_FP32)
        return json_scan_floats(&d->json, to, n);
    return json_scan_doubles(&d->json, to, n);
}

size_t decode_run(struct decode *d, enum dtype as, void *to, size_t stride, uint64_t n)
{
    enum { CHUNK = 64 };
    double values[CHUNK];
    size_t size = decode_value_size(d), got = read_run(d, as, values, n < CHUNK ? n : CHUNK);
    for (size_t i = 0; i < got; i++)
        memcpy((char *)to + i * stride, (const char *)values + i * size, size);
    return got;
}

static int wrong_count(struct decode *d, uint64_t i, uint64_t n, const char *what, int more, struct err *e)
{
    bool first = false;
    while (more == 1) { // how many there are tells more than "too many"
        int rc = json_scan_skip(&d->json, e);
        if (rc)
            return rc;
        i++;
        more = json_scan_item(&d->json, ']', &first, e);
    }
    return more < 0 ? more
                    : err_set(e, ERR_WRONG_COUNT, "the %s has %llu values, expected %llu", what,
                              (unsigned long long)i, (unsigned long long)n);
}

int decode_array(struct decode *d, enum dtype as, uint32_t first_feature, void *to, uint64_t n,
                 const char *what, struct err *e)
{
    size_t size = decode_value_size(d);
    bool first = true;
    int rc = json_scan_enter(&d->json, e);
    if (rc)
        return rc;
    uint64_t i = 0;
    for (;;) {
        rc = json_scan_item(&d->json, ']', &first, e);
        if (rc < 0)
            break;
        if (rc == 0 || i == n)
            return rc == 0 && i == n ? 0 : wrong_count(d, i, n, what, rc, e);
        size_t got = read_run(d, as, (char *)to + i * size, n - i);
        if (got == 0) {
            uint32_t feature = (uint32_t)((first_feature + i) % d->sig->n_features);
            rc = decode_value(d, as, feature, (char *)to + i * size, e);
            if (rc)
                break;
            got = 1;
        }
        i += got;
    }
    path_index_before(e, i);
    return rc;
}

void *decode_cell(const struct decode *d, uint32_t i, uint32_t feature)
{
    size_t at = (size_t)(d->first_row + i) * d->sig->n_features + feature;
    return d->rows->data ? (char *)d->rows->data + at * decode_value_size(d) : NULL; // NULL: no rows at all
}

int decode_fill_absent(struct decode *d, const uint8_t *seen, struct err *e)
{
    uint32_t n_rows = d->rows->n_rows - d->first_row;
    const uint64_t cells_a_pause = 1 << 16;
    uint64_t cells = 0;
    for (uint32_t k = 0; k < d->sig->n_features; k++) {
        if ((cells += n_rows) > cells_a_pause && d->json.pause) {
            d->json.pause->pause(d->json.pause->ctx);
            cells = 0;
        }
        for (uint32_t i = 0; !seen[k] && i < n_rows; i++) {
            int rc = decode_missing(d, k, decode_cell(d, i, k), e);
            if (rc) {
                path_key_before(e, d->sig->features[k].name);
                return rc;
            }
        }
    }
    return 0;
}

void values_encode(const void *outputs, enum dtype dtype, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        char *p = buf_reserve(out, NUM_TEXT_MAX + 1);
        if (!p)
            return;
        char *start = p;
        if (i)
            *p++ = ',';
        double v = dtype == DTYPE_FP32   ? (double)((const float *)outputs)[i]
                   : dtype == DTYPE_FP64 ? ((const double *)outputs)[i]
                                         : 0;
        if (!isfinite(v)) {
            memcpy(p, "null", 4);
            p += 4;
        } else if (dtype == DTYPE_FP32) {
            p += num_write_float((float)v, p);
        } else if (dtype == DTYPE_FP64) {
            p += num_write_double(v, p);
        } else {
            p += num_write_i64(((const int64_t *)outputs)[i], p);
        }
        buf_advance(out, (size_t)(p - start));
    }
}
