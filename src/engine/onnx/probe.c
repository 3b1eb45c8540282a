// SPDX-License-Identifier: Apache-2.0
// Whether the rows of a model are independent, found by trying: rows alone and among different others must
// give the same results. A model that, say, normalises over its batch is told apart by that, and its requests
// are never put together.
//
// The same up to rounding: matrix kernels sum in another order when a batch is larger. What honest models
// differ by and what a batch-dependent one differs by are orders of magnitude apart; see tolerance().
#include "engine/onnx/session.h"

#include "base/clock.h"
#include "base/limits.h"
#include "tensor/half.h"
#include "tensor/made_up.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 3, INPUT_BYTES_MAX = 32 << 20 };
static const uint32_t BATCHES[] = {2, 3, 7, 32, 256};
static const uint64_t BUDGET_NS = 5000000000; // a slow model is tried with smaller batches
#define N_OF(array) (sizeof(array) / sizeof(array)[0])

// Largest difference that counts as rounding, relative to the largest value of the output over all rows. Seen
// of honest models: FP32 1e-6, FP64 1e-15; of models that look at their batch: 1e-2 and more.
static double tolerance(enum dtype t)
{
    return t == DTYPE_FP16 ? 1e-2 : t == DTYPE_FP32 ? 1e-4 : t == DTYPE_FP64 ? 1e-10 : 0;
}

// Results of rows alone, one row after another.
struct alone {
    struct buf bytes;
    uint32_t n_dims; // of a row's result, without the first
    int64_t shape[TENSOR_DIMS_MAX];
    double scale; // largest finite value, of floating-point ones
};

struct probe {
    struct session *s;
    const struct interface *i;
    struct made_up way;
    struct tensor inputs[TENSORS_MAX], results[TENSORS_MAX];
    struct buf memory[TENSORS_MAX]; // of the inputs
    struct alone alone[ROUNDS][TENSORS_MAX];
    uint32_t n_alone[ROUNDS]; // rows
    uint64_t one_ns;          // of a row alone
    double worst;
};

static void put_rows(struct probe *p, uint32_t input, const uint32_t *rows, uint32_t n, unsigned round)
{
    const struct tensor_spec *spec = &p->i->inputs[input];
    if (spec->optional)
        p->inputs[input] = (struct tensor){.name = spec->name, .dtype = DTYPE_NONE, .n_dims = spec->n_dims};
    else
        made_up_input(&p->way, spec, input, round, rows, n, &p->memory[input], &p->inputs[input]);
}

// Runs these rows together; false when the model refuses them or its outputs do not have a row for each.
static bool run_rows(struct probe *p, const uint32_t *rows, uint32_t n, unsigned round)
{
    struct err ignored;
    struct run r = {.inputs = p->inputs, .outputs = ~0ull, .results = p->results};
    for (uint32_t i = 0; i < p->i->n_inputs; i++) {
        put_rows(p, i, rows, n, round);
        if (p->memory[i].failed)
            return false;
    }
    if (session_run(p->s, &r, &ignored))
        return false;
    for (uint32_t i = 0; i < p->i->n_outputs; i++)
        if (p->results[i].n_dims == 0 || p->results[i].shape[0] != n)
            return false;
    return true;
}

// Where row `row` lies in a result of n rows.
static struct str row_of(const void *data, size_t bytes, enum dtype t, uint32_t n, uint32_t row)
{
    const char *p = data;
    if (t != DTYPE_BYTES)
        return (struct str){p + bytes / n * row, bytes / n};
    size_t elements = 0, at = 0, start = 0;
    for (int pass = 0; pass < 2; pass++) {
        size_t seen = 0;
        for (at = 0; at < bytes; seen++) {
            uint32_t length;
            if (pass && seen == elements / n * row)
                start = at;
            if (pass && seen == elements / n * (row + 1))
                break;
            memcpy(&length, p + at, sizeof length);
            at += sizeof length + length;
        }
        elements = seen;
    }
    return (struct str){p + start, at - start};
}

static double value_at(enum dtype t, const char *p, size_t i)
{
    double fp64;
    float fp32;
    uint16_t fp16;
    if (t == DTYPE_FP64) {
        memcpy(&fp64, p + i * sizeof fp64, sizeof fp64);
        return fp64;
    }
    if (t == DTYPE_FP32) {
        memcpy(&fp32, p + i * sizeof fp32, sizeof fp32);
        return (double)fp32;
    }
    memcpy(&fp16, p + i * sizeof fp16, sizeof fp16);
    return half_to_double(fp16);
}

static bool is_float(enum dtype t)
{
    return t == DTYPE_FP16 || t == DTYPE_FP32 || t == DTYPE_FP64;
}

// Largest difference relative to the scale; infinite where one is a number and the other is not.
static double difference(enum dtype t, struct str a, struct str b, double scale)
{
    double worst = 0;
    for (size_t i = 0; i < a.n / dtype_size(t); i++) {
        double x = value_at(t, a.p, i), y = value_at(t, b.p, i);
        if (x == y || (isnan(x) && isnan(y)))
            continue;
        double d = isfinite(x) && isfinite(y) ? fabs(x - y) / fmax(scale, DBL_MIN) : (double)INFINITY;
        worst = fmax(worst, d);
    }
    return worst;
}

