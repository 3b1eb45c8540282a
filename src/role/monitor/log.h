// SPDX-License-Identifier: Apache-2.0
// The prediction log in the monitor: takes records out of the gateways' rings, hands them on (feed.h), and
// makes them durable, many with one sync. What the disk does not take is held in the rings as long as they
// have room, then given up, counted, and told in the log.
#pragma once

#include "role/monitor/monitor.h"

struct log_state;

// Maps the rings and opens the write-ahead log, which may have to wait for a monitor of a server before
// (it is tried again). ERR_NOMEM, ERR_IO, ERR_INVALID.
int log_open(struct monitor *m, struct err *e) ERR_CHECKED;
void log_close(struct monitor *m); // takes and commits what is there; NULL state is fine

// A gateway's connection (struct peers_ops).
int log_gateway_hello(struct peer *p, struct str payload, struct err *e) ERR_CHECKED;
int log_gateway_message(struct peer *p, const struct msg *m, struct err *e) ERR_CHECKED;
void log_gateway_lost(struct peer *p);

// Versions came.
void log_models_changed(struct monitor *m);
// Once a second: files are closed and sealed, what failed is tried again, the metrics are written.
void log_tick(struct monitor *m, uint64_t now_mono_ns);
struct buf;
// Appends slipway_log_unreadable_files (log_query.c); the counters are in role/log_memory.h.
void log_put_metrics(const struct monitor *m, struct buf *out);
