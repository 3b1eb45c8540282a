// SPDX-License-Identifier: Apache-2.0
// The JSON of an interface, both ways. Decoding reads the document twice: first it checks all and counts,
// then it fills one block: the struct, the specs, the labels, and behind them the bytes of all strings, which
// are together shorter than the document.
#include "tensor/interface.h"

#include "base/limits.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

static void put_shape(const struct tensor_spec *s, struct buf *json)
{
    buf_puts(json, ",\"shape\":[");
    for (uint32_t k = 0; k < s->n_dims; k++)
        buf_printf(json, "%s%lld", k ? "," : "", (long long)s->shape[k]);
    buf_putc(json, ']');
}

static void put_specs(const struct tensor_spec *specs, uint32_t n, struct buf *json)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct tensor_spec *s = &specs[i];
        buf_puts(json, i ? ",{\"name\":" : "{\"name\":");
        buf_put_json_str(json, s->name);
        buf_printf(json, ",\"datatype\":\"%s\"", dtype_name(s->dtype));
        if (s->any_shape)
            buf_puts(json, ",\"any_shape\":true");
        else
            put_shape(s, json);
        if (s->optional)
            buf_puts(json, ",\"optional\":true");
        for (uint32_t k = 0; k < s->n_labels; k++) {
            buf_puts(json, k ? "," : ",\"labels\":[");
            buf_put_json_str(json, s->labels[k]);
        }
        buf_puts(json, s->n_labels ? "]}" : "}");
    }
}

void interface_encode(const struct interface *i, struct buf *json)
{
    buf_puts(json, "{\"platform\":");
    buf_put_json_str(json, str_of(i->platform));
    buf_printf(json, ",\"max_batch_rows\":%u,\"inputs\":[", i->max_batch_rows);
    put_specs(i->inputs, i->n_inputs, json);
    buf_puts(json, "],\"outputs\":[");
    put_specs(i->outputs, i->n_outputs, json);
    buf_puts(json, "]}");
}

// Refuses a key that is not among known, or stands twice, or is needed (the first n_needed) and absent.
static int check_keys(yyjson_val *object, const char *const *known, size_t n, size_t n_needed, struct err *e)
{
    size_t i, max;
    yyjson_val *key, *value;
    unsigned seen = 0;
    if (!yyjson_is_obj(object))
        return err_set(e, ERR_INVALID, "expected an object");
    yyjson_obj_foreach(object, i, max, key, value)
    {
        size_t k = 0;
        while (k < n && !yyjson_equals_str(key, known[k]))
            k++;
        if (k == n || seen & 1u << k)
            return err_set(e, ERR_INVALID, "the key '%s' is %s", yyjson_get_str(key),
                           k == n ? "not known" : "there twice");
        seen |= 1u << k;
    }
    for (size_t k = 0; k < n_needed; k++)
        if (!(seen & 1u << k))
            return err_set(e, ERR_INVALID, "the key '%s' is missing", known[k]);
    return 0;
}

static struct str str_val(yyjson_val *v)
{
    return (struct str){yyjson_get_str(v), yyjson_get_len(v)};
}

// A string that C functions can take.
static bool is_name(yyjson_val *v)
{
    struct str s = str_val(v);
    return yyjson_is_str(v) && s.n > 0 && s.n <= LIMIT_TENSOR_NAME_BYTES && !memchr(s.p, 0, s.n);
}

static int read_shape(yyjson_val *shape, struct tensor_spec *s, struct err *e)
{
    int64_t known[TENSOR_DIMS_MAX];
    size_t i, max;
    yyjson_val *v;
    if (!yyjson_is_arr(shape) || yyjson_arr_size(shape) > TENSOR_DIMS_MAX)
        return err_set(e, ERR_INVALID, "the shape is not an array of at most %d sizes", TENSOR_DIMS_MAX);
    s->n_dims = (uint32_t)yyjson_arr_size(shape);
    yyjson_arr_foreach(shape, i, max, v)
    {
        bool size = yyjson_is_uint(v) && yyjson_get_uint(v) <= UINT32_MAX,
             any = yyjson_is_sint(v) && yyjson_get_sint(v) == -1;
        if (!size && !any)
            return err_set(e, ERR_INVALID, "size %zu of the shape is no whole number from -1 to 2^32 - 1", i);
        s->shape[i] = any ? -1 : (int64_t)yyjson_get_uint(v);
        known[i] = any ? 1 : s->shape[i];
    }
    int64_t n = tensor_n_elements(known, s->n_dims);
    return n < 0 || n > INT64_MAX / 8 ? err_set(e, ERR_INVALID, "the shape is larger than any memory") : 0;
}

