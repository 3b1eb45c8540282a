// SPDX-License-Identifier: Apache-2.0
#include "tensors_check.h"

#include "fuzz.h"
#include "tensor/half.h"
#include "wire/json_scan.h"

#include <math.h>
#include <string.h>

enum { FOUND_MAX = 1 << 16, SINK_MAX = 1 << 20 };

struct tensors_found {
    yyjson_val *values[FOUND_MAX];
    size_t n;
    enum dtype as;
};

void tensors_found_add(struct tensors_found *found, yyjson_val *v)
{
    size_t i, max;
    yyjson_val *item;
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, max, item)
        {
            tensors_found_add(found, item);
        }
    } else if (v) {
        EXPECT(found->n < FOUND_MAX);
        found->values[found->n++] = v;
    }
}

void tensors_found_datatype(struct tensors_found *found, yyjson_val *name)
{
    found->as = dtype_find((struct str){yyjson_get_str(name), yyjson_get_len(name)});
}

#define IN(name, type, shape) "{\"name\":\"" name "\",\"datatype\":\"" type "\"," shape "}"
#define MODEL(inputs, outputs)                                                                               \
    "{\"platform\":\"p\",\"max_batch_rows\":0,\"inputs\":[" inputs "],\"outputs\":[" outputs "]}"
#define SHAPE(s)     "\"shape\":[" s "]"
#define OPT(s)       SHAPE(s) ",\"optional\":true"
#define ANY          "\"any_shape\":true"
#define SAME(inputs) MODEL(inputs, inputs)

static const char *const MODELS[] = {
    MODEL(IN("x", "FP32", SHAPE("-1,3")) "," IN("ids", "INT64", OPT("-1")),
          IN("x", "FP32", SHAPE("-1,3")) "," IN("ids", "INT64", SHAPE("-1"))),
    SAME(IN("age", "FP32", SHAPE("-1,1")) "," IN("sex", "BYTES", SHAPE("-1,1")) "," IN("n", "UINT8",
                                                                                       SHAPE("-1"))),
    SAME(IN("a", "FP32", SHAPE("-1,2")) "," IN("b", "INT64", SHAPE("-1"))),
    SAME(IN("x", "BYTES", SHAPE("-1"))),
    SAME(IN("x", "INT16", ANY)),
    SAME(IN("x", "FP16", SHAPE("-1,-1"))),
    SAME(IN("x", "FP64", SHAPE("-1,-1,2")) "," IN("b", "BOOL", SHAPE("-1,-1"))),
    SAME(IN("x", "UINT64", SHAPE("2,2"))),
};

struct sink {
    struct tensor_sink base; // first
    void *memory[TENSORS_MAX];
    uint32_t n;
};

static void *sink_alloc(struct tensor_sink *base, size_t bytes)
{
    struct sink *s = (struct sink *)base;
    EXPECT(s->n < TENSORS_MAX);
    return bytes > SINK_MAX ? NULL : (s->memory[s->n++] = malloc(bytes ? bytes : 1)); // exact, for ASan
}

static double as_double(yyjson_val *v, enum dtype as, bool narrow)
{
    if (yyjson_is_null(v))
        return (double)NAN;
    if (yyjson_is_bool(v))
        return yyjson_get_bool(v);
    if (as >= DTYPE_BOOL && as <= DTYPE_INT64 && narrow && yyjson_is_uint(v))
        return (double)(float)yyjson_get_uint(v);
    if (as >= DTYPE_BOOL && as <= DTYPE_INT64 && narrow && yyjson_is_sint(v))
        return (double)(float)yyjson_get_sint(v);
    double d = yyjson_get_num(v);
    return as == DTYPE_FP32 ? (double)(float)d : as == DTYPE_FP16 ? half_to_double(half_from_double(d)) : d;
}

static bool same(double a, double b)
{
    return isnan(a) ? isnan(b) : a == b;
}

static bool same_integer(yyjson_val *v, uint64_t u, bool is_signed)
{
    if (yyjson_is_bool(v))
        return u == yyjson_get_bool(v);
    if (yyjson_is_real(v))
        return yyjson_get_real(v) == (is_signed ? (double)(int64_t)u : (double)u);
    return yyjson_is_uint(v) ? u == yyjson_get_uint(v) : u == (uint64_t)yyjson_get_sint(v);
}

