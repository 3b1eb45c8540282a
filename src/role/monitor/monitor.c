// SPDX-License-Identifier: Apache-2.0
// The monitor's life: serves at once, learns from the controller what is served, ends on SIGTERM when what
// the rings have is durable.
#include "role/monitor/monitor.h"

#include "base/clock.h"
#include "os/signals.h"
#include "role/board.h"
#include "role/feedback_token.h"
#include "role/monitor/alerts.h"
#include "role/monitor/drift_feed.h"
#include "role/monitor/feed.h"
#include "role/monitor/log.h"
#include "role/monitor/models.h"
#include "role/monitor/page.h"
#include "role/monitor/quality.h"
#include "role/monitor/served.h"
#include "role/monitor/sinks.h"
#include "role/monitor/spans.h"
#include "settings/settings.h"

#include <stdlib.h>
#include <unistd.h>

void monitor_drain_step(struct monitor *m)
{
    if (m->draining && m->peers.n_requests == 0)
        loop_stop(m->loop);
}

void monitor_drain(struct monitor *m)
{
    if (m->draining)
        return;
    m->draining = m->peers.is_draining = true;
    log_event(&m->log, LOG_LEVEL_INFO, "draining", LOG_INT("requests", m->peers.n_requests));
    peers_stop_listening(&m->peers);
    monitor_drain_step(m);
}

static void on_signal(struct watch *w, uint32_t events)
{
    (void)events;
    signals_read(w->fd);
    monitor_drain((struct monitor *)((char *)w - offsetof(struct monitor, signals)));
}

static void on_tick(struct timer *t)
{
    struct monitor *m = (struct monitor *)((char *)t - offsetof(struct monitor, tick));
    struct err e;
    uint64_t now = loop_now_ns(m->loop);
    feed_tick(m, now);
    if (loop_timer_set(m->loop, t, now + MONITOR_TICK_MS * UINT64_C(1000000), &e))
        log_event(&m->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("message", e.msg));
}

static void on_turn_end(void *ctx)
{
    struct monitor *m = ctx;
    peers_free_dead(&m->peers);
    monitor_drain_step(m);
}

static int set_up(struct monitor *m, struct err *e)
{
    static const int SIGNALS[] = {SIGTERM, SIGINT};
    int rc = loop_new(&m->loop, e);
    if (rc == 0)
        monitor_peers_init(m);
    if (rc == 0)
        rc = board_attach(m->args->board_fd, &m->board, e);
    if (rc == 0)
        rc = signals_open(SIGNALS, sizeof SIGNALS / sizeof SIGNALS[0], &m->signals.fd, e);
    if (rc == 0)
        rc = loop_add(m->loop, &m->signals, EPOLLIN, e);
    if (rc == 0)
        rc = monitor_hear_supervisor(m, e);
    if (rc == 0)
        rc = models_new(&m->models, e);
    if (rc == 0)
        rc = drift_start(m, e);
    if (rc == 0)
        rc = spans_open(m, e);
    if (rc == 0)
        rc = sinks_open(m, e);
    if (rc == 0)
        rc = page_open(m, e);
    if (rc == 0)
        rc = alerts_open(m, e);
    if (rc == 0)
        rc = quality_open(m, e);
    if (rc == 0)
        rc = feedback_sealer_new(&m->sealer, e);
    if (rc == 0)
        rc = log_open(m, e);
    if (rc == 0)
        rc = served_start(m, e);
    m->tick.on_due = on_tick;
    return rc ? rc
              : loop_timer_set(m->loop, &m->tick, clock_mono_ns() + MONITOR_TICK_MS * UINT64_C(1000000), e);
}

static void tear_down(struct monitor *m)
{
    if (m->loop) {
        peers_close_all(&m->peers);
        monitor_leave_supervisor(m);
    }
    log_close(m); // does nothing after feed_stop
    served_free(m->served);
    spans_close(m);
    sinks_close(m);
    alerts_close(m);
    page_close(m);
    drift_free(m->drift);
    quality_close(m);
    feedback_sealer_free(m->sealer);
    models_free(m->models);
    if (m->signals.fd >= 0)
        close(m->signals.fd);
    board_done(m->board);
    loop_free(m->loop);
}

int monitor_main(const struct monitor_args *args)
{
    struct monitor m = {
        .args = args,
        .settings = args->settings,
        .data_dir = args->settings->data_dir,
        .log = {STDERR_FILENO, (enum log_level)args->settings->log_level, "monitor", -1},
        .signals = {-1, on_signal},
        .says.fd = -1,
    };
    struct err e = {0};
    int rc = set_up(&m, &e);
    if (rc == 0) {
        loop_on_turn_end(m.loop, on_turn_end, &m);
        peers_listen(&m.peers);
        role_ready(args->ready_fd);
        rc = loop_run(m.loop, &e);
        feed_stop(&m);
    }
    if (rc)
        log_event(&m.log, LOG_LEVEL_ERROR, "monitor_failed", LOG_Z("code", err_name(e.code)),
                  LOG_Z("message", e.msg), LOG_Z("hint", e.hint));
    tear_down(&m);
    return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
