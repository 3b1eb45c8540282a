// SPDX-License-Identifier: Apache-2.0
#include "predict_reference.h"

#include "wire/json_scan.h"

#include "fuzz.h"

#include <math.h>
#include <string.h>

static bool known_keys(yyjson_val *object, const char *const *known, size_t n)
{
    size_t i, max;
    yyjson_val *key, *value;
    unsigned seen = 0;
    yyjson_obj_foreach(object, i, max, key, value)
    {
        size_t k = 0;
        while (k < n && !yyjson_equals_str(key, known[k]))
            k++;
        if (k == n || seen & 1u << k)
            return false;
        seen |= 1u << k;
    }
    return true;
}

static int feature_of(const struct reference *r, yyjson_val *name)
{
    for (uint32_t i = 0; i < r->sig->n_features; i++)
        if (yyjson_equals_strn(name, r->sig->features[i].name.p, r->sig->features[i].name.n))
            return (int)i;
    return -1;
}

static bool narrow(const struct reference *r, double v, double *ret)
{
    *ret = r->sig->input_dtype == DTYPE_FP32 ? (double)(float)v : v;
    return isfinite(*ret);
}

static bool missing(const struct reference *r, int feature, double *ret)
{
    *ret = (double)NAN;
    return r->sig->features[feature].may_be_missing;
}

static bool integer_value(const struct reference *r, yyjson_val *v, enum dtype as, double *ret)
{
    static const double MAX[] = {[DTYPE_BOOL] = 1,
                                 [DTYPE_UINT8] = UINT8_MAX,
                                 [DTYPE_UINT16] = UINT16_MAX,
                                 [DTYPE_UINT32] = UINT32_MAX,
                                 [DTYPE_UINT64] = 0x1p64,
                                 [DTYPE_INT8] = INT8_MAX,
                                 [DTYPE_INT16] = INT16_MAX,
                                 [DTYPE_INT32] = INT32_MAX,
                                 [DTYPE_INT64] = 0x1p63};
    double d = yyjson_get_num(v), min = as >= DTYPE_INT8 ? -MAX[as] - 1 : 0;
    if (as == DTYPE_INT64)
        min = -0x1p63;
    if (d != trunc(d) || d < min || d > MAX[as])
        return false;
    if (fabs(d) < 0x1p53)
        return narrow(r, d, ret);
    bool wide = r->sig->input_dtype == DTYPE_FP64;
    if (yyjson_is_uint(v)) {
        uint64_t u = yyjson_get_uint(v);
        *ret = wide ? (double)u : (double)(float)u;
        return as == DTYPE_UINT64 || u <= INT64_MAX;
    }
    int64_t s = yyjson_get_sint(v);
    *ret = wide ? (double)s : (double)(float)s;
    return yyjson_is_sint(v);
}

static bool value(const struct reference *r, yyjson_val *v, enum dtype as, int feature, double *ret)
{
    if (yyjson_is_null(v))
        return missing(r, feature, ret);
    if (yyjson_is_bool(v)) {
        *ret = yyjson_get_bool(v);
        return true;
    }
    if (!yyjson_is_num(v))
        return false;
    if (as >= DTYPE_BOOL && as <= DTYPE_INT64)
        return integer_value(r, v, as, ret);
    double d = yyjson_get_num(v);
    if (as == DTYPE_FP32)
        d = (double)(float)d;
    return narrow(r, d, ret);
}

static bool fill_absent(struct reference *r, uint32_t from, uint32_t to, unsigned seen)
{
    for (uint32_t i = from; i < to; i++)
        for (int k = 0; k < REFERENCE_FEATURES; k++)
            if (!(seen & 1u << k) && !missing(r, k, &r->rows[i][k]))
                return false;
    return true;
}

