// SPDX-License-Identifier: Apache-2.0
// The answering side of role/ipc.h, which the controller and the monitor share: a Unix listener and the
// connections of gateways. The first message of each tells what it is: a routing connection, which is its
// owner's, or one admin request (request.h).
#pragma once

#include "base/log.h"
#include "os/loop.h"
#include "os/msg.h"

#include <stdbool.h>
#include <stdint.h>

struct peer;
struct request;
struct request_route;

// What the owner does with them. hello NULL: there are no routing connections. A negative code of a function
// ends the connection.
struct peers_ops {
    const struct request_route *routes; // (n_routes) of admin requests
    size_t n_routes;
    int (*hello)(struct peer *p, struct str payload, struct err *e); // sets p->routing
    int (*message)(struct peer *p, const struct msg *m, struct err *e);
    void (*pump)(struct peer *p); // what was queued has left
    void (*lost)(struct peer *p);
    // Before the work of a change begins that has an Idempotency-Key, its body being whole: 0 to go on, 1
    // when it was answered. NULL: keys are passed over.
    int (*once)(struct request *r, struct err *e);
    void (*ended)(void *owner); // a connection or a request ended
};

// Zeroed but for the first four.
struct peers {
    struct loop *loop;
    const struct log *log;
    int listen_fd; // not owned
    const struct peers_ops *ops;
    void *owner;
    bool is_draining; // takes no more connections
    struct peer *all, *dead;
    unsigned n_peers, n_requests;
    struct watch listener;
    bool is_full;   // not watched, because there are too many peers
    bool is_paused; // not watched until accept_due, because there is no descriptor for another
    bool is_pause_said;
    struct timer accept_due;
};

struct peer {
    struct watch watch;
    struct peers *peers;
    struct msg_conn conn;
    struct peer *next, **link;
    bool is_dead; // closed; freed at the end of the turn
    uint32_t events;
    void *routing;           // of a routing connection: its owner's
    struct request *request; // of an admin connection
};

void peers_listen(struct peers *ps);
void peers_stop_listening(struct peers *ps);
void peers_free_dead(struct peers *ps); // at the end of each turn
void peers_close_all(struct peers *ps);

// Sends one message; on failure the peer is closed and false returned.
bool peer_send(struct peer *p, uint16_t type, struct str payload, const int *fds, uint16_t n_fds);
// Tells its request or owner, then frees it at the end of the turn.
void peer_close(struct peer *p);
