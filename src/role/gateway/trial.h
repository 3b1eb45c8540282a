// SPDX-License-Identifier: Apache-2.0
// A rollout as this gateway sees it: gives each request its arm, and counts what becomes of it by its second
// of arrival, for the controller (IPC_COHORTS). Lives from table to table, until the last of its requests has
// ended.
#pragma once

#include "api/routes.h"
#include "role/gateway/conn.h"
#include "role/gateway/split.h"
#include "rollout/segments.h"
#include "tensor/dtype.h"

struct deployment;
struct mirror;
struct trial;

// One request's part in a rollout.
struct trial_part {
    struct trial_part *next; // of those that are free
    struct trial *trial;
    struct split_choice choice;
    uint32_t weight_bp;   // of its arm when it was chosen
    bool failed, invalid; // known already
    bool is_fallback;     // its arm failed, the baseline answers
    double score;         // of its first row, where somebody asks for it; NaN: none
    uint64_t start_ns;
    uint32_t counted;                 // the arms in whose cohorts it is
    uint64_t cohorts[GUARD_ARMS_MAX]; //
    struct mirror *mirror;            // what a shadow will be asked (shadow.c); NULL: nothing
    uint32_t segment;                 // a place, where pairs are told apart
};

struct trial_outcome {
    bool failed, invalid;
    bool is_gone;    // nobody knows: the client left
    uint64_t end_ns; // 0: now
};

// Gives a request its arm, when its model is divided and it names no version: *d, the baseline, becomes the
// arm's deployment and *ret its part, which ends with trial_end; else both stay as they are. ERR_INVALID when
// it asks for an arm that is not there; ERR_NOMEM.
int trial_begin(struct conn *c, const struct http1_request *req, const struct route_match *m, struct str body,
                struct deployment **d, struct trial_part **ret, struct err *e) ERR_CHECKED;
// Whether values that a request got are finite and within the range. dtype: of values (n).
bool trial_is_sound(const struct trial_part *p, enum dtype dtype, const void *values, size_t n);
// What its arm answered to its first row: values (n). Only where a guardrail looks at scores; of a failure
// that the baseline answers nothing is taken. NULL is fine.
void trial_scored(struct trial_part *p, enum dtype dtype, const void *values, size_t n);
// The request is refused with the error that is answered next. NULL is fine.
void trial_refused(struct conn *c, struct trial_part *p);
// The request is answered, or its client left. NULL is fine.
void trial_end(struct trial_part *p, const struct trial_outcome *o);
// Whether the baseline shall answer what the request's arm failed: then *ret is it, and the failure is noted.
// False for NULL, without a shield, and for requests of the baseline itself.
// is_error: it has no outputs; else they are not sound.
bool trial_shield(struct trial_part *p, bool is_error, struct deployment **ret);
// Whether a shield stands before its arm.
bool trial_is_shielded(const struct trial_part *p);
// Whether it is one of the baseline's, and so in no arm.
bool trial_is_of_baseline(const struct trial_part *p);
// The name of its arm, for the answer; empty for NULL. Lives as long as the part.
struct str trial_arm(const struct trial_part *p);

// ---- for shadow.c

struct trial_pair {
    bool failed[ARMS];
    const struct pairs_answer *answers[ARMS]; // of those that did not fail
    uint64_t entity;                          // of the request's sticky key; 0: none
};

// Counts a pair for the guards; trial_pairs and trial_segment have the rest.
void trial_pair(struct trial *t, const struct trial_pair *pair);
struct pairs *trial_pairs(struct trial *t);
// Those of a place; NULL when they are not told apart.
struct pairs *trial_segment(struct trial *t, uint32_t place);
// A trial that is pinned is not freed.
void trial_pin(struct trial *t);
void trial_unpin(struct trial *t);
struct gateway *trial_gateway(const struct trial *t);
uint32_t trial_budget_percent(const struct trial *t);
bool trial_is_running(const struct trial *t); // the table has it

// ---- for control.c and gateway.c

// After the table was swapped: rollouts begin, change and end.
void trials_routed(struct gateway *g);
// Sends what can be sent: every GATEWAY_SWEEP_MS, and of itself more often while there are trials.
void trials_report(struct gateway *g);
void trials_free(struct gateway *g);
