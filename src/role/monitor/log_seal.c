// SPDX-License-Identifier: Apache-2.0
// Sealing runs in a process of its own, one at a time, behind everybody else. One that is killed is repeated
// and gives the same files.
#include "os/proc.h"
#include "role/log_worker.h"
#include "role/monitor/log_parts.h"
#include "settings/settings.h"

#include <stdio.h>
#include <unistd.h>

static void on_sealed(struct watch *w, uint32_t events)
{
    (void)events;
    struct log_state *l = (struct log_state *)((char *)w - offsetof(struct log_state, sealer_ended));
    int status;
    loop_remove(l->m->loop, w);
    if (!proc_reap(&l->sealer, &status))
        return;
    if (status != 0) {
        l->sealed_before = 0; // again with the next tick
        log_event(&l->m->log, LOG_LEVEL_WARN, "seal_failed", LOG_INT("status", status));
    }
}

static int start(struct log_state *l, uint64_t before_seq, struct err *e)
{
    const struct settings *s = l->m->settings;
    char before[24], age[24], bytes[24], data_dir[SETTINGS_STRING_MAX],
        kind[] = "seal", role[] = LOG_WORKER_ROLE, program[] = "slipway";
    snprintf(data_dir, sizeof data_dir, "%s", s->data_dir);
    snprintf(before, sizeof before, "%llu", (unsigned long long)before_seq);
    snprintf(age, sizeof age, "%llu", s->log_retain_days * 86400ull);
    snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)s->log_retain_bytes);
    char *argv[] = {program, role, kind, data_dir, before, age, bytes, NULL};
    struct proc_spec spec = {.argv = argv, .envp = environ};
    int rc = proc_spawn(&spec, &l->sealer, e);
    if (rc)
        return rc;
    l->sealer_ended = (struct watch){l->sealer.pidfd, on_sealed};
    rc = loop_add(l->m->loop, &l->sealer_ended, EPOLLIN, e);
    if (rc)
        proc_end(&l->sealer);
    return rc;
}

void log_seal_step(struct log_state *l, uint64_t before_seq)
{
    struct err e;
    if (l->sealer.pid > 0 || before_seq <= l->sealed_before)
        return;
    if (start(l, before_seq, &e))
        log_event(&l->m->log, LOG_LEVEL_ERROR, "seal_failed", LOG_Z("message", e.msg));
    else
        l->sealed_before = before_seq;
}

void log_seal_stop(struct log_state *l)
{
    if (l->sealer.pid <= 0)
        return;
    loop_remove(l->m->loop, &l->sealer_ended);
    proc_end(&l->sealer);
}
