// SPDX-License-Identifier: Apache-2.0
// Aliases of a model: shown, moved, taken back, removed, and their history.
#include "role/controller/agreement.h"
#include "role/controller/change.h"
#include "role/controller/deploying.h"
#include "role/controller/describe.h"
#include "role/controller/manifest.h"

#include <stddef.h>
#include <stdlib.h>

enum { READ_ARENA_BYTES = 64 << 20, CHANGES_BYTES = 64 << 20 };

// {"model":"churn","alias":"champion"
static void put_alias(struct request *r, struct str alias)
{
    buf_puts(&r->out, "{\"model\":");
    buf_put_json_str(&r->out, r->args[0]);
    buf_puts(&r->out, ",\"alias\":");
    buf_put_json_str(&r->out, alias);
}

// An alias is about to name another version.
struct move {
    struct str alias;
    uint32_t version;
    const char *reason;
    bool allow_breaking;
};

// changes: as agreement_compare gives them.
static void put_moved(struct request *r, const struct move *m, struct str changes)
{
    uint32_t previous = routing_alias_target(&r->c->routing, r->args[0], m->alias);
    put_alias(r, m->alias);
    buf_printf(&r->out, ",\"version\":%u", m->version);
    if (previous)
        buf_printf(&r->out, ",\"previous\":%u", previous);
    if (changes.n) {
        buf_puts(&r->out, ",\"changes\":");
        buf_put_str(&r->out, changes);
    }
    buf_putc(&r->out, '}');
    change_promise(r, 200);
}

// The registry has it: from here on nothing fails but the answer.
static void moved(struct request *r, const char *event, struct str alias, uint32_t version)
{
    log_event(&r->c->log, LOG_LEVEL_INFO, event, LOG_STR("model", r->args[0]), LOG_STR("alias", alias),
              LOG_INT("version", version), LOG_Z("request_id", r->request_id));
    routing_alias_set(&r->c->routing, r->args[0], alias, version);
    change_receipt(r);
    change_publish(r);
}

struct loading {
    struct deploying_wait wait;
    struct request *r;
};

static void loading_free(struct request *r)
{
    struct loading *l = r->state;
    deploying_forget(&l->wait);
    free(l);
    r->state = NULL;
    r->state_free = NULL;
}

// Now that the version serves the request begins anew.
static void on_loaded(struct deploying_wait *w, const struct err *why)
{
    struct request *r = ((struct loading *)((char *)w - offsetof(struct loading, wait)))->r;
    struct err e;
    loading_free(r);
    if (why)
        request_fail(r, why);
    else if (r->route->handle(r, &e))
        request_fail(r, &e);
}

// An alias is not moved to a version that nobody can reach: 1 when it serves, or is none; 0 when the request
// waits until it does.
static int make_serve(struct request *r, uint32_t version, struct err *e)
{
    struct loading *l = calloc(1, sizeof *l);
    if (!l)
        return err_set(e, ERR_NOMEM, "no memory to load the version");
    l->r = r;
    l->wait.on_done = on_loaded;
    r->state = l;
    r->state_free = loading_free;
    int rc = deploying_ensure(r->c, r->args[0], version, &l->wait, e);
    if (rc)
        loading_free(r);
    return rc;
}

// What the move changes for who uses the alias; false and answered when that is not allowed.
static bool may_move(struct request *r, const struct move *m, struct buf *changes)
{
    struct err e;
    const struct agreement_move how = {.model = r->args[0],
                                       .from = routing_alias_target(&r->c->routing, r->args[0], m->alias),
                                       .to = m->version,
                                       .allow_breaking = m->allow_breaking};
    if (agreement_compare(r->c, &how, changes, &e) == 0)
        return true;
    change_refuse(r, &e, e.code == ERR_CONFLICT ? buf_str(changes) : STR(""));
    return false;
}

static int promise(struct request *r, const struct move *m, struct str changes, struct err *e)
{
    int rc = routing_alias_reserve(&r->c->routing, e);
    if (!rc)
        rc = change_new(r, e);
    if (rc)
        return rc;
    request_reason(r, str_of(m->reason));
    put_moved(r, m, changes);
    return 1;
}

// What comes before the registry is changed. 1: that is next; 0: it was answered, or waits. What is refused
// is refused before a version is loaded for it.
static int begin(struct request *r, const struct move *m, struct err *e)
{
    struct buf changes;
    int rc = 0;
    buf_init(&changes, CHANGES_BYTES);
    if (may_move(r, m, &changes))
        rc = make_serve(r, m->version, e);
    if (rc > 0)
        rc = promise(r, m, buf_str(&changes), e);
    buf_done(&changes);
    return rc;
}

int alias_put(struct request *r, struct err *e)
{
    struct alias_body body;
    int rc = alias_body_parse(buf_str(&r->body), &body, e);
    if (!rc)
        rc = registry_alias_check(r->args[1], e);
    if (rc)
        return rc;
    rc = begin(r, &(struct move){r->args[1], body.version, body.reason, body.allow_breaking}, e);
    if (rc <= 0)
        return rc;
    struct registry_cause cause = request_cause(r);
    rc = r->c->registry->ops->alias_set(r->c->registry, &cause, r->args[0], r->args[1], body.version, e);
    if (!rc)
        moved(r, "alias_set", r->args[1], body.version);
    return rc;
}

