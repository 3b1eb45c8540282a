// SPDX-License-Identifier: Apache-2.0
// Requests for versions that the table does not have, when the registry has more than are loaded: the
// controller is asked to load them, and the requests are kept until a table has them, the controller says why
// not, or their time is over.
#pragma once

#include "api/routes.h"
#include "role/gateway/conn.h"

enum {
    PARKED_MAX = 1024,       // requests of one gateway
    PARKED_BYTES = 64 << 20, // of them
    PARKED_ABSENT = 64,      // names that are known to be none, until the next table
};

struct parked_list;

// Whether the request names something that might be loaded.
bool parked_concerns(const struct gateway *g, const struct route_match *m);
// Keeps a copy of the request, and turns its connection to CONN_WAITING. ERR_UNKNOWN_MODEL,
// ERR_UNKNOWN_VERSION without asking when the answer is known; ERR_BUSY at a limit.
int parked_begin(struct conn *c, const struct http1_request *req, const struct route_match *m,
                 struct str body, struct err *e) ERR_CHECKED;
void parked_abandon(struct conn *c);
// There is another table: those whose version it has go on.
void parked_routed(struct gateway *g);
// The controller's answer. ERR_INVALID when it is not as agreed.
int parked_absent(struct gateway *g, struct str json, struct err *e) ERR_CHECKED;
// Asks again, and answers those whose time is over. Every GATEWAY_SWEEP_MS.
void parked_sweep(struct gateway *g);
void parked_close(struct gateway *g);
