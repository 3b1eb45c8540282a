// SPDX-License-Identifier: Apache-2.0
// The life of rollouts: taken up from the registry, looked at every second and whenever counts come, moved.
#include "role/controller/rollout_state.h"

#include "base/clock.h"
#include "role/controller/change.h"
#include "role/controller/deploying.h"
#include "role/controller/replace.h"
#include "settings/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum {
    RESTORE_ARENA_BYTES = 256 << 20, // address space
    STORED_MAX = 4 << 20,            // bytes of a plan or of counts
    MOVES_AT_ONCE = 4,               // in one look: each may make the next one due
};

// ---- lists ----

struct rollout *rollout_find(const struct controller *c, uint64_t id)
{
    struct rollout *r = c->rollouts ? c->rollouts->list : NULL;
    while (r && r->id != id)
        r = r->next;
    return r;
}

struct rollout *rollout_of_model(const struct controller *c, struct str model)
{
    struct rollout *r = c->rollouts ? c->rollouts->list : NULL;
    while (r && !str_eq(str_of(r->spec.model), model))
        r = r->next;
    return r;
}

static void on_routed(struct publication *p, const struct err *e)
{
    struct rollout *r = (struct rollout *)((char *)p - offsetof(struct rollout, publication));
    r->is_routed = e == NULL;
    if (e) // it is waited for again at the next look
        log_event(&r->all->c->log, LOG_LEVEL_WARN, "rollout_not_routed", LOG_INT("rollout", (int64_t)r->id),
                  LOG_Z("message", e->msg));
    rollouts_set_timer(r->all, 0);
}

int rollout_new(struct controller *c, const struct rollout_spec *spec, struct str request_json,
                struct rollout **ret, struct err *e)
{
    struct rollout *r = calloc(1, sizeof *r);
    if (r) {
        r->all = c->rollouts;
        r->spec = *spec;
        r->last_event = EVENT_NONE;
        r->publication.on_done = on_routed;
        r->gateways = calloc(c->args->n_gateways, sizeof *r->gateways);
        r->request_json = str_dup(request_json);
        r->steps = calloc(1, sizeof *r->steps);
        r->pairs = spec->has_shadow ? calloc(1, sizeof *r->pairs) : NULL;
        r->mirrored = spec->has_shadow ? calloc(1, sizeof *r->mirrored) : NULL;
        r->segments = spec->segment != KEY_NONE ? calloc(1, sizeof *r->segments) : NULL;
    }
    if (!r || !r->gateways || !r->request_json || !r->steps ||
        (spec->has_shadow && (!r->pairs || !r->mirrored)) || (spec->segment != KEY_NONE && !r->segments) ||
        (spec->key != KEY_NONE &&
         (entities_init(&r->erred, ROLLOUT_ENTITIES, e) || entities_init(&r->scored, ROLLOUT_ENTITIES, e)))) {
        rollout_free(r);
        return err_set(e, ERR_NOMEM, "no memory for a rollout");
    }
    *ret = r;
    return 0;
}

void rollout_free(struct rollout *r)
{
    if (!r)
        return;
    gateways_forget(r->all->c, &r->publication);
    free(r->gateways);
    free(r->request_json);
    free(r->steps);
    free(r->pairs);
    free(r->mirrored);
    free(r->segments);
    entities_done(&r->erred);
    entities_done(&r->scored);
    rollout_counts_done(r);
    free(r);
}

void rollout_enter(struct rollout *r)
{
    r->next = r->all->list;
    r->all->list = r;
    rollouts_set_timer(r->all, 0);
}

static void leave(struct rollout *r)
{
    struct rollout **at = &r->all->list;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    r->all->n_ended[r->plan.state]++;
    rollout_free(r);
}

// ---- moves ----

enum plan_state rollout_phase(const struct plan *p)
{
    bool waits = p->state == PLAN_HELD || p->state == PLAN_PAUSED || p->state == PLAN_FROZEN;
    return waits ? p->back : p->state;
}

struct rollout_input *rollout_input_of(const struct rollout *r)
{
    return r->pairs && rollout_phase(&r->plan) == PLAN_SHADOW ? r->pairs : r->steps;
}

static void judge(struct rollout *r, uint64_t wall_ns)
{
    struct rollout_input *in = rollout_input_of(r);
    in->wall_ns = wall_ns;
    rollout_judge(&r->spec, &r->plan, in, r->arms, &r->judgement);
}

