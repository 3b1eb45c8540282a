// SPDX-License-Identifier: Apache-2.0
// Keeps the routing tables of gateways and monitor current, and says when all of them run a change.
#pragma once

#include "role/controller/controller.h"

enum { PUBLICATION_TIMEOUT_MS = 5000 };

struct peer;

// Somebody who waits until every gateway runs what was published. Embedded in what waits.
struct publication {
    struct publication *next;
    bool is_waiting;
    uint64_t generation, deadline_ns;
    // Called once, with NULL or ERR_UNAVAILABLE that names the gateways that did not confirm in time.
    void (*on_done)(struct publication *p, const struct err *e);
};

// Sends what is served now to all gateways, as one new generation.
void gateways_publish(struct controller *c);
// Calls p->on_done when all gateways run the present generation; maybe at once.
void gateways_wait(struct controller *c, struct publication *p);
void gateways_forget(struct controller *c, struct publication *p); // not waiting is fine

// Tells them how many replicas d shall have. A gateway that has not read what it was sent before is left out:
// the next time will do.
void gateways_scaled(struct controller *c, const struct deployment *d);

// What struct peers_ops asks for.
int gateway_hello(struct peer *p, struct str payload, struct err *e) ERR_CHECKED;
int gateway_message(struct peer *p, const struct msg *m, struct err *e) ERR_CHECKED;
void gateway_drained(struct peer *p);
void gateway_lost(struct peer *p);
// Whether the gateway of that number is on the board: numbers are twice as many as gateways, for upgrades.
bool gateway_is_current(const struct controller *c, unsigned i);
