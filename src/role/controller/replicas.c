// SPDX-License-Identifier: Apache-2.0
// The supervisor's socket. Its events change what a deployment is: LOADING becomes READY with the first
// replica, and what has none and will get none is FAILED.
#include "role/controller/replicas.h"

#include "engine/engine.h"
#include "os/file.h"
#include "os/shm.h"
#include "role/board.h"
#include "role/controller/adoption.h"
#include "role/controller/gateways.h"
#include "role/supervision.h"
#include "settings/settings.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READS_MAX = 4096 };

struct supervisor_link {
    struct controller *c;
    struct watch watch;
    struct msg_conn conn;
    bool is_open;
    struct replicas_wait *waits;
};

// A deployment that is dropped, until no gateway uses it and the supervisor was told.
struct withdrawal {
    struct publication publication;
    struct controller *c;
    struct withdrawal *next;
    uint64_t deployment;
    bool is_due; // only the supervisor is to be told, as soon as its socket takes more
};

static uint64_t id_of(const struct deployment *d)
{
    return d->id ? d->id : d->promised_id;
}

static struct deployment *find(const struct controller *c, uint64_t id)
{
    for (size_t i = 0; id && i < LIMIT_DEPLOYMENTS; i++)
        if (c->routing.slots[i] && id_of(c->routing.slots[i]) == id)
            return c->routing.slots[i];
    return NULL;
}

static void lost(struct controller *c, const struct err *e)
{
    struct supervisor_link *s = c->supervisor;
    if (e->code != ERR_UNAVAILABLE) // its end is ours, too
        log_event(&c->log, LOG_LEVEL_ERROR, "supervision_failed", LOG_Z("message", e->msg));
    loop_remove(c->loop, &s->watch);
    msg_conn_done(&s->conn);
    s->is_open = false;
}

static int tell(struct controller *c, enum supervision_type type, const void *payload, const int *fds,
                unsigned n_fds, struct err *e)
{
    struct supervisor_link *s = c->supervisor;
    if (!s || !s->is_open)
        return err_set(e, ERR_UNAVAILABLE, "the server's supervisor cannot be reached");
    int rc = supervision_send(&s->conn, type, payload, fds, n_fds, e);
    if (rc == 0 && msg_conn_pending(&s->conn))
        rc = loop_change(c->loop, &s->watch, EPOLLIN | EPOLLOUT, e);
    if (rc && rc != ERR_BUSY)
        lost(c, e);
    return rc;
}

static void withdraw_id(struct controller *c, uint64_t id)
{
    struct err e;
    struct supervision_withdraw m = {id};
    int rc = tell(c, SUPERVISION_WITHDRAW, &m, NULL, 0, &e);
    struct withdrawal *w = rc == ERR_BUSY ? calloc(1, sizeof *w) : NULL;
    if (rc)
        log_event(&c->log, LOG_LEVEL_ERROR, "supervision_failed", LOG_Z("message", e.msg));
    if (!w)
        return;
    *w = (struct withdrawal){.c = c, .next = c->withdrawals, .deployment = id, .is_due = true};
    c->withdrawals = w;
}

