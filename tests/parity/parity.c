// SPDX-License-Identifier: Apache-2.0
// What Slipway computes for a model file, for the parity tests to hold against the training library.
//   parity MODEL ROWS OUT
// ROWS: raw values of the model's input type, row-major. OUT: all margins, then all outputs, in the same
// type. On stdout one line of JSON about the model. A model that is refused: its error's name and message on
// stderr, exit 3.
// The numbers are the reference evaluator's. The engine, and every kernel that can run the model here, must
// give the same bits for each row alone and for all rows at once; else the model, kernel and row that differ
// are named on stderr, exit 1.
#include "base/buf.h"
#include "engine/engine.h"
#include "engine/trees/formats.h"
#include "engine/trees/trees.h"
#include "engine/trees/xgboost.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_REFUSED = 3 };

struct format {
    bool (*detect)(const uint8_t *bytes, size_t size);
    int (*parse)(const uint8_t *bytes, size_t size, struct arena *a, struct forest *ret, struct err *e);
};

static const struct format FORMATS[] = {
    {xgboost_json_detect, xgboost_json_parse},
    {xgboost_ubj_detect, xgboost_ubj_parse},
    {lightgbm_text_detect, lightgbm_text_parse},
};

// What the reference says to all rows. Sizes are of one row.
struct answers {
    const char *model; // the file
    const struct forest *f;
    const char *rows;        // (n_rows, n_features)
    char *margins, *outputs; // (n_rows, n_groups), (n_rows, n_outputs)
    char *got;               // room for either, where others compute
    size_t row_bytes, margin_bytes, output_bytes;
    uint32_t n_rows;
};

