// SPDX-License-Identifier: Apache-2.0
// A small model signature and shortcuts to decode a body with it, for the tests of the JSON codecs.
#pragma once

#include "api/predict.h"
#include "wire/json_scan.h"

#include "unit.h"

#include <math.h>
#include <string.h>

struct codec {
    struct json_pause pause;
    uint32_t n_pauses;
    struct feature features[3];
    struct signature sig;
    struct rows rows;
    struct arena arena;
    struct predict_request req;
    struct err e;
};

static inline void codec_paused(void *ctx)
{
    ((struct codec *)ctx)->n_pauses++;
}

// Three features: age (may be missing), income (may be missing), code (must not be missing).
static inline void codec_init(struct codec *c, enum dtype dtype)
{
    *c = (struct codec){.pause = {codec_paused, c, 3},
                        .features = {{.name = STR("age"), .may_be_missing = true},
                                     {.name = STR("income"), .may_be_missing = true},
                                     {.name = STR("code"), .categorical = true}}};
    c->sig = (struct signature){.n_features = 3,
                                .n_outputs = 1,
                                .input_dtype = dtype,
                                .output_dtype = dtype,
                                .named = true,
                                .platform = "test_json",
                                .output_name = "prediction",
                                .features = c->features};
    ck_assert_int_eq(signature_index(&c->sig, &c->e), 0);
    rows_init(&c->rows, dtype, 3, 1000);
    ck_assert_int_eq(arena_init(&c->arena, 1 << 20, &c->e), 0);
}

static inline void codec_done(struct codec *c)
{
    rows_done(&c->rows);
    arena_done(&c->arena);
    map_done(&c->sig.by_name);
}

static inline int codec_decode(struct codec *c, predict_decode_fn *decode, const char *body)
{
    size_t n = strlen(body);
    char *exact = malloc(n ? n : 1); // so that AddressSanitizer sees a byte too many
    if (n)
        memcpy(exact, body, n);
    int rc = decode((struct str){exact, n}, &c->pause, &c->sig, &c->rows, &c->arena, &c->req, &c->e);
    free(exact);
    return rc;
}

// A body of `front`, then n times `item` with commas between them, then `back`: decoding it pauses about
// every 1000 bytes, wherever they are.
static inline void codec_pauses(predict_decode_fn *decode, int want, uint32_t readings, const char *front,
                                const char *item, int n, const char *back)
{
    struct codec c;
    struct buf body;
    codec_init(&c, DTYPE_FP32);
    c.rows.max_rows = 100000;
    c.pause.every_bytes = 1000;
    buf_init(&body, 1 << 24);
    buf_puts(&body, front);
    for (int i = 0; i < n; i++)
        buf_printf(&body, i && *item != ' ' ? ",%s" : "%s", item);
    buf_puts(&body, back);
    ck_assert_int_eq(decode(buf_str(&body), &c.pause, &c.sig, &c.rows, &c.arena, &c.req, &c.e), want);
    ck_assert_msg(c.n_pauses >= readings * (body.n / 1000) * 3 / 4 &&
                      c.n_pauses <= readings * (body.n / 1000) * 5 / 4,
                  "%s…: %u pauses in %zu bytes", front, c.n_pauses, body.n);
    buf_done(&body);
    codec_done(&c);
}

static inline double codec_value(const struct codec *c, uint32_t row, uint32_t feature)
{
    size_t at = (size_t)row * c->rows.n_features + feature;
    return c->rows.dtype == DTYPE_FP64 ? ((const double *)c->rows.data)[at]
                                       : ((const float *)c->rows.data)[at];
}

// Decodes a good body of n rows and checks every value; NAN stands for missing.
static inline void codec_gives(enum dtype dtype, predict_decode_fn *decode, const char *body, uint32_t n,
                               const double *expected)
{
    struct codec c;
    codec_init(&c, dtype);
    int rc = codec_decode(&c, decode, body);
    ck_assert_msg(rc == 0, "%s: %s at %s", body, c.e.msg, c.e.path);
    ck_assert_uint_eq(c.req.n_rows, n);
    ck_assert_uint_eq(c.rows.n_rows, n);
    for (uint32_t i = 0; i < n * c.sig.n_features; i++) {
        double v = codec_value(&c, i / 3, i % 3);
        ck_assert_msg(isnan(expected[i]) ? isnan(v) : v == expected[i],
                      "%s: value %u is %.17g, expected %.17g", body, i, v, expected[i]);
    }
    codec_done(&c);
}

// Decodes a bad body; NULL for path or hint: not compared. The rows that were there stay.
static inline void codec_refuses(predict_decode_fn *decode, const char *body, int code, const char *path,
                                 const char *hint)
{
    struct codec c;
    void *row;
    codec_init(&c, DTYPE_FP32);
    ck_assert_int_eq(rows_append(&c.rows, 1, &row, &c.e), 0);
    int rc = codec_decode(&c, decode, body);
    ck_assert_msg(rc == code, "%s: %s (%s), expected %s", body, err_name(rc), rc ? c.e.msg : "",
                  err_name(code));
    ck_assert_int_eq(c.e.code, code);
    if (path)
        ck_assert_msg(strcmp(c.e.path, path) == 0, "%s: path %s, expected %s", body, c.e.path, path);
    if (hint)
        ck_assert_msg(strcmp(c.e.hint, hint) == 0, "%s: hint %s, expected %s", body, c.e.hint, hint);
    ck_assert_uint_gt(strlen(c.e.msg), 0);
    ck_assert_uint_eq(c.rows.n_rows, 1);
    codec_done(&c);
}
