// SPDX-License-Identifier: Apache-2.0
// The lists of a tensor, of whatever depth, and what is known of their sizes. Single values are
// tensor_value.c.
#include "api/tensor_value.h"

#include "base/near.h"

#include <stdio.h>
#include <string.h>

void tensor_read_init(struct tensor_read *r, struct decode *d, const struct tensor_spec *spec)
{
    *r = (struct tensor_read){.d = d, .spec = spec, .as = spec->dtype};
    r->t.name = spec->name;
    r->t.dtype = spec->dtype;
    r->t.n_dims = spec->n_dims;
    memcpy(r->t.shape, spec->shape, sizeof r->t.shape);
    tensor_value_range(r);
}

int tensor_read_datatype(struct tensor_read *r, enum dtype as, struct err *e)
{
    enum dtype model = r->spec->dtype;
    bool is_float = as >= DTYPE_FP16 && as <= DTYPE_FP64, takes_floats = model >= DTYPE_FP16;
    if (as == DTYPE_BYTES && model != DTYPE_BYTES && r->spec->rule)
        as = model; // texts that the rule makes numbers of
    if ((as == DTYPE_BYTES) != (model == DTYPE_BYTES) || (is_float && !takes_floats))
        return err_set(e, ERR_WRONG_TYPE, "the datatype is %s, but input '" STR_FMT "' is %s", dtype_name(as),
                       STR_ARG(r->spec->name), dtype_name(model));
    r->as = as;
    tensor_value_range(r);
    return 0;
}

enum { SHAPE_TEXT_MAX = TENSOR_DIMS_MAX * 21 + 3 };

static const char *shape_text(const int64_t *shape, uint32_t n_dims, char text[SHAPE_TEXT_MAX])
{
    size_t n = 0;
    for (uint32_t k = 0; k < n_dims; k++)
        n += (size_t)snprintf(text + n, SHAPE_TEXT_MAX - n, "%c%lld", k ? ',' : '[', (long long)shape[k]);
    snprintf(text + n, SHAPE_TEXT_MAX - n, n_dims ? "]" : "[]");
    return text;
}

int tensor_read_shape(struct tensor_read *r, const int64_t *shape, uint32_t n_dims, struct err *e)
{
    const struct tensor_spec *s = r->spec;
    char is[SHAPE_TEXT_MAX], expected[SHAPE_TEXT_MAX];
    r->squeezed = !s->any_shape && s->n_dims == 2 && s->shape[1] == 1 && n_dims == 1;
    bool fits = s->any_shape || n_dims == s->n_dims || r->squeezed;
    for (uint32_t k = 0; k < n_dims && fits && !s->any_shape; k++)
        fits = s->shape[k] < 0 || s->shape[k] == shape[k];
    if (!fits)
        return err_set(e, ERR_WRONG_COUNT, "the shape is %s, expected %s", shape_text(shape, n_dims, is),
                       shape_text(s->shape, s->n_dims, expected));
    r->t.n_dims = n_dims;
    memcpy(r->t.shape, shape, n_dims * sizeof shape[0]);
    return 0;
}

int tensor_read_rank(struct tensor_read *r, uint32_t level, struct err *e)
{
    const struct tensor_spec *s = r->spec;
    bool column = s->n_dims == 2 && s->shape[1] == 1;
    if (!s->any_shape && !column)
        return 0;
    struct json_scan look = r->d->json;
    uint32_t n = level;
    while (json_scan_kind(&look) == JSON_ARRAY && n <= TENSOR_DIMS_MAX) {
        int rc = json_scan_enter(&look, e);
        if (rc)
            return rc;
        n++;
    }
    if (column) {
        r->squeezed = n == 1;
        r->t.n_dims = r->squeezed ? 1 : 2;
        return 0;
    }
    if (n > TENSOR_DIMS_MAX)
        return err_set(e, ERR_WRONG_COUNT, "the tensor has more than %d dimensions", TENSOR_DIMS_MAX);
    r->t.n_dims = n;
    for (uint32_t k = 0; k < n; k++)
        r->t.shape[k] = -1;
    return 0;
}

