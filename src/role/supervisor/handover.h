// SPDX-License-Identifier: Apache-2.0
// What a supervisor leaves to the one that follows it: how everything stands, and the descriptors that go
// with it. The controller keeps the newest one (role/controller/adoption.c) in case the supervisor is killed.
//
// It is a list of records, each with its type and length. A reader takes what it knows of each and leaves the
// rest zero, so that the structs below may grow at their ends; anything else is another HANDOVER_FORMAT.
// Descriptors are named by their place in the order in which they were kept; -1: none.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "os/msg.h"
#include "role/board.h"
#include "role/supervision.h"
#include "role/supervisor/restart.h"

#include <stdbool.h>
#include <stdint.h>

struct supervisor;

enum { HANDOVER_FORMAT = 2, HANDOVER_FDS_MAX = 4096, HANDOVER_BYTES_MAX = 4 << 20 };

enum handover_type {
    HANDOVER_SERVER = 1,
    HANDOVER_FLAGS,   // texts, each ending in NUL: what `slipway serve` was given
    HANDOVER_ENVIRON, // the same of the environment
    HANDOVER_CHILD,
    HANDOVER_GROUP,
    HANDOVER_MEMBER,
    HANDOVER_FDS, // the last, for the program that this process becomes: the numbers of what was kept,
                  // int32_t
};

struct handover_server { // the first
    uint32_t format, n_gateways;
    int32_t pid, lock, metrics;
    uint32_t last_number; // of a replica
    uint32_t announced, stopping;
    int32_t exit_code; // when stopping
    uint32_t zero;
    uint64_t started_mono_ns;
    char url[128];
    uint32_t ipc_protocol, link_protocol, supervision_bytes; // what the children speak
    uint32_t supervision_protocol;
    int32_t log; // the rings of the prediction log
};

struct handover_child { // one for each, in the order of their slots
    struct board_row row;
    struct restart restart;
    int32_t handle, listener, supervision, zero;
};

struct handover_group {
    struct supervision_serve want;
    uint32_t state; // enum board_state
    int32_t model, interface;
    uint32_t zero;
    char why[SUPERVISION_WHY_BYTES];
    struct restart restart;
    uint64_t killed_mono_ns;
};

struct handover_member { // of the group before it
    uint32_t is_loader, place, number, state, restarts;
    int32_t last_exit, pid, handle, supervision;
    uint32_t row; // on the board
    uint64_t started_mono_ns, ready_mono_ns, load_ns, memory_bytes;
    char why[SUPERVISION_WHY_BYTES];
};

struct handover {
    struct buf records;
    size_t read; // bytes of them
    int fds[HANDOVER_FDS_MAX];
    unsigned n_fds;
    bool is_owner;    // of fds: it was received
    bool is_for_exec; // this very process goes on: the controller's socket is kept, too
};

// An empty one. NULL without memory.
struct handover *handover_new(void);
void handover_free(struct handover *h); // with the descriptors that came and that nobody took; NULL is fine

// Writing. Descriptors stay the caller's. Too much of either makes records fail.
void handover_put(struct handover *h, enum handover_type type, const void *record, size_t bytes);
int32_t handover_keep(struct handover *h, int fd);
// Sends it. ERR_BUSY and other errors as msg_conn_send.
int handover_send(struct handover *h, struct msg_conn *c, struct err *e) ERR_CHECKED;

// For the program that this process becomes: the records in a memfd. It and all that was kept stay open
// across execve once handover_keep_open(h, fd, true) was said.
int handover_store(struct handover *h, int *ret_fd, struct err *e) ERR_CHECKED;
void handover_keep_open(const struct handover *h, int store_fd, bool yes);
// Reads such a memfd. has_fds: this process inherited what was kept.
int handover_load(struct handover *h, int fd, bool has_fds, struct err *e) ERR_CHECKED;

// Reading. Waits for all of it, for a few seconds at most.
int handover_receive(struct handover *h, struct msg_conn *c, struct err *e) ERR_CHECKED;
// The type of the next record, 0 at the end or when what follows is none.
uint32_t handover_peek(const struct handover *h);
// Takes the next one.
void handover_next(struct handover *h, void *ret, size_t bytes);
// The same for one that is no struct; borrowed.
struct str handover_next_bytes(struct handover *h);
// Takes a kept descriptor: the caller's to close. -1 when there is none at that place.
int handover_take(struct handover *h, int32_t place);
