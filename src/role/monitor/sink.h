// SPDX-License-Identifier: Apache-2.0
// What sends the lines of the prediction log on to somebody else as they come: sink_http.c, sink_kafka.c.
// sinks.c makes the lines and hands them to all. What waits is bounded; what finds no room, or is not taken,
// is dropped and counted: accepted = sent + dropped + queued, always. Nothing here blocks but `finish`.
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct monitor;
struct record_head;

enum sink_drop {
    SINK_DROP_FULL,        // no room
    SINK_DROP_TOO_LARGE,   // for the receiver, or for all the room
    SINK_DROP_REFUSED,     // by the receiver, for good
    SINK_DROP_EXPIRED,     // not taken for too long
    SINK_DROP_UNAVAILABLE, // the sink cannot work: see its last failure
    SINK_DROP_STOPPED,     // the server ended
    SINK_DROPS,
    SINK_TAKEN = SINK_DROPS
};

// One line of a record. Borrowed.
struct sink_event {
    const struct record_head *head;
    const char *id;   // prediction id
    struct str model; // empty: not known
    uint32_t row;
    struct str line; // JSON, without its newline
};

struct sink_counts {
    uint64_t accepted, sent, dropped[SINK_DROPS];
    uint64_t queued, queued_bytes; // now; with what is under way
    uint64_t failures;             // attempts, and connections
};

struct sink;

struct sink_ops {
    const char *name;
    // Copies it and returns SINK_TAKEN, or why not.
    enum sink_drop (*take)(struct sink *s, const struct sink_event *ev);
    // Once a second.
    void (*tick)(struct sink *s, uint64_t now_mono_ns);
    // The process ends: sends what it can until then, and drops the rest. Blocks.
    void (*finish)(struct sink *s, uint64_t until_mono_ns);
    void (*free)(struct sink *s);
};

enum { SINK_TO_BYTES = 2048 };

// The first member of each.
struct sink {
    const struct sink_ops *ops;
    struct monitor *m;
    bool is_on;             // somebody wants events; counted only then
    char to[SINK_TO_BYTES]; // for people
    struct sink_counts counts;
    bool has_failed;                          // told in the log
    char why[ERR_MSG_MAX + ERR_HINT_MAX + 2]; // the last failure; "" after a success
};

// Both take settings when they are made; ERR_NOMEM.
int sink_http_new(struct monitor *m, struct sink **ret, struct err *e) ERR_CHECKED;
// *ret NULL: no brokers are set. One whose library or options are not as they should be drops all.
int sink_kafka_new(struct monitor *m, struct sink **ret, struct err *e) ERR_CHECKED;

// What became of events that were queued; bytes as they were added to queued_bytes.
void sink_sent(struct sink *s, uint64_t n, uint64_t bytes);
void sink_dropped(struct sink *s, enum sink_drop why, uint64_t n, uint64_t bytes);
// Something failed; told in the log once, until events are sent again.
void sink_failed(struct sink *s, const char *why);
const char *sink_drop_name(enum sink_drop d); // "full"
