// SPDX-License-Identifier: Apache-2.0
// The Open Inference Protocol (KServe V2) over REST for models of tensors, in JSON. As in kserve_v2.c, data
// that comes before the shape is checked, passed over and read at the end of its tensor.
#include "api/fields.h"
#include "api/kserve_v2_parameters.h"
#include "api/ruled_tensor.h"
#include "api/tensor_write.h"

#include "base/near.h"

#include <string.h>

enum request_field { ID, PARAMETERS, INPUTS, OUTPUTS, N_REQUEST_FIELDS };
static const struct str REQUEST_FIELDS[] = {STR("id"), STR("parameters"), STR("inputs"), STR("outputs")};
enum input_field { NAME, SHAPE, DATATYPE, INPUT_PARAMETERS, DATA, N_INPUT_FIELDS };
static const struct str INPUT_FIELDS[] = {STR("name"), STR("shape"), STR("datatype"), STR("parameters"),
                                          STR("data")};
enum output_field { OUTPUT_NAME, OUTPUT_PARAMETERS, N_OUTPUT_FIELDS };
static const struct str OUTPUT_FIELDS[] = {STR("name"), STR("parameters")};

// The request so far.
struct infer {
    struct decode d;
    const struct interface *i;
    struct tensor_sink *sink;
    struct tensors_request *ret;
};

// An input so far.
struct input {
    struct str name;
    enum dtype dtype;
    uint32_t n_dims;
    int64_t shape[TENSOR_DIMS_MAX];
    const char *data; // where it starts, if it came before what is needed to read it
};

static int read_shape(struct decode *d, struct input *t, struct err *e)
{
    bool first = true;
    uint64_t dim = 0;
    uint32_t n = 0;
    if (json_scan_kind(&d->json) != JSON_ARRAY)
        return decode_unexpected(d, "an array of whole numbers", e);
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = json_scan_item(&d->json, ']', &first, e);
        if (rc <= 0)
            break;
        if (n == TENSOR_DIMS_MAX)
            return err_set(e, ERR_WRONG_COUNT, "the shape has more than %d dimensions", TENSOR_DIMS_MAX);
        rc = field_dim(d, &dim, e);
        if (rc)
            path_index_before(e, n);
        else
            t->shape[n++] = (int64_t)dim;
    }
    t->n_dims = n;
    return rc;
}

static int read_datatype(struct decode *d, struct input *t, struct err *e)
{
    struct str name;
    int rc = field_string(d, &name, e);
    if (rc)
        return rc;
    t->dtype = str_eq(name, STR("FP32")) ? DTYPE_FP32 : dtype_find(name); // by far the most frequent
    if (t->dtype != DTYPE_NONE)
        return 0;
    err_set(e, ERR_WRONG_TYPE, "datatype '" STR_FMT "' is not known", STR_ARG(name));
    err_hint(e, "Datatypes are BOOL, INT8 to INT64, UINT8 to UINT64, FP16, FP32, FP64 and BYTES.");
    return ERR_WRONG_TYPE;
}

// The list that starts here: nested like the shape, or flat.
static int read_data(struct infer *r, struct tensor_read *t, struct err *e)
{
    struct json_scan look = r->d.json;
    struct tensor whole = t->t;
    size_t bytes;
    int rc = 0;
    if (json_scan_kind(&look) == JSON_ARRAY)
        rc = json_scan_enter(&look, e);
    if (rc)
        return rc;
    bool flat = look.depth > r->d.json.depth && json_scan_kind(&look) != JSON_ARRAY;
    if (flat && whole.n_dims != 1) {
        t->t.n_dims = 1;
        t->t.shape[0] = tensor_n_elements(whole.shape, whole.n_dims);
        if (t->t.shape[0] < 0)
            return err_set(e, ERR_WRONG_COUNT, "the shape has more values than there are numbers");
    }
    rc = tensor_read_size(t, &bytes, e);
    if (rc == 0)
        rc = tensor_read_alloc(t, r->sink, bytes, e);
    if (rc == 0)
        rc = tensor_read_values(t, 0, e);
    t->t.n_dims = whole.n_dims;
    memcpy(t->t.shape, whole.shape, sizeof whole.shape);
    return rc;
}