static const uint8_t *map_file(const char *path, size_t *ret_size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    *ret_size = (size_t)st.st_size;
    void *p = st.st_size ? mmap(NULL, *ret_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (p == MAP_FAILED) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    return p;
}

static int parse(const uint8_t *bytes, size_t size, struct arena *a, struct forest *f, struct err *e)
{
    for (size_t i = 0; i < sizeof FORMATS / sizeof FORMATS[0]; i++)
        if (FORMATS[i].detect(bytes, size))
            return FORMATS[i].parse(bytes, size, a, f, e);
    return err_set(e, ERR_UNSUPPORTED_MODEL, "no known model format");
}

static void *allocate(size_t n, size_t bytes)
{
    void *p = calloc(n + 1, bytes);
    if (!p) {
        perror("parity");
        exit(EXIT_FAILURE);
    }
    return p;
}

static struct answers reference(const char *model, const struct forest *f, const char *rows, uint32_t n_rows)
{
    size_t value = dtype_size(f->sig.input_dtype);
    struct answers a = {.model = model,
                        .f = f,
                        .rows = rows,
                        .n_rows = n_rows,
                        .row_bytes = f->sig.n_features * value,
                        .margin_bytes = f->n_groups * value,
                        .output_bytes = f->sig.n_outputs * value};
    size_t widest = a.margin_bytes > a.output_bytes ? a.margin_bytes : a.output_bytes;
    a.margins = allocate(n_rows, a.margin_bytes);
    a.outputs = allocate(n_rows, a.output_bytes);
    a.got = allocate(n_rows, widest);
    for (size_t i = 0; i < n_rows; i++) {
        forest_reference_margin(f, rows + i * a.row_bytes, a.margins + i * a.margin_bytes);
        forest_transform(f, a.margins + i * a.margin_bytes, a.outputs + i * a.output_bytes);
    }
    return a;
}

static void write_answers(const struct answers *a, const char *path)
{
    FILE *to = fopen(path, "wb");
    if (!to) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    fwrite(a->margins, a->margin_bytes, a->n_rows, to);
    fwrite(a->outputs, a->output_bytes, a->n_rows, to);
    if (fclose(to)) {
        perror(path);
        exit(EXIT_FAILURE);
    }
}

static double value_at(const struct answers *a, const char *p)
{
    float f;
    double d;
    if (a->f->sig.input_dtype == DTYPE_FP32) {
        memcpy(&f, p, sizeof f);
        return (double)f;
    }
    memcpy(&d, p, sizeof d);
    return d;
}

// Holds a->got against `want`, (n_rows) of `bytes` each; the first row that differs ends the program.
static void expect(const struct answers *a, const char *who, const char *how, const char *want, size_t bytes)
{
    size_t value = dtype_size(a->f->sig.input_dtype), at = 0, end = a->n_rows * bytes;
    while (at < end && memcmp(a->got + at, want + at, value) == 0)
        at += value;
    if (at == end)
        return;
    fprintf(stderr, "%s: %s, %s: row %zu of %u, %s %zu: %.17g is not the reference's %.17g\n", a->model, who,
            how, at / bytes, a->n_rows, want == a->margins ? "margin" : "output", at % bytes / value,
            value_at(a, a->got + at), value_at(a, want + at));
    exit(EXIT_FAILURE);
}

typedef void compute_fn(void *with, const void *rows, uint32_t n_rows, void *out);

static void check(const struct answers *a, const char *who, compute_fn *compute, void *with, const char *want,
                  size_t bytes)
{
    enum { NEVER_A_VALUE = 0xee };
    memset(a->got, NEVER_A_VALUE, a->n_rows * bytes);
    compute(with, a->rows, a->n_rows, a->got);
    expect(a, who, "all rows in one batch", want, bytes);
    memset(a->got, NEVER_A_VALUE, a->n_rows * bytes);
    for (size_t i = 0; i < a->n_rows; i++)
        compute(with, a->rows + i * a->row_bytes, 1, a->got + i * bytes);
    expect(a, who, "row by row", want, bytes);
}

static void engine_margin(void *with, const void *rows, uint32_t n_rows, void *out)
{
    engine_trees.margin(with, rows, n_rows, out);
}

static void engine_predict(void *with, const void *rows, uint32_t n_rows, void *out)
{
    engine_trees.predict(with, rows, n_rows, out);
}

struct forced {
    struct trees *m;
    const struct kernel *kernel; // NULL: plain
};

static void forced_margin(void *with, const void *rows, uint32_t n_rows, void *out)
{
    struct forced *f = with;
    trees_margin_by(f->m, f->kernel, rows, n_rows, out);
}

// Every kernel that this processor can run on the model, each with the plain coder of rows and with the
// fastest.
static void check_kernels(const struct answers *a, struct trees *m)
{
    coder_fn *coders[] = {code_row, coder_best(m->img.h)};
    struct forced f = {.m = m};
    if (!m->img.h->coded)
        check(a, "plain", forced_margin, &f, a->margins, a->margin_bytes);
    for (f.kernel = KERNELS; f.kernel->name; f.kernel++)
        for (size_t i = 0; i < 2 && kernel_usable(f.kernel, m->img.h); i++) {
            char who[64];
            snprintf(who, sizeof who, "%s%s", f.kernel->name, i ? "" : " after the plain coder");
            m->code = coders[i];
            check(a, who, forced_margin, &f, a->margins, a->margin_bytes);
        }
}

static void check_engine(const struct answers *a, struct model *m)
{
    const struct signature *s = engine_trees.signature(m);
    if (s->n_features != a->f->sig.n_features || s->n_outputs != a->f->sig.n_outputs ||
        s->input_dtype != a->f->sig.input_dtype || engine_trees.n_margins(m) != a->f->n_groups) {
        fprintf(stderr, "%s: the image has another signature than the model\n", a->model);
        exit(EXIT_FAILURE);
    }
    check(a, "engine", engine_margin, m, a->margins, a->margin_bytes);
    check(a, "engine", engine_predict, m, a->outputs, a->output_bytes);
}

// Compiles the model to an image, as a push does. Returns what the engine returns.
static int compile(const uint8_t *bytes, size_t size, void **ret, size_t *ret_size, struct err *e)
{
    struct buf image;
    buf_init(&image, (size_t)1 << 30);
    int rc = engine_trees.compile(bytes, size, &image, e);
    *ret_size = image.n;
    *ret = aligned_alloc(IMAGE_ALIGN, (image.n / IMAGE_ALIGN + 1) * IMAGE_ALIGN);
    if (!*ret) {
        perror("parity");
        exit(EXIT_FAILURE);
    }
    if (image.n)
        memcpy(*ret, image.p, image.n);
    buf_done(&image);
    return rc;
}

static void print_string(struct str s)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_put_json_str(&b, s);
    fwrite(b.p, 1, b.n, stdout);
    buf_done(&b);
}

