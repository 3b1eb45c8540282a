// SPDX-License-Identifier: Apache-2.0
// Interfaces from short texts and shortcuts to decode bodies with them, for the tests of the tensor codecs.
#pragma once

#include "api/tensors.h"
#include "wire/json_scan.h"

#include "unit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct tensors {
    struct tensor_sink sink; // first
    struct json_pause pause;
    uint32_t n_pauses;
    struct interface *i;
    struct arena arena;
    struct tensors_request req;
    struct err e;
    size_t room; // bytes the sink has left
    void *memory[TENSORS_MAX];
    uint32_t n_memory;
};

static inline void *tensors_alloc(struct tensor_sink *s, size_t bytes)
{
    struct tensors *t = (struct tensors *)s;
    if (bytes > t->room)
        return NULL;
    t->room -= bytes;
    ck_assert_uint_lt(t->n_memory, TENSORS_MAX);
    // Not a byte more, so that AddressSanitizer sees one too many.
    void *p;
    ck_assert_int_eq(posix_memalign(&p, TENSOR_ALIGN, bytes ? bytes : 1), 0);
    return t->memory[t->n_memory++] = p;
}

#define IN(name, type, shape) "{\"name\":\"" name "\",\"datatype\":\"" type "\",\"shape\":" shape "}"
#define OPT(name, type, shape)                                                                               \
    "{\"name\":\"" name "\",\"datatype\":\"" type "\",\"shape\":" shape ",\"optional\":true}"
#define ANY(name, type) "{\"name\":\"" name "\",\"datatype\":\"" type "\",\"any_shape\":true}"
#define MODEL(inputs, outputs)                                                                               \
    "{\"platform\":\"test\",\"max_batch_rows\":0,\"inputs\":[" inputs "],\"outputs\":[" outputs "]}"
#define Y IN("y", "FP32", "[-1]")

static inline void tensors_paused(void *ctx)
{
    ((struct tensors *)ctx)->n_pauses++;
}

static inline void tensors_init(struct tensors *t, const char *model)
{
    *t = (struct tensors){.sink = {tensors_alloc}, .room = 1 << 20, .pause = {tensors_paused, t, 3}};
    ck_assert_int_eq(arena_init(&t->arena, 1 << 20, &t->e), 0);
    ck_assert_msg(interface_decode(str_of(model), &t->i, &t->e) == 0, "%s: %s", model, t->e.msg);
}

static inline void tensors_done(struct tensors *t)
{
    for (uint32_t k = 0; k < t->n_memory; k++)
        free(t->memory[k]);
    interface_free(t->i);
    arena_done(&t->arena);
}

static inline int tensors_decode(struct tensors *t, tensors_decode_fn *decode, const char *body)
{
    size_t n = strlen(body);
    char *exact = malloc(n ? n : 1);
    memcpy(exact, body, n);
    int rc = decode((struct str){exact, n}, &t->pause, t->i, &t->sink, &t->arena, &t->req, &t->e);
    free(exact);
    return rc;
}

// All inputs as text: "x FP32 [2,3] 1 2.5 nan …; s BYTES [1] 'ab'", those left out not at all.
static inline void tensors_text(const struct tensors *t, struct buf *out)
{
    for (uint32_t k = 0; k < t->i->n_inputs; k++) {
        const struct tensor *x = &t->req.inputs[k];
        if (x->dtype == DTYPE_NONE)
            continue;
        buf_printf(out, "%s%.*s %s [", out->n ? "; " : "", STR_ARG(x->name), dtype_name(x->dtype));
        for (uint32_t d = 0; d < x->n_dims; d++)
            buf_printf(out, "%s%lld", d ? "," : "", (long long)x->shape[d]);
        buf_putc(out, ']');
        int64_t n = tensor_n_elements(x->shape, x->n_dims);
        const char *p = x->data;
        for (int64_t i = 0; i < n; i++) {
            union {
                uint64_t u;
                int64_t s;
                float f;
                double d;
            } v = {0};
            size_t size = dtype_size(x->dtype);
            memcpy(&v, p, size);
            p += size;
            switch (x->dtype) {
            case DTYPE_FP16:
                buf_printf(out, " %04llx", (unsigned long long)v.u);
                break;
            case DTYPE_FP32:
                buf_printf(out, " %.9g", v.f);
                break;
            case DTYPE_FP64:
                buf_printf(out, " %.17g", v.d);
                break;
            case DTYPE_BYTES: {
                uint32_t length;
                memcpy(&length, p, sizeof length);
                buf_printf(out, " '%.*s'", (int)length, p + 4);
                p += 4 + length;
                break;
            }
            default:
                if (x->dtype >= DTYPE_INT8 && size < 8)
                    v.s = (int64_t)(v.u << (64 - 8 * size)) >> (64 - 8 * size);
                buf_printf(out, x->dtype >= DTYPE_INT8 ? " %lld" : " %llu", (long long)v.s);
            }
        }
        ck_assert_uint_eq((size_t)(p - (const char *)x->data), x->bytes);
        ck_assert_uint_eq((uintptr_t)x->data % TENSOR_ALIGN, 0);
    }
    buf_putc(out, 0);
}

