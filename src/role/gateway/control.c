// SPDX-License-Identifier: Apache-2.0
// Routing messages: deployments arrive with their images, then a table that names them, which is swapped in
// between two batches and acknowledged.
#include "role/gateway/control.h"

#include "base/clock.h"
#include "os/msg.h"
#include "os/sock.h"
#include "role/gateway/backend.h"
#include "role/gateway/metrics_page.h"
#include "role/gateway/parked.h"
#include "role/gateway/predict.h"
#include "role/gateway/table.h"
#include "role/gateway/token.h"
#include "role/gateway/trial.h"
#include "role/ipc.h"
#include "role/ipc_ask.h"
#include "settings/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

// The pause before a new connection doubles until a table arrives. A controller that went away is waited for
// within the two seconds that role/ipc.h promises; one whose tables cannot be used here is left in peace.
enum { RETRY_MS = 20, RETRY_AWAY_MAX_MS = 1000, RETRY_REFUSED_MAX_MS = 5000 };

struct control {
    struct gateway *g;
    struct msg_conn conn;
    struct watch watch;
    struct timer retry;
    bool connected, has_failed; // has_failed: said in the log, and no table arrived since
    unsigned n_retries;         // since the last table
    void (*on_table)(struct gateway *g);
    struct deployment **pool; // sent on this connection and still named by a table, or newer than it
    size_t n_pool, cap_pool;
    struct buf metrics; // lines of the controller's own; empty while it is away
};

static void pool_clear(struct control *k)
{
    for (size_t i = 0; i < k->n_pool; i++)
        deployment_unref(k->pool[i]);
    k->n_pool = 0;
}

// Drops what the running table does not name: nobody else holds a reference.
static void pool_sweep(struct control *k)
{
    size_t kept = 0;
    for (size_t i = 0; i < k->n_pool; i++) {
        if (k->pool[i]->refs > 1)
            k->pool[kept++] = k->pool[i];
        else
            deployment_unref(k->pool[i]);
    }
    k->n_pool = kept;
}

static int pool_add(struct control *k, struct deployment *d, struct err *e)
{
    if (k->n_pool == k->cap_pool) {
        size_t cap = k->cap_pool ? k->cap_pool * 2 : 16;
        struct deployment **pool = realloc(k->pool, cap * sizeof(struct deployment *));
        if (!pool)
            return err_set(e, ERR_NOMEM, "deployments");
        k->pool = pool;
        k->cap_pool = cap;
    }
    k->pool[k->n_pool++] = d;
    return 0;
}

// IPC_DEPLOY: opens the image. A message that is not as agreed ends the connection.
static int take_deploy(struct control *k, const struct msg *m, yyjson_val *json, struct err *e)
{
    struct gateway *g = k->g;
    yyjson_val *id = yyjson_obj_get(json, "deployment"), *model = yyjson_obj_get(json, "model"),
               *slot = yyjson_obj_get(json, "slot"), *version = yyjson_obj_get(json, "version"),
               *engine = yyjson_obj_get(json, "engine");
    if (m->n_fds < 1 || m->n_fds > 2 || !yyjson_is_uint(id) || !yyjson_is_str(model) ||
        !yyjson_is_uint(version) || !yyjson_is_str(engine) || !yyjson_is_uint(slot) ||
        yyjson_get_uint(slot) >= METRICS_SERIES)
        return err_set(e, ERR_INVALID, "a deployment message is not as agreed");
    struct deployment *d;
    int rc = deployment_open(g, (uint32_t)yyjson_get_uint(id), str_of(yyjson_get_str(model)),
                             (uint32_t)yyjson_get_uint(version), yyjson_get_str(engine), m->fds[0],
                             m->n_fds == 2 ? m->fds[1] : -1,
                             metrics_slot(g->metrics, (unsigned)yyjson_get_uint(slot)), &d, e);
    if (rc)
        return err_wrap(e, "open version %u of '%s'", (unsigned)yyjson_get_uint(version),
                        yyjson_get_str(model));
    struct err why;
    if (journal_plan_read(yyjson_obj_get(json, "log"), &d->log, &why)) // it is served, and not logged
        log_event(&g->log, LOG_LEVEL_ERROR, "not_logged", LOG_Z("model", d->model),
                  LOG_Z("version", d->version), LOG_Z("message", why.msg));
    if (d->sig)
        journal_plan_rows(&d->log, d->sig, d->number, d->slot);
    rc = pool_add(k, d, e);
    if (rc)
        deployment_unref(d);
    return rc;
}

