// SPDX-License-Identifier: Apache-2.0
// Replicas outlive the supervisor: what of them goes into its handover, and how the next one takes them.
#include "base/clock.h"
#include "role/supervisor/crew.h"
#include "role/supervisor/handover.h"
#include "role/supervisor/post.h"
#include "role/supervisor/state.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static void save_member(const struct member *m, struct handover *h)
{
    const struct post *p = m->io;
    if (!p || p->proc.pid <= 0)
        return;
    struct handover_member r = {
        .is_loader = m->is_loader,
        .place = m->place,
        .number = m->number,
        .state = m->is_killed ? BOARD_FAILED : m->state,
        .restarts = m->restarts,
        .last_exit = m->last_exit,
        .pid = p->proc.pid,
        .handle = handover_keep(h, p->proc.pidfd),
        .supervision = handover_keep(h, p->says.fd),
        .row = p->row,
        .started_mono_ns = m->started_mono_ns,
        .ready_mono_ns = m->ready_mono_ns,
        .load_ns = m->load_ns,
        .memory_bytes = m->memory_bytes,
    };
    memcpy(r.why, m->why, sizeof r.why);
    handover_put(h, HANDOVER_MEMBER, &r, sizeof r);
}

void crew_save(const struct crew *c, struct handover *h)
{
    for (const struct deployment *d = c->deployments; d; d = d->next) {
        const struct group *g = &d->group;
        struct handover_group r = {
            .want = g->want,
            .state = g->state,
            .model = handover_keep(h, d->model_fd),
            .interface = handover_keep(h, d->interface_fd),
            .restart = g->restart,
            .killed_mono_ns = g->killed_mono_ns,
        };
        memcpy(r.why, g->why, sizeof r.why);
        handover_put(h, HANDOVER_GROUP, &r, sizeof r);
        for (unsigned i = 0; i < LIMIT_REPLICAS; i++)
            save_member(&g->members[i], h);
        save_member(&g->loader, h);
    }
}

static bool is_usable(const struct crew *c, const struct deployment *d, const struct handover_member *r)
{
    return d && d->group.state != BOARD_STOPPING && r->state == BOARD_READY && !r->is_loader &&
           r->place < LIMIT_REPLICAS && r->row >= c->sup->n_children && r->row < BOARD_ROWS_MAX &&
           !c->rows_taken[r->row] && !d->group.members[r->place].io;
}

static void restore_member(struct crew *c, struct deployment *d, const struct handover_member *r,
                           struct proc proc, int says_fd)
{
    struct member *m = &d->group.members[r->place];
    struct post *p = &d->posts[r->place];
    struct err e;
    *p = (struct post){
        .crew = c, .member = m, .row = r->row, .proc = proc, .says.fd = -1, .ended.fd = proc.pidfd};
    if (post_connect(p, says_fd, &e) || post_watch(p, &e)) {
        log_event(&c->sup->log, LOG_LEVEL_ERROR, "replica_not_adopted", LOG_Z("error", e.msg));
        proc_end(&p->proc); // a successor follows
        return;
    }
    m->number = r->number;
    m->state = BOARD_READY;
    m->has_process = m->is_loaded = true;
    m->restarts = r->restarts;
    m->last_exit = r->last_exit;
    m->started_mono_ns = r->started_mono_ns;
    m->ready_mono_ns = r->ready_mono_ns;
    m->next_ping_mono_ns = clock_mono_ns() + GROUP_PING_MS * UINT64_C(1000000);
    m->load_ns = r->load_ns;
    m->memory_bytes = r->memory_bytes;
    memcpy(m->why, r->why, sizeof m->why);
    m->why[sizeof m->why - 1] = '\0';
    m->io = p;
    c->rows_taken[r->row] = true;
    struct board_row row = post_row(p);
    board_restore(c->sup->board, p->row, &row);
}

static void take_member(struct crew *c, struct deployment *d, struct handover *h)
{
    struct handover_member r;
    handover_next(h, &r, sizeof r);
    struct proc proc = {r.pid, handover_take(h, r.handle)};
    int says_fd = handover_take(h, r.supervision);
    if (proc.pidfd >= 0 && says_fd >= 0 && is_usable(c, d, &r)) {
        restore_member(c, d, &r, proc, says_fd);
        return;
    }
    if (says_fd >= 0)
        close(says_fd);
    if (proc.pidfd >= 0) {
        (void)proc_signal(&proc, r.state == BOARD_STOPPING ? SIGTERM : SIGKILL); // the sweep reaps it
        close(proc.pidfd);
    }
}

static int take_group(struct crew *c, struct handover *h, struct deployment **ret, struct err *e)
{
    struct handover_group r;
    handover_next(h, &r, sizeof r);
    *ret = NULL;
    int model_fd = handover_take(h, r.model), interface_fd = handover_take(h, r.interface);
    bool is_whole = model_fd >= 0 && interface_fd >= 0 && r.state != BOARD_STOPPING &&
                    r.state < BOARD_STATES && group_check(&r.want, e) == 0;
    struct deployment *d = is_whole ? crew_deployment_new(c, &r.want, model_fd, interface_fd) : NULL;
    *ret = d;
    if (d) {
        d->group.state = r.state;
        d->group.restart = r.restart;
        d->group.killed_mono_ns = r.killed_mono_ns;
        memcpy(d->group.why, r.why, sizeof r.why);
        d->group.why[sizeof r.why - 1] = '\0';
        return 0;
    }
    if (model_fd >= 0)
        close(model_fd);
    if (interface_fd >= 0)
        close(interface_fd);
    return is_whole ? err_set(e, ERR_NOMEM, "no memory for the server's state") : 0;
}

int crew_restore(struct crew *c, struct handover *h, struct err *e)
{
    struct deployment *d = NULL;
    int rc = 0;
    for (uint32_t type; rc == 0 && (type = handover_peek(h)) != 0;) {
        if (type == HANDOVER_GROUP) {
            rc = take_group(c, h, &d, e);
        } else if (type == HANDOVER_MEMBER) {
            take_member(c, d, h);
        } else {
            struct handover_member unknown;
            handover_next(h, &unknown, sizeof unknown);
        }
    }
    if (rc == 0)
        crew_step(c);
    return rc;
}