// What the registry is to keep of a move.
struct kept {
    struct buf record, plan, counts;
};

static void kept_init(struct kept *k)
{
    buf_init(&k->record, LIMIT_ROLLOUT_RECORD_BYTES);
    buf_init(&k->plan, STORED_MAX);
    buf_init(&k->counts, STORED_MAX);
}

static void kept_done(struct kept *k)
{
    buf_done(&k->record);
    buf_done(&k->plan);
    buf_done(&k->counts);
}

static int commit(struct rollout *r, const struct rollout_cause *cause, const struct plan *next,
                  const struct kept *k, struct err *e)
{
    struct controller *c = r->all->c;
    const struct registry_rollout_move m = {.number = next->n_moves,
                                            .event = str_of(plan_event_name(cause->event)),
                                            .state = str_of(plan_state_name(next->state)),
                                            .is_over = plan_is_over(next),
                                            .record_json = buf_str(&k->record),
                                            .plan_json = buf_str(&k->plan),
                                            .counts_json = buf_str(&k->counts)};
    struct registry_cause why = {.actor = cause->actor, .reason = cause->note};
    if (cause->request)
        why = request_cause(cause->request);
    why.wall_ns = next->entered_ns;
    if (next->n_moves > 1)
        return c->registry->ops->rollout_move(c->registry, &why, r->id, &m, e);
    char candidates[ROLLOUT_CANDIDATES_SIZE];
    rollout_candidates_encode(r, candidates);
    const struct registry_rollout v = {.id = r->id,
                                       .model = str_of(r->spec.model),
                                       .alias = str_of(r->split.alias),
                                       .baseline = r->baseline,
                                       .candidates = str_of(candidates),
                                       .attempt = r->attempt,
                                       .request_json = str_of(r->request_json),
                                       .salt = str_of(r->split.salt)};
    return c->registry->ops->rollout_add(c->registry, &why, &v, &m, e);
}

// The answer is stored with the move, so it is written before: of the rollout as it will be.
static void promise(struct rollout *r, const struct rollout_cause *cause, const struct plan *next)
{
    struct plan before = r->plan;
    if (!cause->request)
        return;
    r->plan = *next;
    rollout_show(r, &cause->request->out);
    r->plan = before;
    change_promise(cause->request, before.n_moves ? 200 : 201);
}

static void log_move(const struct rollout *r, enum plan_state from)
{
    log_event(&r->all->c->log, LOG_LEVEL_INFO, "rollout_moved", LOG_INT("rollout", (int64_t)r->id),
              LOG_Z("model", r->spec.model), LOG_Z("by", plan_event_name(r->last_event)),
              LOG_Z("from", plan_state_name(from)), LOG_Z("to", plan_state_name(r->plan.state)),
              LOG_INT("step", r->plan.step), LOG_INT("weight_bp", plan_weight_bp(&r->spec, &r->plan)),
              LOG_Z("note", r->last_note));
}

// The registry has the move.
static void moved(struct rollout *r, const struct rollout_cause *cause, const struct plan *next)
{
    enum plan_state from = r->plan.state;
    bool new_step = next->step_ns != r->plan.step_ns && rollout_phase(next) == PLAN_RUNNING;
    r->plan = *next;
    r->last_event = cause->event;
    snprintf(r->last_note, sizeof r->last_note, STR_FMT, STR_ARG(cause->note));
    r->moved_alias |= next->state == PLAN_PROMOTING;
    r->gates_due |= new_step;
    r->is_unkept = r->is_withheld = r->is_stuck_said = r->is_routed = false;
    gateways_forget(r->all->c, &r->publication); // of the state before
    log_move(r, from);
    notices_add(r, from);
    rollout_apply(r);
    rollouts_set_timer(r->all, 0);
}

int rollout_make(struct rollout *r, const struct rollout_cause *cause, struct err *e)
{
    struct rollout_input *in = rollout_input_of(r);
    struct plan next = r->plan;
    enum plan_action action;
    struct kept k;
    kept_init(&k);
    in->wall_ns = clock_wall_ns();
    in->event = cause->event;
    snprintf(in->actor, sizeof in->actor, STR_FMT, STR_ARG(cause->actor));
    snprintf(in->note, sizeof in->note, STR_FMT, STR_ARG(cause->note));
    int rc = rollout_move(&r->spec, &next, in, &action, &k.record, e);
    if (!rc && next.state == PLAN_PROMOTING)
        rc = rollout_may_promote(r, e);
    if (!rc) {
        rollout_plan_encode(r, &next, &k.plan);
        rollout_counts_encode(r, plan_is_over(&next), &k.counts);
        promise(r, cause, &next);
        rc = k.plan.failed || k.counts.failed ? err_set(e, ERR_NOMEM, "no memory for a move of a rollout")
                                              : commit(r, cause, &next, &k, e);
    }
    kept_done(&k);
    if (rc)
        return rc;
    if (cause->request)
        change_receipt(cause->request); // before an alias follows, with a row of its own
    moved(r, cause, &next);
    return 0;
}

