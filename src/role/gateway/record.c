// SPDX-License-Identifier: Apache-2.0
// Counting into this gateway's shard: plain adds, no lock, no system call.
#include "role/gateway/record.h"

#include "base/log.h"
#include "settings/settings.h"

void record_answer(struct gateway *g, const struct pending *p, uint32_t batch_rows, uint64_t start_ns,
                   uint64_t end_ns)
{
    const struct deployment *d = p->deployment;
    struct metrics_series *s = d->series;
    s->requests[2]++;
    s->rows += p->request.n_rows;
    hist_add(&s->duration, end_ns - start_ns);
    hist_add(&s->queue, d->compute_start_ns > start_ns ? d->compute_start_ns - start_ns : 0);
    hist_add(&s->compute, d->compute_ns);
    hist_add(&s->batch, batch_rows);
    if (g->settings->log_requests)
        log_event(&g->log, LOG_LEVEL_INFO, "prediction", LOG_Z("prediction_id", p->id),
                  LOG_STR("request_id", p->request_id), LOG_STR("traceparent", p->traceparent),
                  LOG_Z("model", d->model), LOG_Z("version", d->version), LOG_INT("rows", p->request.n_rows),
                  LOG_INT("dur_us", (end_ns - start_ns) / 1000u));
}

void record_refused(struct conn *c, struct deployment *d, int status)
{
    c->counted = true;
    d->series->requests[status / 100]++;
}
