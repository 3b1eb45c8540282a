// SPDX-License-Identifier: Apache-2.0
// The table of what is served.
#include "role/monitor/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { GONE_MAX = LIMIT_DEPLOYMENTS, VERSIONS_MAX = LIMIT_DEPLOYMENTS + GONE_MAX, SCHEMA_BYTES = 64 << 20 };

struct models {
    struct version *list[VERSIONS_MAX]; // in the order in which they came
    size_t n;
    struct version *by_slot[LIMIT_DEPLOYMENTS];
    yyjson_doc *routes; // the newest; NULL before the first
};

int models_new(struct models **ret, struct err *e)
{
    *ret = calloc(1, sizeof **ret);
    return *ret ? 0 : err_set(e, ERR_NOMEM, "what is served");
}

static void version_free(struct version *v)
{
    free(v->log_json);
    free(v->signature_json);
    arena_done(&v->arena);
    free(v);
}

void models_free(struct models *ms)
{
    if (!ms)
        return;
    for (size_t i = 0; i < ms->n; i++)
        version_free(ms->list[i]);
    yyjson_doc_free(ms->routes);
    free(ms);
}

static struct version *find(const struct models *ms, uint64_t deployment)
{
    for (size_t i = 0; i < ms->n; i++)
        if (ms->list[i]->deployment == deployment)
            return ms->list[i];
    return NULL;
}

struct version *models_by_log_key(const struct models *ms, uint64_t key, uint32_t slot)
{
    struct version *v = slot < LIMIT_DEPLOYMENTS ? ms->by_slot[slot] : NULL;
    if (v && v->log_key == key)
        return v;
    for (size_t i = 0; i < ms->n; i++)
        if (ms->list[i]->log_key == key)
            return ms->list[i];
    return NULL;
}

struct version *models_at(const struct models *ms, size_t i)
{
    return i < ms->n ? ms->list[i] : NULL;
}

static void drop(struct models *ms, size_t i)
{
    struct version *v = ms->list[i];
    for (size_t k = 0; k < LIMIT_DEPLOYMENTS; k++)
        if (ms->by_slot[k] == v)
            ms->by_slot[k] = NULL;
    version_free(v);
    memmove(ms->list + i, ms->list + i + 1, (--ms->n - i) * sizeof ms->list[0]);
}

// Makes room by letting the oldest go that is not served.
static int make_room(struct models *ms, struct err *e)
{
    for (size_t i = 0; ms->n == VERSIONS_MAX && i < ms->n; i++)
        if (!ms->list[i]->is_served)
            drop(ms, i);
    return ms->n < VERSIONS_MAX ? 0 : err_set(e, ERR_INVALID, "more versions than can be served");
}

// A signature that cannot be read leaves the version without columns: it is still counted and logged.
static void read_schema(struct version *v, yyjson_val *signature)
{
    struct err ignored;
    size_t n = 0;
    v->signature_json = signature ? yyjson_val_write(signature, 0, &n) : NULL;
    if (!v->signature_json)
        v->signature_json = strdup("{}");
    else if (schema_read((struct str){v->signature_json, n}, false, "$", &v->arena, &v->schema, &ignored))
        v->schema = (struct schema){0};
}

// The key is hexadecimal there, because a double would not hold it.
static void read_log(struct version *v, yyjson_val *schema)
{
    const char *key = yyjson_get_str(yyjson_obj_get(schema, "key"));
    v->log_json = schema && key ? yyjson_val_write(schema, 0, NULL) : NULL;
    v->log_key = key ? strtoull(key, NULL, 16) : 0;
}

static int version_new(yyjson_val *root, struct version **ret, struct err *e)
{
    yyjson_val *id = yyjson_obj_get(root, "deployment"), *model = yyjson_obj_get(root, "model"),
               *number = yyjson_obj_get(root, "version"), *slot = yyjson_obj_get(root, "slot"),
               *engine = yyjson_obj_get(root, "engine");
    struct version *v = calloc(1, sizeof *v);
    if (!v)
        return err_set(e, ERR_NOMEM, "a version");
    if (!yyjson_is_uint(id) || !yyjson_is_uint(number) || !yyjson_is_uint(slot) ||
        yyjson_get_uint(slot) >= LIMIT_DEPLOYMENTS || !yyjson_is_str(model) ||
        yyjson_get_len(model) >= sizeof v->model || !yyjson_is_str(engine) ||
        yyjson_get_len(engine) >= sizeof v->engine) {
        free(v);
        return err_set(e, ERR_INVALID, "a deployment message is not as agreed");
    }
    int rc = arena_init(&v->arena, SCHEMA_BYTES, e);
    if (rc) {
        free(v);
        return rc;
    }
    v->deployment = yyjson_get_uint(id);
    v->version = (uint32_t)yyjson_get_uint(number);
    v->slot = (uint32_t)yyjson_get_uint(slot);
    memcpy(v->model, yyjson_get_str(model), yyjson_get_len(model));
    memcpy(v->engine, yyjson_get_str(engine), yyjson_get_len(engine));
    const char *baseline = yyjson_get_str(yyjson_obj_get(root, "baseline"));
    snprintf(v->baseline, sizeof v->baseline, "%s", baseline ? baseline : "");
    read_schema(v, yyjson_obj_get(root, "signature"));
    read_log(v, yyjson_obj_get(yyjson_obj_get(root, "log"), "schema"));
    *ret = v;
    return v->signature_json ? 0 : (version_free(v), err_set(e, ERR_NOMEM, "a version"));
}

