// SPDX-License-Identifier: Apache-2.0
// The predict protocol of TensorFlow Serving's REST API and KServe V1: {"instances": rows} or {"inputs": rows
// or columns}, answered with {"predictions": …}. The bodies of GET /v1/models are in metadata.c; shapes and
// policy for clients in docs/api.md.
#include "api/kserve_v1_request.h"
#include "api/named_row.h"

#include "base/assert.h"

#include <string.h>

// The request so far.
struct predict {
    struct decode d;
    struct predict_request *ret;
};

static int read_row(struct decode *d, enum json_kind k, struct named_row *named, void *row, struct err *e)
{
    if (k == JSON_ARRAY)
        return decode_array(d, DTYPE_NONE, 0, row, d->sig->n_features, "row", e);
    if (k == JSON_OBJECT)
        return named_row_decode(named, d, row, e);
    if (d->sig->n_features == 1)
        return decode_value(d, DTYPE_NONE, 0, row, e);
    int rc = decode_unexpected(d, "a row: an array or an object of features", e);
    if (k == JSON_NUMBER)
        err_hint(e, "One row is sent as [[%u numbers]].", d->sig->n_features);
    return rc;
}

// What sort of row it is: rows of one request are of one sort.
static enum json_kind sort_of(enum json_kind k)
{
    return k == JSON_ARRAY || k == JSON_OBJECT ? k : JSON_NUMBER;
}

static int read_rows(void *context, struct err *e)
{
    struct predict *p = context;
    struct decode *d = &p->d;
    struct named_row named = {0};
    enum json_kind sort = JSON_NUMBER;
    bool first = true;
    uint32_t i = 0;
    int rc = json_scan_enter(&d->json, e);
    if (rc)
        return rc;
    for (; (rc = json_scan_item(&d->json, ']', &first, e)) == 1; i++) {
        void *row;
        enum json_kind k = json_scan_kind(&d->json);
        if (i == 0) {
            sort = sort_of(k);
            if (sort != JSON_ARRAY)
                d->layout = sort == JSON_OBJECT ? DECODE_OBJECTS : DECODE_VALUES;
            rc = sort == JSON_OBJECT ? named_row_init(&named, d, e) : 0;
        } else if (k > JSON_BAD && sort_of(k) != sort) {
            rc = err_set(e, ERR_WRONG_TYPE, "this row is %s, but the first one is %s", json_kind_name(k),
                         json_kind_name(sort));
        }
        if (rc == 1)
            rc = 0;
        if (rc == 0)
            rc = rows_append(d->rows, 1, &row, e);
        if (rc == 0)
            rc = read_row(d, k, &named, row, e);
        if (rc)
            break;
    }
    if (rc)
        path_index_before(e, i);
    return rc;
}

// The value of a column's item, which may be wrapped in an array of one.
static int read_cell(struct decode *d, uint32_t feature, void *to, struct err *e)
{
    if (json_scan_kind(&d->json) == JSON_ARRAY)
        return decode_array(d, DTYPE_NONE, feature, to, 1, "item", e);
    return decode_value(d, DTYPE_NONE, feature, to, e);
}

// Values [i..) of a column: a run of plain numbers, or else one value. The first column makes the rows.
static int read_cells(struct decode *d, uint32_t feature, bool makes_rows, uint32_t *i, struct err *e)
{
    enum { STEP = 64 };
    uint32_t n_rows = d->rows->n_rows - d->first_row, left = makes_rows ? STEP : n_rows - *i;
    size_t row_bytes = d->sig->n_features * decode_value_size(d);
    void *first;
    int rc = 0;
    if (makes_rows && d->rows->n_rows < d->rows->max_rows) { // as many as might come; the rest is given back
        uint32_t room = d->rows->max_rows - d->rows->n_rows;
        left = room < STEP ? room : STEP;
        rc = rows_append(d->rows, left, &first, e);
    } else if (makes_rows) {
        rc = rows_append(d->rows, 1, &first, e);
    } else if (left == 0) {
        rc = err_set(e, ERR_WRONG_COUNT, "this column has more than %u values, the first has %u", n_rows,
                     n_rows);
    }
    if (rc)
        return rc;
    size_t got = decode_run(d, DTYPE_NONE, decode_cell(d, *i, feature), row_bytes, left);
    if (got == 0) {
        rc = read_cell(d, feature, decode_cell(d, *i, feature), e);
        got = rc == 0;
    }
    *i += (uint32_t)got;
    if (makes_rows)
        rows_truncate(d->rows, d->first_row + *i);
    return rc;
}

