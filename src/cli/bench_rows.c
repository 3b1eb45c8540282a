// SPDX-License-Identifier: Apache-2.0
// What one row is answered with alone is what it must be answered with among others, whatever the load: that
// is how the benchmark knows a wrong answer.
#include "cli/bench_rows.h"

#include "base/limits.h"
#include "cli/load_reply.h"
#include "cli/sample.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODIES_MIN = 8, BODIES_MAX = 256, BODIES_ROWS = 4096, STRIDE = 37 };

void bench_rows_done(struct bench_rows *b)
{
    for (size_t i = 0; i < b->n; i++)
        free((void *)(uintptr_t)b->rows[i].p);
    free(b->rows);
    free(b->values);
    *b = (struct bench_rows){0};
}

static int row_add(struct bench_rows *b, struct str row, struct err *e)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 64;
        struct str *p = reallocarray(b->rows, cap, sizeof *p);
        if (!p)
            return err_set(e, ERR_NOMEM, "no memory for rows");
        b->rows = p;
        b->cap = cap;
    }
    char *copy = str_dup(row);
    if (!copy)
        return err_set(e, ERR_NOMEM, "no memory for rows");
    b->rows[b->n++] = (struct str){copy, row.n};
    return 0;
}

// The protocol's metadata says which inputs may be left out in a property, a JSON array in a string.
static void mark_optional(yyjson_mut_doc *inputs, yyjson_val *metadata)
{
    size_t i, n, k, m;
    yyjson_val *name;
    yyjson_mut_val *input;
    yyjson_val *property = yyjson_obj_get(yyjson_obj_get(metadata, "properties"), "optional_inputs");
    if (!yyjson_is_str(property))
        return;
    yyjson_doc *names = yyjson_read(yyjson_get_str(property), yyjson_get_len(property), 0);
    yyjson_arr_foreach(yyjson_doc_get_root(names), i, n, name)
    {
        yyjson_mut_arr_foreach(yyjson_mut_doc_get_root(inputs), k, m, input)
        {
            if (yyjson_mut_equals_str(yyjson_mut_obj_get(input, "name"), yyjson_get_str(name)))
                yyjson_mut_obj_add_bool(inputs, input, "optional", true);
        }
    }
    yyjson_doc_free(names);
}

// A copy of the metadata's inputs as sample.c wants them. Freed by the caller.
static int inputs_copy(yyjson_val *metadata, yyjson_doc **ret, struct err *e)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_val *inputs = yyjson_obj_get(metadata, "inputs");
    if (doc)
        yyjson_mut_doc_set_root(doc, yyjson_val_mut_copy(doc, inputs));
    if (doc && yyjson_is_arr(inputs))
        mark_optional(doc, metadata);
    *ret = doc && yyjson_is_arr(inputs) ? yyjson_mut_doc_imut_copy(doc, NULL) : NULL;
    yyjson_mut_doc_free(doc);
    return *ret ? 0
                : err_set(e, ERR_UNSUPPORTED_MODEL,
                          "the server does not say what the model takes: give rows with --data");
}

static int inputs_check(yyjson_val *inputs, struct bench_rows *b, struct err *e)
{
    uint64_t values = sample_size(inputs);
    if (values == 0 || values > BENCH_ROW_VALUES_MAX)
        return err_set(e, ERR_UNSUPPORTED_MODEL,
                       "the server does not say what the model takes: give rows with --data");
    if (!sample_takes_rows(inputs))
        return err_set(e, ERR_UNSUPPORTED_MODEL,
                       "the model has an input whose first dimension is not its rows: it cannot be measured "
                       "by rows");
    b->n_features = (uint32_t)values;
    return 0;
}

// ONNX Runtime rounds otherwise in batches of another size; trees do not.
static double tolerance_of(yyjson_val *metadata)
{
    size_t i, n;
    yyjson_val *output;
    double tolerance = BENCH_TOLERANCE;
    const char *platform = yyjson_get_str(yyjson_obj_get(metadata, "platform"));
    if (!platform || !str_starts(str_of(platform), STR("onnx")))
        return tolerance;
    yyjson_arr_foreach(yyjson_obj_get(metadata, "outputs"), i, n, output)
    {
        yyjson_val *type = yyjson_obj_get(output, "datatype");
        if (yyjson_equals_str(type, "FP16"))
            return 1e-2;
        if (yyjson_equals_str(type, "FP32"))
            tolerance = 1e-4;
    }
    return tolerance;
}

