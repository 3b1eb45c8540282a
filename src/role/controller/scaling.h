// SPDX-License-Identifier: Apache-2.0
// Versions whose number of replicas is a range: every second what the gateways counted is read from the
// shared memory, every other second a number is decided for each (scaler.h), the machine is shared out, and
// the supervisor is told what has changed.
#pragma once

#include "role/controller/controller.h"

// After replicas_open. Without the gateways' counters nothing is scaled. ERR_NOMEM, or the memory is not as
// agreed.
int scaling_open(struct controller *c, struct err *e) ERR_CHECKED;
void scaling_close(struct controller *c);
// Requests that the gateways have answered for the deployment; 0 without their counters.
uint64_t scaling_requests(const struct controller *c, const struct deployment *d);
// By slot the metrics_key of the version that is counted there, 0 without one; returns how many there are.
size_t scaling_slots(const struct controller *c, uint64_t ret[LIMIT_DEPLOYMENTS]);
// A gateway has requests for the deployment and no replica: one that has none gets one at once.
void scaling_want(struct controller *c, uint64_t deployment);
