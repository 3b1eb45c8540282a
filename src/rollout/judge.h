// SPDX-License-Identifier: Apache-2.0
// From counts to verdicts. Each guardrail asks two questions of one metric: is the canary shown to be worse
// than it may be (fail), is it shown to be good enough (pass)? Until one is shown it is undecided, and so is
// a metric without data. The error probabilities hold for the whole rollout: a version that is no worse than
// allowed fails with probability alpha_fail at most, over all guardrails and looks together.
#pragma once

#include "rollout/counts.h"
#include "rollout/scores.h"

#include <stdbool.h>
#include <stdint.h>

enum guard_metric {
    GUARD_ERRORS,           // requests that failed
    GUARD_LATENCY,          // requests slower than the frozen quantile (latency.h)
    GUARD_INVALID_OUTPUT,   // NaN, infinite, or out of the declared range
    GUARD_WRONG_PREDICTION, // by feedback; in shadow, pairs where one alone was wrong
    GUARD_DISTRIBUTION,     // scores in each range (scores.h), more or fewer of them; one guardrail at most
    GUARD_METRICS,
};

enum { GUARDS_MAX = 8, GUARD_ARMS_MAX = 8 };

struct guard {
    enum guard_metric metric;
    double fail_ratio; // fails when its rate is shown to be more than this many times the stable version's
    double
        pass_ratio; // passes when it is shown to be less than this many times that; above fail_ratio or equal
    double slo;     // passes also when its own rate is shown to be below this; 0: none
    double q, tolerance; // of latency
    bool has_bounds;
    double lo, hi; // of sound outputs, where it has bounds
};

struct judge_rules {
    double alpha_fail;     // of all guardrails and arms together
    double alpha_pass;     // of each guardrail
    double alpha_ratio;    // of the check of the sample ratio
    double min_effect_abs; // a canary whose rate is higher by less than this does not fail
    uint64_t min_events;   // nor one with fewer events than this, of both arms
    uint32_t min_seconds;  // nor before it has run this long
    uint32_t n_arms;       // candidates; each is compared with the baseline
    uint32_t n_guards;
    struct guard guards[GUARDS_MAX];
};

// What is known of one metric of one candidate.
struct tally {
    struct counts
        requests; // that could have had the event: executions, labels or pairs where those are counted
    struct counts events;
};

enum verdict { VERDICT_UNDECIDED, VERDICT_PASS, VERDICT_FAIL };

enum verdict_reason {
    REASON_NO_DATA,
    REASON_NOT_SHOWN,     // neither worse nor good enough
    REASON_WORSE,         // fail
    REASON_FEW_EVENTS,    // worse, but for min_events
    REASON_SMALL_EFFECT,  // worse, but for min_effect_abs
    REASON_TOO_EARLY,     // worse, but for min_seconds
    REASON_RATIO_BELOW,   // pass: the ratio is shown to be below pass_ratio
    REASON_RATE_BELOW,    // pass: the rate is shown to be below the SLO
    REASON_LABELS_UNEVEN, // labels came for one arm more than for the other: nothing may be concluded
    REASONS,
};

struct finding {
    enum verdict verdict;
    enum verdict_reason reason;
    uint64_t requests[ARMS], events[ARMS];
    double log_fail, fail_at;         // evidence for "worse", and where it suffices
    double log_pass, pass_at;         // evidence for "good enough", and where it suffices
    double log_rate;                  // evidence for a rate below the SLO; 0 without one
    double ratio, ratio_lo, ratio_hi; // by judge_estimate; until then NaN and [0, infinity]
    uint32_t range; // of a distribution the one that differs most: events and ratio are of it
};

struct judgement {
    enum verdict verdict; // fail if any fails, pass if all pass
    uint32_t n_findings;
    struct finding findings[GUARDS_MAX];
    double log_unbalanced, unbalanced_at;
    bool unbalanced; // the router does not do what it says: nothing else is to be believed
};

void judge_guard(const struct judge_rules *rules, const struct guard *guard, const struct tally *tally,
                 double seconds, struct finding *ret);
// The guardrail on a distribution: ranges are requests by the range of their score. It fails when the share
// of any range is shown to be more than fail_ratio times the stable version's, or less than one in
// fail_ratio; it passes when those of all ranges are shown to be within pass_ratio.
void judge_ranges(const struct judge_rules *rules, const struct guard *guard,
                  const struct counts ranges[SCORE_RANGES], double seconds, struct finding *ret);
// One candidate. tallies: one for each guardrail; ranges: for one on a distribution, else NULL is fine;
// drawn: independent draws of the router, which are checked against the weights: requests without a key, and
// each key once.
void judge_all(const struct judge_rules *rules, const struct tally *tallies, const struct counts *ranges,
               const struct counts *drawn, double seconds, struct judgement *ret);

// Adds the estimates of the ratios, for people to read: they cost more than the verdicts.
void judge_estimate(const struct judge_rules *rules, const struct tally *tallies, const struct counts *ranges,
                    struct judgement *j);
// Where the guardrail on a distribution is; n_guards: there is none.
uint32_t judge_distribution_at(const struct judge_rules *rules);

const char *guard_metric_name(enum guard_metric m); // "errors"
const char *verdict_name(enum verdict v);           // "undecided"
const char *verdict_reason_name(enum verdict_reason r);
