// SPDX-License-Identifier: Apache-2.0
// The gateways' routing connections. Each gets the deployments it does not have yet, then the whole table;
// while its socket is full nothing more is queued, so a slow gateway skips to the newest table.
//
// A change counts as running everywhere when each gateway has acknowledged its generation or does not serve:
// one that is starting anew takes no request before it has the newest table. A gateway that lives but lost
// this connection (the controller died, too) still serves its old table, so it is waited for.
#include "role/controller/gateways.h"

#include "base/clock.h"
#include "role/board.h"
#include "role/controller/deploying.h"
#include "role/controller/log_plan.h"
#include "role/controller/rollouts.h"
#include "role/controller/scaler.h"
#include "role/controller/scaling.h"
#include "role/controller/token_keys.h"
#include "role/ipc.h"
#include "role/ipc_ask.h"
#include "role/peer.h"

#include <stdio.h>
#include <string.h>
#include <yyjson.h>

enum {
    TICK_MS = 50,         // how often waiting publications look at clocks and at the board
    RECONNECT_MS = 2000,  // within which a living gateway is back
    ROUTES_MAX = 8 << 20, // bytes of a table
    DEPLOY_MAX = IPC_PAYLOAD_MAX,
    SCHEMA_ARENA_BYTES = 64 << 20,
};

static unsigned index_of(const struct controller *c, const struct gateway_link *g)
{
    return (unsigned)(g - c->gateways);
}

static bool is_monitor(const struct controller *c, const struct gateway_link *g)
{
    return g == &c->monitor;
}

// For the log.
static struct log_field name_of(const struct controller *c, const struct gateway_link *g)
{
    return is_monitor(c, g) ? LOG_Z("of", "monitor") : LOG_INT("gateway", index_of(c, g));
}

// What a version is logged by follows from what the registry says of its columns, which the monitor gets too.
static int put_columns(struct controller *c, const struct gateway_link *g, struct deployment *d,
                       struct buf *out, struct err *e)
{
    struct arena a;
    struct registry_version v;
    struct str key;
    int rc = arena_init(&a, SCHEMA_ARENA_BYTES, e);
    if (rc)
        return rc;
    if (!d->log_json || is_monitor(c, g))
        rc = registry_version_find(c->registry, str_of(d->model), d->version, &a, &v, e);
    if (rc == 0 && !d->log_json)
        rc = log_plan_make(d, &v, e);
    if (rc == 0)
        rc = log_plan_key(c, d, &key, e);
    if (rc == 0) {
        out->n--; // the brace that ends the object
        const struct registry_artifact *baseline =
            is_monitor(c, g) ? registry_version_artifact(&v, REGISTRY_ROLE_BASELINE) : NULL;
        if (is_monitor(c, g)) {
            buf_puts(out, ",\"signature\":");
            buf_put_str(out, v.signature_json);
        }
        if (baseline) {
            char digest[REGISTRY_DIGEST_TEXT];
            registry_digest_text(&baseline->digest, digest);
            buf_printf(out, ",\"baseline\":\"%s\"", digest);
        }
        buf_puts(out, ",\"log\":");
        buf_put_str(out, str_of(d->log_json));
        if (key.n && !is_monitor(c, g)) {
            out->n--;
            buf_printf(out, ",\"key\":\"" STR_FMT "\"}", STR_ARG(key));
        }
        buf_putc(out, '}');
    }
    arena_done(&a);
    return rc;
}

static bool send_deployment(struct controller *c, struct gateway_link *g, struct deployment *d, struct buf *b)
{
    const int fds[] = {d->image_fd, d->rules_fd};
    uint16_t n_fds = is_monitor(c, g) ? 0 : d->rules_fd < 0 ? 1 : 2;
    struct err e;
    buf_clear(b);
    routing_deploy_encode(d, b);
    if (put_columns(c, g, d, b, &e)) // it is served, and not logged
        log_event(&c->log, LOG_LEVEL_ERROR, "not_logged", LOG_Z("model", d->model),
                  LOG_INT("version", d->version), LOG_Z("message", e.msg));
    return !b->failed && peer_send(g->peer, IPC_DEPLOY, buf_str(b), fds, n_fds);
}

