// SPDX-License-Identifier: Apache-2.0
// What a state asks for: which weights are routed, which replicas are kept, where the alias points. Computed
// from the state alone, so that it may be done again at any time.
#include "role/controller/rollout_state.h"

#include "base/clock.h"
#include "role/controller/agreement.h"
#include "role/controller/replace.h"
#include "role/controller/replicas.h"
#include "settings/settings.h"

#include <stdio.h>
#include <string.h>

enum {
    GRACE_NS = 1000000000, // after the server's own time-out, for an outcome to be told
    CHANGES_BYTES = 64 << 20,
};

static struct deployment *deployment_of(const struct rollout *r, uint32_t version)
{
    return routing_find(&r->all->c->routing, str_of(r->spec.model), version);
}

uint32_t rollout_alias_target(const struct rollout *r)
{
    const struct routing *routing = &r->all->c->routing;
    uint32_t target = routing_alias_target(routing, str_of(r->spec.model), str_of(r->split.alias));
    bool is_champion = strcmp(r->split.alias, "champion") == 0;
    return target || !is_champion ? target : routing_default(routing, str_of(r->spec.model));
}

// ---- replicas ----

static uint32_t part_of(uint32_t n, uint32_t weight_bp)
{
    uint64_t x = (uint64_t)n * weight_bp;
    return (uint32_t)((x + SPLIT_BUCKETS - 1) / SPLIT_BUCKETS);
}

static uint32_t at_most(uint32_t n, const struct deployment *d)
{
    uint32_t max = d->settings.max_replicas;
    return n == 0 ? 1 : max && n > max ? max : n;
}

static uint32_t weight_to_be_ready_for(const struct rollout *r, uint32_t arm)
{
    if (r->spec.strategy == STRATEGY_AB)
        return r->spec.arms[arm].weight_bp;
    uint32_t now = plan_weight_bp(&r->spec, &r->plan), next = plan_next_weight_bp(&r->spec, &r->plan);
    return now > next ? now : next;
}

// Replicas that the candidate must have before the next weight is routed: its share of what the whole
// traffic takes now.
static uint32_t needed(const struct rollout *r, uint32_t arm, const struct deployment *d)
{
    return d->is_declared ? at_most(part_of(r->full_wanted, weight_to_be_ready_for(r, arm)), d) : 1;
}

static void raise_to(struct rollout *r, struct deployment *d, uint32_t floor)
{
    struct controller *c = r->all->c;
    struct err e;
    d->rollout_floor = floor;
    if (!d->is_declared || d->is_away || d->is_given_up || d->state == DEPLOYMENT_FAILED ||
        d->n_wanted >= floor)
        return;
    log_event(&c->log, LOG_LEVEL_INFO, "scaled", LOG_Z("model", d->model), LOG_INT("version", d->version),
              LOG_INT("from", d->n_wanted), LOG_INT("to", floor), LOG_Z("reason", "rollout"));
    if (replicas_serve(c, d, floor, &e))
        log_event(&c->log, LOG_LEVEL_ERROR, "scale_failed", LOG_Z("model", d->model),
                  LOG_INT("version", d->version), LOG_Z("message", e.msg));
}

// The old version keeps what it had for the whole traffic, because all of it may return at any moment.
static void keep_replicas(struct rollout *r)
{
    struct deployment *old = deployment_of(r, r->baseline);
    if (old && old->n_wanted > r->full_wanted)
        r->full_wanted = old->n_wanted;
    if (r->full_wanted == 0)
        r->full_wanted = 1;
    if (old)
        raise_to(r, old, old->is_declared ? at_most(r->full_wanted, old) : 1);
    for (uint32_t i = 0; i < r->spec.n_arms; i++) {
        struct deployment *d = deployment_of(r, r->candidates[i]);
        if (d)
            raise_to(r, d, needed(r, i, d));
    }
}

static void release_replicas(struct rollout *r)
{
    bool changed = false;
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = r->all->c->routing.slots[i];
        if (!d || !d->rollout_floor || strcmp(d->model, r->spec.model) != 0)
            continue;
        d->rollout_floor = 0;
        changed = true;
    }
    if (changed)
        replace_apply(r->all->c);
}