static bool is_true_or_absent(yyjson_val *v)
{
    return !v || yyjson_is_true(v);
}

static int read_labels(yyjson_val *labels, uint32_t *ret_n, struct err *e)
{
    size_t i, max;
    yyjson_val *v;
    *ret_n = (uint32_t)yyjson_arr_size(labels);
    if (labels && *ret_n == 0)
        return err_set(e, ERR_INVALID, "labels is not an array of strings");
    yyjson_arr_foreach(labels, i, max, v)
    {
        if (!yyjson_is_str(v))
            return err_set(e, ERR_INVALID, "label %zu is not a string", i);
    }
    return 0;
}

// Everything of one spec but its strings.
static int read_spec(yyjson_val *spec, bool is_input, struct tensor_spec *s, struct err *e)
{
    static const char *const KEYS[] = {"name",   "datatype", "shape",   "any_shape",   "optional",
                                       "labels", "type",     "missing", "categories",  "codes",
                                       "min",    "max",      "mode",    "description", "unit"};
    int rc = check_keys(spec, KEYS, sizeof KEYS / sizeof KEYS[0], 2, e);
    if (rc)
        return rc;
    yyjson_val *shape = yyjson_obj_get(spec, "shape"), *any = yyjson_obj_get(spec, "any_shape"),
               *optional = yyjson_obj_get(spec, "optional"), *labels = yyjson_obj_get(spec, "labels");
    *s = (struct tensor_spec){.dtype = dtype_find(str_val(yyjson_obj_get(spec, "datatype")))};
    if (!is_name(yyjson_obj_get(spec, "name")))
        return err_set(e, ERR_INVALID, "the name is no string of 1 to %d bytes without NUL",
                       LIMIT_TENSOR_NAME_BYTES);
    if (s->dtype == DTYPE_NONE)
        return err_set(e, ERR_INVALID, "the datatype is not known");
    if (!is_true_or_absent(any) || !is_true_or_absent(optional) || !any == !shape)
        return err_set(e, ERR_INVALID, "a tensor has either a shape or any_shape true; optional is true");
    if (is_input ? labels != NULL : optional != NULL)
        return err_set(e, ERR_INVALID, "inputs have no labels, and outputs are not optional");
    s->any_shape = any;
    s->optional = optional;
    rc = shape ? read_shape(shape, s, e) : 0;
    return rc ? rc : read_labels(labels, &s->n_labels, e);
}

static int check_unique(yyjson_val *specs, struct err *e)
{
    struct str names[TENSORS_MAX];
    size_t i, max;
    yyjson_val *spec;
    yyjson_arr_foreach(specs, i, max, spec)
    {
        names[i] = str_val(yyjson_obj_get(spec, "name"));
        for (size_t k = 0; k < i; k++)
            if (str_eq(names[i], names[k]))
                return err_set(e, ERR_INVALID, "the name '" STR_FMT "' is there twice", STR_ARG(names[i]));
    }
    return 0;
}

static int check_specs(yyjson_val *specs, const char *what, bool batched, size_t *n_labels, struct err *e)
{
    size_t i, max;
    yyjson_val *spec;
    bool is_input = strcmp(what, "inputs") == 0;
    int rc = 0;
    if (!yyjson_is_arr(specs) || yyjson_arr_size(specs) > TENSORS_MAX)
        rc = err_set(e, ERR_INVALID, "expected an array of at most %d tensors", TENSORS_MAX);
    yyjson_arr_foreach(specs, i, max, spec)
    {
        struct tensor_spec s;
        if (rc == 0)
            rc = read_spec(spec, is_input, &s, e);
        if (rc == 0 && batched && !s.any_shape && (s.n_dims == 0 || (is_input && s.shape[0] != -1)))
            rc = err_set(e, ERR_INVALID, "there are batches, but the tensor has no rows");
        if (rc) {
            err_at(e, "$.%s[%zu]", what, i);
            return rc;
        }
        *n_labels += s.n_labels;
    }
    if (rc == 0)
        rc = check_unique(specs, e);
    if (rc)
        err_at(e, "$.%s", what);
    return rc;
}

struct document {
    yyjson_val *platform, *inputs, *outputs;
    uint64_t max_batch_rows;
    size_t n_labels, n_bytes; // of all labels, and of room for all strings
};

