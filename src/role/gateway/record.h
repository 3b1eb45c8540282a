// SPDX-License-Identifier: Apache-2.0
// One record per prediction: the counters of /metrics, and a log line where request logging is on.
#pragma once

#include "role/gateway/call.h"
#include "role/gateway/predict.h"
#include "role/gateway/table.h"

// Predictions of one deployment that were computed together and answered: n_requests with batch_rows rows in
// all; start/end: read of the requests, write of the answers.
void record_batch(const struct deployment *d, uint32_t n_requests, uint32_t batch_rows, uint64_t start_ns,
                  uint64_t end_ns);
// The log line of one of them, where request logging is on.
void record_answer(struct gateway *g, const struct pending *p, uint64_t start_ns, uint64_t end_ns);
// An answered call; r: what its replica says of it.
void record_call(struct gateway *g, const struct call *k, const struct link_response *r, uint64_t end_ns);
// A request to a deployment that was answered with an error.
// Values that broke a rule of the signature.
struct rule_counts;
void record_rules(struct deployment *d, const struct rule_counts *counts);
void record_refused(struct conn *c, struct deployment *d, int status);
