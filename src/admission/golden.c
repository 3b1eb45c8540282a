// SPDX-License-Identifier: Apache-2.0
// Reading a file of golden rows: its fields are found by the scanner, inputs are read by the decoder of V1
// requests, outputs become a tree of values that golden_hold.c compares.
#include "admission/golden_parts.h"

#include "api/predict.h"
#include "api/tensors.h"
#include "base/limits.h"
#include "base/near.h"
#include "wire/json_scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum field { INPUTS, OUTPUTS, TOLERANCE, N_FIELDS };
static const struct str FIELDS[N_FIELDS] = {STR("inputs"), STR("outputs"), STR("tolerance")};

struct golden_tolerance golden_default(enum dtype t)
{
    switch (t) {
    case DTYPE_FP16:
        return (struct golden_tolerance){1e-2, 1e-2};
    case DTYPE_FP32:
        return (struct golden_tolerance){1e-5, 1e-5};
    case DTYPE_FP64:
        return (struct golden_tolerance){1e-9, 1e-9};
    default:
        return (struct golden_tolerance){0, 0}; // classes, counts and texts are equal or wrong
    }
}

static int at_field(struct err *e, int rc, struct str name)
{
    err_at(e, "$." STR_FMT, STR_ARG(name));
    return rc;
}

static int find_field(struct str name, uint32_t seen, struct err *e)
{
    for (int i = 0; i < N_FIELDS; i++) {
        if (!str_eq(name, FIELDS[i]))
            continue;
        return seen & 1u << i ? at_field(e,
                                         err_set(e, ERR_DUPLICATE_KEY, "field '" STR_FMT "' is there twice",
                                                 STR_ARG(name)),
                                         name)
                              : i;
    }
    struct str shown = {name.p, name.n < 80 ? name.n : 80};
    err_set(e, ERR_UNKNOWN_FIELD, "golden rows have no field '" STR_FMT "'", STR_ARG(shown));
    int near = near_find(name, FIELDS, N_FIELDS);
    if (near >= 0)
        err_hint(e, "Did you mean '" STR_FMT "'?", STR_ARG(FIELDS[near]));
    else
        err_hint(e, "They are {\"inputs\": rows, \"outputs\": rows, \"tolerance\": number}.");
    return at_field(e, ERR_UNKNOWN_FIELD, shown);
}

// The text of each field.
static int scan_fields(struct str json, struct arena *a, struct str *ret, struct err *e)
{
    struct json_scan s;
    uint32_t seen = 0;
    bool first = true;
    json_scan_init(&s, json);
    enum json_kind k = json_scan_kind(&s);
    if (k > JSON_BAD && k != JSON_OBJECT)
        return err_set(e, ERR_WRONG_TYPE, "expected an object with inputs and outputs, got %s",
                       json_kind_name(k));
    int rc = json_scan_enter(&s, e);
    while (!rc) {
        struct str name = {0};
        rc = json_scan_item(&s, '}', &first, e);
        if (rc <= 0)
            break;
        rc = json_scan_key(&s, a, &name, e);
        int f = rc ? rc : find_field(name, seen, e);
        if (f < 0)
            return f;
        (void)json_scan_kind(&s);
        const char *from = s.p;
        rc = json_scan_skip(&s, e);
        ret[f] = (struct str){from, (size_t)(s.p - from)};
        seen |= 1u << f;
    }
    if (!rc)
        rc = json_scan_finish(&s, e);
    for (int i = 0; !rc && i < TOLERANCE; i++)
        if (!(seen & 1u << i)) {
            rc = err_set(e, ERR_INVALID, "golden rows need the field '" STR_FMT "'", STR_ARG(FIELDS[i]));
            err_at(e, "$");
        }
    return rc;
}

static int read_number(yyjson_val *v, const char *name, double *ret, struct err *e)
{
    double x = yyjson_get_num(v);
    if (yyjson_is_num(v) && isfinite(x) && x >= 0) {
        *ret = x;
        return 0;
    }
    err_set(e, yyjson_is_num(v) ? ERR_OUT_OF_RANGE : ERR_WRONG_TYPE, "expected a number from 0, got %s",
            yyjson_is_num(v) ? "another one" : yyjson_get_type_desc(v));
    err_at(e, "$.tolerance%s", name);
    return e ? e->code : ERR_INVALID;
}

