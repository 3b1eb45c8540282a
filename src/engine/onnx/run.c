// SPDX-License-Identifier: Apache-2.0
// One computation. Inputs are views of the caller's memory; outputs whose shape is known beforehand are
// written where the caller wants them, the others into the library's memory, which is kept until the next
// run.
#include "engine/onnx/session.h"

#include <string.h>

static const _Alignas(TENSOR_ALIGN) char NOTHING[TENSOR_ALIGN]; // what a tensor without elements points to

static int check(const struct session *s, OrtStatus *status, struct err *e)
{
    return library_check(s->library, LIBRARY_RUN, status, e);
}

static void release(const struct session *s, OrtValue **values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        s->library->api->ReleaseValue(values[i]);
        values[i] = NULL;
    }
}

static void forget_results(struct session *s)
{
    for (uint32_t i = 0; i < s->interface.n_outputs; i++) {
        if (s->outputs[i].value)
            s->library->api->ReleaseValue(s->outputs[i].value);
        s->outputs[i].value = NULL;
    }
}

// A value over memory that is not the library's.
static int view(const struct session *s, const struct port *p, const struct tensor *t, void *data,
                size_t bytes, OrtValue **ret, struct err *e)
{
    return check(s,
                 s->library->api->CreateTensorWithDataAsOrtValue(s->library->memory, data, bytes, t->shape,
                                                                 t->n_dims, p->element, ret),
                 e);
}

// Fills input_names and input_values with what is present.
static int take_inputs(struct session *s, const struct tensor *inputs, size_t *ret_n, struct err *e)
{
    size_t n = 0;
    int rc = 0;
    for (uint32_t i = 0; i < s->interface.n_inputs && !rc; i++) {
        const struct tensor *t = &inputs[i];
        const struct tensor_spec *spec = &s->interface.inputs[i];
        if (t->dtype == DTYPE_NONE && spec->optional)
            continue;
        if (t->dtype == DTYPE_NONE || t->dtype != spec->dtype) {
            rc = err_set(e, ERR_INVALID,
                         t->dtype ? "the input '" STR_FMT "' is %s, not %s"
                                  : "the input '" STR_FMT "' is missing",
                         STR_ARG(spec->name), dtype_name(t->dtype), dtype_name(spec->dtype));
            break;
        }
        void *data;
        const void *from = t->bytes ? t->data : NOTHING;
        memcpy(&data, &from, sizeof data); // the library has no view that is read-only, but only reads it
        s->input_values[n] = NULL;
        s->input_names[n] = s->inputs[i].name;
        rc = t->dtype == DTYPE_BYTES ? strings_to_value(s, t, &s->input_values[n], e)
                                     : view(s, &s->inputs[i], t, data, t->bytes, &s->input_values[n], e);
        n += s->input_values[n] != NULL;
    }
    *ret_n = n;
    return rc;
}

// The shape an output will have, if it is what it was so far; its size in bytes, or -1.
static int64_t foresee(const struct session *s, uint32_t output, const struct tensor *inputs,
                       struct tensor *ret)
{
    const struct port *p = &s->outputs[output];
    const struct tensor_spec *spec = &s->interface.outputs[output];
    *ret = (struct tensor){.name = spec->name, .dtype = spec->dtype, .n_dims = spec->n_dims};
    for (uint32_t d = 0; d < spec->n_dims; d++) {
        struct port_size size = p->sizes[d];
        const struct tensor *in = size.input >= 0 ? &inputs[size.input] : NULL;
        if (in && in->n_dims <= size.dim)
            return -1;
        ret->shape[d] = in ? in->shape[size.dim] : size.fixed;
    }
    int64_t n = tensor_n_elements(ret->shape, ret->n_dims), bytes;
    return n < 0 || __builtin_mul_overflow(n, (int64_t)dtype_size(ret->dtype), &bytes) ? -1 : bytes;
}

static char *align_up(char *p)
{
    return p + (-(uintptr_t)p & (TENSOR_ALIGN - 1));
}

// Makes the output's value in the caller's memory behind *at, if its shape is known and it fits there.
static int place_output(struct session *s, uint32_t output, const struct run *r, char **at, OrtValue **ret,
                        struct err *e)
{
    struct port *p = &s->outputs[output];
    char *here = align_up(*at), *end = (char *)r->room + r->room_bytes;
    int64_t bytes = p->plan == PORT_AHEAD ? foresee(s, output, r->inputs, &p->ahead) : -1;
    if (bytes <= 0 || here > end || bytes > end - here)
        return 0;
    int rc = view(s, p, &p->ahead, here, (size_t)bytes, ret, e);
    if (rc)
        return rc;
    p->ahead.data = here;
    p->ahead.bytes = (size_t)bytes;
    *at = here + bytes;
    return 0;
}