static bool send_deployments(struct controller *c, struct gateway_link *g)
{
    struct buf b;
    buf_init(&b, DEPLOY_MAX);
    bool ok = true;
    for (size_t i = 0; ok && i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = c->routing.slots[i];
        if (!d || d->state != DEPLOYMENT_READY || g->sent[i] == d->id)
            continue;
        ok = send_deployment(c, g, d, &b);
        if (ok) // else the connection is gone, and with it what it knew
            g->sent[i] = d->id;
    }
    buf_done(&b);
    return ok;
}

static void pump(struct controller *c, struct gateway_link *g)
{
    if (!g->peer || g->sent_generation == c->routing.generation || msg_conn_pending(&g->peer->conn))
        return;
    // What a gateway serves must not go away because this process had to start anew.
    if (g->has_table && !routing_is_complete(&c->routing))
        return;
    struct buf b;
    buf_init(&b, ROUTES_MAX);
    if (send_deployments(c, g)) {
        routing_routes_encode(&c->routing, &b);
        token_keys_put(c, &b);
        if (b.failed) {
            log_event(&c->log, LOG_LEVEL_ERROR, "routes_failed", name_of(c, g));
            peer_close(g->peer); // it comes back and asks anew
        } else if (peer_send(g->peer, IPC_ROUTES, buf_str(&b), NULL, 0)) {
            g->sent_generation = c->routing.generation;
        }
    } else if (g->peer) {
        peer_close(g->peer);
    }
    buf_done(&b);
}

void gateways_publish(struct controller *c)
{
    c->routing.generation++;
    for (unsigned i = 0; i < c->args->n_gateways; i++)
        pump(c, &c->gateways[i]);
    pump(c, &c->monitor);
}

void gateway_drained(struct peer *p)
{
    pump(p->peers->owner, p->routing);
}