// Tells what could not be told before: of one deployment, or of all (0).
static void withdraw_due(struct controller *c, uint64_t id)
{
    struct withdrawal *due = NULL;
    for (struct withdrawal **at = &c->withdrawals; *at;) {
        struct withdrawal *w = *at;
        if (!w->is_due || (id && w->deployment != id)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = due;
        due = w;
    }
    while (due) {
        struct withdrawal *w = due;
        due = w->next;
        withdraw_id(c, w->deployment);
        free(w);
    }
}

static struct replicas_wait *find_wait(const struct controller *c, const struct deployment *d)
{
    struct replicas_wait *w = c->supervisor->waits;
    while (w && w->deployment != d)
        w = w->next;
    return w;
}

// Ends the waits for d. A callback frees its own, and may add or forget others, so the list is read anew.
static void end_waits(struct controller *c, const struct deployment *d, const struct err *e)
{
    for (struct replicas_wait *w; (w = find_wait(c, d));) {
        replicas_forget(c, w);
        w->on_done(w, e);
    }
}

static void came_up(struct controller *c, struct deployment *d)
{
    bool is_loading = d->state == DEPLOYMENT_LOADING;
    end_waits(c, d, NULL); // which may drop d
    if (!is_loading)
        return;
    d->state = DEPLOYMENT_READY;
    gateways_publish(c);
    if (!d->is_on_demand && routing_is_complete(&c->routing))
        log_event(&c->log, LOG_LEVEL_INFO, "models_loaded");
}

static void gone_down(struct controller *c, struct deployment *d, const char *why)
{
    struct err is;
    err_set(&is, ERR_BAD_MODEL, "%s", why); // which may be what d->why says
    d->why = is;
    if (d->state == DEPLOYMENT_RESERVED) {
        struct err e = d->why; // d may be dropped by those who waited
        end_waits(c, d, &e);
        return;
    }
    bool was_complete = routing_is_complete(&c->routing);
    d->state = DEPLOYMENT_FAILED;
    log_event(&c->log, LOG_LEVEL_ERROR, "version_failed", LOG_Z("model", d->model),
              LOG_INT("version", d->version), LOG_Z("code", err_name(d->why.code)),
              LOG_Z("message", d->why.msg));
    gateways_publish(c);
    if (!was_complete && routing_is_complete(&c->routing))
        log_event(&c->log, LOG_LEVEL_INFO, "models_loaded");
}

static void take(struct controller *c, const struct supervision_replica *r)
{
    struct deployment *d = find(c, r->deployment);
    if (!d || d->state == DEPLOYMENT_FAILED)
        return; // withdrawn meanwhile
    bool was_ready = d->n_ready > 0;
    d->n_ready = r->ready;
    if (r->replica == 0 && r->state == BOARD_FAILED)
        d->is_given_up = true;
    if (r->state == BOARD_READY && r->replica) {
        d->load_ns = r->load_ns;
        d->memory_bytes = r->memory_bytes;
    }
    if (d->is_given_up && r->why[0])
        snprintf(d->why.msg, sizeof d->why.msg, "%s", r->why);
    if (!was_ready && d->n_ready)
        came_up(c, d);
    else if (d->is_given_up && d->n_ready == 0)
        gone_down(c, d, r->why[0] ? r->why : d->why.msg);
}

static void on_ready(struct watch *w, uint32_t events)
{
    struct supervisor_link *s =
        (struct supervisor_link *)((char *)w - offsetof(struct supervisor_link, watch));
    struct controller *c = s->c;
    struct supervision_message m;
    struct err e;
    int got = 0, rc = events & EPOLLOUT ? msg_conn_flush(&s->conn, &e) : 0;
    if (!rc)
        rc = msg_conn_fill(&s->conn, &e);
    while ((!rc || rc == ERR_UNAVAILABLE) && s->is_open &&
           (got = supervision_take(&s->conn, SUPERVISION_FROM_SUPERVISOR, &m, &e)) > 0) {
        if (m.type == SUPERVISION_REPLICA)
            take(c, &m.replica);
        if (m.type == SUPERVISION_SETTINGS) {
            settings_reload(c->args->settings, &m.settings.settings);
            c->log.level = (enum log_level)c->args->settings->log_level;
            log_event(&c->log, LOG_LEVEL_DEBUG, "settings_applied");
        }
        adoption_take(c, &m);
        for (unsigned i = 0; i < m.n_fds; i++)
            close(m.fds[i]);
    }
    if (!s->is_open)
        return;
    if (!rc && !msg_conn_pending(&s->conn))
        withdraw_due(c, 0);
    if (!s->is_open)
        return;
    if (!rc && got < 0)
        rc = got;
    if (!rc)
        rc = loop_change(c->loop, w, msg_conn_pending(&s->conn) ? EPOLLIN | EPOLLOUT : EPOLLIN, &e);
    if (rc)
        lost(c, &e);
}

int replicas_open(struct controller *c, struct err *e)
{
    struct supervisor_link *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_NOMEM, "no memory to start");
    c->supervisor = s;
    s->c = c;
    return c->args->supervision_fd < 0 ? 0 : replicas_connect(c, c->args->supervision_fd, e);
}

