// SPDX-License-Identifier: Apache-2.0
// Exposition. Names and buckets: OpenTelemetry's HTTP list, extended downwards for models that answer in
// microseconds.
#include "role/gateway/metrics_page.h"

#include "role/board.h"
#include "role/gateway/backend.h"
#include "role/gateway/control.h"
#include "role/gateway/table.h"
#include "tensor/rule.h"

#include <stdlib.h>

static const struct {
    const char *le;
    uint64_t ns;
} DURATION_BUCKETS[] = {
    {"1e-05", 10000},    {"2.5e-05", 25000},   {"5e-05", 50000},    {"0.0001", 100000},   {"0.00025", 250000},
    {"0.0005", 500000},  {"0.001", 1000000},   {"0.0025", 2500000}, {"0.005", 5000000},   {"0.01", 10000000},
    {"0.025", 25000000}, {"0.05", 50000000},   {"0.1", 100000000},  {"0.25", 250000000},  {"0.5", 500000000},
    {"1", 1000000000},   {"2.5", 2500000000u}, {"5", 5000000000u},  {"10", 10000000000u},
};
enum { N_DURATION_BUCKETS = sizeof DURATION_BUCKETS / sizeof DURATION_BUCKETS[0] };

static void put_help(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_labels(struct buf *out, const struct deployment *d)
{
    // Model names and versions are made of letters, digits, '.', '_' and '-': nothing to escape.
    buf_printf(out, "model=\"%s\",version=\"%s\",arm=\"stable\"", d->model, d->version);
}

// Calls put for each deployment that is served, once.
static void for_each(struct gateway *g,
                     void (*put)(struct gateway *, const struct deployment *, struct buf *), struct buf *out)
{
    for (uint32_t i = 0; i < g->table->n_models; i++)
        for (uint32_t k = 0; k < g->table->models[i].n_versions; k++)
            put(g, g->table->models[i].names[k].deployment, out);
}

// The deployment's series in shard i, or NULL while that gateway has not counted anything for it.
static const struct metrics_series *series_of(const struct gateway *g, unsigned i, const struct deployment *d)
{
    const struct metrics_series *s = &g->shards[i].series[d->series - g->metrics->series];
    return s->deployment == d->key ? s : NULL;
}

static void put_requests(struct gateway *g, const struct deployment *d, struct buf *out)
{
    for (int class = 2; class < METRICS_CODE_CLASSES; class ++) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < g->n_gateways; i++)
            sum += series_of(g, i, d) ? series_of(g, i, d)->requests[class] : 0;
        if (class == 3 || (sum == 0 && class != 2))
            continue;
        buf_puts(out, "slipway_requests_total{");
        put_labels(out, d);
        buf_printf(out, ",code=\"%dxx\"} %llu\n", class, (unsigned long long)sum);
    }
}

static void put_number(const struct deployment *d, const char *name, uint64_t value, struct buf *out)
{
    buf_printf(out, "%s{", name);
    put_labels(out, d);
    buf_printf(out, "} %llu\n", (unsigned long long)value);
}

static void put_rows(struct gateway *g, const struct deployment *d, struct buf *out)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < g->n_gateways; i++)
        sum += series_of(g, i, d) ? series_of(g, i, d)->rows : 0;
    buf_puts(out, "slipway_rows_total{");
    put_labels(out, d);
    buf_printf(out, "} %llu\n", (unsigned long long)sum);
}

static void put_rules(struct gateway *g, const struct deployment *d, struct buf *out)
{
    _Static_assert((int)RULE_KINDS == METRICS_RULE_KINDS && (int)RULE_ACTIONS == METRICS_RULE_ACTIONS,
                   "as counted");
    if (!d->rules)
        return;
    for (int k = 0; k < RULE_KINDS; k++)
        for (int a = 0; a < RULE_ACTIONS; a++) {
            uint64_t sum = 0;
            for (unsigned i = 0; i < g->n_gateways; i++)
                sum += series_of(g, i, d) ? series_of(g, i, d)->rules[k][a] : 0;
            buf_puts(out, "slipway_signature_values_total{");
            put_labels(out, d);
            buf_printf(out, ",kind=\"%s\",action=\"%s\"} %llu\n", rule_kind_name((enum rule_kind)k),
                       rule_action_name((enum rule_action)a), (unsigned long long)sum);
        }
}

