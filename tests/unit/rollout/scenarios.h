// SPDX-License-Identifier: Apache-2.0
// Rollouts simulated over the real judge: what docs/rollouts.md promises, as numbers. The unit tests run a
// few of each, tests/slow/rollout_statistics all of them.
#pragma once

#include <stdint.h>

enum { SCENARIO_RUNS_MAX = 20000 };

// How many of the runs were stopped by a failed guardrail, and after how many requests: quantiles over all
// runs, where a run that was not stopped counts as the most.
struct outcome {
    int runs, stopped;
    double n50, n95, n99, most;
};

// No regression, four guardrails, weights 1/5/10/25/50, 760,000 requests, judged every 1,000. With bursts the
// error rate is 20 times as high for a twentieth of the time, and the weight jumps with what was seen.
struct outcome scenario_no_regression(int runs, uint64_t seed, int bursts);
// Error rates of canary and stable at weight w, alpha / n_guards, judged after every error.
struct outcome scenario_errors(int runs, uint64_t seed, double canary, double stable, double w, int n_guards,
                               double most);
// Lognormal latencies (sigma 0.5), the canary's times `slower`; guardrail q = 0.95 with a tolerance, w = 10
// %.
struct outcome scenario_latency(int runs, uint64_t seed, double slower, double tolerance, double most);
// 2,000 entities of whom 2 % always fail, in both arms: every error counts, the first of each entity at each
// of 8 gateways, or the first of each.
enum sticky_rule { STICKY_EVERY, STICKY_BY_GATEWAY, STICKY_FIRST };
struct outcome scenario_sticky(int runs, uint64_t seed, enum sticky_rule rule);
// Equal error rates at 100 requests a second; stable errors come after 30 s, canary errors at once.
struct outcome scenario_order(int runs, uint64_t seed, int by_cohort);
// Executions of 16 requests fail as a whole, equally often in both arms.
struct outcome scenario_batches(int runs, uint64_t seed, int by_execution);
// Shadow pairs where one alone is wrong: shares of the canary and of the stable version.
struct outcome scenario_pairs(int runs, uint64_t seed, double canary, double stable, double most);
