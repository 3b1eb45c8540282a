// SPDX-License-Identifier: Apache-2.0
// Answers from the routing table and the counters; nothing here is on the predict path.
#include "role/gateway/describe.h"

#include "api/predict.h"
#include "role/gateway/metrics_page.h"
#include "role/gateway/reply.h"
#include "role/gateway/table.h"

#include <stdlib.h>

enum { PAGE_MAX = 64 << 20 };

// The versions to describe: all of the model's, or the one named.
struct subject {
    const struct table_model *model;
    struct deployment *deployment; // the one named, or the default; may be NULL when none was named
    bool named;
};

static int find_subject(struct gateway *g, const struct route_match *m, struct subject *ret, struct err *e)
{
    ret->model = table_model_find(g->table, m->model, e);
    if (!ret->model)
        return e->code;
    ret->named = m->version.n > 0;
    ret->deployment = ret->model->fallback;
    return ret->named ? table_route(g->table, m->model, m->version, &ret->deployment, e) : 0;
}

static struct api_version version_of(const struct deployment *d)
{
    return (struct api_version){.version = str_of(d->version),
                                .sig = d->sig,
                                .interface = d->interface,
                                .ready = deployment_is_ready(d)};
}

static int put_model(const struct subject *s, enum route_handler how, struct buf *out, struct err *e)
{
    if (how == ROUTE_V2_MODEL && !s->deployment)
        return err_set(e, ERR_UNAVAILABLE, "model '%s' has no version that is ready", s->model->name);
    struct api_version *versions = calloc(s->model->n_versions + 1, sizeof *versions);
    size_t n = 0;
    if (!versions)
        return err_set(e, ERR_NOMEM, "describe the model");
    for (uint32_t i = 0; !s->named && i < s->model->n_versions; i++)
        versions[n++] = version_of(s->model->names[i].deployment);
    if (s->named)
        versions[n++] = version_of(s->deployment);
    if (how == ROUTE_V1_MODEL)
        kserve_v1_model_encode(str_of(s->model->name), versions, n, out);
    else if (s->deployment->interface)
        kserve_v2_interface_encode(str_of(s->model->name), versions, n, s->deployment->interface, out);
    else
        kserve_v2_model_encode(str_of(s->model->name), versions, n, s->deployment->sig, out);
    free(versions);
    return 0;
}

static int put_names(struct gateway *g, struct buf *out, struct err *e)
{
    struct str *names = calloc(g->table->n_models + 1, sizeof *names);
    if (!names)
        return err_set(e, ERR_NOMEM, "list the models");
    for (uint32_t i = 0; i < g->table->n_models; i++)
        names[i] = str_of(g->table->models[i].name);
    kserve_v1_models_encode(names, g->table->n_models, out);
    free(names);
    return 0;
}

// The versions that are served, and the one that answers when none is named.
static int check_model_ready(const struct table_model *m, struct err *e)
{
    if (!m->fallback)
        return table_no_default(m, e);
    for (uint32_t i = 0; i < m->n_versions; i++)
        if (!deployment_is_ready(m->names[i].deployment))
            return err_set(e, ERR_UNAVAILABLE, "version %s of model '%s' has no process that is ready",
                           m->names[i].name, m->name);
    return 0;
}

static int put_ready(struct gateway *g, struct buf *out, struct err *e)
{
    if (!g->table->ready || g->draining)
        return err_set(e, ERR_UNAVAILABLE,
                       g->draining ? "the server is shutting down" : "models are still being loaded");
    for (uint32_t i = 0; i < g->table->n_models; i++)
        if (check_model_ready(&g->table->models[i], e))
            return e->code;
    buf_puts(out, "{\"ready\":true}");
    return 0;
}

static int put_model_ready(const struct subject *s, struct buf *out, struct err *e)
{
    if (!s->deployment || !deployment_is_ready(s->deployment))
        return err_set(e, ERR_UNAVAILABLE, "model '%s' has no version that is ready", s->model->name);
    buf_puts(out, "{\"name\":");
    buf_put_json_str(out, str_of(s->model->name));
    buf_puts(out, ",\"ready\":true}");
    return 0;
}

static void put_index(struct buf *out)
{
    buf_puts(out, "{\"name\":\"slipway\",\"version\":\"" SLIPWAY_VERSION "\",\"routes\":[");
    size_t n;
    const struct route *routes = route_all(&n);
    for (size_t i = 0; i < n; i++) {
        buf_puts(out, i ? ",\"" : "\"");
        buf_puts(out, http_method_name(routes[i].method));
        buf_putc(out, ' ');
        buf_put_str(out, routes[i].pattern);
        buf_putc(out, '"');
    }
    buf_puts(out, "]}");
}

static int put_page(struct gateway *g, const struct route_match *m, struct buf *out, struct err *e)
{
    struct subject s = {0};
    enum route_handler h = m->route->handler;
    if (m->model.n) {
        int rc = find_subject(g, m, &s, e);
        if (rc)
            return rc;
    }
    switch ((int)h) {
    case ROUTE_LIVE:
        buf_puts(out, "{\"live\":true}");
        return 0;
    case ROUTE_READY:
        return put_ready(g, out, e);
    case ROUTE_V2_SERVER:
        kserve_v2_server_encode(STR(SLIPWAY_VERSION), out);
        return 0;
    case ROUTE_V1_MODELS:
    case ROUTE_V2_MODELS:
        return put_names(g, out, e);
    case ROUTE_V2_MODEL_READY:
        return put_model_ready(&s, out, e);
    case ROUTE_INDEX:
        put_index(out);
        return 0;
    default:
        return put_model(&s, h, out, e);
    }
}

int describe_answer(struct conn *c, const struct http1_request *req, const struct route_match *m,
                    struct err *e)
{
    struct buf page;
    buf_init(&page, PAGE_MAX);
    struct str type = STR("application/json");
    bool is_metrics = m->route->handler == ROUTE_METRICS;
    int rc = is_metrics ? metrics_page_put(c->g, req->accept, &page, &type, e) : put_page(c->g, m, &page, e);
    if (rc == 0 && page.failed)
        rc = err_set(e, ERR_NOMEM, "the answer does not fit memory");
    if (rc == 0)
        reply(c, req, 200, type, buf_str(&page));
    buf_done(&page);
    return rc;
}
