// SPDX-License-Identifier: Apache-2.0
// Attributes of CloudEvents 1.0.2; `traceparent` and `sampledrate` are documented extensions of it.
#include "wire/cloudevents.h"

enum { TRACE_BYTES = 16, SPAN_BYTES = 8 };

static void put(const char *name, const char *value, struct buf *out)
{
    buf_printf(out, ",\"%s\":", name);
    buf_put_json_str(out, str_of(value));
}

static void put_hex(const uint8_t *p, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%02x", p[i]);
}

static bool is_zero(const uint8_t *p, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= p[i];
    return !any;
}

static void put_trace(const struct cloudevent *ev, struct buf *out)
{
    if (is_zero(ev->trace, TRACE_BYTES) || is_zero(ev->span, SPAN_BYTES))
        return;
    buf_puts(out, ",\"traceparent\":\"00-");
    put_hex(ev->trace, TRACE_BYTES, out);
    buf_putc(out, '-');
    put_hex(ev->span, SPAN_BYTES, out);
    buf_puts(out, ev->is_recorded ? "-01\"" : "-00\"");
}

void cloudevent_put(const struct cloudevent *ev, struct buf *out)
{
    buf_puts(out, "{\"specversion\":\"1.0\"");
    put("id", ev->id, out);
    put("source", ev->source, out);
    put("type", ev->type, out);
    if (ev->subject[0])
        put("subject", ev->subject, out);
    put("time", ev->time, out);
    put_trace(ev, out);
    if (ev->rate > 1)
        buf_printf(out, ",\"sampledrate\":%u", ev->rate);
    buf_puts(out, ",\"datacontenttype\":\"application/json\",\"data\":");
    buf_put_str(out, ev->data);
    buf_putc(out, '}');
}
