// SPDX-License-Identifier: Apache-2.0
// Counting into this gateway's shard: plain adds, no lock, no system call.
#include "role/gateway/record.h"

#include "base/log.h"
#include "settings/settings.h"
#include "tensor/rule.h"

void record_batch(const struct deployment *d, uint32_t n_requests, uint32_t batch_rows, uint64_t start_ns,
                  uint64_t end_ns)
{
    struct metrics_series *s = d->series;
    s->requests[2] += n_requests;
    s->rows += batch_rows;
    hist_add_n(&s->duration, end_ns - start_ns, n_requests);
    hist_add_n(&s->queue, d->compute_start_ns > start_ns ? d->compute_start_ns - start_ns : 0, n_requests);
    hist_add_n(&s->compute, d->compute_ns, n_requests);
    metrics_sizes_add(&s->batch, batch_rows, n_requests);
    s->batches += METRICS_BATCH_WHOLE;
}

void record_answer(struct gateway *g, const struct pending *p, uint64_t start_ns, uint64_t end_ns)
{
    const struct deployment *d = p->deployment;
    if (g->settings->log_requests)
        log_event(&g->log, LOG_LEVEL_INFO, "prediction", LOG_Z("prediction_id", p->id),
                  LOG_STR("request_id", p->request_id), LOG_STR("traceparent", p->traceparent),
                  LOG_Z("model", d->model), LOG_Z("version", d->version), LOG_INT("rows", p->request.n_rows),
                  LOG_INT("dur_us", (end_ns - start_ns) / 1000u));
}

// The request's part of its batch. What the replica says is not believed beyond that it had a batch.
static uint64_t batch_part(uint64_t n_rows, uint64_t batch_rows)
{
    return n_rows < batch_rows ? n_rows * METRICS_BATCH_WHOLE / batch_rows : METRICS_BATCH_WHOLE;
}

void record_call(struct gateway *g, const struct call *k, const struct link_response *r, uint64_t end_ns)
{
    const struct deployment *d = k->deployment;
    struct metrics_series *s = d->series;
    s->requests[2]++;
    s->rows += k->request.n_rows;
    hist_add(&s->duration, end_ns - k->start_ns);
    hist_add(&s->queue, r->queue_ns);
    hist_add(&s->compute, r->compute_ns);
    metrics_sizes_add(&s->batch, r->batch_rows, 1);
    s->batches += batch_part(k->request.n_rows, r->batch_rows);
    s->computed_ns += call_share_ns(k, r, end_ns);
    if (g->settings->log_requests)
        log_event(&g->log, LOG_LEVEL_INFO, "prediction", LOG_Z("prediction_id", k->id),
                  LOG_STR("request_id", k->request_id), LOG_STR("traceparent", k->traceparent),
                  LOG_Z("model", d->model), LOG_Z("version", d->version), LOG_INT("rows", k->request.n_rows),
                  LOG_INT("dur_us", (end_ns - k->start_ns) / 1000u));
}

void record_rules(struct deployment *d, const struct rule_counts *counts)
{
    for (int k = 0; k < RULE_KINDS; k++)
        for (int a = 0; a < RULE_ACTIONS; a++)
            d->series->rules[k][a] += counts->n[k][a];
}

void record_refused(struct conn *c, struct deployment *d, int status)
{
    c->counted = true;
    d->series->requests[status / 100]++;
}