static void put_hist(struct gateway *g, const struct deployment *d, const char *name, size_t offset,
                     struct buf *out)
{
    struct hist *sum = calloc(1, sizeof *sum);
    if (!sum) {
        out->failed = true;
        return;
    }
    for (unsigned i = 0; i < g->n_gateways; i++) {
        const struct metrics_series *s = series_of(g, i, d);
        if (s)
            hist_merge(sum, (const struct hist *)((const char *)s + offset));
    }
    for (int b = 0; b <= N_DURATION_BUCKETS; b++) {
        bool last = b == N_DURATION_BUCKETS;
        buf_printf(out, "%s_bucket{", name);
        put_labels(out, d);
        buf_printf(out, ",le=\"%s\"} %llu\n", last ? "+Inf" : DURATION_BUCKETS[b].le,
                   (unsigned long long)(last ? sum->count : hist_count_below(sum, DURATION_BUCKETS[b].ns)));
    }
    buf_printf(out, "%s_sum{", name);
    put_labels(out, d);
    buf_printf(out, "} %.9f\n%s_count{", (double)sum->sum_ns * 1e-9, name);
    put_labels(out, d);
    buf_printf(out, "} %llu\n", (unsigned long long)sum->count);
    free(sum);
}

static void put_duration(struct gateway *g, const struct deployment *d, struct buf *out)
{
    put_hist(g, d, "slipway_request_duration_seconds", offsetof(struct metrics_series, duration), out);
}

static void put_queue(struct gateway *g, const struct deployment *d, struct buf *out)
{
    put_hist(g, d, "slipway_queue_duration_seconds", offsetof(struct metrics_series, queue), out);
}

static void put_compute(struct gateway *g, const struct deployment *d, struct buf *out)
{
    put_hist(g, d, "slipway_compute_duration_seconds", offsetof(struct metrics_series, compute), out);
}

static void put_batch(struct gateway *g, const struct deployment *d, struct buf *out)
{
    struct hist *sum = calloc(1, sizeof *sum);
    if (!sum) {
        out->failed = true;
        return;
    }
    for (unsigned i = 0; i < g->n_gateways; i++)
        if (series_of(g, i, d))
            hist_merge(sum, &series_of(g, i, d)->batch);
    for (uint64_t le = 1; le <= 8192; le *= 2) {
        buf_puts(out, "slipway_batch_size_bucket{");
        put_labels(out, d);
        buf_printf(out, ",le=\"%llu\"} %llu\n", (unsigned long long)le,
                   (unsigned long long)hist_count_below(sum, le));
    }
    buf_puts(out, "slipway_batch_size_bucket{");
    put_labels(out, d);
    buf_printf(out, ",le=\"+Inf\"} %llu\nslipway_batch_size_sum{", (unsigned long long)sum->count);
    put_labels(out, d);
    buf_printf(out, "} %llu\nslipway_batch_size_count{", (unsigned long long)sum->sum_ns);
    put_labels(out, d);
    buf_printf(out, "} %llu\n", (unsigned long long)sum->count);
    free(sum);
}

// One number of the series, added up over the gateways.
static void put_sum(struct gateway *g, const struct deployment *d, const char *name, size_t offset,
                    struct buf *out)
{
    uint64_t sum = 0;
    if (!d->backend)
        return;
    for (unsigned i = 0; i < g->n_gateways; i++) {
        const struct metrics_series *s = series_of(g, i, d);
        sum += s ? *(const uint64_t *)((const char *)s + offset) : 0;
    }
    put_number(d, name, sum, out);
}

static void put_in_flight(struct gateway *g, const struct deployment *d, struct buf *out)
{
    put_sum(g, d, "slipway_requests_in_flight", offsetof(struct metrics_series, in_flight), out);
}