int bench_rows_make(struct bench_rows *b, yyjson_val *metadata, size_t n, struct err *e)
{
    struct buf row;
    uint64_t state = 1;
    yyjson_doc *doc = NULL;
    int rc = inputs_copy(metadata, &doc, e);
    yyjson_val *inputs = yyjson_doc_get_root(doc);
    if (!rc)
        rc = inputs_check(inputs, b, e);
    b->tolerance = tolerance_of(metadata);
    buf_init(&row, LIMIT_LOAD_MESSAGE_BYTES);
    for (size_t i = 0; !rc && i < n; i++) {
        buf_clear(&row);
        sample_put(inputs, false, &state, &row);
        rc = row.failed ? err_set(e, ERR_NOMEM, "no memory for rows") : row_add(b, buf_str(&row), e);
    }
    buf_done(&row);
    yyjson_doc_free(doc);
    return rc;
}

int bench_rows_read(struct bench_rows *b, const char *path, size_t max, struct err *e)
{
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0, n_lines = 0;
    ssize_t n;
    int rc = f ? 0 : err_errno(e, errno, "open '%s'", path);
    while (!rc && b->n < max && (n = getline(&line, &cap, f)) >= 0) {
        struct str row = str_trim((struct str){line, (size_t)n});
        while (row.n && (row.p[row.n - 1] == '\n' || row.p[row.n - 1] == '\r'))
            row.n--;
        n_lines++;
        yyjson_doc *doc = yyjson_read(row.p, row.n, 0);
        bool good =
            doc && (yyjson_is_arr(yyjson_doc_get_root(doc)) || yyjson_is_obj(yyjson_doc_get_root(doc)));
        yyjson_doc_free(doc);
        rc = good ? row_add(b, row, e)
                  : err_set(e, ERR_INVALID, "line %zu of '%s' is not a JSON array or object", n_lines, path);
    }
    if (!rc && b->n == 0)
        rc = err_set(e, ERR_INVALID, "'%s' has no rows", path);
    free(line);
    if (f)
        fclose(f);
    return rc;
}

static int learn_row(struct bench_rows *b, size_t i, struct client *c, const struct client_request *q,
                     struct err *e)
{
    yyjson_doc *doc;
    int rc = client_json(c, q, &doc, e);
    if (rc)
        return rc;
    yyjson_val *root = yyjson_doc_get_root(doc);
    size_t n = load_predictions(root, NULL, 0);
    if (i == 0) {
        b->n_values = n;
        b->values = calloc(b->n * n + 1, sizeof *b->values);
    }
    if (!b->values)
        rc = err_set(e, ERR_NOMEM, "no memory for %zu predictions", b->n);
    else if (n == 0 || n != b->n_values)
        rc = err_set(e, ERR_WRONG_COUNT, "the answer to one row has %zu numbers, that to the first has %zu",
                     n, b->n_values);
    else
        load_predictions(root, b->values + i * n, n);
    yyjson_doc_free(doc);
    return rc;
}

int bench_rows_learn(struct bench_rows *b, struct client *c, const char *path, struct err *e)
{
    struct buf body;
    int rc = 0;
    buf_init(&body, LIMIT_LOAD_MESSAGE_BYTES);
    for (size_t i = 0; !rc && i < b->n; i++) {
        buf_clear(&body);
        buf_puts(&body, "{\"instances\":[");
        buf_put_str(&body, b->rows[i]);
        buf_puts(&body, "]}");
        struct client_request q = {
            .method = "POST", .path = path, .content_type = "application/json", .body = buf_str(&body)};
        rc = body.failed ? err_set(e, ERR_NOMEM, "no memory for a row") : learn_row(b, i, c, &q, e);
    }
    buf_done(&body);
    return rc;
}

static int cut_one(const struct bench_rows *b, size_t first, uint32_t n_rows, const struct load_target *t,
                   struct load_set *s, struct err *e)
{
    struct buf body;
    size_t per = b->n_values;
    double *values = calloc((size_t)n_rows * per + 1, sizeof *values);
    buf_init(&body, LIMIT_LOAD_MESSAGE_BYTES);
    buf_puts(&body, "{\"instances\":[");
    for (uint32_t i = 0; values && i < n_rows; i++) {
        size_t row = (first + i) % b->n;
        if (i)
            buf_putc(&body, ',');
        buf_put_str(&body, b->rows[row]);
        memcpy(values + i * per, b->values + row * per, per * sizeof *values);
    }
    buf_puts(&body, "]}");
    int rc = body.failed || !values ? err_set(e, ERR_TOO_LARGE, "a body of %u rows is over %d bytes", n_rows,
                                              LIMIT_LOAD_MESSAGE_BYTES)
                                    : load_set_add(s, t, buf_str(&body), values, (size_t)n_rows * per, e);
    buf_done(&body);
    free(values);
    return rc;
}

int bench_rows_cut(const struct bench_rows *b, uint32_t n_rows, const struct load_target *t,
                   struct load_set *s, struct err *e)
{
    size_t n = BODIES_ROWS / n_rows;
    n = n < BODIES_MIN ? BODIES_MIN : n > BODIES_MAX ? BODIES_MAX : n;
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++)
        rc = cut_one(b, n_rows == 1 ? i : i * STRIDE, n_rows, t, s, e);
    return rc;
}
