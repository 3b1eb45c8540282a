// SPDX-License-Identifier: Apache-2.0
// Nanoseconds to decode JSON bodies into tensors, beside yyjson parsing the same text and a copy of its
// numbers into memory: both run in turn in short batches and the best batch counts.
//   tensor_codec_bench [milliseconds per figure, default 200] [part of a name]
#include "api/tensors.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { BATCH_BYTES = 32 << 10, POOL_BYTES = 64 << 20, MEMORY_BYTES = 8 << 20, IMAGE = 3 * 224 * 224 };

struct bench {
    struct tensor_sink sink; // first
    struct interface *i;
    struct arena arena;
    struct tensors_request req;
    char *memory, *pool;
    size_t used;
};

static void *bench_alloc(struct tensor_sink *sink, size_t bytes)
{
    struct bench *b = (struct bench *)sink;
    if (bytes > MEMORY_BYTES - b->used)
        return NULL;
    void *p = b->memory + b->used;
    b->used += (bytes + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
    return p;
}

static void ours(struct bench *b, tensors_decode_fn *decode, struct str body)
{
    struct err e;
    b->used = 0;
    arena_reset(&b->arena, 1 << 20);
    if (decode(body, NULL, b->i, &b->sink, &b->arena, &b->req, &e)) {
        fprintf(stderr, "tensor_codec_bench: %s at %s\n", e.msg, e.path);
        exit(EXIT_FAILURE);
    }
}

// Numbers in whatever lists and objects, in order.
static void copy_numbers(yyjson_val *v, float **to)
{
    size_t i, max;
    yyjson_val *key, *item;
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, max, item)
        {
            copy_numbers(item, to);
        }
    } else if (yyjson_is_obj(v)) {
        yyjson_obj_foreach(v, i, max, key, item)
        {
            copy_numbers(item, to);
        }
    } else if (yyjson_is_num(v)) {
        *(*to)++ = (float)yyjson_get_num(v);
    }
}

static void theirs(struct bench *b, struct str body)
{
    yyjson_alc alc;
    float *to = (float *)(void *)b->memory;
    yyjson_alc_pool_init(&alc, b->pool, POOL_BYTES);
    char *text = (char *)(uintptr_t)body.p; // not written without the in-situ flag
    yyjson_doc *doc = yyjson_read_opts(text, body.n, 0, &alc, NULL);
    if (!doc)
        exit(EXIT_FAILURE);
    copy_numbers(yyjson_doc_get_root(doc), &to);
    __asm__ volatile("" : : "r"(to) : "memory");
}

static double batch(struct bench *b, tensors_decode_fn *decode, struct str body, int n)
{
    uint64_t start = clock_mono_ns();
    for (int i = 0; i < n; i++) {
        if (decode)
            ours(b, decode, body);
        else
            theirs(b, body);
    }
    return (double)(clock_mono_ns() - start) / n;
}

static void put_numbers(struct buf *body, int n, int row, int plane, bool integers)
{
    uint64_t state = 1;
    for (int i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        if (i)
            buf_putc(body, ',');
        if (plane && i % plane == 0)
            buf_putc(body, '[');
        if (row && i % row == 0)
            buf_putc(body, '[');
        if (integers)
            buf_printf(body, "%u", (unsigned)(state >> 56));
        else
            buf_printf(body, "%.7g", (double)(state >> 11) * 0x1p-53);
        if (row && i % row == row - 1)
            buf_putc(body, ']');
        if (plane && i % plane == plane - 1)
            buf_putc(body, ']');
    }
}

// row and plane 0: no lists within the one of front and back.
struct body {
    const char *name, *input, *front, *back;
    int n, row, plane;
    tensors_decode_fn *decode;
};