// A move that nobody asked for. What protects is done even if it cannot be kept: nothing is routed to the
// candidate, which is a declared weight, too; the move is tried again.
static bool make_due(struct rollout *r, enum plan_event event)
{
    char note[LIMIT_ROLLOUT_NOTE_BYTES + 1];
    struct err e;
    rollout_explain(r, event, note, sizeof note);
    const struct rollout_cause cause = {.event = event, .actor = STR("rollout"), .note = str_of(note)};
    if (rollout_make(r, &cause, &e) == 0)
        return true;
    if (!r->is_stuck_said)
        log_event(&r->all->c->log, LOG_LEVEL_ERROR, "rollout_stuck", LOG_INT("rollout", (int64_t)r->id),
                  LOG_Z("event", plan_event_name(event)), LOG_Z("message", e.msg));
    r->is_stuck_said = true;
    bool protects =
        event == EVENT_LOST || (event == EVENT_GUARD_FAILED && r->spec.on_fail == ON_FAIL_ROLLBACK);
    if (protects && !r->is_withheld) {
        r->is_withheld = true;
        rollout_apply(r);
    }
    return false;
}

// Who took the ground away: the alias names another version than the rollout goes by.
static bool is_superseded(const struct rollout *r, char *note, size_t size)
{
    uint32_t target = rollout_alias_target(r);
    uint32_t own = r->plan.state == PLAN_PROMOTED ? r->candidates[0] : r->baseline;
    if (target == own || !plan_allows(&r->spec, &r->plan, EVENT_SUPERSEDE))
        return false;
    if (target)
        snprintf(note, size, "%s is version %u now", r->split.alias, target);
    else
        snprintf(note, size, "the model has no version %u any more", own);
    return true;
}

static bool supersede(struct rollout *r)
{
    char note[LIMIT_ROLLOUT_NOTE_BYTES + 1];
    struct err e;
    if (!is_superseded(r, note, sizeof note))
        return false;
    const struct rollout_cause cause = {
        .event = EVENT_SUPERSEDE, .actor = STR("rollout"), .note = str_of(note)};
    return rollout_make(r, &cause, &e) == 0;
}

static void keep_counts(struct rollout *r, uint64_t now_ns)
{
    struct controller *c = r->all->c;
    struct buf counts;
    struct err e;
    if (!r->is_unkept || now_ns - r->kept_ns < ROLLOUT_TICK_NS)
        return;
    buf_init(&counts, STORED_MAX);
    rollout_counts_encode(r, false, &counts);
    // What is lost with this process is lost of both arms alike, so that nothing need be done if it fails.
    if (!counts.failed && c->registry->ops->rollout_keep(c->registry, r->id, buf_str(&counts), &e) == 0)
        r->is_unkept = false;
    r->kept_ns = now_ns;
    buf_done(&counts);
}

void rollout_look(struct rollout *r)
{
    bool again = !supersede(r);
    for (int i = 0; again && i < MOVES_AT_ONCE && !plan_is_over(&r->plan); i++) {
        uint64_t wall_ns = clock_wall_ns();
        judge(r, wall_ns);
        struct plan_facts facts = rollout_facts(r);
        enum plan_event due = plan_due(&r->spec, &r->plan, wall_ns, &r->judgement, &facts);
        struct err ignored;
        if (due == EVENT_BAKED && rollout_may_promote(r, &ignored) == ERR_CONFLICT)
            due = EVENT_FREEZE; // a person decides
        again = due != EVENT_NONE && make_due(r, due);
    }
    // What is counted by new limits and cuts is counted by them after a restart, too.
    if (rollout_gates_update(r)) {
        r->is_unkept = true;
        r->kept_ns = 0;
        keep_counts(r, loop_now_ns(r->all->c->loop));
    }
    rollout_apply(r);
    keep_counts(r, loop_now_ns(r->all->c->loop));
}