// It leads to what served, so nothing that it changes for clients holds it up.
int alias_rollback(struct request *r, struct err *e)
{
    struct rollback_body body;
    struct registry *reg = r->c->registry;
    uint32_t target = 0;
    int rc = rollback_body_parse(buf_str(&r->body), &body, e);
    struct str alias = str_of(body.alias);
    if (!rc)
        rc = reg->ops->rollback_find(reg, r->args[0], alias, body.to, &target, e);
    if (rc)
        return rc;
    rc = begin(r, &(struct move){alias, target, body.reason, .allow_breaking = true}, e);
    if (rc <= 0)
        return rc;
    struct registry_cause cause = request_cause(r);
    rc = reg->ops->rollback(reg, &cause, r->args[0], alias, body.to, target, e);
    if (!rc)
        moved(r, "rolled_back", alias, target);
    return rc;
}

int alias_delete(struct request *r, struct err *e)
{
    uint32_t was = routing_alias_target(&r->c->routing, r->args[0], r->args[1]);
    char reason[LIMIT_REASON_BYTES + 1] = "";
    const struct request_param params[] = {{"reason", .text = reason, .size = sizeof reason}};
    int rc = request_params(r, params, 1, e);
    if (!rc)
        rc = change_new(r, e);
    if (rc)
        return rc;
    request_reason(r, str_of(reason));
    put_alias(r, r->args[1]);
    buf_printf(&r->out, ",\"deleted\":true,\"previous\":%u}", was);
    change_promise(r, 200);
    struct registry_cause cause = request_cause(r);
    rc = r->c->registry->ops->alias_remove(r->c->registry, &cause, r->args[0], r->args[1], &was, e);
    if (rc)
        return rc;
    log_event(&r->c->log, LOG_LEVEL_INFO, "alias_removed", LOG_STR("model", r->args[0]),
              LOG_STR("alias", r->args[1]), LOG_INT("version", was), LOG_Z("request_id", r->request_id));
    routing_alias_remove(&r->c->routing, r->args[0], r->args[1]);
    change_receipt(r);
    change_publish(r);
    return 0;
}

int aliases_list(struct request *r, struct err *e)
{
    struct arena a;
    struct registry *reg = r->c->registry;
    struct registry_alias *list = NULL;
    struct registry_version any;
    size_t n = 0;
    int rc = arena_init(&a, READ_ARENA_BYTES, e);
    if (rc)
        return rc;
    rc = reg->ops->aliases(reg, r->args[0], &a, &list, &n, e);
    if (!rc && n == 0) { // for the error of an unknown model
        rc = reg->ops->version_find(reg, r->args[0], STR("0"), &a, &any, e);
        rc = rc == ERR_UNKNOWN_VERSION ? 0 : rc;
    }
    buf_puts(&r->out, "{\"model\":");
    buf_put_json_str(&r->out, r->args[0]);
    buf_puts(&r->out, ",\"aliases\":[");
    for (size_t i = 0; !rc && i < n; i++) {
        buf_puts(&r->out, i ? ",{\"alias\":" : "{\"alias\":");
        buf_put_json_str(&r->out, list[i].name);
        buf_printf(&r->out, ",\"version\":%u}", list[i].version);
    }
    buf_puts(&r->out, "]}");
    arena_done(&a);
    if (!rc)
        request_answer(r, 200, "application/json");
    return rc;
}

static void put_change(struct request *r, const struct registry_alias_change *h)
{
    buf_printf(&r->out, "{\"id\":%llu,\"alias\":", (unsigned long long)h->id);
    buf_put_json_str(&r->out, h->alias);
    describe_text("kind", h->kind, &r->out);
    if (h->version)
        buf_printf(&r->out, ",\"version\":%u", h->version);
    if (h->previous)
        buf_printf(&r->out, ",\"previous\":%u", h->previous);
    describe_time("at", h->wall_ns, &r->out);
    describe_text("actor", h->actor, &r->out);
    describe_text("reason", h->reason, &r->out);
    describe_text("request_id", h->request_id, &r->out);
    buf_putc(&r->out, '}');
}

// Of one alias, or of all where the path names none.
int alias_history(struct request *r, struct err *e)
{
    struct arena a;
    struct registry *reg = r->c->registry;
    struct registry_alias_change *list = NULL;
    struct request_page page = {0};
    struct registry_version any;
    size_t n = 0;
    int rc = request_page(r, &page, NULL, 0, e);
    if (!rc)
        rc = arena_init(&a, READ_ARENA_BYTES, e);
    if (rc)
        return rc;
    const struct registry_history_query which = {
        .model = r->args[0], .alias = r->args[1], .before = page.after, .limit = (uint32_t)page.limit + 1};
    rc = reg->ops->alias_history(reg, &which, &a, &list, &n, e);
    if (!rc && n == 0) { // what was deleted has a history; what never was is unknown
        rc = reg->ops->version_find(reg, r->args[0], STR("0"), &a, &any, e);
        rc = rc == ERR_UNKNOWN_VERSION || page.after ? 0 : rc;
    }
    buf_puts(&r->out, "{\"model\":");
    buf_put_json_str(&r->out, r->args[0]);
    buf_puts(&r->out, ",\"changes\":[");
    for (size_t i = 0; !rc && i < n && i < page.limit; i++) {
        buf_puts(&r->out, i ? "," : "");
        put_change(r, &list[i]);
    }
    buf_putc(&r->out, ']');
    if (n > page.limit)
        buf_printf(&r->out, ",\"next\":%llu", (unsigned long long)list[page.limit - 1].id);
    buf_putc(&r->out, '}');
    arena_done(&a);
    if (!rc)
        request_answer(r, 200, "application/json");
    return rc;
}
