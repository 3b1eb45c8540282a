// SPDX-License-Identifier: Apache-2.0
// One connection from a gateway: either its routing connection (gateways.c) or one admin request (request.c).
// The first message tells which.
#pragma once

#include "role/controller/controller.h"

struct request;

struct peer {
    struct watch watch;
    struct controller *c;
    struct msg_conn conn;
    struct peer *next, **link;
    bool is_dead; // closed; freed at the end of the turn
    uint32_t events;
    struct gateway_link *gateway; // of a routing connection
    struct request *request;      // of an admin connection
};

void peers_listen(struct controller *c);
void peers_stop_listening(struct controller *c);
void peers_free_dead(struct controller *c);
void peers_close_all(struct controller *c);

// Sends one message; on failure the peer is closed and false returned.
bool peer_send(struct peer *p, uint16_t type, struct str payload, const int *fds, uint16_t n_fds);
// Tells its request or gateway, then frees it at the end of the turn.
void peer_close(struct peer *p);
