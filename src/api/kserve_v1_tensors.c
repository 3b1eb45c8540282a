// SPDX-License-Identifier: Apache-2.0
// TensorFlow Serving's REST API and KServe V1 for models of tensors. `instances` is a list of rows: the
// values of the one input, or objects by input name; `inputs` has whole tensors. Rows as objects are read
// once when it is known how large a row is, else twice: first to measure.
#include "api/kserve_v1_request.h"
#include "api/ruled_tensor.h"
#include "api/tensor_read.h"
#include "api/tensor_write.h"

#include <string.h>

// The request so far.
struct predict {
    struct decode d;
    const struct interface *i;
    struct tensor_sink *sink;
    struct tensors_request *ret;
    struct tensor_read *reads; // (n_inputs)
    uint32_t *n_rows;          // (n_inputs) rows that came of each, while rows are objects
    uint8_t *order;            // (n_inputs) input expected at each position of an object
    uint32_t n_order;          // positions that are known
    bool measuring;
};

// The input that values without a name are for: the only one, or the only one that is needed; or -1.
static int unnamed_input(const struct interface *i)
{
    int needed = -1;
    uint32_t n = 0;
    for (uint32_t k = 0; k < i->n_inputs; k++) {
        if (i->inputs[k].optional)
            continue;
        needed = (int)k;
        n++;
    }
    return i->n_inputs == 1 ? 0 : n == 1 ? needed : -1;
}

// Holds the tensor to its input's rule; the path of an error goes down to the element.
static int check_whole(struct tensor_read *r, const struct tensor *t, struct err *e)
{
    uint64_t at = 0;
    int rc = ruled_tensor(r, t, &at, e);
    for (uint32_t k = t->n_dims; rc && k-- > 0;) {
        if (!(r->squeezed && k == 1))
            path_index_before(e, at % (uint64_t)t->shape[k]);
        at /= (uint64_t)t->shape[k];
    }
    return rc;
}

static int read_whole(struct predict *p, uint32_t k, struct err *e)
{
    struct tensor_read *r = &p->reads[k];
    size_t bytes;
    if (p->ret->inputs[k].dtype != DTYPE_NONE)
        return err_set(e, ERR_DUPLICATE_KEY, "input '" STR_FMT "' stands twice",
                       STR_ARG(p->i->inputs[k].name));
    tensor_read_init(r, &p->d, &p->i->inputs[k]);
    r->b64 = true;
    int rc = tensor_read_rank(r, 0, e);
    if (rc == 0)
        rc = tensor_read_size(r, &bytes, e);
    if (rc == 0)
        rc = tensor_read_alloc(r, p->sink, bytes, e);
    if (rc == 0)
        rc = tensor_read_values(r, 0, e);
    if (rc == 0)
        rc = tensor_read_finish(r, &p->ret->inputs[k], e);
    return rc ? rc : check_whole(r, &p->ret->inputs[k], e);
}

// A name in an object: `at` is its position there.
static int read_name(struct predict *p, uint32_t at, struct str *ret_name, uint32_t *ret, struct err *e)
{
    struct json_scan *json = &p->d.json;
    if (at < p->n_order) {
        *ret = p->order[at];
        *ret_name = p->i->inputs[*ret].name;
        if (json_scan_is_plain(*ret_name) && json_scan_key_is(json, *ret_name))
            return 0;
    }
    int rc = json_scan_key(json, p->d.scratch, ret_name, e);
    if (rc)
        return rc;
    rc = find_input(p->i, *ret_name, ret, e);
    if (rc == 0 && at == p->n_order && at < p->i->n_inputs)
        p->order[p->n_order++] = (uint8_t)*ret;
    if (rc)
        path_key_before(e, *ret_name);
    return rc;
}

static bool row_size_is_known(const struct tensor_spec *s)
{
    return s->dtype != DTYPE_BYTES && !s->any_shape && s->n_dims > 0 &&
           tensor_n_elements(s->shape + 1, s->n_dims - 1) >= 0;
}

