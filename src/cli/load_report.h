// SPDX-License-Identifier: Apache-2.0
// Results of the load generator for people and for programs.
#pragma once

#include "base/buf.h"
#include "cli/load.h"

// A few lines of text.
void load_report_text(const struct load_result *r, struct buf *out);
// One JSON object: latency_us {mean, p50, p90, p99, p999, max}, rate, counts, cpu_us_per_request.
void load_report_json(const struct load_result *r, struct buf *out);
// "12.3 us", "4.56 ms", "1.20 s"
void load_report_duration(uint64_t dur_ns, struct buf *out);
