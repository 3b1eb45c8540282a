// SPDX-License-Identifier: Apache-2.0
// Comparing what a model gave with what is expected of it.
#include "admission/golden_parts.h"

#include "admission/cells.h"
#include "base/num.h"
#include "tensor/half.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// One output being compared.
struct hold {
    const struct golden *g;
    const struct tensor *t;
    struct str name;
    size_t at;       // bytes of it that were compared
    uint32_t row;    // of the file
    char place[160]; // "probability[2]"
    char path[ERR_PATH_MAX];
    size_t n_place, n_path;
    struct golden_tolerance tolerance;
    struct golden_worst *worst;
    struct err *e;
};

static void push(struct hold *h, size_t index, bool in_place)
{
    int n = snprintf(h->path + h->n_path, sizeof h->path - h->n_path, "[%zu]", index);
    h->n_path += h->n_path + (size_t)n < sizeof h->path ? (size_t)n : 0;
    if (!in_place)
        return;
    n = snprintf(h->place + h->n_place, sizeof h->place - h->n_place, "[%zu]", index);
    h->n_place += h->n_place + (size_t)n < sizeof h->place ? (size_t)n : 0;
}

static void pop(struct hold *h, size_t n_path, size_t n_place)
{
    h->path[h->n_path = n_path] = '\0';
    h->place[h->n_place = n_place] = '\0';
}

