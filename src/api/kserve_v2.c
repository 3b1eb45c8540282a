// SPDX-License-Identifier: Apache-2.0
// The Open Inference Protocol (KServe V2) over REST, tensors in JSON: one input with all features, or one
// input for each feature. Values go straight into the rows, which is why the shape is wanted before the data;
// data that comes first is checked, passed over and read at the end of its tensor. Parameters are
// kserve_v2_parameters.c, metadata is metadata.c.
#include "api/fields.h"
#include "api/kserve_v2_parameters.h"

#include "base/assert.h"

enum request_field { ID, PARAMETERS, INPUTS, OUTPUTS, N_REQUEST_FIELDS };
static const struct str REQUEST_FIELDS[] = {STR("id"), STR("parameters"), STR("inputs"), STR("outputs")};
enum input_field { NAME, SHAPE, DATATYPE, INPUT_PARAMETERS, DATA, N_INPUT_FIELDS };
static const struct str INPUT_FIELDS[] = {STR("name"), STR("shape"), STR("datatype"), STR("parameters"),
                                          STR("data")};
enum output_field { OUTPUT_NAME, OUTPUT_PARAMETERS, N_OUTPUT_FIELDS };
static const struct str OUTPUT_FIELDS[] = {STR("name"), STR("parameters")};

enum { DIMS_MAX = 2 };

struct input_tensor {
    struct str name;
    enum dtype dtype;
    uint64_t shape[DIMS_MAX];
    uint32_t n_dims;
    const char *data; // where it starts, if it came before what is needed to read it
};

// The request so far.
struct infer {
    struct decode d;
    struct predict_request *ret;
    uint32_t n_inputs;
    bool whole;    // the one input had all features
    uint8_t *seen; // (n_features) features that came as columns; NULL before the first
};

static int read_shape(struct decode *d, struct input_tensor *t, struct err *e)
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
            t->shape[n - 1] = dim;
    }
    if (rc == 0 && (n == 0 || n > DIMS_MAX))
        rc = err_set(e, ERR_WRONG_COUNT,
                     "the shape has %u dimensions, expected [rows, %u], or [rows] for one feature", n,
                     d->sig->n_features);
    t->n_dims = n;
    return rc;
}

static int read_datatype(struct decode *d, struct input_tensor *t, struct err *e)
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
static int read_nested(struct decode *d, const struct input_tensor *t, uint64_t n_rows, uint32_t width,
                       char *to, size_t stride, uint32_t feature, struct err *e)
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
static int read_flat_column(struct decode *d, const struct input_tensor *t, uint64_t n_rows, char *to,
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

static int read_data(struct decode *d, const struct input_tensor *t, bool whole, uint32_t feature,
                     struct err *e)
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
static int find_features(struct infer *r, const struct input_tensor *t, bool *ret_whole,
                         uint32_t *ret_feature, struct err *e)
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
    if (r->whole || (*ret_whole && r->n_inputs > 0))
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
static int make_rows(struct infer *r, const struct input_tensor *t, uint32_t width, struct err *e)
{
    struct decode *d = &r->d;
    uint64_t n = t->shape[0], body_bytes = (uint64_t)(d->json.end - d->json.start);
    void *first;
    if (r->n_inputs > 0)
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

static int read_tensor_data(struct infer *r, const struct input_tensor *t, struct err *e)
{
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
        d->input_of[feature] = r->n_inputs;
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

static int read_input_field(struct infer *r, struct input_tensor *t, uint32_t field, uint32_t seen,
                            struct err *e)
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
        return v2_parameters_decode(d, V2_INPUT, e);
    default:
        if ((seen & needed) == needed)
            return 0; // read by the caller, who has the path
        t->data = d->json.p;
        return json_scan_skip(&d->json, e);
    }
}

static int finish_input(struct infer *r, struct input_tensor *t, uint32_t seen, struct err *e)
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
    int rc = read_tensor_data(r, t, e);
    json_scan_seek(&d->json, after);
    d->json.depth = depth;
    return rc;
}

static int read_input(void *context, struct err *e)
{
    struct infer *r = context;
    struct decode *d = &r->d;
    struct input_tensor t = {0};
    uint32_t seen = 0, field;
    bool first = true;
    if (json_scan_kind(&d->json) != JSON_OBJECT)
        return decode_unexpected(d, "an object with name, shape, datatype and data", e);
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = decode_field(d, INPUT_FIELDS, N_INPUT_FIELDS, &seen, "input", &first, &field, e);
        if (rc == 0)
            return finish_input(r, &t, seen, e);
        if (rc < 0)
            break;
        rc = read_input_field(r, &t, field, seen, e);
        if (rc)
            path_key_before(e, INPUT_FIELDS[field]);
        else if (field == DATA && !t.data)
            rc = read_tensor_data(r, &t, e);
    }
    return rc;
}

static int read_output(void *context, struct err *e)
{
    struct infer *r = context;
    struct decode *d = &r->d;
    struct str known = str_of(d->sig->output_name), wanted = {0};
    uint32_t seen = 0, field;
    bool first = true;
    if (json_scan_kind(&d->json) != JSON_OBJECT)
        return decode_unexpected(d, "an object with the name of an output", e);
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = decode_field(d, OUTPUT_FIELDS, N_OUTPUT_FIELDS, &seen, "output", &first, &field, e);
        if (rc <= 0)
            break;
        rc = field == OUTPUT_NAME ? field_string(d, &wanted, e) : v2_parameters_decode(d, V2_OUTPUT, e);
        if (rc)
            path_key_before(e, OUTPUT_FIELDS[field]);
    }
    if (rc || str_eq(wanted, known))
        return rc;
    err_set(e, ERR_UNKNOWN_OUTPUT, "the model has no output '" STR_FMT "'", STR_ARG(wanted));
    err_hint(e, "Its output is '" STR_FMT "'.", STR_ARG(known));
    path_before(e, ".name");
    return ERR_UNKNOWN_OUTPUT;
}

static int read_field(struct infer *r, uint32_t field, struct err *e)
{
    uint32_t n_outputs;
    int rc;
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
        rc = field_list(&r->d, read_output, r, &n_outputs, e);
        r->ret->no_outputs_listed = n_outputs == 0;
        return rc;
    default:
        rc = field_list(&r->d, read_input, r, &r->n_inputs, e);
        if (rc == 0 && r->n_inputs == 0)
            return err_set(e, ERR_WRONG_COUNT, "there is no input");
        return rc || r->whole ? rc : decode_fill_absent(&r->d, r->seen, e);
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
        rc = decode_field(d, REQUEST_FIELDS, N_REQUEST_FIELDS, &seen, "request", &first, &field, e);
        if (rc <= 0)
            break;
        rc = read_field(r, field, e);
        if (rc)
            path_key_before(e, REQUEST_FIELDS[field]);
    }
    if (rc == 0)
        rc = json_scan_finish(&d->json, e);
    if (rc == 0 && !(seen & 1u << INPUTS))
        rc = err_set(e, ERR_WRONG_COUNT, "the request has no inputs: nothing to predict");
    return rc;
}

int kserve_v2_decode(struct str body, const struct json_pause *pause, const struct signature *sig,
                     struct rows *rows, struct arena *scratch, struct predict_request *ret, struct err *e)
{
    struct infer r = {.ret = ret};
    ASSERT(rows->dtype == sig->input_dtype && rows->n_features == sig->n_features);
    decode_init(&r.d, body, sig, rows, scratch);
    json_scan_pauses(&r.d.json, pause);
    *ret = (struct predict_request){.no_outputs_listed = true};
    int rc = read_request(&r, e);
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
