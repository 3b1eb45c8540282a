// SPDX-License-Identifier: Apache-2.0
// The gateway process from start to end: attaches shared memory, connects to the controller, accepts when it
// has a routing table, turns its loop, drains on SIGTERM.
#include "role/gateway/gateway.h"

#include "base/clock.h"
#include "os/shm.h"
#include "os/signals.h"
#include "role/board.h"
#include "role/gateway/backend.h"
#include "role/gateway/call.h"
#include "role/gateway/conn.h"
#include "role/gateway/control.h"
#include "role/gateway/job.h"
#include "role/gateway/journal.h"
#include "role/gateway/links.h"
#include "role/gateway/parked.h"
#include "role/gateway/predict.h"
#include "role/gateway/shadow.h"
#include "role/gateway/table.h"
#include "role/gateway/token.h"
#include "role/role.h"
#include "settings/settings.h"

#include <stdlib.h>
#include <unistd.h>

enum { DRAIN_LOOK_MS = 20 };

struct process {
    struct gateway g;
    const struct gateway_args *args;
    struct watch signals;
    bool serving;
};

uint64_t gateway_wall_ns(struct gateway *g)
{
    if (g->wall_ns == 0)
        g->wall_ns = clock_wall_ns();
    return g->wall_ns;
}

const char *gateway_date(struct gateway *g)
{
    uint64_t second = gateway_wall_ns(g) / 1000000000u;
    if (second != g->date_second) {
        clock_http_date(g->wall_ns, g->date);
        g->date_second = second;
    }
    return g->date;
}

// The memory of a large body or answer is not kept.
static void give_back(struct buf *b)
{
    if (b->cap <= GATEWAY_BUFFER_KEEP)
        return;
    size_t max = b->max;
    buf_done(b);
    buf_init(b, max);
}

// What was gathered is answered under the old settings. Deadlines that run stay as they are.
void gateway_reload(struct gateway *g, const struct settings *s)
{
    predict_finish(g);
    settings_reload(g->settings, s);
    g->log.level = (enum log_level)g->settings->log_level;
    g->head_memo.n = 0; // what a head means depends on the settings
    buf_done(&g->body);
    buf_init(&g->body, g->settings->max_body_bytes);
    log_event(&g->log, LOG_LEVEL_DEBUG, "settings_applied");
}

void gateway_set_busy(struct gateway *g)
{
    loop_set_busy(g->loop, g->jobs || g->decoding || g->has_shadow_work);
}

static void on_turn_end(void *ctx)
{
    struct gateway *g = ctx;
    job_slice(g); // its connection may go on with requests for this turn
    calls_decode(g);
    predict_finish(g);
    backends_turn_end(g);
    predict_finish(g); // what answered connections had waiting
    if (g->shadows)
        shadow_work(g);
    journal_turn_end(g);
    arena_reset(&g->arena, GATEWAY_TURN_KEEP);
    give_back(&g->out);
    give_back(&g->body);
    conn_free_dead(g);
    g->wall_ns = 0;
}

// The first complete table is there: from now on requests are accepted.
static void on_table(struct gateway *g)
{
    struct process *p = (struct process *)g;
    if (p->serving || g->draining)
        return;
    p->serving = true;
    conn_listen_start(g, p->args->listen_fd);
    role_ready(p->args->ready_fd);
}

static void drain(struct process *p)
{
    if (p->g.draining)
        return;
    p->g.drain_deadline_ns = loop_now_ns(p->g.loop) + p->g.settings->drain_timeout_ms * 1000000u;
    conn_drain(&p->g);
    close(p->args->listen_fd); // so that clients are refused, or reach the next server
}

// Nobody would replace this process or stop it: it makes way for another server.
static void drain_if_orphaned(struct process *p)
{
    uint64_t since = p->g.orphaned_mono_ns;
    if (since && (!p->serving || loop_now_ns(p->g.loop) >= since + GATEWAY_ORPHAN_MS * UINT64_C(1000000)))
        drain(p);
}

static void on_sweep(struct timer *t)
{
    struct gateway *g = (struct gateway *)((char *)t - offsetof(struct gateway, sweep));
    struct err e;
    uint64_t now = loop_now_ns(g->loop);
    predict_finish(g);
    conn_sweep(g);
    backends_sweep(g);
    trials_report(g);
    parked_sweep(g);
    drain_if_orphaned((struct process *)g);
    if (g->draining && (g->n_conns == 0 || now >= g->drain_deadline_ns))
        loop_stop(g->loop);
    uint64_t ms = g->draining ? DRAIN_LOOK_MS : GATEWAY_SWEEP_MS;
    if (loop_timer_set(g->loop, t, now + ms * 1000000u, &e))
        loop_stop(g->loop);
}