static int read_column(struct decode *d, uint32_t feature, bool makes_rows, struct err *e)
{
    bool first = true;
    uint32_t i = 0;
    if (json_scan_kind(&d->json) != JSON_ARRAY)
        return decode_unexpected(d, "an array with the values of one column", e);
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = json_scan_item(&d->json, ']', &first, e);
        if (rc <= 0)
            break;
        rc = read_cells(d, feature, makes_rows, &i, e);
    }
    if (rc) {
        path_index_before(e, i);
        return rc;
    }
    uint32_t n_rows = d->rows->n_rows - d->first_row;
    if (i != n_rows)
        return err_set(e, ERR_WRONG_COUNT, "this column has %u values, the first has %u", i, n_rows);
    return 0;
}

static int read_columns(struct decode *d, struct err *e)
{
    bool first = true;
    uint32_t n = 0;
    d->layout = DECODE_COLUMNS;
    uint8_t *seen = arena_calloc(d->scratch, d->sig->n_features, sizeof *seen);
    if (!seen)
        return err_set(e, ERR_NOMEM, "no room to tell %u features apart", d->sig->n_features);
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        struct str name = {0};
        uint32_t feature;
        rc = json_scan_item(&d->json, '}', &first, e);
        if (rc <= 0)
            break;
        rc = json_scan_key(&d->json, d->scratch, &name, e);
        if (rc)
            break;
        rc = decode_feature(d, name, &feature, e);
        if (rc == 0 && seen[feature])
            rc = err_set(e, ERR_DUPLICATE_KEY, "column '" STR_FMT "' stands twice", STR_ARG(name));
        if (rc == 0)
            rc = read_column(d, feature, n == 0, e);
        if (rc) {
            path_key_before(e, name);
            break;
        }
        seen[feature] = 1;
        n++;
    }
    if (rc == 0 && n == 0)
        return err_set(e, ERR_WRONG_COUNT, "there are no columns, so it is unknown how many rows to predict");
    return rc ? rc : decode_fill_absent(d, seen, e);
}

static int read_inputs(void *context, enum json_kind k, struct err *e)
{
    struct predict *p = context;
    p->ret->columns = true;
    if (k == JSON_OBJECT)
        return read_columns(&p->d, e);
    return k == JSON_ARRAY ? read_rows(p, e)
                           : decode_unexpected(&p->d, "an array of rows or an object of columns", e);
}

static const struct v1_codec CODEC = {read_rows, read_inputs};

int kserve_v1_decode(struct str body, const struct json_pause *pause, const struct signature *sig,
                     struct rows *rows, struct arena *scratch, struct predict_request *ret, struct err *e)
{
    struct predict p; // decode_init sets the rest
    struct decode *d = &p.d;
    ASSERT(rows->dtype == sig->input_dtype && rows->n_features == sig->n_features);
    p.ret = ret;
    decode_init(d, body, sig, rows, scratch);
    json_scan_pauses(&d->json, pause);
    *ret = (struct predict_request){.no_outputs_listed = true};
    int rc = v1_request_decode(d, &CODEC, &p, e);
    if (sig->takes_text)
        rc = decode_finish_rules(d, rc, ret->columns ? ".inputs" : ".instances", ret, e);
    if (rc) {
        path_before(e, "$");
        rows_truncate(rows, d->first_row);
        return rc;
    }
    ret->n_rows = rows->n_rows - d->first_row;
    return 0;
}

static void put_rows(const struct predict_answer *a, struct buf *out)
{
    const struct signature *sig = a->sig;
    buf_putc(out, '[');
    if (!sig->output_is_vector) {
        values_encode(a->outputs, sig->output_dtype, a->n_rows, out);
    } else {
        size_t row_bytes = sig->n_outputs * dtype_size(sig->output_dtype);
        for (uint32_t i = 0; i < a->n_rows; i++) {
            buf_puts(out, i ? ",[" : "[");
            values_encode((const char *)a->outputs + i * row_bytes, sig->output_dtype, sig->n_outputs, out);
            buf_putc(out, ']');
        }
    }
    buf_putc(out, ']');
}

void kserve_v1_encode(const struct predict_request *req, const struct predict_answer *a, struct buf *out)
{
    if (!req->columns) {
        buf_put_str(out, STR("{\"predictions\":"));
        put_rows(a, out);
        buf_putc(out, '}');
        return;
    }
    size_t from = v1_answer_columns(out);
    put_rows(a, out);
    v1_answer_columns_end(out, from);
}
