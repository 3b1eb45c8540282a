// SPDX-License-Identifier: Apache-2.0
// A record becomes its lines once, as the log has them, for all sinks that are on. Privacy and sampling were
// applied where the record was written.
#include "role/monitor/sinks.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "predlog/line.h"
#include "predlog/schemas.h"
#include "role/monitor/models.h"
#include "role/monitor/sink.h"
#include "settings/settings.h"
#include "wire/exposition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SINKS_MAX = 2,
    SCHEMAS_MAX = 2 * LIMIT_DEPLOYMENTS,
    KEPT_BYTES = 256 << 10, // of the lines' memory between records
    FINISH_PART = 4,        // of drain_timeout, for each
};

struct sinks {
    struct sink *list[SINKS_MAX];
    unsigned n;
    struct schemas schemas; // of versions whose records came
    struct buf lines;
};

// ---- what sinks say

const char *sink_drop_name(enum sink_drop d)
{
    static const char *const NAMES[SINK_DROPS] = {"full",    "too_large",   "refused",
                                                  "expired", "unavailable", "stopped"};
    return d < SINK_DROPS ? NAMES[d] : "";
}

void sink_sent(struct sink *s, uint64_t n, uint64_t bytes)
{
    s->counts.sent += n;
    s->counts.queued -= n;
    s->counts.queued_bytes -= bytes;
    if (s->has_failed)
        log_event(&s->m->log, LOG_LEVEL_INFO, "log_sink_works_again", LOG_Z("sink", s->ops->name),
                  LOG_Z("to", s->to));
    s->has_failed = false;
    s->why[0] = '\0';
}

void sink_dropped(struct sink *s, enum sink_drop why, uint64_t n, uint64_t bytes)
{
    s->counts.dropped[why] += n;
    s->counts.queued -= n;
    s->counts.queued_bytes -= bytes;
}

void sink_failed(struct sink *s, const char *why)
{
    s->counts.failures++;
    snprintf(s->why, sizeof s->why, "%s", why);
    if (!s->has_failed)
        log_event(&s->m->log, LOG_LEVEL_WARN, "log_sink_failed", LOG_Z("sink", s->ops->name),
                  LOG_Z("to", s->to), LOG_Z("reason", s->why));
    s->has_failed = true;
}

// ---- their life

int sinks_open(struct monitor *m, struct err *e)
{
    struct sinks *ss = m->sinks = calloc(1, sizeof *ss);
    if (!ss)
        return err_set(e, ERR_NOMEM, "no memory for the sinks of the prediction log");
    buf_init(&ss->lines, LIMIT_LOG_SINK_LINES_BYTES);
    int rc = sink_http_new(m, &ss->list[0], e);
    if (rc)
        return rc;
    ss->n = 1;
    rc = sink_kafka_new(m, &ss->list[1], e);
    ss->n += rc == 0 && ss->list[1];
    return rc;
}

void sinks_close(struct monitor *m)
{
    struct sinks *ss = m->sinks;
    if (!ss)
        return;
    for (unsigned i = 0; i < ss->n; i++)
        ss->list[i]->ops->free(ss->list[i]);
    schemas_done(&ss->schemas);
    buf_done(&ss->lines);
    free(ss);
    m->sinks = NULL;
}

void sinks_tick(struct monitor *m, uint64_t now_mono_ns)
{
    for (unsigned i = 0; m->sinks && i < m->sinks->n; i++)
        m->sinks->list[i]->ops->tick(m->sinks->list[i], now_mono_ns);
}

