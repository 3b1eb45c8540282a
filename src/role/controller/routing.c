// SPDX-License-Identifier: Apache-2.0
// The table of what is served, and its two messages.
#include "role/controller/routing.h"

#include "base/assert.h"
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void name_copy(char *to, size_t size, struct str from)
{
    ASSERT(from.n < size);
    memcpy(to, from.p, from.n);
    to[from.n] = '\0';
}

static void deployment_free(struct deployment *d)
{
    if (d->image_fd >= 0)
        close(d->image_fd);
    if (d->rules_fd >= 0)
        close(d->rules_fd);
    free(d->describe_json);
    free(d->files);
    free(d->scaler);
    free(d);
}

void routing_done(struct routing *r)
{
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++)
        if (r->slots[i])
            deployment_free(r->slots[i]);
    free(r->aliases);
    *r = (struct routing){0};
}

static struct deployment *place(struct routing *r, struct str model, uint32_t slot, struct err *e)
{
    struct deployment *d = calloc(1, sizeof *d);
    if (!d) {
        err_set(e, ERR_NOMEM, "no memory for another version");
        return NULL;
    }
    *d = (struct deployment){.slot = slot, .image_fd = -1, .rules_fd = -1};
    name_copy(d->model, sizeof d->model, model);
    return r->slots[slot] = d;
}

int routing_reserve(struct routing *r, struct str model, struct deployment **ret, struct err *e)
{
    for (unsigned i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        unsigned slot = (r->next_slot + i) % LIMIT_DEPLOYMENTS;
        if (r->slots[slot])
            continue;
        *ret = place(r, model, slot, e);
        r->next_slot = (slot + 1) % LIMIT_DEPLOYMENTS;
        return *ret ? 0 : ERR_NOMEM;
    }
    err_set(e, ERR_CONFLICT, "%d versions are served, which is the limit", LIMIT_DEPLOYMENTS);
    err_hint(e, "Delete versions that are not needed any more.");
    return ERR_CONFLICT;
}

int routing_restore(struct routing *r, struct str model, uint64_t id, uint32_t version, uint32_t slot,
                    struct deployment **ret, struct err *e)
{
    if (slot >= LIMIT_DEPLOYMENTS || r->slots[slot] || model.n > LIMIT_MODEL_NAME_BYTES)
        return err_set(e, ERR_INTERNAL, "version %u of '" STR_FMT "' cannot have slot %u", version,
                       STR_ARG(model), slot);
    *ret = place(r, model, slot, e);
    if (!*ret)
        return ERR_NOMEM;
    (*ret)->id = id;
    (*ret)->version = version;
    (*ret)->state = DEPLOYMENT_LOADING;
    if (slot >= r->next_slot)
        r->next_slot = (slot + 1) % LIMIT_DEPLOYMENTS;
    return 0;
}

void routing_drop(struct routing *r, struct deployment *d)
{
    ASSERT(r->slots[d->slot] == d);
    r->slots[d->slot] = NULL;
    deployment_free(d);
}

struct deployment *routing_find(const struct routing *r, struct str model, uint32_t version)
{
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = r->slots[i];
        if (d && d->id && d->version == version && str_eq(str_of(d->model), model))
            return d;
    }
    return NULL;
}

static struct routing_alias *alias_find(const struct routing *r, struct str model, struct str alias)
{
    for (size_t i = 0; i < r->n_aliases; i++) {
        struct routing_alias *a = &r->aliases[i];
        if (str_eq(str_of(a->model), model) && str_eq(str_of(a->name), alias))
            return a;
    }
    return NULL;
}

int routing_alias_reserve(struct routing *r, struct err *e)
{
    if (r->n_aliases < r->cap_aliases)
        return 0;
    size_t cap = r->cap_aliases ? 2 * r->cap_aliases : 16;
    if (cap > LIMIT_SERVED_ALIASES)
        return err_set(e, ERR_CONFLICT, "there are %zu aliases, which is the limit", r->n_aliases);
    struct routing_alias *grown = realloc(r->aliases, cap * sizeof *grown);
    if (!grown)
        return err_set(e, ERR_NOMEM, "no memory for another alias");
    r->aliases = grown;
    r->cap_aliases = cap;
    return 0;
}

void routing_alias_set(struct routing *r, struct str model, struct str alias, uint32_t version)
{
    struct routing_alias *a = alias_find(r, model, alias);
    if (!a) {
        ASSERT(r->n_aliases < r->cap_aliases);
        a = &r->aliases[r->n_aliases++];
        name_copy(a->model, sizeof a->model, model);
        name_copy(a->name, sizeof a->name, alias);
    }
    a->version = version;
}

