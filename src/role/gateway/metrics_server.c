// SPDX-License-Identifier: Apache-2.0
// /metrics of what is no version's: connections, processes; and of the replicas.
#include "role/board.h"
#include "role/gateway/backend.h"
#include "role/gateway/control.h"
#include "role/gateway/metrics_parts.h"
#include "role/gateway/table.h"

// ---- what is scaled ----

// A gauge of each version that runs in replicas, from the counters.
static void put_counted(struct metrics_page *p, const char *name, const char *help, size_t offset)
{
    exposition_family(p->out, name, "gauge", help);
    for (size_t i = 0; i < p->n; i++) {
        if (!p->entries[i].d || !p->entries[i].d->backend)
            continue;
        struct exposition x = exposition_begin(p->out, name, "");
        metrics_labels_put(&x, &p->entries[i]);
        exposition_end_u64(&x, metrics_sum(p, &p->entries[i], offset));
    }
}

enum scale { DESIRED, TARGET, PANIC, STARVED, COLD_STARTS };

static double scale_value(const struct backend_scale *s, enum scale which)
{
    const double values[] = {[DESIRED] = s->wanted,
                             [TARGET] = s->target,
                             [PANIC] = s->panicking,
                             [STARVED] = s->starved,
                             [COLD_STARTS] = (double)s->cold_starts};
    return values[which];
}

// What the controller says of each version with a range of replicas.
static void put_scale(struct metrics_page *p, const char *name, const char *type, const char *help,
                      enum scale which)
{
    exposition_family(p->out, name, type, help);
    for (size_t i = 0; i < p->n; i++) {
        const struct backend *b = p->entries[i].d ? p->entries[i].d->backend : NULL;
        if (!b || !b->scale.known)
            continue;
        struct exposition x = exposition_begin(p->out, name, "");
        metrics_labels_put(&x, &p->entries[i]);
        exposition_end_double(&x, scale_value(&b->scale, which));
    }
}

static void put_scaling(struct metrics_page *p)
{
    put_counted(p, "slipway_inflight", "Requests to a model in replicas that are waiting or being computed.",
                offsetof(struct metrics_series, in_flight));
    put_counted(p, "slipway_queue_depth", "Of them, those that wait for a replica with room.",
                offsetof(struct metrics_series, waiting));
    put_scale(p, "slipway_autoscaler_desired", "gauge", "Replicas that a version should have now.", DESIRED);
    put_scale(p, "slipway_autoscaler_target", "gauge", "Requests under way that one replica should have.",
              TARGET);
    put_scale(p, "slipway_autoscaler_panic", "gauge", "1 while its load grows faster than the window shows.",
              PANIC);
    put_scale(p, "slipway_starved", "gauge", "1 while a version gets fewer replicas than its load asks for.",
              STARVED);
    put_scale(p, "slipway_cold_starts_total", "counter",
              "Times that a version without replicas was started by a request.", COLD_STARTS);
}

// ---- replicas ----

static bool is_replica(const struct board_row *r)
{
    return r->kind == BOARD_LOADER || r->kind == BOARD_REPLICA;
}

static bool is_child(const struct board_row *r)
{
    return !is_replica(r);
}

// Calls put for each row in use that is one of those.
static void for_each_row(struct metrics_page *p, bool (*is_one)(const struct board_row *),
                         void (*put)(const struct board_row *, struct buf *))
{
    for (unsigned i = 0; i < board_n_rows(p->g->board); i++) {
        struct board_row r = board_read(p->g->board, i);
        if (r.state != BOARD_EMPTY && is_one(&r))
            put(&r, p->out);
    }
}

static struct exposition begin_replica(const struct board_row *r, const char *name, struct buf *out)
{
    struct exposition x = exposition_begin(out, name, "");
    exposition_label(&x, "model", str_of(r->model));
    exposition_label_u64(&x, "version", r->version);
    exposition_label(&x, "process", str_of(board_kind_name(r->kind)));
    exposition_label_u64(&x, "index", r->index);
    return x;
}

static void put_replica_state(const struct board_row *r, struct buf *out)
{
    for (uint32_t state = BOARD_EMPTY + 1; state < BOARD_STATES; state++) {
        struct exposition x = begin_replica(r, "slipway_replica_state", out);
        exposition_label(&x, "state", str_of(board_state_name(state)));
        exposition_end_u64(&x, r->state == state);
    }
}

static void put_replica_restarts(const struct board_row *r, struct buf *out)
{
    struct exposition x = begin_replica(r, "slipway_replica_restarts_total", out);
    exposition_end_u64(&x, r->restarts);
}

static void put_replica_load(const struct board_row *r, struct buf *out)
{
    struct exposition x = begin_replica(r, "slipway_replica_load_seconds", out);
    exposition_end_ns(&x, r->load_ns);
}

