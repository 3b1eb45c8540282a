// SPDX-License-Identifier: Apache-2.0
// Introductions: each brings one end of a socket pair whose other end a replica has.
#include "role/gateway/links.h"

#include "base/clock.h"
#include "role/board.h"
#include "role/gateway/backend.h"
#include "role/supervision.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct links {
    struct gateway *g;
    struct msg_conn conn;
    struct watch watch;
};

static void close_links(struct links *k)
{
    loop_remove(k->g->loop, &k->watch);
    msg_conn_done(&k->conn);
    k->g->supervision = NULL;
    free(k);
}

// A new supervisor has a board of its own: nobody can write to that of the old one any more.
static void take_board(struct gateway *g, int fd)
{
    struct err e;
    const struct board *b;
    if (board_attach(fd, &b, &e)) {
        log_event(&g->log, LOG_LEVEL_ERROR, "supervision_error", LOG_Z("message", e.msg));
    } else {
        board_done(g->board);
        g->board = b;
    }
    close(fd);
}

// Replicas that are linked already go on without a supervisor; new ones cannot come.
static void on_ready(struct watch *w, uint32_t events)
{
    (void)events;
    struct links *k = (struct links *)((char *)w - offsetof(struct links, watch));
    struct gateway *g = k->g;
    struct supervision_message m;
    struct err e = {0};
    int rc = msg_conn_fill(&k->conn, &e), taken = 0;
    while ((taken = supervision_take(&k->conn, SUPERVISION_FROM_SUPERVISOR, &m, &e)) > 0) {
        struct err why;
        if (m.type == SUPERVISION_BOARD)
            take_board(g, m.fds[0]);
        if (m.type == SUPERVISION_LINK && backend_link(g, &m.link, m.fds[0], &why))
            log_event(&g->log, LOG_LEVEL_ERROR, "link_failed", LOG_INT("replica", m.link.replica),
                      LOG_Z("message", why.msg));
        if (m.type == SUPERVISION_SETTINGS)
            gateway_reload(g, &m.settings.settings);
    }
    if (rc == 0)
        rc = taken;
    if (rc && rc != ERR_UNAVAILABLE)
        log_event(&g->log, LOG_LEVEL_ERROR, "supervision_error", LOG_Z("message", e.msg));
    if (rc) {
        close_links(k);
        g->orphaned_mono_ns = clock_mono_ns();
        log_event(&g->log, LOG_LEVEL_WARN, "orphaned", LOG_INT("drain_in_ms", GATEWAY_ORPHAN_MS));
    }
}

int links_start(struct gateway *g, int fd, struct err *e)
{
    if (fd < 0)
        return 0;
    struct links *k = calloc(1, sizeof *k);
    if (!k)
        return err_set(e, ERR_NOMEM, "the supervision socket");
    k->g = g;
    k->watch = (struct watch){fd, on_ready};
    supervision_init(&k->conn, fd);
    g->supervision = k;
    return loop_add(g->loop, &k->watch, EPOLLIN, e);
}

void links_distrust(struct gateway *g, uint64_t deployment, uint32_t replica, const char *why)
{
    struct supervision_distrust d = {.deployment = deployment, .replica = replica};
    struct err e;
    snprintf(d.why, sizeof d.why, "%s", why);
    if (g->supervision && supervision_send(&g->supervision->conn, SUPERVISION_DISTRUST, &d, NULL, 0, &e))
        log_event(&g->log, LOG_LEVEL_ERROR, "supervision_error", LOG_Z("message", e.msg));
}

void links_free(struct gateway *g)
{
    if (g->supervision)
        close_links(g->supervision);
}
