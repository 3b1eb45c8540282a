// SPDX-License-Identifier: Apache-2.0
// The connection to the controller that keeps the routing table current. While the controller is away, the
// last table goes on serving and a new connection is tried.
#pragma once

#include "base/str.h"
#include "role/gateway/gateway.h"

// Connects, now or as soon as the controller is there. on_table is called after each new table that is
// complete (every version the registry knows is loaded or given up). ERR_NOMEM.
int control_start(struct gateway *g, void (*on_table)(struct gateway *g), struct err *e) ERR_CHECKED;
void control_free(struct control *k); // NULL is fine
// Tells the controller that requests for the deployment wait and that it has no replica here. Nothing happens
// without a controller: it looks for itself when it is back.
void control_want(struct control *k, uint64_t deployment);
// Sends a message of this type; nothing happens without a controller, or when it does not read.
void control_tell(struct control *k, uint16_t type, struct str json);
// Asks for a version that the table does not have (IPC_ASK); without a connection nothing happens.
void control_ask(struct control *k, struct str model, struct str name);
bool control_is_connected(const struct control *k);
// Lines of /metrics that only the controller knows; empty while it is away.
struct str control_metrics(const struct control *k);