// The first row has this input. As many rows as might come: each row has one '{', the first was passed.
static int begin_input(struct predict *p, struct tensor_read *r, const struct tensor_spec *s, struct err *e)
{
    struct str rest = {p->d.json.p, (size_t)(p->d.json.end - p->d.json.p)};
    size_t bytes;
    tensor_read_init(r, &p->d, s);
    r->b64 = true;
    if (s->n_dims == 0 && !s->any_shape) {
        err_set(e, ERR_WRONG_TYPE, "input '" STR_FMT "' is a single value and has no rows", STR_ARG(s->name));
        err_hint(e, "Send whole tensors by name under `inputs`.");
        return ERR_WRONG_TYPE;
    }
    int rc = tensor_read_rank(r, 1, e);
    if (rc || p->measuring)
        return rc;
    uint64_t n = (uint64_t)tensor_n_elements(s->shape + 1, s->n_dims - 1), rows = count_char(rest, '{') + 1;
    if (__builtin_mul_overflow(n * dtype_size(s->dtype), rows, &bytes))
        return err_set(e, ERR_TOO_LARGE, "the rows are larger than any memory");
    return tensor_read_alloc(r, p->sink, bytes, e);
}

static int read_row_value(struct predict *p, uint32_t k, uint32_t row, struct err *e)
{
    const struct tensor_spec *s = &p->i->inputs[k];
    struct tensor_read *r = &p->reads[k];
    if (p->n_rows[k] == row + 1)
        return err_set(e, ERR_DUPLICATE_KEY, "input '" STR_FMT "' stands twice in the row", STR_ARG(s->name));
    if (p->n_rows[k] != row)
        return err_set(e, ERR_WRONG_COUNT, "this row has input '" STR_FMT "', but the first one has not",
                       STR_ARG(s->name));
    int rc = r->spec ? 0 : begin_input(p, r, s, e);
    if (rc == 0)
        rc = tensor_read_values(r, 1, e);
    if (rc == 0)
        p->n_rows[k]++;
    return rc;
}

static int check_row(struct predict *p, uint32_t row, struct err *e)
{
    for (uint32_t k = 0; k < p->i->n_inputs; k++) {
        const struct tensor_spec *s = &p->i->inputs[k];
        if (p->n_rows[k] != row + 1 && (p->n_rows[k] > 0 || !s->optional))
            return err_set(e, ERR_MISSING_FEATURE, "the row has no input '" STR_FMT "'", STR_ARG(s->name));
    }
    return 0;
}

static int read_row(struct predict *p, uint32_t row, struct err *e)
{
    struct decode *d = &p->d;
    bool first = true;
    enum json_kind kind = json_scan_kind(&d->json);
    if (kind > JSON_BAD && kind != JSON_OBJECT)
        return err_set(e, ERR_WRONG_TYPE, "this row is %s, but the first one is an object",
                       json_kind_name(kind));
    int rc = json_scan_enter(&d->json, e);
    for (uint32_t at = 0; rc == 0; at++) {
        struct str name;
        uint32_t k;
        rc = json_scan_item(&d->json, '}', &first, e);
        if (rc <= 0)
            break;
        rc = read_name(p, at, &name, &k, e);
        if (rc)
            return rc;
        rc = read_row_value(p, k, row, e);
        if (rc)
            path_key_before(e, name);
    }
    return rc ? rc : check_row(p, row, e);
}

// Reads all rows, or measures them.
static int read_rows(struct predict *p, uint32_t *ret_n, struct err *e)
{
    bool first = true;
    int rc = json_scan_enter(&p->d.json, e);
    memset(p->n_rows, 0, p->i->n_inputs * sizeof *p->n_rows);
    for (*ret_n = 0; rc == 0; ++*ret_n) {
        rc = json_scan_item(&p->d.json, ']', &first, e);
        if (rc <= 0)
            break;
        rc = read_row(p, *ret_n, e);
        if (rc)
            path_index_before(e, *ret_n);
        if (rc)
            break;
    }
    return rc;
}

static int measure_rows(struct predict *p, struct err *e)
{
    struct json_scan from = p->d.json;
    uint32_t n;
    p->measuring = true;
    int rc = read_rows(p, &n, e);
    p->measuring = false;
    p->d.json = from;
    for (uint32_t k = 0; rc == 0 && k < p->i->n_inputs; k++)
        if (p->reads[k].spec)
            rc = tensor_read_alloc(&p->reads[k], p->sink, p->reads[k].measured, e);
    return rc;
}

