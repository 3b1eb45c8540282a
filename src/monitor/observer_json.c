// SPDX-License-Identifier: Apache-2.0
// What an observer knows, as JSON: the answer of GET /api/v1/models/{m}/drift.
#include "monitor/observer_json.h"

#include "base/clock.h"
#include "base/num.h"

#include <inttypes.h>
#include <math.h>

static void put_number(struct buf *out, const char *name, double v)
{
    char text[NUM_TEXT_MAX];
    buf_printf(out, ",\"%s\":", name);
    if (isfinite(v))
        buf_put(out, text, num_write_float((float)v, text));
    else
        buf_puts(out, "null");
}

static void put_time(struct buf *out, const char *name, uint64_t wall_ns)
{
    char text[CLOCK_RFC3339_SIZE];
    clock_rfc3339(wall_ns, text);
    buf_printf(out, ",\"%s\":\"%s\"", name, text);
}

static void put_rates(struct buf *out, const struct verdict *v)
{
    static const char *const NAMES[DRIFT_SHARES] = {"missing", "range", "unseen", "type"};
    for (int i = 0; i < DRIFT_SHARES; i++) {
        const struct drift_rate *r = &v->rates[i];
        buf_printf(out, ",\"%s\":{\"ratio\":%.6g,\"baseline\":%.6g,\"z\":%.4g}", NAMES[i], r->now, r->before,
                   r->z);
    }
}

static void put_history(struct buf *out, const struct observer *o, const struct observer_state *s)
{
    uint64_t n = o->n_closed < OBSERVER_HISTORY ? o->n_closed : OBSERVER_HISTORY;
    buf_puts(out, ",\"history\":[");
    for (uint64_t i = o->n_closed - n; i < o->n_closed; i++) {
        float v = s->history[i % OBSERVER_HISTORY];
        buf_puts(out, i == o->n_closed - n ? "" : ",");
        if (isfinite(v))
            buf_printf(out, "%.4g", (double)v);
        else
            buf_puts(out, "null");
    }
    buf_putc(out, ']');
}

static enum finding_level level_of(const struct observer_state *s)
{
    enum finding_level most = FINDING_NONE;
    for (int k = 0; k < FINDING_KINDS; k++)
        most = s->findings[k].level > most ? s->findings[k].level : most;
    return most;
}

static void put_column(struct buf *out, const struct observer *o, const struct observer_state *s,
                       const struct tally *t, const struct verdict *v)
{
    const struct profile_column *c = s->reference;
    buf_puts(out, "\n{\"name\":");
    buf_put_json_str(out, s->column.name);
    buf_printf(out, ",\"kind\":\"%s\",\"in_baseline\":%s,\"level\":\"%s\",\"n\":%" PRIu64,
               !c                          ? "unknown"
               : c->kind == PROFILE_NUMBER ? "number"
                                           : "category",
               c ? "true" : "false", finding_level_name(level_of(s)), v->n);
    put_number(out, "effect", v->effect);
    put_number(out, "noise", v->noise);
    put_number(out, "w1", v->w1);
    put_number(out, "psi", v->psi);
    put_number(out, "js", v->js);
    put_number(out, "ks", v->ks);
    put_number(out, "mean", v->mean);
    put_number(out, "median", v->median);
    if (c) {
        put_number(out, "baseline_mean", c->mean);
        put_number(out, "baseline_median",
                   c->kind == PROFILE_NUMBER ? c->quantiles[PROFILE_MEDIAN] : (double)NAN);
    }
    buf_printf(out, ",\"below\":%" PRIu64 ",\"above\":%" PRIu64, t->n_below, t->n_above);
    put_rates(out, v);
    put_history(out, o, s);
    buf_putc(out, '}');
}

static void put_columns(struct buf *out, const char *name, const struct observer *o,
                        const struct observer_window *w, bool outputs, bool newest)
{
    bool first = true;
    struct stats_random random;
    stats_random_init(&random, 1);
    buf_printf(out, ",\"%s\":[", name);
    for (uint32_t i = 0; w && i < o->n_columns; i++) {
        const struct observer_state *s = &o->columns[i];
        struct verdict v = s->last;
        if (s->column.is_output != outputs)
            continue;
        if (!newest)
            verdict_of(&w->tallies[i], s->reference, HUGE_VAL, &random, &v);
        buf_puts(out, first ? "" : ",");
        first = false;
        put_column(out, o, s, &w->tallies[i], &v);
    }
    buf_putc(out, ']');
}