// IPC_SCALE: for /metrics only. A deployment that is not here has just gone.
static int take_scale(struct control *k, yyjson_val *json, struct err *e)
{
    yyjson_val *id = yyjson_obj_get(json, "deployment"), *wanted = yyjson_obj_get(json, "wanted"),
               *starved = yyjson_obj_get(json, "starved"), *cold = yyjson_obj_get(json, "cold_starts"),
               *target = yyjson_obj_get(json, "target"), *panic = yyjson_obj_get(json, "panic");
    if (!yyjson_is_uint(id) || !yyjson_is_uint(wanted) || !yyjson_is_bool(starved) || !yyjson_is_uint(cold))
        return err_set(e, ERR_INVALID, "a scale message is not as agreed");
    for (struct backend *b = k->g->backends; b; b = b->next)
        if (b->deployment == yyjson_get_uint(id))
            b->scale = (struct backend_scale){.wanted = (uint32_t)yyjson_get_uint(wanted),
                                              .target = yyjson_get_num(target),
                                              .cold_starts = yyjson_get_uint(cold),
                                              .starved = yyjson_get_bool(starved),
                                              .panicking = yyjson_get_bool(panic),
                                              .known = true};
    return 0;
}

static int acknowledge(struct control *k, uint64_t generation, struct err *e)
{
    char json[64];
    int n = snprintf(json, sizeof json, "{\"generation\":%llu}", (unsigned long long)generation);
    return msg_conn_send(&k->conn, IPC_ACK, (struct str){json, (size_t)n}, NULL, 0, e);
}

// IPC_ROUTES: what was gathered is answered by the old table, everything later by the new one.
static int take_routes(struct control *k, const struct msg *m, struct err *e)
{
    struct gateway *g = k->g;
    struct table *t;
    int rc = table_parse(m->payload, k->pool, k->n_pool, &t, e);
    if (rc)
        return rc;
    if (g->table->ready && !t->ready) {
        // A new controller that is still loading what this gateway serves already. The whole table follows;
        // until then the old one stands, and its deployments' successors wait in the pool.
        table_free(t);
        return 0;
    }
    predict_finish(g);
    table_divide(g->table, false);
    table_free(g->table);
    g->table = t;
    metrics_page_routed(g);
    table_divide(t, true);
    trials_routed(g);
    backends_routed(g);
    tokens_routed(g);
    pool_sweep(k);
    if (k->has_failed)
        log_event(&g->log, LOG_LEVEL_INFO, "control_restored", LOG_INT("attempts", k->n_retries));
    k->has_failed = false;
    k->n_retries = 0;
    log_event(&g->log, LOG_LEVEL_DEBUG, "routes", LOG_INT("generation", t->generation),
              LOG_INT("models", t->n_models));
    if (t->ready)
        k->on_table(g);
    parked_routed(g);
    return acknowledge(k, t->generation, e);
}

