// SPDX-License-Identifier: Apache-2.0
// Traces of predictions, sent to a collector by OTLP over HTTP (wire/otlp.h). Runs in the monitor, away from
// the requests. What waits is bounded; what cannot be sent is dropped and counted.
#pragma once

#include "base/limits.h"
#include "base/log.h"
#include "os/loop.h"
#include "wire/otlp.h"

#include <stdbool.h>

struct traces;

struct traces_options {
    const char *endpoint; // "http://127.0.0.1:4318"; "": nothing is exported
    uint32_t per_10000;   // requests without a traceparent
};

// Requests, three spans each: taken = exported + dropped + refused + waiting.
struct traces_counts {
    uint64_t taken;
    uint64_t exported;
    uint64_t dropped; // no room, or not sent after all attempts
    uint64_t refused; // by the collector
    uint64_t waiting;
};

// ERR_NOMEM.
int traces_new(struct loop *l, struct log *log, struct traces **ret, struct err *e) ERR_CHECKED;
// From now on; the strings are borrowed. Before the first call nothing is exported.
void traces_set(struct traces *t, struct traces_options o);
void traces_free(struct traces *t);         // NULL is fine; what waits is lost
bool traces_are_on(const struct traces *t); // there is an endpoint

// One answered request. r->trace: what its traceparent said, whose flag is is_sampled; all zero for a request
// without one, which begins a trace named after its prediction id with the probability set. Copies; never
// blocks.
void traces_take(struct traces *t, const struct otlp_request *r, bool is_sampled);
// Sends what waits, if it is time. Once a second, and after each batch of records.
void traces_tick(struct traces *t, uint64_t now_mono_ns);
struct traces_counts traces_count(const struct traces *t);
// Appends slipway_traces_total.
void traces_metrics_put(const struct traces *t, struct buf *out);
