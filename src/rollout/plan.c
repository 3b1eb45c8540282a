// SPDX-License-Identifier: Apache-2.0
// The table. The first row that fits state, event and guard is the move; none means that the event is
// refused. What a state routes follows from the state and its step alone (plan_weight_bp), never from how it
// was reached.
#include "rollout/plan.h"

#include "base/assert.h"
#include "rollout/split.h"

#include <stdio.h>
#include <string.h>

static const char *const STATE_NAMES[PLAN_STATES] = {
    "created", "warming",   "shadow",   "running", "scaling",      "baking",      "held",      "paused",
    "frozen",  "promoting", "promoted", "settled", "rolling_back", "rolled_back", "superseded"};
static const char *const EVENT_NAMES[PLAN_EVENTS] = {
    "start",      "ready",  "unready", "shadow_done", "step_passed", "step_timeout", "guard_failed",
    "unbalanced", "lost",   "baked",   "routed",      "undo_over",   "pause",        "resume",
    "advance",    "freeze", "promote", "rollback",    "supersede"};
static const char *const ACTION_NAMES[PLAN_ACTIONS] = {
    "none",     "prepare",           "mirror",          "route", "alert", "promote",
    "withdraw", "release_candidate", "release_baseline"};

enum guard_kind {
    ALWAYS,
    HAS_SHADOW,
    SHADOW_ONLY, // the strategy ends with the shadow phase
    BY_HAND,     // the strategy leaves the decision to a person
    MORE_STEPS,
    FAIL_ROLLS_BACK,
    TIMEOUT_HOLDS,
    TIMEOUT_ROLLS_BACK,
};

enum step_move { SAME_STEP, FIRST_STEP, NEXT_STEP, NEW_PHASE };

#define IN(state)  (1u << PLAN_##state)
#define IN_PHASES  (IN(SHADOW) | IN(RUNNING) | IN(SCALING) | IN(BAKING))
#define IN_WAITING (IN(HELD) | IN(PAUSED) | IN(FROZEN))
#define IN_ACTIVE  (IN(WARMING) | IN_PHASES | IN_WAITING)

enum { BACK = PLAN_STATES }; // as a target: plan.back

