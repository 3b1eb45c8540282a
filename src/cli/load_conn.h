// SPDX-License-Identifier: Apache-2.0
// One connection of the load generator: bytes out, answers in, what is under way. Knows nothing of rates.
// Private to load*.c.
#pragma once

#include "base/buf.h"
#include "cli/load_reply.h"

#include <sys/socket.h>

// A request that was sent and not yet answered.
struct load_slot {
    uint64_t intended_ns, sent_ns;
    struct load_request *request;
};

struct load_conn {
    int fd; // -1: not connected
    bool connecting;
    bool wants_out;          // epoll is asked for EPOLLOUT
    bool waits;              // in the engine's line of connections with room
    uint64_t retry_ns;       // when to connect again
    struct load_slot *slots; // a ring of `depth`
    int depth, first, n;
    struct buf out, in;
    struct load_reader reader;
};

int load_conn_init(struct load_conn *c, int depth, struct err *e) ERR_CHECKED;
void load_conn_done(struct load_conn *c);
// Begins to connect. False when that failed at once; errno says why.
bool load_conn_open(struct load_conn *c, const struct sockaddr *to, socklen_t n);
// Closes and forgets what is under way.
void load_conn_close(struct load_conn *c);

static inline bool load_conn_has_room(const struct load_conn *c)
{
    return c->fd >= 0 && !c->connecting && c->n < c->depth;
}
// Puts a request behind those under way; load_conn_flush sends.
void load_conn_push(struct load_conn *c, struct load_request *q, uint64_t intended_ns, uint64_t now_ns);
// The oldest request under way.
struct load_slot *load_conn_oldest(struct load_conn *c);
struct load_slot load_conn_pop(struct load_conn *c);
// Sends what the socket takes. Bytes sent, or ERR_IO.
int64_t load_conn_flush(struct load_conn *c, struct err *e) ERR_CHECKED;
// Reads once. Bytes read, 0 when there is nothing, ERR_UNAVAILABLE when the peer closed, ERR_IO, ERR_NOMEM.
int64_t load_conn_read(struct load_conn *c, struct err *e) ERR_CHECKED;