static bool v1_row(struct reference *r, yyjson_val *row)
{
    size_t i, max;
    yyjson_val *key, *v;
    double *to = r->rows[r->n_rows];
    unsigned seen = 0;
    if (yyjson_is_arr(row)) {
        if (yyjson_arr_size(row) != REFERENCE_FEATURES)
            return false;
        yyjson_arr_foreach(row, i, max, v) if (!value(r, v, DTYPE_NONE, (int)i, &to[i])) return false;
        return true;
    }
    yyjson_obj_foreach(row, i, max, key, v)
    {
        int k = feature_of(r, key);
        if (k < 0 || seen & 1u << k || !value(r, v, DTYPE_NONE, k, &to[k]))
            return false;
        seen |= 1u << k;
    }
    return yyjson_is_obj(row) && fill_absent(r, r->n_rows, r->n_rows + 1, seen);
}

static bool v1_rows(struct reference *r, yyjson_val *rows)
{
    size_t i, max;
    yyjson_val *row;
    yyjson_arr_foreach(rows, i, max, row)
    {
        if (yyjson_get_type(row) != yyjson_get_type(yyjson_arr_get_first(rows)) || !v1_row(r, row))
            return false;
        r->n_rows++;
    }
    return yyjson_is_arr(rows);
}

static bool v1_columns(struct reference *r, yyjson_val *columns)
{
    size_t i, n, k, n_values;
    yyjson_val *key, *column, *v;
    unsigned seen = 0;
    yyjson_obj_foreach(columns, i, n, key, column)
    {
        int f = feature_of(r, key);
        if (f < 0 || seen & 1u << f || !yyjson_is_arr(column) || (i && yyjson_arr_size(column) != r->n_rows))
            return false;
        seen |= 1u << f;
        r->n_rows = (uint32_t)yyjson_arr_size(column);
        yyjson_arr_foreach(column, k, n_values, v)
        {
            if (yyjson_is_arr(v) && yyjson_arr_size(v) != 1)
                return false;
            if (!value(r, yyjson_is_arr(v) ? yyjson_arr_get_first(v) : v, DTYPE_NONE, f, &r->rows[k][f]))
                return false;
        }
    }
    return yyjson_obj_size(columns) > 0 && fill_absent(r, 0, r->n_rows, seen);
}

bool reference_v1(yyjson_val *root, struct reference *r)
{
    static const char *const KEYS[] = {"instances", "inputs", "signature_name", "parameters"};
    if (!yyjson_is_obj(root) || !known_keys(root, KEYS, 4))
        return false;
    yyjson_val *instances = yyjson_obj_get(root, KEYS[0]), *inputs = yyjson_obj_get(root, KEYS[1]),
               *signature = yyjson_obj_get(root, KEYS[2]), *parameters = yyjson_obj_get(root, KEYS[3]);
    if (!instances == !inputs || (signature && !yyjson_equals_str(signature, "serving_default")))
        return false;
    if (parameters && !yyjson_is_null(parameters) &&
        (!yyjson_is_obj(parameters) || yyjson_obj_size(parameters)))
        return false;
    return yyjson_is_obj(inputs) ? v1_columns(r, inputs) : v1_rows(r, instances ? instances : inputs);
}

enum { REQUEST = 1, INPUT = 2, OUTPUT = 4 };

static bool v2_parameters(yyjson_val *p, int place)
{
    static const char *const KEYS[] = {"binary_data_output", "binary_data", "content_type"};
    if (!p || yyjson_is_null(p))
        return true;
    if (!yyjson_is_obj(p) || !known_keys(p, KEYS, 3))
        return false;
    yyjson_val *all = yyjson_obj_get(p, KEYS[0]), *one = yyjson_obj_get(p, KEYS[1]),
               *type = yyjson_obj_get(p, KEYS[2]);
    return (!all || (place == REQUEST && yyjson_is_bool(all))) &&
           (!one || (place == OUTPUT && yyjson_is_bool(one))) &&
           (!type || yyjson_equals_str(type, "np") || yyjson_equals_str(type, "pd"));
}

static bool v2_data(struct reference *r, yyjson_val *data, enum dtype as, uint64_t n, uint64_t width,
                    int first, bool may_nest)
{
    size_t i, max;
    yyjson_val *v;
    bool nested = may_nest && yyjson_is_arr(yyjson_arr_get_first(data));
    if (!yyjson_is_arr(data) || yyjson_arr_size(data) != (nested ? n : n * width))
        return false;
    yyjson_arr_foreach(data, i, max, v)
    {
        for (uint64_t k = 0; k < (nested ? width : 1); k++) {
            uint64_t row = nested ? i : i / width, column = nested ? k : i % width;
            if (nested && (!yyjson_is_arr(v) || yyjson_arr_size(v) != width))
                return false;
            if (!value(r, nested ? yyjson_arr_get(v, k) : v, as, first + (int)column,
                       &r->rows[row][first + (int)column]))
                return false;
        }
    }
    return true;
}

