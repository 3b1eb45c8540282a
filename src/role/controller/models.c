// SPDX-License-Identifier: Apache-2.0
// Showing and deleting what the registry has.
#include "role/controller/models.h"
#include "role/controller/change.h"
#include "role/controller/deploying.h"
#include "role/controller/describe.h"
#include "role/controller/gateways.h"
#include "role/controller/replicas.h"
#include "role/controller/request.h"
#include "role/controller/rollouts.h"
#include "role/controller/startup.h"

#include <stdlib.h>

enum { READ_ARENA_BYTES = 256 << 20 }; // address space; touched as far as it is used

static void put_listed(const struct registry_model *m, struct buf *out)
{
    buf_puts(out, "{\"name\":");
    buf_put_json_str(out, m->name);
    buf_printf(out, ",\"versions\":%u,\"latest\":%u", m->n_versions, m->latest);
    if (m->champion || m->latest_ready)
        buf_printf(out, ",\"default\":%u", m->champion ? m->champion : m->latest_ready);
    if (m->champion)
        buf_printf(out, ",\"champion\":%u", m->champion);
    describe_time("created", m->created_wall_ns, out);
    buf_putc(out, '}');
}

int models_list(struct request *r, struct err *e)
{
    struct arena a;
    struct registry_model *list = NULL;
    uint64_t limit = REQUEST_PAGE_DEFAULT;
    char after[LIMIT_MODEL_NAME_BYTES + 1] = "";
    const struct request_param params[] = {{"limit", .number = &limit, .max = LIMIT_PAGE},
                                           {"after", .text = after, .size = sizeof after}};
    size_t n = 0;
    int rc = request_params(r, params, 2, e);
    if (!rc && limit == 0)
        rc = err_set(e, ERR_INVALID, "query parameter 'limit' must be from 1 to %d", LIMIT_PAGE);
    if (!rc)
        rc = arena_init(&a, READ_ARENA_BYTES, e);
    if (rc)
        return rc;
    rc = r->c->registry->ops->models_page(r->c->registry, str_of(after), (uint32_t)limit + 1, &a, &list, &n,
                                          e);
    buf_puts(&r->out, "{\"models\":[");
    for (size_t i = 0; !rc && i < n && i < limit; i++) {
        buf_puts(&r->out, i ? "," : "");
        put_listed(&list[i], &r->out);
    }
    buf_putc(&r->out, ']');
    if (n > limit)
        describe_text("next", list[limit - 1].name, &r->out);
    buf_putc(&r->out, '}');
    arena_done(&a);
    if (rc)
        return rc;
    request_answer(r, 200, "application/json");
    return 0;
}

// The version that answers when a request names none, loaded or not; 0 without one.
static uint32_t default_of(const struct request *r, struct arena *a)
{
    uint32_t loaded = routing_default(&r->c->routing, r->args[0]);
    struct registry_version v;
    struct err ignored;
    if (loaded || r->c->registry->ops->version_find(r->c->registry, r->args[0], STR(""), a, &v, &ignored))
        return loaded;
    return v.number;
}

// next: there are more than the n versions of this page.
static void put_model(struct request *r, const struct registry_version *versions, size_t n, bool next,
                      const struct registry_alias *aliases, size_t n_aliases, uint32_t answers)
{
    buf_puts(&r->out, "{\"name\":");
    buf_put_json_str(&r->out, r->args[0]);
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
    buf_putc(&r->out, ']');
    if (next)
        buf_printf(&r->out, ",\"next\":%u", versions[n - 1].number);
    buf_putc(&r->out, '}');
}

