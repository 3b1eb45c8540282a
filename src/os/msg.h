// SPDX-License-Identifier: Apache-2.0
// Length-prefixed messages with descriptors over Unix stream sockets. The reader trusts nothing: sizes and
// descriptor counts are checked before memory is taken.
//
//   frame: u32 payload bytes (little-endian) | u16 type | u16 descriptors | payload
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

enum { MSG_FDS_MAX = 4, MSG_HEADER_BYTES = 8, MSG_FDS_WAITING_MAX = 16 };

struct msg {
    uint16_t type;
    uint16_t n_fds;
    int fds[MSG_FDS_MAX]; // owned by the receiver
    struct str payload;   // borrowed until the next msg_conn_fill on the same connection
};

// One end of a connection: what was read but not yet taken, what is to be written but did not fit the socket.
struct msg_conn {
    int fd; // owned
    struct buf in, out;
    size_t in_at, out_at;         // bytes of in already taken, of out already written
    int fds[MSG_FDS_WAITING_MAX]; // received, not yet taken
    uint16_t n_fds;
    struct msg_out_fds *out_fds; // descriptors that wait in out, with their places
    size_t n_out_fds, cap_out_fds;
    bool closed; // the other end will send no more
    uint32_t max_payload;
};

void msg_conn_init(struct msg_conn *c, int fd, uint32_t max_payload);
void msg_conn_done(struct msg_conn *c); // closes fd and descriptors not taken
// Reads what is there without blocking, as far as there is room; take messages until there is none, then call
// again. 0; ERR_UNAVAILABLE when the other end closed and all was read; ERR_INVALID for more descriptors than
// a message may carry; ERR_IO; ERR_NOMEM.
int msg_conn_fill(struct msg_conn *c, struct err *e) ERR_CHECKED;
// Takes the next whole message: 1 taken, 0 none yet, ERR_INVALID when the stream is not of this format.
int msg_conn_take(struct msg_conn *c, struct msg *ret, struct err *e) ERR_CHECKED;
// Queues one message and writes what the socket takes. Descriptors are duplicated by the kernel; the caller
// keeps his. The order of messages is kept. On an error nothing of this message was queued, except that after
// ERR_UNAVAILABLE and ERR_IO the connection is of no more use. ERR_TOO_LARGE: payload over max_payload;
// ERR_BUSY: too much is queued; ERR_UNAVAILABLE: the other end is gone; ERR_IO, ERR_NOMEM.
int msg_conn_send(struct msg_conn *c, uint16_t type, struct str payload, const int *fds, uint16_t n_fds,
                  struct err *e) ERR_CHECKED;
// Bytes queued and not yet written: stop producing while this is large, wait for EPOLLOUT, call
// msg_conn_flush.
size_t msg_conn_pending(const struct msg_conn *c);
int msg_conn_flush(struct msg_conn *c, struct err *e) ERR_CHECKED;
