// SPDX-License-Identifier: Apache-2.0
// Nanoseconds to decode and encode JSON bodies, beside yyjson parsing the same text into its tree (which is
// not yet a tensor): both run in turn in short batches and the best batch counts, so that other load shows
// least.
//   codec_bench [milliseconds per figure, default 200]
#include "api/predict.h"

#include "base/clock.h"
#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { N_FEATURES = 20, ENCODE_RUNS = 1000, BATCH_BYTES = 32 << 10, POOL_BYTES = 16 << 20 };

struct bench {
    struct feature features[N_FEATURES];
    char names[N_FEATURES][24];
    struct signature sig;
    struct rows rows;
    struct arena arena;
    struct predict_request req;
    char *pool;
    uint64_t run_ns;
};

static uint64_t random_bits(uint64_t *state) // SplitMix64
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

enum texts { SHORT, FLOAT32, FLOAT64, MISSING, N_TEXTS };
static const char *const TEXT_NAMES[N_TEXTS] = {"7 digits", "float32 as double", "float64",
                                                "7 digits, 3% null"};

static void put_value(struct buf *b, enum texts texts, uint64_t *state)
{
    char text[NUM_TEXT_MAX];
    double v = ((double)(random_bits(state) >> 11) * 0x1p-53 - 0.5) * 6;
    if (texts == MISSING && random_bits(state) % 100 < 3)
        buf_puts(b, "null");
    else if (texts == SHORT || texts == MISSING)
        buf_printf(b, "%.7g", v);
    else
        buf_put(b, text, num_write_double(texts == FLOAT32 ? (double)(float)v : v, text));
}

enum shapes { V1_ARRAYS, V1_OBJECTS, V1_COLUMNS, V2_FLAT, V2_NESTED, N_SHAPES };
static const char *const SHAPE_NAMES[N_SHAPES] = {"V1 arrays", "V1 objects", "V1 columns", "V2 flat",
                                                  "V2 nested"};

static void put_rows(const struct bench *b, struct buf *out, enum shapes shape, enum texts texts, int n_rows)
{
    uint64_t state = 1;
    bool columns = shape == V1_COLUMNS;
    int n_outer = columns ? N_FEATURES : n_rows, n_inner = columns ? n_rows : N_FEATURES;
    for (int i = 0; i < n_outer; i++) {
        if (i)
            buf_putc(out, ',');
        if (columns)
            buf_printf(out, "\"%s\":", b->names[i]);
        if (shape != V2_FLAT)
            buf_putc(out, shape == V1_OBJECTS ? '{' : '[');
        for (int k = 0; k < n_inner; k++) {
            if (k)
                buf_putc(out, ',');
            if (shape == V1_OBJECTS)
                buf_printf(out, "\"%s\":", b->names[k]);
            put_value(out, texts, &state);
        }
        if (shape != V2_FLAT)
            buf_putc(out, shape == V1_OBJECTS ? '}' : ']');
    }
}

static void put_body(const struct bench *b, struct buf *out, enum shapes shape, enum texts texts, int n_rows)
{
    buf_clear(out);
    if (shape == V2_FLAT || shape == V2_NESTED)
        buf_printf(out, "{\"inputs\":[{\"name\":\"x\",\"shape\":[%d,%d],\"datatype\":\"FP32\",\"data\":[",
                   n_rows, N_FEATURES);
    else
        buf_puts(out, shape == V1_COLUMNS ? "{\"inputs\":{" : "{\"instances\":[");
    put_rows(b, out, shape, texts, n_rows);
    buf_puts(out, shape == V2_FLAT || shape == V2_NESTED ? "]}]}" : shape == V1_COLUMNS ? "}}" : "]}");
}

static void decode_once(struct bench *b, predict_decode_fn *decode, struct str body)
{
    struct err e;
    rows_truncate(&b->rows, 0);
    arena_reset(&b->arena, 1 << 20);
    if (decode(body, NULL, &b->sig, &b->rows, &b->arena, &b->req, &e)) {
        fprintf(stderr, "codec_bench: %s at %s\n", e.msg, e.path);
        exit(EXIT_FAILURE);
    }
}

static void yyjson_once(struct bench *b, struct str body)
{
    yyjson_alc alc;
    yyjson_alc_pool_init(&alc, b->pool, POOL_BYTES);
    char *text = (char *)(uintptr_t)body.p; // not written without the in-situ flag
    yyjson_doc *doc = yyjson_read_opts(text, body.n, YYJSON_READ_ALLOW_INF_AND_NAN, &alc, NULL);
    if (!doc)
        exit(EXIT_FAILURE);
    __asm__ volatile("" : : "r"(doc) : "memory");
}

