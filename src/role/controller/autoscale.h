// SPDX-License-Identifier: Apache-2.0
// How many replicas a version should have, from how many requests are under way: the decision of Knative's
// pod autoscaler (observe averages over a long and a short window, panic when the short one runs away), with
// corrections for processes that take long to start, a guard by queueing theory, and a fair share of the
// machine. Pure: the clock is a parameter.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AUTOSCALE_WINDOW_MAX_S = 600, AUTOSCALE_TICK_S = 2 };

// ---- averages ----

// Means over windows of one-second buckets; zero-initialised is "nothing seen".
struct autoscale_window {
    uint64_t first_s, last_s; // of the writes; last_s + 1 is stored, 0: none
    struct {
        double sum;
        uint32_t n;
    } buckets[AUTOSCALE_WINDOW_MAX_S];
};

void autoscale_window_add(struct autoscale_window *w, uint64_t now_s, double value);
// The mean over the last window_s seconds, but not over the time before the first write. 0 without one.
double autoscale_window_mean(const struct autoscale_window *w, uint64_t now_s, uint32_t window_s);

// ---- the decision ----

struct autoscale_spec {
    double target;          // requests under way per replica
    double panic_threshold; // replicas needed over replicas there
    double up_rate, down_rate;
    uint32_t stable_s, delay_s; // delay_s: scale down only to the most that was wanted in so long
    uint32_t min, max;
};

extern const struct autoscale_spec AUTOSCALE_DEFAULTS;

struct autoscale {
    bool panicking;
    uint64_t panic_s;    // when it last was over the threshold
    uint32_t panic_most; // wanted in this panic
    // Most wanted of late, for delay_s: times and values, falling.
    uint32_t n_wanted;
    struct {
        uint64_t at_s;
        uint32_t n;
    } wanted[AUTOSCALE_WINDOW_MAX_S / AUTOSCALE_TICK_S + 1];
};

struct autoscale_load {
    double stable, panic;     // mean requests under way, long and short window
    uint32_t ready, starting; // replicas
};

// Replicas wanted now. Call it every AUTOSCALE_TICK_S. Source: knative/serving pkg/autoscaler/scaling, with
// starting replicas counted as there when panic is judged, so that they are not asked for twice.
uint32_t autoscale_decide(struct autoscale *a, const struct autoscale_spec *s, const struct autoscale_load *l,
                          uint64_t now_s);

// ---- corrections ----

// From zero: what the rate needs at utilisation rho, and what drains the backlog within drain_s.
uint32_t autoscale_from_zero(double rate_per_s, double service_s, double rho, uint64_t backlog,
                             double drain_s);
// The least number of servers at which a request waits at most `wait` service times on average (M/M/c);
// `offered` = rate × service time. At most max.
uint32_t autoscale_erlang(double offered, double wait, uint32_t max);
// How long an idle version keeps its last replica: the longer it takes to start, the longer.
uint64_t autoscale_idle_s(uint64_t start_ms);

// One version's claim on the machine.
struct autoscale_claim {
    uint32_t floor, wanted; // replicas it must have, and would like
    double cost;            // of one replica
    double weight;          // its share grows with it; over 0
    uint32_t granted;       // out
};

// Shares `budget` by weighted max-min fairness, floors first (in the order of the list). Returns whether
// anybody got less than wanted.
bool autoscale_share(struct autoscale_claim *claims, size_t n, double budget);