static int read_tensor(struct infer *r, const struct input *in, struct err *e)
{
    struct tensor_read t;
    const char *step = ".name";
    uint32_t k = 0;
    int rc = find_input(r->i, in->name, &k, e);
    if (rc == 0 && r->ret->inputs[k].dtype != DTYPE_NONE)
        rc = err_set(e, ERR_DUPLICATE_KEY, "input '" STR_FMT "' stands twice", STR_ARG(in->name));
    if (rc == 0) {
        tensor_read_init(&t, &r->d, &r->i->inputs[k]);
        rc = tensor_read_datatype(&t, in->dtype, e);
        step = ".datatype";
    }
    if (rc == 0) {
        rc = tensor_read_shape(&t, in->shape, in->n_dims, e);
        step = ".shape";
    }
    if (rc == 0) {
        rc = read_data(r, &t, e);
        step = ".data";
    }
    if (rc == 0)
        rc = tensor_read_finish(&t, &r->ret->inputs[k], e);
    uint64_t at = 0;
    if (rc == 0 && (rc = ruled_tensor(&t, &r->ret->inputs[k], &at, e)) != 0)
        path_index_before(e, at);
    if (rc)
        path_before(e, step);
    return rc;
}

static int read_input_field(struct infer *r, struct input *t, uint32_t field, uint32_t seen, struct err *e)
{
    const uint32_t needed = 1u << NAME | 1u << SHAPE | 1u << DATATYPE;
    struct decode *d = &r->d;
    switch (field) {
    case NAME:
        return field_string(d, &t->name, e);
    case SHAPE:
        return read_shape(d, t, e);
    case DATATYPE:
        return read_datatype(d, t, e);
    case INPUT_PARAMETERS:
        return v2_parameters_decode(d, V2_INPUT | V2_STRINGS, e);
    default:
        if ((seen & needed) == needed)
            return 0; // read by the caller, who has the path
        t->data = d->json.p;
        return json_scan_skip(&d->json, e);
    }
}

static int finish_input(struct infer *r, struct input *t, uint32_t seen, struct err *e)
{
    struct decode *d = &r->d;
    for (uint32_t i = 0; i < N_INPUT_FIELDS; i++)
        if (i != INPUT_PARAMETERS && !(seen & 1u << i))
            return err_set(e, ERR_WRONG_COUNT, "the input has no '" STR_FMT "'", STR_ARG(INPUT_FIELDS[i]));
    if (!t->data)
        return 0;
    const char *after = d->json.p;
    uint32_t depth = d->json.depth++;
    json_scan_seek(&d->json, t->data);
    int rc = read_tensor(r, t, e);
    json_scan_seek(&d->json, after);
    d->json.depth = depth;
    return rc;
}

static int read_input(void *context, struct err *e)
{
    struct infer *r = context;
    struct decode *d = &r->d;
    struct input t = {0};
    uint32_t seen = 0, field;
    bool first = true;
    if (json_scan_kind(&d->json) != JSON_OBJECT)
        return decode_unexpected(d, "an object with name, shape, datatype and data", e);
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = json_scan_item(&d->json, '}', &first, e);
        if (rc == 0)
            return finish_input(r, &t, seen, e);
        if (rc < 0)
            break;
        rc = decode_key(d, INPUT_FIELDS, N_INPUT_FIELDS, &seen, "input", &field, e);
        if (rc)
            break;
        rc = read_input_field(r, &t, field, seen, e);
        if (rc)
            path_key_before(e, INPUT_FIELDS[field]);
        else if (field == DATA && !t.data)
            rc = read_tensor(r, &t, e);
    }
    return rc;
}

static int want_output(struct infer *r, struct str name, struct err *e)
{
    struct str names[TENSORS_MAX];
    int found = interface_output(r->i, name);
    if (found >= 0 && !(r->ret->outputs & (uint64_t)1 << found)) {
        r->ret->outputs |= (uint64_t)1 << found;
        return 0;
    }
    if (found >= 0)
        return err_set(e, ERR_DUPLICATE_KEY, "output '" STR_FMT "' stands twice", STR_ARG(name));
    for (uint32_t k = 0; k < r->i->n_outputs; k++)
        names[k] = r->i->outputs[k].name;
    err_set(e, ERR_UNKNOWN_OUTPUT, "the model has no output '" STR_FMT "'", STR_ARG(name));
    int near = near_find(name, names, r->i->n_outputs);
    if (near >= 0)
        err_hint(e, "Did you mean '" STR_FMT "'?", STR_ARG(names[near]));
    else if (r->i->n_outputs == 1)
        err_hint(e, "Its output is '" STR_FMT "'.", STR_ARG(names[0]));
    return ERR_UNKNOWN_OUTPUT;
}

static int read_output(void *context, struct err *e)
{
    struct infer *r = context;
    struct decode *d = &r->d;
    struct str wanted = {0};
    uint32_t seen = 0, field;
    bool first = true;
    if (json_scan_kind(&d->json) != JSON_OBJECT)
        return decode_unexpected(d, "an object with the name of an output", e);
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = json_scan_item(&d->json, '}', &first, e);
        if (rc <= 0)
            break;
        rc = decode_key(d, OUTPUT_FIELDS, N_OUTPUT_FIELDS, &seen, "output", &field, e);
        if (rc)
            return rc;
        rc = field == OUTPUT_NAME ? field_string(d, &wanted, e) : v2_parameters_decode(d, V2_OUTPUT, e);
        if (rc)
            path_key_before(e, OUTPUT_FIELDS[field]);
    }
    if (rc)
        return rc;
    rc = want_output(r, wanted, e);
    if (rc)
        path_before(e, ".name");
    return rc;
}

