// SPDX-License-Identifier: Apache-2.0
// An output with a probability for each class is preferred to one with a class.
#include "role/monitor/outcome.h"

#include "monitor/cohort.h"
#include "role/feedback_token.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double SUM_TOLERANCE = 1e-3; // of the probabilities of a row, from 1

static double at(const struct tensor *t, size_t i)
{
    const char *p = (const char *)t->data + i * dtype_size(t->dtype);
    union {
        float f;
        double d;
        int64_t l;
        int32_t w;
        uint8_t b;
    } v;
    memcpy(&v, p, dtype_size(t->dtype));
    switch (t->dtype) {
    case DTYPE_FP32:
        return (double)v.f;
    case DTYPE_FP64:
        return v.d;
    case DTYPE_INT64:
        return (double)v.l;
    case DTYPE_INT32:
        return v.w;
    default:
        return v.b;
    }
}

// A request that asked for its arm is no part of the experiment.
static uint16_t weight_of(const struct record_head *h)
{
    return h->flags & RECORD_OVERRIDE ? 0 : h->weight_bp;
}

static void set_output(struct outcomes *o, const struct tensor *t, int rank)
{
    o->t = *t;
    o->width = rank < 3 ? 1 : feedback_output_width(t);
    o->rows = (uint32_t)t->shape[0];
    o->base.kind = rank == 2 ? OUTCOME_NUMBER : OUTCOME_CLASS;
    o->base.n_classes = rank == 3 ? o->width : COHORT_CLASSES_MAX;
}

// Of nearly all records: the only block, one floating-point number a row.
static bool is_number(struct str blocks, struct tensor *ret)
{
    const struct record_block_head *b = (const struct record_block_head *)(const void *)blocks.p;
    size_t head = sizeof *b + sizeof(uint64_t);
    if (blocks.n <= head || b->form != RECORD_VALUES || b->n_dims != 1 ||
        (b->dtype != DTYPE_FP32 && b->dtype != DTYPE_FP64) || b->bytes == 0 ||
        head + ((b->bytes + 7) & ~(size_t)7) != blocks.n)
        return false;
    ret->dtype = (enum dtype)b->dtype;
    ret->n_dims = 1;
    memcpy(&ret->shape[0], b + 1, sizeof ret->shape[0]);
    ret->data = blocks.p + head;
    ret->bytes = b->bytes;
    return true;
}

bool outcomes_of(const struct version *v, const struct record *r, struct outcomes *ret)
{
    struct str rest = r->outputs;
    struct record_block b;
    int best = 0;
    ret->base = (struct outcome){.deployment = v->deployment,
                                 .version = v->version,
                                 .wall_ns = r->head.wall_ns,
                                 .arm = r->head.arm,
                                 .weight_bp = weight_of(&r->head),
                                 .bucket = r->head.bucket};
    if (is_number(rest, &ret->t)) {
        ret->width = 1;
        ret->rows = (uint32_t)ret->t.shape[0];
        ret->base.kind = OUTCOME_NUMBER;
        ret->base.n_classes = COHORT_CLASSES_MAX;
        return true;
    }
    while (record_block_next(&rest, &b)) {
        int rank = b.form == RECORD_VALUES ? feedback_output_rank(&b.t) : 0;
        if (rank > best)
            set_output(ret, &b.t, rank);
        best = rank > best ? rank : best;
    }
    return best > 0;
}

void outcomes_of_token(const struct feedback_token *t, struct outcomes *ret)
{
    ret->base = (struct outcome){.deployment = t->deployment,
                                 .version = t->version,
                                 .wall_ns = t->wall_ns,
                                 .arm = t->arm,
                                 .weight_bp = t->is_override ? 0 : t->weight_bp,
                                 .bucket = t->bucket};
    set_output(ret, &t->output, feedback_output_rank(&t->output));
}

static bool class_at(const struct outcomes *o, uint32_t row, struct outcome *ret)
{
    double sum = 0, best = -1;
    for (uint32_t i = 0; i < o->width; i++) {
        double p = at(&o->t, (size_t)row * o->width + i);
        if (!(p >= 0 && p <= 1))
            return false;
        sum += p;
        if (p > best)
            ret->class = (int32_t)i;
        best = fmax(best, p);
    }
    ret->score = best;
    ret->confidence = (float)best;
    if (o->width == 2) {
        ret->kind = OUTCOME_PAIR;
        ret->score = at(&o->t, (size_t)row * 2 + 1);
    }
    return fabs(sum - 1) <= SUM_TOLERANCE;
}

bool outcome_at(const struct outcomes *o, uint32_t row, struct outcome *ret)
{
    *ret = o->base;
    if (o->width > 1)
        return class_at(o, row, ret);
    double value = at(&o->t, row);
    ret->score = value;
    if (ret->kind == OUTCOME_NUMBER)
        return isfinite(value);
    ret->score = nan("");
    ret->class = (int32_t)value;
    return value >= 0 && value < COHORT_CLASSES_MAX;
}

uint32_t outcome_names(const struct version *v, const struct str **ret)
{
    for (uint32_t i = 0; i < v->schema.n_outputs; i++)
        if (v->schema.outputs[i].n_labels) {
            *ret = v->schema.outputs[i].labels;
            return v->schema.outputs[i].n_labels;
        }
    *ret = NULL;
    return 0;
}

double outcome_truth(const struct version *v, const struct outcome *o, const struct label *label)
{
    const struct str *names;
    uint32_t n = outcome_names(v, &names);
    char text[32];
    uint64_t wanted = label->text;
    if (o->kind == OUTCOME_NUMBER && label->kind == LABEL_TEXT)
        return nan("");
    if (o->kind == OUTCOME_NUMBER)
        return label->number;
    if (label->kind == LABEL_NUMBER) // a class may be called 7
        wanted = label_text_hash(text, (size_t)snprintf(text, sizeof text, "%.15g", label->number));
    for (uint32_t i = 0; i < n && i < o->n_classes; i++)
        if (label_text_hash(names[i].p, names[i].n) == wanted)
            return i;
    return label->kind == LABEL_NUMBER && cohort_takes(o, label->number) ? label->number : nan("");
}