static int read_tolerance(struct str json, struct golden *g, struct err *e)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, YYJSON_READ_ALLOW_INF_AND_NAN);
    yyjson_val *root = yyjson_doc_get_root(doc), *key, *value;
    size_t i, n;
    int rc = 0;
    g->has_tolerance = true;
    if (!doc)
        rc = err_set(e, ERR_NOMEM, "no memory for the golden rows");
    else if (!yyjson_is_obj(root))
        rc = read_number(root, "", &g->tolerance.absolute, e);
    yyjson_obj_foreach(root, i, n, key, value)
    {
        bool absolute = yyjson_equals_str(key, "absolute"), relative = yyjson_equals_str(key, "relative");
        if (!rc && absolute)
            rc = read_number(value, ".absolute", &g->tolerance.absolute, e);
        else if (!rc && relative)
            rc = read_number(value, ".relative", &g->tolerance.relative, e);
        else if (!rc)
            rc =
                at_field(e, err_set(e, ERR_UNKNOWN_FIELD, "a tolerance has the fields absolute and relative"),
                         FIELDS[TOLERANCE]);
    }
    yyjson_doc_free(doc);
    return rc;
}

// ---- inputs

static int read_rows(struct str body, const struct signature *sig, struct golden *g, struct err *e)
{
    struct rows rows;
    struct predict_request req;
    rows_init(&rows, sig->input_dtype, sig->n_features, LIMIT_GOLDEN_ROWS);
    int rc = kserve_v1_decode(body, NULL, sig, &rows, &g->arena, &req, e);
    size_t bytes = (size_t)rows.n_rows * sig->n_features * dtype_size(sig->input_dtype);
    if (!rc) {
        struct buf *memory = &g->inputs.memory[0];
        buf_put(memory, rows.data, bytes);
        g->inputs.inputs[0] = (struct tensor){.name = STR("rows"),
                                              .dtype = sig->input_dtype,
                                              .n_dims = 2,
                                              .shape = {rows.n_rows, sig->n_features},
                                              .data = memory->p,
                                              .bytes = bytes};
        if (memory->failed)
            rc = err_set(e, ERR_NOMEM, "no memory for %u golden rows", rows.n_rows);
    }
    rows_done(&rows);
    return rc;
}

struct sink {
    struct tensor_sink base;
    struct arena *arena;
};

static void *sink_alloc(struct tensor_sink *s, size_t bytes)
{
    struct sink *k = (struct sink *)s;
    char *p = arena_alloc(k->arena, bytes + TENSOR_ALIGN);
    return p ? p + (TENSOR_ALIGN - (uintptr_t)p % TENSOR_ALIGN) % TENSOR_ALIGN : NULL;
}

static int read_tensors(struct str body, const struct interface *i, struct golden *g, struct err *e)
{
    struct sink sink = {.base = {.alloc = sink_alloc}, .arena = &g->arena};
    struct tensors_request req;
    int rc = kserve_v1_tensors_decode(body, NULL, i, &sink.base, &g->arena, &req, e);
    for (uint32_t k = 0; !rc && k < i->n_inputs; k++)
        g->inputs.inputs[k] = req.inputs[k]; // their values stay in the arena
    return rc;
}

static int read_as(struct str body, const struct signature *sig, const struct interface *i, struct golden *g,
                   struct err *e)
{
    return sig ? read_rows(body, sig, g, e) : read_tensors(body, i, g, e);
}

// As in a request. But golden rows are held to no rules: what a request may not have is read as the file
// itself would have it.
static int read_body(struct str body, const struct subject *s, struct golden *g, struct err *e)
{
    struct err ignored;
    if (!s->asked_signature && !s->asked_interface)
        return read_as(body, s->signature, s->interface, g, e);
    int rc = read_as(body, s->asked_signature, s->asked_interface, g, e);
    return rc && read_as(body, s->signature, s->interface, g, &ignored) ? rc : 0;
}

