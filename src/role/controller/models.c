// SPDX-License-Identifier: Apache-2.0
// Showing, deleting and naming what the registry has, and the state of the server.
#include "role/controller/describe.h"
#include "role/controller/gateways.h"
#include "role/controller/manifest.h"
#include "role/controller/replace.h"
#include "role/controller/replicas.h"
#include "role/controller/request.h"
#include "role/controller/startup.h"

#include <stdlib.h>

enum { READ_ARENA_BYTES = 256 << 20 }; // address space; touched as far as it is used

// A change that waits for the gateways; its answer lies in the request's out already.
struct change {
    struct request *r;
    struct publication publication;
};

static void change_free(struct request *r)
{
    struct change *ch = r->state;
    gateways_forget(r->c, &ch->publication);
    free(ch);
    r->state = NULL;
}

static void on_published(struct publication *publication, const struct err *e)
{
    struct change *ch = (struct change *)((char *)publication - offsetof(struct change, publication));
    if (e)
        request_fail(ch->r, e);
    else
        request_answer(ch->r, 200, "application/json");
}

// Before the registry is changed: afterwards nothing may fail.
static int change_new(struct request *r, struct err *e)
{
    struct change *ch = calloc(1, sizeof *ch);
    if (!ch)
        return err_set(e, ERR_NOMEM, "no memory for a change");
    *ch = (struct change){.r = r, .publication.on_done = on_published};
    r->state = ch;
    r->state_free = change_free;
    return 0;
}

static void change_publish(struct request *r)
{
    struct change *ch = r->state;
    struct controller *c = r->c;
    gateways_publish(c);
    gateways_wait(c, &ch->publication); // may answer
    replicas_withdraw_dropped(c);
    replace_apply(c);
}

int models_list(struct request *r, struct err *e)
{
    struct arena a;
    struct registry_model *list;
    size_t n;
    int rc = arena_init(&a, READ_ARENA_BYTES, e);
    if (rc)
        return rc;
    rc = r->c->registry->ops->models(r->c->registry, &a, &list, &n, e);
    buf_puts(&r->out, "{\"models\":[");
    for (size_t i = 0; !rc && i < n; i++) {
        const struct registry_model *m = &list[i];
        buf_puts(&r->out, i ? ",{\"name\":" : "{\"name\":");
        buf_put_json_str(&r->out, m->name);
        buf_printf(&r->out, ",\"versions\":%u,\"latest\":%u", m->n_versions, m->latest);
        if (m->champion || m->latest_ready)
            buf_printf(&r->out, ",\"default\":%u", m->champion ? m->champion : m->latest_ready);
        if (m->champion)
            buf_printf(&r->out, ",\"champion\":%u", m->champion);
        describe_time("created", m->created_wall_ns, &r->out);
        buf_putc(&r->out, '}');
    }
    buf_puts(&r->out, "]}");
    arena_done(&a);
    if (rc)
        return rc;
    request_answer(r, 200, "application/json");
    return 0;
}

static void put_model(struct request *r, const struct registry_version *versions, size_t n,
                      const struct registry_alias *aliases, size_t n_aliases)
{
    uint32_t answers = routing_default(&r->c->routing, versions[0].model);
    buf_puts(&r->out, "{\"name\":");
    buf_put_json_str(&r->out, versions[0].model);
    buf_puts(&r->out, ",\"aliases\":{");
    for (size_t i = 0; i < n_aliases; i++) {
        buf_puts(&r->out, i ? "," : "");
        buf_put_json_str(&r->out, aliases[i].name);
        buf_printf(&r->out, ":%u", aliases[i].version);
    }
    buf_putc(&r->out, '}');
    if (answers)
        buf_printf(&r->out, ",\"default\":%u", answers);
    buf_puts(&r->out, ",\"versions\":[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_putc(&r->out, ',');
        describe_version(
            &(struct describe_version){
                .version = &versions[i],
                .aliases = aliases,
                .n_aliases = n_aliases,
                .deployment = routing_find(&r->c->routing, versions[i].model, versions[i].number)},
            &r->out);
    }
    buf_puts(&r->out, "]}");
}

int model_show(struct request *r, struct err *e)
{
    struct arena a;
    struct registry *reg = r->c->registry;
    struct registry_version *versions, any;
    struct registry_alias *aliases;
    size_t n, n_aliases;
    int rc = arena_init(&a, READ_ARENA_BYTES, e);
    if (rc)
        return rc;
    if (!rc)
        rc = reg->ops->versions(reg, &(struct registry_versions_query){.model = r->args[0]}, &a, &versions,
                                &n, e);
    if (!rc && n == 0) // for its error, which names what is near
        rc = reg->ops->version_find(reg, r->args[0], STR("1"), &a, &any, e);
    if (!rc)
        rc = reg->ops->aliases(reg, r->args[0], &a, &aliases, &n_aliases, e);
    if (!rc)
        put_model(r, versions, n, aliases, n_aliases);
    arena_done(&a);
    if (rc)
        return rc;
    request_answer(r, 200, "application/json");
    return 0;
}

