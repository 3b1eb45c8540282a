// SPDX-License-Identifier: Apache-2.0
// Waking and waiting. The connection carries no records: without it the monitor finds them when it looks the
// next time.
#include "role/gateway/journal_link.h"

#include "base/clock.h"
#include "os/shm.h"
#include "os/sock.h"
#include "role/gateway/conn.h"
#include "role/gateway/journal.h"
#include "role/ipc.h"
#include "role/log_memory.h"
#include "settings/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { RETRY_MS = 20, RETRY_MAX_MS = 1000 };

// ---- the connection

static void retry_later(struct journal *j)
{
    struct err e;
    uint64_t ms = RETRY_MS;
    for (unsigned i = 0; i < j->n_retries && ms < RETRY_MAX_MS; i++)
        ms *= 2;
    j->n_retries++;
    ms = ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS;
    if (loop_timer_set(j->g->loop, &j->retry, clock_mono_ns() + ms * 1000000u, &e))
        log_event(&j->g->log, LOG_LEVEL_ERROR, "journal_lost", LOG_Z("message", e.msg));
}

static void disconnect(struct journal *j)
{
    loop_remove(j->g->loop, &j->watch);
    msg_conn_done(&j->conn);
    j->is_connected = j->is_unsummed = false;
    retry_later(j);
}

static void say(struct journal *j, uint16_t type, struct str payload)
{
    struct err e;
    if (j->is_connected && msg_conn_send(&j->conn, type, payload, NULL, 0, &e))
        disconnect(j);
}

static void release_settled(struct journal *j, uint64_t now);

static void on_ready(struct watch *w, uint32_t events)
{
    (void)events;
    struct journal *j = (struct journal *)((char *)w - offsetof(struct journal, watch));
    struct msg m;
    struct err e;
    int rc = msg_conn_fill(&j->conn, &e), taken;
    while ((taken = msg_conn_take(&j->conn, &m, &e)) > 0) {
        j->is_unsummed |= m.type == IPC_UNSUMMED;
        for (int i = 0; i < m.n_fds; i++)
            close(m.fds[i]);
    }
    if (rc || taken || msg_conn_flush(&j->conn, &e))
        disconnect(j);
    else
        j->n_retries = 0;
    release_settled(j, clock_mono_ns());
}

static void connect_now(struct timer *t)
{
    struct journal *j = (struct journal *)((char *)t - offsetof(struct journal, retry));
    struct err e;
    int fd;
    char json[64];
    if (j->g->orphaned_mono_ns)
        return; // a monitor that answers there is another server's
    if (sock_unix_connect(j->g->monitor_path, &fd, &e)) {
        retry_later(j);
        return;
    }
    msg_conn_init(&j->conn, fd, IPC_PAYLOAD_MAX);
    j->watch = (struct watch){fd, on_ready};
    if (loop_add(j->g->loop, &j->watch, EPOLLIN, &e)) {
        msg_conn_done(&j->conn);
        retry_later(j);
        return;
    }
    j->is_connected = true;
    int n = snprintf(json, sizeof json, "{\"gateway\":%u,\"protocol\":%d}", j->g->index, IPC_PROTOCOL);
    say(j, IPC_HELLO, (struct str){json, (size_t)n});
}

int journal_link_start(struct journal *j, struct err *e)
{
    j->retry.on_due = connect_now;
    return loop_timer_set(j->g->loop, &j->retry, clock_mono_ns(), e);
}

void journal_link_stop(struct journal *j)
{
    if (j->is_connected) {
        loop_remove(j->g->loop, &j->watch);
        msg_conn_done(&j->conn);
    }
    loop_timer_clear(j->g->loop, &j->retry);
    loop_timer_clear(j->g->loop, &j->held_due);
}

// ---- the ring

static uint64_t n_dropped(const struct journal *j)
{
    uint64_t n = 0;
    for (int i = 0; i < SPOOL_REASONS; i++)
        n += j->spool.now.dropped[i];
    return n;
}

void journal_publish(struct gateway *g)
{
    struct journal *j = g->journal;
    if (spool_publish(&j->spool))
        say(j, IPC_WAKE, (struct str){0});
    j->is_dirty = false;
}

// ---- answers that wait

static bool is_settled(const struct conn *c, const struct spool_settled *s)
{
    return !c->held_more && s->taken - c->held_position < UINT64_MAX / 2;
}

