// SPDX-License-Identifier: Apache-2.0
// Measures and checks the tree engine on a model file; built, not installed.
//
//     engine_bench MODEL ROWS            ns a row of every kernel, one row at a time and 1000 at once
//     engine_bench MODEL ROWS --exact N  compares every kernel with the reference on N rows made from ROWS
//     engine_bench MODEL ROWS --margins  writes the margins of ROWS to standard output, raw
//
// ROWS is raw row-major values of the model's input type (float32 for XGBoost, float64 for LightGBM).
#include "base/clock.h"
#include "engine/engine.h"
#include "engine/trees/formats.h"
#include "engine/trees/trees.h"
#include "engine/trees/xgboost.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1000, PASSES = 100 };

struct bench {
    struct arena a;
    struct forest f; // for the reference
    struct buf image;
    void *mapped;
    struct trees *m;
    char *rows;
    size_t n_rows, row_bytes;
};

static char *read_file(const char *path, size_t *ret_size)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    *ret_size = (size_t)ftell(f);
    rewind(f);
    char *p = malloc(*ret_size + 1);
    if (!p || fread(p, 1, *ret_size, f) != *ret_size) {
        fprintf(stderr, "%s: cannot read it\n", path);
        exit(1);
    }
    fclose(f);
    return p;
}

static void must(int rc, const struct err *e)
{
    if (rc) {
        fprintf(stderr, "engine_bench: %s\n", e->msg);
        exit(1);
    }
}

static void open_bench(struct bench *b, const char *model, const char *rows)
{
    struct err e = {0};
    size_t size;
    uint8_t *bytes = (uint8_t *)read_file(model, &size);
    must(arena_init(&b->a, (size_t)8 << 30, &e), &e);
    const char *format = engine_trees.detect(bytes, size);
    if (!format)
        must(err_set(&e, ERR_UNSUPPORTED_MODEL, "%s: not a model", model), &e);
    must((strcmp(format, "xgboost_json") == 0  ? xgboost_json_parse
          : strcmp(format, "xgboost_ubj") == 0 ? xgboost_ubj_parse
                                               : lightgbm_text_parse)(bytes, size, &b->a, &b->f, &e),
         &e);
    buf_init(&b->image, (size_t)8 << 30);
    uint64_t started = clock_mono_ns();
    must(engine_trees.compile(bytes, size, &b->image, &e), &e);
    fprintf(stderr, "compiled in %.1f ms\n", (double)(clock_mono_ns() - started) / 1e6);
    b->mapped = aligned_alloc(64, (b->image.n + 63) / 64 * 64);
    memcpy(b->mapped, b->image.p, b->image.n);
    must(trees_open(b->mapped, b->image.n, &b->m, &e), &e);
    b->rows = read_file(rows, &size);
    b->row_bytes = b->f.sig.n_features * trees_value_bytes(b->m);
    b->n_rows = size / b->row_bytes;
    if (b->n_rows < BATCH) {
        fprintf(stderr, "%s: %zu rows; %d are needed\n", rows, b->n_rows, BATCH);
        exit(1);
    }
    free(bytes);
}

static void pass(struct bench *b, const struct kernel *k, bool batch, void *out)
{
    size_t step = batch ? BATCH : 1;
    for (size_t i = 0; i < BATCH; i += step)
        trees_margin_by(b->m, k, b->rows + i * b->row_bytes, (uint32_t)step, out);
}

static double measure(struct bench *b, const struct kernel *k, bool batch, void *out)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < PASSES; i++) {
        uint64_t started = clock_mono_ns();
        pass(b, k, batch, out);
        uint64_t took = clock_mono_ns() - started;
        best = took < best ? took : best;
    }
    return (double)best / BATCH;
}

static void report(struct bench *b)
{
    char *out = malloc(BATCH * b->f.n_groups * trees_value_bytes(b->m));
    struct buf json;
    buf_init(&json, 4096);
    engine_trees.describe((const struct model *)b->m, &json);
    printf("%.*s\n%-16s %12s %10s %12s %10s\n", (int)json.n, json.p, "kernel", "one ns/row", "ns/tree",
           "batch ns/row", "ns/tree");
    double trees = b->f.n_trees ? b->f.n_trees : 1;
    if (!b->m->img.h->coded)
        printf("%-16s %12.1f\n", "plain", measure(b, NULL, false, out));
    for (const struct kernel *k = KERNELS; k->name; k++) {
        if (!kernel_usable(k, b->m->img.h))
            continue;
        double one = k->one ? measure(b, k, false, out) : (double)NAN;
        double batch = k->batch ? measure(b, k, true, out) : (double)NAN;
        printf("%-16s %12.1f %10.2f %12.1f %10.2f\n", k->name, one, one / trees, batch, batch / trees);
    }
    if (b->m->img.h->coded) {
        uint64_t best = UINT64_MAX;
        for (int i = 0; i < PASSES; i++) {
            uint64_t started = clock_mono_ns();
            for (size_t r = 0; r < BATCH; r++)
                b->m->code(&b->m->coder, b->rows + r * b->row_bytes, b->m->coder.codes);
            uint64_t took = clock_mono_ns() - started;
            best = took < best ? took : best;
        }
        printf("%-16s %12.1f\n", "coding alone", (double)best / BATCH);
    }
    buf_done(&json);
    free(out);
}

