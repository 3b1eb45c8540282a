// SPDX-License-Identifier: Apache-2.0
// What Slipway computes for a model file, for the parity tests to hold against the training library.
//   parity MODEL ROWS OUT
// ROWS: raw values of the model's input type, row-major. OUT: all margins, then all outputs, in the same
// type. On stdout one line of JSON about the model. A model that is refused: its error's name and message on
// stderr, exit 3.
#include "base/buf.h"
#include "engine/trees/forest.h"
#include "engine/trees/formats.h"
#include "engine/trees/xgboost.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
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

static int parse(const char *path, struct arena *a, struct forest *f, struct err *e)
{
    size_t size;
    const uint8_t *bytes = map_file(path, &size);
    for (size_t i = 0; i < sizeof FORMATS / sizeof FORMATS[0]; i++)
        if (FORMATS[i].detect(bytes, size))
            return FORMATS[i].parse(bytes, size, a, f, e);
    return err_set(e, ERR_UNSUPPORTED_MODEL, "no known model format");
}

static void evaluate(const struct forest *f, const char *rows, size_t n_rows, const char *out_path)
{
    size_t value = dtype_size(f->sig.input_dtype);
    char *margins = calloc(n_rows + 1, value * f->n_groups),
         *out = calloc(n_rows + 1, value * f->sig.n_outputs);
    FILE *to = fopen(out_path, "wb");
    if (!margins || !out || !to) {
        perror(out_path);
        exit(EXIT_FAILURE);
    }
    for (size_t i = 0; i < n_rows; i++) {
        char *margin = margins + i * f->n_groups * value;
        forest_reference_margin(f, rows + i * f->sig.n_features * value, margin);
        forest_transform(f, margin, out + i * f->sig.n_outputs * value);
    }
    fwrite(margins, value * f->n_groups, n_rows, to);
    fwrite(out, value * f->sig.n_outputs, n_rows, to);
    if (fclose(to)) {
        perror(out_path);
        exit(EXIT_FAILURE);
    }
    free(margins);
    free(out);
}

static void print_string(struct str s)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_put_json_str(&b, s);
    fwrite(b.p, 1, b.n, stdout);
    buf_done(&b);
}

static void describe(const struct forest *f)
{
    printf("{\"platform\": \"%s\", \"objective\": \"%s\", \"dtype\": \"%s\", \"n_features\": %u, "
           "\"n_outputs\": %u, "
           "\"n_margins\": %u, \"n_trees\": %u, \"n_nodes\": %u, \"is_vector\": %s, \"named\": %s, "
           "\"features\": [",
           f->sig.platform, f->objective, dtype_name(f->sig.input_dtype), f->sig.n_features, f->sig.n_outputs,
           f->n_groups, f->n_trees, f->n_nodes, f->sig.output_is_vector ? "true" : "false",
           f->sig.named ? "true" : "false");
    for (uint32_t i = 0; i < f->sig.n_features; i++) {
        fputs(i ? ", " : "", stdout);
        print_string(f->sig.features[i].name);
    }
    fputs("], \"categorical\": [", stdout);
    for (uint32_t i = 0; i < f->sig.n_features; i++)
        printf("%s%d", i ? ", " : "", f->sig.features[i].categorical);
    puts("]}");
}

int main(int argc, char **argv)
{
    struct arena a;
    struct forest f;
    struct err e = {0};
    if (argc != 4) {
        fputs("usage: parity MODEL ROWS OUT\n", stderr);
        return 2;
    }
    if (arena_init(&a, (size_t)8 << 30, &e) || parse(argv[1], &a, &f, &e)) {
        fprintf(stderr, "%s: %s\n", err_name(e.code), e.msg);
        return EXIT_REFUSED;
    }
    size_t size, row = f.sig.n_features * dtype_size(f.sig.input_dtype);
    const char *rows = (const char *)map_file(argv[2], &size);
    if (size % row) {
        fprintf(stderr, "%s: %zu bytes are not rows of %zu\n", argv[2], size, row);
        return EXIT_FAILURE;
    }
    evaluate(&f, rows, size / row, argv[3]);
    describe(&f);
    arena_done(&a);
    return 0;
}