static void put_depth(struct gateway *g, const struct deployment *d, struct buf *out)
{
    put_sum(g, d, "slipway_queue_depth", offsetof(struct metrics_series, waiting), out);
}

static void put_wanted(struct gateway *g, const struct deployment *d, struct buf *out)
{
    (void)g;
    if (d->backend && d->backend->scale.known)
        put_number(d, "slipway_replicas_wanted", d->backend->scale.wanted, out);
}

static void put_starved(struct gateway *g, const struct deployment *d, struct buf *out)
{
    (void)g;
    if (d->backend && d->backend->scale.known)
        put_number(d, "slipway_starved", d->backend->scale.starved, out);
}

static void put_cold_starts(struct gateway *g, const struct deployment *d, struct buf *out)
{
    (void)g;
    if (d->backend && d->backend->scale.known)
        put_number(d, "slipway_cold_starts_total", d->backend->scale.cold_starts, out);
}

static void put_scaling(struct gateway *g, struct buf *out)
{
    put_help(out, "slipway_requests_in_flight", "gauge",
             "Requests to a model in replicas that are waiting or being computed.");
    for_each(g, put_in_flight, out);
    put_help(out, "slipway_queue_depth", "gauge", "Of them, those that wait for a replica with room.");
    for_each(g, put_depth, out);
    put_help(out, "slipway_replicas_wanted", "gauge", "Replicas that a version should have now.");
    for_each(g, put_wanted, out);
    put_help(out, "slipway_starved", "gauge",
             "1 while a version gets fewer replicas than its load asks for.");
    for_each(g, put_starved, out);
    put_help(out, "slipway_cold_starts_total", "counter",
             "Times that a version without replicas was started by a request.");
    for_each(g, put_cold_starts, out);
}

static void put_total(struct gateway *g, const char *name, const char *type, const char *help, size_t offset,
                      struct buf *out)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < g->n_gateways; i++)
        sum += *(const uint64_t *)((const char *)&g->shards[i] + offset);
    put_help(out, name, type, help);
    buf_printf(out, "%s %llu\n", name, (unsigned long long)sum);
}

static void put_server(struct gateway *g, struct buf *out)
{
    put_total(g, "slipway_connections", "gauge", "Open client connections.",
              offsetof(struct metrics_shard, connections), out);
    put_total(g, "slipway_connections_total", "counter", "Client connections accepted.",
              offsetof(struct metrics_shard, connections_total), out);
    put_total(g, "slipway_connections_refused_total", "counter", "Client connections refused at the limit.",
              offsetof(struct metrics_shard, refused_total), out);
    put_total(g, "slipway_received_bytes_total", "counter", "Bytes read from clients.",
              offsetof(struct metrics_shard, bytes_in), out);
    put_total(g, "slipway_sent_bytes_total", "counter", "Bytes written to clients.",
              offsetof(struct metrics_shard, bytes_out), out);
    put_help(out, "slipway_other_requests_total", "counter",
             "Requests that no model answered: health, metadata, registry, errors.");
    for (int class = 2; class < METRICS_CODE_CLASSES; class ++) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < g->n_gateways; i++)
            sum += g->shards[i].unrouted[class];
        buf_printf(out, "slipway_other_requests_total{code=\"%dxx\"} %llu\n", class, (unsigned long long)sum);
    }
}

static bool is_child(const struct board_row *r)
{
    return r->kind == BOARD_GATEWAY || r->kind == BOARD_CONTROLLER;
}

static void put_replica_labels(const struct board_row *r, struct buf *out)
{
    buf_printf(out, "model=\"%s\",version=\"%u\",process=\"%s\",index=\"%u\"", r->model, r->version,
               board_kind_name(r->kind), r->index);
}

// Calls put for each loader and replica.
static void for_each_replica(const struct gateway *g, void (*put)(const struct board_row *, struct buf *),
                             struct buf *out)
{
    for (unsigned i = 0; i < board_n_rows(g->board); i++) {
        struct board_row r = board_read(g->board, i);
        if (r.state != BOARD_EMPTY && !is_child(&r))
            put(&r, out);
    }
}