// `inputs` of a V1 request takes rows as `instances` does, and columns besides; its paths are the file's.
static int read_inputs(struct str text, const struct subject *s, struct golden *g, struct err *e)
{
    struct buf body;
    buf_init(&body, LIMIT_GOLDEN_BYTES + 64);
    buf_puts(&body, "{\"inputs\":");
    buf_put_str(&body, text);
    buf_putc(&body, '}');
    int rc = body.failed ? err_set(e, ERR_NOMEM, "no memory for the golden rows") : 0;
    if (!rc)
        rc = read_body(buf_str(&body), s, g, e);
    buf_done(&body);
    if (rc)
        return rc;
    examples_count(&g->inputs);
    if (g->inputs.n_rows > LIMIT_GOLDEN_ROWS)
        return at_field(e,
                        err_set(e, ERR_TOO_LARGE, "there are %u golden rows, at most %d are taken",
                                g->inputs.n_rows, LIMIT_GOLDEN_ROWS),
                        FIELDS[INPUTS]);
    g->n_rows = s->has_rows ? g->inputs.n_rows : 0;
    if (s->has_rows && g->n_rows == 0)
        return at_field(e, err_set(e, ERR_WRONG_COUNT, "there are no golden rows"), FIELDS[INPUTS]);
    return 0;
}

// ---- outputs

static int check_name(const struct interface *i, struct str name, const char *at, struct err *e)
{
    struct str names[TENSORS_MAX];
    if (interface_output(i, name) >= 0)
        return 0;
    for (uint32_t k = 0; k < i->n_outputs; k++)
        names[k] = i->outputs[k].name;
    struct str shown = {name.p, name.n < 80 ? name.n : 80};
    err_set(e, ERR_UNKNOWN_OUTPUT, "the model has no output '" STR_FMT "'", STR_ARG(shown));
    int near = near_find(name, names, i->n_outputs);
    if (near >= 0)
        err_hint(e, "Did you mean '" STR_FMT "'?", STR_ARG(names[near]));
    err_at(e, "%s", at);
    return ERR_UNKNOWN_OUTPUT;
}

// Names of an object by output, none twice.
static int check_names(const struct interface *i, yyjson_val *object, const char *at, struct err *e)
{
    size_t k, n;
    yyjson_val *key, *value;
    uint64_t seen = 0;
    yyjson_obj_foreach(object, k, n, key, value)
    {
        struct str name = {yyjson_get_str(key), yyjson_get_len(key)};
        int rc = check_name(i, name, at, e);
        if (rc)
            return rc;
        uint64_t bit = 1ull << interface_output(i, name);
        if (seen & bit) {
            err_set(e, ERR_DUPLICATE_KEY, "output '" STR_FMT "' is there twice", STR_ARG(name));
            err_at(e, "%s", at);
            return ERR_DUPLICATE_KEY;
        }
        seen |= bit;
    }
    if (seen)
        return 0;
    err_set(e, ERR_WRONG_COUNT, "no output is named");
    err_at(e, "%s", at);
    return ERR_WRONG_COUNT;
}

static int wrong_rows(const struct golden *g, size_t n, const char *at, struct err *e)
{
    err_set(e, ERR_WRONG_COUNT, "there are %u rows of inputs, but %zu of outputs", g->n_rows, n);
    err_at(e, "%s", at);
    return ERR_WRONG_COUNT;
}

// An object with all rows of each output.
static int check_whole(const struct golden *g, const struct interface *i, struct err *e)
{
    size_t k, n;
    yyjson_val *key, *value;
    int rc = check_names(i, g->outputs, "$.outputs", e);
    yyjson_obj_foreach(g->outputs, k, n, key, value)
    {
        char at[ERR_PATH_MAX];
        snprintf(at, sizeof at, "$.outputs.%.80s", yyjson_get_str(key));
        if (!rc && g->n_rows && (!yyjson_is_arr(value) || yyjson_arr_size(value) != g->n_rows))
            rc = wrong_rows(g, yyjson_is_arr(value) ? yyjson_arr_size(value) : 1, at, e);
    }
    return rc;
}

static int check_rows(const struct golden *g, const struct interface *i, struct err *e)
{
    size_t k, n;
    yyjson_val *row;
    if (yyjson_arr_size(g->outputs) != g->n_rows)
        return wrong_rows(g, yyjson_arr_size(g->outputs), "$.outputs", e);
    yyjson_arr_foreach(g->outputs, k, n, row)
    {
        char at[ERR_PATH_MAX];
        snprintf(at, sizeof at, "$.outputs[%zu]", k);
        int rc = yyjson_is_obj(row) ? check_names(i, row, at, e) : 0;
        if (!rc && !yyjson_is_obj(row) && i->n_outputs > 1) {
            rc = err_set(e, ERR_WRONG_TYPE, "the model has %u outputs: a row is an object by output name",
                         i->n_outputs);
            err_at(e, "%s", at);
        }
        if (rc)
            return rc;
    }
    return 0;
}