void sinks_stop(struct monitor *m)
{
    uint64_t ms = m->settings->drain_timeout_ms / FINISH_PART;
    for (unsigned i = 0; m->sinks && i < m->sinks->n; i++) {
        struct sink *s = m->sinks->list[i];
        uint64_t before = s->counts.dropped[SINK_DROP_STOPPED];
        if (s->is_on)
            s->ops->finish(s, clock_mono_ns() + ms * UINT64_C(1000000));
        uint64_t n = s->counts.dropped[SINK_DROP_STOPPED] - before;
        if (n)
            log_event(&m->log, LOG_LEVEL_WARN, "log_sink_cut", LOG_Z("sink", s->ops->name),
                      LOG_Z("to", s->to), LOG_INT("dropped", n));
    }
}

// ---- records

static bool is_any_on(const struct sinks *ss)
{
    for (unsigned i = 0; ss && i < ss->n; i++)
        if (ss->list[i]->is_on)
            return true;
    return false;
}

// NULL: its version is not known.
static const struct predlog_schema *schema_of(struct monitor *m, const struct record_head *h)
{
    struct sinks *ss = m->sinks;
    struct err ignored;
    const struct schemas_one *one = schemas_find(&ss->schemas, h->schema);
    if (one)
        return one->schema;
    const struct version *v = models_by_log_key(m->models, h->schema, h->model);
    if (!v || !v->log_json)
        return NULL;
    if (ss->schemas.n == SCHEMAS_MAX)
        schemas_done(&ss->schemas);
    if (schemas_add(&ss->schemas, str_of(v->log_json), &ignored))
        return NULL;
    one = schemas_find(&ss->schemas, h->schema);
    return one ? one->schema : NULL;
}

static void hand_on(struct sinks *ss, const struct sink_event *ev)
{
    for (unsigned i = 0; i < ss->n; i++) {
        struct sink *s = ss->list[i];
        if (!s->is_on)
            continue;
        s->counts.accepted++;
        enum sink_drop d = s->ops->take(s, ev);
        if (d != SINK_TAKEN)
            s->counts.dropped[d]++;
    }
}

static void drop_all(struct sinks *ss, uint32_t n)
{
    for (unsigned i = 0; i < ss->n; i++) {
        if (!ss->list[i]->is_on)
            continue;
        ss->list[i]->counts.accepted += n;
        ss->list[i]->counts.dropped[SINK_DROP_TOO_LARGE] += n;
    }
}

static void split(struct sinks *ss, struct sink_event *ev)
{
    struct str rest = buf_str(&ss->lines);
    for (ev->row = 0; rest.n; ev->row++) {
        ev->line = str_split(&rest, '\n');
        hand_on(ss, ev);
    }
}

void sinks_record(struct monitor *m, const struct record *r)
{
    struct sinks *ss = m->sinks;
    char id[37];
    if (!is_any_on(ss) || (r->head.kind != RECORD_PREDICTION && r->head.kind != RECORD_FAILURE))
        return;
    const struct predlog_schema *schema = schema_of(m, &r->head);
    struct sink_event ev = {.head = &r->head, .id = id};
    if (schema)
        ev.model = schema->model;
    record_id_write(r->head.id, id);
    uint32_t n = line_put(r, schema, &ss->lines);
    if (ss->lines.failed)
        drop_all(ss, n);
    else
        split(ss, &ev);
    if (ss->lines.cap > KEPT_BYTES)
        buf_done(&ss->lines);
    buf_clear(&ss->lines);
}

// ---- what is known of them

static bool is_told_of(const struct sink *s)
{
    return s->is_on || s->counts.accepted;
}

