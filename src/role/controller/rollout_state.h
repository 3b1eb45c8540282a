// SPDX-License-Identifier: Apache-2.0
// Private to the files that carry out rollouts: rollouts.c (their life and moves), rollout_apply.c (what a
// state asks for), rollout_counts.c (what the gateways counted), rollout_labels.c (what feedback says),
// rollout_keep.c (as JSON, for the store), rollout_show.c (as JSON, for people), rollout_admin.c and
// rollout_forecast.c (requests), rollout_notices.c (the webhook), rollout_metrics.c.
#pragma once

#include "role/controller/gateways.h"
#include "role/controller/request.h"
#include "role/controller/rollouts.h"
#include "rollout/entities.h"
#include "rollout/record.h"
#include "rollout/segments.h"
#include "rollout/split.h"

enum {
    ROLLOUT_TICK_NS = 1000000000,
    ROLLOUT_RUSH_NS = 100000000, // while something is waited for
    EPOCHS_UNKEPT = 16,          // a restart skips so many, which may have been routed unkept
    ROLLOUT_MINUTES = 10,        // of the stable version's latency that a limit is made of
    ROLLOUT_NAME_BYTES = LIMIT_ALIAS_BYTES + 1,
    ROLLOUT_CANDIDATES_SIZE = GUARD_ARMS_MAX * 12,
    ROLLOUT_ENTITIES = 1 << 15, // slots, of which half are used: they are stored once a second
    ROLLOUT_LABEL_BYTES = SPLIT_BUCKETS / 8,
};

// Events of a sticky key, of which a gateway tells once.
struct rollout_first {
    uint64_t entity;
    uint32_t events;
    enum arm arm;
};

// What one gateway counted in one second for one arm, until all have closed that second.
struct rollout_part {
    uint64_t opened_ns;
    uint32_t weight, arm;
    bool of_pairs;
    uint64_t requests[ARMS], events[GUARDS_MAX][ARMS];
    uint64_t ranges[SCORE_RANGES][ARMS];
    struct rollout_first *firsts; // (n_firsts) owned; NULL: none
    size_t n_firsts;
};

struct rollout_gateway {
    uint64_t closed_until_ns;
    uint64_t heard_ns; // 0: nothing yet, or it has no more
};

struct rollout {
    struct rollouts *all;
    struct rollout *next;
    uint64_t id;
    uint32_t baseline, candidates[GUARD_ARMS_MAX], attempt;
    uint64_t created_wall_ns;
    char *request_json; // owned; as it was asked for
    struct rollout_spec spec;
    struct plan plan;
    enum plan_event last_event;
    char last_note[LIMIT_ROLLOUT_NOTE_BYTES + 1];
    bool moved_alias; // promotion began, so the alias may be ours to move back

    // What was counted: while steps run, and while requests are mirrored (NULL without that phase).
    struct rollout_input *steps, *pairs;
    struct pairs *mirrored;    // what both versions said, since this process began; NULL without that phase
    struct segments *segments; // the same apart; NULL when they are not told apart
    struct entities erred, scored; // sticky keys that are counted; without slots: there are none
    uint64_t n_overridden, n_fallbacks;
    bool is_unkept;             // since it was stored last
    uint64_t kept_ns;           // when that was
    struct rollout_part *parts; // (n_parts) not counted yet
    size_t n_parts, cap_parts;
    struct rollout_gateway *gateways; // (n_gateways of the controller)
    uint32_t first_split_epoch;       // what comes of an epoch before it was mirrored; 0: none yet

    // Latency
    struct latency_gate gates[GUARDS_MAX];
    uint64_t gate_since_ns[GUARDS_MAX]; // monotonic: of the first one; 0: none
    uint64_t gate_step[GUARDS_MAX];     // step_ns of the step whose limit it is
    bool gates_due;                     // a step began: limits are to be made anew
    bool is_gate_new;                   // they were, and the gateways do not know
    struct hist recent[ROLLOUT_MINUTES];
    uint64_t recent_minute; // of the newest

    // Scores
    struct score_gate scores;        // where they are cut; no cuts: not yet
    double sample[SCORE_SAMPLE_MAX]; // (n_sample) of the stable version, that the cuts will be made of
    uint32_t n_sample;

    // Labels: buckets of sticky keys that had one, and a wrong prediction
    uint64_t deployments[GUARD_ARMS_MAX + 1]; // of the candidates and the baseline, while labels are taken
    uint8_t labelled[ROLLOUT_LABEL_BYTES], wrong[ROLLOUT_LABEL_BYTES];

    struct judgement arms[GUARD_ARMS_MAX], judgement; // of the last look
    struct routing_split split;
    bool is_withheld;   // a rollback could not be stored yet: nothing is routed to the candidate all the same
    bool is_stuck_said; // that a move cannot be stored
    bool is_routed;     // all gateways have what the state asks for
    uint32_t full_wanted;       // replicas that the model's whole traffic takes
    uint64_t n_seen;            // requests of all arms since this process began
    uint64_t rate_n, rate_ns;   // n_seen at a time before
    double requests_per_second; // of late; 0: not known
    struct publication publication;
};

