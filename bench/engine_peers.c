// SPDX-License-Identifier: Apache-2.0
// The engine against its peers, in one process, in turns: our compiled image, XGBoost's and LightGBM's C API,
// ONNX Runtime's C API. The peers are loaded from the libraries that pip installed; nothing links to them.
//
//   engine_peers --model m.json --rows rows.bin [--xgboost libxgboost.so] [--lightgbm lib_lightgbm.so]
//                [--onnxruntime libonnxruntime.so --onnx m.onnx] [--batch 1,1000] [--rounds 7] [--cpu 0]
//
// rows.bin: little-endian float32 (XGBoost) or float64 (LightGBM), row-major. Prints one JSON line per peer
// and batch: ns per row of ours and of the peer in each round, so that the reader can take the median of the
// paired ratios. Rows vary from call to call: one repeated row would flatter engines that branch.
#include "base/clock.h"
#include "engine/engine.h"

#ifdef HAVE_ONNXRUNTIME
#include <onnxruntime_c_api.h>
#endif

#include <dlfcn.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROUND_NS = 60000000, MAX_ROUNDS = 101 };

struct data {
    char *bytes;
    size_t n_rows, row_bytes;
    uint32_t n_features;
};

// One engine under test: computes n rows starting at row `first`; returns something of the result.
struct subject {
    const char *name;
    double (*run)(void *ctx, const struct data *d, size_t first, size_t n);
    void *ctx;
};

