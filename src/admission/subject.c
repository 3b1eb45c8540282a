// SPDX-License-Identifier: Apache-2.0
// The two kinds of models behind one surface.
#include "admission/subject.h"

#include "base/limits.h"
#include "engine/engine.h"
#include "engine/runtime.h"
#include "tensor/made_up.h"

#include <stdlib.h>
#include <string.h>

void subject_of_model(struct subject *s, const struct engine *engine, struct model *m)
{
    const struct signature *sig = engine->signature(m);
    *s = (struct subject){.signature = sig, .is_exact = true, .has_rows = true, .engine = engine, .model = m};
    s->specs[0] = (struct tensor_spec){
        .name = STR("rows"), .dtype = sig->input_dtype, .n_dims = 2, .shape = {-1, sig->n_features}};
    s->specs[1] = (struct tensor_spec){.name = str_of(sig->output_name),
                                       .dtype = sig->output_dtype,
                                       .n_dims = sig->output_is_vector ? 2 : 1,
                                       .shape = {-1, sig->n_outputs}};
    s->own = (struct interface){.platform = sig->platform,
                                .n_inputs = 1,
                                .n_outputs = 1,
                                .inputs = &s->specs[0],
                                .outputs = &s->specs[1],
                                .max_batch_rows = UINT32_MAX};
    s->interface = &s->own;
    s->results = calloc(1, sizeof *s->results);
    buf_init(&s->out, LIMIT_ADMISSION_INPUT_BYTES);
}

int subject_of_session(struct subject *s, const struct runtime *runtime, struct session *session,
                       uint32_t max_batch_rows, struct err *e)
{
    *s = (struct subject){.interface = runtime->interface(session),
                          .has_rows = max_batch_rows > 0,
                          .runtime = runtime,
                          .session = session};
    buf_init(&s->out, 0);
    s->results = calloc(s->interface->n_outputs + 1, sizeof *s->results);
    return s->results ? 0 : err_set(e, ERR_NOMEM, "no memory to try the model");
}

void subject_done(struct subject *s)
{
    free(s->results);
    buf_done(&s->out);
    *s = (struct subject){0};
}

// Where a model of rows writes the outputs of n rows; NULL without memory.
static void *room_for(struct subject *s, uint32_t n)
{
    const struct tensor_spec *o = &s->specs[1];
    size_t bytes = (size_t)n * (size_t)o->shape[1] * dtype_size(o->dtype);
    buf_clear(&s->out);
    void *to = s->results ? buf_reserve(&s->out, bytes) : NULL;
    if (to)
        s->results[0] = (struct tensor){.name = o->name,
                                        .dtype = o->dtype,
                                        .n_dims = o->n_dims,
                                        .shape = {n, o->shape[1]},
                                        .data = to,
                                        .bytes = bytes};
    return to;
}

static bool shape_fits(const struct tensor_spec *o, const struct tensor *t)
{
    bool fits = o->any_shape || t->n_dims == o->n_dims;
    for (uint32_t k = 0; fits && !o->any_shape && k < o->n_dims; k++)
        fits = o->shape[k] < 0 || t->shape[k] == o->shape[k];
    return fits && t->dtype == o->dtype;
}

static int run_session(struct subject *s, const struct examples *x, struct err *e)
{
    const struct interface *i = s->interface;
    struct run r = {.inputs = x->inputs,
                    .outputs = i->n_outputs >= TENSORS_MAX ? UINT64_MAX : (1ull << i->n_outputs) - 1,
                    .results = s->results};
    memset(s->results, 0, i->n_outputs * sizeof *s->results);
    int rc = s->runtime->run(s->session, &r, e);
    for (uint32_t k = 0; !rc && k < i->n_outputs; k++)
        if (s->results[k].dtype != DTYPE_NONE && !shape_fits(&i->outputs[k], &s->results[k]))
            rc = err_set(e, ERR_BAD_MODEL,
                         "output '" STR_FMT
                         "' comes out with another datatype or shape than the model declares",
                         STR_ARG(i->outputs[k].name));
    return rc;
}