static void put_finding(struct buf *out, const struct observer_state *s, enum finding_kind k,
                        const struct tally *t)
{
    const struct finding *f = &s->findings[k];
    struct buf text;
    buf_init(&text, 16 << 10);
    finding_put_text(f, k, s->reference, t, &s->last, &text);
    buf_puts(out, "\n{\"column\":");
    buf_put_json_str(out, s->column.name);
    buf_printf(out, ",\"role\":\"%s\",\"kind\":\"%s\",\"level\":\"%s\"",
               s->column.is_output ? "output" : "input", finding_kind_name(k), finding_level_name(f->level));
    put_number(out, "effect", finding_effect(k, &s->last));
    put_number(out, "threshold", finding_threshold(k, s->reference->kind, f->level));
    put_number(out, "noise", finding_noise(k, &s->last));
    put_time(out, "since", f->since_wall_ns);
    buf_puts(out, ",\"text\":");
    buf_put_json_str(out, buf_str(&text));
    buf_putc(out, '}');
    buf_done(&text);
}

static void put_refused(struct buf *out, const struct observer *o)
{
    const struct finding *f = &o->refused_finding;
    buf_printf(out,
               "\n{\"column\":\"\",\"role\":\"request\",\"kind\":\"type\",\"level\":\"%s\",\"effect\":%.4g,"
               "\"threshold\":%g,\"noise\":%.4g",
               finding_level_name(f->level), o->refused.now,
               finding_threshold(FINDING_WRONG, PROFILE_NUMBER, f->level), o->refused.noise);
    put_time(out, "since", f->since_wall_ns);
    buf_printf(
        out,
        ",\"text\":\"%.1f %% of requests were refused for what stood in them, in two of the last three "
        "windows.\"}",
        100 * o->refused.now);
}

void observer_put_findings(const struct observer *o, struct buf *out)
{
    const struct observer_window *w = observer_last(o);
    bool first = true;
    buf_putc(out, '[');
    for (uint32_t i = 0; w && i < o->n_columns; i++)
        for (int k = 0; k < FINDING_KINDS; k++) {
            const struct observer_state *s = &o->columns[i];
            if (s->findings[k].level == FINDING_NONE || !s->reference)
                continue;
            buf_puts(out, first ? "" : ",");
            first = false;
            put_finding(out, s, k, &w->tallies[i]);
        }
    if (o->refused_finding.level != FINDING_NONE) {
        buf_puts(out, first ? "" : ",");
        put_refused(out, o);
    }
    buf_putc(out, ']');
}

enum finding_level observer_level(const struct observer *o)
{
    enum finding_level most = o->refused_finding.level;
    for (uint32_t i = 0; i < o->n_columns; i++)
        most = level_of(&o->columns[i]) > most ? level_of(&o->columns[i]) : most;
    return most;
}

static void put_window(struct buf *out, const struct observer_window *w, uint32_t n)
{
    buf_printf(out,
               ",\"window\":{\"windows\":%u,\"seen\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"requests\":%" PRIu64
               ",\"refused\":%" PRIu64,
               n, w->n_seen, w->n_rows, w->n_requests, w->n_refused);
    put_time(out, "from", w->from_wall_ns);
    put_time(out, "to", w->to_wall_ns);
    buf_putc(out, '}');
}

void observer_put(struct observer *o, uint64_t from_wall_ns, uint32_t n_windows, struct buf *out)
{
    static const char *const STATES[] = {"quiet", "warn", "alert"};
    struct observer_window sum = {0};
    uint32_t n = n_windows > 1 ? observer_sum(o, n_windows, from_wall_ns, &sum) : o->n_closed > 0;
    const struct observer_window *w = n_windows > 1 ? (n ? &sum : NULL) : observer_last(o);
    buf_printf(out, "\"state\":\"%s\"",
               !o->n_columns ? "unwatched"
               : o->builders ? "learning"
               : o->n_closed ? STATES[observer_level(o)]
                             : "waiting");
    if (o->profile) {
        buf_puts(out, ",\"baseline\":{\"source\":");
        buf_put_json_str(out, o->profile->source);
        buf_printf(out, ",\"rows\":%" PRIu64 ",\"columns\":%u}", o->profile->n_rows, o->profile->n_columns);
    }
    buf_printf(out, ",\"collecting\":{\"rows\":%" PRIu64 ",\"seen\":%" PRIu64 ",\"every\":%u", o->now.n_rows,
               o->now.n_seen, o->stride);
    put_time(out, "from", o->now.from_wall_ns);
    buf_printf(out, "},\"windows_kept\":%u,\"windows_closed\":%" PRIu64 ",\"memory_bytes\":%zu", o->n_kept,
               o->n_closed, observer_bytes(o));
    if (w)
        put_window(out, w, n);
    buf_puts(out, ",\"findings\":");
    observer_put_findings(o, out);
    put_columns(out, "inputs", o, w, false, n_windows <= 1);
    put_columns(out, "outputs", o, w, true, n_windows <= 1);
    if (n_windows > 1 && n)
        observer_sum_done(&sum);
}