static int check_document(yyjson_val *root, struct document *d, struct err *e)
{
    static const char *const KEYS[] = {"platform", "max_batch_rows", "inputs", "outputs", "changes"};
    int rc = check_keys(root, KEYS, 5, 4, e);
    err_at(e, "$");
    if (rc)
        return rc;
    yyjson_val *rows = yyjson_obj_get(root, "max_batch_rows");
    d->platform = yyjson_obj_get(root, "platform");
    d->inputs = yyjson_obj_get(root, "inputs");
    d->outputs = yyjson_obj_get(root, "outputs");
    d->max_batch_rows = yyjson_get_uint(rows);
    if (!is_name(d->platform) || !yyjson_is_uint(rows) || d->max_batch_rows > UINT32_MAX) {
        rc = err_set(e, ERR_INVALID, "platform is a name, max_batch_rows a number of rows");
    } else if (d->max_batch_rows > 0 && yyjson_arr_size(d->inputs) == 0) {
        rc = err_set(e, ERR_INVALID, "there are batches, but no inputs");
    } else {
        rc = check_specs(d->inputs, "inputs", d->max_batch_rows > 0, &d->n_labels, e);
        return rc ? rc : check_specs(d->outputs, "outputs", d->max_batch_rows > 0, &d->n_labels, e);
    }
    err_at(e, "$");
    return rc;
}

// What is left of the block.
struct room {
    struct str *labels;
    char *bytes;
};

static struct str take_string(struct room *r, yyjson_val *v)
{
    struct str s = {r->bytes, yyjson_get_len(v)};
    memcpy(r->bytes, yyjson_get_str(v), s.n + 1);
    r->bytes += s.n + 1;
    return s;
}

static int fill_specs(yyjson_val *specs, bool is_input, struct tensor_spec *to, struct room *r, struct err *e)
{
    size_t i, k, max, n_labels;
    yyjson_val *spec, *label;
    yyjson_arr_foreach(specs, i, max, spec)
    {
        int rc = read_spec(spec, is_input, &to[i], e);
        if (rc)
            return rc;
        to[i].name = take_string(r, yyjson_obj_get(spec, "name"));
        if (to[i].n_labels)
            to[i].labels = r->labels;
        yyjson_arr_foreach(yyjson_obj_get(spec, "labels"), k, n_labels, label)
        {
            *r->labels++ = take_string(r, label);
        }
    }
    return 0;
}

static int fill(const struct document *d, size_t json_bytes, struct interface **ret, struct err *e)
{
    size_t n_inputs = yyjson_arr_size(d->inputs), n_outputs = yyjson_arr_size(d->outputs);
    size_t bytes = sizeof **ret + (n_inputs + n_outputs) * sizeof(struct tensor_spec) +
                   d->n_labels * sizeof(struct str) + json_bytes;
    struct interface *i = calloc(1, bytes);
    if (!i)
        return err_set(e, ERR_NOMEM, "no memory for an interface of %zu bytes", bytes);
    i->n_inputs = (uint32_t)n_inputs;
    i->n_outputs = (uint32_t)n_outputs;
    i->inputs = (struct tensor_spec *)(i + 1);
    i->outputs = i->inputs + n_inputs;
    i->max_batch_rows = (uint32_t)d->max_batch_rows;
    struct room r = {.labels = (struct str *)(i->outputs + n_outputs)};
    r.bytes = (char *)(r.labels + d->n_labels);
    i->platform = take_string(&r, d->platform).p;
    int rc = fill_specs(d->inputs, true, i->inputs, &r, e);
    if (rc == 0)
        rc = fill_specs(d->outputs, false, i->outputs, &r, e);
    if (rc)
        interface_free(i);
    else
        *ret = i;
    return rc;
}

int interface_decode(struct str json, struct interface **ret, struct err *e)
{
    struct document d = {0};
    yyjson_read_err why;
    *ret = NULL;
    if (json.n > LIMIT_INTERFACE_BYTES)
        return err_set(e, ERR_INVALID, "an interface of %zu bytes is larger than any of ours", json.n);
    // Without YYJSON_READ_INSITU the bytes are only read.
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)json.p, json.n, 0, NULL, &why);
    if (!doc && why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return err_set(e, ERR_NOMEM, "no memory to read an interface of %zu bytes", json.n);
    if (!doc)
        return err_set(e, ERR_INVALID, "the interface is not JSON at byte %zu: %s", why.pos, why.msg);
    int rc = check_document(yyjson_doc_get_root(doc), &d, e);
    if (rc == 0)
        rc = fill(&d, json.n, ret, e);
    yyjson_doc_free(doc);
    return rc;
}

void interface_free(struct interface *i)
{
    free(i);
}

static int find(const struct tensor_spec *specs, uint32_t n, struct str name)
{
    for (uint32_t i = 0; i < n; i++)
        if (str_eq(specs[i].name, name))
            return (int)i;
    return -1;
}

int interface_input(const struct interface *i, struct str name)
{
    return find(i->inputs, i->n_inputs, name);
}

int interface_output(const struct interface *i, struct str name)
{
    return find(i->outputs, i->n_outputs, name);
}