static void measure(struct bench *b, const struct body *kind, uint64_t run_ns)
{
    struct err e;
    struct buf body, model;
    bool integers = strstr(kind->input, "UINT8");
    buf_init(&body, 64 << 20);
    buf_init(&model, 1 << 16);
    buf_printf(
        &model,
        "{\"platform\":\"bench\",\"max_batch_rows\":0,\"inputs\":[{\"name\":\"x\",%s}],\"outputs\":[]}",
        kind->input);
    if (interface_decode(buf_str(&model), &b->i, &e))
        exit(EXIT_FAILURE);
    buf_puts(&body, kind->front);
    put_numbers(&body, kind->n, kind->row, kind->plane, integers);
    buf_puts(&body, kind->back);
    int n = (int)(BATCH_BYTES / body.n) + 1;
    double best[2] = {1e300, 1e300};
    uint64_t until = clock_mono_ns() + run_ns;
    do {
        for (int k = 0; k < 2; k++) {
            double ns = batch(b, k ? NULL : kind->decode, buf_str(&body), n);
            best[k] = ns < best[k] ? ns : best[k];
        }
    } while (clock_mono_ns() < until);
    printf("%-26s %8zu %12.0f %9.2f %16.0f %7.2f\n", kind->name, body.n, best[0], best[0] / kind->n, best[1],
           best[1] / best[0]);
    interface_free(b->i);
    buf_done(&model);
    buf_done(&body);
}

#define ROW20 "\"datatype\":\"FP32\",\"shape\":[-1,20]"
#define PIXEL "\"shape\":[-1,3,224,224]"
#define V2(shape, type)                                                                                      \
    "{\"inputs\":[{\"name\":\"x\",\"shape\":" shape ",\"datatype\":\"" type "\",\"data\":["

int main(int argc, char **argv)
{
    static const struct body bodies[] = {
        {"V1 row of 20", ROW20, "{\"instances\":[", "]}", 20, 20, 0, kserve_v1_tensors_decode},
        {"V1 object, row of 20", ROW20, "{\"instances\":[{\"x\":", "}]}", 20, 20, 0,
         kserve_v1_tensors_decode},
        {"V2 row of 20, flat", ROW20, V2("[1,20]", "FP32"), "]}]}", 20, 0, 0, kserve_v2_tensors_decode},
        {"V1 image", "\"datatype\":\"FP32\"," PIXEL, "{\"instances\":[[", "]]}", IMAGE, 224, 224 * 224,
         kserve_v1_tensors_decode},
        {"V1 image, any shape", "\"datatype\":\"FP32\",\"any_shape\":true", "{\"instances\":[[", "]]}", IMAGE,
         224, 224 * 224, kserve_v1_tensors_decode},
        {"V2 image, flat", "\"datatype\":\"FP32\"," PIXEL, V2("[1,3,224,224]", "FP32"), "]}]}", IMAGE, 0, 0,
         kserve_v2_tensors_decode},
        {"V2 image, flat, UINT8", "\"datatype\":\"UINT8\"," PIXEL, V2("[1,3,224,224]", "UINT8"), "]}]}",
         IMAGE, 0, 0, kserve_v2_tensors_decode},
    };
    static struct bench b = {.sink = {bench_alloc}};
    struct err e;
    uint64_t run_ns = (argc > 1 ? strtoull(argv[1], NULL, 10) : 200) * 1000000;
    b.pool = malloc(POOL_BYTES);
    b.memory = aligned_alloc(TENSOR_ALIGN, MEMORY_BYTES);
    if (!b.pool || !b.memory || arena_init(&b.arena, 64 << 20, &e))
        return EXIT_FAILURE;
    printf("%-26s %8s %12s %9s %16s %7s\n", "body", "bytes", "decode ns", "ns/value", "yyjson+copy ns",
           "ratio");
    for (size_t k = 0; k < sizeof bodies / sizeof bodies[0]; k++)
        if (argc < 3 || strstr(bodies[k].name, argv[2]))
            measure(&b, &bodies[k], run_ns);
    arena_done(&b.arena);
    free(b.memory);
    free(b.pool);
    return EXIT_SUCCESS;
}
