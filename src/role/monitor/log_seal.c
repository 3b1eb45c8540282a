// SPDX-License-Identifier: Apache-2.0
// Sealing runs in a process of its own, one at a time, behind everybody else. One that is killed is repeated
// and gives the same files.
#include "os/proc.h"
#include "role/log_worker.h"
#include "role/monitor/log_parts.h"
#include "settings/settings.h"

#include <stdio.h>
#include <unistd.h>

enum { RETRY_MS = 1000, RETRY_DOUBLINGS = 8, RETAIN_MS = 3600 * 1000 };

static void failed(struct log_state *l, uint64_t now)
{
    l->sealing.n_failed++;
    l->sealing.mono_ns = now;
}

void log_seal_count_aside(struct log_state *l)
{
    uint32_t n;
    struct err e;
    if (wal_count_aside(l->wal_fd, &n, &e) == 0)
        l->n_aside = n;
}

static void on_sealed(struct watch *w, uint32_t events)
{
    (void)events;
    struct log_state *l = (struct log_state *)((char *)w - offsetof(struct log_state, sealer_ended));
    int status;
    loop_remove(l->m->loop, w);
    if (!proc_reap(&l->sealer, &status))
        return;
    log_seal_count_aside(l);
    if (status == 0) {
        l->sealing.n_failed = 0;
        return;
    }
    failed(l, loop_now_ns(l->m->loop));
    log_event(&l->m->log, LOG_LEVEL_WARN, "seal_failed", LOG_INT("status", status));
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

static bool is_due(const struct log_sealing *s, const struct settings *now_set, uint64_t before_seq,
                   uint64_t now)
{
    uint64_t since_ms = (now - s->mono_ns) / 1000000;
    if (s->mono_ns == 0 || s->retain_days != now_set->log_retain_days ||
        s->retain_bytes != now_set->log_retain_bytes)
        return true;
    if (s->n_failed == 0)
        return before_seq > s->before_seq || since_ms >= RETAIN_MS;
    return since_ms >= (uint64_t)RETRY_MS
                           << (s->n_failed > RETRY_DOUBLINGS ? RETRY_DOUBLINGS : s->n_failed - 1);
}

void log_seal_step(struct log_state *l, uint64_t before_seq, uint64_t now)
{
    const struct settings *set = l->m->settings;
    struct err e;
    if (l->sealer.pid > 0 || !is_due(&l->sealing, set, before_seq, now))
        return;
    l->sealing = (struct log_sealing){.before_seq = before_seq,
                                      .mono_ns = now,
                                      .n_failed = l->sealing.n_failed,
                                      .retain_days = set->log_retain_days,
                                      .retain_bytes = set->log_retain_bytes};
    if (start(l, before_seq, &e)) {
        failed(l, now);
        log_event(&l->m->log, LOG_LEVEL_ERROR, "seal_failed", LOG_Z("message", e.msg));
    }
}

void log_seal_stop(struct log_state *l)
{
    if (l->sealer.pid <= 0)
        return;
    loop_remove(l->m->loop, &l->sealer_ended);
    proc_end(&l->sealer);
}