int model_show(struct request *r, struct err *e)
{
    struct arena a;
    struct registry *reg = r->c->registry;
    struct registry_version *versions, any;
    struct registry_alias *aliases;
    size_t n, n_aliases;
    struct request_page page;
    struct registry_versions_query which = {.model = r->args[0]};
    int rc = request_page(r, &page, NULL, 0, e);
    if (!rc)
        rc = arena_init(&a, READ_ARENA_BYTES, e);
    if (rc)
        return rc;
    which.before = page.after < UINT32_MAX ? (uint32_t)page.after : 0;
    which.limit = (uint32_t)page.limit + 1;
    if (!rc)
        rc = reg->ops->versions(reg, &which, &a, &versions, &n, e);
    if (!rc && n == 0 && !page.after) // for its error, which names what is near
        rc = reg->ops->version_find(reg, r->args[0], STR("1"), &a, &any, e);
    if (!rc)
        rc = reg->ops->aliases(reg, r->args[0], &a, &aliases, &n_aliases, e);
    if (!rc)
        put_model(r, versions, n > page.limit ? page.limit : n, n > page.limit, aliases, n_aliases,
                  default_of(r, &a));
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
    deploying_renew(c, model);
}

void models_withdraw(struct controller *c, struct str model, uint32_t version)
{
    drop_deployments(c, model, version);
    rollouts_check(c);
    gateways_publish(c);
    replicas_withdraw_dropped(c);
}

static void put_deleted(struct request *r, uint32_t version)
{
    buf_puts(&r->out, "{\"model\":");
    buf_put_json_str(&r->out, r->args[0]);
    if (version)
        buf_printf(&r->out, ",\"version\":%u", version);
    buf_puts(&r->out, ",\"deleted\":true}");
    change_promise(r, 200);
}

// reason=… and, where it is allowed, force=true.
static int delete_params(struct request *r, bool *ret_force, struct err *e)
{
    char reason[LIMIT_REASON_BYTES + 1] = "";
    const struct request_param params[] = {{"reason", .text = reason, .size = sizeof reason},
                                           {"force", .flag = ret_force}};
    int rc = request_params(r, params, ret_force ? 2 : 1, e);
    request_reason(r, str_of(reason));
    return rc;
}

int model_delete(struct request *r, struct err *e)
{
    int rc = delete_params(r, NULL, e);
    if (!rc)
        rc = rollouts_allow_removal(r->c, r->args[0], 0, e);
    if (!rc)
        rc = change_new(r, e);
    if (rc)
        return rc;
    put_deleted(r, 0);
    struct registry_cause cause = request_cause(r);
    rc = r->c->registry->ops->model_remove(r->c->registry, &cause, r->args[0], e);
    if (rc)
        return rc;
    log_event(&r->c->log, LOG_LEVEL_INFO, "model_deleted", LOG_STR("model", r->args[0]),
              LOG_Z("request_id", r->request_id));
    drop_deployments(r->c, r->args[0], 0);
    change_receipt(r);
    change_publish(r);
    return 0;
}

int version_delete(struct request *r, struct err *e)
{
    bool force = false;
    uint64_t number;
    if (!str_to_u64(r->args[1], UINT32_MAX, &number)) {
        err_set(e, ERR_INVALID, "only a version's number can be deleted, not '" STR_FMT "'",
                STR_ARG(r->args[1]));
        err_hint(e, "An alias may have moved since you looked.");
        return ERR_INVALID;
    }
    int rc = delete_params(r, &force, e);
    if (!rc && !force)
        rc = rollouts_allow_removal(r->c, r->args[0], (uint32_t)number, e);
    if (!rc)
        rc = change_new(r, e);
    if (rc)
        return rc;
    put_deleted(r, (uint32_t)number);
    struct registry_cause cause = request_cause(r);
    rc = r->c->registry->ops->version_remove(r->c->registry, &cause, r->args[0], (uint32_t)number, force, e);
    if (rc)
        return rc;
    log_event(&r->c->log, LOG_LEVEL_INFO, "version_deleted", LOG_STR("model", r->args[0]),
              LOG_INT("version", number), LOG_Z("request_id", r->request_id));
    drop_deployments(r->c, r->args[0], (uint32_t)number);
    change_receipt(r);
    change_publish(r);
    return 0;
}
