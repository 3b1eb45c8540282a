// SPDX-License-Identifier: Apache-2.0
// Keeping and comparing results.
#include "admission/together.h"

#include "admission/cells.h"
#include "base/limits.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Rounding of sums in another order, relative to the largest value of the output; the same as for
// max_batch_rows (engine/onnx/probe.c).
static double rounding(enum dtype t)
{
    return t == DTYPE_FP16 ? 1e-2 : t == DTYPE_FP32 ? 1e-4 : t == DTYPE_FP64 ? 1e-10 : 0;
}

int together_keep(struct together *t, const struct subject *s, uint32_t n_rows, struct err *e)
{
    uint32_t n = s->interface->n_outputs;
    bool failed = false;
    if (!t->results) {
        t->n_outputs = n;
        t->results = calloc(n + 1, sizeof *t->results);
        t->memory = calloc(n + 1, sizeof *t->memory);
        t->scale = calloc(n + 1, sizeof *t->scale);
        for (uint32_t k = 0; t->memory && k < n; k++)
            buf_init(&t->memory[k], LIMIT_ADMISSION_INPUT_BYTES);
    }
    if (!t->results || !t->memory || !t->scale)
        return err_set(e, ERR_NOMEM, "no memory for results");
    t->n_rows = n_rows;
    for (uint32_t k = 0; k < n; k++) {
        struct tensor *to = &t->results[k];
        *to = s->results[k];
        buf_clear(&t->memory[k]);
        buf_put(&t->memory[k], to->data, to->bytes);
        to->data = t->memory[k].p;
        failed |= t->memory[k].failed;
        t->scale[k] = DBL_MIN;
        for (size_t at = 0; !failed && cells_are_floats(to->dtype) && at < to->bytes;
             at += dtype_size(to->dtype)) {
            double v = fabs(cells_float(to->dtype, (const char *)to->data + at));
            t->scale[k] = isfinite(v) ? fmax(t->scale[k], v) : t->scale[k];
        }
    }
    return failed ? err_set(e, ERR_NOMEM, "no memory for results") : 0;
}

void together_done(struct together *t)
{
    for (uint32_t k = 0; t->memory && k < t->n_outputs; k++)
        buf_done(&t->memory[k]);
    free(t->memory);
    free(t->results);
    free(t->scale);
    *t = (struct together){0};
}

static double difference(enum dtype t, struct str a, struct str b, double scale)
{
    double worst = 0;
    for (size_t at = 0; at < a.n; at += dtype_size(t)) {
        double x = cells_float(t, a.p + at), y = cells_float(t, b.p + at);
        if (x == y || (isnan(x) && isnan(y)))
            continue;
        double d = isfinite(x) && isfinite(y) ? fabs(x - y) / scale : (double)INFINITY;
        worst = fmax(worst, d);
    }
    return worst;
}

bool together_has_row(struct together *t, const struct subject *s, uint32_t row)
{
    for (uint32_t k = 0; k < t->n_outputs; k++) {
        const struct tensor *alone = &s->results[k], *all = &t->results[k];
        if (alone->dtype == DTYPE_NONE && all->dtype == DTYPE_NONE)
            continue;
        if (alone->dtype != all->dtype || alone->n_dims == 0 || alone->n_dims != all->n_dims ||
            alone->shape[0] != 1 || all->shape[0] != t->n_rows)
            return false;
        struct str got = {alone->data, alone->bytes}, want = cells_row(all, t->n_rows, row);
        if (str_eq(got, want))
            continue;
        if (s->is_exact || !cells_are_floats(all->dtype) || got.n != want.n)
            return false;
        double d = difference(all->dtype, got, want, t->scale[k]);
        t->worst = fmax(t->worst, d);
        if (!(d <= rounding(all->dtype)))
            return false;
    }
    return true;
}

bool together_is(const struct together *t, const struct subject *s)
{
    for (uint32_t k = 0; k < t->n_outputs; k++) {
        const struct tensor *a = &s->results[k], *b = &t->results[k];
        if (a->dtype != b->dtype || a->bytes != b->bytes ||
            (a->bytes && memcmp(a->data, b->data, a->bytes) != 0))
            return false;
    }
    return true;
}

int together_not_finite(const struct subject *s)
{
    for (uint32_t k = 0; k < s->interface->n_outputs; k++) {
        const struct tensor *t = &s->results[k];
        for (size_t at = 0; cells_are_floats(t->dtype) && at < t->bytes; at += dtype_size(t->dtype))
            if (!isfinite(cells_float(t->dtype, (const char *)t->data + at)))
                return (int)k;
    }
    return -1;
}