int subject_run(struct subject *s, const struct examples *x, struct err *e)
{
    if (s->runtime)
        return run_session(s, x, e);
    void *to = room_for(s, x->n_rows);
    if (!to)
        return err_set(e, ERR_NOMEM, "no memory for the outputs of %u rows", x->n_rows);
    s->engine->predict(s->model, x->inputs[0].data, x->n_rows, to);
    return 0;
}

const char *subject_run_by(struct subject *s, uint32_t i, const struct examples *x)
{
    void *to = s->runtime || !s->engine->predict_by ? NULL : room_for(s, x->n_rows);
    return to ? s->engine->predict_by(s->model, i, x->inputs[0].data, x->n_rows, to) : NULL;
}

static int make_up_rows(struct subject *s, uint32_t n, uint64_t seed, struct examples *x, struct err *e)
{
    const struct tensor_spec *in = &s->specs[0];
    size_t bytes = (size_t)n * (size_t)in->shape[1] * dtype_size(in->dtype);
    char *to = buf_reserve(&x->memory[0], bytes);
    if (!to)
        return err_set(e, ERR_NOMEM, "no memory for %u rows", n);
    s->engine->make_rows(s->model, seed, n, to);
    buf_advance(&x->memory[0], bytes);
    x->inputs[0] = (struct tensor){.name = in->name,
                                   .dtype = in->dtype,
                                   .n_dims = 2,
                                   .shape = {n, in->shape[1]},
                                   .data = to,
                                   .bytes = bytes};
    return 0;
}

// Where rows cannot be told apart integers may be sizes, and some operators divide by a wrong one, which ends
// the process.
static bool may_be_sizes(const struct subject *s, const struct tensor_spec *spec)
{
    return !s->has_rows && spec->dtype >= DTYPE_UINT8 && spec->dtype <= DTYPE_INT64;
}

static int make_up_tensors(struct subject *s, uint32_t n, uint64_t seed, struct examples *x, struct err *e)
{
    struct made_up way;
    struct err last = {0};
    for (uint32_t k = 0; k < x->n_inputs; k++) {
        const struct tensor_spec *spec = &s->interface->inputs[k];
        if (spec->optional || !may_be_sizes(s, spec))
            continue;
        err_set(e, ERR_INVALID, "integers are not made up for input '" STR_FMT "', which may be sizes",
                STR_ARG(spec->name));
        err_hint(e, "Give it rows that it takes: --golden FILE.");
        return ERR_INVALID;
    }
    for (unsigned i = 0; made_up_way(i, &way); i++) {
        bool failed = false;
        for (uint32_t k = 0; k < x->n_inputs; k++) {
            const struct tensor_spec *spec = &s->interface->inputs[k];
            if (spec->optional)
                continue;
            made_up_input(&way, spec, k, seed, NULL, n, &x->memory[k], &x->inputs[k]);
            failed |= x->memory[k].failed;
        }
        if (!failed && run_session(s, x, &last) == 0)
            return 0;
    }
    err_set(e, ERR_INVALID, "the model takes none of the inputs that were made up%s%s",
            last.msg[0] ? "; the last time it said: " : "", last.msg);
    err_hint(e, "Give it rows that it takes: --golden FILE.");
    return ERR_INVALID;
}

int subject_make_up(struct subject *s, uint32_t n, uint64_t seed, struct examples *ret, struct err *e)
{
    int rc = examples_init(ret, s->interface->n_inputs, e);
    if (!rc)
        rc = s->runtime ? make_up_tensors(s, n, seed, ret, e) : make_up_rows(s, n, seed, ret, e);
    if (rc)
        examples_done(ret);
    else
        examples_count(ret);
    return rc;
}
