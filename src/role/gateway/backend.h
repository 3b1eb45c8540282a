// SPDX-License-Identifier: Apache-2.0
// The replicas of one deployment as this gateway sees them: a link to each, and the requests that wait for
// one. Outlives tables and the controller: it is found by the deployment's number. What the requests mean is
// in call.c.
#pragma once

#include "os/msg.h"
#include "role/gateway/gateway.h"
#include "role/gateway/patience.h"
#include "role/link_end.h"
#include "role/supervision.h"

struct backend;
struct call;

enum { LINK_SLOTS = 1024 }; // requests that one replica may have from one gateway

// A request in a replica's ring, answered or not: its memory is freed in order.
struct link_slot {
    struct call *call; // NULL once answered
    const void *message;
    size_t bytes;
    uint64_t end; // ring_free_to(end) gives its memory back
};

//   TOLD → OPENING       our rings are made and proposed
//   OPENING → READY      the replica accepted: it has the model
//   both    → gone       its socket closed, or it broke the protocol; the link is freed
struct link {
    struct backend *b;
    struct link *next;
    uint32_t replica, hang_ms;
    bool is_proposed, ready;
    unsigned n_failures; // to propose
    uint64_t propose_ns; // when to try again
    bool posted;         // requests were committed since it was last woken
    struct msg_conn conn;
    struct watch socket;     // tells that the replica ended
    struct watch wake;       // end.own_event
    struct link_end end;     // out: requests, in: responses
    struct link_slot *slots; // (LINK_SLOTS) [first, next) by request id % LINK_SLOTS
    uint64_t first, next_id;
    struct patience patience;
};

// What the controller told of its replicas, for /metrics.
struct backend_scale {
    uint32_t wanted;
    double target; // requests under way that one replica should have
    uint64_t cold_starts;
    bool starved, panicking, known;
};

struct backend {
    struct gateway *g;
    struct backend *next; // in g->backends
    uint64_t deployment;
    uint32_t refs;     // by deployments; kept while it has links as well
    bool routed;       // a deployment of the table is its
    bool may_be_empty; // having no replica while nobody asks is its setting
    struct link *links;
    uint32_t n_ready;
    struct call *waiting, **waiting_end; // for a replica with room, oldest first
    uint32_t n_calls;                    // waiting and with replicas
    uint32_t n_waiting;                  //
    uint32_t n_mirrored;                 // of a shadow: with replicas, never waiting
    uint64_t waiting_bytes;              // of their messages
    uint64_t service_ns;                 // what one request costs one replica, of late; 0 not known
    uint64_t counted_ns;                 // until then in_flight_ns of the series was added up
    uint64_t wanted_ns;                  // the controller was told last that a replica is wanted; 0: not yet
    struct metrics_series *series;       // of the deployment with that key
    uint64_t series_key;
    struct backend_scale scale;
};

// The deployment's backend, made when it is new, with one more reference. NULL without memory.
struct backend *backend_ref(struct gateway *g, uint64_t deployment);
void backend_unref(struct backend *b); // NULL is fine

// Where the backend's requests are counted.
void backend_count_in(struct backend *b, struct metrics_series *s);

// After the table was swapped: backends that it does not name get no more replicas.
void backends_routed(struct gateway *g);
// Takes one end of a socket pair, whose other end the replica has, and proposes rings over it. The descriptor
// is the backend's from here on.
int backend_link(struct gateway *g, const struct supervision_link *to, int fd, struct err *e) ERR_CHECKED;
// Gateways that have requests for the deployment now, this one always counted: replicas serve them in turns.
unsigned backend_n_in_turn(const struct backend *b);
// The ready link with the fewest requests that has a free slot; NULL when there is none.
struct link *backend_choose(const struct backend *b);
// Whether a replica is ready and nobody but a shadow asks for it.
bool backend_is_idle(const struct backend *b);
// Wakes replicas that sleep and were given requests; takes answers that came. At the end of each turn.
void backends_turn_end(struct gateway *g);
// Requests past their deadline are answered so; replicas that answer nothing are given up. Every
// GATEWAY_SWEEP_MS.
void backends_sweep(struct gateway *g);
void backends_close(struct gateway *g);
