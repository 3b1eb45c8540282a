// SPDX-License-Identifier: Apache-2.0
// How results are written. Latencies in text have three significant digits: the histogram has no more.
#include "cli/load_report.h"

void load_report_duration(uint64_t dur_ns, struct buf *out)
{
    static const struct {
        double ns;
        const char *unit;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
    size_t i = 0;
    while (i < 2 && (double)dur_ns < units[i].ns)
        i++;
    double v = (double)dur_ns / units[i].ns;
    buf_printf(out, "%.*f %s", v < 10 ? 2 : v < 100 ? 1 : 0, v, units[i].unit);
}

static void put_latency(const char *name, uint64_t dur_ns, struct buf *out)
{
    buf_printf(out, "%s ", name);
    load_report_duration(dur_ns, out);
}

void load_report_text(const struct load_result *r, struct buf *out)
{
    const struct hist *h = &r->latency;
    buf_printf(out, "sent %llu, answered %llu (%.0f/s)", (unsigned long long)r->n_sent,
               (unsigned long long)r->n_answered, load_result_rate(r));
    if (r->n_wrong || r->n_refused || r->n_timeouts || r->n_broken)
        buf_printf(out, ", WRONG %llu, refused %llu, timed out %llu, broken %llu",
                   (unsigned long long)r->n_wrong, (unsigned long long)r->n_refused,
                   (unsigned long long)r->n_timeouts, (unsigned long long)r->n_broken);
    buf_putc(out, '\n');
    put_latency("latency: p50", hist_quantile(h, 0.5), out);
    put_latency(", p90", hist_quantile(h, 0.9), out);
    put_latency(", p99", hist_quantile(h, 0.99), out);
    put_latency(", p99.9", hist_quantile(h, 0.999), out);
    put_latency(", max", h->max_ns, out);
    put_latency("\nload generator: requests sent late by p50", hist_quantile(&r->lag, 0.5), out);
    put_latency(", p99", hist_quantile(&r->lag, 0.99), out);
    put_latency("; own CPU", r->n_sent ? r->cpu_ns / r->n_sent : 0, out);
    buf_puts(out, " a request\n");
    if (r->problem[0])
        buf_printf(out, "first problem: %s\n", r->problem);
}

static void put_us(const char *name, double ns, struct buf *out)
{
    buf_printf(out, "\"%s\":%.3f", name, ns / 1e3);
}

static void put_quantiles(const char *name, const struct hist *h, struct buf *out)
{
    buf_printf(out, "\"%s\":{", name);
    put_us("mean", h->count ? (double)h->sum_ns / (double)h->count : 0, out);
    buf_putc(out, ',');
    put_us("p50", (double)hist_quantile(h, 0.5), out);
    buf_putc(out, ',');
    put_us("p90", (double)hist_quantile(h, 0.9), out);
    buf_putc(out, ',');
    put_us("p99", (double)hist_quantile(h, 0.99), out);
    buf_putc(out, ',');
    put_us("p999", (double)hist_quantile(h, 0.999), out);
    buf_putc(out, ',');
    put_us("max", (double)h->max_ns, out);
    buf_putc(out, '}');
}

void load_report_json(const struct load_result *r, struct buf *out)
{
    const struct {
        const char *name;
        uint64_t n;
    } counts[] = {
        {"sent", r->n_sent},
        {"answered", r->n_answered},
        {"wrong", r->n_wrong},
        {"refused", r->n_refused},
        {"timeouts", r->n_timeouts},
        {"broken", r->n_broken},
        {"reconnects", r->n_reconnects},
        {"bytes_in", r->bytes_in},
        {"bytes_out", r->bytes_out},
    };
    buf_printf(out, "{\"rate\":%.1f,\"seconds\":%.3f,", load_result_rate(r), (double)r->window_ns / 1e9);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        buf_printf(out, "\"%s\":", counts[i].name);
        buf_put_u64(out, counts[i].n);
        buf_putc(out, ',');
    }
    put_quantiles("latency_us", &r->latency, out);
    buf_putc(out, ',');
    put_quantiles("lag_us", &r->lag, out);
    buf_putc(out, ',');
    put_us("own_cpu_us_per_request", r->n_sent ? (double)r->cpu_ns / (double)r->n_sent : 0, out);
    if (r->problem[0]) {
        buf_puts(out, ",\"problem\":");
        buf_put_json_str(out, str_of(r->problem));
    }
    buf_putc(out, '}');
}
