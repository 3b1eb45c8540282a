// SPDX-License-Identifier: Apache-2.0
// What the controller asks of the supervisor and hears from it: which deployments run in replicas, and how
// they are. Deployments whose engine computes in the gateways never come here.
#pragma once

#include "role/controller/controller.h"
#include "role/supervision.h"

struct deployment;

// Somebody who waits until a deployment's first replica is ready. Embedded in what waits.
struct replicas_wait {
    struct replicas_wait *next;
    struct deployment *deployment;
    bool is_waiting;
    // Called once: NULL, or why none will ever be ready.
    void (*on_done)(struct replicas_wait *w, const struct err *e);
};

// Begins to listen; without a supervisor (-1) nothing can be declared.
int replicas_open(struct controller *c, struct err *e) ERR_CHECKED;
void replicas_close(struct controller *c);
// Another supervisor: its socket, owned from now on. What was declared is declared again once it answers.
int replicas_connect(struct controller *c, int fd, struct err *e) ERR_CHECKED;
void replicas_read_rest(struct controller *c); // all that a supervisor that has ended had sent
void replicas_declare_again(struct controller *c);
// Any message to the supervisor. ERR_UNAVAILABLE without one.
int replicas_tell(struct controller *c, enum supervision_type type, const void *payload, const int *fds,
                  unsigned n_fds, struct err *e) ERR_CHECKED;

// Declares that n replicas of d shall run, for the first time or anew. Its image, settings and digest are
// there; it goes under the id and version that it has or is promised. ERR_UNAVAILABLE without a supervisor;
// else as the model file's blob cannot be opened.
int replicas_serve(struct controller *c, struct deployment *d, uint32_t n, struct err *e) ERR_CHECKED;
// How many replicas of d run or are about to, as the board shows: those of an earlier controller.
uint32_t replicas_running(const struct controller *c, const struct deployment *d);
// After all that the registry has was declared: what the supervisor runs beside it is withdrawn.
void replicas_complete(struct controller *c);
void replicas_wait(struct controller *c, struct deployment *d, struct replicas_wait *w);
void replicas_forget(struct controller *c, struct replicas_wait *w); // not waiting is fine

// Withdraws d at once: no gateway was told of it.
void replicas_withdraw(struct controller *c, const struct deployment *d);
// Withdraws d, which is about to be dropped, when no gateway routes to it any more: once they acknowledged
// the table that follows. Call replicas_withdraw_dropped after gateways_publish.
void replicas_withdraw_later(struct controller *c, const struct deployment *d);
void replicas_withdraw_dropped(struct controller *c);