// Fills g->expected.
static void index_rows(struct golden *g, const struct interface *i)
{
    size_t k, n;
    yyjson_val *row, *value;
    for (uint32_t o = 0; o < i->n_outputs; o++) {
        yyjson_val **to = g->expected + (size_t)o * (g->n_rows ? g->n_rows : 1);
        struct str name = i->outputs[o].name;
        value = yyjson_is_obj(g->outputs) ? yyjson_obj_getn(g->outputs, name.p, name.n) : g->outputs;
        if (g->n_rows == 0) {
            *to = value;
            continue;
        }
        yyjson_arr_foreach(value, k, n, row)
        {
            bool by_name = value == g->outputs && yyjson_is_obj(row);
            to[k] = by_name ? yyjson_obj_getn(row, name.p, name.n) : row;
        }
    }
}

static int check_outputs(const struct subject *s, const struct golden *g, struct err *e)
{
    if (yyjson_is_obj(g->outputs))
        return check_whole(g, s->interface, e);
    if (yyjson_is_arr(g->outputs) && s->has_rows)
        return check_rows(g, s->interface, e);
    if (!s->has_rows && s->interface->n_outputs == 1)
        return 0; // the one output as a whole
    err_set(e, ERR_WRONG_TYPE, "expected %s, got %s",
            s->has_rows ? "an array of rows" : "an object with the outputs by name",
            yyjson_get_type_desc(g->outputs));
    return at_field(e, ERR_WRONG_TYPE, FIELDS[OUTPUTS]);
}

static int read_outputs(struct str text, const struct subject *s, struct golden *g, struct err *e)
{
    g->doc = yyjson_read(text.p, text.n, YYJSON_READ_ALLOW_INF_AND_NAN);
    g->outputs = yyjson_doc_get_root(g->doc);
    if (!g->doc) // the scanner has found it sound, and numbers are never refused
        return err_set(e, ERR_NOMEM, "no memory for the golden rows");
    int rc = check_outputs(s, g, e);
    if (rc)
        return rc;
    g->expected =
        calloc((size_t)s->interface->n_outputs * (g->n_rows ? g->n_rows : 1) + 1, sizeof *g->expected);
    if (!g->expected)
        return err_set(e, ERR_NOMEM, "no memory for the golden rows");
    index_rows(g, s->interface);
    return 0;
}

int golden_open(struct str json, const struct subject *s, struct golden **ret, struct err *e)
{
    struct str texts[N_FIELDS] = {{0}};
    struct golden *g = calloc(1, sizeof *g);
    if (!g)
        return err_set(e, ERR_NOMEM, "no memory for the golden rows");
    int rc = json.n > LIMIT_GOLDEN_BYTES
                 ? err_set(e, ERR_TOO_LARGE, "the golden rows have %zu bytes, at most %d are taken", json.n,
                           LIMIT_GOLDEN_BYTES)
                 : arena_init(&g->arena, LIMIT_ADMISSION_INPUT_BYTES, e);
    if (!rc)
        rc = examples_init(&g->inputs, s->interface->n_inputs, e);
    if (!rc)
        rc = scan_fields(json, &g->arena, texts, e);
    if (!rc && texts[TOLERANCE].n)
        rc = read_tolerance(texts[TOLERANCE], g, e);
    if (!rc)
        rc = read_inputs(texts[INPUTS], s, g, e);
    if (!rc)
        rc = read_outputs(texts[OUTPUTS], s, g, e);
    if (rc) {
        golden_close(g);
        return rc;
    }
    *ret = g;
    return 0;
}

void golden_close(struct golden *g)
{
    if (!g)
        return;
    yyjson_doc_free(g->doc);
    free(g->expected);
    examples_done(&g->inputs);
    arena_done(&g->arena);
    free(g);
}

const struct examples *golden_inputs(const struct golden *g)
{
    return &g->inputs;
}

uint32_t golden_n_rows(const struct golden *g)
{
    return g->n_rows;
}
