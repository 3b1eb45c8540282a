// SPDX-License-Identifier: Apache-2.0
// One record per prediction: the counters of /metrics, and a log line where request logging is on.
#pragma once

#include "role/gateway/predict.h"
#include "role/gateway/table.h"

// An answered prediction. batch_rows: rows computed together with it; start/end: read of the request, write
// of the answer.
void record_answer(struct gateway *g, const struct pending *p, uint32_t batch_rows, uint64_t start_ns,
                   uint64_t end_ns);
// A request to a deployment that was answered with an error.
void record_refused(struct conn *c, struct deployment *d, int status);