static bool is_ready(const struct rollout *r)
{
    for (uint32_t i = 0; i < r->spec.n_arms; i++) {
        const struct deployment *d = deployment_of(r, r->candidates[i]);
        if (!d || d->state != DEPLOYMENT_READY || d->is_away)
            return false;
        if (d->is_declared && d->n_ready < needed(r, i, d))
            return false;
    }
    return true;
}

static bool is_lost(const struct rollout *r)
{
    for (uint32_t i = 0; i < r->spec.n_arms; i++) {
        const struct deployment *d = deployment_of(r, r->candidates[i]);
        if (!d || d->state == DEPLOYMENT_FAILED || d->is_given_up)
            return true;
    }
    return false;
}

struct plan_facts rollout_facts(const struct rollout *r)
{
    return (struct plan_facts){.ready = is_ready(r),
                               .lost = is_lost(r),
                               .routed = r->is_routed,
                               .canary_requests = rollout_requests(&r->spec, rollout_input_of(r))};
}

// ---- the alias ----

int rollout_compare(const struct rollout *r, struct buf *changes, struct err *e)
{
    int rc = 0;
    for (uint32_t i = 0; !rc && i < r->spec.n_arms; i++) {
        const struct agreement_move m = {.model = str_of(r->spec.model),
                                         .from = r->baseline,
                                         .to = r->candidates[i],
                                         .allow_breaking = r->spec.allow_breaking};
        buf_clear(changes);
        rc = agreement_compare(r->all->c, &m, changes, e);
    }
    if (rc != ERR_CONFLICT)
        buf_clear(changes);
    return rc;
}

int rollout_may_promote(const struct rollout *r, struct err *e)
{
    struct buf changes;
    buf_init(&changes, CHANGES_BYTES);
    int rc = rollout_compare(r, &changes, e);
    buf_done(&changes);
    if (rc == ERR_CONFLICT)
        err_hint(e, "If that is meant: slipway alias %.64s %.40s %u --allow-breaking.", r->spec.model,
                 r->split.alias, r->candidates[0]);
    return rc;
}

static bool moves_alias(const struct rollout *r)
{
    return r->plan.state == PLAN_PROMOTING;
}

static bool moves_alias_back(const struct rollout *r)
{
    return r->plan.state == PLAN_ROLLING_BACK && r->moved_alias;
}

static int alias_back(struct rollout *r, const struct registry_cause *cause, struct err *e)
{
    struct registry *reg = r->all->c->registry;
    struct str model = str_of(r->spec.model), alias = str_of(r->split.alias);
    uint32_t target;
    int rc = reg->ops->rollback_find(reg, model, alias, r->baseline, &target, e);
    if (rc == ERR_CONFLICT || rc == ERR_NOT_FOUND) // the alias was made by the promotion
        return reg->ops->alias_set(reg, cause, model, alias, r->baseline, e);
    return rc ? rc : reg->ops->rollback(reg, cause, model, alias, r->baseline, target, e);
}

// 1: it has been moved now; 0: nothing to do, or it failed, which the next look does again. Somebody else's
// move is never undone.
static int follow_with_alias(struct rollout *r)
{
    struct controller *c = r->all->c;
    struct str model = str_of(r->spec.model), alias = str_of(r->split.alias);
    bool forth = moves_alias(r), back = moves_alias_back(r);
    uint32_t from = forth ? r->baseline : r->candidates[0], to = forth ? r->candidates[0] : r->baseline;
    char why[64];
    struct err e;
    if ((!forth && !back) || rollout_alias_target(r) != from)
        return 0;
    snprintf(why, sizeof why, "rollout %llu", (unsigned long long)r->id);
    const struct registry_cause cause = {
        .actor = STR("rollout"), .wall_ns = clock_wall_ns(), .reason = str_of(why)};
    int rc = routing_alias_reserve(&c->routing, &e);
    if (!rc)
        rc = forth ? c->registry->ops->alias_set(c->registry, &cause, model, alias, to, &e)
                   : alias_back(r, &cause, &e);
    if (rc) {
        log_event(&c->log, LOG_LEVEL_ERROR, "rollout_stuck", LOG_INT("rollout", (int64_t)r->id),
                  LOG_Z("event", "alias"), LOG_Z("message", e.msg));
        return 0;
    }
    log_event(&c->log, LOG_LEVEL_INFO, forth ? "alias_set" : "rolled_back", LOG_STR("model", model),
              LOG_STR("alias", alias), LOG_INT("version", to), LOG_Z("reason", why));
    routing_alias_set(&c->routing, model, alias, to);
    return 1;
}

