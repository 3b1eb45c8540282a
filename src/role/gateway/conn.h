// SPDX-License-Identifier: Apache-2.0
// One client's connection: bytes in, requests out; answers in, bytes out. What the requests mean is not known
// here.
#pragma once

#include "base/buf.h"
#include "os/loop.h"
#include "role/gateway/gateway.h"
#include "wire/http1.h"

enum conn_state {
    CONN_READING, // waiting for a request, or in the middle of one
    CONN_WAITING, // a request is being worked on beyond this turn; no further one is taken
    CONN_CLOSING, // the last answer is written; what the client still sends is thrown away
};

struct admin_call;
struct call;
struct parked;

struct conn {
    struct watch watch;
    struct gateway *g;
    struct conn *next, **link; // in g->conns or g->dead
    enum conn_state state;
    bool is_dead;         // closed; freed at the end of the turn
    bool close_after;     // no further request on this connection
    bool head_seen;       // the current request's head was admitted; its body is being gathered
    bool paused;          // while CONN_WAITING: no bytes are taken from the client
    uint32_t events;      // what the loop waits for
    uint64_t deadline_ns; // the sweep closes it then
    struct buf in;        // an unfinished request, or requests behind one being worked on
    struct buf out;       // answers the socket did not take yet
    size_t need;          // do not look at `in` before it has this many bytes
    bool counted;         // the answer to come is counted for its deployment
    // Answers in `out` wait until their records are durable (journal_link.c)
    bool is_held, held_more; // more: the records of answers of this turn are not all written yet
    struct conn *held_next;
    uint64_t held_position, held_dropped, held_until_ns;
    struct str arm;      // of a rollout, to be said in the error that is answered next
    uint32_t unanswered; // requests taken whose answers are not sent yet
    // A chunked body being gathered: in.p[0 … head | payload so far | not decoded)
    struct http1_chunked chunked;
    size_t payload_end;       // 0 = not begun
    struct admin_call *admin; // a request forwarded to the controller, while CONN_WAITING
    struct call *call;        // a request that a replica computes, while CONN_WAITING
    struct parked *parked;    // a request for a version that is being loaded, while CONN_WAITING
};

void conn_listen_start(struct gateway *g, int listen_fd);
void conn_listen_stop(struct gateway *g);
// Looks at all deadlines; called every GATEWAY_SWEEP_MS, when nothing is gathered.
void conn_sweep(struct gateway *g);
// From now on connections end with their next answer, idle ones after a second.
void conn_drain(struct gateway *g);
void conn_free_dead(struct gateway *g);

// Writes bytes to the client, keeping what the socket does not take. Closes the connection when it cannot.
void conn_send(struct conn *c, struct str bytes);
// The answers that were held may go; those that say that their records are durable say so only if it is true.
#define CONN_COMMITTED "\r\nSlipway-Log-Committed: 1"
void conn_release(struct conn *c, bool is_committed);
// n requests were answered; closes the connection politely when they were its last.
void conn_answered(struct conn *c, uint32_t n);
// The request that made the connection CONN_WAITING is answered: goes on with what is buffered.
void conn_resume(struct conn *c);
void conn_close(struct conn *c);
// Ends the connection once what is queued is written, so that the client surely reads it.
void conn_finish(struct conn *c);
// Hands over the memory that the body of the request being taken lies in; the caller frees it.
struct buf conn_take_body(struct conn *c, struct str body);
// Stops or starts taking bytes from the client (admin.c, while the controller is slower than the client).
void conn_want_input(struct conn *c, bool want);
