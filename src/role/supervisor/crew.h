// SPDX-License-Identifier: Apache-2.0
// All deployments that run in replicas: their processes, sockets and rows on the board. What is to be done
// with each is decided in group.c.
#pragma once

#include "role/supervision.h"

#include <stdbool.h>
#include <stdint.h>

struct crew;
struct handover;
struct supervisor;

// Starts without any deployment. ERR_NOMEM.
int crew_new(struct supervisor *s, struct crew **ret, struct err *e) ERR_CHECKED;
void crew_free(struct crew *c); // ends what still runs; NULL is fine

// What the controller or a gateway said; descriptors of m are taken. ERR_INVALID: not as agreed.
int crew_message(struct crew *c, struct supervision_message *m, struct err *e) ERR_CHECKED;
// A new controller has begun: it will declare everything again.
void crew_controller_started(struct crew *c);
// Gateway `index` has begun: it gets a link to each replica that is ready.
void crew_gateway_started(struct crew *c, unsigned index);

// The settings have changed.
void crew_reload(struct crew *c);
// Puts the replicas that serve into h, and takes them from there: those go on as they are, and all that did
// not serve yet is ended and started anew. A loader is, too: whom it forked would be no child of ours.
void crew_save(const struct crew *c, struct handover *h);
int crew_restore(struct crew *c, struct handover *h, struct err *e) ERR_CHECKED;

// For an upgrade: nothing is half said to a replica; replaces all replicas that serve, each after its
// successor is ready; whether that is done.
bool crew_is_quiet(const struct crew *c);
void crew_renew(struct crew *c);
bool crew_is_renewed(const struct crew *c);

void crew_stop(struct crew *c);                  // the end of the server: SIGTERM to all
void crew_kill(struct crew *c);                  // SIGKILL to what is left
unsigned crew_n_processes(const struct crew *c); // alive
bool crew_is_gone(const struct crew *c);         // after crew_stop: nothing is left