static uint64_t elements_of_row(const struct tensor *t)
{
    int64_t n = tensor_n_elements(t->shape + 1, t->n_dims - 1);
    return n > 0 ? (uint64_t)n : 1;
}

static int read_objects(struct predict *p, struct err *e)
{
    uint32_t n;
    int rc = 0;
    bool known = true;
    for (uint32_t k = 0; k < p->i->n_inputs; k++)
        known &= row_size_is_known(&p->i->inputs[k]);
    if (!known)
        rc = measure_rows(p, e);
    if (rc == 0)
        rc = read_rows(p, &n, e);
    for (uint32_t k = 0; rc == 0 && k < p->i->n_inputs; k++) {
        struct tensor_read *r = &p->reads[k];
        if (!r->spec)
            continue;
        if (r->spec->n_dims && r->spec->shape[0] >= 0 && r->spec->shape[0] != (int64_t)n)
            return err_set(e, ERR_WRONG_COUNT, "there are %u rows, but input '" STR_FMT "' takes %lld", n,
                           STR_ARG(r->spec->name), (long long)r->spec->shape[0]);
        r->t.shape[0] = n;
        rc = tensor_read_finish(r, &p->ret->inputs[k], e);
        uint64_t at = 0;
        if (rc == 0 && (rc = ruled_tensor(r, &p->ret->inputs[k], &at, e)) != 0) {
            path_key_before(e, r->spec->name);
            path_index_before(e, at / (r->t.n_dims ? elements_of_row(&r->t) : 1));
        }
    }
    return rc;
}

// Whether the item that starts here is {"b64":…}, a value of the unnamed input.
static bool is_b64(struct predict *p, struct json_scan look)
{
    struct str key;
    int k = unnamed_input(p->i);
    return k >= 0 && p->i->inputs[k].dtype == DTYPE_BYTES && interface_input(p->i, STR("b64")) < 0 &&
           json_scan_enter(&look, NULL) == 0 && json_scan_kind(&look) == JSON_STRING &&
           json_scan_key(&look, NULL, &key, NULL) == 0 && str_eq(key, STR("b64"));
}

static int no_unnamed_input(struct predict *p, struct err *e)
{
    err_set(e, ERR_WRONG_TYPE, "the model has %u inputs, so that values need their names", p->i->n_inputs);
    err_hint(e, "A row is an object by input name; `inputs` is an object of tensors by input name.");
    return ERR_WRONG_TYPE;
}

// A list of rows.
static int read_instances(void *context, struct err *e)
{
    struct predict *p = context;
    struct json_scan look = p->d.json;
    int rc = json_scan_enter(&look, e), k = unnamed_input(p->i);
    if (rc)
        return rc;
    enum json_kind first = json_scan_kind(&look);
    if (first == JSON_OBJECT && !is_b64(p, look))
        return read_objects(p, e);
    if (k < 0)
        return no_unnamed_input(p, e);
    rc = read_whole(p, (uint32_t)k, e);
    if (rc == ERR_WRONG_TYPE && first == JSON_NUMBER && p->i->inputs[k].n_dims > 1)
        err_hint(e, "A row is a list itself: one row is sent as [[…]].");
    return rc;
}

// An object of tensors by input name.
static int read_columns(struct predict *p, struct err *e)
{
    struct decode *d = &p->d;
    bool first = true;
    int rc = json_scan_enter(&d->json, e);
    for (uint32_t at = 0; rc == 0; at++) {
        struct str name;
        uint32_t k;
        rc = json_scan_item(&d->json, '}', &first, e);
        if (rc <= 0)
            break;
        rc = read_name(p, at, &name, &k, e);
        if (rc)
            return rc;
        rc = read_whole(p, k, e);
        if (rc)
            path_key_before(e, name);
    }
    return rc;
}

// Tensors by name, one tensor, or rows as objects.
static int read_inputs(void *context, enum json_kind kind, struct err *e)
{
    struct predict *p = context;
    struct json_scan look = p->d.json;
    int rc, k = unnamed_input(p->i);
    p->ret->columns = true;
    if (kind == JSON_OBJECT && !is_b64(p, look))
        return read_columns(p, e);
    if (kind == JSON_ARRAY) {
        rc = json_scan_enter(&look, e);
        if (rc)
            return rc;
        if (json_scan_kind(&look) == JSON_OBJECT)
            return read_instances(p, e);
    }
    return k < 0 ? no_unnamed_input(p, e) : read_whole(p, (uint32_t)k, e);
}

