// SPDX-License-Identifier: Apache-2.0
// Two models that compute what a test says: one of rows (age, income) -> age + 2 income, a value or a list of
// two, and one of tensors x [-1,2], word [-1] -> score [-1,2], label [-1].
#pragma once

#include "admission/subject.h"
#include "engine/engine.h"
#include "engine/runtime.h"
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct model {
    struct signature sig;
    struct feature features[2];
    float fault;            // added to outputs in batches of more than one row
    const char *bad_kernel; // computes something else
};

static const struct signature *rows_signature(const struct model *m)
{
    return &m->sig;
}

static void rows_predict(struct model *m, const void *rows, uint32_t n, void *out)
{
    const float *x = rows;
    float *to = out;
    for (uint32_t i = 0; i < n; i++) {
        float y = x[2 * i] + 2 * x[2 * i + 1] + (n > 1 ? m->fault : 0);
        for (uint32_t k = 0; k < m->sig.n_outputs; k++)
            to[i * m->sig.n_outputs + k] = k ? -y : y;
    }
}

static const char *rows_predict_by(struct model *m, uint32_t i, const void *rows, uint32_t n, void *out)
{
    static const char *const NAMES[] = {"plain", "quick"};
    if (i >= 2)
        return NULL;
    rows_predict(m, rows, n, out);
    if (m->bad_kernel && strcmp(m->bad_kernel, NAMES[i]) == 0)
        *(float *)out += 1;
    return NAMES[i];
}

static void rows_make(struct model *m, uint64_t seed, uint32_t n, void *rows)
{
    (void)m;
    for (uint32_t i = 0; i < 2 * n; i++)
        ((float *)rows)[i] = (float)((i + seed) % 7);
}

static const struct engine ROWS_ENGINE = {.name = "test",
                                          .signature = rows_signature,
                                          .predict = rows_predict,
                                          .predict_by = rows_predict_by,
                                          .make_rows = rows_make};

static inline void model_init(struct model *m, bool missing, uint32_t n_outputs)
{
    struct err e;
    *m = (struct model){.features = {{.name = STR("age"), .may_be_missing = missing},
                                     {.name = STR("income"), .may_be_missing = missing}}};
    m->sig = (struct signature){.n_features = 2,
                                .n_outputs = n_outputs,
                                .input_dtype = DTYPE_FP32,
                                .output_dtype = DTYPE_FP32,
                                .output_is_vector = n_outputs > 1,
                                .named = true,
                                .platform = "test",
                                .output_name = "prediction",
                                .features = m->features};
    ck_assert_int_eq(signature_index(&m->sig, &e), 0);
}

static inline void model_done(struct model *m)
{
    map_done(&m->sig.by_name);
}

// How the model of tensors behaves.
struct session {
    struct interface interface;
    struct tensor_spec inputs[2], outputs[2];
    float score[2 * 1024];
    int64_t label[1024];
    bool refuses, draws; // refuses every input; gives other outputs each time
    bool of_batch;       // outputs depend on the number of rows
    unsigned n_runs;
};

static const struct interface *tensors_interface(const struct session *s)
{
    return &s->interface;
}

static int tensors_run(struct session *s, const struct run *r, struct err *e)
{
    uint32_t n = (uint32_t)r->inputs[0].shape[0];
    const float *x = r->inputs[0].data;
    const char *word = r->inputs[1].data;
    s->n_runs++;
    if (s->refuses)
        return err_set(e, ERR_INVALID, "the input is not for this model");
    for (uint32_t i = 0; i < n; i++) {
        uint32_t length;
        memcpy(&length, word, sizeof length);
        word += sizeof length + length;
        float y = x[2 * i] - x[2 * i + 1] + (float)length + (s->draws ? (float)s->n_runs : 0) +
                  (s->of_batch ? (float)n : 0);
        s->score[2 * i] = y;
        s->score[2 * i + 1] = -y;
        s->label[i] = y > 0;
    }
    r->results[0] = (struct tensor){
        .dtype = DTYPE_FP32, .n_dims = 2, .shape = {n, 2}, .data = s->score, .bytes = 8 * (size_t)n};
    r->results[1] = (struct tensor){
        .dtype = DTYPE_INT64, .n_dims = 1, .shape = {n}, .data = s->label, .bytes = 8 * (size_t)n};
    return 0;
}

static const struct runtime TENSORS_RUNTIME = {
    .name = "test", .interface = tensors_interface, .run = tensors_run};

static inline void session_init(struct session *s)
{
    *s = (struct session){
        .inputs = {{.name = STR("x"), .dtype = DTYPE_FP32, .n_dims = 2, .shape = {-1, 2}},
                   {.name = STR("word"), .dtype = DTYPE_BYTES, .n_dims = 1, .shape = {-1}}},
        .outputs = {{.name = STR("score"), .dtype = DTYPE_FP32, .n_dims = 2, .shape = {-1, 2}},
                    {.name = STR("label"), .dtype = DTYPE_INT64, .n_dims = 1, .shape = {-1}}}};
    s->interface = (struct interface){
        .platform = "test", .n_inputs = 2, .n_outputs = 2, .inputs = s->inputs, .outputs = s->outputs};
}
