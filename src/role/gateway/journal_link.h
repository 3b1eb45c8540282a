// SPDX-License-Identifier: Apache-2.0
// The prediction log's state in a gateway: its ring, the connection to the monitor by which each wakes the
// other, and answers that wait until their records are durable. For journal.c and journal_link.c.
#pragma once

#include "os/loop.h"
#include "os/msg.h"
#include "os/spool.h"

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct gateway;

struct journal {
    struct gateway *g;
    struct spool_writer spool;
    void *memory; // the ring, mapped
    size_t size;  // of its data
    uint32_t stream;
    bool is_dirty;           // something is not published
    uint64_t block_until_ns; // of the policy `block` in this turn; 0: it did not wait yet
    uint32_t room_weight;    // how many the record stands for whose room was taken last
    uint64_t n_pressed;      // records that came while the policy `sample` was at work
    uint64_t turn_dropped;   // of all reasons, when this turn began
    // The connection to the monitor
    struct msg_conn conn;
    struct watch watch;
    struct timer retry;
    bool is_connected, is_wake_owed;
    bool is_unsummed; // the monitor there makes the checksums: one of an older build wants them made
    unsigned n_retries;
    // Answers that wait
    struct conn *held; // by held_next
    struct timer held_due;
};

int journal_link_start(struct journal *j, struct err *e) ERR_CHECKED;
void journal_link_stop(struct journal *j);
// Shows the monitor what was written, and wakes it.
void journal_publish(struct gateway *g);
