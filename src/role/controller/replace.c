// SPDX-License-Identifier: Apache-2.0
// Nothing here waits: one timer looks every few milliseconds whether processes are gone or came, while
// somebody waits for that.
#include "role/controller/replace.h"

#include "engine/engine.h"
#include "role/board.h"
#include "role/controller/fit.h"
#include "role/controller/replicas.h"
#include "settings/settings.h"

#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 20 };

static const char *const NAMES[] = {"keep", "availability-preserving", "resource-preserving"};

struct replacing {
    struct controller *c;
    struct timer due;
    struct publication publication; // of what replace_apply was called for
    struct replacement *list;       // that make room now
};

// ---- which, and how ----

static enum replace_policy policy_of(const struct controller *c, const struct version_settings *v)
{
    for (unsigned i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (strcmp(v->policy, NAMES[i]) == 0)
            return (enum replace_policy)i;
    return (enum replace_policy)c->args->settings->replace_policy;
}

static bool in_replicas(const struct deployment *d)
{
    return d && d->id && d->engine && d->engine->runtime && d->state != DEPLOYMENT_FAILED;
}

static struct deployment *by_id(const struct controller *c, uint64_t id)
{
    for (size_t i = 0; id && i < LIMIT_DEPLOYMENTS; i++)
        if (c->routing.slots[i] && c->routing.slots[i]->id == id)
            return c->routing.slots[i];
    return NULL;
}

static bool is_to_be_unloaded(const struct controller *c, const struct deployment *d)
{
    if (!in_replicas(d) || d->is_away || d->rollout_floor ||
        routing_has_alias(&c->routing, str_of(d->model), d->version))
        return false;
    uint32_t number = routing_default(&c->routing, str_of(d->model));
    const struct deployment *now = routing_find(&c->routing, str_of(d->model), number);
    return d->version < number && now && now->engine && now->engine->runtime &&
           policy_of(c, &now->settings) != REPLACE_KEEP;
}

// ---- loading and unloading ----

static void log_of(const struct controller *c, const struct deployment *d, const char *event)
{
    log_event(&c->log, LOG_LEVEL_INFO, event, LOG_Z("model", d->model), LOG_INT("version", d->version));
}

static void set_replicas(struct controller *c, struct deployment *d, uint32_t n)
{
    struct err e;
    if (replicas_serve(c, d, n, &e))
        log_event(&c->log, LOG_LEVEL_ERROR, "scale_failed", LOG_Z("model", d->model),
                  LOG_INT("version", d->version), LOG_Z("message", e.msg));
}

static void mark_unloaded(struct deployment *d)
{
    d->is_unloaded = true;
    d->own_min_replicas = d->settings.min_replicas;
    d->settings.min_replicas = 0;
}

static void load_again(struct controller *c, struct deployment *d)
{
    d->is_unloaded = false;
    d->settings.min_replicas = d->own_min_replicas;
    log_of(c, d, "version_loading");
    if (d->n_wanted < d->settings.min_replicas)
        set_replicas(c, d, d->settings.min_replicas);
}

static void on_routed(struct publication *p, const struct err *e)
{
    (void)e; // a gateway that did not confirm is hung or gone, and no reason to keep memory
    struct controller *c = ((struct replacing *)((char *)p - offsetof(struct replacing, publication)))->c;
    bool changed = false;
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = c->routing.slots[i];
        if (!d || d->is_unloaded || !is_to_be_unloaded(c, d))
            continue;
        mark_unloaded(d);
        log_of(c, d, "version_unloaded");
        if (d->n_wanted)
            set_replicas(c, d, 0);
        changed = true;
    }
    if (changed)
        gateways_publish(c); // that it may be empty
}

void replace_apply(struct controller *c)
{
    struct replacing *s = c->replacing;
    bool changed = false;
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = c->routing.slots[i];
        if (!d || !d->is_unloaded || is_to_be_unloaded(c, d))
            continue;
        load_again(c, d);
        changed = true;
    }
    if (changed)
        gateways_publish(c);
    gateways_forget(c, &s->publication);
    s->publication.on_done = on_routed;
    gateways_wait(c, &s->publication);
}

void replace_mark(struct controller *c)
{
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = c->routing.slots[i];
        if (d && is_to_be_unloaded(c, d))
            mark_unloaded(d);
    }
}

// ---- the gap ----

static bool has_processes(const struct controller *c, uint64_t deployment)
{
    for (unsigned i = 0; c->board && deployment && i < board_n_rows(c->board); i++) {
        struct board_row row = board_read(c->board, i);
        if ((row.kind == BOARD_LOADER || row.kind == BOARD_REPLICA) && row.state != BOARD_EMPTY &&
            row.deployment == deployment)
            return true;
    }
    return false;
}

static void end_gap(struct controller *c, struct deployment *d)
{
    d->is_away = d->is_coming_back = false;
    log_of(c, d, "gap_ended");
    gateways_publish(c);
}

// One that makes way and may come back. Whether it is to be looked at again.
static bool look_at(struct controller *c, struct deployment *d)
{
    if (!d->is_coming_back)
        return false;
    if (d->after && has_processes(c, d->after))
        return true;
    if (d->after) {
        d->after = 0;
        uint32_t n = d->settings.min_replicas;
        set_replicas(c, d, n ? n : 1);
        return true;
    }
    if (d->n_ready == 0 && d->state == DEPLOYMENT_READY)
        return true;
    end_gap(c, d); // or it has failed, which was said
    return false;
}

