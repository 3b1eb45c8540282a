// SPDX-License-Identifier: Apache-2.0
// Spans of predictions as OpenTelemetry's OTLP has them over HTTP, in its JSON form: protobuf's JSON with ids
// in hexadecimal and 64-bit numbers as text. Which requests are told of, and the sending, is
// role/monitor/traces.h.
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

// One prediction: a span "http.server" with the children "queue" and "compute".
struct otlp_request {
    uint8_t trace[16], parent[8]; // parent: all zero for the first span of a trace
    uint8_t id[16];               // prediction id; the ids of the spans are made from it
    uint64_t wall_ns;             // when it was read
    uint64_t latency_ns, queue_ns, compute_ns;
    const char *model; // any text
    const char *arm;
    uint32_t version, rows;
    uint16_t status;
};

// The body of one POST to /v1/traces: begin, requests, end.
void otlp_begin(struct buf *out, const char *service_version);
void otlp_put_request(struct buf *out, bool first, const struct otlp_request *r);
void otlp_end(struct buf *out);