static uint64_t scatter(uint64_t *s)
{
    *s ^= *s >> 12;
    *s ^= *s << 25;
    *s ^= *s >> 27;
    return *s * 0x2545F4914F6CDD1Dull;
}

// A value of some row, of some threshold, a neighbour of one, or a special one.
static double fuzzed(const struct bench *b, uint32_t feature, uint64_t *s)
{
    static const double HARD[] = {(double)NAN,
                                  (double)INFINITY,
                                  -(double)INFINITY,
                                  0.0,
                                  -0.0,
                                  1e-45,
                                  -1e-35,
                                  1e-34,
                                  3.4e38,
                                  1e300,
                                  -0.5,
                                  -1.0};
    bool single = b->f.family == FOREST_XGBOOST;
    const char *row = b->rows + scatter(s) % b->n_rows * b->row_bytes;
    double x = single ? (double)((const float *)(const void *)row)[feature]
                      : ((const double *)(const void *)row)[feature];
    uint32_t kind = (uint32_t)(scatter(s) >> 40) % 8;
    if (kind == 0)
        return HARD[scatter(s) % (sizeof HARD / sizeof HARD[0])];
    if (kind < 4 && b->f.n_nodes) { // few nodes split on this feature: other features' thresholds do no harm
        const struct forest_node *n = &b->f.nodes[scatter(s) % b->f.n_nodes];
        for (uint32_t i = 0; i < 64 && (n->left == -1 || n->categorical || n->feature != feature); i++)
            n = &b->f.nodes[scatter(s) % b->f.n_nodes];
        x = n->left == -1 ? x : n->threshold;
    }
    double to = kind == 2 ? (double)INFINITY : (double)-INFINITY;
    return kind == 2 || kind == 3 ? (single ? (double)nextafterf((float)x, (float)to) : nextafter(x, to)) : x;
}

static size_t differing(struct bench *b, const char *rows, uint32_t n, const char *want, char *got)
{
    size_t bad = 0, bytes = b->f.n_groups * trees_value_bytes(b->m);
    for (const struct kernel *k = KERNELS; k->name; k++) {
        if (!kernel_usable(k, b->m->img.h))
            continue;
        trees_margin_by(b->m, k, rows, n, got);
        for (uint32_t i = 0; i < n; i++)
            bad += memcmp(got + i * bytes, want + i * bytes, bytes) != 0;
        for (uint32_t i = 0; i < n; i++) {
            trees_margin_by(b->m, k, rows + i * b->row_bytes, 1, got);
            bad += memcmp(got, want + i * bytes, bytes) != 0;
        }
    }
    return bad;
}

static int check_exact(struct bench *b, size_t n)
{
    size_t bytes = b->f.n_groups * trees_value_bytes(b->m), bad = 0;
    char *rows = malloc(BATCH * b->row_bytes), *want = malloc(BATCH * bytes), *got = malloc(BATCH * bytes);
    uint64_t s = 0x9E3779B97F4A7C15ull;
    size_t done = 0;
    for (; done < n; done += BATCH) {
        for (uint32_t i = 0; i < BATCH * b->f.sig.n_features; i++) {
            double x = fuzzed(b, i % b->f.sig.n_features, &s);
            if (b->f.family == FOREST_XGBOOST)
                ((float *)(void *)rows)[i] = (float)x;
            else
                ((double *)(void *)rows)[i] = x;
        }
        for (uint32_t i = 0; i < BATCH; i++)
            forest_reference_margin(&b->f, rows + i * b->row_bytes, want + i * bytes);
        bad += differing(b, rows, BATCH, want, got);
    }
    printf("%zu rows, every kernel, single and batch: %zu differ from the reference\n", done, bad);
    free(rows);
    free(want);
    free(got);
    return bad ? 1 : 0;
}

static int write_margins(struct bench *b)
{
    size_t bytes = b->f.n_groups * trees_value_bytes(b->m);
    char *out = malloc(b->n_rows * bytes);
    engine_trees.margin((struct model *)b->m, b->rows, (uint32_t)b->n_rows, out);
    bool written = fwrite(out, bytes, b->n_rows, stdout) == b->n_rows;
    free(out);
    return written ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: engine_bench MODEL ROWS [--exact N | --margins]\n");
        return 2;
    }
    cpu_set_t core; // a process that wanders between cores measures its caches being refilled
    CPU_ZERO(&core);
    CPU_SET(sched_getcpu(), &core);
    sched_setaffinity(0, sizeof core, &core);
    static struct bench b;
    open_bench(&b, argv[1], argv[2]);
    int rc = 0;
    if (argc == 5 && strcmp(argv[3], "--exact") == 0)
        rc = check_exact(&b, strtoul(argv[4], NULL, 10));
    else if (argc == 4 && strcmp(argv[3], "--margins") == 0)
        rc = write_margins(&b);
    else
        report(&b);
    trees_close(b.m);
    buf_done(&b.image);
    arena_done(&b.a);
    free(b.mapped);
    free(b.rows);
    return rc;
}