int replicas_connect(struct controller *c, int fd, struct err *e)
{
    struct supervisor_link *s = c->supervisor;
    if (s->is_open)
        lost(c, &(struct err){.code = ERR_UNAVAILABLE});
    supervision_init(&s->conn, fd);
    s->watch = (struct watch){fd, on_ready};
    int rc = loop_add(c->loop, &s->watch, EPOLLIN, e);
    s->is_open = rc == 0;
    if (rc)
        msg_conn_done(&s->conn);
    return rc;
}

void replicas_read_rest(struct controller *c)
{
    struct supervisor_link *s = c->supervisor;
    for (int i = 0; s && s->is_open && i < READS_MAX; i++) {
        if (poll(&(struct pollfd){.fd = s->watch.fd, .events = POLLIN}, 1, 0) != 1)
            return;
        on_ready(&s->watch, EPOLLIN);
    }
}

int replicas_tell(struct controller *c, enum supervision_type type, const void *payload, const int *fds,
                  unsigned n_fds, struct err *e)
{
    return tell(c, type, payload, fds, n_fds, e);
}

// What the dead one had heard and not acted on is not known.
void replicas_declare_again(struct controller *c)
{
    struct err e;
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = c->routing.slots[i];
        if (d && d->is_declared && replicas_serve(c, d, d->n_wanted, &e))
            log_event(&c->log, LOG_LEVEL_ERROR, "supervision_failed", LOG_Z("message", e.msg));
    }
    replicas_complete(c);
}

void replicas_close(struct controller *c)
{
    if (c->supervisor && c->supervisor->is_open)
        lost(c, &(struct err){.code = ERR_UNAVAILABLE});
    while (c->withdrawals) {
        struct withdrawal *w = c->withdrawals;
        c->withdrawals = w->next;
        gateways_forget(c, &w->publication);
        free(w);
    }
    free(c->supervisor);
    c->supervisor = NULL;
}

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
}

// What a replica gets as its interface: the image, behind the list of files if there are some. Nobody but us
// may have written such a list, so what the compile process made begins as JSON does.
static int brief_open(const struct deployment *d, int *ret_fd, struct err *e)
{
    const void *image;
    size_t size;
    int rc = shm_map_immutable(d->image_fd, 1, SIZE_MAX / 2, &image, &size, e);
    if (rc)
        return rc;
    rc = *(const char *)image == '{' ? shm_new("slipway-interface", 0, ret_fd, e)
                                     : err_set(e, ERR_BAD_MODEL, "the model's interface is no JSON object");
    bool is_open = rc == 0;
    if (rc == 0 && d->files)
        rc = file_write_all(*ret_fd, d->files, strlen(d->files), e);
    if (rc == 0)
        rc = file_write_all(*ret_fd, image, size, e);
    if (rc == 0)
        rc = shm_seal(*ret_fd, SHM_SEAL_ALL, e);
    if (rc && is_open)
        close(*ret_fd);
    shm_unmap(image, size);
    return rc;
}

