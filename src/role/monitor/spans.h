// SPDX-License-Identifier: Apache-2.0
// Records of predictions become spans for a collector: role/traces.h, by the settings.
#pragma once

#include "role/monitor/monitor.h"

struct record;

int spans_open(struct monitor *m, struct err *e) ERR_CHECKED; // ERR_NOMEM
void spans_close(struct monitor *m);
void spans_record(struct monitor *m, const struct record *r);
void spans_tick(struct monitor *m, uint64_t now_mono_ns);