// One value that has a size.
static bool same_value(yyjson_val *v, enum dtype model, enum dtype as, const char *p)
{
    uint64_t u = 0;
    size_t size = dtype_size(model);
    memcpy(&u, p, size);
    if (as == DTYPE_NONE)
        as = model;
    if (model == DTYPE_FP64) {
        double d;
        memcpy(&d, p, sizeof d);
        return same(d, as_double(v, as, false));
    }
    if (model == DTYPE_FP32) {
        float f;
        memcpy(&f, p, sizeof f);
        return same((double)f, (double)(float)as_double(v, as, true));
    }
    if (model == DTYPE_FP16)
        return same(half_to_double((uint16_t)u), half_to_double(half_from_double(as_double(v, as, false))));
    if (model >= DTYPE_INT8)
        u = (uint64_t)((int64_t)(u << (64 - 8 * size)) >> (64 - 8 * size));
    return same_integer(v, u, model >= DTYPE_INT8);
}

static void check_input(const struct tensor *t, const struct tensors_found *found)
{
    struct err e;
    const char *p = t->data;
    EXPECT(tensor_check(t, &e) == 0);
    EXPECT(tensor_n_elements(t->shape, t->n_dims) == (int64_t)found->n);
    for (size_t i = 0; i < found->n; i++) {
        yyjson_val *v = found->values[i];
        size_t size = dtype_size(t->dtype);
        if (size) {
            EXPECT(same_value(v, t->dtype, found->as, p));
            p += size;
            continue;
        }
        uint32_t length;
        memcpy(&length, p, sizeof length);
        if (yyjson_is_str(v)) // else base64
            EXPECT(length == yyjson_get_len(v) && memcmp(p + 4, yyjson_get_str(v), length) == 0);
        p += 4 + length;
    }
}

static void check_answer(const struct tensors_request *req, const struct interface *i,
                         tensors_encode_fn *encode)
{
    struct buf out;
    struct tensors_answer a = {i, STR("m"), STR("1"), STR("p"), req->inputs};
    buf_init(&out, 1 << 26);
    encode(req, &a, &out);
    yyjson_doc *doc = yyjson_read(out.p, out.n, 0);
    EXPECT(!out.failed && doc);
    yyjson_doc_free(doc);
    buf_done(&out);
}

static void check_all(struct str body, const struct tensors_request *req, const struct interface *i,
                      tensors_find_fn *find)
{
    static struct tensors_found found;
    yyjson_doc *doc = yyjson_read(body.p, body.n, YYJSON_READ_ALLOW_INF_AND_NAN);
    EXPECT(doc);
    uint32_t n_needed = 0;
    for (uint32_t k = 0; k < i->n_inputs; k++)
        n_needed += !i->inputs[k].optional;
    for (uint32_t k = 0; k < i->n_inputs; k++) {
        found.n = 0;
        found.as = DTYPE_NONE;
        find(yyjson_doc_get_root(doc), i->inputs[k].name, n_needed == 1 && !i->inputs[k].optional, &found);
        if (req->inputs[k].dtype != DTYPE_NONE)
            check_input(&req->inputs[k], &found);
        else
            EXPECT(i->inputs[k].optional && found.n == 0);
    }
    yyjson_doc_free(doc);
}

static void go_on(void *ctx)
{
    (void)ctx;
}

void tensors_compare(const uint8_t *data, size_t n, tensors_decode_fn *decode, tensors_encode_fn *encode,
                     tensors_find_fn *find)
{
    static struct arena arena;
    struct err e;
    struct interface *i;
    struct sink sink = {.base = {sink_alloc}};
    struct tensors_request req;
    if (n == 0)
        return;
    struct str model = str_of(MODELS[data[0] % (sizeof MODELS / sizeof MODELS[0])]);
    EXPECT(interface_decode(model, &i, &e) == 0);
    if (!arena.base)
        EXPECT(arena_init(&arena, 1 << 26, &e) == 0);
    char *body = malloc(n); // exact, for ASan
    memcpy(body, data + 1, n - 1);
    const struct json_pause pause = {go_on, NULL, 5};
    if (decode((struct str){body, n - 1}, &pause, i, &sink.base, &arena, &req, &e) == 0) {
        check_all((struct str){body, n - 1}, &req, i, find);
        check_answer(&req, i, encode);
    } else {
        EXPECT(e.code < 0 && e.code != ERR_INTERNAL && e.msg[0]);
    }
    for (uint32_t k = 0; k < sink.n; k++)
        free(sink.memory[k]);
    arena_reset(&arena, 1 << 16);
    interface_free(i);
    free(body);
}