static bool keep_alone(struct probe *p, unsigned round)
{
    for (uint32_t i = 0; i < p->i->n_outputs; i++) {
        const struct tensor *t = &p->results[i];
        struct alone *a = &p->alone[round][i];
        if (p->n_alone[round] == 0) {
            a->n_dims = t->n_dims - 1;
            memcpy(a->shape, t->shape + 1, a->n_dims * sizeof a->shape[0]);
        } else if (a->n_dims != t->n_dims - 1 ||
                   memcmp(a->shape, t->shape + 1, a->n_dims * sizeof a->shape[0]) != 0) {
            return false;
        }
        buf_put(&a->bytes, t->data, t->bytes);
        for (size_t k = 0; is_float(t->dtype) && k < t->bytes / dtype_size(t->dtype); k++) {
            double v = fabs(value_at(t->dtype, t->data, k));
            a->scale = isfinite(v) ? fmax(a->scale, v) : a->scale;
        }
        if (a->bytes.failed)
            return false;
    }
    return true;
}

static bool run_alone(struct probe *p, uint32_t n, unsigned round)
{
    for (; p->n_alone[round] < n; p->n_alone[round]++)
        if (!run_rows(p, &p->n_alone[round], 1, round) || !keep_alone(p, round))
            return false;
    return true;
}

// Holds the results of a batch, row i of which is row order[i], against those of the rows alone.
static bool same_as_alone(struct probe *p, const uint32_t *order, uint32_t n, unsigned round)
{
    for (uint32_t o = 0; o < p->i->n_outputs; o++) {
        const struct tensor *t = &p->results[o];
        const struct alone *a = &p->alone[round][o];
        if (t->n_dims != a->n_dims + 1 || memcmp(t->shape + 1, a->shape, a->n_dims * sizeof a->shape[0]) != 0)
            return false;
        for (uint32_t i = 0; i < n; i++) {
            struct str got = row_of(t->data, t->bytes, t->dtype, n, i);
            struct str want = row_of(a->bytes.p, a->bytes.n, t->dtype, p->n_alone[round], order[i]);
            if (str_eq(got, want))
                continue;
            if (!is_float(t->dtype) || got.n != want.n)
                return false;
            double d = difference(t->dtype, got, want, a->scale);
            p->worst = fmax(p->worst, d);
            if (!(d <= tolerance(t->dtype)))
                return false;
        }
    }
    return true;
}

// Batches of n rows: each round has other rows, in another order.
static bool try_batch(struct probe *p, uint32_t n)
{
    uint32_t order[256];
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < n; i++)
            order[i] = round % 2 ? n - 1 - i : i;
        if (!run_alone(p, n, round) || !run_rows(p, order, n, round) || !same_as_alone(p, order, n, round))
            return false;
    }
    return true;
}

static bool has_rows(const struct port *p, const struct tensor_spec *spec)
{
    if (p->kind != PORT_TENSOR || p->maybe_none || spec->any_shape || spec->n_dims == 0 ||
        spec->shape[0] >= 0)
        return false;
    for (uint32_t d = 1; d < spec->n_dims; d++) // a square of rows by rows
        if (*p->symbols[0] && strcmp(p->symbols[0], p->symbols[d]) == 0)
            return false;
    return true;
}

static bool may_be_batched(const struct session *s)
{
    bool ok = s->interface.n_outputs > 0, any = false;
    for (uint32_t i = 0; ok && i < s->interface.n_inputs; i++)
        if (!s->interface.inputs[i].optional) {
            ok = has_rows(&s->inputs[i], &s->interface.inputs[i]);
            any = true;
        }
    for (uint32_t i = 0; ok && i < s->interface.n_outputs; i++)
        ok = has_rows(&s->outputs[i], &s->interface.outputs[i]);
    return ok && any;
}

// Sizes and integers that the model takes; how long one row takes.
static bool find_inputs(struct probe *p)
{
    const uint32_t row = 0;
    for (unsigned i = 0; made_up_way(i, &p->way); i++) {
        if (!run_rows(p, &row, 1, 0))
            continue;
        uint64_t begin = clock_mono_ns(); // the second run: the first has warmed up
        bool ok = run_rows(p, &row, 1, 0);
        p->one_ns = clock_mono_ns() - begin;
        return ok;
    }
    return false;
}

static size_t row_bytes(const struct probe *p)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < p->i->n_inputs; i++)
        sum += p->memory[i].n;
    return sum + 1;
}

static uint32_t probe(struct probe *p)
{
    uint32_t best = 0;
    if (!find_inputs(p))
        return 0;
    size_t one_bytes = row_bytes(p);
    uint64_t end = clock_mono_ns() + BUDGET_NS;
    for (size_t i = 0; i < N_OF(BATCHES); i++) {
        uint32_t n = BATCHES[i];
        if (n * one_bytes > INPUT_BYTES_MAX || clock_mono_ns() + 2 * ROUNDS * n * p->one_ns > end)
            break; // what was tried so far holds
        if (!try_batch(p, n))
            return 0;
        best = n;
    }
    return best;
}

uint32_t session_probe_batching(struct session *s, double *ret_worst)
{
    *ret_worst = 0;
    struct probe *p = may_be_batched(s) ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return 0;
    p->s = s;
    p->i = &s->interface;
    for (unsigned i = 0; i < TENSORS_MAX; i++) {
        buf_init(&p->memory[i], INPUT_BYTES_MAX);
        for (unsigned round = 0; round < ROUNDS; round++)
            buf_init(&p->alone[round][i].bytes, LIMIT_ONNX_RESULT_BYTES);
    }
    uint32_t best = probe(p);
    *ret_worst = p->worst;
    for (unsigned i = 0; i < TENSORS_MAX; i++) {
        buf_done(&p->memory[i]);
        for (unsigned round = 0; round < ROUNDS; round++)
            buf_done(&p->alone[round][i].bytes);
    }
    free(p);
    return best;
}
