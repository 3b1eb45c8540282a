// SPDX-License-Identifier: Apache-2.0
// Building the routing table from the controller's JSON and looking a request's deployment up in it.
#include "role/gateway/table.h"

#include "base/near.h"
#include "role/gateway/backend.h"
#include "role/gateway/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { NAMES_LISTED = 256 };

static struct deployment *pool_find(struct deployment *const *pool, size_t n, yyjson_val *id)
{
    for (size_t i = 0; yyjson_is_uint(id) && i < n; i++)
        if (pool[i]->id == yyjson_get_uint(id))
            return pool[i];
    return NULL;
}

// Appends one list of names ("versions" or "aliases") to the model.
static int names_parse(struct table_model *m, yyjson_val *list, struct deployment *const *pool, size_t n_pool,
                       struct err *e)
{
    size_t i, n;
    yyjson_val *row;
    yyjson_arr_foreach(list, i, n, row)
    {
        struct deployment *d = pool_find(pool, n_pool, yyjson_obj_get(row, "deployment"));
        yyjson_val *alias = yyjson_obj_get(row, "alias");
        if (!d)
            return err_set(e, ERR_INVALID, "routes of '%s' name a deployment that was not sent", m->name);
        char *name = str_dup(str_of(yyjson_is_str(alias) ? yyjson_get_str(alias) : d->version));
        if (!name)
            return err_set(e, ERR_NOMEM, "routes");
        m->names[m->n_names++] = (struct table_name){name, deployment_ref(d)};
        if (d->backend && !alias)
            d->backend->may_be_empty = yyjson_is_true(yyjson_obj_get(row, "may_be_empty"));
    }
    return 0;
}

static int model_parse(struct table_model *m, yyjson_val *row, struct deployment *const *pool, size_t n_pool,
                       struct err *e)
{
    yyjson_val *name = yyjson_obj_get(row, "name"), *versions = yyjson_obj_get(row, "versions"),
               *aliases = yyjson_obj_get(row, "aliases");
    if (!yyjson_is_str(name))
        return err_set(e, ERR_INVALID, "a model in the routes has no name");
    m->name = str_dup(str_of(yyjson_get_str(name)));
    m->names = calloc(yyjson_arr_size(versions) + yyjson_arr_size(aliases) + 1, sizeof *m->names);
    if (!m->name || !m->names)
        return err_set(e, ERR_NOMEM, "routes");
    int rc = names_parse(m, versions, pool, n_pool, e);
    m->n_versions = m->n_names;
    if (rc == 0)
        rc = names_parse(m, aliases, pool, n_pool, e);
    struct deployment *fallback = pool_find(pool, n_pool, yyjson_obj_get(row, "default"));
    if (fallback)
        m->fallback = deployment_ref(fallback);
    m->is_replacing = yyjson_is_true(yyjson_obj_get(row, "replacing"));
    yyjson_val *split = yyjson_obj_get(row, "split");
    if (rc == 0 && split)
        rc = split_read(split, pool, n_pool, &m->split, e);
    return rc;
}

static int fill(struct table *t, yyjson_val *root, struct deployment *const *pool, size_t n_pool,
                struct err *e)
{
    yyjson_val *models = yyjson_obj_get(root, "models"), *row;
    size_t i, n, n_models = yyjson_arr_size(models);
    t->generation = yyjson_get_uint(yyjson_obj_get(root, "generation"));
    t->ready = !yyjson_is_false(yyjson_obj_get(root, "ready"));
    t->has_more = yyjson_is_true(yyjson_obj_get(root, "more"));
    yyjson_val *tokens = yyjson_obj_get(root, "tokens");
    t->tokens = tokens ? yyjson_val_write(tokens, 0, NULL) : NULL;
    t->models = calloc(n_models + 1, sizeof *t->models);
    if (!t->models || (tokens && !t->tokens))
        return err_set(e, ERR_NOMEM, "routes");
    int rc = map_init(&t->by_name, (uint32_t)n_models, e);
    yyjson_arr_foreach(models, i, n, row)
    {
        if (rc)
            break;
        struct table_model *m = &t->models[t->n_models++];
        rc = model_parse(m, row, pool, n_pool, e);
        if (rc == 0)
            rc = map_add(&t->by_name, str_of(m->name), (uint32_t)i, e);
    }
    return rc;
}