int version_show(struct request *r, struct err *e)
{
    struct arena a;
    struct registry *reg = r->c->registry;
    struct registry_version v;
    struct registry_alias *aliases;
    size_t n_aliases;
    int rc = arena_init(&a, READ_ARENA_BYTES, e);
    if (rc)
        return rc;
    rc = reg->ops->version_find(reg, r->args[0], r->args[1], &a, &v, e);
    if (!rc)
        rc = reg->ops->aliases(reg, r->args[0], &a, &aliases, &n_aliases, e);
    if (!rc)
        describe_version(
            &(struct describe_version){.version = &v,
                                       .aliases = aliases,
                                       .n_aliases = n_aliases,
                                       .deployment = routing_find(&r->c->routing, v.model, v.number),
                                       .in_full = true},
            &r->out);
    arena_done(&a);
    if (rc)
        return rc;
    request_answer(r, 200, "application/json");
    return 0;
}

static void drop_deployments(struct controller *c, struct str model, uint32_t version)
{
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = c->routing.slots[i];
        if (d && d->id && str_eq(str_of(d->model), model) && (!version || d->version == version)) {
            replicas_withdraw_later(c, d);
            startup_forget(c, d);
        }
    }
    routing_aliases_drop(&c->routing, model, version);
}

int model_delete(struct request *r, struct err *e)
{
    struct registry_cause cause = request_cause(r);
    int rc = change_new(r, e);
    if (!rc)
        rc = r->c->registry->ops->model_remove(r->c->registry, &cause, r->args[0], e);
    if (rc)
        return rc;
    log_event(&r->c->log, LOG_LEVEL_INFO, "model_deleted", LOG_STR("model", r->args[0]),
              LOG_Z("request_id", r->request_id));
    drop_deployments(r->c, r->args[0], 0);
    buf_puts(&r->out, "{\"model\":");
    buf_put_json_str(&r->out, r->args[0]);
    buf_puts(&r->out, ",\"deleted\":true}");
    change_publish(r);
    return 0;
}

int version_delete(struct request *r, struct err *e)
{
    bool force;
    uint64_t number;
    struct registry_cause cause = request_cause(r);
    if (!str_to_u64(r->args[1], UINT32_MAX, &number)) {
        err_set(e, ERR_INVALID, "only a version's number can be deleted, not '" STR_FMT "'",
                STR_ARG(r->args[1]));
        err_hint(e, "An alias may have moved since you looked.");
        return ERR_INVALID;
    }
    int rc = request_flag(r, "force", &force, e);
    if (!rc)
        rc = change_new(r, e);
    if (!rc)
        rc = r->c->registry->ops->version_remove(r->c->registry, &cause, r->args[0], (uint32_t)number, force,
                                                 e);
    if (rc)
        return rc;
    log_event(&r->c->log, LOG_LEVEL_INFO, "version_deleted", LOG_STR("model", r->args[0]),
              LOG_INT("version", number), LOG_Z("request_id", r->request_id));
    drop_deployments(r->c, r->args[0], (uint32_t)number);
    buf_puts(&r->out, "{\"model\":");
    buf_put_json_str(&r->out, r->args[0]);
    buf_printf(&r->out, ",\"version\":%u,\"deleted\":true}", (unsigned)number);
    change_publish(r);
    return 0;
}

int alias_put(struct request *r, struct err *e)
{
    uint32_t version;
    struct registry_cause cause = request_cause(r);
    int rc = alias_body_parse(buf_str(&r->body), &version, e);
    if (!rc)
        rc = registry_alias_check(r->args[1], e);
    if (!rc)
        rc = routing_alias_reserve(&r->c->routing, e);
    if (!rc)
        rc = change_new(r, e);
    if (!rc)
        rc = r->c->registry->ops->alias_set(r->c->registry, &cause, r->args[0], r->args[1], version, e);
    if (rc)
        return rc;
    log_event(&r->c->log, LOG_LEVEL_INFO, "alias_set", LOG_STR("model", r->args[0]),
              LOG_STR("alias", r->args[1]), LOG_INT("version", version), LOG_Z("request_id", r->request_id));
    routing_alias_set(&r->c->routing, r->args[0], r->args[1], version);
    buf_puts(&r->out, "{\"model\":");
    buf_put_json_str(&r->out, r->args[0]);
    buf_puts(&r->out, ",\"alias\":");
    buf_put_json_str(&r->out, r->args[1]);
    buf_printf(&r->out, ",\"version\":%u}", version);
    change_publish(r);
    return 0;
}