_Noreturn static void die(const char *what, const char *why)
{
    fprintf(stderr, "engine_peers: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static char *read_file(const char *path, size_t *ret_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        die(path, "cannot be read");
    char *p = aligned_alloc(64, ((size_t)st.st_size + 127) / 64 * 64);
    size_t at = 0;
    for (ssize_t n; p && at < (size_t)st.st_size && (n = read(fd, p + at, (size_t)st.st_size - at)) > 0;)
        at += (size_t)n;
    close(fd);
    *ret_size = at;
    return p;
}

static void *symbol(void *lib, const char *name)
{
    void *p = dlsym(lib, name);
    if (!p)
        die(name, "is not in the library");
    return p;
}

static void *library(const char *path)
{
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        die(path, dlerror());
    return lib;
}

static const char *row_at(const struct data *d, size_t i)
{
    return d->bytes + i * d->row_bytes;
}

// ---- ours ----

struct ours {
    struct model *model;
    void *out;
};

static double ours_run(void *ctx, const struct data *d, size_t first, size_t n)
{
    struct ours *o = ctx;
    engine_trees.predict(o->model, row_at(d, first), (uint32_t)n, o->out);
    return (double)*(float *)o->out;
}

static struct ours ours_open(const char *path, struct data *rows, struct buf *image)
{
    struct err e;
    struct ours o;
    size_t size;
    char *bytes = read_file(path, &size);
    buf_init(image, (size_t)1 << 32);
    if (engine_trees.compile((uint8_t *)bytes, size, image, &e))
        die(path, e.msg);
    void *aligned = aligned_alloc(64, (image->n + 63) / 64 * 64);
    if (!aligned || engine_trees.open(memcpy(aligned, image->p, image->n), image->n, &o.model, &e))
        die(path, e.msg);
    const struct signature *s = engine_trees.signature(o.model);
    rows->n_features = s->n_features;
    rows->row_bytes = s->n_features * dtype_size(s->input_dtype);
    o.out = calloc(100000, s->n_outputs * sizeof(double));
    free(bytes);
    return o;
}

// ---- XGBoost: XGBoosterPredictFromDense, the in-place prediction without a DMatrix ----

struct xgboost {
    void *booster, *proxy;
    int (*predict)(void *, const char *, const char *, void *, const uint64_t **, uint64_t *, const float **);
};

static struct xgboost xgboost_open(const char *lib_path, const char *model)
{
    struct xgboost x;
    void *lib = library(lib_path);
    int (*create)(const void *, uint64_t, void **) =
        (int (*)(const void *, uint64_t, void **))symbol(lib, "XGBoosterCreate");
    int (*load)(void *, const char *) = (int (*)(void *, const char *))symbol(lib, "XGBoosterLoadModel");
    int (*set)(void *, const char *, const char *) =
        (int (*)(void *, const char *, const char *))symbol(lib, "XGBoosterSetParam");
    x.predict = (int (*)(void *, const char *, const char *, void *, const uint64_t **, uint64_t *,
                         const float **))symbol(lib, "XGBoosterPredictFromDense");
    if (create(NULL, 0, &x.booster) || load(x.booster, model) || set(x.booster, "nthread", "1"))
        die(model, "XGBoost does not load it");
    x.proxy = NULL;
    return x;
}

static double xgboost_run(void *ctx, const struct data *d, size_t first, size_t n)
{
    struct xgboost *x = ctx;
    char array[200];
    const uint64_t *shape;
    uint64_t dims;
    const float *out;
    snprintf(array, sizeof array,
             "{\"data\":[%zu,true],\"shape\":[%zu,%u],\"typestr\":\"<f4\",\"version\":3}",
             (size_t)row_at(d, first), n, d->n_features);
    if (x->predict(
            x->booster, array,
            "{\"type\":0,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false,"
            "\"cache_id\":0,\"missing\":NaN}",
            x->proxy, &shape, &dims, &out))
        die("XGBoosterPredictFromDense", "failed");
    return (double)out[0];
}

// ---- LightGBM: SingleRowFast for one row, PredictForMat for more ----

struct lightgbm {
    void *booster, *fast;
    int (*one)(void *, const void *, int64_t *, double *);
    int (*many)(void *, const void *, int, int32_t, int32_t, int, int, int, int, const char *, int64_t *,
                double *);
    double *out;
};

static struct lightgbm lightgbm_open(const char *lib_path, const char *model, uint32_t n_features)
{
    struct lightgbm l;
    int iterations;
    void *lib = library(lib_path);
    int (*create)(const char *, int *, void **) =
        (int (*)(const char *, int *, void **))symbol(lib, "LGBM_BoosterCreateFromModelfile");
    int (*init)(void *, int, int, int, int, int32_t, const char *, void **) =
        (int (*)(void *, int, int, int, int, int32_t, const char *, void **))symbol(
            lib, "LGBM_BoosterPredictForMatSingleRowFastInit");
    l.one = (int (*)(void *, const void *, int64_t *, double *))symbol(
        lib, "LGBM_BoosterPredictForMatSingleRowFast");
    l.many = (int (*)(void *, const void *, int, int32_t, int32_t, int, int, int, int, const char *,
                      int64_t *, double *))symbol(lib, "LGBM_BoosterPredictForMat");
    if (create(model, &iterations, &l.booster) ||
        init(l.booster, 0, 0, -1, 1, (int32_t)n_features, "num_threads=1", &l.fast))
        die(model, "LightGBM does not load it");
    l.out = calloc(100000, sizeof(double) * 16);
    return l;
}

static double lightgbm_run(void *ctx, const struct data *d, size_t first, size_t n)
{
    struct lightgbm *l = ctx;
    int64_t len;
    int rc = n == 1 ? l->one(l->fast, row_at(d, first), &len, l->out)
                    : l->many(l->booster, row_at(d, first), 1, (int32_t)n, (int32_t)d->n_features, 1, 0, 0,
                              -1, "num_threads=1", &len, l->out);
    if (rc)
        die("LightGBM", "failed");
    return l->out[0];
}

// ---- ONNX Runtime ----

#ifdef HAVE_ONNXRUNTIME
struct onnxruntime {
    const OrtApi *api;
    OrtSession *session;
    OrtMemoryInfo *memory;
    char *in_name, *out_name;
};

static void ort_check(const OrtApi *api, OrtStatus *s, const char *what)
{
    if (s)
        die(what, api->GetErrorMessage(s));
}

static struct onnxruntime onnxruntime_open(const char *lib_path, const char *model)
{
    struct onnxruntime o;
    OrtEnv *env;
    OrtSessionOptions *options;
    OrtAllocator *allocator;
    const OrtApiBase *(*base)(void) = (const OrtApiBase *(*)(void))symbol(library(lib_path), "OrtGetApiBase");
    o.api = base()->GetApi(ORT_API_VERSION);
    if (!o.api)
        die(lib_path, "is older than the header");
    ort_check(o.api, o.api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "bench", &env), "environment");
    ort_check(o.api, o.api->CreateSessionOptions(&options), "options");
    ort_check(o.api, o.api->SetIntraOpNumThreads(options, 1), "threads");
    ort_check(o.api, o.api->SetInterOpNumThreads(options, 1), "threads");
    ort_check(o.api, o.api->CreateSession(env, model, options, &o.session), model);
    ort_check(o.api, o.api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &o.memory), "memory");
    ort_check(o.api, o.api->GetAllocatorWithDefaultOptions(&allocator), "allocator");
    ort_check(o.api, o.api->SessionGetInputName(o.session, 0, allocator, &o.in_name), "input");
    ort_check(o.api, o.api->SessionGetOutputName(o.session, 0, allocator, &o.out_name), "output");
    return o;
}

static double onnxruntime_run(void *ctx, const struct data *d, size_t first, size_t n)
{
    struct onnxruntime *o = ctx;
    OrtValue *in, *out = NULL;
    float *values;
    const int64_t shape[] = {(int64_t)n, d->n_features};
    void *data = d->bytes + first * d->row_bytes;
    ort_check(o->api,
              o->api->CreateTensorWithDataAsOrtValue(o->memory, data, n * d->row_bytes, shape, 2,
                                                     ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &in),
              "tensor");
    ort_check(o->api,
              o->api->Run(o->session, NULL, (const char *const *)&o->in_name, (const OrtValue *const *)&in, 1,
                          (const char *const *)&o->out_name, 1, &out),
              "run");
    ort_check(o->api, o->api->GetTensorMutableData(out, (void **)&values), "output");
    double first_value = (double)values[0];
    o->api->ReleaseValue(in);
    o->api->ReleaseValue(out);
    return first_value;
}
#endif

