// SPDX-License-Identifier: Apache-2.0
// Where what the monitor sees is handed on, part by part in a fixed order: the log (log.c) first, then drift,
// quality, alerts, each in files of its own that are joined by one call in feed.c. Nothing here may block.
#pragma once

#include "role/monitor/monitor.h"

struct record;

// One record, as a gateway wrote it; it is borrowed. Called for each, in the order of its gateway.
void feed_record(struct monitor *m, const struct record *r);
// Versions came or went (models.h).
void feed_models_changed(struct monitor *m);
// Once a second.
void feed_tick(struct monitor *m, uint64_t now_mono_ns);
// The process ends: state that must survive is written.
void feed_stop(struct monitor *m);
