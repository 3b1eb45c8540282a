// SPDX-License-Identifier: Apache-2.0
// The interface of a loaded model: what ONNX Runtime says of its inputs and outputs in our terms, and what it
// does not say from the scan. Optional inputs are those with a default (an initializer that may be replaced).
#include "engine/onnx/session.h"

#include "base/limits.h"

#include <string.h>

static const struct {
    enum dtype dtype;
    ONNXTensorElementDataType element;
} ELEMENTS[] = {
    {DTYPE_BOOL, ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL},
    {DTYPE_UINT8, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8},
    {DTYPE_UINT16, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16},
    {DTYPE_UINT32, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32},
    {DTYPE_UINT64, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64},
    {DTYPE_INT8, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8},
    {DTYPE_INT16, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16},
    {DTYPE_INT32, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32},
    {DTYPE_INT64, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64},
    {DTYPE_FP16, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16},
    {DTYPE_FP32, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT},
    {DTYPE_FP64, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE},
    {DTYPE_BYTES, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING},
};
enum { N_ELEMENTS = sizeof ELEMENTS / sizeof ELEMENTS[0] };

enum dtype session_dtype(ONNXTensorElementDataType t)
{
    for (unsigned i = 0; i < N_ELEMENTS; i++)
        if (ELEMENTS[i].element == t)
            return ELEMENTS[i].dtype;
    return DTYPE_NONE;
}

// Names of element types that have no place in the protocol, by the library's numbers.
static const char *element_name(ONNXTensorElementDataType t)
{
    switch ((int)t) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16:
        return "BFLOAT16";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_COMPLEX64:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_COMPLEX128:
        return "complex numbers";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FN:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FNUZ:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2FNUZ:
        return "FLOAT8";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT4:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT4:
        return "4-bit integers";
    }
    return "an unknown type";
}

static const char *kind_name(enum ONNXType kind, bool in_sequence)
{
    switch (kind) {
    case ONNX_TYPE_SEQUENCE:
        return in_sequence ? "a sequence of sequences" : "a sequence";
    case ONNX_TYPE_MAP:
        return in_sequence ? "a sequence of maps" : "a map";
    case ONNX_TYPE_SPARSETENSOR:
        return "a sparse tensor";
    case ONNX_TYPE_OPTIONAL:
        return in_sequence ? "a sequence of optional values" : "an optional optional value";
    default:
        return "of a type that is unknown here";
    }
}

struct making {
    struct session *s;
    const struct scan *scan;
    struct err *e;
};

static int no_memory(const struct making *m)
{
    return err_set(m->e, ERR_NOMEM, "no memory for the model's inputs and outputs");
}

static int check(const struct making *m, OrtStatus *status)
{
    return library_check(m->s->library, LIBRARY_LOAD, status, m->e);
}

static char *copy(const struct making *m, struct str text)
{
    char *p = arena_calloc(&m->s->arena, text.n + 1, 1);
    if (p && text.n)
        memcpy(p, text.p, text.n);
    return p;
}

static int read_shape(const struct making *m, const OrtTensorTypeAndShapeInfo *info, bool has_shape,
                      struct port *p, struct tensor_spec *spec, const char *what)
{
    const OrtApi *a = m->s->library->api;
    size_t n;
    const char *symbols[TENSOR_DIMS_MAX];
    int rc = check(m, a->GetDimensionsCount(info, &n));
    if (!rc && n > TENSOR_DIMS_MAX)
        rc = err_set(m->e, ERR_UNSUPPORTED_MODEL, "the %s '" STR_FMT "' has %zu dimensions; %d are the most",
                     what, STR_ARG(spec->name), n, TENSOR_DIMS_MAX);
    if (!rc)
        rc = check(m, a->GetDimensions(info, spec->shape, n));
    if (!rc)
        rc = check(m, a->GetSymbolicDimensions(info, symbols, n));
    if (rc)
        return rc;
    spec->n_dims = (uint32_t)n;
    spec->any_shape = n == 0 && !has_shape;
    for (size_t i = 0; i < n; i++) {
        spec->shape[i] = spec->shape[i] < 0 ? -1 : spec->shape[i];
        p->symbols[i] = copy(m, str_of(symbols[i]));
        if (!p->symbols[i])
            return no_memory(m);
    }
    return 0;
}

