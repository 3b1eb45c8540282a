// SPDX-License-Identifier: Apache-2.0
// Before a rollout starts: how many requests it takes to notice a given harm and to promote a good version,
// by playing it many times with one guardrail and the real judge. The same seed gives the same answer. Work
// is bounded: PLANNER_RUNS_MAX runs of at most a few hundred looks for each step; looks are 3 % of the
// requests apart, so answers are late by up to that.
#pragma once

#include "rollout/request.h"

enum { PLANNER_RUNS_MAX = 1000 };

struct planner_question {
    const struct rollout_spec *spec;
    uint32_t guard;             // which of the spec's guardrails; the others are taken to pass at once
    double base_rate;           // of its event in the stable version, (0, 0.5]; for latency 1 - q
    double harm;                // how many times that the bad version has; above 1
    double requests_per_second; // of the model, all arms; above 0
    uint64_t seed;
    uint32_t runs; // 1 … PLANNER_RUNS_MAX; 200 give N50 to about 10 % and N95 to about 15 %
};

// Requests of the model until it happened; HUGE_VAL where too few runs got there.
struct planner_quantiles {
    double share; // of the runs where it happened at all
    double n50, n95;
};

struct planner_step {
    uint32_t weight_bp;
    double requests_max;                   // within max_seconds at this traffic
    struct planner_quantiles detect, pass; // with this step alone, from its start
    bool never_detects, never_passes;      // fewer than one run in twenty did
};

struct planner_answer {
    struct planner_quantiles detect;  // the bad version fails, over all steps as planned
    struct planner_quantiles promote; // an equal version gets to baking
    double exposed50, exposed95;      // canary requests that the bad version had by then
    double held;                      // share of equal versions that time out instead
    uint32_t n_steps;
    struct planner_step steps[ROLLOUT_STEPS_MAX];
};

// ERR_OUT_OF_RANGE, naming field and value; ERR_NOMEM.
int planner_ask(const struct planner_question *q, struct planner_answer *ret, struct err *e) ERR_CHECKED;
