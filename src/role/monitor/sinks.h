// SPDX-License-Identifier: Apache-2.0
// The sinks of the prediction log (sink.h), all of them.
#pragma once

#include "role/monitor/monitor.h"

struct buf;
struct record;
struct sinks;

int sinks_open(struct monitor *m, struct err *e) ERR_CHECKED; // ERR_NOMEM
void sinks_close(struct monitor *m);                          // NULL is fine
void sinks_record(struct monitor *m, const struct record *r);
void sinks_tick(struct monitor *m, uint64_t now_mono_ns);
// The process ends: what waits is sent, if it can be within a moment.
void sinks_stop(struct monitor *m);
// Appends a JSON list of them, for the log's status.
void sinks_put(const struct monitor *m, struct buf *out);
// Appends slipway_log_sink_….
void sinks_metrics_put(const struct monitor *m, struct buf *out);