static int read_tensor(const struct making *m, const OrtTypeInfo *type, bool has_shape, struct port *p,
                       struct tensor_spec *spec, const char *what)
{
    const OrtApi *a = m->s->library->api;
    const OrtTensorTypeAndShapeInfo *info;
    int rc = check(m, a->CastTypeInfoToTensorInfo(type, &info));
    if (!rc)
        rc = check(m, a->GetTensorElementType(info, &p->element));
    if (rc)
        return rc;
    spec->dtype = session_dtype(p->element);
    if (spec->dtype == DTYPE_NONE)
        return err_set(m->e, ERR_UNSUPPORTED_MODEL,
                       "the %s '" STR_FMT "' is a tensor of %s, which the protocol has no name for", what,
                       STR_ARG(spec->name), element_name(p->element));
    return read_shape(m, info, has_shape, p, spec, what);
}

// A sequence of tensors gets one dimension more, the first.
static int stack_shape(const struct making *m, struct port *p, struct tensor_spec *spec)
{
    p->kind = PORT_SEQUENCE;
    if (spec->any_shape)
        return 0;
    if (spec->n_dims == TENSOR_DIMS_MAX)
        return err_set(m->e, ERR_UNSUPPORTED_MODEL,
                       "the output '" STR_FMT "' is a sequence of tensors with %d dimensions",
                       STR_ARG(spec->name), TENSOR_DIMS_MAX);
    memmove(spec->shape + 1, spec->shape, spec->n_dims * sizeof spec->shape[0]);
    memmove(p->symbols + 1, p->symbols, spec->n_dims * sizeof p->symbols[0]);
    spec->shape[0] = -1;
    p->symbols[0] = "";
    spec->n_dims++;
    return 0;
}

static int refuse_kind(const struct making *m, enum ONNXType kind, const struct port *p,
                       const struct tensor_spec *spec, const char *what)
{
    err_set(m->e, ERR_UNSUPPORTED_MODEL, "the %s '" STR_FMT "' is %s, which is not turned into a tensor",
            what, STR_ARG(spec->name), kind_name(kind, p->kind == PORT_SEQUENCE));
    err_hint(m->e, "Export the model with tensors as inputs and outputs.");
    return ERR_UNSUPPORTED_MODEL;
}

// Takes off "optional of" and, of an output, "sequence of"; a tensor must remain.
static int read_type(const struct making *m, const OrtTypeInfo *type, bool has_shape, bool input,
                     struct port *p, struct tensor_spec *spec)
{
    const OrtApi *a = m->s->library->api;
    const char *what = input ? "input" : "output";
    OrtTypeInfo *owned[2] = {NULL, NULL};
    unsigned n = 0;
    enum ONNXType kind;
    int rc;
    while (!(rc = check(m, a->GetOnnxTypeFromTypeInfo(type, &kind))) && kind != ONNX_TYPE_TENSOR) {
        if (kind == ONNX_TYPE_OPTIONAL && n == 0) {
            const OrtOptionalTypeInfo *optional;
            p->maybe_none = true;
            rc = check(m, a->CastTypeInfoToOptionalTypeInfo(type, &optional));
            rc = rc ? rc : check(m, a->GetOptionalContainedTypeInfo(optional, &owned[n]));
        } else if (kind == ONNX_TYPE_SEQUENCE && !input && p->kind == PORT_TENSOR) {
            const OrtSequenceTypeInfo *sequence;
            p->kind = PORT_SEQUENCE;
            rc = check(m, a->CastTypeInfoToSequenceTypeInfo(type, &sequence));
            rc = rc ? rc : check(m, a->GetSequenceElementType(sequence, &owned[n]));
        } else {
            rc = refuse_kind(m, kind, p, spec, what);
        }
        if (rc)
            break;
        type = owned[n++];
    }
    if (!rc)
        rc = read_tensor(m, type, has_shape && n == 0, p, spec, what);
    if (!rc && p->kind == PORT_SEQUENCE)
        rc = stack_shape(m, p, spec);
    while (n > 0)
        a->ReleaseTypeInfo(owned[--n]);
    return rc;
}

typedef OrtStatus *name_fn(const OrtSession *s, size_t i, OrtAllocator *a, char **ret);
typedef OrtStatus *type_fn(const OrtSession *s, size_t i, OrtTypeInfo **ret);

static const struct scan_port *scan_find(const struct scan_port *p, struct str name)
{
    while (p && !str_eq(p->name, name))
        p = p->next;
    return p;
}

// Reads the library's name of one, into our memory.
static int read_name(const struct making *m, name_fn *get, size_t i, const char **ret)
{
    struct library *l = m->s->library;
    char *name;
    int rc = check(m, get(m->s->ort, i, l->allocator, &name));
    if (rc)
        return rc;
    *ret = copy(m, str_of(name));
    rc = check(m, l->api->AllocatorFree(l->allocator, name));
    return rc || *ret ? rc : no_memory(m);
}

