// SPDX-License-Identifier: Apache-2.0
// Alerts in the monitor: once a second what runs is read (alert_sources.c) and held against the rules
// (monitor/alert.h); what changed is told to a receiver (alert_hook.c) and kept over restarts in
// state/monitor/alerts.json.
#pragma once

#include "role/monitor/monitor.h"

struct alert_book;
struct buf;

// ERR_NOMEM, ERR_IO, ERR_INVALID.
int alerts_open(struct monitor *m, struct err *e) ERR_CHECKED;
void alerts_close(struct monitor *m);
void alerts_tick(struct monitor *m, uint64_t now_mono_ns);
void alerts_stop(struct monitor *m); // saves
// Appends slipway_alerts and slipway_alert_posts_total.
void alerts_metrics_put(const struct monitor *m, struct buf *out);

struct alert_book *alerts_book(const struct monitor *m);
void alerts_changed(struct monitor *m); // something is to be saved
