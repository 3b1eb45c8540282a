// SPDX-License-Identifier: Apache-2.0
// A server in a thread, for tests of clients: answers /v1/models/…:predict with the first number of each row,
// /v2/models/… with metadata, and misbehaves as told. It serves one request after the other, so that a stall
// stalls everybody.
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct fake_server {
    // What goes wrong; 0: nothing. Requests are counted from 1; "every" counts predictions only.
    unsigned wrong_every;        // this answer is one too high
    unsigned close_every;        // closes instead of answering
    unsigned refuse_every;       // answers 503
    unsigned garbage_every;      // answers with what is not HTTP
    unsigned stall_at, stall_ms; // once, before answering request stall_at
    bool silent;                 // never answers
    bool chunked;                // answers in chunks
    bool goodbye;                // "Connection: close" with each answer
    bool wrong_in_batches;       // answers of several rows are one too high

    int port; // set by start
    atomic_uint n_requests, n_connections;
    atomic_bool stop;
    int listener;
    pthread_t thread;
};

void fake_server_start(struct fake_server *f); // on a free loopback port
void fake_server_stop(struct fake_server *f);