// What the opened image says of the model.
static void describe(const struct trees *m)
{
    const struct signature *s = &m->img.forest.sig;
    const struct image_header *h = m->img.h;
    printf("{\"platform\": \"%s\", \"objective\": \"%s\", \"dtype\": \"%s\", \"n_features\": %u, "
           "\"n_outputs\": %u, \"n_margins\": %u, \"n_trees\": %u, \"n_nodes\": %u, \"max_depth\": %u, "
           "\"is_vector\": %s, \"named\": %s, \"features\": [",
           s->platform, h->objective, dtype_name(s->input_dtype), s->n_features, s->n_outputs, h->n_groups,
           h->n_trees, h->n_nodes, h->max_depth, s->output_is_vector ? "true" : "false",
           s->named ? "true" : "false");
    for (uint32_t i = 0; i < s->n_features; i++) {
        fputs(i ? ", " : "", stdout);
        print_string(s->features[i].name);
    }
    fputs("], \"categorical\": [", stdout);
    for (uint32_t i = 0; i < s->n_features; i++)
        printf("%s%d", i ? ", " : "", s->features[i].categorical);
    fputs("], \"kernels\": [", stdout);
    if (!h->coded)
        fputs("\"plain\"", stdout);
    const char *comma = "";
    for (const struct kernel *k = KERNELS; k->name; k++)
        if (kernel_usable(k, h)) {
            printf("%s\"%s\"", comma, k->name);
            comma = ", ";
        }
    puts("]}");
}

static int refused(const struct err *e)
{
    fprintf(stderr, "%s: %s\n", err_name(e->code), e->msg);
    return EXIT_REFUSED;
}

static int run(char **argv, const struct forest *f, void *image, size_t image_size)
{
    struct err e = {0};
    struct model *m;
    struct trees *t;
    size_t size, row = f->sig.n_features * dtype_size(f->sig.input_dtype);
    const char *rows = (const char *)map_file(argv[2], &size);
    if (size % row || size / row > UINT32_MAX) {
        fprintf(stderr, "%s: %zu bytes are not rows of %zu\n", argv[2], size, row);
        return EXIT_FAILURE;
    }
    if (engine_trees.open(image, image_size, &m, &e) || trees_open(image, image_size, &t, &e)) {
        fprintf(stderr, "%s: the image does not open: %s\n", argv[1], e.msg);
        return EXIT_FAILURE;
    }
    struct answers a = reference(argv[1], f, rows, (uint32_t)(size / row));
    check_kernels(&a, t); // first: it tells which kernel
    check_engine(&a, m);
    write_answers(&a, argv[3]);
    describe(t);
    engine_trees.close(m);
    trees_close(t);
    free(a.margins);
    free(a.outputs);
    free(a.got);
    return 0;
}

int main(int argc, char **argv)
{
    struct arena a;
    struct forest f;
    struct err e = {0}, engines = {0};
    if (argc != 4) {
        fputs("usage: parity MODEL ROWS OUT\n", stderr);
        return 2;
    }
    size_t size, image_size;
    void *image;
    const uint8_t *bytes = map_file(argv[1], &size);
    if (arena_init(&a, (size_t)8 << 30, &e))
        return refused(&e);
    int rc = parse(bytes, size, &a, &f, &e), engines_rc = compile(bytes, size, &image, &image_size, &engines);
    if (engines_rc != rc) {
        fprintf(stderr, "%s: the parser says '%s', the engine '%s'\n", argv[1], rc ? e.msg : "sound",
                engines_rc ? engines.msg : "sound");
        rc = EXIT_FAILURE;
    } else {
        rc = rc ? refused(&e) : run(argv, &f, image, image_size);
    }
    free(image);
    arena_done(&a);
    return rc;
}
