// SPDX-License-Identifier: Apache-2.0
// The names that dashboards for Triton and KServe ask for, filled from the same counters. What those servers
// measure and this one does not has no series: docs/monitoring.md lists it.
#include "role/gateway/metrics_parts.h"
#include "settings/settings.h"

#include <string.h>

enum aliases { ALIASES_NONE, ALIASES_TRITON, ALIASES_KSERVE, ALIASES_ALL }; // as in settings/table.h

enum { NS_PER_US = 1000 };

static size_t hist_at(size_t hist)
{
    return hist + offsetof(struct hist, sum_ns);
}

static uint64_t requests(const struct metrics_page *p, const struct metrics_entry *x, size_t class)
{
    return metrics_sum(p, x, offsetof(struct metrics_series, requests) + class * sizeof(uint64_t));
}

static uint64_t sum_us(const struct metrics_page *p, const struct metrics_entry *x, size_t hist)
{
    return metrics_sum(p, x, hist_at(hist)) / NS_PER_US;
}

// ---- Triton ----

enum triton { SUCCESS, FAILURE, ROWS, EXECUTIONS, REQUEST_US, QUEUE_US, INPUT_US, INFER_US, OUTPUT_US };

static uint64_t triton_value(const struct metrics_page *p, const struct metrics_entry *x, enum triton which)
{
    uint64_t queue = sum_us(p, x, offsetof(struct metrics_series, queue));
    uint64_t compute = sum_us(p, x, offsetof(struct metrics_series, compute));
    uint64_t all = sum_us(p, x, offsetof(struct metrics_series, duration));
    switch (which) {
    case SUCCESS:
        return requests(p, x, 2);
    case FAILURE:
        return requests(p, x, 4) + requests(p, x, 5);
    case ROWS:
        return metrics_sum(p, x, offsetof(struct metrics_series, rows));
    case EXECUTIONS:
        return (metrics_sum(p, x, offsetof(struct metrics_series, batches)) + METRICS_BATCH_WHOLE / 2) /
               METRICS_BATCH_WHOLE;
    case REQUEST_US:
        return all;
    case QUEUE_US:
        return queue;
    case INFER_US:
        return compute;
    case OUTPUT_US: // what is left of a request after its computation
        return all > queue + compute ? all - queue - compute : 0;
    case INPUT_US:
        break;
    }
    return 0; // decoding is part of the queue here
}

static void put_triton(struct metrics_page *p)
{
    static const struct {
        const char *name, *help;
    } FAMILIES[] = {
        [SUCCESS] = {"nv_inference_request_success", "Requests answered with 2xx."},
        [FAILURE] = {"nv_inference_request_failure", "Requests answered with 4xx or 5xx."},
        [ROWS] = {"nv_inference_count", "Rows predicted."},
        [EXECUTIONS] = {"nv_inference_exec_count", "Batches computed."},
        [REQUEST_US] = {"nv_inference_request_duration_us", "Time of requests, added up."},
        [QUEUE_US] = {"nv_inference_queue_duration_us", "Time before the computation, decoding included."},
        [INPUT_US] = {"nv_inference_compute_input_duration_us", "0: part of the queue's time."},
        [INFER_US] = {"nv_inference_compute_infer_duration_us", "Time of computation, added up."},
        [OUTPUT_US] = {"nv_inference_compute_output_duration_us", "Time after the computation, added up."},
    };
    for (size_t f = 0; f < sizeof FAMILIES / sizeof FAMILIES[0]; f++) {
        exposition_family(p->out, FAMILIES[f].name, "counter", FAMILIES[f].help);
        for (size_t i = 0; i < p->n; i++) {
            struct exposition x = exposition_begin(p->out, FAMILIES[f].name, "");
            exposition_label(&x, "model", str_of(p->entries[i].model));
            exposition_label_u64(&x, "version", p->entries[i].version);
            exposition_end_u64(&x, triton_value(p, &p->entries[i], (enum triton)f));
        }
    }
}

// ---- KServe ----

static void put_model_name(struct exposition *x, const struct metrics_entry *entry)
{
    exposition_label(x, "model_name", str_of(entry->model));
}

// One histogram for each model: the label of KServe has no version.
static void put_kserve_hist(struct metrics_page *p, const char *name, const char *help, size_t offset)
{
    exposition_family(p->out, name, "histogram", help);
    for (size_t i = 0; i < p->n;) {
        size_t first = i;
        memset(&p->sum, 0, sizeof p->sum);
        for (; i < p->n && strcmp(p->entries[i].model, p->entries[first].model) == 0; i++)
            metrics_hist_add(p, &p->entries[i], offset);
        metrics_hist_put(p, name, put_model_name, &p->entries[first]);
    }
}

void metrics_aliases_put(struct metrics_page *p)
{
    uint32_t which = p->g->settings->metrics_aliases;
    if (which == ALIASES_TRITON || which == ALIASES_ALL)
        put_triton(p);
    if (which != ALIASES_KSERVE && which != ALIASES_ALL)
        return;
    put_kserve_hist(p, "request_preprocess_seconds", "From the read of a request to its computation.",
                    offsetof(struct metrics_series, queue));
    put_kserve_hist(p, "request_predict_seconds", "Computation of the batch a request was part of.",
                    offsetof(struct metrics_series, compute));
}
