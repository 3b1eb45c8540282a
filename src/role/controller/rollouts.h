// SPDX-License-Identifier: Apache-2.0
// Rollouts of this server: what is kept of them, what the gateways counted, and the moves that follow
// (src/rollout decides which). A move is durable in the registry before anything of it is carried out, and
// what a state asks for is carried out anew at every look, so that it does not matter where a process died.
#pragma once

#include "role/controller/controller.h"

// After housekeeping_open. ERR_NOMEM.
int rollouts_open(struct controller *c, struct err *e) ERR_CHECKED;
void rollouts_close(struct controller *c);
// Takes up what is not over; aliases and versions are known. One that cannot be read is said in the log,
// routes nothing and is set aside: its model can have another.
int rollouts_restore(struct controller *c, struct err *e) ERR_CHECKED;

// IPC_COHORTS of a gateway. ERR_INVALID when it is not as agreed; of a rollout that is not known any more is
// fine.
int rollouts_take_cohorts(struct controller *c, unsigned gateway, struct str payload,
                          struct err *e) ERR_CHECKED;
// IPC_LABELS of the monitor; likewise.
int rollouts_take_labels(struct controller *c, struct str payload, struct err *e) ERR_CHECKED;
// The gateway's connection is gone: nobody waits for its counts.
void rollouts_gateway_lost(struct controller *c, unsigned gateway);
// Lines for /metrics, to a gateway that has just connected.
void rollouts_gateway_new(struct controller *c, unsigned gateway);

// An alias was moved or versions came or went, and it is about to be published: a rollout whose ground that
// takes away ends.
void rollouts_check(struct controller *c);
// ERR_CONFLICT while a rollout that is not over needs the version (0: any of the model).
int rollouts_allow_removal(const struct controller *c, struct str model, uint32_t version,
                           struct err *e) ERR_CHECKED;
