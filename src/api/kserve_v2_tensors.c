// SPDX-License-Identifier: Apache-2.0
// The Open Inference Protocol (KServe V2) over REST for models of tensors, in JSON. The frame of the request
// is kserve_v2_request.c.
#include "api/fields.h"
#include "api/kserve_v2_parameters.h"
#include "api/kserve_v2_request.h"
#include "api/ruled_tensor.h"
#include "api/tensor_write.h"

#include "base/near.h"

#include <string.h>

// The request so far.
struct infer {
    struct decode d;
    const struct interface *i;
    struct tensor_sink *sink;
    struct tensors_request *ret;
};

static int read_shape(struct decode *d, struct v2_input *t, struct err *e)
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

static int read_datatype(struct decode *d, struct v2_input *t, struct err *e)
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

static int read_tensor(void *context, const struct v2_input *in, struct err *e)
{
    struct infer *r = context;
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

static int inputs_end(void *context, struct err *e)
{
    struct infer *r = context;
    return finish_inputs(r->i, r->ret, e);
}

static int want_output(void *context, struct str name, struct err *e)
{
    struct infer *r = context;
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

static const struct v2_codec CODEC = {.input_parameters = V2_STRINGS,
                                      .read_shape = read_shape,
                                      .read_datatype = read_datatype,
                                      .read_data = read_tensor,
                                      .inputs_end = inputs_end,
                                      .want_output = want_output};

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
    struct v2_request request = {.d = &r.d, .codec = &CODEC, .context = &r};
    int rc = v2_request_decode(&request, e);
    ret->id = request.id;
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
