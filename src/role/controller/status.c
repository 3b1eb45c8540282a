// SPDX-License-Identifier: Apache-2.0
// The state of the server as the controller sees it: processes, gateways' tables, what is served.
#include "base/clock.h"
#include "os/proc.h"
#include "role/board.h"
#include "role/controller/describe.h"
#include "role/controller/gateways.h"
#include "role/controller/request.h"

#include <unistd.h>

// kept: NULL when there are too many to look at each in full.
static void put_memory(int pid, struct memory_kept *kept, uint64_t mono_ns, struct buf *out)
{
    struct proc_memory m;
    if (pid <= 0 || !(kept ? memory_kept_look(kept, pid, mono_ns, &m) : proc_memory(pid, &m)))
        return;
    buf_printf(out, ",\"memory\":{\"resident\":%llu,\"own\":%llu", (unsigned long long)m.resident_bytes,
               (unsigned long long)m.own_bytes);
    if (m.pss_bytes)
        buf_printf(out, ",\"proportional\":%llu", (unsigned long long)m.pss_bytes);
    buf_putc(out, '}');
}

static void put_process(const struct board_row *row, struct memory_kept *kept, struct buf *out)
{
    uint64_t mono_ns = clock_mono_ns();
    bool is_replica = row->kind == BOARD_REPLICA;
    buf_printf(out, "{\"kind\":\"%s\",\"index\":%u,\"state\":\"%s\",\"pid\":%d,\"restarts\":%u",
               board_kind_name(row->kind), row->index, board_state_name(row->state), row->pid, row->restarts);
    if (row->pid && row->started_mono_ns)
        buf_printf(out, ",\"running_ms\":%llu",
                   (unsigned long long)(mono_ns - row->started_mono_ns) / 1000000);
    if (row->why[0]) {
        buf_printf(out, ",\"last_exit\":%d,\"reason\":", row->last_exit);
        buf_put_json_str(out, str_of(row->why));
    }
    if (row->model[0]) {
        buf_puts(out, ",\"model\":");
        buf_put_json_str(out, str_of(row->model));
        buf_printf(out, ",\"version\":%u,\"deployment\":%llu", row->version,
                   (unsigned long long)row->deployment);
        if (is_replica)
            buf_printf(out, ",\"replica\":%u", row->replica);
        if (row->load_ns)
            buf_printf(out, ",\"load_ms\":%llu", (unsigned long long)row->load_ns / 1000000);
    }
    put_memory(row->pid, kept, mono_ns, out);
    buf_putc(out, '}');
}

static void put_processes(struct controller *c, struct buf *out)
{
    unsigned n = 0;
    buf_puts(out, ",\"processes\":[");
    for (unsigned i = 0; c->board && i < board_n_rows(c->board); i++) {
        struct board_row row = board_read(c->board, i);
        if (row.state == BOARD_EMPTY)
            continue;
        if (n)
            buf_putc(out, ',');
        put_process(&row, n < CONTROLLER_MEMORY_KEPT ? &c->memory[n] : NULL, out);
        n++;
    }
    buf_putc(out, ']');
}

static void put_gateways(const struct controller *c, struct buf *out)
{
    const char *comma = "";
    buf_puts(out, ",\"gateways\":[");
    for (unsigned i = 0; i < c->args->n_gateways; i++) {
        const struct gateway_link *g = &c->gateways[i];
        if (!g->peer && !gateway_is_current(c, i))
            continue;
        buf_printf(out, "%s{\"gateway\":%u,\"connected\":%s,\"generation\":%llu}", comma, i,
                   g->peer ? "true" : "false", (unsigned long long)g->acked_generation);
        comma = ",";
    }
    buf_putc(out, ']');
}

static void put_deployments(const struct controller *c, struct buf *out)
{
    const char *comma = "";
    buf_puts(out, ",\"deployments\":[");
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        const struct deployment *d = c->routing.slots[i];
        if (!d || !d->id)
            continue;
        buf_puts(out, comma);
        buf_puts(out, "{\"model\":");
        buf_put_json_str(out, str_of(d->model));
        buf_printf(out,
                   ",\"version\":%u,\"deployment\":%llu,\"slot\":%u,\"state\":\"%s\",\"image_bytes\":%llu",
                   d->version, (unsigned long long)d->id, d->slot, deployment_state_name(d->state),
                   (unsigned long long)d->image_bytes);
        if (d->is_declared)
            buf_printf(out, ",\"replicas\":{\"wanted\":%u,\"ready\":%u,\"min\":%u,\"max\":%u},\"starved\":%s",
                       d->n_wanted, d->n_ready, d->settings.min_replicas, d->settings.max_replicas,
                       d->is_starved ? "true" : "false");
        if (d->is_declared && d->settings.min_replicas == 0)
            buf_printf(out, ",\"cold_starts\":%llu", (unsigned long long)d->n_cold_starts);
        if (d->state == DEPLOYMENT_FAILED || d->is_given_up) {
            buf_puts(out, ",\"error\":");
            buf_put_json_str(out, str_of(d->why.msg));
        }
        buf_putc(out, '}');
        comma = ",";
    }
    buf_putc(out, ']');
}

// Whether every version that is served can answer now.
static bool is_ready(const struct controller *c)
{
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        const struct deployment *d = c->routing.slots[i];
        if (d && d->state == DEPLOYMENT_READY && (d->is_away || (d->n_wanted && d->n_ready == 0)))
            return false;
        if (d && d->state == DEPLOYMENT_FAILED &&
            d->version == routing_default(&c->routing, str_of(d->model))) // the model answers nothing
            return false;
    }
    return routing_is_complete(&c->routing);
}

int status_show(struct request *r, struct err *e)
{
    (void)e;
    struct controller *c = r->c;
    struct buf *out = &r->out;
    buf_printf(out, "{\"ready\":%s,\"generation\":%llu", is_ready(c) ? "true" : "false",
               (unsigned long long)c->routing.generation);
    buf_printf(out, ",\"controller\":{\"pid\":%d,\"compiling\":%u,\"compiles_waiting\":%u}", (int)getpid(),
               c->n_jobs_running, c->n_jobs_waiting);
    describe_time("started", c->started_wall_ns, out);
    put_processes(c, out);
    put_gateways(c, out);
    put_deployments(c, out);
    unsigned n_taken = 0; // with those whose version is being checked
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++)
        n_taken += c->routing.slots[i] != NULL;
    buf_printf(out, ",\"slots\":{\"taken\":%u,\"limit\":%d}}", n_taken, LIMIT_DEPLOYMENTS);
    request_answer(r, 200, "application/json");
    return 0;
}