static int read_port(const struct making *m, type_fn *get, size_t i, bool input, struct port *p,
                     struct tensor_spec *spec)
{
    OrtTypeInfo *type;
    const struct scan_port *scanned = scan_find(input ? m->scan->inputs : m->scan->outputs, str_of(p->name));
    int rc = check(m, get(m->s->ort, i, &type));
    if (rc)
        return rc;
    rc = read_type(m, type, !scanned || scanned->has_shape, input, p, spec);
    m->s->library->api->ReleaseTypeInfo(type);
    return rc;
}

static int make_inputs(const struct making *m)
{
    struct session *s = m->s;
    const OrtApi *a = s->library->api;
    size_t n, n_defaults;
    int rc = check(m, a->SessionGetInputCount(s->ort, &n));
    rc = rc ? rc : check(m, a->SessionGetOverridableInitializerCount(s->ort, &n_defaults));
    if (rc)
        return rc;
    if (n > TENSORS_MAX)
        return err_set(m->e, ERR_UNSUPPORTED_MODEL, "the model has %zu inputs; %d are the most", n,
                       TENSORS_MAX);
    // Defaults are often all weights of an old model; those past the limit stay what they are.
    size_t all = n + n_defaults < TENSORS_MAX ? n + n_defaults : TENSORS_MAX;
    s->inputs = arena_calloc(&s->arena, all, sizeof *s->inputs);
    s->interface.inputs = arena_calloc(&s->arena, all, sizeof *s->interface.inputs);
    s->input_names = arena_calloc(&s->arena, all, sizeof *s->input_names);
    s->input_values = arena_calloc(&s->arena, all, sizeof(OrtValue *));
    if (!s->inputs || !s->interface.inputs || !s->input_names || !s->input_values)
        return no_memory(m);
    for (size_t i = 0; i < all && !rc; i++) {
        struct tensor_spec *spec = &s->interface.inputs[i];
        bool has_default = i >= n;
        size_t at = has_default ? i - n : i;
        rc = read_name(m, has_default ? a->SessionGetOverridableInitializerName : a->SessionGetInputName, at,
                       &s->inputs[i].name);
        spec->name = str_of(s->inputs[i].name);
        spec->optional = has_default;
        if (!rc)
            rc = read_port(
                m, has_default ? a->SessionGetOverridableInitializerTypeInfo : a->SessionGetInputTypeInfo, at,
                true, &s->inputs[i], spec);
    }
    s->interface.n_inputs = (uint32_t)all;
    return rc;
}

// The library's index of an output.
static int find_output(const struct making *m, const char *const *names, size_t n, struct str name,
                       size_t *ret)
{
    for (*ret = 0; *ret < n; ++*ret)
        if (str_eq(str_of(names[*ret]), name))
            return 0;
    return err_set(m->e, ERR_BAD_MODEL, "the library does not know the output '" STR_FMT "'", STR_ARG(name));
}

static const struct scan_zipmap *zipmap_find(const struct scan *scan, struct str output)
{
    const struct scan_zipmap *z = scan->zipmaps;
    while (z && !str_eq(z->output, output))
        z = z->next;
    return z;
}

// The scores of a classifier: a column each of the labels.
static int put_labels(const struct making *m, const struct scan_zipmap *z, struct port *p,
                      struct tensor_spec *spec)
{
    if (spec->any_shape) { // ZipMap takes no other
        spec->any_shape = false;
        spec->n_dims = 2;
        spec->shape[0] = spec->shape[1] = -1;
        p->symbols[0] = p->symbols[1] = "";
    }
    if (spec->n_dims == 0 || z->n_labels == 0)
        return 0;
    int64_t *columns = &spec->shape[spec->n_dims - 1];
    *columns = *columns < 0 ? z->n_labels : *columns;
    if (*columns != z->n_labels)
        return err_set(m->e, ERR_BAD_MODEL, "the output '" STR_FMT "' has %lld columns and %u labels",
                       STR_ARG(spec->name), (long long)*columns, z->n_labels);
    spec->labels = arena_calloc(&m->s->arena, z->n_labels, sizeof *spec->labels);
    for (uint32_t i = 0; spec->labels && i < z->n_labels; i++) {
        spec->labels[i] = (struct str){copy(m, z->labels[i]), z->labels[i].n};
        if (!spec->labels[i].p)
            return no_memory(m);
    }
    spec->n_labels = spec->labels ? z->n_labels : 0;
    return spec->labels ? 0 : no_memory(m);
}