struct notices;
struct rollouts {
    struct controller *c;
    struct timer due;
    struct rollout *list;
    struct notices *notices;
    struct buf metrics;            // as the gateways have it
    uint64_t n_ended[PLAN_STATES]; // since this process began, by the state it ended in
};

// ---- rollouts.c ----

// A move that somebody, or what is known, makes.
struct rollout_cause {
    enum plan_event event;
    struct str actor, note;
    struct request *request; // that asks for it, and gets the rollout as its answer; NULL: nobody does
};
// Makes the move durable, then carries it out. ERR_CONFLICT when it is not allowed; else as the registry has
// it, and nothing has changed.
int rollout_make(struct rollout *r, const struct rollout_cause *cause, struct err *e) ERR_CHECKED;
// Judges, and makes what moves are due.
void rollout_look(struct rollout *r);
struct rollout *rollout_find(const struct controller *c, uint64_t id);          // NULL: it is over, or none
struct rollout *rollout_of_model(const struct controller *c, struct str model); // not over
// A rollout without its first move, zeroed but for the given spec and its memory. ERR_NOMEM.
int rollout_new(struct controller *c, const struct rollout_spec *spec, struct str request_json,
                struct rollout **ret, struct err *e) ERR_CHECKED;
void rollout_free(struct rollout *r); // NULL is fine
// Begins it: its first move is durable.
void rollout_enter(struct rollout *r);
// What was counted in the phase that it is in.
struct rollout_input *rollout_input_of(const struct rollout *r);
enum plan_state rollout_phase(const struct plan *p); // of a state that waits, what it waits in
void rollouts_set_timer(struct rollouts *all, uint64_t in_ns);
void rollouts_sweep(struct rollouts *all); // takes those off that are over

// ---- rollout_apply.c ----

// Makes so what the state asks for. To do it again changes nothing. Publishes when the routes change.
void rollout_apply(struct rollout *r);
// What is known of its versions.
struct plan_facts rollout_facts(const struct rollout *r);
// The version that the alias names, or else answers when a request names none.
uint32_t rollout_alias_target(const struct rollout *r);
// Compares the signature of each candidate with the baseline's, whose clients it is about. ERR_CONFLICT when
// one breaks them and the request did not allow that: *changes is then the object of changes, else empty. As
// agreement_compare.
int rollout_compare(const struct rollout *r, struct buf *changes, struct err *e) ERR_CHECKED;
// Whether the alias may move to the candidate: the same again, because builds that did not compare may have
// begun it.
int rollout_may_promote(const struct rollout *r, struct err *e) ERR_CHECKED;

// ---- rollout_counts.c ----

// Takes a message; *ret_counted: something new is to be judged.
int rollout_counts_take(struct rollout *r, unsigned gateway, struct yyjson_val *message, bool *ret_counted,
                        struct err *e) ERR_CHECKED;
// Counts the seconds that all gateways have closed. Whether there were any.
bool rollout_counts_settle(struct rollout *r);
void rollout_counts_done(struct rollout *r); // frees what is not counted
// Makes the limits of a step where they are due and enough is known. Whether any changed.
bool rollout_gates_update(struct rollout *r);

// ---- rollout_keep.c ----

// As the registry has it, to go on or to be shown.
int rollout_load(struct controller *c, const struct registry_rollout *v, struct rollout **ret,
                 struct err *e) ERR_CHECKED;

void rollout_plan_encode(const struct rollout *r, const struct plan *p, struct buf *out);
// is_over: nothing will be counted any more.
void rollout_counts_encode(const struct rollout *r, bool is_over, struct buf *out);
// ERR_BAD_JSON, ERR_INVALID, ERR_NOMEM.
int rollout_plan_decode(struct str json, struct rollout *r, struct err *e) ERR_CHECKED;
// "2,3"
void rollout_candidates_encode(const struct rollout *r, char ret[ROLLOUT_CANDIDATES_SIZE]);
int rollout_counts_decode(struct str json, struct rollout *r, struct err *e) ERR_CHECKED;

// ---- rollout_show.c ----

void rollout_show(const struct rollout *r, struct buf *out);
void rollout_show_stored(const struct registry_rollout *v, struct buf *out);
// In words, why the event is due: "errors: 24 of 210 against 9 of 1890".
void rollout_explain(const struct rollout *r, enum plan_event event, char *ret, size_t size);

// ---- rollout_notices.c ----

int notices_open(struct rollouts *all, struct err *e) ERR_CHECKED;
void notices_close(struct rollouts *all);
// Tells the webhook, if there is one, of the move that was just made.
void notices_add(struct rollout *r, enum plan_state from);

// ---- rollout_metrics.c ----

// Sends the lines anew, if they changed, to all gateways.
void rollout_metrics_send(struct rollouts *all);