static const struct move {
    uint32_t from;
    enum plan_event event;
    enum guard_kind guard;
    int to;
    enum step_move step;
    enum plan_action action;
} MOVES[] = {
    {IN(CREATED), EVENT_START, ALWAYS, PLAN_WARMING, SAME_STEP, ACTION_PREPARE},
    {IN(WARMING), EVENT_READY, HAS_SHADOW, PLAN_SHADOW, NEW_PHASE, ACTION_MIRROR},
    {IN(WARMING), EVENT_READY, ALWAYS, PLAN_RUNNING, FIRST_STEP, ACTION_ROUTE},
    {IN(SCALING), EVENT_READY, MORE_STEPS, PLAN_RUNNING, NEXT_STEP, ACTION_ROUTE},
    {IN(SCALING), EVENT_READY, ALWAYS, PLAN_BAKING, NEW_PHASE, ACTION_ROUTE},
    // Nothing was routed yet, so nothing is held back by giving up; later a person decides.
    {IN(WARMING), EVENT_UNREADY, ALWAYS, PLAN_ROLLING_BACK, SAME_STEP, ACTION_WITHDRAW},
    {IN(SCALING), EVENT_UNREADY, ALWAYS, PLAN_HELD, SAME_STEP, ACTION_ALERT},

    {IN(SHADOW), EVENT_SHADOW_DONE, SHADOW_ONLY, PLAN_HELD, SAME_STEP, ACTION_ALERT},
    {IN(SHADOW), EVENT_SHADOW_DONE, ALWAYS, PLAN_RUNNING, FIRST_STEP, ACTION_ROUTE},
    {IN(RUNNING), EVENT_STEP_PASSED, BY_HAND, PLAN_HELD, SAME_STEP, ACTION_ALERT},
    {IN(RUNNING), EVENT_STEP_PASSED, ALWAYS, PLAN_SCALING, SAME_STEP, ACTION_PREPARE},
    {IN(HELD), EVENT_STEP_PASSED, ALWAYS, PLAN_SCALING, SAME_STEP, ACTION_PREPARE},
    {IN(SHADOW) | IN(RUNNING), EVENT_STEP_TIMEOUT, BY_HAND, PLAN_HELD, SAME_STEP, ACTION_ALERT},
    {IN(SHADOW) | IN(RUNNING), EVENT_STEP_TIMEOUT, TIMEOUT_HOLDS, PLAN_HELD, SAME_STEP, ACTION_ALERT},
    {IN(SHADOW) | IN(RUNNING), EVENT_STEP_TIMEOUT, TIMEOUT_ROLLS_BACK, PLAN_ROLLING_BACK, SAME_STEP,
     ACTION_WITHDRAW},
    {IN(SHADOW), EVENT_STEP_TIMEOUT, ALWAYS, PLAN_RUNNING, FIRST_STEP, ACTION_ROUTE},
    {IN(RUNNING), EVENT_STEP_TIMEOUT, ALWAYS, PLAN_SCALING, SAME_STEP, ACTION_PREPARE},
    {IN(BAKING), EVENT_BAKED, ALWAYS, PLAN_PROMOTING, SAME_STEP, ACTION_PROMOTE},

    {IN_PHASES | IN_WAITING, EVENT_GUARD_FAILED, FAIL_ROLLS_BACK, PLAN_ROLLING_BACK, SAME_STEP,
     ACTION_WITHDRAW},
    {IN_PHASES | IN(HELD) | IN(PAUSED), EVENT_GUARD_FAILED, ALWAYS, PLAN_FROZEN, SAME_STEP, ACTION_ALERT},
    {IN_PHASES | IN(HELD) | IN(PAUSED), EVENT_UNBALANCED, ALWAYS, PLAN_FROZEN, SAME_STEP, ACTION_ALERT},
    {IN_ACTIVE | IN(PROMOTING) | IN(PROMOTED), EVENT_LOST, ALWAYS, PLAN_ROLLING_BACK, SAME_STEP,
     ACTION_WITHDRAW},

    {IN(PROMOTING), EVENT_ROUTED, ALWAYS, PLAN_PROMOTED, SAME_STEP, ACTION_NONE},
    {IN(PROMOTED), EVENT_UNDO_OVER, ALWAYS, PLAN_SETTLED, SAME_STEP, ACTION_RELEASE_BASELINE},
    {IN(ROLLING_BACK), EVENT_ROUTED, ALWAYS, PLAN_ROLLED_BACK, SAME_STEP, ACTION_RELEASE_CANDIDATE},

    {IN(WARMING) | IN_PHASES | IN(HELD), EVENT_PAUSE, ALWAYS, PLAN_PAUSED, SAME_STEP, ACTION_NONE},
    {IN_WAITING, EVENT_RESUME, ALWAYS, BACK, NEW_PHASE, ACTION_ROUTE},
    {IN(SHADOW), EVENT_ADVANCE, ALWAYS, PLAN_RUNNING, FIRST_STEP, ACTION_ROUTE},
    {IN(RUNNING) | IN(HELD), EVENT_ADVANCE, ALWAYS, PLAN_SCALING, SAME_STEP, ACTION_PREPARE},
    {IN(BAKING), EVENT_ADVANCE, ALWAYS, PLAN_PROMOTING, SAME_STEP, ACTION_PROMOTE},
    {IN(WARMING) | IN_PHASES | IN(HELD) | IN(PAUSED), EVENT_FREEZE, ALWAYS, PLAN_FROZEN, SAME_STEP,
     ACTION_ALERT},
    {IN_PHASES | IN_WAITING, EVENT_PROMOTE, ALWAYS, PLAN_PROMOTING, SAME_STEP, ACTION_PROMOTE},
    {IN(CREATED) | IN_ACTIVE | IN(PROMOTING) | IN(PROMOTED), EVENT_ROLLBACK, ALWAYS, PLAN_ROLLING_BACK,
     SAME_STEP, ACTION_WITHDRAW},
    {IN(PROMOTED), EVENT_SUPERSEDE, ALWAYS, PLAN_SETTLED, SAME_STEP, ACTION_RELEASE_BASELINE},
    {IN(CREATED) | IN_ACTIVE, EVENT_SUPERSEDE, ALWAYS, PLAN_SUPERSEDED, SAME_STEP, ACTION_WITHDRAW},
};

