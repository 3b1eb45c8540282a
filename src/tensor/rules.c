// SPDX-License-Identifier: Apache-2.0
// Binding a signature document to a model: rules by column, with bounds and codes as the model's type holds
// them, so that a value which rounds onto a bound is within it.
#include "tensor/half.h"
#include "tensor/rule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BASE = 1 << 20, ARENA_PER_BYTE = 64 };

struct rules {
    struct arena arena; // of everything here but maps
    struct schema schema;
    struct signature sig;
    struct categories *texts; // (n_texts)
    uint32_t n_texts;
};

static double held(enum dtype t, double v)
{
    if (t == DTYPE_FP32)
        return (double)(float)v;
    return t == DTYPE_FP16 ? half_to_double(half_from_double(v)) : v;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for the rules of a signature");
}

static int take_categories(struct rules *r, const struct schema_column *c, enum dtype dtype, struct rule *to,
                           struct err *e)
{
    if (!c->has_categories)
        return 0;
    if (dtype != DTYPE_BYTES) {
        double *allowed = arena_calloc(&r->arena, c->n_categories, sizeof *allowed);
        if (!allowed)
            return no_memory(e);
        for (uint32_t i = 0; i < c->n_categories; i++)
            allowed[i] = held(dtype, c->codes[i]);
        qsort(allowed, c->n_categories, sizeof *allowed, compare_doubles);
        to->allowed = allowed;
        to->n_allowed = c->n_categories;
    }
    if (c->numeric)
        return 0;
    struct categories *texts = &r->texts[r->n_texts++];
    *texts = (struct categories){.names = c->categories, .codes = c->codes, .n = c->n_categories};
    to->texts = texts;
    return categories_index(texts, e);
}

static int take_rule(struct rules *r, const struct schema_column *c, enum dtype dtype, bool has_missing,
                     const struct rule **ret, struct err *e)
{
    if (!c->mode)
        return 0;
    struct rule *to = arena_calloc(&r->arena, 1, sizeof *to);
    if (!to)
        return no_memory(e);
    *to = (struct rule){.mode = c->mode,
                        .type = c->type,
                        .dtype = dtype,
                        .may_be_missing = c->missing != SCHEMA_NO,
                        .has_missing = has_missing,
                        .whole = c->type == SCHEMA_INTEGER || c->type == SCHEMA_CATEGORY,
                        .min = c->has_min ? held(dtype, c->min) : -(double)INFINITY,
                        .max = c->has_max ? held(dtype, c->max) : (double)INFINITY};
    int rc = take_categories(r, c, dtype, to, e);
    to->looks = to->whole || c->type == SCHEMA_BOOLEAN || c->has_min || c->has_max || to->allowed ||
                (dtype == DTYPE_BYTES && to->texts);
    *ret = to;
    return rc;
}

static int open_rules(struct str json, struct rules **ret, struct err *e)
{
    struct rules *r = calloc(1, sizeof *r);
    *ret = NULL;
    if (!r)
        return no_memory(e);
    int rc = arena_init(&r->arena, ARENA_BASE + ARENA_PER_BYTE * json.n, e);
    if (!rc)
        rc = schema_read(json, false, "$", &r->arena, &r->schema, e);
    if (!rc) {
        r->texts = arena_calloc(&r->arena, r->schema.n_inputs, sizeof *r->texts);
        rc = r->texts ? 0 : no_memory(e);
    }
    if (rc)
        rules_free(r);
    else
        *ret = r;
    return rc;
}

static int other_model(struct err *e)
{
    return err_set(e, ERR_INVALID, "the signature is not about this model: its inputs are others");
}

static int bind_features(struct rules *r, const struct signature *model, struct err *e)
{
    struct signature *s = &r->sig;
    for (uint32_t i = 0; i < s->n_features; i++) {
        const struct schema_column *c = &r->schema.inputs[i];
        struct feature *f = &s->features[i];
        *f = model->features[i];
        if (!r->schema.renamed && !str_eq(c->name, f->name))
            return other_model(e);
        f->name = c->name;
        int rc = take_rule(r, c, s->input_dtype, f->may_be_missing, &f->rule, e);
        if (rc)
            return rc;
        if (f->rule && f->rule->texts)
            f->categories = f->rule->texts;
        s->takes_text |= f->rule != NULL;
        s->has_rules |= f->rule && f->rule->looks;
    }
    return 0;
}

int rules_bind(const struct signature *model, struct str json, struct rules **ret, struct err *e)
{
    struct rules *r;
    int rc = open_rules(json, ret, e);
    if (rc)
        return rc;
    r = *ret;
    r->sig = *model;
    r->sig.by_name = (struct map){0};
    r->sig.named = r->schema.named;
    if (r->schema.n_inputs != model->n_features)
        rc = other_model(e);
    if (!rc)
        r->sig.features = arena_calloc(&r->arena, model->n_features, sizeof *r->sig.features);
    if (!rc && !r->sig.features)
        rc = no_memory(e);
    if (!rc)
        rc = bind_features(r, model, e);
    if (!rc)
        rc = signature_index(&r->sig, e);
    if (rc) {
        rules_free(r);
        *ret = NULL;
    }
    return rc;
}

const struct signature *rules_signature(const struct rules *r)
{
    return &r->sig;
}

static bool is_float(enum dtype t)
{
    return t == DTYPE_FP16 || t == DTYPE_FP32 || t == DTYPE_FP64;
}

int rules_bind_interface(struct interface *i, struct str json, struct rules **ret, struct err *e)
{
    struct rules *r;
    int rc = open_rules(json, ret, e);
    if (rc)
        return rc;
    r = *ret;
    if (!schema_has_rules(&r->schema)) {
        rules_free(r);
        *ret = NULL;
        return 0;
    }
    if (r->schema.n_inputs != i->n_inputs)
        rc = other_model(e);
    for (uint32_t k = 0; rc == 0 && k < i->n_inputs; k++) {
        struct tensor_spec *s = &i->inputs[k];
        rc = str_eq(s->name, r->schema.inputs[k].name) ? 0 : other_model(e);
        if (rc == 0)
            rc = take_rule(r, &r->schema.inputs[k], s->dtype, is_float(s->dtype), &s->rule, e);
        i->has_rules |= s->rule != NULL;
    }
    if (rc) {
        rules_free(r);
        *ret = NULL;
    }
    return rc;
}

void rules_free(struct rules *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->n_texts; i++)
        map_done(&r->texts[i].by_name);
    map_done(&r->sig.by_name);
    arena_done(&r->arena);
    free(r);
}
