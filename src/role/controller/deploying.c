// SPDX-License-Identifier: Apache-2.0
// Loading on demand and making room. What is loaded is no part of the registry: it follows from it and from
// what is asked for, so that no request writes to the disk.
#include "role/controller/deploying.h"

#include "base/clock.h"
#include "engine/engine.h"
#include "role/controller/fit.h"
#include "role/controller/gateways.h"
#include "role/controller/replicas.h"
#include "role/controller/scaling.h"
#include "role/controller/startup.h"

#include <stdlib.h>

enum {
    LOOK_MS = 10, // while somebody waits
    SAMPLE_MS = 1000,
    REST_MS = 1000,         // a version that answered so lately does not make room for a request
    NAMED_REST_MS = 60000,  // nor one that has an alias, or is the newest
    FAILED_MS = 10000,      // then one that failed is tried again
    READ_ARENA = 256 << 20, // address space; touched as far as it is used
};

struct deploying {
    struct controller *c;
    struct timer due;
    uint64_t sampled_ns;
    struct deploying_wait *waits;
};

// ---- uses ----

static void sample(struct deploying *s)
{
    uint64_t now = clock_mono_ns();
    s->sampled_ns = now;
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = s->c->routing.slots[i];
        uint64_t n = d && d->id ? scaling_requests(s->c, d) : 0;
        if (!d || n == d->n_seen)
            continue;
        d->n_seen = n;
        d->used_ns = now;
    }
}

// ---- making room ----

static bool is_waited_for(const struct deploying *s, const struct deployment *d)
{
    for (const struct deploying_wait *w = s->waits; w; w = w->next)
        if (w->deployment == d->id)
            return true;
    return false;
}

// The higher, the longer it stays.
static int rank_of(const struct routing *r, const struct deployment *d)
{
    if (routing_has_alias(r, str_of(d->model), d->version))
        return 3;
    return d->is_newest ? 2 : d->state != DEPLOYMENT_FAILED;
}

static bool may_leave(const struct deploying *s, const struct deployment *d, int rank, bool for_change)
{
    static const uint64_t RESTS_MS[] = {0, REST_MS, NAMED_REST_MS, NAMED_REST_MS};
    if (!d->id || d->is_away || d->is_coming_back || d->rollout_floor || is_waited_for(s, d))
        return false;
    return for_change || (d->state != DEPLOYMENT_LOADING &&
                          s->sampled_ns - d->used_ns >= RESTS_MS[rank] * UINT64_C(1000000));
}

// Not asked for so long; of those that never were, the first.
static bool is_older(const struct deployment *d, const struct deployment *than)
{
    return d->used_ns < than->used_ns || (d->used_ns == than->used_ns && d->id < than->id);
}

static struct deployment *find_to_leave(struct deploying *s, bool for_change)
{
    struct deployment *best = NULL;
    int best_rank = 0;
    sample(s);
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = s->c->routing.slots[i];
        int rank = d ? rank_of(&s->c->routing, d) : 0;
        if (!d || !may_leave(s, d, rank, for_change))
            continue;
        if (!best || rank < best_rank || (rank == best_rank && is_older(d, best))) {
            best = d;
            best_rank = rank;
        }
    }
    return best;
}

static void release(struct controller *c, struct deployment *d)
{
    log_event(&c->log, LOG_LEVEL_INFO, "version_released", LOG_Z("model", d->model),
              LOG_INT("version", d->version));
    replicas_withdraw_later(c, d);
    startup_forget(c, d);
    c->routing.has_more = true;
    gateways_publish(c);
    replicas_withdraw_dropped(c);
}

static bool make_room(struct controller *c, bool for_change)
{
    if (routing_has_room(&c->routing))
        return true;
    struct deployment *d = find_to_leave(c->deploying, for_change);
    if (d)
        release(c, d);
    return d;
}

int deploying_make_room(struct controller *c, struct err *e)
{
    if (make_room(c, true))
        return 0;
    err_set(e, ERR_BUSY, "as many versions are being pushed as can be loaded");
    err_hint(e, "Repeat it in a moment.");
    return ERR_BUSY;
}

// ---- loading ----

