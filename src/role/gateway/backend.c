// SPDX-License-Identifier: Apache-2.0
// Links: the handshake, taking answers, waking, and what is left when a replica ends.
#include "role/gateway/backend.h"

#include "role/gateway/call.h"
#include "role/gateway/control.h"
#include "role/gateway/links.h"
#include "role/gateway/split.h"
#include "role/gateway/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TAKES_A_TURN = 4096,       // answers of one replica before others get their turn
    WANT_AGAIN_NS = 500000000, // a controller that was told may have died since
    PROPOSE_DOUBLINGS = 4
};

static const uint64_t PROPOSE_AGAIN_NS = 500000000;

static struct link *link_of_socket(struct watch *w)
{
    return (struct link *)((char *)w - offsetof(struct link, socket));
}

static struct link *link_of_wake(struct watch *w)
{
    return (struct link *)((char *)w - offsetof(struct link, wake));
}

static void link_free(struct link *l)
{
    struct loop *loop = l->b->g->loop;
    loop_remove(loop, &l->socket);
    if (l->wake.fd >= 0)
        loop_remove(loop, &l->wake);
    msg_conn_done(&l->conn);
    link_end_done(&l->end);
    free(l->slots);
    free(l);
}

// Brings the gauges up to date. A slot that another deployment has taken over is left alone.
static void publish(struct backend *b)
{
    struct metrics_series *s = b->series;
    uint64_t now = loop_now_ns(b->g->loop);
    if (!s || s->deployment != b->series_key)
        return;
    s->in_flight_ns += (now - b->counted_ns) * s->in_flight;
    b->counted_ns = now;
    s->in_flight = b->n_calls;
    s->waiting = b->n_waiting;
}

void backend_count_in(struct backend *b, struct metrics_series *s)
{
    b->series = s;
    b->series_key = s->deployment;
    b->counted_ns = loop_now_ns(b->g->loop);
    publish(b);
}

static void backend_free_if_unused(struct backend *b)
{
    if (b->refs || b->links || b->n_calls)
        return;
    publish(b);
    for (struct backend **at = &b->g->backends; *at; at = &(*at)->next)
        if (*at == b) {
            *at = b->next;
            break;
        }
    free(b);
}

struct backend *backend_ref(struct gateway *g, uint64_t deployment)
{
    struct backend *b = g->backends;
    while (b && b->deployment != deployment)
        b = b->next;
    if (!b) {
        b = calloc(1, sizeof *b);
        if (!b)
            return NULL;
        *b = (struct backend){.g = g, .deployment = deployment, .next = g->backends};
        b->waiting_end = &b->waiting;
        g->backends = b;
    }
    b->refs++;
    return b;
}

void backend_unref(struct backend *b)
{
    if (!b)
        return;
    b->refs--;
    backend_free_if_unused(b);
}

static void mark_routed(struct deployment *d)
{
    if (d && d->backend)
        d->backend->routed = true;
}

void backends_routed(struct gateway *g)
{
    for (struct backend *b = g->backends; b; b = b->next)
        b->routed = false;
    for (uint32_t i = 0; i < g->table->n_models; i++) {
        const struct table_model *m = &g->table->models[i];
        mark_routed(m->fallback);
        for (uint32_t k = 0; k < m->n_names; k++)
            mark_routed(m->names[k].deployment);
        for (uint32_t k = 0; m->split && k < m->split->n_arms; k++)
            mark_routed(m->split->arms[k]);
        if (m->split)
            mark_routed(m->split->shadow);
    }
}

// ---- the end of a link ----

// What it had not answered goes to other replicas, or is answered with an error (call.c decides).
static void link_lost(struct link *l, const char *why)
{
    struct backend *b = l->b;
    struct link **at = &b->links;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    b->n_ready -= l->ready;
    l->ready = false;
    log_event(&b->g->log, LOG_LEVEL_INFO, "replica_lost", LOG_INT("deployment", (int64_t)b->deployment),
              LOG_INT("replica", l->replica), LOG_Z("reason", why));
    b->refs++; // calls that end here must not free it
    calls_lost(l);
    link_free(l);
    backend_unref(b);
}