static const struct v1_codec CODEC = {read_instances, read_inputs};

static int read_request(struct predict *p, struct err *e)
{
    int rc = v1_request_decode(&p->d, &CODEC, p, e);
    if (rc)
        return rc;
    rc = finish_inputs(p->i, p->ret, e);
    if (rc)
        path_before(e, p->ret->columns ? ".inputs" : ".instances");
    return rc;
}

int kserve_v1_tensors_decode(struct str body, const struct json_pause *pause, const struct interface *i,
                             struct tensor_sink *sink, struct arena *scratch, struct tensors_request *ret,
                             struct err *e)
{
    struct predict p = {.d = {.scratch = scratch}, .i = i, .sink = sink, .ret = ret};
    json_scan_init(&p.d.json, body);
    json_scan_pauses(&p.d.json, pause);
    *ret = (struct tensors_request){.outputs = all_outputs(i)};
    ret->inputs = arena_calloc(scratch, i->n_inputs, sizeof *ret->inputs);
    p.reads = arena_calloc(scratch, i->n_inputs, sizeof *p.reads);
    p.n_rows = arena_calloc(scratch, i->n_inputs, sizeof *p.n_rows);
    p.order = arena_calloc(scratch, i->n_inputs, sizeof *p.order);
    if (!ret->inputs || !p.reads || !p.n_rows || !p.order)
        return err_set(e, ERR_NOMEM, "no room for %u inputs", i->n_inputs);
    int rc = read_request(&p, e);
    ret->n_warnings = p.d.n_warnings;
    ret->counts = p.d.counts;
    if (rc)
        path_before(e, "$");
    return rc;
}

// The results that are answered, one writer each.
struct answer {
    struct tensor_write writes[TENSORS_MAX];
    struct str names[TENSORS_MAX];
    uint32_t n;
    bool named; // by the interface, not by what came out
    struct buf *out;
};

static void collect(struct answer *r, const struct tensors_answer *a, struct buf *out)
{
    r->n = 0; // the rest is set as far as it is used
    r->named = a->interface->n_outputs > 1;
    r->out = out;
    for (uint32_t k = 0; k < a->interface->n_outputs; k++) {
        if (a->results[k].dtype == DTYPE_NONE)
            continue;
        r->names[r->n] = a->interface->outputs[k].name;
        tensor_write_init(&r->writes[r->n++], &a->results[k], out);
    }
}

static bool all_have_rows(const struct answer *r, uint32_t n_rows)
{
    bool rows = r->n > 0;
    for (uint32_t k = 0; k < r->n; k++)
        rows &= r->writes[k].t->n_dims > 0 && r->writes[k].t->shape[0] == (int64_t)n_rows;
    return rows;
}

// The dimensions from `level` on of each output.
static void put_values(struct answer *r, uint32_t level)
{
    for (uint32_t k = 0; k < r->n; k++) {
        if (r->named) {
            buf_putc(r->out, k ? ',' : '{');
            buf_put_json_str(r->out, r->names[k]);
            buf_putc(r->out, ':');
        }
        tensor_write_nested(&r->writes[k], level);
    }
    if (r->named)
        buf_puts(r->out, r->n ? "}" : "{}");
    else if (r->n == 0)
        buf_puts(r->out, "null");
}

static void put_rows(struct answer *r, uint32_t n_rows)
{
    buf_puts(r->out, "{\"predictions\":");
    if (!r->named) {
        tensor_write_nested(&r->writes[0], 0);
        buf_putc(r->out, '}');
        return;
    }
    for (uint32_t i = 0; i < n_rows && !r->out->failed; i++) {
        buf_putc(r->out, i ? ',' : '[');
        put_values(r, 1);
    }
    buf_puts(r->out, n_rows ? "]}" : "[]}");
}

void kserve_v1_tensors_encode(const struct tensors_request *req, const struct tensors_answer *a,
                              struct buf *out)
{
    struct answer r;
    collect(&r, a, out);
    if (!req->columns && all_have_rows(&r, req->n_rows)) {
        put_rows(&r, req->n_rows);
        return;
    }
    size_t from = v1_answer_columns(out);
    put_values(&r, 0);
    v1_answer_columns_end(out, from);
}