// What runs in replicas takes memory of its own.
static int check_fit(struct controller *c, const struct registry_version *v, struct err *e)
{
    const struct engine *engine = engine_find(v->engine);
    struct version_settings settings;
    struct fit_asked asked = {.settings = &settings};
    struct fit fit;
    if (!engine || !engine->runtime)
        return 0;
    int rc = version_settings_decode(v->settings_json, &settings, e);
    for (size_t i = 0; i < v->n_artifacts; i++)
        if (v->artifacts[i].role <= REGISTRY_ROLE_DATA)
            asked.file_bytes += v->artifacts[i].size_bytes;
    if (rc == 0)
        rc = fit_check(c, &asked, &fit, e);
    return rc == ERR_NO_SPACE ? rc : 0; // what else is wrong is said by loading it
}

static int not_deployed(const struct registry_version *v, struct err *e)
{
    e->code = ERR_NOT_DEPLOYED;
    (void)err_wrap(e, "version %u of '" STR_FMT "' is not loaded", v->number, STR_ARG(v->model));
    err_hint(e, "Repeat the request, give the version an alias, or raise max_deployments.");
    return ERR_NOT_DEPLOYED;
}

static int load(struct controller *c, const struct registry_version *v, bool for_change,
                struct deployment **ret, struct err *e)
{
    if (check_fit(c, v, e))
        return not_deployed(v, e);
    if (!make_room(c, for_change)) {
        err_set(e, ERR_NOT_DEPLOYED, "all %u places are taken by versions that are in use",
                routing_limit(&c->routing));
        return not_deployed(v, e);
    }
    int rc = startup_load(c, v, ret, e);
    if (rc == 0)
        (*ret)->used_ns = clock_mono_ns();
    return rc;
}

static bool failed_long_ago(const struct deployment *d)
{
    return d->state == DEPLOYMENT_FAILED && d->is_on_demand &&
           clock_mono_ns() - d->used_ns > FAILED_MS * UINT64_C(1000000);
}

static int said_why(const struct deployment *d, int code, struct err *e)
{
    return err_set(e, code, "version %u of '%s' does not serve: %.120s", d->version, d->model, d->why.msg);
}

static int look_at(struct controller *c, struct deployment *d, bool as_default, struct err *e)
{
    if (d->state == DEPLOYMENT_FAILED)
        return said_why(d, ERR_UNAVAILABLE, e);
    if (d->is_away)
        return err_set(e, ERR_UNAVAILABLE, "model '%s' is being replaced by another version", d->model);
    if (as_default && routing_default(&c->routing, str_of(d->model)) != d->version) {
        routing_set_newest(&c->routing, d);
        gateways_publish(c);
    }
    return 0;
}

// An unknown name is found out without the search for one like it: a client could send any number of them.
static int find(struct controller *c, struct str model, struct str name, struct arena *a,
                struct registry_version *ret, struct err *e)
{
    const struct registry_versions_query any = {.model = model, .limit = 1};
    struct registry_version *list;
    size_t n;
    int rc = c->registry->ops->versions(c->registry, &any, a, &list, &n, e);
    if (rc)
        return rc;
    if (n == 0 || model.n == 0)
        return err_set(e, ERR_UNKNOWN_MODEL, "there is no model '" STR_FMT "'", STR_ARG(model));
    rc = c->registry->ops->version_find(c->registry, model, name, a, ret, e);
    if (!rc && registry_version_is_rejected(ret))
        return err_set(e, ERR_UNKNOWN_VERSION, "version %u of '" STR_FMT "' was rejected", ret->number,
                       STR_ARG(model));
    return rc;
}

// NULL also for one that failed long ago: it is forgotten, here and by the supervisor, and may be tried
// again.
static struct deployment *find_but_failed(struct controller *c, struct str model, uint32_t number)
{
    struct deployment *d = routing_find(&c->routing, model, number);
    if (!d || !failed_long_ago(d))
        return d;
    replicas_withdraw(c, d);
    startup_forget(c, d);
    return NULL;
}

int deploying_ask(struct controller *c, struct str model, struct str name, struct err *e)
{
    struct arena a;
    struct registry_version v;
    int rc = arena_init(&a, READ_ARENA, e);
    if (rc)
        return rc;
    rc = find(c, model, name, &a, &v, e);
    struct deployment *d = rc ? NULL : find_but_failed(c, model, v.number);
    if (d)
        rc = look_at(c, d, name.n == 0, e);
    else if (!rc)
        rc = load(c, &v, false, &d, e);
    arena_done(&a);
    return rc;
}

// ---- waiting ----