// ---- answers ----

// Frees the memory of the oldest requests that are answered.
static void free_answered(struct link *l)
{
    uint64_t end = 0;
    while (l->first < l->next_id && !l->slots[l->first % LINK_SLOTS].call)
        end = l->slots[l->first++ % LINK_SLOTS].end;
    if (end)
        ring_free_to(&l->end.out, end);
}

// One answer: 0, or ERR_INTERNAL when the replica does not keep to the protocol.
static int take_answer(struct link *l, const void *message, size_t bytes, struct err *e)
{
    struct link_response head;
    int rc = link_response_head(message, bytes, &head, e);
    if (rc)
        return rc;
    if (head.id < l->first || head.id >= l->next_id || !l->slots[head.id % LINK_SLOTS].call)
        return err_set(e, ERR_INTERNAL, "it answered what was not asked");
    struct call *k = l->slots[head.id % LINK_SLOTS].call;
    l->slots[head.id % LINK_SLOTS].call = NULL;
    call_answered(k, message, bytes, &head);
    free_answered(l);
    return 0;
}

// Takes what is there. Returns whether the link still stands.
static bool take_answers(struct link *l)
{
    struct err e;
    const void *message;
    size_t bytes;
    for (int i = 0; i < TAKES_A_TURN; i++) {
        int rc = ring_take(&l->end.in, &message, &bytes, &e);
        if (rc == 0)
            break;
        if (rc > 0) {
            rc = take_answer(l, message, bytes, &e);
            ring_tell_read(&l->end.out, &l->end.in);
            if (ring_must_wake_writer(&l->end.in))
                link_end_wake_other(&l->end);
        }
        if (rc < 0) {
            links_distrust(l->b->g, l->b->deployment, l->replica, e.msg);
            link_lost(l, e.msg);
            return false;
        }
    }
    return true;
}

// The answers are taken at the end of the turn, together with those of others.
static void on_wake(struct watch *w, uint32_t events)
{
    (void)events;
    struct link *l = link_of_wake(w);
    ring_wake(&l->end.out);
}

// Requests wait and no replica is there: the version may be at zero.
static void want_replica(struct backend *b)
{
    uint64_t now = loop_now_ns(b->g->loop);
    if (b->wanted_ns && now - b->wanted_ns < WANT_AGAIN_NS)
        return;
    b->wanted_ns = now;
    control_want(b->g->control, b->deployment);
}

static void take_all_answers(struct backend *b)
{
    for (struct link *l = b->links, *after; l; l = after) {
        after = l->next;
        // Says that it sleeps before the last look, so that nothing that comes now is missed.
        if (l->ready && !take_answers(l))
            continue;
        while (l->ready && !ring_sleep(&l->end.out, &l->end.in))
            if (!take_answers(l))
                break;
    }
    if (!b->routed && !b->links)
        calls_refuse(b);
}

static void send_all(struct backend *b)
{
    calls_pump(b);
    if (b->waiting && b->n_ready == 0)
        want_replica(b);
    publish(b);
    for (struct link *l = b->links; l; l = l->next) {
        if (l->posted && ring_must_wake(&l->end.in))
            link_end_wake_other(&l->end);
        l->posted = false;
    }
}

static void for_each(struct gateway *g, void (*f)(struct backend *b))
{
    for (struct backend *b = g->backends, *next; b; b = next) {
        b->refs++; // what is answered here may end it
        f(b);
        next = b->next;
        backend_unref(b);
    }
}

void backends_turn_end(struct gateway *g)
{
    for_each(g, take_all_answers);
    for_each(g, send_all); // an answered connection may have gone on with a request to any of them
}

