// SPDX-License-Identifier: Apache-2.0
// The Open Inference Protocol (KServe V2) over REST, tensors in JSON: one input with all features, or one
// input for each feature. Values go straight into the rows. The frame of the request is kserve_v2_request.c,
// metadata is metadata.c.
#include "api/fields.h"
#include "api/kserve_v2_request.h"

#include "base/assert.h"

enum { DIMS_MAX = 2 };

// The request so far.
struct infer {
    struct decode d;
    struct v2_request request;
    bool whole;    // the one input had all features
    uint8_t *seen; // (n_features) features that came as columns; NULL before the first
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
        rc = field_dim(d, &dim, e);
        if (rc)
            path_index_before(e, n);
        else if (n++ < DIMS_MAX)
            t->shape[n - 1] = (int64_t)dim;
    }
    if (rc == 0 && (n == 0 || n > DIMS_MAX))
        rc = err_set(e, ERR_WRONG_COUNT,
                     "the shape has %u dimensions, expected [rows, %u], or [rows] for one feature", n,
                     d->sig->n_features);
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
    if (t->dtype >= DTYPE_BOOL && t->dtype <= DTYPE_FP64 && t->dtype != DTYPE_FP16)
        return 0;
    if (t->dtype == DTYPE_BYTES && d->sig->takes_text)
        return 0;
    err_set(e, ERR_WRONG_TYPE, "datatype '" STR_FMT "' is not taken", STR_ARG(name));
    err_hint(e, "Numbers come as FP32, FP64, INT8 to INT64, UINT8 to UINT64 or BOOL.");
    return ERR_WRONG_TYPE;
}

// [[row], [row], …]
static int read_nested(struct decode *d, const struct v2_input *t, uint64_t n_rows, uint32_t width, char *to,
                       size_t stride, uint32_t feature, struct err *e)
{
    bool first = true;
    uint64_t i = 0;
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = json_scan_item(&d->json, ']', &first, e);
        if (rc <= 0)
            break;
        rc = i < n_rows ? 0
                        : err_set(e, ERR_WRONG_COUNT, "data has more than the %llu rows of its shape",
                                  (unsigned long long)n_rows);
        if (rc == 0 && json_scan_kind(&d->json) != JSON_ARRAY)
            rc = decode_unexpected(d, "an array, as the item before", e);
        if (rc == 0)
            rc = decode_array(d, t->dtype, feature, to + i * stride, width, "row", e);
        if (rc)
            path_index_before(e, i);
        else
            i++;
    }
    if (rc == 0 && i != n_rows)
        rc = err_set(e, ERR_WRONG_COUNT, "data has %llu rows, its shape says %llu", (unsigned long long)i,
                     (unsigned long long)n_rows);
    return rc;
}

// A flat array into cells that lie a row apart.
static int read_flat_column(struct decode *d, const struct v2_input *t, uint64_t n_rows, char *to,
                            size_t stride, uint32_t feature, struct err *e)
{
    bool first = true;
    uint64_t i = 0;
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = json_scan_item(&d->json, ']', &first, e);
        if (rc <= 0)
            break;
        if (i == n_rows)
            rc = err_set(e, ERR_WRONG_COUNT, "data has more than the %llu values of its shape",
                         (unsigned long long)n_rows);
        size_t got = rc < 0 ? 0 : decode_run(d, t->dtype, to + i * stride, stride, n_rows - i);
        if (got)
            rc = 0;
        else if (rc >= 0)
            rc = decode_value(d, t->dtype, feature, to + i * stride, e);
        if (rc)
            path_index_before(e, i);
        i += got ? got : rc == 0;
    }
    if (rc == 0 && i != n_rows)
        rc = err_set(e, ERR_WRONG_COUNT, "data has %llu values, its shape says %llu", (unsigned long long)i,
                     (unsigned long long)n_rows);
    return rc;
}