static void set_timer(struct deploying *s)
{
    struct err e;
    uint64_t ms = s->waits ? LOOK_MS : SAMPLE_MS;
    if (loop_timer_set(s->c->loop, &s->due, clock_mono_ns() + ms * UINT64_C(1000000), &e))
        log_event(&s->c->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("message", e.msg));
}

static struct deployment *by_id(const struct controller *c, uint64_t id)
{
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++)
        if (c->routing.slots[i] && c->routing.slots[i]->id == id)
            return c->routing.slots[i];
    return NULL;
}

// The first of the waits that are over; a callback may add or forget others.
static bool end_one(struct deploying *s)
{
    for (struct deploying_wait *w = s->waits; w; w = w->next) {
        const struct deployment *d = by_id(s->c, w->deployment);
        struct err e;
        if (d && d->state == DEPLOYMENT_LOADING)
            continue;
        if (!d)
            err_set(&e, ERR_CONFLICT, "the version was deleted while it was being loaded");
        else if (d->state == DEPLOYMENT_FAILED)
            (void)said_why(d, ERR_CONFLICT, &e);
        deploying_forget(w);
        w->on_done(w, d && d->state == DEPLOYMENT_READY ? NULL : &e);
        return true;
    }
    return false;
}

static void on_due(struct timer *t)
{
    struct deploying *s = (struct deploying *)((char *)t - offsetof(struct deploying, due));
    while (end_one(s))
        continue;
    if (clock_mono_ns() - s->sampled_ns >= SAMPLE_MS * UINT64_C(1000000))
        sample(s);
    set_timer(s);
}

static int wait_for(struct controller *c, const struct deployment *d, struct deploying_wait *w)
{
    w->c = c;
    w->deployment = d->id;
    w->is_waiting = true;
    w->next = c->deploying->waits;
    c->deploying->waits = w;
    set_timer(c->deploying);
    return 0;
}

void deploying_forget(struct deploying_wait *w)
{
    for (struct deploying_wait **at = w->is_waiting ? &w->c->deploying->waits : NULL; at && *at;
         at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            break;
        }
    }
    w->is_waiting = false;
}

int deploying_ensure(struct controller *c, struct str model, uint32_t number, struct deploying_wait *w,
                     struct err *e)
{
    struct deployment *d = find_but_failed(c, model, number);
    if (d && d->state == DEPLOYMENT_FAILED)
        return said_why(d, ERR_CONFLICT, e);
    if (d)
        d->used_ns = clock_mono_ns();
    if (d)
        return d->state == DEPLOYMENT_LOADING && d->is_on_demand ? wait_for(c, d, w) : 1;
    struct arena a;
    struct registry_version v;
    int rc = arena_init(&a, READ_ARENA, e);
    if (rc)
        return rc;
    rc = registry_version_find(c->registry, model, number, &a, &v, e);
    if (!rc && registry_version_is_rejected(&v))
        rc = 1; // the registry says so
    else if (!rc)
        rc = load(c, &v, true, &d, e);
    arena_done(&a);
    return rc ? rc : wait_for(c, d, w);
}

void deploying_named(const struct controller *c, struct deployment *d)
{
    if (routing_has_alias(&c->routing, str_of(d->model), d->version) ||
        routing_default(&c->routing, str_of(d->model)) == d->version)
        d->used_ns = clock_mono_ns();
}

void deploying_renew(struct controller *c, struct str model)
{
    struct deployment *highest = NULL;
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = c->routing.slots[i];
        if (d && d->id && str_eq(str_of(d->model), model) && (!highest || d->version > highest->version))
            highest = d;
    }
    struct arena a;
    struct registry_version v;
    struct err ignored; // then requests that name no version ask for it
    if (!highest || highest->is_newest || arena_init(&a, READ_ARENA, &ignored))
        return;
    if (registry_version_find(c->registry, model, highest->version, &a, &v, &ignored) == 0 && v.is_newest)
        routing_set_newest(&c->routing, highest);
    arena_done(&a);
}

int deploying_open(struct controller *c, struct err *e)
{
    struct deploying *s = c->deploying = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_NOMEM, "no memory to start");
    *s = (struct deploying){.c = c, .due.on_due = on_due};
    set_timer(s);
    return 0;
}

void deploying_close(struct controller *c)
{
    if (!c->deploying)
        return;
    loop_timer_clear(c->loop, &c->deploying->due);
    free(c->deploying);
    c->deploying = NULL;
}