int replicas_serve(struct controller *c, struct deployment *d, uint32_t n, struct err *e)
{
    const struct version_settings *v = &d->settings;
    struct supervision_serve s = {
        .deployment = id_of(d),
        .version = d->id ? d->version : d->promised_version,
        .slot = d->slot,
        .replicas = n,
        .threads = v->threads,
        .memory_bytes = (uint64_t)v->memory_mb << 20,
        .start_timeout_ms = (uint32_t)c->args->settings->start_timeout_ms,
        .hang_ms = v->hang_ms,
        .batch_budget_us = v->batch_budget_ms * 1000,
    };
    int fds[2] = {-1, -1};
    _Static_assert(sizeof s.digest >= REGISTRY_DIGEST_TEXT, "it fits");
    registry_digest_text(&d->digest, s.digest);
    copy(s.model, sizeof s.model, d->model);
    copy(s.engine, sizeof s.engine, d->engine->name);
    copy(s.optimization, sizeof s.optimization, v->optimization);
    copy(s.provider, sizeof s.provider, v->provider);
    // Whoever loads it hashes it first, so that this process need not.
    int rc = c->blobs->ops->open(c->blobs, &d->digest, &fds[0], e);
    if (rc)
        return rc;
    rc = brief_open(d, &fds[1], e);
    if (rc == 0) {
        withdraw_due(c, s.deployment); // in this order
        rc = tell(c, SUPERVISION_SERVE, &s, fds, 2, e);
        close(fds[1]);
    }
    close(fds[0]);
    if (rc)
        return rc;
    d->is_declared = true;
    d->n_wanted = n;
    return 0;
}

uint32_t replicas_running(const struct controller *c, const struct deployment *d)
{
    uint32_t n = 0;
    for (unsigned i = 0; c->board && i < board_n_rows(c->board); i++) {
        struct board_row row = board_read(c->board, i);
        n += row.kind == BOARD_REPLICA && row.deployment == id_of(d) &&
             (row.state == BOARD_STARTING || row.state == BOARD_READY || row.state == BOARD_RESTARTING);
    }
    return n;
}

void replicas_complete(struct controller *c)
{
    struct err e;
    if (tell(c, SUPERVISION_COMPLETE, NULL, NULL, 0, &e) && c->args->supervision_fd >= 0)
        log_event(&c->log, LOG_LEVEL_ERROR, "supervision_failed", LOG_Z("message", e.msg));
}

void replicas_wait(struct controller *c, struct deployment *d, struct replicas_wait *w)
{
    w->deployment = d;
    w->is_waiting = true;
    w->next = c->supervisor->waits;
    c->supervisor->waits = w;
}

void replicas_forget(struct controller *c, struct replicas_wait *w)
{
    for (struct replicas_wait **at = &c->supervisor->waits; w->is_waiting && *at; at = &(*at)->next) {
        if (*at != w)
            continue;
        *at = w->next;
        w->is_waiting = false;
        return;
    }
}

void replicas_withdraw(struct controller *c, const struct deployment *d)
{
    if (d->is_declared)
        withdraw_id(c, id_of(d));
}

// Also when a gateway did not confirm in time: it is hung or gone, and no reason to keep memory.
static void on_dropped(struct publication *p, const struct err *e)
{
    (void)e;
    struct withdrawal *w = (struct withdrawal *)((char *)p - offsetof(struct withdrawal, publication));
    struct controller *c = w->c;
    struct withdrawal **at = &c->withdrawals;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    withdraw_id(c, w->deployment);
    free(w);
}

void replicas_withdraw_later(struct controller *c, const struct deployment *d)
{
    if (!d->is_declared)
        return;
    struct withdrawal *w = calloc(1, sizeof *w);
    if (!w) {
        withdraw_id(c, id_of(d));
        return;
    }
    *w = (struct withdrawal){
        .publication.on_done = on_dropped, .c = c, .next = c->withdrawals, .deployment = id_of(d)};
    c->withdrawals = w;
}

void replicas_withdraw_dropped(struct controller *c)
{
    for (struct withdrawal *w = c->withdrawals, *next; w; w = next) {
        next = w->next;
        if (!w->is_due && !w->publication.is_waiting)
            gateways_wait(c, &w->publication); // may end it at once
    }
}