static bool is_waiting(enum plan_state s)
{
    return IN_WAITING >> s & 1;
}

// Where the traffic is: in the waiting states, that of the state before.
static enum plan_state phase_of(const struct plan *p)
{
    return is_waiting(p->state) ? p->back : p->state;
}

static bool guard_holds(const struct rollout_spec *spec, const struct plan *p, enum guard_kind guard)
{
    switch (guard) {
    case ALWAYS:
        return true;
    case HAS_SHADOW:
        return spec->has_shadow;
    case SHADOW_ONLY:
        return spec->strategy == STRATEGY_SHADOW;
    case BY_HAND:
        return spec->strategy != STRATEGY_CANARY;
    case MORE_STEPS:
        return p->step + 1 < spec->n_steps;
    case FAIL_ROLLS_BACK:
        return spec->on_fail == ON_FAIL_ROLLBACK;
    case TIMEOUT_HOLDS:
        return spec->on_timeout == ON_TIMEOUT_HOLD;
    case TIMEOUT_ROLLS_BACK:
        return spec->on_timeout == ON_TIMEOUT_ROLLBACK;
    }
    return false;
}

// What no row can say: held after the shadow phase there is no step to go on from; held because the replicas
// of the next weight did not come, only a person goes on; and a rollout that only mirrors, or whose arms a
// person chooses from, has no next weight.
static bool is_sensible(const struct rollout_spec *spec, const struct plan *p, enum plan_event event)
{
    if (p->state == PLAN_HELD && event == EVENT_STEP_PASSED && p->back != PLAN_RUNNING)
        return false;
    if (p->state == PLAN_HELD && event == EVENT_ADVANCE && p->back != PLAN_RUNNING && p->back != PLAN_SCALING)
        return false;
    if (event == EVENT_ADVANCE && spec->strategy != STRATEGY_CANARY)
        return false;
    if (event == EVENT_PROMOTE) // one candidate, and it is loaded
        return spec->n_arms == 1 && phase_of(p) != PLAN_WARMING;
    return !(p->state == PLAN_HELD && event == EVENT_STEP_PASSED && spec->strategy != STRATEGY_CANARY);
}

static const struct move *find_move(const struct rollout_spec *spec, const struct plan *p,
                                    enum plan_event event)
{
    for (size_t i = 0; i < sizeof MOVES / sizeof MOVES[0]; i++)
        if (MOVES[i].from >> p->state & 1 && MOVES[i].event == event && guard_holds(spec, p, MOVES[i].guard))
            return is_sensible(spec, p, event) ? &MOVES[i] : NULL;
    return NULL;
}

bool plan_allows(const struct rollout_spec *spec, const struct plan *p, enum plan_event event)
{
    return find_move(spec, p, event) != NULL;
}