static int make_output(const struct making *m, const char *const *names, size_t n,
                       const struct scan_port *scanned, struct port *p, struct tensor_spec *spec)
{
    const struct scan_zipmap *z = zipmap_find(m->scan, scanned->name);
    struct str ort_name = z ? z->input : scanned->name;
    const char *name = copy(m, scanned->name);
    size_t at = 0;
    int rc = name ? find_output(m, names, n, ort_name, &at) : no_memory(m);
    if (rc)
        return rc;
    spec->name = str_of(name);
    p->name = names[at];
    buf_init(&p->memory, LIMIT_ONNX_RESULT_BYTES);
    rc = read_port(m, m->s->library->api->SessionGetOutputTypeInfo, at, false, p, spec);
    if (!rc && z && !scan_find(m->scan->outputs, z->input))
        spec->any_shape = spec->n_dims == 0;
    return rc || !z ? rc : put_labels(m, z, p, spec);
}

// What is known of an output's sizes before a run. The first dimension is the batch's unless something else
// is said.
static void plan_output(const struct session *s, struct port *p, const struct tensor_spec *spec)
{
    bool known = spec->dtype != DTYPE_BYTES && p->kind == PORT_TENSOR && !p->maybe_none && !spec->any_shape;
    for (uint32_t d = 0; known && d < spec->n_dims; d++) {
        struct port_size *size = &p->sizes[d];
        *size = (struct port_size){.fixed = spec->shape[d], .input = -1};
        for (uint32_t i = 0; i < s->interface.n_inputs && size->fixed < 0 && size->input < 0; i++)
            for (uint32_t k = 0; k < s->interface.inputs[i].n_dims && size->input < 0; k++) {
                bool same =
                    *p->symbols[d] ? strcmp(p->symbols[d], s->inputs[i].symbols[k]) == 0 : d == 0 && k == 0;
                if (same && s->interface.inputs[i].shape[k] < 0 && !s->interface.inputs[i].optional)
                    *size = (struct port_size){-1, (int32_t)i, k};
            }
        if (size->fixed < 0 && size->input < 0 && d == 0 && s->interface.n_inputs &&
            s->interface.inputs[0].n_dims && s->interface.inputs[0].shape[0] < 0)
            *size = (struct port_size){-1, 0, 0};
        known = size->fixed >= 0 || size->input >= 0;
    }
    p->plan = known ? PORT_LEARN : PORT_NEVER;
}

static int make_outputs(const struct making *m)
{
    struct session *s = m->s;
    size_t n, n_ort;
    uint32_t i = 0;
    const struct scan_port *o = m->scan->outputs;
    for (n = 0; o; o = o->next)
        n++;
    int rc = check(m, s->library->api->SessionGetOutputCount(s->ort, &n_ort));
    if (!rc && n > TENSORS_MAX)
        rc = err_set(m->e, ERR_UNSUPPORTED_MODEL, "the model has %zu outputs; %d are the most", n,
                     TENSORS_MAX);
    if (rc)
        return rc;
    const char **names = arena_calloc(&s->arena, n_ort, sizeof *names);
    s->outputs = arena_calloc(&s->arena, n, sizeof *s->outputs);
    s->interface.outputs = arena_calloc(&s->arena, n, sizeof *s->interface.outputs);
    s->output_names = arena_calloc(&s->arena, n, sizeof *s->output_names);
    s->output_values = arena_calloc(&s->arena, n, sizeof(OrtValue *));
    if (!names || !s->outputs || !s->interface.outputs || !s->output_names || !s->output_values)
        return no_memory(m);
    for (size_t k = 0; k < n_ort && !rc; k++)
        rc = read_name(m, s->library->api->SessionGetOutputName, k, &names[k]);
    s->interface.n_outputs = rc ? 0 : (uint32_t)n;
    for (o = m->scan->outputs; o && !rc; o = o->next, i++) {
        rc = make_output(m, names, n_ort, o, &s->outputs[i], &s->interface.outputs[i]);
        if (!rc)
            plan_output(s, &s->outputs[i], &s->interface.outputs[i]);
    }
    return rc;
}

int session_ports(struct session *s, const struct scan *scan, struct err *e)
{
    struct making m = {s, scan, e};
    s->interface.platform = "onnx_onnxv1";
    int rc = make_inputs(&m);
    return rc ? rc : make_outputs(&m);
}