static int read_data(struct decode *d, const struct v2_input *t, bool whole, uint32_t feature, struct err *e)
{
    if (json_scan_kind(&d->json) != JSON_ARRAY)
        return decode_unexpected(d, "an array", e);
    struct json_scan look = d->json;
    int rc = json_scan_enter(&look, e);
    if (rc)
        return rc;
    bool nested = json_scan_kind(&look) == JSON_ARRAY;
    uint32_t width = whole ? d->sig->n_features : 1;
    uint64_t n_rows = t->shape[0];
    size_t stride = d->sig->n_features * decode_value_size(d);
    char *to = decode_cell(d, 0, feature);
    if (whole)
        d->layout = nested && t->n_dims == 2 ? DECODE_NESTED : DECODE_FLAT;
    if (nested && t->n_dims == 2)
        return read_nested(d, t, n_rows, width, to, stride, feature, e);
    if (whole)
        return decode_array(d, t->dtype, 0, to, n_rows * width, "data", e);
    return read_flat_column(d, t, n_rows, to, stride, feature, e);
}

// Whether the tensor holds all features, and if not, which one.
static int find_features(struct infer *r, const struct v2_input *t, bool *ret_whole, uint32_t *ret_feature,
                         struct err *e)
{
    const struct signature *sig = r->d.sig;
    uint32_t n = sig->n_features;
    bool column = t->n_dims == 1 || t->shape[1] == 1;
    *ret_feature = 0;
    *ret_whole = n == 1 ? column : !column && t->shape[1] == n;
    if (!column && !*ret_whole) {
        err_set(e, ERR_WRONG_COUNT, "the shape is [%llu,%llu], expected [rows,%u], or [rows] for one feature",
                (unsigned long long)t->shape[0], (unsigned long long)t->shape[1], n);
        path_before(e, ".shape");
        return ERR_WRONG_COUNT;
    }
    if (r->whole || (*ret_whole && r->request.n_inputs > 0))
        return err_set(e, ERR_WRONG_COUNT,
                       "an input with all features stands alone, but there are several inputs");
    if (*ret_whole)
        return 0;
    int rc = decode_feature(&r->d, t->name, ret_feature, e);
    if (rc == 0 && r->seen && r->seen[*ret_feature])
        rc = err_set(e, ERR_DUPLICATE_KEY, "input '" STR_FMT "' stands twice", STR_ARG(t->name));
    else if (rc && t->n_dims == 1 && t->shape[0] == n)
        err_hint(e, "One row with all features has the shape [1,%u].", n);
    if (rc)
        path_before(e, ".name");
    return rc;
}

// The first input makes the rows.
static int make_rows(struct infer *r, const struct v2_input *t, uint32_t width, struct err *e)
{
    struct decode *d = &r->d;
    uint64_t n = t->shape[0], body_bytes = (uint64_t)(d->json.end - d->json.start);
    void *first;
    if (r->request.n_inputs > 0)
        return n == d->rows->n_rows - d->first_row
                   ? 0
                   : err_set(e, ERR_WRONG_COUNT, "this input has %llu rows, the first has %u",
                             (unsigned long long)n, d->rows->n_rows - d->first_row);
    if (n > d->rows->max_rows)
        return err_set(e, ERR_TOO_LARGE, "%llu rows are more than are taken in one request",
                       (unsigned long long)n);
    if (n * width > body_bytes) // before memory is taken for what cannot be there
        return err_set(e, ERR_WRONG_COUNT, "the shape says %llu values, but the whole body has %llu bytes",
                       (unsigned long long)(n * width), (unsigned long long)body_bytes);
    return n ? rows_append(d->rows, (uint32_t)n, &first, e) : 0;
}