// How many of each state a version has.
static void put_replica_counts(struct metrics_page *p)
{
    exposition_family(p->out, "slipway_replicas", "gauge", "Replicas of a version in each state.");
    for (size_t i = 0; i < p->n; i++) {
        const struct metrics_entry *entry = &p->entries[i];
        uint32_t n[BOARD_STATES] = {0};
        if (!entry->d || !entry->d->backend)
            continue;
        for (unsigned k = 0; k < board_n_rows(p->g->board); k++) {
            struct board_row r = board_read(p->g->board, k);
            if (r.kind == BOARD_REPLICA && r.deployment == entry->d->id && r.state < BOARD_STATES)
                n[r.state]++;
        }
        for (uint32_t state = BOARD_EMPTY + 1; state < BOARD_STATES; state++) {
            struct exposition x = exposition_begin(p->out, "slipway_replicas", "");
            metrics_labels_put(&x, entry);
            exposition_label(&x, "state", str_of(board_state_name(state)));
            exposition_end_u64(&x, n[state]);
        }
    }
}

void metrics_replicas_put(struct metrics_page *p)
{
    put_scaling(p);
    put_replica_counts(p);
    exposition_family(p->out, "slipway_replica_state", "gauge",
                      "1 for the state that a loader or replica is in, else 0.");
    for_each_row(p, is_replica, put_replica_state);
    exposition_family(p->out, "slipway_replica_restarts_total", "counter",
                      "Times a loader or replica died and was started again.");
    for_each_row(p, is_replica, put_replica_restarts);
    exposition_family(p->out, "slipway_replica_load_seconds", "gauge", "How long it took to be ready.");
    for_each_row(p, is_replica, put_replica_load);
}

// ---- the server ----

static void put_total(struct metrics_page *p, const char *name, const char *type, const char *help,
                      size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < p->g->n_gateways; i++)
        sum += *(const uint64_t *)((const char *)&p->g->shards[i] + offset);
    exposition_family(p->out, name, type, help);
    struct exposition x = exposition_begin(p->out, name, "");
    exposition_end_u64(&x, sum);
}

static void put_others(struct metrics_page *p)
{
    static const char NAME[] = "slipway_other_requests_total";
    exposition_family(p->out, NAME, "counter",
                      "Requests that no model answered: health, metadata, registry, errors.");
    for (int class = 2; class < METRICS_CODE_CLASSES; class ++) {
        const char code[] = {(char)('0' + class), 'x', 'x', '\0'};
        uint64_t sum = 0;
        for (unsigned i = 0; i < p->g->n_gateways; i++)
            sum += p->g->shards[i].unrouted[class];
        struct exposition x = exposition_begin(p->out, NAME, "");
        exposition_label(&x, "code", str_of(code));
        exposition_end_u64(&x, sum);
    }
}

static struct exposition begin_process(const struct board_row *r, const char *name, struct buf *out)
{
    struct exposition x = exposition_begin(out, name, "");
    exposition_label(&x, "process", str_of(board_kind_name(r->kind)));
    exposition_label_u64(&x, "index", r->index);
    return x;
}

static void put_process_up(const struct board_row *r, struct buf *out)
{
    struct exposition x = begin_process(r, "slipway_process_up", out);
    exposition_end_u64(&x, r->state == BOARD_READY);
}

static void put_process_restarts(const struct board_row *r, struct buf *out)
{
    struct exposition x = begin_process(r, "slipway_process_restarts_total", out);
    exposition_end_u64(&x, r->restarts);
}

void metrics_server_put(struct metrics_page *p)
{
    put_total(p, "slipway_connections", "gauge", "Open client connections.",
              offsetof(struct metrics_shard, connections));
    put_total(p, "slipway_connections_total", "counter", "Client connections accepted.",
              offsetof(struct metrics_shard, connections_total));
    put_total(p, "slipway_connections_refused_total", "counter", "Client connections refused at the limit.",
              offsetof(struct metrics_shard, refused_total));
    put_total(p, "slipway_received_bytes_total", "counter", "Bytes read from clients.",
              offsetof(struct metrics_shard, bytes_in));
    put_total(p, "slipway_sent_bytes_total", "counter", "Bytes written to clients.",
              offsetof(struct metrics_shard, bytes_out));
    put_others(p);
    exposition_family(p->out, "slipway_process_up", "gauge", "1 while the process is ready.");
    for_each_row(p, is_child, put_process_up);
    exposition_family(p->out, "slipway_process_restarts_total", "counter",
                      "Times the process died and was started again.");
    for_each_row(p, is_child, put_process_restarts);
    exposition_family(p->out, "slipway_controller_connected", "gauge",
                      "1 while the gateway that answers hears from the controller.");
    struct exposition x = exposition_begin(p->out, "slipway_controller_connected", "");
    exposition_end_u64(&x, control_is_connected(p->g->control));
}