static void put_one(const struct sink *s, struct buf *out)
{
    const struct sink_counts *c = &s->counts;
    uint64_t dropped = 0;
    for (int k = 0; k < SINK_DROPS; k++)
        dropped += c->dropped[k];
    buf_printf(out, "{\"sink\":\"%s\",\"to\":", s->ops->name);
    buf_put_json_str(out, str_of(s->to));
    buf_printf(out, ",\"accepted\":%llu,\"sent\":%llu,\"dropped\":%llu,\"queued\":%llu,\"dropped_by\":{",
               (unsigned long long)c->accepted, (unsigned long long)c->sent, (unsigned long long)dropped,
               (unsigned long long)c->queued);
    for (int k = 0; k < SINK_DROPS; k++)
        buf_printf(out, "%s\"%s\":%llu", k ? "," : "", sink_drop_name((enum sink_drop)k),
                   (unsigned long long)c->dropped[k]);
    buf_printf(out, "},\"queued_bytes\":%llu,\"failures\":%llu", (unsigned long long)c->queued_bytes,
               (unsigned long long)c->failures);
    if (s->why[0]) {
        buf_puts(out, ",\"last_failure\":");
        buf_put_json_str(out, str_of(s->why));
    }
    buf_putc(out, '}');
}

void sinks_put(const struct monitor *m, struct buf *out)
{
    bool is_first = true;
    buf_putc(out, '[');
    for (unsigned i = 0; m->sinks && i < m->sinks->n; i++) {
        if (!is_told_of(m->sinks->list[i]))
            continue;
        if (!is_first)
            buf_putc(out, ',');
        is_first = false;
        put_one(m->sinks->list[i], out);
    }
    buf_putc(out, ']');
}

static const struct {
    const char *name, *type, *help;
    size_t offset; // in struct sink_counts
} FAMILIES[] = {
    {"slipway_log_sink_accepted_total", "counter",
     "Lines of the prediction log for a sink: sent, dropped or queued.",
     offsetof(struct sink_counts, accepted)},
    {"slipway_log_sink_sent_total", "counter", "Lines that a sink's receiver has taken.",
     offsetof(struct sink_counts, sent)},
    {"slipway_log_sink_failures_total", "counter", "Failed attempts to send to a sink's receiver.",
     offsetof(struct sink_counts, failures)},
    {"slipway_log_sink_queue", "gauge", "Lines that wait for a sink's receiver.",
     offsetof(struct sink_counts, queued)},
    {"slipway_log_sink_queue_bytes", "gauge", "Memory of the lines that wait for a sink's receiver.",
     offsetof(struct sink_counts, queued_bytes)},
};

static void put_family(const struct sinks *ss, size_t f, struct buf *out)
{
    exposition_family(out, FAMILIES[f].name, FAMILIES[f].type, FAMILIES[f].help);
    for (unsigned i = 0; i < ss->n; i++) {
        uint64_t value;
        if (!is_told_of(ss->list[i]))
            continue;
        memcpy(&value, (const char *)&ss->list[i]->counts + FAMILIES[f].offset, sizeof value);
        struct exposition x = exposition_begin(out, FAMILIES[f].name, "");
        exposition_label(&x, "sink", str_of(ss->list[i]->ops->name));
        exposition_end_u64(&x, value);
    }
}

static void put_dropped(const struct sinks *ss, struct buf *out)
{
    static const char NAME[] = "slipway_log_sink_dropped_total";
    exposition_family(out, NAME, "counter", "Lines that were for a sink and are given up.");
    for (unsigned i = 0; i < ss->n; i++) {
        for (int k = 0; is_told_of(ss->list[i]) && k < SINK_DROPS; k++) {
            struct exposition x = exposition_begin(out, NAME, "");
            exposition_label(&x, "sink", str_of(ss->list[i]->ops->name));
            exposition_label(&x, "reason", str_of(sink_drop_name((enum sink_drop)k)));
            exposition_end_u64(&x, ss->list[i]->counts.dropped[k]);
        }
    }
}

void sinks_metrics_put(const struct monitor *m, struct buf *out)
{
    const struct sinks *ss = m->sinks;
    bool any = false;
    for (unsigned i = 0; ss && i < ss->n; i++)
        any = any || is_told_of(ss->list[i]);
    if (!any)
        return;
    for (size_t f = 0; f < sizeof FAMILIES / sizeof FAMILIES[0]; f++)
        put_family(ss, f, out);
    put_dropped(ss, out);
}