// Of those whose records are settled by now the time is over.
static void set_due(struct journal *j)
{
    struct err e;
    uint64_t first = UINT64_MAX;
    struct spool_settled s = spool_told(&j->spool);
    for (struct conn *c = j->held; c; c = c->held_next) {
        uint64_t due = is_settled(c, &s) ? 1 : c->held_until_ns;
        first = due && due < first ? due : first;
    }
    if (first == UINT64_MAX) {
        loop_timer_clear(j->g->loop, &j->held_due);
        spool_await(&j->spool, false);
    } else if (loop_timer_set(j->g->loop, &j->held_due, first, &e)) {
        log_event(&j->g->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("message", e.msg));
    }
}

// Lets answers go whose records are durable, given up, or waited for long enough. Their connections go on
// with requests, which lie in the turn's arena: never once the turn's answers are written.
static void release_settled(struct journal *j, uint64_t now)
{
    if (!j->held)
        return;
    spool_await(&j->spool, true); // before looking, so that nothing is missed
    struct spool_settled s = spool_told(&j->spool);
    for (struct conn **at = &j->held, *c; (c = *at);) {
        bool settled = is_settled(c, &s);
        if (!settled && (c->held_until_ns == 0 || now < c->held_until_ns)) {
            at = &c->held_next;
            continue;
        }
        *at = c->held_next;
        conn_release(c, settled && s.dropped == c->held_dropped);
    }
    set_due(j);
}

static void on_held_due(struct timer *t)
{
    struct journal *j = (struct journal *)((char *)t - offsetof(struct journal, held_due));
    release_settled(j, clock_mono_ns());
}

void journal_hold(struct gateway *g, struct conn *c)
{
    struct journal *j = g->journal;
    c->held_more = true;
    if (c->is_held)
        return;
    c->is_held = true;
    c->held_until_ns = 0; // known at the end of the turn
    c->held_dropped = spool_told(&j->spool).dropped;
    c->held_next = j->held;
    j->held = c;
}

void journal_forget(struct gateway *g, struct conn *c)
{
    for (struct conn **at = &g->journal->held; *at; at = &(*at)->held_next) {
        if (*at == c) {
            *at = c->held_next;
            return;
        }
    }
}

// What this turn wrote is published: the answers of this turn wait for it, unless some of it was dropped.
// What is settled already goes in the next turn, which the timer begins at once.
static void begin_waiting(struct journal *j)
{
    uint64_t now = clock_mono_ns(), wait_ns = j->g->settings->log_commit_wait_ms * UINT64_C(1000000);
    bool is_whole = n_dropped(j) == j->turn_dropped;
    bool is_new = false;
    struct spool_settled s = spool_told(&j->spool);
    for (struct conn *c = j->held; c; c = c->held_next) {
        if (!c->held_more)
            continue;
        c->held_more = false;
        c->held_position = j->spool.now.written;
        if (!is_whole) // what the monitor dropped is never so few again
            c->held_dropped = s.dropped - 1;
        if (c->held_until_ns == 0) // else there are answers that waited before
            c->held_until_ns = now + wait_ns;
        is_new = true;
    }
    if (!is_new)
        return;
    spool_await(&j->spool, true); // before looking, so that nothing is missed
    set_due(j);
}

void journal_turn_end(struct gateway *g)
{
    struct journal *j = g->journal;
    if (!j || (!j->is_dirty && !j->held))
        return;
    if (j->is_dirty)
        journal_publish(g);
    if (j->held)
        begin_waiting(j);
    j->turn_dropped = n_dropped(j);
    j->block_until_ns = 0;
}

// ---- its life

static int attach(struct journal *j, int fd, struct err *e)
{
    struct log_stats *stats;
    int rc = log_memory_map_ring(fd, j->g->n_gateways, j->g->index, &j->memory, &j->size, e);
    if (rc == 0)
        rc = log_memory_map_stats(fd, j->g->n_gateways, &stats, e);
    if (rc)
        return rc;
    j->stream = (uint32_t)stats->stream;
    log_memory_unmap_stats(stats);
    spool_writer_attach(&j->spool, j->memory, j->size);
    j->turn_dropped = n_dropped(j);
    return 0;
}

int journal_open(struct gateway *g, int fd, struct err *e)
{
    if (fd < 0)
        return 0;
    struct journal *j = g->journal = calloc(1, sizeof *j);
    if (!j)
        return err_set(e, ERR_NOMEM, "the prediction log");
    j->g = g;
    j->held_due.on_due = on_held_due;
    int rc = attach(j, fd, e);
    return rc ? rc : journal_link_start(j, e);
}

void journal_close(struct gateway *g)
{
    struct journal *j = g->journal;
    if (!j)
        return;
    if (j->is_dirty)
        journal_publish(g);
    journal_link_stop(j);
    log_memory_unmap_ring(j->memory, j->size);
    free(j);
    g->journal = NULL;
}