int table_parse(struct str json, struct deployment *const *pool, size_t n_pool, struct table **ret,
                struct err *e)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    struct table *t = doc ? table_empty() : NULL;
    int rc = t ? fill(t, yyjson_doc_get_root(doc), pool, n_pool, e)
               : err_set(e, doc ? ERR_NOMEM : ERR_INVALID, "routes are not JSON");
    yyjson_doc_free(doc);
    if (rc) {
        table_free(t);
        return rc;
    }
    *ret = t;
    return 0;
}

struct table *table_empty(void)
{
    return calloc(1, sizeof(struct table));
}

void table_divide(struct table *t, bool on)
{
    for (uint32_t i = 0; i < t->n_models; i++)
        if (t->models[i].split)
            t->models[i].split->baseline->split = on ? t->models[i].split : NULL;
}

void table_free(struct table *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->n_models; i++) {
        struct table_model *m = &t->models[i];
        for (uint32_t k = 0; k < m->n_names; k++) {
            deployment_unref(m->names[k].deployment);
            free(m->names[k].name);
        }
        deployment_unref(m->fallback);
        split_free(m->split);
        free(m->names);
        free(m->name);
    }
    map_done(&t->by_name);
    free(t->models);
    free(t->tokens);
    free(t);
}

static void hint_names(struct err *e, struct str wanted, const struct str *names, size_t n)
{
    char list[ERR_HINT_MAX / 2];
    near_list(names, n, list, sizeof list);
    int near = near_find(wanted, names, n);
    if (near >= 0)
        err_hint(e, "Did you mean '" STR_FMT "'? Served: %s.", STR_ARG(names[near]), list);
    else
        err_hint(e, "Served: %s.", list);
}

const struct table_model *table_model_find(const struct table *t, struct str model, struct err *e)
{
    int64_t at = map_get(&t->by_name, model);
    if (at >= 0)
        return &t->models[at];
    err_set(e, ERR_UNKNOWN_MODEL, "there is no model '" STR_FMT "'", STR_ARG(model));
    struct str names[NAMES_LISTED];
    size_t n = 0;
    while (n < t->n_models && n < NAMES_LISTED) {
        names[n] = str_of(t->models[n].name);
        n++;
    }
    if (n)
        hint_names(e, model, names, n);
    else
        err_hint(e, "No model is served yet. Push one: slipway push NAME FILE");
    return NULL;
}

static int unknown_version(const struct table_model *m, struct str version, struct err *e)
{
    int rc = err_set(e, ERR_UNKNOWN_VERSION, "model '%s' serves no version or alias '" STR_FMT "'", m->name,
                     STR_ARG(version));
    struct str names[NAMES_LISTED];
    size_t n = 0;
    for (uint32_t k = m->n_names; k-- > 0 && n < NAMES_LISTED;) // aliases and the newest versions first
        names[n++] = str_of(m->names[k].name);
    hint_names(e, version, names, n);
    return rc;
}

int table_no_default(const struct table_model *m, struct err *e)
{
    if (!m->is_replacing)
        return err_set(e, ERR_UNAVAILABLE, "model '%s' has no version that is ready", m->name);
    err_set(e, ERR_UNAVAILABLE, "model '%s' is being replaced by another version", m->name);
    err_hint(e, "It answers again when that is loaded, or if it cannot be, the one before.");
    return ERR_UNAVAILABLE;
}

bool table_has(const struct table *t, struct str model, struct str version)
{
    int64_t at = map_get(&t->by_name, model);
    const struct table_model *m = at < 0 ? NULL : &t->models[at];
    if (!m || version.n == 0)
        return m && (m->fallback || m->is_replacing);
    for (uint32_t k = 0; k < m->n_names; k++)
        if (str_eq(str_of(m->names[k].name), version))
            return true;
    return false;
}

int table_route(const struct table *t, struct str model, struct str version, struct deployment **ret,
                struct err *e)
{
    const struct table_model *m = table_model_find(t, model, e);
    if (!m)
        return ERR_UNKNOWN_MODEL;
    if (version.n == 0) {
        *ret = m->fallback;
        return m->fallback ? 0 : table_no_default(m, e);
    }
    for (uint32_t k = 0; k < m->n_names; k++) {
        if (str_eq(str_of(m->names[k].name), version)) {
            *ret = m->names[k].deployment;
            return 0;
        }
    }
    return unknown_version(m, version, e);
}