__attribute__((format(printf, 3, 4))) static int misfit(struct hold *h, int code, const char *fmt, ...)
{
    char text[ERR_MSG_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err_set(h->e, code, "%s", text);
    err_at(h->e, "%s", h->path);
    return code;
}

static void put_json(char to[64], double v)
{
    size_t n = 4;
    if (isfinite(v))
        n = v == trunc(v) && fabs(v) < 1e15 ? num_write_i64((int64_t)v, to) : num_write_double(v, to);
    else
        memcpy(to, "null", n);
    to[n] = '\0';
}

static void put_text(char to[64], struct str text)
{
    struct buf b;
    buf_init(&b, 1 << 10);
    buf_put_json_str(&b, (struct str){text.p, text.n < 24 ? text.n : 24});
    if (b.n < 64 && !b.failed)
        memcpy(to, b.p, b.n);
    snprintf(to + (b.n < 64 ? b.n : 0), 64 - (b.n < 64 ? b.n : 0), "%s", b.n < 64 ? "" : "\"…\"");
    buf_done(&b);
}

// Whether this value is the worst so far; the caller then writes what it is.
static bool is_worst(struct hold *h, double difference, double allowed)
{
    struct golden_worst *w = h->worst;
    bool beyond = !(difference <= allowed);
    double excess = difference == 0 ? 0 : allowed > 0 ? difference / allowed : (double)INFINITY;
    if (w->is_known && !(excess > w->excess))
        return false;
    *w = (struct golden_worst){.is_known = true,
                               .is_beyond = beyond,
                               .row = h->row,
                               .difference = difference,
                               .excess = excess,
                               .tolerance = h->tolerance};
    snprintf(w->output, sizeof w->output, "%s", h->place);
    return true;
}

static void note(struct hold *h, double expected, double got, double difference)
{
    double allowed = h->tolerance.absolute + h->tolerance.relative * fabs(expected);
    if (!is_worst(h, difference, isfinite(allowed) ? allowed : 0))
        return;
    put_json(h->worst->expected, expected);
    put_json(h->worst->got, got);
}

// A number as the output's datatype would hold it.
static double narrow(double v, enum dtype t)
{
    return t == DTYPE_FP32 ? (double)(float)v : t == DTYPE_FP16 ? half_to_double(half_from_double(v)) : v;
}

// null is any value that an answer would write as null.
static int hold_float(struct hold *h, yyjson_val *want)
{
    double got = cells_float(h->t->dtype, (const char *)h->t->data + h->at),
           expected = yyjson_is_bool(want) ? yyjson_get_bool(want) : yyjson_get_num(want);
    if (yyjson_is_null(want))
        expected = isfinite(got) ? (double)NAN : got;
    else if (!yyjson_is_num(want) && !yyjson_is_bool(want))
        return misfit(h, ERR_WRONG_TYPE, "expected a number, got %s", yyjson_get_type_desc(want));
    double near = narrow(expected, h->t->dtype);
    bool same = near == got || (isnan(expected) && isnan(got));
    bool finite = isfinite(expected) && isfinite(got);
    note(h, expected, got, same ? 0 : finite ? fabs(expected - got) : (double)INFINITY);
    return 0;
}

// Sign-extended into 64 bits.
static int64_t integer_at(const struct tensor *t, size_t at)
{
    const char *p = (const char *)t->data + at;
    size_t size = dtype_size(t->dtype);
    bool is_signed = t->dtype >= DTYPE_INT8 && t->dtype <= DTYPE_INT64;
    uint64_t v = 0;
    memcpy(&v, p, size);
    unsigned shift = 64 - 8 * (unsigned)size;
    return is_signed ? (int64_t)(v << shift) >> shift : (int64_t)v;
}

static int hold_integer(struct hold *h, yyjson_val *want)
{
    int64_t got = integer_at(h->t, h->at);
    bool large = h->t->dtype == DTYPE_UINT64 && got < 0; // beyond what an int64 holds
    double value = large ? (double)(uint64_t)got : (double)got;
    double expected = yyjson_is_bool(want) ? yyjson_get_bool(want) : yyjson_get_num(want);
    if (!yyjson_is_num(want) && !yyjson_is_bool(want))
        return misfit(h, ERR_WRONG_TYPE, "expected a whole number, got %s", yyjson_get_type_desc(want));
    bool same = yyjson_is_sint(want)   ? !large && yyjson_get_sint(want) == got
                : yyjson_is_uint(want) ? (large || got >= 0) && yyjson_get_uint(want) == (uint64_t)got
                                       : expected == value;
    double difference = fabs(expected - value);
    note(h, expected, value, same ? 0 : difference > 0 ? difference : 1);
    return 0;
}

static int hold_text(struct hold *h, yyjson_val *want, size_t *ret_bytes)
{
    const char *p = (const char *)h->t->data + h->at;
    uint32_t n;
    memcpy(&n, p, sizeof n);
    struct str got = {p + sizeof n, n}, expected = {yyjson_get_str(want), yyjson_get_len(want)};
    *ret_bytes = sizeof n + n;
    if (!yyjson_is_str(want))
        return misfit(h, ERR_WRONG_TYPE, "expected a string, got %s", yyjson_get_type_desc(want));
    if (is_worst(h, str_eq(got, expected) ? 0 : (double)INFINITY, 0)) {
        put_text(h->worst->expected, expected);
        put_text(h->worst->got, got);
    }
    return 0;
}

static int hold_value(struct hold *h, yyjson_val *want)
{
    size_t bytes = dtype_size(h->t->dtype);
    int rc;
    if (h->t->dtype == DTYPE_BYTES)
        rc = hold_text(h, want, &bytes);
    else if (cells_are_floats(h->t->dtype))
        rc = hold_float(h, want);
    else
        rc = hold_integer(h, want);
    h->at += bytes;
    return rc;
}

// The dimensions from `level` on. A list of one and its value stand for each other.
static int hold_level(struct hold *h, yyjson_val *want, uint32_t level)
{
    size_t i, n, n_path = h->n_path, n_place = h->n_place;
    yyjson_val *item;
    if (level == h->t->n_dims) {
        bool wrapped = yyjson_is_arr(want) && yyjson_arr_size(want) == 1;
        return hold_value(h, wrapped ? yyjson_arr_get_first(want) : want);
    }
    size_t size = (size_t)h->t->shape[level];
    if (!yyjson_is_arr(want) && size == 1)
        return hold_level(h, want, level + 1);
    if (!yyjson_is_arr(want))
        return misfit(h, ERR_WRONG_TYPE, "expected a list of %zu, got %s", size, yyjson_get_type_desc(want));
    if (yyjson_arr_size(want) != size)
        return misfit(h, ERR_WRONG_COUNT, "the model gives %zu values here, but %zu are expected", size,
                      yyjson_arr_size(want));
    yyjson_arr_foreach(want, i, n, item)
    {
        push(h, i, true);
        int rc = hold_level(h, item, level + 1);
        pop(h, n_path, n_place);
        if (rc)
            return rc;
    }
    return 0;
}

static void put_name(struct hold *h)
{
    h->n_path += (size_t)snprintf(h->path + h->n_path, sizeof h->path - h->n_path, ".%.*s",
                                  (int)(h->name.n < 60 ? h->name.n : 60), h->name.p);
}

// One row of the file, whose results lie next in the tensor; or without rows all of it.
static int hold_row(struct hold *h, yyjson_val *want, uint32_t row, bool by_name)
{
    bool whole = yyjson_is_obj(h->g->outputs);
    h->row = row;
    h->n_path = (size_t)snprintf(h->path, sizeof h->path, "$.outputs");
    if (whole)
        put_name(h);
    if (h->g->n_rows)
        push(h, row, false);
    if (by_name && !whole)
        put_name(h);
    h->n_place = (size_t)snprintf(h->place, sizeof h->place, "%.*s", (int)(h->name.n < 100 ? h->name.n : 100),
                                  h->name.p);
    return hold_level(h, want, h->g->n_rows ? 1 : 0);
}

static int hold_output(struct hold *h, uint32_t output, uint32_t first, uint32_t n)
{
    const struct golden *g = h->g;
    yyjson_val *const *expected = g->expected + (size_t)output * (g->n_rows ? g->n_rows : 1);
    bool has_rows = h->t->n_dims > 0 && h->t->shape[0] == n;
    if (g->n_rows == 0)
        return expected[0] ? hold_row(h, expected[0], 0, false) : 0;
    if (!has_rows) {
        snprintf(h->path, sizeof h->path, "$.outputs");
        return misfit(h, ERR_WRONG_COUNT, "output '" STR_FMT "' has not a row for each of %u rows",
                      STR_ARG(h->name), n);
    }
    for (uint32_t i = 0; i < n; i++) {
        yyjson_val *want = expected[first + i];
        bool by_name = yyjson_is_obj(yyjson_is_arr(g->outputs) ? yyjson_arr_get_first(g->outputs) : NULL);
        h->at = (size_t)(cells_row(h->t, n, i).p - (const char *)h->t->data);
        int rc = want ? hold_row(h, want, first + i, by_name) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

int golden_hold(const struct golden *g, const struct subject *s, uint32_t first, uint32_t n,
                struct golden_worst *w, struct err *e)
{
    for (uint32_t k = 0; k < s->interface->n_outputs; k++) {
        const struct tensor *t = &s->results[k];
        struct hold h = {.g = g,
                         .t = t,
                         .name = s->interface->outputs[k].name,
                         .tolerance = g->has_tolerance ? g->tolerance : golden_default(t->dtype),
                         .worst = w,
                         .e = e};
        if (t->dtype == DTYPE_NONE) // an optional output that was left out
            continue;
        int rc = hold_output(&h, k, first, n);
        if (rc)
            return rc;
    }
    return 0;
}