static void on_signal(struct watch *w, uint32_t events)
{
    struct process *p = (struct process *)((char *)w - offsetof(struct process, signals));
    (void)events;
    signals_read(w->fd);
    if (p->g.draining)
        return;
    drain(p);
    on_sweep(&p->g.sweep);
}

static int attach_memory(struct gateway *g, const struct gateway_args *args, struct err *e)
{
    void *shards;
    size_t size = metrics_segment_bytes(args->n_gateways), mapped;
    int rc = shm_map(args->metrics_fd, true, size, SIZE_MAX / 2, &shards, &mapped, e);
    if (rc)
        return err_wrap(e, "metrics");
    g->shards = shards;
    g->metrics = &g->shards[args->index];
    g->metrics->connections = 0; // those of a predecessor ended with it
    for (size_t i = 0; i < metrics_slots(g->metrics); i++)
        g->metrics->series[i].in_flight = g->metrics->series[i].waiting = 0;
    return board_attach(args->board_fd, &g->board, e);
}

static int allocate(struct gateway *g, struct err *e)
{
    g->read_buf = malloc(GATEWAY_READ_BYTES);
    g->pending = calloc(GATEWAY_TURN_REQUESTS, sizeof *g->pending);
    g->table = table_empty();
    buf_init(&g->out, GATEWAY_OUT_MAX);
    buf_init(&g->body, g->settings->max_body_bytes);
    if (!g->read_buf || !g->pending || !g->table)
        return err_set(e, ERR_NOMEM, "the gateway's buffers");
    return arena_init(&g->arena, GATEWAY_TURN_ARENA, e);
}

static int start(struct process *p, struct err *e)
{
    struct gateway *g = &p->g;
    int rc = allocate(g, e);
    if (rc == 0)
        rc = attach_memory(g, p->args, e);
    if (rc == 0)
        rc = loop_new(&g->loop, e);
    if (rc)
        return rc;
    ids_maker_init(&g->ids);
    g->n_draws = ids_random(&g->ids);
    loop_on_turn_end(g->loop, on_turn_end, g);
    p->signals.on_ready = on_signal;
    rc = signals_open((const int[]){SIGTERM, SIGINT}, 2, &p->signals.fd, e);
    if (rc == 0)
        rc = loop_add(g->loop, &p->signals, EPOLLIN, e);
    g->sweep.on_due = on_sweep;
    if (rc == 0)
        rc = loop_timer_set(g->loop, &g->sweep, clock_mono_ns() + GATEWAY_SWEEP_MS * 1000000u, e);
    if (rc == 0)
        rc = links_start(g, p->args->supervision_fd, e);
    if (rc == 0)
        rc = journal_open(g, p->args->log_fd, e);
    if (rc == 0)
        rc = tokens_open(g, e);
    return rc == 0 ? control_start(g, on_table, e) : rc;
}

static void stop(struct process *p)
{
    struct gateway *g = &p->g;
    while (g->conns)
        conn_close(g->conns);
    conn_free_dead(g);
    while (g->jobs) // their clients are gone: nothing is computed, they are only freed
        job_slice(g);
    while (g->decoding)
        calls_decode(g);
    journal_close(g);
    tokens_close(g);
    parked_close(g);
    links_free(g);
    control_free(g->control);
    table_free(g->table);
    trials_free(g);
    shadow_free(g);
    backends_close(g);
    loop_free(g->loop);
    arena_done(&g->arena);
    buf_done(&g->out);
    buf_done(&g->body);
    free(g->pending);
    free(g->read_buf);
    shm_unmap(g->shards, metrics_segment_bytes(g->n_gateways));
    board_done(g->board);
}

int gateway_main(const struct gateway_args *args)
{
    struct err e;
    struct process *p = calloc(1, sizeof *p);
    if (!p)
        return EXIT_FAILURE;
    p->args = args;
    p->g = (struct gateway){
        .settings = args->settings,
        .index = args->index,
        .n_gateways = args->n_gateways,
        .control_path = args->control_path,
        .monitor_path = args->monitor_path,
        .log = {STDERR_FILENO, (enum log_level)args->settings->log_level, "gateway", (int)args->index}};
    int rc = start(p, &e);
    if (rc == 0)
        rc = loop_run(p->g.loop, &e);
    if (rc)
        log_event(&p->g.log, LOG_LEVEL_ERROR, "gateway_failed", LOG_Z("message", e.msg));
    stop(p);
    free(p);
    return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