static inline void tensors_give(const char *model, tensors_decode_fn *decode, const char *body,
                                const char *expected)
{
    struct tensors t;
    struct buf text;
    tensors_init(&t, model);
    buf_init(&text, 1 << 16);
    int rc = tensors_decode(&t, decode, body);
    ck_assert_msg(rc == 0, "%s: %s at %s", body, t.e.msg, t.e.path);
    tensors_text(&t, &text);
    ck_assert_msg(strcmp(text.p, expected) == 0, "%s\n     gave %s\n expected %s", body, text.p, expected);
    for (uint32_t k = 0; k < t.i->n_inputs; k++)
        ck_assert(t.req.inputs[k].dtype == DTYPE_NONE || tensor_check(&t.req.inputs[k], &t.e) == 0);
    buf_done(&text);
    tensors_done(&t);
}

// NULL for path or hint: not compared.
static inline void tensors_refuse(const char *model, tensors_decode_fn *decode, const char *body, int code,
                                  const char *path, const char *hint)
{
    struct tensors t;
    tensors_init(&t, model);
    int rc = tensors_decode(&t, decode, body);
    ck_assert_msg(rc == code, "%s: %s (%s), expected %s", body, err_name(rc), rc ? t.e.msg : "",
                  err_name(code));
    ck_assert_int_eq(t.e.code, code);
    ck_assert_uint_gt(strlen(t.e.msg), 0);
    if (path)
        ck_assert_msg(strcmp(t.e.path, path) == 0, "%s: path %s, expected %s (%s)", body, t.e.path, path,
                      t.e.msg);
    if (hint)
        ck_assert_msg(strcmp(t.e.hint, hint) == 0, "%s: hint %s, expected %s", body, t.e.hint, hint);
    tensors_done(&t);
}

// Decodes body and writes the answer with these results.
static inline void tensors_answer_is(const char *model, tensors_decode_fn *decode, tensors_encode_fn *encode,
                                     const char *body, const struct tensor *results, const char *expected)
{
    struct tensors t;
    struct buf out;
    tensors_init(&t, model);
    buf_init(&out, 1 << 16);
    int rc = tensors_decode(&t, decode, body);
    ck_assert_msg(rc == 0, "%s: %s at %s", body, t.e.msg, t.e.path);
    struct tensors_answer a = {t.i, STR("churn"), STR("3"), STR("p1"), results};
    encode(&t.req, &a, &out);
    ck_assert(!out.failed);
    ck_assert_msg(str_eq(buf_str(&out), str_of(expected)), "%s\n     gave %.*s\n expected %s", body,
                  STR_ARG(buf_str(&out)), expected);
    buf_done(&out);
    tensors_done(&t);
}

// A body of `front`, then n times `item` with commas between them, then `back`: decoding it pauses about
// every 1000 bytes of each reading.
static inline void tensors_pause(const char *model, tensors_decode_fn *decode, uint32_t readings,
                                 const char *front, const char *item, int n, const char *back)
{
    struct tensors t;
    struct buf body;
    tensors_init(&t, model);
    t.pause.every_bytes = 1000;
    buf_init(&body, 1 << 24);
    buf_puts(&body, front);
    for (int i = 0; i < n; i++)
        buf_printf(&body, i ? ",%s" : "%s", item);
    buf_puts(&body, back);
    buf_putc(&body, 0);
    ck_assert_msg(tensors_decode(&t, decode, body.p) == 0, "%s…: %s", front, t.e.msg);
    ck_assert_msg(t.n_pauses >= readings * (body.n / 1000) * 3 / 4 &&
                      t.n_pauses <= readings * (body.n / 1000) * 5 / 4,
                  "%s…: %u pauses in %zu bytes", front, t.n_pauses, body.n);
    buf_done(&body);
    tensors_done(&t);
}
