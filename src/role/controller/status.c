// SPDX-License-Identifier: Apache-2.0
// The state of the server as the controller sees it: processes, gateways' tables, what is served.
#include "role/board.h"
#include "role/controller/describe.h"
#include "role/controller/request.h"

#include <unistd.h>

static void put_processes(const struct controller *c, struct buf *out)
{
    const char *comma = "";
    buf_puts(out, ",\"processes\":[");
    for (unsigned i = 0; c->board && i < board_n_rows(c->board); i++) {
        struct board_row row = board_read(c->board, i);
        if (row.state == BOARD_EMPTY)
            continue;
        buf_printf(out, "%s{\"kind\":\"%s\",\"index\":%u,\"state\":\"%s\",\"pid\":%d,\"restarts\":%u}", comma,
                   board_kind_name(row.kind), row.index, board_state_name(row.state), row.pid, row.restarts);
        comma = ",";
    }
    buf_putc(out, ']');
}

static void put_gateways(const struct controller *c, struct buf *out)
{
    buf_puts(out, ",\"gateways\":[");
    for (unsigned i = 0; i < c->args->n_gateways; i++) {
        const struct gateway_link *g = &c->gateways[i];
        buf_printf(out, "%s{\"gateway\":%u,\"connected\":%s,\"generation\":%llu}", i ? "," : "", i,
                   g->peer ? "true" : "false", (unsigned long long)g->acked_generation);
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
        if (d->state == DEPLOYMENT_FAILED) {
            buf_puts(out, ",\"error\":");
            buf_put_json_str(out, str_of(d->why.msg));
        }
        buf_putc(out, '}');
        comma = ",";
    }
    buf_putc(out, ']');
}

int status_show(struct request *r, struct err *e)
{
    (void)e;
    const struct controller *c = r->c;
    struct buf *out = &r->out;
    buf_printf(out, "{\"ready\":%s,\"generation\":%llu", routing_is_complete(&c->routing) ? "true" : "false",
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