static int take_message(struct control *k, const struct msg *m, struct err *e)
{
    if (m->type == IPC_ROUTES)
        return take_routes(k, m, e);
    if (m->type == IPC_ABSENT)
        return parked_absent(k->g, m->payload, e);
    if (m->type == IPC_METRICS) {
        buf_clear(&k->metrics);
        buf_put_str(&k->metrics, m->payload);
        return 0;
    }
    if (m->type != IPC_DEPLOY && m->type != IPC_SCALE)
        return err_set(e, ERR_INVALID, "message type %u is not expected here", m->type);
    yyjson_doc *doc = yyjson_read(m->payload.p, m->payload.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    int rc = m->type == IPC_SCALE ? take_scale(k, root, e) : take_deploy(k, m, root, e);
    yyjson_doc_free(doc);
    return rc;
}

static void retry_later(struct control *k, uint64_t max_ms)
{
    struct err e;
    uint64_t ms = RETRY_MS;
    for (unsigned i = 0; i < k->n_retries && ms < max_ms; i++)
        ms *= 2;
    k->n_retries++;
    ms = ms < max_ms ? ms : max_ms;
    if (loop_timer_set(k->g->loop, &k->retry, clock_mono_ns() + ms * 1000000u, &e))
        log_event(&k->g->log, LOG_LEVEL_ERROR, "control_lost", LOG_Z("message", e.msg));
}

static void disconnect(struct control *k, const struct err *why)
{
    bool is_away = why->code == ERR_UNAVAILABLE;
    if (!is_away && !k->has_failed)
        log_event(&k->g->log, LOG_LEVEL_ERROR, "control_error", LOG_Z("message", why->msg));
    k->has_failed = k->has_failed || !is_away;
    loop_remove(k->g->loop, &k->watch);
    msg_conn_done(&k->conn);
    k->connected = false;
    pool_clear(k); // the table keeps what it needs; the next connection sends everything anew
    buf_clear(&k->metrics);
    retry_later(k, is_away ? RETRY_AWAY_MAX_MS : RETRY_REFUSED_MAX_MS);
}

static int read_messages(struct control *k, struct err *e)
{
    for (;;) {
        struct msg m;
        int rc = msg_conn_take(&k->conn, &m, e);
        if (rc == 0)
            return 0;
        if (rc > 0) {
            rc = take_message(k, &m, e);
            for (int i = 0; i < m.n_fds; i++)
                close(m.fds[i]);
        }
        if (rc < 0)
            return rc;
    }
}

static void on_ready(struct watch *w, uint32_t events)
{
    struct control *k = (struct control *)((char *)w - offsetof(struct control, watch));
    struct err e;
    int rc = events & EPOLLOUT ? msg_conn_flush(&k->conn, &e) : 0;
    if (rc == 0)
        rc = msg_conn_fill(&k->conn, &e);
    int taken = rc == 0 || rc == ERR_UNAVAILABLE ? read_messages(k, &e) : 0;
    if (rc == 0)
        rc = taken;
    if (rc == 0)
        rc = loop_change(k->g->loop, w, msg_conn_pending(&k->conn) ? EPOLLIN | EPOLLOUT : EPOLLIN, &e);
    if (rc)
        disconnect(k, &e);
}

static int say_hello(struct control *k, struct err *e)
{
    char json[128];
    int n = snprintf(json, sizeof json, "{\"gateway\":%u,\"protocol\":%d,\"generation\":%llu}", k->g->index,
                     IPC_PROTOCOL, (unsigned long long)k->g->table->generation);
    return msg_conn_send(&k->conn, IPC_HELLO, (struct str){json, (size_t)n}, NULL, 0, e);
}

static void connect_now(struct timer *t)
{
    struct control *k = (struct control *)((char *)t - offsetof(struct control, retry));
    struct err e;
    int fd;
    if (k->g->orphaned_mono_ns)
        return; // a controller that answers there is another server's
    if (sock_unix_connect(k->g->control_path, &fd, &e)) {
        retry_later(k, RETRY_AWAY_MAX_MS);
        return;
    }
    msg_conn_init(&k->conn, fd, IPC_PAYLOAD_MAX);
    k->watch = (struct watch){fd, on_ready};
    if (loop_add(k->g->loop, &k->watch, EPOLLIN, &e)) {
        msg_conn_done(&k->conn);
        retry_later(k, RETRY_AWAY_MAX_MS);
        return;
    }
    k->connected = true;
    if (say_hello(k, &e))
        disconnect(k, &e);
}

int control_start(struct gateway *g, void (*on_table)(struct gateway *g), struct err *e)
{
    struct control *k = calloc(1, sizeof *k);
    if (!k)
        return err_set(e, ERR_NOMEM, "the connection to the controller");
    k->g = g;
    buf_init(&k->metrics, IPC_PAYLOAD_MAX);
    k->on_table = on_table;
    k->retry.on_due = connect_now;
    g->control = k;
    connect_now(&k->retry);
    return 0;
}

void control_free(struct control *k)
{
    if (!k)
        return;
    if (k->connected) {
        loop_remove(k->g->loop, &k->watch);
        msg_conn_done(&k->conn);
    }
    loop_timer_clear(k->g->loop, &k->retry);
    pool_clear(k);
    buf_done(&k->metrics);
    free(k->pool);
    free(k);
}

void control_tell(struct control *k, uint16_t type, struct str json)
{
    struct err e;
    if (!k->connected)
        return;
    int rc = msg_conn_send(&k->conn, type, json, NULL, 0, &e);
    if (rc == 0 && msg_conn_pending(&k->conn))
        rc = loop_change(k->g->loop, &k->watch, EPOLLIN | EPOLLOUT, &e);
    if (rc && rc != ERR_BUSY)
        disconnect(k, &e);
}

void control_want(struct control *k, uint64_t deployment)
{
    char json[64];
    int n = snprintf(json, sizeof json, "{\"deployment\":%llu}", (unsigned long long)deployment);
    control_tell(k, IPC_WANT, (struct str){json, (size_t)n});
}

void control_ask(struct control *k, struct str model, struct str name)
{
    struct buf b;
    buf_init(&b, 4096);
    ipc_ask_encode(model, name, &b);
    if (!b.failed)
        control_tell(k, IPC_ASK, buf_str(&b));
    buf_done(&b);
}

struct str control_metrics(const struct control *k)
{
    return k->metrics.failed ? (struct str){0} : buf_str(&k->metrics);
}

bool control_is_connected(const struct control *k)
{
    return k->connected;
}