static bool v2_input(struct reference *r, yyjson_val *input, size_t index, size_t n_inputs, unsigned *seen)
{
    static const char *const KEYS[] = {"name", "shape", "datatype", "data", "parameters"};
    uint64_t shape[2] = {0, 1};
    size_t i, n_dims;
    yyjson_val *dim;
    if (!yyjson_is_obj(input) || !known_keys(input, KEYS, 5) ||
        !v2_parameters(yyjson_obj_get(input, KEYS[4]), INPUT))
        return false;
    yyjson_val *name = yyjson_obj_get(input, KEYS[0]), *dims = yyjson_obj_get(input, KEYS[1]),
               *type = yyjson_obj_get(input, KEYS[2]);
    enum dtype as = dtype_find((struct str){yyjson_get_str(type), yyjson_get_len(type)});
    if (!yyjson_is_str(name) || as == DTYPE_NONE || as == DTYPE_FP16 || as == DTYPE_BYTES ||
        !yyjson_is_arr(dims) || yyjson_arr_size(dims) < 1 || yyjson_arr_size(dims) > 2)
        return false;
    yyjson_arr_foreach(dims, i, n_dims, dim)
    {
        double v = yyjson_get_num(dim);
        if (!yyjson_is_num(dim) || v != trunc(v) || v < 0 || v > UINT32_MAX)
            return false;
        shape[i] = (uint64_t)v;
    }
    bool whole = n_dims == 2 && shape[1] == REFERENCE_FEATURES;
    int f = whole ? 0 : feature_of(r, name);
    if ((whole && n_inputs > 1) || (!whole && shape[1] != 1) || f < 0 || *seen & 1u << f ||
        shape[0] > REFERENCE_ROWS || (index && shape[0] != r->n_rows))
        return false;
    *seen |= whole ? ~0u : 1u << f;
    r->n_rows = (uint32_t)shape[0];
    return v2_data(r, yyjson_obj_get(input, KEYS[3]), as, shape[0], whole ? REFERENCE_FEATURES : 1, f,
                   n_dims == 2);
}

bool reference_v2(yyjson_val *root, struct reference *r)
{
    static const char *const KEYS[] = {"id", "parameters", "inputs", "outputs"}, *const OUTPUT_KEYS[] = {
                                                                                     "name", "parameters"};
    size_t i, n;
    yyjson_val *v;
    unsigned seen = 0;
    if (!yyjson_is_obj(root) || !known_keys(root, KEYS, 4))
        return false;
    yyjson_val *id = yyjson_obj_get(root, KEYS[0]), *inputs = yyjson_obj_get(root, KEYS[2]),
               *outputs = yyjson_obj_get(root, KEYS[3]);
    if ((id && !yyjson_is_null(id) && !yyjson_is_str(id)) ||
        !v2_parameters(yyjson_obj_get(root, KEYS[1]), REQUEST) ||
        (outputs && !yyjson_is_null(outputs) && !yyjson_is_arr(outputs)) || !yyjson_is_arr(inputs) ||
        !yyjson_arr_size(inputs))
        return false;
    yyjson_arr_foreach(outputs, i, n,
                       v) if (!yyjson_is_obj(v) || !known_keys(v, OUTPUT_KEYS, 2) ||
                              !yyjson_equals_str(yyjson_obj_get(v, "name"), r->sig->output_name) ||
                              !v2_parameters(yyjson_obj_get(v, "parameters"), OUTPUT)) return false;
    yyjson_arr_foreach(inputs, i, n, v) if (!v2_input(r, v, i, n, &seen)) return false;
    return fill_absent(r, 0, r->n_rows, seen);
}

