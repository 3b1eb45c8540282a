// SPDX-License-Identifier: Apache-2.0
// What trial.c and trial_report.c share.
#pragma once

#include "role/gateway/trial.h"
#include "rollout/cohorts.h"
#include "rollout/entities.h"

enum {
    TRIAL_MS_NS = 1000000,
    TRIAL_COHORT_NS = 100000000, // as long again: a verdict waits for the end of a cohort
    TRIAL_PAIR_MARKS = 1024,     // in one report
};

struct trial {
    struct trial *next;
    struct gateway *g;
    const struct split *split;   // in the table; NULL: it ends
    struct deployment *baseline; // referenced
    bool shield, is_closing;
    bool is_found; // it was there when this gateway came: keys may have been drawn before
    uint64_t rollout;
    uint32_t epoch, n_arms, n_parts;
    char names[GUARD_ARMS_MAX + 1][LIMIT_ALIAS_BYTES + 1]; // the last: the baseline's
    uint32_t n_guards;
    enum guard_metric guards[GUARDS_MAX];
    uint32_t on_errors, on_invalid; // guards, as bits
    uint32_t n_gates;
    uint32_t gated[GUARDS_MAX]; // (n_gates) guards on latency whose limits are known, and these
    struct latency_gate gates[GUARDS_MAX];
    double range_lo, range_hi;
    struct cohorts *cohorts[GUARD_ARMS_MAX];
    struct entities erred, seen, scored; // scored: only where there is a guard on scores
    bool watches_scores;
    struct score_gate scores;
    uint64_t cuts_since_ns; // requests that came before are not counted by them
    double *sample;         // (SCORE_SAMPLE_MAX) what the baseline answered, while there are no cuts
    uint32_t n_sample;
    struct trial_part *parts; // free ones
    uint32_t n_free;
    uint64_t reported_ns;
    // Since the last report. What came under the split that is followed now is in `fresh`, until
    // trial_settle.
    struct trial_fresh {
        uint64_t assigned[ARMS], drawn[ARMS];
    } fresh[GUARD_ARMS_MAX];
    uint32_t pair_weights[GUARD_ARMS_MAX]; // of that split
    struct counts assigned[GUARD_ARMS_MAX], drawn[GUARD_ARMS_MAX];
    uint64_t overridden, fallbacks;
    struct hist stable;
    struct pairs pairs;
    struct segments *segments; // owned; NULL: they are not told apart. Places stay from report to report
    struct cohort_tick pair_tick;
    struct cohort_mark *pair_marks; // (TRIAL_PAIR_MARKS) owned; NULL without a key
    uint32_t n_pair_marks;
};

// Adds to the counts by weight what is fresh.
void trial_settle(struct trial *t);
// Tells the controller what came since the last message. Whether nothing more will come.
bool trial_report(struct trial *t, uint64_t now);
