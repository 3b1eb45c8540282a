// SPDX-License-Identifier: Apache-2.0
// Requests over several pipelined connections, answers in the order of the requests: what lets one thread of
// `slipway predict` keep all gateways busy. A request whose connection breaks, or that the server is too busy
// for, is sent again, which predictions allow.
#pragma once

#include "cli/client.h"

enum { PUMP_CONNECTIONS_MAX = 64, PUMP_DEPTH = 2, PUMP_ATTEMPTS = 6 };

enum pump_state { PUMP_FREE, PUMP_READY, PUMP_SENT, PUMP_DONE };

// One request and its answer. A slot goes FREE -> READY -> SENT -> DONE -> FREE, and back from SENT to READY
// when it is to be sent again.
struct pump_slot {
    enum pump_state state;
    struct buf request;     // head and body
    struct buf answer;      // body, once DONE
    int status;             // once DONE
    char model_version[32]; // that computed it
    int attempts;
    uint64_t not_before_ns; // monotonic
    uint64_t first_row;     // the caller's
    uint32_t n_rows;
};

struct pump_conn {
    int fd; // -1: not connected
    struct reader reader;
    struct pump_slot *queue[PUMP_DEPTH]; // SENT, in the order of their answers
    int n_queue;
    int n_written;  // of the queue, whole
    size_t written; // bytes of the one after those
};

struct pump {
    const struct client *client;
    struct pump_conn conns[PUMP_CONNECTIONS_MAX];
    struct pump_slot slots[PUMP_CONNECTIONS_MAX * PUMP_DEPTH];
    int n_conns, n_slots;
    uint64_t filled, emptied; // slots ever made READY, ever freed: a ring
};

// client must outlive the pump; nothing is connected yet.
void pump_init(struct pump *p, const struct client *client, int n_conns);
void pump_done(struct pump *p);
// The slot to fill next, cleared, or NULL when all are in use. pump_submit makes it READY.
struct pump_slot *pump_next(struct pump *p);
// The caller has put a whole request, head and body, into s->request.
void pump_submit(struct pump *p, struct pump_slot *s);
// The oldest submitted slot once it is DONE, else NULL. pump_release frees it.
struct pump_slot *pump_answered(struct pump *p);
void pump_release(struct pump *p, struct pump_slot *s);
// Sends and receives what it can, waiting at most the client's timeout when nothing can move.
// ERR_UNAVAILABLE, ERR_REQUEST_TIMEOUT, ERR_BAD_HTTP, ERR_NOMEM, ERR_IO.
int pump_turn(struct pump *p, struct err *e) ERR_CHECKED;