static void set_timer(struct replacing *s)
{
    struct err e;
    if (loop_timer_set(s->c->loop, &s->due, loop_now_ns(s->c->loop) + LOOK_MS * UINT64_C(1000000), &e))
        log_event(&s->c->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("message", e.msg));
}

static void leave(struct replacement *r)
{
    struct replacement **at = &r->c->replacing->list;
    while (*at && *at != r)
        at = &(*at)->next;
    if (*at)
        *at = r->next;
    r->state = REPLACEMENT_NONE;
}

static void on_due(struct timer *t)
{
    struct replacing *s = (struct replacing *)((char *)t - offsetof(struct replacing, due));
    bool again = false;
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++)
        if (s->c->routing.slots[i])
            again |= look_at(s->c, s->c->routing.slots[i]);
    for (struct replacement *r = s->list, *next; r; r = next) {
        next = r->next;
        if (r->state != REPLACEMENT_EMPTYING || has_processes(s->c, r->old))
            continue;
        leave(r);
        r->on_room(r); // may end the push
    }
    if (again || s->list)
        set_timer(s);
}

static void on_unrouted(struct publication *p, const struct err *e)
{
    (void)e;
    struct replacement *r = (struct replacement *)((char *)p - offsetof(struct replacement, publication));
    struct deployment *old = by_id(r->c, r->old);
    r->state = REPLACEMENT_EMPTYING;
    if (old)
        set_replicas(r->c, old, 0);
    set_timer(r->c->replacing);
}

static void begin_gap(struct controller *c, struct replacement *r, struct deployment *old)
{
    r->c = c;
    r->old = old->id;
    r->state = REPLACEMENT_UNROUTING;
    r->next = c->replacing->list;
    c->replacing->list = r;
    old->is_away = true;
    log_of(c, old, "gap_began");
    r->publication.on_done = on_unrouted;
    gateways_publish(c);
    gateways_wait(c, &r->publication);
}

static int refuse(enum replace_policy policy, const struct deployment *old, struct err *e)
{
    if (e->code != ERR_NO_SPACE)
        return e->code;
    bool beside = policy == REPLACE_AVAILABILITY;
    err_wrap(e, "by the policy %s the version would be loaded %s version %u", NAMES[policy],
             beside ? "beside" : "in place of", old->version);
    err_hint(e, beside ? "Push it with the policy resource-preserving, which unloads the old one first, or "
                         "give it fewer replicas."
                       : "Give it fewer replicas, or the server more memory.");
    return e->code;
}

int replace_begin(struct controller *c, struct replacement *r, const struct replace_asked *a, struct err *e)
{
    enum replace_policy policy = policy_of(c, a->settings);
    struct deployment *old = routing_find(&c->routing, a->model, routing_default(&c->routing, a->model));
    struct fit fit;
    if (policy == REPLACE_KEEP || !a->promote || !in_replicas(old))
        return 1;
    if (old->is_away)
        return err_set(e, ERR_CONFLICT, "version %u of model '%s' is being replaced already", old->version,
                       old->model);
    struct fit_asked asked = {.file_bytes = a->file_bytes,
                              .loaded_bytes = a->loaded_bytes,
                              .freed_bytes = policy == REPLACE_RESOURCE ? fit_used_bytes(c, old->id) : 0,
                              .settings = a->settings};
    if (fit_check(c, &asked, &fit, e))
        return refuse(policy, old, e);
    if (policy == REPLACE_AVAILABILITY)
        return 1;
    begin_gap(c, r, old);
    return 0;
}

void replace_done(struct replacement *r)
{
    struct deployment *old = r->old ? by_id(r->c, r->old) : NULL;
    r->old = 0;
    if (!old)
        return;
    old->is_away = false;
    log_of(r->c, old, "gap_ended");
    if (!old->is_unloaded && is_to_be_unloaded(r->c, old))
        mark_unloaded(old);
    else if (!old->is_unloaded && old->n_wanted < old->settings.min_replicas) // it has another alias
        set_replicas(r->c, old, old->settings.min_replicas);
}

void replace_undo(struct replacement *r, uint64_t failed)
{
    if (r->state != REPLACEMENT_NONE) {
        gateways_forget(r->c, &r->publication);
        leave(r);
    }
    struct deployment *old = r->old ? by_id(r->c, r->old) : NULL;
    r->old = 0;
    if (!old)
        return;
    if (old->n_wanted) { // it was not unloaded yet
        end_gap(r->c, old);
        return;
    }
    old->is_coming_back = true;
    old->after = failed ? failed : old->id; // its own processes, on their way out, end first
    set_timer(r->c->replacing);
}

int replace_open(struct controller *c, struct err *e)
{
    c->replacing = calloc(1, sizeof *c->replacing);
    if (!c->replacing)
        return err_set(e, ERR_NOMEM, "no memory to start");
    *c->replacing = (struct replacing){.c = c, .due.on_due = on_due};
    return 0;
}

void replace_close(struct controller *c)
{
    if (!c->replacing)
        return;
    if (c->loop)
        loop_timer_clear(c->loop, &c->replacing->due);
    gateways_forget(c, &c->replacing->publication);
    free(c->replacing);
    c->replacing = NULL;
}