// ---- the split ----

static struct routing_split wanted_split(const struct rollout *r)
{
    struct routing_split s = r->split;
    uint32_t weight = r->is_withheld ? 0 : plan_weight_bp(&r->spec, &r->plan);
    enum plan_state phase = rollout_phase(&r->plan);
    // From the promotion on the alias does it.
    bool is_shared = weight > 0 && phase != PLAN_PROMOTED && phase != PLAN_SETTLED &&
                     rollout_alias_target(r) == r->baseline;
    bool several = r->spec.strategy == STRATEGY_AB;
    s.n_arms = is_shared ? r->spec.n_arms : 0;
    for (uint32_t i = 0; i < s.n_arms; i++)
        s.arms[i] = (struct routing_arm){.name = several ? r->spec.arms[i].version : "canary",
                                         .version = r->candidates[i],
                                         .weight_bp = several ? r->spec.arms[i].weight_bp : weight};
    s.shadow = phase == PLAN_SHADOW && !r->is_withheld ? r->candidates[0] : 0;
    return s;
}

static bool is_same(const struct routing_split *a, const struct routing_split *b)
{
    bool same = a->n_arms == b->n_arms && a->shadow == b->shadow;
    for (uint32_t i = 0; same && i < a->n_arms; i++)
        same = a->arms[i].weight_bp == b->arms[i].weight_bp;
    return same;
}

static void link_split(struct rollout *r)
{
    struct routing_split **at = &r->all->c->routing.splits;
    while (*at && *at != &r->split)
        at = &(*at)->next;
    bool wanted = (r->split.n_arms || r->split.shadow) && !plan_is_over(&r->plan);
    if (wanted && !*at) {
        r->split.next = NULL;
        *at = &r->split;
    } else if (!wanted && *at) {
        *at = r->split.next;
    }
}

static bool update_split(struct rollout *r)
{
    struct routing_split s = wanted_split(r);
    bool changed = !is_same(&s, &r->split) || r->is_gate_new;
    if (changed) {
        s.epoch++;
        s.next = r->split.next;
        r->split = s;
        if (s.n_arms && !r->first_split_epoch)
            r->first_split_epoch = s.epoch;
    }
    r->is_gate_new = false;
    link_split(r);
    return changed;
}

static void set_up_split(struct rollout *r)
{
    struct routing_split *s = &r->split;
    s->rollout = r->id;
    snprintf(s->model, sizeof s->model, "%s", r->spec.model);
    s->key = r->spec.key;
    s->key_name = r->spec.key_name;
    s->segment = r->spec.segment;
    s->segment_name = r->spec.segment_name;
    s->shield = r->spec.shield;
    s->baseline = r->baseline;
    s->n_guards = r->spec.rules.n_guards;
    s->guards = r->spec.rules.guards;
    s->gates = r->gates;
    s->scores = &r->scores;
    s->timeout_ns = r->all->c->args->settings->request_timeout_ms * UINT64_C(1000000) + GRACE_NS;
}

// ---- all of it ----

static bool waits_for_gateways(const struct rollout *r)
{
    return r->plan.state == PLAN_PROMOTING || r->plan.state == PLAN_ROLLING_BACK;
}

static bool alias_is_right(const struct rollout *r)
{
    if (moves_alias(r))
        return rollout_alias_target(r) != r->baseline;
    return !moves_alias_back(r) || rollout_alias_target(r) != r->candidates[0];
}

void rollout_apply(struct rollout *r)
{
    struct controller *c = r->all->c;
    set_up_split(r);
    bool is_over = plan_is_over(&r->plan);
    if (!is_over)
        keep_replicas(r);
    bool alias_moved = follow_with_alias(r);
    if (update_split(r) || alias_moved)
        gateways_publish(c);
    if (alias_moved) {
        replicas_withdraw_dropped(c);
        replace_apply(c);
    }
    if (is_over)
        release_replicas(r);
    if (waits_for_gateways(r) && alias_is_right(r) && !r->is_routed && !r->publication.is_waiting)
        gateways_wait(c, &r->publication);
}
