// SPDX-License-Identifier: Apache-2.0
// The report as JSON.
#include "admission/report.h"

#include <math.h>

static void put_number(const char *key, double v, struct buf *json)
{
    if (isfinite(v))
        buf_printf(json, "\"%s\":%.6g", key, v);
    else
        buf_printf(json, "\"%s\":null", key);
}

void admission_step_encode(const struct admission_step *s, struct buf *json)
{
    static const char *const RESULTS[] = {[ADMISSION_PASSED] = "passed",
                                          [ADMISSION_FAILED] = "failed",
                                          [ADMISSION_SKIPPED] = "skipped",
                                          [ADMISSION_WARNED] = "warned"};
    buf_printf(json, "{\"step\":\"%s\",\"result\":\"%s\",\"ms\":%.2f,\"detail\":", s->name,
               RESULTS[s->result], s->ms);
    buf_put_json_str(json, str_of(s->detail));
    buf_putc(json, '}');
}

bool admission_is_rejected(const struct admission_report *r)
{
    for (uint32_t i = 0; i < r->n_steps; i++)
        if (r->steps[i].result == ADMISSION_FAILED)
            return true;
    return false;
}

static void put_golden(const struct admission_report *r, struct buf *json)
{
    const struct golden_worst *w = &r->worst;
    buf_printf(json, ",\"golden\":{\"rows\":%u", r->golden_rows);
    if (w->is_known) {
        buf_puts(json, ",\"tolerance\":{");
        put_number("absolute", w->tolerance.absolute, json);
        buf_putc(json, ',');
        put_number("relative", w->tolerance.relative, json);
        buf_printf(json, "},\"worst\":{\"row\":%u,\"output\":", w->row);
        buf_put_json_str(json, str_of(w->output));
        buf_printf(json, ",\"expected\":%s,\"got\":%s,", w->expected, w->got);
        put_number("difference", w->difference, json);
        buf_putc(json, '}');
    }
    buf_printf(json, ",\"batched_equal\":%s}", r->batched_equal ? "true" : "false");
}

void admission_report_encode(const struct admission_report *r, struct buf *json)
{
    buf_printf(json, "{\"schema\":1,\"verdict\":\"%s\",\"steps\":[",
               admission_is_rejected(r) ? "rejected" : "accepted");
    for (uint32_t i = 0; i < r->n_steps; i++) {
        if (i)
            buf_putc(json, ',');
        admission_step_encode(&r->steps[i], json);
    }
    buf_putc(json, ']');
    if (r->has_golden)
        put_golden(r, json);
    if (r->n_latency) {
        buf_puts(json, ",\"latency\":[");
        for (uint32_t i = 0; i < r->n_latency; i++)
            buf_printf(json, "%s{\"rows\":%u,\"p50_us\":%.2f,\"p99_us\":%.2f}", i ? "," : "",
                       r->latency[i].rows, r->latency[i].p50_us, r->latency[i].p99_us);
        buf_putc(json, ']');
    }
    buf_printf(json, ",\"load_ms\":%.2f,\"memory_bytes\":%llu", r->load_ms,
               (unsigned long long)r->memory_bytes);
    if (r->library[0]) {
        buf_puts(json, ",\"library\":");
        buf_put_json_str(json, str_of(r->library));
    }
    buf_putc(json, '}');
}