struct link *backend_choose(const struct backend *b)
{
    struct link *best = NULL;
    for (struct link *l = b->links; l; l = l->next) {
        uint64_t n = l->next_id - l->first;
        if (l->ready && n < LINK_SLOTS && (!best || n < best->next_id - best->first))
            best = l;
    }
    return best;
}

bool backend_is_idle(const struct backend *b)
{
    return b->n_ready > 0 && b->n_calls == b->n_mirrored && !b->waiting;
}

// ---- the handshake ----

static int accept_link(struct link *l, const struct msg *m, struct err *e)
{
    struct link_accept a;
    int rc = link_accept_read(m, &a, e);
    if (rc == 0 && l->ready)
        rc = err_set(e, ERR_INTERNAL, "it accepted twice");
    if (rc)
        return rc;
    l->ready = true;
    l->b->n_ready++;
    l->b->wanted_ns = 0;
    log_event(&l->b->g->log, LOG_LEVEL_DEBUG, "replica_linked",
              LOG_INT("deployment", (int64_t)l->b->deployment), LOG_INT("replica", l->replica));
    return 0;
}

static void on_socket(struct watch *w, uint32_t events)
{
    (void)events;
    struct link *l = link_of_socket(w);
    struct err e = {0};
    struct msg m;
    int rc = msg_conn_fill(&l->conn, &e), taken = 1;
    while ((rc == 0 || rc == ERR_UNAVAILABLE) && (taken = msg_conn_take(&l->conn, &m, &e)) > 0) {
        int bad = accept_link(l, &m, &e);
        for (int i = 0; i < m.n_fds; i++)
            close(m.fds[i]);
        rc = bad ? bad : rc;
    }
    if (rc == 0 && taken < 0)
        rc = taken;
    if (rc == 0)
        return;
    if (l->ready && !take_answers(l)) // what it answered before it ended counts
        return;
    if (rc != ERR_UNAVAILABLE)
        links_distrust(l->b->g, l->b->deployment, l->replica, e.msg);
    link_lost(l, rc == ERR_UNAVAILABLE ? "its process ended" : e.msg);
}

// Our rings, our eventfds and the proposal.
static int propose(struct link *l, struct err *e)
{
    struct link_open open = {LINK_PROTOCOL, l->b->g->index, LINK_RING_BYTES};
    int fds[LINK_FDS];
    l->slots = calloc(LINK_SLOTS, sizeof *l->slots);
    int rc = l->slots ? link_end_new(&l->end, LINK_RING_BYTES, fds, e)
                      : err_set(e, ERR_NOMEM, "a link to a replica");
    if (rc)
        return rc;
    l->wake = (struct watch){l->end.own_event, on_wake};
    rc = loop_add(l->b->g->loop, &l->wake, EPOLLIN | EPOLLET, e);
    if (rc == 0)
        rc = msg_conn_send(&l->conn, LINK_OPEN, (struct str){(const char *)&open, sizeof open}, fds, LINK_FDS,
                           e);
    close(fds[LINK_FD_REQUESTS]);
    close(fds[LINK_FD_RESPONSES]);
    return rc;
}

static void unpropose(struct link *l)
{
    if (l->wake.fd >= 0)
        loop_remove(l->b->g->loop, &l->wake);
    l->wake.fd = -1;
    link_end_done(&l->end);
    free(l->slots);
    l->slots = NULL;
}

// Descriptors or memory may be short for a while: tried again in each sweep that is due, with twice the time
// in between.
static void try_to_propose(struct link *l)
{
    struct gateway *g = l->b->g;
    struct err e;
    int rc = propose(l, &e);
    l->is_proposed = rc == 0;
    if (rc == 0) {
        if (l->n_failures)
            log_event(&g->log, LOG_LEVEL_INFO, "link_made", LOG_INT("replica", l->replica),
                      LOG_INT("attempts", l->n_failures + 1));
        return;
    }
    unpropose(l);
    uint64_t wait_ns = PROPOSE_AGAIN_NS
                       << (l->n_failures < PROPOSE_DOUBLINGS ? l->n_failures : PROPOSE_DOUBLINGS);
    l->n_failures++;
    l->propose_ns = loop_now_ns(g->loop) + wait_ns;
    log_event(&g->log, LOG_LEVEL_ERROR, "link_failed", LOG_INT("replica", l->replica),
              LOG_INT("again_in_ms", (int64_t)(wait_ns / 1000000)), LOG_Z("message", e.msg));
}