static int read_tensor_data(void *context, const struct v2_input *t, struct err *e)
{
    struct infer *r = context;
    struct decode *d = &r->d;
    bool whole;
    uint32_t feature;
    int rc = find_features(r, t, &whole, &feature, e);
    if (rc)
        return rc;
    rc = make_rows(r, t, whole ? d->sig->n_features : 1, e);
    if (rc) {
        path_before(e, ".shape");
        return rc;
    }
    if (!r->seen && !whole)
        r->seen = arena_calloc(d->scratch, d->sig->n_features, sizeof *r->seen);
    if (!r->seen && !whole)
        return err_set(e, ERR_NOMEM, "no room to tell %u features apart", d->sig->n_features);
    if (!whole && d->sig->has_rules && !d->input_of) {
        d->layout = DECODE_TENSORS;
        d->input_of = arena_calloc(d->scratch, d->sig->n_features, sizeof *d->input_of);
        if (!d->input_of)
            return err_set(e, ERR_NOMEM, "no room to tell %u features apart", d->sig->n_features);
    }
    if (d->input_of)
        d->input_of[feature] = r->request.n_inputs;
    rc = read_data(d, t, whole, feature, e);
    if (rc) {
        path_before(e, ".data");
        return rc;
    }
    r->whole |= whole;
    if (!whole)
        r->seen[feature] = 1;
    return 0;
}

static int inputs_end(void *context, struct err *e)
{
    struct infer *r = context;
    if (r->request.n_inputs == 0)
        return err_set(e, ERR_WRONG_COUNT, "there is no input");
    return r->whole ? 0 : decode_fill_absent(&r->d, r->seen, e);
}

static int want_output(void *context, struct str name, struct err *e)
{
    const struct infer *r = context;
    struct str known = str_of(r->d.sig->output_name);
    if (str_eq(name, known))
        return 0;
    err_set(e, ERR_UNKNOWN_OUTPUT, "the model has no output '" STR_FMT "'", STR_ARG(name));
    err_hint(e, "Its output is '" STR_FMT "'.", STR_ARG(known));
    return ERR_UNKNOWN_OUTPUT;
}

static const struct v2_codec CODEC = {.read_shape = read_shape,
                                      .read_datatype = read_datatype,
                                      .read_data = read_tensor_data,
                                      .inputs_end = inputs_end,
                                      .want_output = want_output};

int kserve_v2_decode(struct str body, const struct json_pause *pause, const struct signature *sig,
                     struct rows *rows, struct arena *scratch, struct predict_request *ret, struct err *e)
{
    struct infer r = {.request = {.d = &r.d, .codec = &CODEC, .context = &r}};
    ASSERT(rows->dtype == sig->input_dtype && rows->n_features == sig->n_features);
    decode_init(&r.d, body, sig, rows, scratch);
    json_scan_pauses(&r.d.json, pause);
    *ret = (struct predict_request){0};
    int rc = v2_request_decode(&r.request, e);
    ret->id = r.request.id;
    ret->no_outputs_listed = r.request.n_outputs == 0;
    if (sig->takes_text)
        rc = decode_finish_rules(&r.d, rc, ".inputs", ret, e);
    if (rc) {
        path_before(e, "$");
        rows_truncate(rows, r.d.first_row);
        return rc;
    }
    ret->n_rows = rows->n_rows - r.d.first_row;
    return 0;
}

void kserve_v2_encode(const struct predict_request *req, const struct predict_answer *a, struct buf *out)
{
    const struct signature *sig = a->sig;
    buf_puts(out, "{\"model_name\":");
    buf_put_json_str(out, a->model);
    buf_puts(out, ",\"model_version\":");
    buf_put_json_str(out, a->version);
    buf_puts(out, ",\"id\":");
    buf_put_json_str(out, req->id.n ? req->id : a->prediction_id);
    buf_puts(out, ",\"outputs\":[{\"name\":");
    buf_put_json_str(out, str_of(sig->output_name));
    buf_puts(out, ",\"datatype\":\"");
    buf_puts(out, dtype_name(sig->output_dtype));
    buf_puts(out, "\",\"shape\":[");
    buf_put_u64(out, a->n_rows);
    if (sig->output_is_vector) {
        buf_putc(out, ',');
        buf_put_u64(out, sig->n_outputs);
    }
    buf_puts(out, "],\"data\":[");
    values_encode(a->outputs, sig->output_dtype, (size_t)a->n_rows * sig->n_outputs, out);
    buf_puts(out, "]}]}");
}
