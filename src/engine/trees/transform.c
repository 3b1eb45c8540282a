// SPDX-License-Identifier: Apache-2.0
// From margins to outputs, as each library does it: XGBoost in float32 (src/common/math.h, src/objective/),
// LightGBM in double (src/objective/). With the same libm the results are the library's own bits.
#include "engine/trees/forest.h"

#include <math.h>

static float sigmoid_f(float x)
{
    x = -x;
    if (88.7f < x) // expf would overflow
        x = 88.7f;
    return 1.0f / (expf(x) + 1.0f + 1e-16f);
}

static float softplus_f(float x)
{
    return x > 0.0f ? x + log1pf(expf(-x)) : log1pf(expf(x));
}

static void softmax_f(const float *in, float *out, uint32_t n)
{
    float max = in[0];
    for (uint32_t i = 1; i < n; i++)
        max = fmaxf(in[i], max);
    double sum = 0.0;
    for (uint32_t i = 0; i < n; i++) {
        out[i] = expf(in[i] - max);
        sum += (double)out[i];
    }
    for (uint32_t i = 0; i < n; i++)
        out[i] /= (float)sum;
}

static float argmax_f(const float *in, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (in[i] > in[best])
            best = i;
    return (float)best;
}

// The first value is the lowest expectile, each further one a step up that cannot be negative.
static void expectile_f(const float *in, float *out, uint32_t n)
{
    float sum = out[0] = in[0];
    for (uint32_t i = 1; i < n; i++) {
        sum += 1e-6f + softplus_f(in[i]);
        out[i] = sum;
    }
}

static float each_f(enum forest_transform t, float x)
{
    switch (t) {
    case TRANSFORM_SIGMOID:
        return sigmoid_f(x);
    case TRANSFORM_EXP:
        return expf(x);
    case TRANSFORM_HINGE:
        return x > 0.0f ? 1.0f : 0.0f;
    default:
        return x;
    }
}

static void transform_f(const struct forest *f, const float *in, float *out)
{
    switch (f->transform) {
    case TRANSFORM_SOFTMAX:
        softmax_f(in, out, f->n_groups);
        return;
    case TRANSFORM_ARGMAX:
        out[0] = argmax_f(in, f->n_groups);
        return;
    case TRANSFORM_EXPECTILE:
        expectile_f(in, out, f->n_groups);
        return;
    default:
        for (uint32_t g = 0; g < f->n_groups; g++)
            out[g] = each_f(f->transform, in[g]);
    }
}

static void softmax_d(const double *in, double *out, uint32_t n)
{
    double max = in[0], sum = 0.0;
    for (uint32_t i = 1; i < n; i++)
        max = in[i] > max ? in[i] : max;
    for (uint32_t i = 0; i < n; i++) {
        out[i] = exp(in[i] - max);
        sum += out[i];
    }
    for (uint32_t i = 0; i < n; i++)
        out[i] /= sum;
}

static double each_d(const struct forest *f, double x)
{
    switch (f->transform) {
    case TRANSFORM_SIGMOID:
    case TRANSFORM_SIGMOID_EACH:
        return 1.0 / (1.0 + exp(-f->transform_param * x));
    case TRANSFORM_EXP:
        return exp(x);
    case TRANSFORM_LOG1P_EXP:
        return log1p(exp(x));
    case TRANSFORM_SIGNED_SQUARE:
        return (x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0) * x * x;
    default:
        return x;
    }
}

void forest_transform(const struct forest *f, const void *margins, void *out)
{
    if (f->family == FOREST_XGBOOST) {
        transform_f(f, margins, out);
        return;
    }
    const double *in = margins;
    double *ret = out;
    if (f->transform == TRANSFORM_SOFTMAX) {
        softmax_d(in, ret, f->n_groups);
        return;
    }
    for (uint32_t g = 0; g < f->n_groups; g++)
        ret[g] = each_d(f, in[g]);
}