int backend_link(struct gateway *g, const struct supervision_link *to, int fd, struct err *e)
{
    struct backend *b = backend_ref(g, to->deployment);
    struct link *l = b ? calloc(1, sizeof *l) : NULL;
    if (!l) {
        close(fd);
        backend_unref(b);
        return err_set(e, ERR_NOMEM, "a link to a replica");
    }
    *l = (struct link){.b = b,
                       .replica = to->replica,
                       .hang_ms = to->hang_ms,
                       .first = 1,
                       .next_id = 1,
                       .socket = {fd, on_socket},
                       .wake.fd = -1};
    msg_conn_init(&l->conn, fd, LINK_PAYLOAD_MAX);
    int rc = loop_add(g->loop, &l->socket, EPOLLIN, e);
    if (rc) {
        link_free(l);
    } else {
        l->next = b->links;
        b->links = l;
        try_to_propose(l);
    }
    backend_unref(b);
    return rc;
}

static void propose_again(struct backend *b)
{
    for (struct link *l = b->links; l; l = l->next)
        if (!l->is_proposed && l->propose_ns <= loop_now_ns(b->g->loop))
            try_to_propose(l);
}

unsigned backend_n_in_turn(const struct backend *b)
{
    const struct gateway *g = b->g;
    unsigned n = 1;
    if (!b->series)
        return n;
    size_t slot = (size_t)(b->series - g->metrics->series);
    for (unsigned i = 0; i < g->n_gateways; i++) {
        const struct metrics_series *s = &g->shards[i].series[slot];
        n += i != g->index && s->deployment == b->series_key &&
             __atomic_load_n(&s->in_flight, __ATOMIC_RELAXED) > 0;
    }
    return n;
}

// What a replica owes: its oldest request, or the handshake.
static bool is_out_of_patience(struct link *l, unsigned n_in_turn, uint64_t now)
{
    bool owes = l->is_proposed && (!l->ready || l->first < l->next_id);
    return l->hang_ms &&
           patience_look(&l->patience, &(struct patience_seen){.now_ns = now,
                                                               .owes = owes,
                                                               .oldest = l->ready ? l->first : 0,
                                                               .n_in_turn = n_in_turn,
                                                               .hang_ms = l->hang_ms});
}

// Its requests go to others as if it had died; it dies of the supervisor's hand.
static void give_up_mute(struct backend *b)
{
    uint64_t now = loop_now_ns(b->g->loop);
    unsigned n_in_turn = b->links ? backend_n_in_turn(b) : 1;
    for (struct link *l = b->links, *after; l; l = after) {
        after = l->next;
        if (l->ready && !take_answers(l))
            continue; // what is there already was no fault of the replica's
        if (!is_out_of_patience(l, n_in_turn, now))
            continue;
        char why[SUPERVISION_WHY_BYTES];
        snprintf(why, sizeof why,
                 "mute: no answer to a request for %llu ms, though it answers the supervisor",
                 (unsigned long long)(l->patience.quiet_ns / 1000000));
        links_distrust(b->g, b->deployment, l->replica, why);
        link_lost(l, why);
    }
}

void backends_sweep(struct gateway *g)
{
    for_each(g, calls_sweep);
    for_each(g, give_up_mute);
    for_each(g, propose_again);
}

void backends_close(struct gateway *g)
{
    while (g->backends) {
        struct backend *b = g->backends;
        b->refs++;
        while (b->links)
            link_lost(b->links, "this gateway ends");
        b->refs--;
        g->backends = b->next;
        free(b);
    }
}
