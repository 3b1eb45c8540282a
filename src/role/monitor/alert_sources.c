// SPDX-License-Identifier: Apache-2.0
// Counters of other processes are read while they count: what is a little behind now is there in a second.
#include "role/monitor/alert_sources.h"

#include "base/clock.h"
#include "monitor/alert.h"
#include "monitor/observer_json.h"
#include "role/board.h"
#include "role/log_memory.h"
#include "role/metrics.h"
#include "role/monitor/alert_quality.h"
#include "role/monitor/drift_feed.h"
#include "role/monitor/models.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct alert_reading reading_of(enum alert_kind kind, const struct version *v)
{
    return (struct alert_reading){.kind = kind, .model = str_of(v->model), .version = v->version};
}

static void add_durations(struct alert_reading *r, const struct hist *h)
{
    for (unsigned i = 0; i < HIST_EDGES; i++)
        r->cells[i] += hist_count_at_edge(h, i);
    r->cells[HIST_EDGES] += h->count;
}

static void read_requests(struct monitor *m, const struct metrics_shard *shards, const struct version *v,
                          struct alert_book *b, uint64_t wall_ns)
{
    struct alert_reading errors = reading_of(ALERT_ERRORS, v), latency = reading_of(ALERT_LATENCY, v);
    uint64_t key = metrics_key(str_of(v->model), v->version);
    for (unsigned i = 0; i < m->args->n_gateways; i++) {
        const struct metrics_series *s = &shards[i].series[v->slot];
        if (s->deployment != key)
            continue;
        errors.cells[0] += s->requests[5];
        for (unsigned c = 2; c < METRICS_CODE_CLASSES; c++)
            errors.cells[1] += s->requests[c];
        add_durations(&latency, &s->duration);
    }
    alert_book_read(b, &errors, wall_ns);
    alert_book_read(b, &latency, wall_ns);
}

// Loaders and replicas of a version, as the board has them: one whose replicas are given up is served no
// more.
struct crew {
    uint64_t deployment, restarts;
    uint32_t version, n_failed;
    char model[BOARD_MODEL_BYTES];
};

static struct crew *crew_of(struct crew *crews, unsigned *n, const struct board_row *row)
{
    for (unsigned i = 0; i < *n; i++)
        if (crews[i].deployment == row->deployment)
            return &crews[i];
    struct crew *c = &crews[(*n)++];
    *c = (struct crew){.deployment = row->deployment, .version = row->version};
    memcpy(c->model, row->model, sizeof c->model);
    return c;
}

static bool is_of_version(const struct board_row *row)
{
    return row->kind == BOARD_LOADER || row->kind == BOARD_REPLICA;
}

static void read_replicas(struct monitor *m, struct alert_book *b, uint64_t wall_ns)
{
    unsigned n = 0, n_rows = board_n_rows(m->board);
    struct crew *crews = malloc((n_rows + 1) * sizeof *crews);
    for (unsigned i = 0; crews && i < n_rows; i++) {
        struct board_row row = board_read(m->board, i);
        if (!is_of_version(&row) || row.state == BOARD_EMPTY)
            continue;
        struct crew *c = crew_of(crews, &n, &row);
        c->n_failed += row.state == BOARD_FAILED;
        c->restarts += row.restarts;
    }
    for (unsigned i = 0; i < n; i++) {
        struct alert_reading r = {.kind = ALERT_REPLICA_FAILED,
                                  .model = str_of(crews[i].model),
                                  .version = crews[i].version,
                                  .level = crews[i].n_failed};
        alert_book_read(b, &r, wall_ns);
        r.kind = ALERT_REPLICA_RESTARTS;
        r.cells[0] = crews[i].restarts;
        alert_book_read(b, &r, wall_ns);
    }
    free(crews);
}

// One that is still comparing a window says what it finds when it is through.
static void read_drift(struct monitor *m, const struct version *v, struct alert_book *b, uint64_t wall_ns)
{
    struct alert_reading r = reading_of(ALERT_DRIFT, v);
    const struct observer *o = drift_observer(m, v);
    r.level = o && !o->to_compare ? (double)observer_level(o) : (double)NAN;
    if (o)
        alert_book_read(b, &r, wall_ns);
}

static void read_processes(struct monitor *m, struct alert_book *b, uint64_t wall_ns)
{
    for (unsigned i = 0; i < board_n_rows(m->board); i++) {
        struct board_row row = board_read(m->board, i);
        char subject[ALERT_SUBJECT_BYTES];
        if (row.kind == 0 || row.state == BOARD_EMPTY || is_of_version(&row))
            continue;
        snprintf(subject, sizeof subject, "%s %u", board_kind_name(row.kind), row.index);
        struct alert_reading r = {
            .kind = ALERT_PROCESS_RESTARTS, .subject = str_of(subject), .cells = {row.restarts}};
        alert_book_read(b, &r, wall_ns);
    }
}

// Those that a policy leaves out on purpose are not lost.
static void read_log(struct monitor *m, struct alert_book *b, uint64_t wall_ns)
{
    struct log_counts c;
    struct err ignored;
    if (log_memory_counts(m->args->log_fd, m->args->n_gateways, &c, &ignored))
        return;
    struct alert_reading r = {.kind = ALERT_LOG_DROPS,
                              .cells = {log_counts_dropped(&c) - c.dropped[LOG_REASON_SAMPLED]}};
    alert_book_read(b, &r, wall_ns);
}

void alert_sources_read(struct monitor *m, const struct metrics_shard *shards, struct alert_book *b,
                        uint64_t wall_ns)
{
    const struct version *v;
    for (size_t i = 0; (v = models_at(m->models, i)) != NULL; i++) {
        if (!v->is_served || v->slot >= METRICS_SERIES)
            continue;
        read_requests(m, shards, v, b, wall_ns);
        read_drift(m, v, b, wall_ns);
    }
    read_replicas(m, b, wall_ns);
    alert_quality_read(m, b, clock_mono_ns(), wall_ns);
    read_processes(m, b, wall_ns);
    read_log(m, b, wall_ns);
}