size_t count_char(struct str text, char c)
{
    typedef uint8_t lanes __attribute__((vector_size(16)));
    enum { TURNS_MAX = 255 }; // until a lane is full
    size_t n = 0, i = 0;
    while (text.n - i >= sizeof(lanes)) {
        lanes sum = {0};
        for (int turn = 0; turn < TURNS_MAX && text.n - i >= sizeof(lanes); turn++, i += sizeof(lanes)) {
            lanes bytes;
            memcpy(&bytes, text.p + i, sizeof bytes);
            sum -= (lanes)(bytes == (uint8_t)c);
        }
        for (size_t k = 0; k < sizeof(lanes); k++)
            n += sum[k];
    }
    for (; i < text.n; i++)
        n += text.p[i] == c;
    return n;
}

// A tensor of plain numbers ends before the next quote or '}', and each of its values but one has a comma.
static uint64_t most_numbers(const struct json_scan *json)
{
    struct str text = {json->p, (size_t)(json->end - json->p)};
    const char *quote = memchr(text.p, '"', text.n);
    if (quote)
        text.n = (size_t)(quote - text.p);
    const char *brace = memchr(text.p, '}', text.n);
    if (brace)
        text.n = (size_t)(brace - text.p);
    return count_char(text, ',') + 1;
}

int tensor_read_size(struct tensor_read *r, size_t *ret_bytes, struct err *e)
{
    size_t size = dtype_size(r->spec->dtype);
    int64_t n = tensor_n_elements(r->t.shape, r->t.n_dims);
    if (size && n >= 0 && (uint64_t)n > (uint64_t)(r->d->json.end - r->d->json.p)) // before memory is taken
        return err_set(e, ERR_WRONG_COUNT, "the shape has %lld values, which is more than the body has bytes",
                       (long long)n);
    if (size && (n >= 0 || !r->spec->rule)) { // a rule takes texts among numbers
        *ret_bytes = (n >= 0 ? (uint64_t)n : most_numbers(&r->d->json)) * size;
        return 0;
    }
    struct json_scan from = r->d->json;
    r->at = NULL;
    r->measured = 0;
    int rc = tensor_read_values(r, 0, e);
    r->d->json = from;
    *ret_bytes = r->measured;
    return rc;
}

int tensor_read_alloc(struct tensor_read *r, struct tensor_sink *sink, size_t bytes, struct err *e)
{
    r->at = sink->alloc(sink, bytes);
    if (!r->at)
        return err_set(e, ERR_TOO_LARGE, "the inputs are larger than what is passed to a model at once");
    r->t.data = r->at;
    r->end = r->at + bytes;
    return 0;
}

static int wrong_count(struct tensor_read *r, uint32_t level, uint64_t i, int more, struct err *e)
{
    bool first = false;
    char text[SHAPE_TEXT_MAX];
    while (more == 1) { // how many there are tells more than "too many"
        int rc = json_scan_skip(&r->d->json, e);
        if (rc)
            return rc;
        i++;
        more = json_scan_item(&r->d->json, ']', &first, e);
    }
    if (more < 0)
        return more;
    err_set(e, ERR_WRONG_COUNT, "this list has %llu items, expected %lld: the shape is %s",
            (unsigned long long)i, (long long)r->t.shape[level], shape_text(r->t.shape, r->t.n_dims, text));
    return ERR_WRONG_COUNT;
}

// One item of a list, or several numbers of the innermost one.
static int read_item(struct tensor_read *r, uint32_t level, uint64_t *i, struct err *e)
{
    int64_t size = r->t.shape[level];
    uint64_t left = size < 0 ? UINT64_MAX : (uint64_t)size - *i;
    size_t got = level + 1 == r->t.n_dims ? tensor_value_run(r, left) : 0;
    int rc = got ? 0 : tensor_read_values(r, level + 1, e);
    *i += rc ? 0 : got ? got : 1;
    return rc;
}