// ---- timing ----

static double time_ns_per_row(const struct subject *s, const struct data *d, size_t batch)
{
    static volatile double sink;
    uint64_t start = clock_mono_ns(), now = start;
    size_t rows = 0, first = 0;
    while (now - start < ROUND_NS) {
        for (int i = 0; i < 16 && (batch == 1 || i == 0); i++) { // read the clock rarely when a call is short
            sink = s->run(s->ctx, d, first, batch);
            first = first + 2 * batch <= d->n_rows ? first + batch : 0;
            rows += batch;
        }
        now = clock_mono_ns();
    }
    (void)sink;
    return (double)(now - start) / (double)rows;
}

static void compare(const struct subject *ours, const struct subject *peer, const struct data *d,
                    size_t batch, int rounds)
{
    printf("{\"peer\":\"%s\",\"batch\":%zu,\"pairs_ns_per_row\":[", peer->name, batch);
    for (int i = 0; i < rounds; i++) {
        double a, b;
        if (i % 2) { // A B, B A, …
            b = time_ns_per_row(peer, d, batch);
            a = time_ns_per_row(ours, d, batch);
        } else {
            a = time_ns_per_row(ours, d, batch);
            b = time_ns_per_row(peer, d, batch);
        }
        printf("%s[%.1f,%.1f]", i ? "," : "", a, b);
    }
    printf("]}\n");
    fflush(stdout);
}

struct options {
    const char *model, *rows, *xgboost, *lightgbm, *onnxruntime, *onnx, *batch;
    int rounds, cpu;
};

static struct options parse(int argc, char **argv)
{
    static const struct option LONG[] = {{"model", 1, NULL, 'm'},   {"rows", 1, NULL, 'r'},
                                         {"xgboost", 1, NULL, 'x'}, {"lightgbm", 1, NULL, 'l'},
                                         {"onnx", 1, NULL, 'o'},    {"onnxruntime", 1, NULL, 'O'},
                                         {"batch", 1, NULL, 'b'},   {"rounds", 1, NULL, 'n'},
                                         {"cpu", 1, NULL, 'c'},     {NULL, 0, NULL, 0}};
    struct options o = {.batch = "1,1000", .rounds = 7, .cpu = -1};
    for (int c; (c = getopt_long(argc, argv, "", LONG, NULL)) != -1;) {
        switch (c) {
        case 'm':
            o.model = optarg;
            break;
        case 'r':
            o.rows = optarg;
            break;
        case 'x':
            o.xgboost = optarg;
            break;
        case 'l':
            o.lightgbm = optarg;
            break;
        case 'o':
            o.onnx = optarg;
            break;
        case 'O':
            o.onnxruntime = optarg;
            break;
        case 'b':
            o.batch = optarg;
            break;
        case 'n':
            o.rounds = (int)strtol(optarg, NULL, 10);
            break;
        case 'c':
            o.cpu = (int)strtol(optarg, NULL, 10);
            break;
        default:
            exit(2);
        }
    }
    if (!o.model || !o.rows || o.rounds < 1 || o.rounds > MAX_ROUNDS)
        die("usage",
            "--model FILE --rows FILE [--xgboost LIB] [--lightgbm LIB] [--onnxruntime LIB --onnx FILE]");
    return o;
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);
    struct data d = {0};
    struct buf image;
    if (o.cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(o.cpu, &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    struct ours ours = ours_open(o.model, &d, &image);
    struct subject us = {"slipway", ours_run, &ours};
    size_t size;
    d.bytes = read_file(o.rows, &size);
    d.n_rows = size / d.row_bytes;
    char *rest = strdup(o.batch);
    for (char *b = strtok_r(rest, ",", &rest); b; b = strtok_r(NULL, ",", &rest)) {
        size_t batch = strtoul(b, NULL, 10);
        if (batch < 1 || batch > d.n_rows)
            die("--batch", "more rows than the file has");
        if (o.xgboost) {
            struct xgboost x = xgboost_open(o.xgboost, o.model);
            compare(&us, &(struct subject){"xgboost", xgboost_run, &x}, &d, batch, o.rounds);
        }
        if (o.lightgbm) {
            struct lightgbm l = lightgbm_open(o.lightgbm, o.model, d.n_features);
            compare(&us, &(struct subject){"lightgbm", lightgbm_run, &l}, &d, batch, o.rounds);
        }
#ifdef HAVE_ONNXRUNTIME
        if (o.onnxruntime) {
            struct onnxruntime r = onnxruntime_open(o.onnxruntime, o.onnx);
            compare(&us, &(struct subject){"onnxruntime", onnxruntime_run, &r}, &d, batch, o.rounds);
        }
#endif
    }
    return 0;
}