// yyjson's document of the body with NaN replaced by null; NULL when it is not JSON.
static yyjson_doc *read_document(const char *p, size_t n)
{
    char *copy = malloc(2 * n + 1);
    size_t m = 0;
    for (size_t i = 0; i < n;) {
        bool nan = n - i >= 3 && memcmp(p + i, "NaN", 3) == 0;
        memcpy(copy + m, nan ? "null" : p + i, nan ? 4 : 1);
        m += nan ? 4 : 1;
        i += nan ? 3 : 1;
    }
    yyjson_doc *doc = yyjson_read(copy, m, 0);
    free(copy);
    return doc;
}

static void expect_same(const struct reference *r, const struct rows *rows)
{
    EXPECT(rows->n_rows == r->n_rows);
    for (size_t i = 0; i < (size_t)r->n_rows * REFERENCE_FEATURES; i++) {
        double ours = rows->dtype == DTYPE_FP64 ? ((const double *)rows->data)[i]
                                                : (double)((const float *)rows->data)[i];
        double theirs = r->rows[i / REFERENCE_FEATURES][i % REFERENCE_FEATURES];
        EXPECT(ours == theirs || (isnan(ours) && isnan(theirs)));
    }
}

// An answer that echoes the first feature: always JSON.
static void expect_json_answer(const struct predict_request *req, const struct rows *rows,
                               const struct signature *sig, predict_encode_fn *encode)
{
    struct signature vector = *sig;
    struct buf out;
    vector.output_dtype = rows->dtype;
    vector.output_is_vector = true;
    vector.n_outputs = REFERENCE_FEATURES;
    struct predict_answer a = {&vector, STR("m"), STR("1"), STR("p"), rows->data, rows->n_rows};
    buf_init(&out, 64 << 20);
    encode(req, &a, &out);
    yyjson_doc *doc = yyjson_read(out.p, out.n, 0);
    EXPECT(!out.failed && doc);
    yyjson_doc_free(doc);
    buf_done(&out);
}

static void go_on(void *ctx)
{
    (void)ctx;
}

void reference_compare(const uint8_t *data, size_t n, predict_decode_fn *decode, predict_encode_fn *encode,
                       reference_fn *reference)
{
    static struct reference r;
    struct feature features[] = {{.name = STR("age"), .may_be_missing = true},
                                 {.name = STR("income"), .may_be_missing = true},
                                 {.name = STR("code"), .categorical = true}};
    struct signature sig = {
        .n_features = 3, .n_outputs = 1, .named = true, .output_name = "prediction", .features = features};
    struct rows rows;
    struct arena arena;
    struct predict_request req;
    struct err e;
    if (n < 1)
        return;
    sig.input_dtype = sig.output_dtype = data[0] & 1 ? DTYPE_FP64 : DTYPE_FP32;
    char *body = malloc(n); // exactly as large, so that a byte too many is seen
    memcpy(body, data + 1, --n);
    EXPECT(signature_index(&sig, &e) == 0 && arena_init(&arena, 1 << 24, &e) == 0);
    rows_init(&rows, sig.input_dtype, 3, REFERENCE_ROWS);
    const struct json_pause pause = {go_on, NULL, 5};
    int rc = decode((struct str){body, n}, &pause, &sig, &rows, &arena, &req, &e);
    EXPECT(rc == 0 || (rows.n_rows == 0 && e.code == rc && e.msg[0] && e.path[0] == '$'));
    if (rc == 0)
        expect_json_answer(&req, &rows, &sig, encode);
    if (rc != ERR_TOO_DEEP && rc != ERR_TOO_LARGE && !memmem(body, n, "Infinity", 8)) {
        yyjson_doc *doc = read_document(body, n);
        r.sig = &sig;
        r.n_rows = 0;
        bool accepted = doc && reference(yyjson_doc_get_root(doc), &r);
        if (accepted != (rc == 0))
            fprintf(stderr, "ours %d %s at %s, reference %d\n", rc, rc ? e.msg : "", rc ? e.path : "",
                    accepted);
        EXPECT(accepted == (rc == 0));
        if (accepted)
            expect_same(&r, &rows);
        yyjson_doc_free(doc);
    }
    rows_done(&rows);
    arena_done(&arena);
    map_done(&sig.by_name);
    free(body);
}