static int refuse(const struct rollout_spec *spec, const struct plan *p, enum plan_event event, struct err *e)
{
    char list[ERR_HINT_MAX] = "";
    size_t used = 0;
    for (enum plan_event v = EVENT_PAUSE; v < EVENT_SUPERSEDE && used < sizeof list; v++)
        if (plan_allows(spec, p, v))
            used +=
                (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", EVENT_NAMES[v]);
    err_set(e, ERR_CONFLICT, "the rollout is %s, there is no %s from there", STATE_NAMES[p->state],
            EVENT_NAMES[event]);
    if (used)
        err_hint(e, "Possible now: %s.", list);
    return ERR_CONFLICT;
}

static void check_invariants(const struct rollout_spec *spec, const struct plan *p)
{
    uint32_t weight = plan_weight_bp(spec, p);
    bool declared = weight == 0 || weight == SPLIT_BUCKETS || weight == SPLIT_BUCKETS - spec->holdback_bp;
    for (uint32_t i = 0; i < spec->n_steps; i++)
        declared |= weight == spec->steps[i].weight_bp;
    ASSERT(p->step < spec->n_steps);
    ASSERT(declared);
    ASSERT(!is_waiting(p->state) || (IN(WARMING) | IN_PHASES) >> p->back & 1);
}

int plan_apply(const struct rollout_spec *spec, struct plan *p, enum plan_event event, uint64_t wall_ns,
               uint64_t canary_requests, enum plan_action *ret, struct err *e)
{
    const struct move *m = find_move(spec, p, event);
    if (!m)
        return refuse(spec, p, event, e);
    enum plan_state from = p->state;
    p->state = m->to == BACK ? p->back : (enum plan_state)m->to;
    if (is_waiting(p->state) && !is_waiting(from))
        p->back = from;
    if (m->step == FIRST_STEP)
        p->step = 0;
    else if (m->step == NEXT_STEP)
        p->step++;
    p->entered_ns = wall_ns;
    if (m->step != SAME_STEP) {
        p->step_ns = wall_ns;
        // What was counted in the shadow phase were pairs.
        p->requests_before = from == PLAN_SHADOW ? 0 : canary_requests;
        if (p->started_ns == 0 && p->state != PLAN_WARMING)
            p->started_ns = wall_ns;
    }
    // Back in the shadow phase, or still warming, nothing is routed anew.
    *ret = m->to != BACK              ? m->action
           : p->state == PLAN_SHADOW  ? ACTION_MIRROR
           : p->state == PLAN_WARMING ? ACTION_PREPARE
           : p->state == PLAN_SCALING ? ACTION_PREPARE
                                      : ACTION_ROUTE;
    p->n_moves++;
    check_invariants(spec, p);
    return 0;
}

// The wall clock may be set back: then no time has passed.
static double since(uint64_t then_ns, uint64_t wall_ns)
{
    return wall_ns > then_ns ? (double)(wall_ns - then_ns) / 1e9 : 0;
}

double plan_seconds(const struct plan *p, uint64_t wall_ns)
{
    return p->started_ns ? since(p->started_ns, wall_ns) : 0;
}

static enum plan_event step_due(const struct rollout_spec *spec, const struct plan *p, uint64_t wall_ns,
                                const struct judgement *j, const struct plan_facts *facts)
{
    bool shadow = phase_of(p) == PLAN_SHADOW;
    const struct rollout_step *step = shadow ? &spec->shadow : &spec->steps[p->step];
    double seconds = since(p->step_ns, wall_ns);
    uint64_t requests = facts->canary_requests - p->requests_before;
    bool enough = seconds >= step->min_seconds && requests >= step->min_requests &&
                  facts->canary_requests >= p->requests_before;
    bool passed =
        j && (j->verdict == VERDICT_PASS || (j->verdict == VERDICT_UNDECIDED && step->advance_undecided));
    if (enough && passed)
        return shadow ? EVENT_SHADOW_DONE : EVENT_STEP_PASSED;
    return p->state != PLAN_HELD && seconds >= step->max_seconds ? EVENT_STEP_TIMEOUT : EVENT_NONE;
}

static enum plan_event phase_due(const struct rollout_spec *spec, const struct plan *p, uint64_t wall_ns,
                                 const struct judgement *j, const struct plan_facts *facts)
{
    switch (p->state) {
    case PLAN_WARMING:
    case PLAN_SCALING:
        if (facts->ready)
            return EVENT_READY;
        return since(p->entered_ns, wall_ns) >= spec->ready_seconds ? EVENT_UNREADY : EVENT_NONE;
    case PLAN_SHADOW:
    case PLAN_RUNNING:
    case PLAN_HELD:
        return step_due(spec, p, wall_ns, j, facts);
    case PLAN_BAKING:
        return since(p->step_ns, wall_ns) >= spec->bake_seconds ? EVENT_BAKED : EVENT_NONE;
    case PLAN_PROMOTING:
    case PLAN_ROLLING_BACK:
        return facts->routed ? EVENT_ROUTED : EVENT_NONE;
    case PLAN_PROMOTED:
        return since(p->entered_ns, wall_ns) >= spec->undo_seconds ? EVENT_UNDO_OVER : EVENT_NONE;
    default:
        return EVENT_NONE;
    }
}

enum plan_event plan_due(const struct rollout_spec *spec, const struct plan *p, uint64_t wall_ns,
                         const struct judgement *judgement, const struct plan_facts *facts)
{
    enum plan_event due = phase_due(spec, p, wall_ns, judgement, facts);
    // What protects comes before what goes on.
    if (facts->lost && plan_allows(spec, p, EVENT_LOST))
        due = EVENT_LOST;
    else if (judgement && judgement->verdict == VERDICT_FAIL && plan_allows(spec, p, EVENT_GUARD_FAILED))
        due = EVENT_GUARD_FAILED;
    else if (judgement && judgement->unbalanced && plan_allows(spec, p, EVENT_UNBALANCED))
        due = EVENT_UNBALANCED;
    return due != EVENT_NONE && plan_allows(spec, p, due) ? due : EVENT_NONE;
}

static uint32_t weight_in(const struct rollout_spec *spec, enum plan_state phase, uint32_t step)
{
    switch (phase) {
    case PLAN_RUNNING:
    case PLAN_SCALING:
        return spec->steps[step].weight_bp;
    case PLAN_BAKING:
        return SPLIT_BUCKETS - spec->holdback_bp;
    case PLAN_PROMOTING:
    case PLAN_PROMOTED:
    case PLAN_SETTLED:
        return SPLIT_BUCKETS;
    default:
        return 0;
    }
}

uint32_t plan_weight_bp(const struct rollout_spec *spec, const struct plan *p)
{
    return weight_in(spec, phase_of(p), p->step);
}

uint32_t plan_next_weight_bp(const struct rollout_spec *spec, const struct plan *p)
{
    enum plan_state phase = phase_of(p);
    if (phase == PLAN_WARMING || phase == PLAN_SHADOW)
        return spec->steps[0].weight_bp;
    if (phase == PLAN_SCALING && p->step + 1 < spec->n_steps)
        return spec->steps[p->step + 1].weight_bp;
    return phase == PLAN_SCALING ? SPLIT_BUCKETS - spec->holdback_bp : plan_weight_bp(spec, p);
}

bool plan_is_over(const struct plan *p)
{
    return p->state == PLAN_SETTLED || p->state == PLAN_ROLLED_BACK || p->state == PLAN_SUPERSEDED;
}

const char *plan_state_name(enum plan_state s)
{
    return STATE_NAMES[s];
}

const char *plan_event_name(enum plan_event v)
{
    return v < PLAN_EVENTS ? EVENT_NAMES[v] : "none";
}

const char *plan_action_name(enum plan_action a)
{
    return ACTION_NAMES[a];
}

bool plan_event_find(struct str name, enum plan_event *ret)
{
    for (enum plan_event v = 0; v < PLAN_EVENTS; v++)
        if (str_eq(name, str_of(EVENT_NAMES[v]))) {
            *ret = v;
            return true;
        }
    return false;
}