static int not_a_list(struct tensor_read *r, uint32_t level, struct err *e)
{
    char expected[SHAPE_TEXT_MAX + 48], text[SHAPE_TEXT_MAX];
    snprintf(expected, sizeof expected, "a list of %s of shape %s", dtype_name(r->spec->dtype),
             shape_text(r->t.shape + level, r->t.n_dims - level, text));
    return decode_unexpected(r->d, expected, e);
}

int tensor_read_values(struct tensor_read *r, uint32_t level, struct err *e)
{
    bool first = true;
    uint64_t i = 0;
    if (level == r->t.n_dims)
        return tensor_value_run(r, 1) ? 0 : tensor_value_one(r, e);
    if (json_scan_kind(&r->d->json) != JSON_ARRAY)
        return not_a_list(r, level, e);
    int64_t size = r->t.shape[level];
    int rc = json_scan_enter(&r->d->json, e);
    while (rc == 0) {
        rc = json_scan_item(&r->d->json, ']', &first, e);
        if (rc < 0)
            break;
        if (size >= 0 && rc == (i == (uint64_t)size)) // the end too early, or an item too many
            return wrong_count(r, level, i, rc, e);
        if (rc == 0) {
            r->t.shape[level] = (int64_t)i;
            return 0;
        }
        rc = read_item(r, level, &i, e);
    }
    path_index_before(e, i);
    return rc;
}

int tensor_read_finish(struct tensor_read *r, struct tensor *ret, struct err *e)
{
    if (r->squeezed) {
        r->t.n_dims = 2;
        r->t.shape[1] = 1;
    }
    if (tensor_n_elements(r->t.shape, r->t.n_dims) < 0)
        return err_set(e, ERR_WRONG_COUNT, "the list is empty, so that the sizes within it are unknown");
    r->t.bytes = (size_t)(r->at - (const char *)r->t.data);
    *ret = r->t;
    return 0;
}

int find_input(const struct interface *i, struct str name, uint32_t *ret, struct err *e)
{
    struct str names[TENSORS_MAX];
    int found = interface_input(i, name);
    if (found >= 0) {
        *ret = (uint32_t)found;
        return 0;
    }
    for (uint32_t k = 0; k < i->n_inputs; k++)
        names[k] = i->inputs[k].name;
    err_set(e, ERR_UNKNOWN_FEATURE, "the model has no input '" STR_FMT "'", STR_ARG(name));
    int near = near_find(name, names, i->n_inputs);
    if (near >= 0)
        err_hint(e, "Did you mean '" STR_FMT "'?", STR_ARG(names[near]));
    else if (i->n_inputs == 1)
        err_hint(e, "Its input is '" STR_FMT "'.", STR_ARG(names[0]));
    return ERR_UNKNOWN_FEATURE;
}

int finish_inputs(const struct interface *i, struct tensors_request *req, struct err *e)
{
    bool common = false, differ = false;
    int64_t rows = 0;
    char text[SHAPE_TEXT_MAX];
    for (uint32_t k = 0; k < i->n_inputs; k++) {
        const struct tensor *t = &req->inputs[k];
        const struct tensor_spec *s = &i->inputs[k];
        if (t->dtype == DTYPE_NONE && !s->optional)
            return err_set(e, ERR_MISSING_FEATURE, "input '" STR_FMT "' is missing: %s of shape %s",
                           STR_ARG(s->name), dtype_name(s->dtype),
                           s->any_shape ? "any" : shape_text(s->shape, s->n_dims, text));
        if (t->dtype == DTYPE_NONE)
            continue;
        differ |= t->n_dims == 0 || (common && t->shape[0] != rows);
        rows = t->n_dims ? t->shape[0] : 0;
        common = true;
    }
    req->n_rows = differ || rows > UINT32_MAX ? 0 : (uint32_t)rows;
    return 0;
}

uint64_t all_outputs(const struct interface *i)
{
    return i->n_outputs == TENSORS_MAX ? UINT64_MAX : ((uint64_t)1 << i->n_outputs) - 1;
}
