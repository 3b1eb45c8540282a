// SPDX-License-Identifier: Apache-2.0
// What the crew is told: which deployments shall run, by the controller; whom a gateway does not trust; the
// settings; and that all are to be replaced, by an upgrade.
#include "base/clock.h"
#include "role/supervisor/crew.h"
#include "role/supervisor/post.h"
#include "role/supervisor/state.h"
#include "settings/settings.h"

#include <stdio.h>
#include <unistd.h>

static struct deployment *find(struct crew *c, uint64_t id)
{
    for (struct deployment *d = c->deployments; d; d = d->next)
        if (d->group.want.deployment == id && d->group.state != BOARD_STOPPING)
            return d;
    return NULL;
}

static void announce(const struct group *g)
{
    for (unsigned i = 0; i < LIMIT_REPLICAS; i++)
        if (g->members[i].state != BOARD_EMPTY)
            crew_tell_controller(g, &g->members[i]);
    crew_tell_controller(g, NULL);
}

// Rows that the deployment would need, at most: its loader and its replicas.
static bool has_rows(const struct crew *c, uint32_t replicas)
{
    unsigned n_free = 0, promised = 0;
    for (unsigned i = c->sup->n_children; i < BOARD_ROWS_MAX; i++)
        n_free += !c->rows_taken[i];
    for (const struct deployment *d = c->deployments; d; d = d->next) {
        unsigned has = d->group.loader.io != NULL, wants = d->group.want.replicas + 1;
        for (unsigned i = 0; i < LIMIT_REPLICAS; i++)
            has += d->group.members[i].io != NULL;
        promised += has < wants ? wants - has : 0;
    }
    return replicas + 1 + promised <= n_free;
}

static void refuse(struct crew *c, const struct supervision_serve *want, const char *why)
{
    struct supervision_replica r = {.deployment = want->deployment, .state = BOARD_FAILED};
    snprintf(r.why, sizeof r.why, "%s", why);
    (void)child_tell(&c->sup->children[c->sup->n_gateways], SUPERVISION_REPLICA, &r, NULL, 0);
}

static int serve(struct crew *c, struct supervision_message *m, struct err *e)
{
    const struct supervision_serve *want = &m->serve;
    struct deployment *d = find(c, want->deployment);
    int rc = group_check(want, e);
    if (rc)
        return rc;
    if (d && !group_is_same(&d->group, want)) { // of a controller whose push was never finished
        group_withdraw(&d->group, loop_now_ns(c->sup->loop));
        deployment_step(d);
        d = NULL;
    }
    if (c->is_stopping)
        return 0;
    bool more = !d || want->replicas > d->group.want.replicas;
    bool fits = !more || has_rows(c, want->replicas);
    if (!fits && !d) {
        refuse(c, want, "the server runs as many replicas as it can");
        return 0;
    }
    if (!d) {
        if (m->n_fds != 2)
            return err_set(e, ERR_INVALID, "a new deployment came without its files");
        d = crew_deployment_new(c, want, m->fds[0], m->fds[1]);
        if (!d) {
            refuse(c, want, "out of memory");
            return 0;
        }
        m->n_fds = 0;
    }
    d->group.is_declared = true;
    if (fits)
        group_scale(&d->group, want->replicas);
    announce(&d->group);
    deployment_step(d);
    return 0;
}

void crew_reload(struct crew *c)
{
    const struct settings *s = c->sup->settings;
    for (struct deployment *d = c->deployments; d; d = d->next) {
        d->group.drain_ns = s->drain_timeout_ms * UINT64_C(1000000);
        d->group.want.start_timeout_ms = (uint32_t)s->start_timeout_ms;
    }
}

void deployment_withdraw(struct deployment *d)
{
    group_withdraw(&d->group, loop_now_ns(d->crew->sup->loop));
    deployment_step(d);
}

// The replica may have ended meanwhile: then there is nothing to do.
static void distrust(struct crew *c, const struct supervision_distrust *told)
{
    struct deployment *d = find(c, told->deployment);
    for (size_t i = 0; d && i < LIMIT_REPLICAS; i++)
        if (d->group.members[i].number == told->replica)
            group_misbehaved(&d->group.members[i], told->why);
    if (d)
        deployment_step(d);
}

int crew_message(struct crew *c, struct supervision_message *m, struct err *e)
{
    int rc = 0;
    c->sup->unsaved = true;
    if (m->type == SUPERVISION_SERVE)
        rc = serve(c, m, e);
    for (unsigned i = 0; i < m->n_fds; i++)
        close(m->fds[i]);
    m->n_fds = 0;
    if (m->type == SUPERVISION_DISTRUST)
        distrust(c, &m->distrust);
    if (m->type == SUPERVISION_WITHDRAW && find(c, m->withdraw.deployment))
        deployment_withdraw(find(c, m->withdraw.deployment));
    if (m->type == SUPERVISION_COMPLETE) {
        for (struct deployment *d = c->deployments, *next; d; d = next) {
            next = d->next;
            if (!d->group.is_declared)
                deployment_withdraw(d);
        }
    }
    return rc;
}

void crew_controller_started(struct crew *c)
{
    for (struct deployment *d = c->deployments; d; d = d->next)
        d->group.is_declared = false;
}

// --- Upgrades

bool crew_is_quiet(const struct crew *c)
{
    for (const struct deployment *d = c->deployments; d; d = d->next)
        for (unsigned i = 0; i <= LIMIT_REPLICAS; i++)
            if (d->posts[i].proc.pid > 0 && d->posts[i].says.fd >= 0 && msg_conn_pending(&d->posts[i].conn))
                return false;
    return true;
}

void crew_renew(struct crew *c)
{
    uint32_t n = 0;
    for (struct deployment *d = c->deployments; d; d = d->next) {
        if (has_rows(c, n)) { // each needs one replica more for a while
            group_renew(&d->group);
            n++;
        } else {
            log_event(&c->sup->log, LOG_LEVEL_WARN, "replicas_not_replaced",
                      LOG_Z("model", d->group.want.model),
                      LOG_Z("reason", "the server runs as many replicas as it can"));
        }
    }
    crew_step(c);
}

bool crew_is_renewed(const struct crew *c)
{
    for (const struct deployment *d = c->deployments; d; d = d->next)
        if (d->group.is_renewing && d->group.state == BOARD_READY)
            return false;
    return true;
}