static double batch(struct bench *b, predict_decode_fn *decode, struct str body, int n)
{
    uint64_t start = clock_mono_ns();
    for (int i = 0; i < n; i++) {
        if (decode)
            decode_once(b, decode, body);
        else
            yyjson_once(b, body);
    }
    return (double)(clock_mono_ns() - start) / n;
}

// Both in turn, in batches so short that some are not interrupted; the best of each.
static void measure(struct bench *b, predict_decode_fn *decode, struct str body, double *ret_ours,
                    double *ret_theirs)
{
    uint64_t until = clock_mono_ns() + b->run_ns;
    int n = (int)(BATCH_BYTES / body.n) + 1;
    *ret_ours = *ret_theirs = 1e300;
    do {
        double ours = batch(b, decode, body, n), theirs = batch(b, NULL, body, n);
        *ret_ours = ours < *ret_ours ? ours : *ret_ours;
        *ret_theirs = theirs < *ret_theirs ? theirs : *ret_theirs;
    } while (clock_mono_ns() < until);
}

static void bench_decode(struct bench *b)
{
    static const int N_ROWS[] = {1, 32, 1000};
    struct buf body;
    buf_init(&body, 64 << 20);
    printf("%-12s %-18s %5s %8s %12s %9s %12s %7s\n", "shape", "numbers", "rows", "bytes", "decode ns",
           "ns/value", "yyjson ns", "ratio");
    for (int s = 0; s < N_SHAPES; s++) {
        for (int t = 0; t < N_TEXTS; t++) {
            for (int k = 0; k < 3; k++) {
                put_body(b, &body, s, t, N_ROWS[k]);
                double ours, theirs;
                measure(b, s >= V2_FLAT ? kserve_v2_decode : kserve_v1_decode, buf_str(&body), &ours,
                        &theirs);
                printf("%-12s %-18s %5d %8zu %12.0f %9.2f %12.0f %7.2f\n", SHAPE_NAMES[s], TEXT_NAMES[t],
                       N_ROWS[k], body.n, ours, ours / N_ROWS[k] / N_FEATURES, theirs, theirs / ours);
            }
        }
    }
    buf_done(&body);
}

static void bench_encode(struct bench *b)
{
    enum { N = 1000 };
    static float outputs[N];
    uint64_t state = 2;
    struct buf out;
    buf_init(&out, 1 << 20);
    for (int i = 0; i < N; i++)
        outputs[i] = (float)(random_bits(&state) >> 40) * 0x1p-24f;
    for (uint32_t n = 1; n <= N; n *= N) {
        struct predict_answer a = {
            &b->sig, STR("churn"), STR("3"), STR("0198c2a4-1b6e-7c3a-9f00-0123456789ab"), outputs, n};
        double best = 1e300;
        for (int run = 0; run < ENCODE_RUNS; run++) {
            uint64_t start = clock_mono_ns();
            for (int i = 0; i < 100; i++) {
                buf_clear(&out);
                kserve_v1_encode(&b->req, &a, &out);
            }
            double dur = (double)(clock_mono_ns() - start) / 100;
            best = dur < best ? dur : best;
        }
        printf("encode %u float32: %.0f ns, %.1f ns each\n", n, best, best / n);
    }
    buf_done(&out);
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct err e;
    b.run_ns = (argc > 1 ? strtoull(argv[1], NULL, 10) : 200) * 1000000;
    b.pool = malloc(POOL_BYTES);
    for (int i = 0; i < N_FEATURES; i++) {
        snprintf(b.names[i], sizeof b.names[i], "feature_%d", i);
        b.features[i] = (struct feature){.name = str_of(b.names[i]), .may_be_missing = true};
    }
    b.sig = (struct signature){.n_features = N_FEATURES,
                               .n_outputs = 1,
                               .input_dtype = DTYPE_FP32,
                               .output_dtype = DTYPE_FP32,
                               .named = true,
                               .platform = "bench",
                               .output_name = "prediction",
                               .features = b.features};
    rows_init(&b.rows, DTYPE_FP32, N_FEATURES, 1 << 20);
    if (!b.pool || signature_index(&b.sig, &e) || arena_init(&b.arena, 64 << 20, &e))
        return EXIT_FAILURE;
    bench_decode(&b);
    bench_encode(&b);
    map_done(&b.sig.by_name);
    arena_done(&b.arena);
    rows_done(&b.rows);
    free(b.pool);
    return EXIT_SUCCESS;
}
