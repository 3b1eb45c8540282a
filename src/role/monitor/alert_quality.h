// SPDX-License-Identifier: Apache-2.0
// Readings for the alert rules of the kinds quality and quality_change: a metric of the labelled predictions
// of the last hours, and the evidence of a change, by version and arm.
#pragma once

#include "role/monitor/monitor.h"

struct alert_book;

// mono_ns: of the round; metrics are up to ten seconds old.
void alert_quality_read(struct monitor *m, struct alert_book *b, uint64_t mono_ns, uint64_t wall_ns);