// Lists the outputs that are wanted; those without a place stay NULL.
static int place_outputs(struct session *s, const struct run *r, size_t *ret_n, struct err *e)
{
    char *at = r->room;
    size_t n = 0;
    int rc = 0;
    for (uint32_t i = 0; i < s->interface.n_outputs && !rc; i++) {
        s->outputs[i].ahead.data = NULL;
        if (!(r->outputs >> i & 1))
            continue;
        s->output_names[n] = s->outputs[i].name;
        s->output_values[n] = NULL;
        rc = at ? place_output(s, i, r, &at, &s->output_values[n], e) : 0;
        n++;
    }
    *ret_n = n;
    return rc;
}

// Moves what the library returned to its outputs.
static void keep_outputs(struct session *s, uint64_t outputs)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->interface.n_outputs; i++)
        if (outputs >> i & 1) {
            s->outputs[i].value = s->output_values[n];
            s->output_values[n++] = NULL;
        }
}

// Runs with the outputs' places as planned; if the library will not have them, once more without: a shape
// that was foreseen wrongly is no fault of the request.
static int compute(struct session *s, const struct run *r, size_t n_inputs, struct err *e)
{
    const OrtApi *a = s->library->api;
    size_t n;
    bool placed = false;
    int rc = place_outputs(s, r, &n, e);
    if (!rc) {
        for (size_t i = 0; i < n; i++)
            placed |= s->output_values[i] != NULL;
        rc = check(s,
                   a->Run(s->ort, NULL, s->input_names, (const OrtValue *const *)s->input_values, n_inputs,
                          s->output_names, n, s->output_values),
                   e);
    }
    if (rc && placed) {
        release(s, s->output_values, n);
        rc = check(s,
                   a->Run(s->ort, NULL, s->input_names, (const OrtValue *const *)s->input_values, n_inputs,
                          s->output_names, n, s->output_values),
                   e);
    }
    if (rc)
        release(s, s->output_values, n);
    else
        keep_outputs(s, r->outputs);
    return rc;
}

static int read_shape(const struct session *s, const OrtValue *v, struct tensor *ret, struct err *e)
{
    const OrtApi *a = s->library->api;
    OrtTensorTypeAndShapeInfo *info;
    ONNXTensorElementDataType element;
    size_t n;
    int rc = check(s, a->GetTensorTypeAndShape(v, &info), e);
    if (rc)
        return rc;
    rc = check(s, a->GetDimensionsCount(info, &n), e);
    if (!rc && n > TENSOR_DIMS_MAX)
        rc = err_set(e, ERR_INTERNAL, "the output '" STR_FMT "' has %zu dimensions", STR_ARG(ret->name), n);
    if (!rc)
        rc = check(s, a->GetDimensions(info, ret->shape, n), e);
    if (!rc)
        rc = check(s, a->GetTensorElementType(info, &element), e);
    if (!rc) {
        ret->n_dims = (uint32_t)n;
        ret->dtype = session_dtype(element);
    }
    a->ReleaseTensorTypeAndShapeInfo(info);
    return rc;
}

static int read_data(const struct session *s, OrtValue *v, const void **ret, struct err *e)
{
    void *data;
    int rc = check(s, s->library->api->GetTensorMutableData(v, &data), e);
    if (!rc)
        *ret = data;
    return rc;
}

static int read_tensor(struct session *s, struct port *p, struct tensor *ret, struct err *e)
{
    const void *data;
    int rc = p->ahead.data ? read_data(s, p->value, &data, e) : 0;
    if (!rc && p->ahead.data && data == p->ahead.data) { // the library has verified that the shape is this
        *ret = p->ahead;
        return 0;
    }
    rc = rc ? rc : read_shape(s, p->value, ret, e);
    if (rc)
        return rc;
    size_t n = (size_t)tensor_n_elements(ret->shape, ret->n_dims);
    if (ret->dtype == DTYPE_BYTES) {
        buf_clear(&p->memory);
        rc = strings_of_value(s, p->value, n, &p->memory, e);
        ret->data = p->memory.p;
        ret->bytes = p->memory.n;
    } else {
        ret->bytes = n * dtype_size(ret->dtype);
        rc = read_data(s, p->value, &ret->data, e);
    }
    if (!ret->bytes)
        ret->data = NOTHING;
    return rc;
}

