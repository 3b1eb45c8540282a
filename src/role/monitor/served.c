// SPDX-License-Identifier: Apache-2.0
// Deployments arrive with their columns, then the routes that name them; both are acknowledged by nobody
// waiting for it.
#include "role/monitor/served.h"

#include "base/clock.h"
#include "os/sock.h"
#include "role/feedback_token.h"
#include "role/ipc.h"
#include "role/monitor/feed.h"
#include "role/monitor/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <yyjson.h>

// As gateways wait for a controller that is away, or that says what cannot be used.
enum { RETRY_MS = 20, RETRY_AWAY_MAX_MS = 1000, RETRY_REFUSED_MAX_MS = 5000 };

struct served {
    struct monitor *m;
    struct msg_conn conn;
    struct watch watch;
    struct timer retry;
    bool connected, has_failed; // has_failed: said in the log
    unsigned n_retries;         // since the last routes
};

// What the routes say besides, and the answer to them.
static int acknowledge(struct served *k, struct str routes, struct err *e)
{
    yyjson_doc *doc = yyjson_read(routes.p, routes.n, 0);
    char json[64];
    struct err why;
    if (feedback_sealer_take(k->m->sealer, yyjson_obj_get(yyjson_doc_get_root(doc), "tokens"), &why))
        log_event(&k->m->log, LOG_LEVEL_ERROR, "feedback_keys_failed", LOG_Z("message", why.msg));
    int n =
        snprintf(json, sizeof json, "{\"generation\":%llu}",
                 (unsigned long long)yyjson_get_uint(yyjson_obj_get(yyjson_doc_get_root(doc), "generation")));
    yyjson_doc_free(doc);
    return msg_conn_send(&k->conn, IPC_ACK, (struct str){json, (size_t)n}, NULL, 0, e);
}

static int take_message(struct served *k, const struct msg *m, struct err *e)
{
    if (m->type == IPC_DEPLOY)
        return models_take_deploy(k->m->models, m->payload, e);
    if (m->type == IPC_SCALE)
        return 0;
    if (m->type != IPC_ROUTES)
        return err_set(e, ERR_INVALID, "message type %u is not expected here", m->type);
    int rc = models_take_routes(k->m->models, m->payload, e);
    if (rc == 0)
        feed_models_changed(k->m);
    k->has_failed = false;
    k->n_retries = 0;
    return rc ? rc : acknowledge(k, m->payload, e);
}

static void retry_later(struct served *k, uint64_t max_ms)
{
    struct err e;
    uint64_t ms = RETRY_MS;
    for (unsigned i = 0; i < k->n_retries && ms < max_ms; i++)
        ms *= 2;
    k->n_retries++;
    ms = ms < max_ms ? ms : max_ms;
    if (loop_timer_set(k->m->loop, &k->retry, clock_mono_ns() + ms * 1000000u, &e))
        log_event(&k->m->log, LOG_LEVEL_ERROR, "served_lost", LOG_Z("message", e.msg));
}

static void disconnect(struct served *k, const struct err *why)
{
    bool is_away = why->code == ERR_UNAVAILABLE;
    if (!is_away && !k->has_failed)
        log_event(&k->m->log, LOG_LEVEL_ERROR, "served_error", LOG_Z("message", why->msg));
    k->has_failed = k->has_failed || !is_away;
    loop_remove(k->m->loop, &k->watch);
    msg_conn_done(&k->conn);
    k->connected = false;
    retry_later(k, is_away ? RETRY_AWAY_MAX_MS : RETRY_REFUSED_MAX_MS);
}

static int read_messages(struct served *k, struct err *e)
{
    struct msg m;
    int rc;
    while ((rc = msg_conn_take(&k->conn, &m, e)) > 0) {
        rc = take_message(k, &m, e);
        for (int i = 0; i < m.n_fds; i++)
            close(m.fds[i]);
        if (rc)
            return rc;
    }
    return rc;
}

static void on_ready(struct watch *w, uint32_t events)
{
    struct served *k = (struct served *)((char *)w - offsetof(struct served, watch));
    struct err e;
    int rc = events & EPOLLOUT ? msg_conn_flush(&k->conn, &e) : 0;
    if (rc == 0)
        rc = msg_conn_fill(&k->conn, &e);
    int taken = rc == 0 || rc == ERR_UNAVAILABLE ? read_messages(k, &e) : 0;
    if (rc == 0)
        rc = taken;
    if (rc == 0)
        rc = loop_change(k->m->loop, w, msg_conn_pending(&k->conn) ? EPOLLIN | EPOLLOUT : EPOLLIN, &e);
    if (rc)
        disconnect(k, &e);
}

static int say_hello(struct served *k, struct err *e)
{
    char json[64];
    int n = snprintf(json, sizeof json, "{\"role\":\"monitor\",\"protocol\":%d}", IPC_PROTOCOL);
    return msg_conn_send(&k->conn, IPC_HELLO, (struct str){json, (size_t)n}, NULL, 0, e);
}

static void connect_now(struct timer *t)
{
    struct served *k = (struct served *)((char *)t - offsetof(struct served, retry));
    struct err e;
    int fd;
    if (sock_unix_connect(k->m->args->control_path, &fd, &e)) {
        retry_later(k, RETRY_AWAY_MAX_MS);
        return;
    }
    msg_conn_init(&k->conn, fd, IPC_PAYLOAD_MAX);
    k->watch = (struct watch){fd, on_ready};
    if (loop_add(k->m->loop, &k->watch, EPOLLIN, &e)) {
        msg_conn_done(&k->conn);
        retry_later(k, RETRY_AWAY_MAX_MS);
        return;
    }
    k->connected = true;
    if (say_hello(k, &e))
        disconnect(k, &e);
}

int served_start(struct monitor *m, struct err *e)
{
    struct served *k = calloc(1, sizeof *k);
    if (!k)
        return err_set(e, ERR_NOMEM, "the connection to the controller");
    k->m = m;
    k->retry.on_due = connect_now;
    m->served = k;
    connect_now(&k->retry);
    return 0;
}

bool served_tell(struct served *k, uint16_t type, struct str payload)
{
    struct err e;
    if (!k || !k->connected || msg_conn_pending(&k->conn))
        return false;
    int rc = msg_conn_send(&k->conn, type, payload, NULL, 0, &e);
    if (rc == 0 && msg_conn_pending(&k->conn))
        rc = loop_change(k->m->loop, &k->watch, EPOLLIN | EPOLLOUT, &e);
    if (rc)
        disconnect(k, &e);
    return rc == 0;
}

void served_free(struct served *k)
{
    if (!k)
        return;
    if (k->connected) {
        loop_remove(k->m->loop, &k->watch);
        msg_conn_done(&k->conn);
    }
    loop_timer_clear(k->m->loop, &k->retry);
    free(k);
}
