// SPDX-License-Identifier: Apache-2.0
// Where the figures come from that alerts are made of: the gateways' counters, the board, the log's rings,
// drift, quality.
#pragma once

#include "role/monitor/monitor.h"

struct alert_book;
struct metrics_shard;

// One round of readings. shards: (n_gateways)
void alert_sources_read(struct monitor *m, const struct metrics_shard *shards, struct alert_book *b,
                        uint64_t wall_ns);