uint32_t routing_alias_target(const struct routing *r, struct str model, struct str alias)
{
    const struct routing_alias *a = alias_find(r, model, alias);
    return a ? a->version : 0;
}

void routing_alias_remove(struct routing *r, struct str model, struct str alias)
{
    struct routing_alias *a = alias_find(r, model, alias);
    if (a)
        *a = r->aliases[--r->n_aliases];
}

void routing_aliases_drop(struct routing *r, struct str model, uint32_t version)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->n_aliases; i++) {
        const struct routing_alias *a = &r->aliases[i];
        if (!str_eq(str_of(a->model), model) || (version && a->version != version))
            r->aliases[kept++] = *a;
    }
    r->n_aliases = kept;
}

uint32_t routing_default(const struct routing *r, struct str model)
{
    const struct routing_alias *champion = alias_find(r, model, STR("champion"));
    if (champion)
        return champion->version;
    uint32_t highest = 0;
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        const struct deployment *d = r->slots[i];
        if (d && d->id && d->version > highest && str_eq(str_of(d->model), model))
            highest = d->version;
    }
    return highest;
}

bool routing_is_complete(const struct routing *r)
{
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++)
        if (r->slots[i] && r->slots[i]->state == DEPLOYMENT_LOADING)
            return false;
    return true;
}

void routing_deploy_encode(const struct deployment *d, struct buf *out)
{
    buf_printf(out, "{\"deployment\":%llu,\"model\":", (unsigned long long)d->id);
    buf_put_json_str(out, str_of(d->model));
    buf_printf(out, ",\"version\":%u,\"slot\":%u,\"engine\":\"%s\"}", d->version, d->slot, d->engine->name);
}

static int by_model_and_version(const void *a, const void *b)
{
    const struct deployment *x = *(struct deployment *const *)a, *y = *(struct deployment *const *)b;
    int c = strcmp(x->model, y->model);
    return c ? c : (x->version > y->version) - (x->version < y->version);
}

static bool is_routed(const struct deployment *d)
{
    return d && d->state == DEPLOYMENT_READY && !d->is_away;
}

// One model: its deployments are list[0 … n), by version. Those that are not ready are left out, and so is
// what names them: the gateways then say that they are not ready, instead of using another version.
static void model_encode(const struct routing *r, struct deployment *const *list, size_t n, struct buf *out)
{
    struct str model = str_of(list[0]->model);
    const struct deployment *d = routing_find(r, model, routing_default(r, model));
    buf_puts(out, "{\"name\":");
    buf_put_json_str(out, model);
    if (d && d->is_away)
        buf_puts(out, ",\"replacing\":true");
    if (is_routed(d))
        buf_printf(out, ",\"default\":%llu", (unsigned long long)d->id);
    buf_puts(out, ",\"versions\":[");
    const char *comma = "";
    for (size_t i = 0; i < n; i++) {
        if (!is_routed(list[i]))
            continue;
        buf_printf(out, "%s{\"version\":%u,\"deployment\":%llu%s}", comma, list[i]->version,
                   (unsigned long long)list[i]->id,
                   list[i]->is_declared && list[i]->settings.min_replicas == 0 ? ",\"may_be_empty\":true"
                                                                               : "");
        comma = ",";
    }
    buf_puts(out, "],\"aliases\":[");
    comma = "";
    for (size_t i = 0; i < r->n_aliases; i++) {
        const struct routing_alias *a = &r->aliases[i];
        d = str_eq(str_of(a->model), model) ? routing_find(r, model, a->version) : NULL;
        if (!is_routed(d))
            continue;
        buf_printf(out, "%s{\"alias\":\"%s\",\"deployment\":%llu}", comma, a->name,
                   (unsigned long long)d->id);
        comma = ",";
    }
    buf_puts(out, "]}");
}

void routing_routes_encode(const struct routing *r, struct buf *out)
{
    struct deployment *list[LIMIT_DEPLOYMENTS];
    size_t n = 0;
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++)
        if (r->slots[i] && r->slots[i]->id)
            list[n++] = r->slots[i];
    qsort(list, n, sizeof list[0], by_model_and_version);
    buf_printf(out, "{\"generation\":%llu,\"ready\":%s,\"models\":[", (unsigned long long)r->generation,
               routing_is_complete(r) ? "true" : "false");
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && strcmp(list[end]->model, list[i]->model) == 0;)
            end++;
        if (i)
            buf_putc(out, ',');
        model_encode(r, list + i, end - i, out);
    }
    buf_puts(out, "]}");
}

const char *deployment_state_name(enum deployment_state s)
{
    static const char *const NAMES[] = {"reserved", "loading", "ready", "failed"};
    return NAMES[s];
}