static void put_replica_state(const struct board_row *r, struct buf *out)
{
    for (uint32_t state = BOARD_EMPTY + 1; state < BOARD_STATES; state++) {
        buf_puts(out, "slipway_replica_state{");
        put_replica_labels(r, out);
        buf_printf(out, ",state=\"%s\"} %d\n", board_state_name(state), r->state == state);
    }
}

static void put_replica_restarts(const struct board_row *r, struct buf *out)
{
    buf_puts(out, "slipway_replica_restarts_total{");
    put_replica_labels(r, out);
    buf_printf(out, "} %u\n", r->restarts);
}

static void put_replica_load(const struct board_row *r, struct buf *out)
{
    buf_puts(out, "slipway_replica_load_seconds{");
    put_replica_labels(r, out);
    buf_printf(out, "} %.6f\n", (double)r->load_ns / 1e9);
}

static void put_replicas(const struct gateway *g, struct buf *out)
{
    put_help(out, "slipway_replica_state", "gauge",
             "1 for the state that a loader or replica is in, else 0.");
    for_each_replica(g, put_replica_state, out);
    put_help(out, "slipway_replica_restarts_total", "counter",
             "Times a loader or replica died and was started again.");
    for_each_replica(g, put_replica_restarts, out);
    put_help(out, "slipway_replica_load_seconds", "gauge", "How long it took to be ready.");
    for_each_replica(g, put_replica_load, out);
}

static void put_processes(struct gateway *g, struct buf *out)
{
    put_help(out, "slipway_process_up", "gauge", "1 while the process is ready.");
    for (unsigned i = 0; i < board_n_rows(g->board); i++) {
        struct board_row r = board_read(g->board, i);
        if (!is_child(&r))
            continue;
        buf_printf(out, "slipway_process_up{process=\"%s\",index=\"%u\"} %d\n", board_kind_name(r.kind),
                   r.index, r.state == BOARD_READY);
    }
    put_help(out, "slipway_process_restarts_total", "counter",
             "Times the process died and was started again.");
    for (unsigned i = 0; i < board_n_rows(g->board); i++) {
        struct board_row r = board_read(g->board, i);
        if (!is_child(&r))
            continue;
        buf_printf(out, "slipway_process_restarts_total{process=\"%s\",index=\"%u\"} %u\n",
                   board_kind_name(r.kind), r.index, r.restarts);
    }
}

void metrics_page_put(struct gateway *g, struct buf *out)
{
    put_help(out, "slipway_build_info", "gauge", "Always 1; the version is in the label.");
    buf_puts(out, "slipway_build_info{version=\"" SLIPWAY_VERSION "\"} 1\n");
    put_help(out, "slipway_requests_total", "counter", "Prediction requests by answer.");
    for_each(g, put_requests, out);
    put_help(out, "slipway_rows_total", "counter", "Rows predicted.");
    for_each(g, put_rows, out);
    put_help(out, "slipway_signature_values_total", "counter",
             "Values that broke a rule of the signature, and what became of them.");
    for_each(g, put_rules, out);
    put_help(out, "slipway_request_duration_seconds", "histogram",
             "From the read of a request to the write of its answer.");
    for_each(g, put_duration, out);
    put_help(out, "slipway_queue_duration_seconds", "histogram",
             "From the read of a request to the start of its computation.");
    for_each(g, put_queue, out);
    put_help(out, "slipway_compute_duration_seconds", "histogram",
             "Computation of the batch a request was part of.");
    for_each(g, put_compute, out);
    put_help(out, "slipway_batch_size", "histogram", "Rows computed together with a request.");
    for_each(g, put_batch, out);
    put_scaling(g, out);
    put_server(g, out);
    put_processes(g, out);
    put_replicas(g, out);
    put_help(out, "slipway_controller_connected", "gauge", "1 while this gateway hears from the controller.");
    buf_printf(out, "slipway_controller_connected{gateway=\"%u\"} %d\n", g->index,
               control_is_connected(g->control));
}
