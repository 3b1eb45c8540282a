// SPDX-License-Identifier: Apache-2.0
// How many replicas one version should have now: what the gateways counted goes in, a number comes out. Puts
// the decision and the corrections of autoscale.h together. Pure: the clock is a parameter; what is done
// with the number is in scaling.c.
#pragma once

#include "role/controller/autoscale.h"
#include "role/controller/version_settings.h"

// Sums over all gateways of what role/metrics.h counts; they only grow.
struct scaler_counts {
    uint64_t arrivals, in_flight_ns, computed_ns, n_computed;
};

struct scaler {
    struct autoscale_window in_flight, arrivals; // means in each second
    struct autoscale state;
    struct scaler_counts last;
    uint64_t sampled_ns; // of last; 0: none yet
    uint64_t active_s;   // when there was a request last
    double service_s;    // what a request costs a replica, of late; 0: not known
};

struct scaler_facts {
    const struct version_settings *settings;
    uint32_t ready, wanted; // replicas; wanted: as it was decided last
    uint64_t waiting;       // requests without a replica
    uint64_t start_ms;      // how long the last one took to be ready
};

// `wanted` replicas are there already: more than one may all be needed, so none is ended during the first
// window, when nothing is known yet.
void scaler_init(struct scaler *s, uint32_t wanted, uint64_t now_ns);
// Takes what was counted until now. Call it about every second.
void scaler_sample(struct scaler *s, const struct scaler_counts *counts, uint64_t now_ns);
// A request came that finds no replica.
void scaler_woken(struct scaler *s, uint64_t now_ns);
// Replicas wanted, min … max. Call it every AUTOSCALE_TICK_S.
uint32_t scaler_decide(struct scaler *s, const struct scaler_facts *f, uint64_t now_ns);
// Requests under way that one replica should have.
double scaler_target(const struct version_settings *v);