static int read_field(struct infer *r, uint32_t field, struct err *e)
{
    uint32_t n;
    if (field != INPUTS && json_scan_kind(&r->d.json) == JSON_NULL) { // clients write absent fields so
        json_scan_word(&r->d.json, JSON_NULL);
        return 0;
    }
    switch (field) {
    case ID:
        return field_id(&r->d, &r->ret->id, e);
    case PARAMETERS:
        return v2_parameters_decode(&r->d, V2_REQUEST, e);
    case OUTPUTS:
        return field_list(&r->d, read_output, r, &n, e);
    default:
        return field_list(&r->d, read_input, r, &n, e);
    }
}

static int read_request(struct infer *r, struct err *e)
{
    struct decode *d = &r->d;
    uint32_t seen = 0, field;
    bool first = true;
    if (json_scan_kind(&d->json) != JSON_OBJECT)
        return decode_unexpected(d, "an object with the key inputs", e);
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = json_scan_item(&d->json, '}', &first, e);
        if (rc <= 0)
            break;
        rc = decode_key(d, REQUEST_FIELDS, N_REQUEST_FIELDS, &seen, "request", &field, e);
        if (rc)
            return rc;
        rc = read_field(r, field, e);
        if (rc)
            path_key_before(e, REQUEST_FIELDS[field]);
    }
    if (rc == 0)
        rc = json_scan_finish(&d->json, e);
    if (rc == 0 && !(seen & 1u << INPUTS))
        rc = err_set(e, ERR_WRONG_COUNT, "the request has no inputs: nothing to predict");
    if (rc)
        return rc;
    rc = finish_inputs(r->i, r->ret, e);
    if (rc)
        path_before(e, ".inputs");
    return rc;
}

int kserve_v2_tensors_decode(struct str body, const struct json_pause *pause, const struct interface *i,
                             struct tensor_sink *sink, struct arena *scratch, struct tensors_request *ret,
                             struct err *e)
{
    struct infer r = {.d = {.scratch = scratch}, .i = i, .sink = sink, .ret = ret};
    json_scan_init(&r.d.json, body);
    json_scan_pauses(&r.d.json, pause);
    *ret = (struct tensors_request){.inputs = arena_calloc(scratch, i->n_inputs, sizeof *ret->inputs)};
    if (!ret->inputs)
        return err_set(e, ERR_NOMEM, "no room for %u inputs", i->n_inputs);
    int rc = read_request(&r, e);
    ret->n_warnings = r.d.n_warnings;
    ret->counts = r.d.counts;
    if (rc)
        path_before(e, "$");
    else if (ret->outputs == 0)
        ret->outputs = all_outputs(i);
    return rc;
}

static void put_output(const struct tensor_spec *spec, const struct tensor *t, struct buf *out)
{
    struct tensor_write w;
    tensor_write_init(&w, t, out);
    buf_puts(out, "{\"name\":");
    buf_put_json_str(out, spec->name);
    buf_puts(out, ",\"datatype\":\"");
    buf_puts(out, dtype_name(t->dtype));
    buf_puts(out, "\",\"shape\":[");
    for (uint32_t k = 0; k < t->n_dims; k++) {
        if (k)
            buf_putc(out, ',');
        buf_put_u64(out, (uint64_t)t->shape[k]);
    }
    if (w.base64) // as MLServer says that elements are base64
        buf_puts(out, "],\"parameters\":{\"content_type\":\"base64\"");
    buf_puts(out, w.base64 ? "},\"data\":[" : "],\"data\":[");
    tensor_write_values(&w, (uint64_t)tensor_n_elements(t->shape, t->n_dims));
    buf_puts(out, "]}");
}

void kserve_v2_tensors_encode(const struct tensors_request *req, const struct tensors_answer *a,
                              struct buf *out)
{
    bool any = false;
    buf_puts(out, "{\"model_name\":");
    buf_put_json_str(out, a->model);
    buf_puts(out, ",\"model_version\":");
    buf_put_json_str(out, a->version);
    buf_puts(out, ",\"id\":");
    buf_put_json_str(out, req->id.n ? req->id : a->prediction_id);
    buf_puts(out, ",\"outputs\":[");
    for (uint32_t k = 0; k < a->interface->n_outputs; k++) {
        if (a->results[k].dtype == DTYPE_NONE || !(req->outputs & (uint64_t)1 << k))
            continue;
        if (any)
            buf_putc(out, ',');
        put_output(&a->interface->outputs[k], &a->results[k], out);
        any = true;
    }
    buf_puts(out, "]}");
}
