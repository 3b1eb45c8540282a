// SPDX-License-Identifier: Apache-2.0
// Files of golden rows: whatever the bytes, what is accepted has an output for each row, and comparing it
// ends in an error with its place or in numbers.
#include "fuzz.h"

#include "admission/golden.h"
#include "base/limits.h"
#include "engine/engine.h"

#include <string.h>

struct model {
    struct signature sig;
};

static const struct signature *signature(const struct model *m)
{
    return &m->sig;
}

static void predict(struct model *m, const void *rows, uint32_t n, void *out)
{
    const double *x = rows;
    double *y = out;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < m->sig.n_outputs; k++)
            y[i * m->sig.n_outputs + k] = x[2 * i] + k * x[2 * i + 1];
}

static const struct engine ENGINE = {.name = "fuzz", .signature = signature, .predict = predict};

static void check(struct str json, uint32_t n_outputs)
{
    struct feature features[] = {{.name = STR("a"), .may_be_missing = true}, {.name = STR("b b")}};
    struct model m = {.sig = {.n_features = 2,
                              .n_outputs = n_outputs,
                              .input_dtype = DTYPE_FP64,
                              .output_dtype = DTYPE_FP64,
                              .output_is_vector = n_outputs > 1,
                              .named = true,
                              .output_name = "y",
                              .features = features}};
    struct subject s;
    struct golden *g = NULL;
    struct golden_worst w = {0};
    struct err e = {0};
    if (signature_index(&m.sig, &e))
        return;
    subject_of_model(&s, &ENGINE, &m);
    int rc = golden_open(json, &s, &g, &e);
    if (!rc) {
        uint32_t n = golden_n_rows(g);
        EXPECT(n > 0 && n <= LIMIT_GOLDEN_ROWS && n == golden_inputs(g)->n_rows);
        EXPECT(golden_inputs(g)->inputs[0].bytes == n * 2 * sizeof(double));
        rc = subject_run(&s, golden_inputs(g), &e);
        EXPECT(!rc);
        rc = golden_hold(g, &s, 0, n, &w, &e);
        EXPECT(rc || !w.is_known || (w.row < n && w.output[0] && w.expected[0] && w.got[0]));
    }
    if (rc)
        EXPECT(rc < 0 && e.code == rc && e.msg[0]);
    golden_close(g);
    subject_done(&s);
    map_done(&m.sig.by_name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check((struct str){(const char *)data, size}, 1);
    check((struct str){(const char *)data, size}, 2);
    return 0;
}