int gateway_hello(struct peer *p, struct str payload, struct err *e)
{
    struct controller *c = p->peers->owner;
    yyjson_doc *doc = yyjson_read(payload.p, payload.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *gateway = yyjson_obj_get(root, "gateway");
    bool is_monitors = yyjson_equals_str(yyjson_obj_get(root, "role"), "monitor");
    bool good =
        (is_monitors || (yyjson_is_uint(gateway) && yyjson_get_uint(gateway) < c->args->n_gateways)) &&
        yyjson_get_uint(yyjson_obj_get(root, "protocol")) == IPC_PROTOCOL;
    uint64_t index = good ? yyjson_get_uint(gateway) : 0;
    bool has_table = yyjson_get_uint(yyjson_obj_get(root, "generation")) > 0;
    yyjson_doc_free(doc);
    if (!good)
        return err_set(e, ERR_INVALID, "a gateway's greeting is not as agreed");
    struct gateway_link *g = is_monitors ? &c->monitor : &c->gateways[index];
    if (g->peer)
        peer_close(g->peer); // its successor is here before its end was noticed
    *g = (struct gateway_link){.peer = p, .since_ns = clock_mono_ns(), .has_table = has_table};
    p->routing = g;
    log_event(&c->log, LOG_LEVEL_DEBUG, "gateway_connected", name_of(c, g));
    pump(c, g);
    if (!is_monitors)
        rollouts_gateway_new(c, (unsigned)index);
    return 0;
}

bool gateway_is_current(const struct controller *c, unsigned i)
{
    for (unsigned k = 0; c->board && k < board_n_rows(c->board); k++) {
        struct board_row row = board_read(c->board, k);
        if (row.kind == BOARD_GATEWAY && row.replica == i)
            return true;
    }
    return !c->board;
}

// Whether the gateway cannot answer a request by an older table than `generation`.
static bool is_current(const struct controller *c, const struct gateway_link *g, uint64_t generation)
{
    if (g->peer)
        return g->acked_generation >= generation;
    bool back_in_time = clock_mono_ns() - g->since_ns < RECONNECT_MS * 1000000ull;
    if (!c->board)
        return !back_in_time;
    for (unsigned i = 0; i < board_n_rows(c->board); i++) {
        struct board_row row = board_read(c->board, i);
        if (row.kind != BOARD_GATEWAY || row.replica != index_of(c, g))
            continue;
        if (row.state == BOARD_READY)
            return false;
        return row.state == BOARD_STARTING ? !back_in_time : true;
    }
    return true;
}

static bool all_current(const struct controller *c, uint64_t generation)
{
    for (unsigned i = 0; i < c->args->n_gateways; i++)
        if (!is_current(c, &c->gateways[i], generation))
            return false;
    return true;
}

// "gateways 0, 3 have not confirmed …"
static void name_missing(const struct controller *c, uint64_t generation, struct err *e)
{
    char list[120] = "";
    size_t used = 0;
    unsigned n = 0;
    for (unsigned i = 0; i < c->args->n_gateways; i++) {
        const struct gateway_link *g = &c->gateways[i];
        if (is_current(c, g, generation))
            continue;
        if (used + 32 < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%u%s", n ? ", " : "", i,
                                     g->peer ? "" : " (not connected)");
        n++;
    }
    err_set(e, ERR_UNAVAILABLE, "the change is stored, but gateway%s %s did not confirm it within %d seconds",
            n == 1 ? "" : "s", list, PUBLICATION_TIMEOUT_MS / 1000);
    err_hint(e, "It takes effect there as soon as that gateway is back. Repeat the request only with the "
                "Idempotency-Key that it had: the answer then comes when all gateways have it.");
}

// The first that is done or out of time.
static struct publication *find_over(const struct controller *c, bool *ret_is_current)
{
    for (struct publication *p = c->publications; p; p = p->next) {
        *ret_is_current = all_current(c, p->generation);
        if (*ret_is_current || clock_mono_ns() >= p->deadline_ns)
            return p;
    }
    return NULL;
}

// Ends those that are over. A callback frees its own, and may add or forget others, so the list is read anew.
static void check_publications(struct controller *c)
{
    struct publication *p;
    for (bool current; (p = find_over(c, &current));) {
        struct err e;
        if (!current)
            name_missing(c, p->generation, &e);
        gateways_forget(c, p);
        p->on_done(p, current ? NULL : &e);
    }
}

static void set_tick(struct controller *c)
{
    struct err e;
    if (c->publications &&
        loop_timer_set(c->loop, &c->publication_timer, clock_mono_ns() + TICK_MS * 1000000ull, &e))
        log_event(&c->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("message", e.msg));
}

static void on_tick(struct timer *t)
{
    struct controller *c = (struct controller *)((char *)t - offsetof(struct controller, publication_timer));
    check_publications(c);
    set_tick(c);
}

void gateways_wait(struct controller *c, struct publication *p)
{
    p->generation = c->routing.generation;
    p->deadline_ns = clock_mono_ns() + PUBLICATION_TIMEOUT_MS * 1000000ull;
    p->is_waiting = true;
    p->next = c->publications;
    c->publications = p;
    c->publication_timer.on_due = on_tick;
    check_publications(c);
    set_tick(c);
}

void gateways_forget(struct controller *c, struct publication *p)
{
    for (struct publication **at = &c->publications; p->is_waiting && *at; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            p->is_waiting = false;
            return;
        }
    }
}

static void send_absent(struct gateway_link *g, struct str model, struct str name, const struct err *why)
{
    struct buf b;
    buf_init(&b, 8192);
    ipc_absent_encode(model, name, why, &b);
    if (!b.failed && !msg_conn_pending(&g->peer->conn)) // else it asks again
        (void)peer_send(g->peer, IPC_ABSENT, buf_str(&b), NULL, 0);
    buf_done(&b);
}