// One that is known already stays what it is: a version never changes, and others point to it.
int models_take_deploy(struct models *ms, struct str json, struct err *e)
{
    struct version *v = NULL;
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    int rc = make_room(ms, e);
    if (rc == 0)
        rc = version_new(yyjson_doc_get_root(doc), &v, e);
    yyjson_doc_free(doc);
    if (rc)
        return rc;
    struct version *known = find(ms, v->deployment);
    if (known) {
        known->slot = v->slot;
        version_free(v);
        v = known;
    } else {
        ms->list[ms->n++] = v;
    }
    ms->by_slot[v->slot] = v;
    return 0;
}

static void mark_served(struct models *ms, yyjson_val *row)
{
    size_t i, n;
    yyjson_val *x, *fallback = yyjson_obj_get(row, "default");
    yyjson_arr_foreach(yyjson_obj_get(row, "versions"), i, n, x)
    {
        struct version *v = find(ms, yyjson_get_uint(yyjson_obj_get(x, "deployment")));
        if (!v)
            continue;
        v->is_served = true;
        v->is_default = yyjson_is_uint(fallback) && yyjson_get_uint(fallback) == v->deployment;
    }
}

int models_take_routes(struct models *ms, struct str json, struct err *e)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *models = yyjson_obj_get(yyjson_doc_get_root(doc), "models"), *row;
    size_t i, n;
    if (!yyjson_is_arr(models)) {
        yyjson_doc_free(doc);
        return err_set(e, ERR_INVALID, "a table of routes is not as agreed");
    }
    for (size_t k = 0; k < ms->n; k++)
        ms->list[k]->is_served = ms->list[k]->is_default = false;
    yyjson_arr_foreach(models, i, n, row) mark_served(ms, row);
    yyjson_doc_free(ms->routes);
    ms->routes = doc;
    return 0;
}

bool models_are_complete(const struct models *ms)
{
    return yyjson_is_true(yyjson_obj_get(yyjson_doc_get_root(ms->routes), "ready"));
}

static yyjson_val *model_row(const struct models *ms, struct str model)
{
    size_t i, n;
    yyjson_val *row;
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(ms->routes), "models"), i, n, row)
    {
        if (yyjson_equals_strn(yyjson_obj_get(row, "name"), model.p, model.n))
            return row;
    }
    return NULL;
}

// The deployment that a model's row names so; 0: none.
static uint64_t selected(yyjson_val *row, struct str selector)
{
    size_t i, n;
    yyjson_val *x;
    uint64_t number;
    if (selector.n == 0)
        return yyjson_get_uint(yyjson_obj_get(row, "default"));
    if (str_to_u64(selector, UINT32_MAX, &number)) {
        yyjson_arr_foreach(yyjson_obj_get(row, "versions"), i, n, x)
        {
            if (yyjson_get_uint(yyjson_obj_get(x, "version")) == number)
                return yyjson_get_uint(yyjson_obj_get(x, "deployment"));
        }
        return 0;
    }
    yyjson_arr_foreach(yyjson_obj_get(row, "aliases"), i, n, x)
    {
        if (yyjson_equals_strn(yyjson_obj_get(x, "alias"), selector.p, selector.n))
            return yyjson_get_uint(yyjson_obj_get(x, "deployment"));
    }
    return 0;
}

int models_find(const struct models *ms, struct str model, struct str selector, struct version **ret,
                struct err *e)
{
    yyjson_val *row = model_row(ms, model);
    if (!row)
        return err_set(e, ERR_UNKNOWN_MODEL, "there is no model '" STR_FMT "'", STR_ARG(model));
    *ret = find(ms, selected(row, selector));
    if (*ret)
        return 0;
    return err_set(e, ERR_UNKNOWN_VERSION, "model '" STR_FMT "' serves no version '" STR_FMT "'",
                   STR_ARG(model), STR_ARG(selector));
}