// Appends one tensor of a sequence behind the others. `ret` has the shape of the first.
static int stack_one(struct session *s, struct port *p, size_t i, struct tensor *ret, struct err *e)
{
    const OrtApi *a = s->library->api;
    OrtValue *v;
    const void *data;
    struct tensor t = {.name = ret->name};
    int rc = check(s, a->GetValue(p->value, (int)i, s->library->allocator, &v), e);
    if (rc)
        return rc;
    rc = read_shape(s, v, &t, e);
    if (!rc && i == 0)
        *ret = t;
    if (!rc && (t.n_dims != ret->n_dims || memcmp(t.shape, ret->shape, t.n_dims * sizeof t.shape[0]) != 0))
        rc = err_set(e, ERR_INVALID, "the output '" STR_FMT "' is a sequence of tensors whose shapes differ",
                     STR_ARG(ret->name));
    size_t n = rc ? 0 : (size_t)tensor_n_elements(t.shape, t.n_dims);
    if (!rc && t.dtype == DTYPE_BYTES)
        rc = strings_of_value(s, v, n, &p->memory, e);
    else if (!rc && n && !(rc = read_data(s, v, &data, e)))
        buf_put(&p->memory, data, n * dtype_size(t.dtype));
    a->ReleaseValue(v);
    return rc;
}

static int read_sequence(struct session *s, struct port *p, const struct tensor_spec *spec,
                         struct tensor *ret, struct err *e)
{
    size_t n;
    int rc = check(s, s->library->api->GetValueCount(p->value, &n), e);
    buf_clear(&p->memory);
    *ret = (struct tensor){.name = spec->name, .dtype = spec->dtype};
    for (uint32_t d = 1; d < spec->n_dims; d++) // of an empty sequence
        ret->shape[ret->n_dims++] = spec->shape[d] < 0 ? 0 : spec->shape[d];
    for (size_t i = 0; i < n && !rc; i++)
        rc = stack_one(s, p, i, ret, e);
    if (!rc && ret->n_dims == TENSOR_DIMS_MAX)
        rc = err_set(e, ERR_INVALID, "the output '" STR_FMT "' has too many dimensions", STR_ARG(spec->name));
    if (!rc && p->memory.failed)
        rc = err_set(e, ERR_NOMEM, "no memory for the output '" STR_FMT "'", STR_ARG(spec->name));
    if (rc)
        return rc;
    memmove(ret->shape + 1, ret->shape, ret->n_dims * sizeof ret->shape[0]);
    ret->shape[0] = (int64_t)n;
    ret->n_dims++;
    ret->bytes = p->memory.n;
    ret->data = ret->bytes ? p->memory.p : NOTHING;
    return 0;
}

static void learn(struct session *s, uint32_t output, const struct run *r, const struct tensor *is)
{
    struct port *p = &s->outputs[output];
    struct tensor want;
    if (p->plan == PORT_NEVER || is->data == p->ahead.data)
        return;
    bool same = foresee(s, output, r->inputs, &want) >= 0 && want.n_dims == is->n_dims &&
                memcmp(want.shape, is->shape, is->n_dims * sizeof is->shape[0]) == 0;
    p->plan = same ? PORT_AHEAD : PORT_NEVER;
}

static int read_result(struct session *s, uint32_t output, const struct run *r, struct err *e)
{
    struct port *p = &s->outputs[output];
    const struct tensor_spec *spec = &s->interface.outputs[output];
    struct tensor *ret = &r->results[output];
    int has = 1;
    int rc = p->maybe_none ? check(s, s->library->api->HasValue(p->value, &has), e) : 0;
    if (rc || !has)
        return rc;
    ret->name = spec->name;
    rc = p->kind == PORT_SEQUENCE ? read_sequence(s, p, spec, ret, e) : read_tensor(s, p, ret, e);
    if (!rc)
        learn(s, output, r, ret);
    return rc;
}

int session_run(struct session *s, const struct run *r, struct err *e)
{
    size_t n_inputs;
    forget_results(s);
    for (uint32_t i = 0; i < s->interface.n_outputs; i++)
        r->results[i] = (struct tensor){.dtype = DTYPE_NONE};
    int rc = take_inputs(s, r->inputs, &n_inputs, e);
    if (!rc)
        rc = compute(s, r, n_inputs, e);
    release(s, s->input_values, n_inputs);
    for (uint32_t i = 0; i < s->interface.n_outputs && !rc; i++)
        if (r->outputs >> i & 1)
            rc = read_result(s, i, r, e);
    return rc;
}