// ---- time ----

void rollouts_set_timer(struct rollouts *all, uint64_t in_ns)
{
    struct err e;
    if (loop_timer_set(all->c->loop, &all->due, loop_now_ns(all->c->loop) + in_ns, &e))
        log_event(&all->c->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("message", e.msg));
}

static bool is_in_a_rush(const struct rollout *r)
{
    enum plan_state s = r->plan.state;
    return s == PLAN_WARMING || s == PLAN_SCALING || s == PLAN_PROMOTING || s == PLAN_ROLLING_BACK ||
           r->is_withheld;
}

void rollouts_sweep(struct rollouts *all)
{
    for (struct rollout *r = all->list, *next; r; r = next) {
        next = r->next;
        if (plan_is_over(&r->plan))
            leave(r);
    }
}

// Requests of all arms, smoothed over some seconds.
static void update_rate(struct rollout *r, uint64_t now_ns)
{
    if (r->rate_ns && now_ns - r->rate_ns < ROLLOUT_TICK_NS)
        return;
    if (r->rate_ns) {
        double now = (double)(r->n_seen - r->rate_n) * 1e9 / (double)(now_ns - r->rate_ns);
        r->requests_per_second += r->requests_per_second > 0 ? 0.2 * (now - r->requests_per_second) : now;
    }
    r->rate_n = r->n_seen;
    r->rate_ns = now_ns;
}

static void on_due(struct timer *t)
{
    struct rollouts *all = (struct rollouts *)((char *)t - offsetof(struct rollouts, due));
    bool rush = false;
    for (struct rollout *r = all->list; r; r = r->next) {
        update_rate(r, loop_now_ns(all->c->loop));
        rollout_counts_settle(r);
        rollout_look(r);
        rush |= is_in_a_rush(r);
    }
    rollouts_sweep(all);
    rollout_metrics_send(all);
    if (all->list)
        rollouts_set_timer(all, rush ? ROLLOUT_RUSH_NS : ROLLOUT_TICK_NS);
}