// The answer is a table that has it, or why there will be none.
static int take_ask(struct controller *c, struct gateway_link *g, const struct msg *m, struct err *e)
{
    struct ipc_ask ask;
    struct err why;
    int rc = ipc_ask_decode(m->payload, &ask, e);
    if (rc)
        return err_wrap(e, "gateway %u", index_of(c, g));
    if (deploying_ask(c, ask.model, ask.name, &why) && g->peer)
        send_absent(g, ask.model, ask.name, &why);
    ipc_ask_done(&ask);
    return 0;
}

// A deployment that is not there any more is none of our gateways' faults.
static int take_want(struct controller *c, const struct gateway_link *g, const struct msg *m, struct err *e)
{
    yyjson_doc *doc = yyjson_read(m->payload.p, m->payload.n, 0);
    yyjson_val *id = yyjson_obj_get(yyjson_doc_get_root(doc), "deployment");
    bool good = yyjson_is_uint(id);
    if (good)
        scaling_want(c, yyjson_get_uint(id));
    yyjson_doc_free(doc);
    return good ? 0
                : err_set(e, ERR_INVALID, "gateway %u sent a message that is not as agreed", index_of(c, g));
}

void gateways_scaled(struct controller *c, const struct deployment *d)
{
    char json[192];
    int n = snprintf(json, sizeof json,
                     "{\"deployment\":%llu,\"wanted\":%u,\"starved\":%s,\"cold_starts\":%llu,\"target\":%.3f,"
                     "\"panic\":%s}",
                     (unsigned long long)d->id, d->n_wanted, d->is_starved ? "true" : "false",
                     (unsigned long long)d->n_cold_starts, scaler_target(&d->settings),
                     d->scaler && d->scaler->state.panicking ? "true" : "false");
    for (unsigned i = 0; i < c->args->n_gateways; i++) {
        struct gateway_link *g = &c->gateways[i];
        if (g->peer && g->sent[d->slot] == d->id && !msg_conn_pending(&g->peer->conn))
            (void)peer_send(g->peer, IPC_SCALE, (struct str){json, (size_t)n}, NULL, 0);
    }
}

int gateway_message(struct peer *p, const struct msg *m, struct err *e)
{
    struct controller *c = p->peers->owner;
    struct gateway_link *g = p->routing;
    if (m->type == IPC_WANT)
        return take_want(c, g, m, e);
    if (m->type == IPC_ASK)
        return take_ask(c, g, m, e);
    if (m->type == IPC_COHORTS && !is_monitor(c, g))
        return rollouts_take_cohorts(c, index_of(c, g), m->payload, e);
    if (m->type == IPC_LABELS && is_monitor(c, g))
        return rollouts_take_labels(c, m->payload, e);
    yyjson_doc *doc = m->type == IPC_ACK ? yyjson_read(m->payload.p, m->payload.n, 0) : NULL;
    yyjson_val *generation = yyjson_obj_get(yyjson_doc_get_root(doc), "generation");
    bool good = yyjson_is_uint(generation) && yyjson_get_uint(generation) <= g->sent_generation;
    uint64_t acked = good ? yyjson_get_uint(generation) : 0;
    yyjson_doc_free(doc);
    if (!good)
        return err_set(e, ERR_INVALID, "gateway %u sent a message that is not as agreed", index_of(c, g));
    g->acked_generation = acked;
    check_publications(c);
    return 0;
}

void gateway_lost(struct peer *p)
{
    struct controller *c = p->peers->owner;
    struct gateway_link *g = p->routing;
    log_event(&c->log, LOG_LEVEL_DEBUG, "gateway_lost", name_of(c, g));
    *g = (struct gateway_link){.since_ns = clock_mono_ns()};
    if (!is_monitor(c, g))
        rollouts_gateway_lost(c, index_of(c, g));
}
