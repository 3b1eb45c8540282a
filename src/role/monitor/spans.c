// SPDX-License-Identifier: Apache-2.0
// Times of a record are whole microseconds; so are those of its spans.
#include "role/monitor/spans.h"

#include "predlog/record.h"
#include "role/monitor/models.h"
#include "role/traces.h"
#include "settings/settings.h"

#include <string.h>

enum { NS_PER_US = 1000 };

static void set_options(struct monitor *m)
{
    traces_set(m->traces, (struct traces_options){m->settings->otlp_endpoint, m->settings->trace_per_10000});
}

int spans_open(struct monitor *m, struct err *e)
{
    int rc = traces_new(m->loop, &m->log, &m->traces, e);
    if (rc == 0)
        set_options(m);
    return rc;
}

void spans_close(struct monitor *m)
{
    traces_free(m->traces);
    m->traces = NULL;
}

void spans_record(struct monitor *m, const struct record *r)
{
    const struct record_head *h = &r->head;
    if (!traces_are_on(m->traces) || (h->kind != RECORD_PREDICTION && h->kind != RECORD_FAILURE))
        return;
    const struct version *v = models_by_log_key(m->models, h->schema, h->model);
    struct otlp_request q = {
        .wall_ns = h->wall_ns,
        .latency_ns = (uint64_t)h->latency_us * NS_PER_US,
        .queue_ns = (uint64_t)h->queue_us * NS_PER_US,
        .compute_ns = (uint64_t)h->compute_us * NS_PER_US,
        .model = v ? v->model : "",
        .arm = h->arm == 0 ? "stable" : "canary",
        .version = h->version,
        .rows = h->rows,
        .status = h->status,
    };
    memcpy(q.trace, h->trace, sizeof q.trace);
    memcpy(q.parent, h->parent, sizeof q.parent);
    memcpy(q.id, h->id, sizeof q.id);
    traces_take(m->traces, &q, h->flags & RECORD_TRACED);
}

void spans_tick(struct monitor *m, uint64_t now_mono_ns)
{
    set_options(m);
    traces_tick(m->traces, now_mono_ns);
}
