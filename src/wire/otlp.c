// SPDX-License-Identifier: Apache-2.0
// ExportTraceServiceRequest of opentelemetry-proto 1.x, with the attributes of the semantic conventions where
// there are such.
#include "wire/otlp.h"

#include "base/siphash.h"

#include <string.h>

enum span { SPAN_SERVER, SPAN_QUEUE, SPAN_COMPUTE };
enum { KIND_INTERNAL = 1, KIND_SERVER = 2, STATUS_ERROR = 2 };

static void put_hex(struct buf *out, const uint8_t *p, size_t n)
{
    static const char DIGITS[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        buf_putc(out, DIGITS[p[i] >> 4]);
        buf_putc(out, DIGITS[p[i] & 15]);
    }
}

// Within a trace no two spans may share an id, and none is zero.
static void span_id(const struct otlp_request *r, enum span which, uint8_t ret[8])
{
    uint64_t h =
        siphash((struct siphash_key){0x736c6970776179, which}, (struct str){(const char *)r->id, 16});
    h = h ? h : 1;
    memcpy(ret, &h, sizeof h);
}

static void put_text(struct buf *out, const char *key, struct str value)
{
    buf_printf(out, "{\"key\":\"%s\",\"value\":{\"stringValue\":", key);
    buf_put_json_str(out, value);
    buf_puts(out, "}}");
}

static void put_number(struct buf *out, const char *key, uint64_t value)
{
    buf_printf(out, "{\"key\":\"%s\",\"value\":{\"intValue\":\"%llu\"}}", key, (unsigned long long)value);
}

static void put_head(struct buf *out, const struct otlp_request *r, enum span which, const char *name,
                     uint64_t start_ns, uint64_t dur_ns)
{
    uint8_t own[8], server[8];
    static const uint8_t NONE[8] = {0};
    span_id(r, which, own);
    span_id(r, SPAN_SERVER, server);
    const uint8_t *parent = which == SPAN_SERVER ? r->parent : server;
    buf_puts(out, "{\"traceId\":\"");
    put_hex(out, r->trace, sizeof r->trace);
    buf_puts(out, "\",\"spanId\":\"");
    put_hex(out, own, sizeof own);
    if (memcmp(parent, NONE, sizeof NONE) != 0) {
        buf_puts(out, "\",\"parentSpanId\":\"");
        put_hex(out, parent, 8);
    }
    buf_printf(out,
               "\",\"name\":\"%s\",\"kind\":%d,\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":\"%llu\"",
               name, which == SPAN_SERVER ? KIND_SERVER : KIND_INTERNAL, (unsigned long long)start_ns,
               (unsigned long long)(start_ns + dur_ns));
}

static void put_id(struct buf *out, const uint8_t id[16])
{
    buf_puts(out, "{\"key\":\"slipway.prediction_id\",\"value\":{\"stringValue\":\"");
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            buf_putc(out, '-');
        put_hex(out, id + i, 1);
    }
    buf_puts(out, "\"}}");
}

void otlp_begin(struct buf *out, const char *service_version)
{
    buf_puts(out, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    put_text(out, "service.name", STR("slipway"));
    buf_putc(out, ',');
    put_text(out, "service.version", str_of(service_version));
    buf_puts(out, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"slipway\",\"version\":");
    buf_put_json_str(out, str_of(service_version));
    buf_puts(out, "},\"spans\":[");
}

void otlp_put_request(struct buf *out, bool first, const struct otlp_request *r)
{
    if (!first)
        buf_putc(out, ',');
    put_head(out, r, SPAN_SERVER, "http.server", r->wall_ns, r->latency_ns);
    buf_puts(out, ",\"attributes\":[");
    put_text(out, "slipway.model", str_of(r->model));
    buf_putc(out, ',');
    put_number(out, "slipway.version", r->version);
    buf_putc(out, ',');
    put_text(out, "slipway.arm", str_of(r->arm));
    buf_putc(out, ',');
    put_number(out, "slipway.rows", r->rows);
    buf_putc(out, ',');
    put_number(out, "http.response.status_code", r->status);
    buf_putc(out, ',');
    put_id(out, r->id);
    buf_putc(out, ']');
    if (r->status >= 500)
        buf_printf(out, ",\"status\":{\"code\":%d}", STATUS_ERROR);
    buf_puts(out, "},");
    put_head(out, r, SPAN_QUEUE, "queue", r->wall_ns, r->queue_ns);
    buf_puts(out, "},");
    put_head(out, r, SPAN_COMPUTE, "compute", r->wall_ns + r->queue_ns, r->compute_ns);
    buf_putc(out, '}');
}

void otlp_end(struct buf *out)
{
    buf_puts(out, "]}]}]}");
}
