// SPDX-License-Identifier: Apache-2.0
// What the prediction log is asked for.
#include "role/monitor/log.h"

#include "os/shm.h"
#include "os/spool.h"
#include "role/log_memory.h"
#include "role/monitor/routes.h"

#include <stdio.h>

// One line for each gateway's ring, and all of them together.
static void put_counts(const struct log_counts *c, struct buf *out)
{
    buf_printf(out, "\"accepted\":%llu,\"committed\":%llu,\"dropped\":%llu,\"waiting\":%llu",
               (unsigned long long)c->accepted, (unsigned long long)c->committed,
               (unsigned long long)log_counts_dropped(c), (unsigned long long)log_counts_waiting(c));
}

int log_show(struct request *r, struct err *e)
{
    struct log_counts all;
    int rc = log_memory_counts(r->m->args->log_fd, r->m->args->n_gateways, &all, e);
    if (rc)
        return rc;
    buf_putc(&r->out, '{');
    put_counts(&all, &r->out);
    buf_putc(&r->out, '}');
    request_answer(r, 200, "application/json");
    return 0;
}