int rollouts_take_cohorts(struct controller *c, unsigned gateway, struct str payload, struct err *e)
{
    yyjson_doc *doc = yyjson_read(payload.p, payload.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *id = yyjson_obj_get(root, "rollout");
    bool is_counted = false;
    int rc = 0;
    if (!yyjson_is_uint(id))
        rc = err_set(e, ERR_INVALID, "gateway %u sent counts that are not as agreed", gateway);
    struct rollout *r = rc ? NULL : rollout_find(c, yyjson_get_uint(id));
    if (r)
        rc = rollout_counts_take(r, gateway, root, &is_counted, e);
    yyjson_doc_free(doc);
    if (!rc && is_counted) {
        rollout_look(r);
        if (plan_is_over(&r->plan))
            rollouts_set_timer(c->rollouts, 0); // which takes it off
    }
    return rc;
}

void rollouts_gateway_lost(struct controller *c, unsigned gateway)
{
    for (struct rollout *r = c->rollouts ? c->rollouts->list : NULL; r; r = r->next)
        r->gateways[gateway].heard_ns = r->gateways[gateway].closed_until_ns = 0;
}

// ---- others change aliases and versions ----

void rollouts_check(struct controller *c)
{
    bool changed = false;
    for (struct rollout *r = c->rollouts ? c->rollouts->list : NULL; r; r = r->next)
        changed |= supersede(r);
    if (changed)
        rollouts_set_timer(c->rollouts, 0);
}

int rollouts_allow_removal(const struct controller *c, struct str model, uint32_t version, struct err *e)
{
    const struct rollout *r = rollout_of_model(c, model);
    bool needed = r && (version == 0 || version == r->baseline);
    for (uint32_t i = 0; r && i < r->spec.n_arms; i++)
        needed |= version == r->candidates[i];
    if (!needed || plan_is_over(&r->plan))
        return 0;
    err_set(e, ERR_CONFLICT, "rollout %llu of model '" STR_FMT "' is %s and needs %s",
            (unsigned long long)r->id, STR_ARG(model), plan_state_name(r->plan.state),
            version ? "this version" : "its versions");
    err_hint(e, "End it first: slipway rollout rollback %llu.", (unsigned long long)r->id);
    return ERR_CONFLICT;
}

// ---- a start ----

// Those that there was no room for at the start. One that cannot be loaded is lost, which rolls back.
static void load_versions(const struct rollout *r)
{
    for (uint32_t i = 0; i <= r->spec.n_arms; i++) {
        uint32_t version = i < r->spec.n_arms ? r->candidates[i] : r->baseline;
        struct str model = str_of(r->spec.model);
        char number[16];
        struct err ignored;
        snprintf(number, sizeof number, "%u", version);
        if (!routing_find(&r->all->c->routing, model, version))
            (void)!deploying_ask(r->all->c, model, str_of(number), &ignored);
    }
}

static int take_up(struct controller *c, const struct registry_rollout *v, struct err *e)
{
    struct rollout *r;
    int rc = rollout_load(c, v, &r, e);
    if (rc)
        return rc;
    load_versions(r);
    rollout_enter(r);
    rollout_apply(r);
    return 0;
}

// What may be otherwise at the next start is no reason to give a rollout up.
static bool is_passing(int code)
{
    return code == ERR_NOMEM || code == ERR_IO || code == ERR_NO_SPACE || code == ERR_UNAVAILABLE ||
           code == ERR_BUSY;
}

// One that this build cannot read ends, so that the model can have another: nothing is routed to its
// candidate. What is stored of it stays.
static void set_aside(struct controller *c, const struct registry_rollout *v, const struct err *why)
{
    char record[512];
    struct err e = {0};
    const struct registry_cause cause = {
        .actor = STR("rollout"), .wall_ns = clock_wall_ns(), .reason = str_of(why->msg)};
    snprintf(record, sizeof record,
             "{\"move\":%llu,\"wall_ns\":%llu,\"event\":\"set_aside\",\"actor\":\"rollout\",\"to\":"
             "\"unreadable\"}",
             (unsigned long long)v->n_moves + 1, (unsigned long long)cause.wall_ns);
    const struct registry_rollout_move m = {.number = v->n_moves + 1,
                                            .event = STR("set_aside"),
                                            .state = STR("unreadable"),
                                            .is_over = true,
                                            .record_json = str_of(record),
                                            .plan_json = v->plan_json,
                                            .counts_json = v->counts_json};
    if (c->registry->ops->rollout_move(c->registry, &cause, v->id, &m, &e))
        log_event(&c->log, LOG_LEVEL_ERROR, "rollout_stuck", LOG_INT("rollout", (int64_t)v->id),
                  LOG_Z("event", "set_aside"), LOG_Z("message", e.msg));
    else
        log_event(&c->log, LOG_LEVEL_ERROR, "rollout_set_aside", LOG_INT("rollout", (int64_t)v->id),
                  LOG_STR("model", v->model), LOG_Z("message", why->msg));
}

int rollouts_restore(struct controller *c, struct err *e)
{
    struct arena a;
    struct registry_rollout *list, v;
    size_t n;
    int rc = arena_init(&a, RESTORE_ARENA_BYTES, e);
    if (rc)
        return rc;
    rc = c->registry->ops->rollouts(c->registry, &(struct registry_rollouts_query){.not_over = true}, &a,
                                    &list, &n, e);
    for (size_t i = 0; !rc && i < n; i++) {
        struct err why;
        int found = c->registry->ops->rollout_find(c->registry, list[i].id, &a, &v, &why);
        int taken = found ? found : take_up(c, &v, &why);
        if (taken)
            log_event(&c->log, LOG_LEVEL_ERROR, "rollout_unreadable", LOG_INT("rollout", (int64_t)list[i].id),
                      LOG_STR("model", list[i].model), LOG_Z("message", why.msg));
        if (taken && !found && !is_passing(taken))
            set_aside(c, &v, &why);
    }
    arena_done(&a);
    return rc;
}

int rollouts_open(struct controller *c, struct err *e)
{
    struct rollouts *all = c->rollouts = calloc(1, sizeof *all);
    if (!all)
        return err_set(e, ERR_NOMEM, "no memory to start");
    *all = (struct rollouts){.c = c, .due.on_due = on_due};
    buf_init(&all->metrics, 1 << 20);
    return notices_open(all, e);
}

void rollouts_close(struct controller *c)
{
    struct rollouts *all = c->rollouts;
    if (!all)
        return;
    if (c->loop)
        loop_timer_clear(c->loop, &all->due);
    while (all->list) {
        struct rollout *r = all->list;
        all->list = r->next;
        rollout_free(r);
    }
    c->routing.splits = NULL;
    notices_close(all);
    buf_done(&all->metrics);
    free(all);
    c->rollouts = NULL;
}
