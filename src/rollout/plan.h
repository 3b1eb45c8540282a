// SPDX-License-Identifier: Apache-2.0
// The life of a rollout as a table of allowed moves (plan.c). A plan says what should be so: who is loaded,
// which weight is routed. Whoever carries it out does so after the move was recorded, and again after a
// restart: every action may be repeated. Pure: times and facts are parameters. docs/rollouts.md draws it.
//
//   created ─► warming ─► (shadow) ─► running ◄─► scaling ─► baking ─► promoting ─► promoted ─► settled
//                 any of these but the last three: paused, held, frozen, and back
//                 any but settled ─► rolling_back ─► rolled_back;  superseded
#pragma once

#include "rollout/request.h"

enum plan_state {
    PLAN_CREATED,
    PLAN_WARMING,      // the candidate is being loaded and checked; no traffic
    PLAN_SHADOW,       // traffic is mirrored
    PLAN_RUNNING,      // a step: its weight is routed and judged
    PLAN_SCALING,      // the step is over; capacity for what follows is made ready while its weight stays
    PLAN_BAKING,       // all traffic but the holdback
    PLAN_HELD,         // waits, because time ran out or because a person has to decide
    PLAN_PAUSED,       // waits, because a person said so
    PLAN_FROZEN,       // waits, because something is wrong
    PLAN_PROMOTING,    // the alias moves
    PLAN_PROMOTED,     // the old version is kept loaded for undo
    PLAN_SETTLED,      // the end of that
    PLAN_ROLLING_BACK, // all traffic returns to the old version
    PLAN_ROLLED_BACK,
    PLAN_SUPERSEDED, // another rollout or deployment of the model took over
    PLAN_STATES,
};

enum plan_event {
    // what happens
    EVENT_START,
    EVENT_READY,       // loaded, healthy, checked, with capacity for what follows
    EVENT_UNREADY,     // not within ready_seconds
    EVENT_SHADOW_DONE, // long enough and enough pairs, nothing failed
    EVENT_STEP_PASSED,
    EVENT_STEP_TIMEOUT,
    EVENT_GUARD_FAILED,
    EVENT_UNBALANCED, // the router does not do what it says
    EVENT_LOST,       // the candidate cannot be kept running
    EVENT_BAKED,
    EVENT_ROUTED, // all gateways have acknowledged the routes of this state
    EVENT_UNDO_OVER,
    // what a person does
    EVENT_PAUSE,
    EVENT_RESUME,
    EVENT_ADVANCE,
    EVENT_FREEZE,
    EVENT_PROMOTE,
    EVENT_ROLLBACK,
    EVENT_SUPERSEDE,
    PLAN_EVENTS,
    EVENT_NONE = PLAN_EVENTS,
};

// What is to be done on entering a state; to do it again changes nothing.
enum plan_action {
    ACTION_NONE,
    ACTION_PREPARE,  // load the candidate, or make ready the replicas for the next weight
    ACTION_MIRROR,   // begin to mirror
    ACTION_ROUTE,    // route plan_weight_bp; mirror nothing
    ACTION_ALERT,    // tell people
    ACTION_PROMOTE,  // move the alias, route all to the candidate
    ACTION_WITHDRAW, // route nothing to the candidate, move the alias back if it was moved
    ACTION_RELEASE_CANDIDATE,
    ACTION_RELEASE_BASELINE,
    PLAN_ACTIONS,
};

struct plan {
    enum plan_state state;
    enum plan_state back; // of held, paused and frozen: where resuming leads
    uint32_t step;
    uint64_t n_moves;
    uint64_t entered_ns;      // wall clock: this state
    uint64_t step_ns;         // wall clock: this step, or the shadow phase, or baking
    uint64_t started_ns;      // wall clock: the first of those; 0 before
    uint64_t requests_before; // that the canary had had before this step
};

// What a tick knows beside the judgement.
struct plan_facts {
    bool ready, lost, routed;
    uint64_t canary_requests; // assigned so far in the whole rollout; pairs while in shadow
};

// The event that is due now, or EVENT_NONE. judgement may be NULL: nothing is known.
enum plan_event plan_due(const struct rollout_spec *spec, const struct plan *p, uint64_t wall_ns,
                         const struct judgement *judgement, const struct plan_facts *facts);
// Moves the plan. ERR_CONFLICT, saying what is possible instead, when the event is not allowed in its state;
// then nothing has changed.
int plan_apply(const struct rollout_spec *spec, struct plan *p, enum plan_event event, uint64_t wall_ns,
               uint64_t canary_requests, enum plan_action *ret, struct err *e) ERR_CHECKED;
// Whether the event is allowed now.
bool plan_allows(const struct rollout_spec *spec, const struct plan *p, enum plan_event event);

// The weight of all candidate arms together that should be routed: 0, that of a declared step, or what baking
// or promotion gives.
uint32_t plan_weight_bp(const struct rollout_spec *spec, const struct plan *p);
// The weight for which capacity is needed: the next one while scaling or warming.
uint32_t plan_next_weight_bp(const struct rollout_spec *spec, const struct plan *p);
bool plan_is_over(const struct plan *p);
// Seconds since traffic first went to the candidate or was mirrored to it.
double plan_seconds(const struct plan *p, uint64_t wall_ns);

const char *plan_state_name(enum plan_state s); // "rolling_back"
const char *plan_event_name(enum plan_event v);
const char *plan_action_name(enum plan_action a);
// False when there is no such name.
bool plan_event_find(struct str name, enum plan_event *ret);
