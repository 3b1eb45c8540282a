// SPDX-License-Identifier: Apache-2.0
// The life of a call: decoded, sent, answered; or moved when its replica ends. The bytes of a sent call stay
// in our ring until it is answered, so that nothing needs to be copied unless a replica ends.
#include "role/gateway/call.h"

#include "base/clock.h"
#include "role/gateway/predict.h"
#include "role/gateway/quarantine.h"
#include "role/gateway/record.h"
#include "role/gateway/reply.h"
#include "settings/settings.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOVES_MAX = 8,           // a call that so many replicas left behind unread is given up
    TRIES_MAX = 2,           // a call that so many replicas ended with is refused
    SERVICE_WEIGHT = 8,      // of the past in the mean cost of a request, to one part of the present
    BYTES_PER_BODY_BYTE = 4, // "0," becomes eight bytes
    QUEUE_SHARE = 3,         // of QUEUE_SHARE_OF parts of its time, what a request may have to wait
    QUEUE_SHARE_OF = 4
};

// ---- decoding ----

static size_t align_up(size_t n)
{
    return (n + RING_ALIGN - 1) & ~(size_t)(RING_ALIGN - 1);
}

// Where a codec puts tensors: behind the head of the message under construction.
struct message_sink {
    struct tensor_sink sink;
    char *message;
    size_t at, max;
};

static void *sink_alloc(struct tensor_sink *sink, size_t bytes)
{
    struct message_sink *s = (struct message_sink *)((char *)sink - offsetof(struct message_sink, sink));
    size_t at = align_up(s->at);
    if (at > s->max || bytes > s->max - at)
        return NULL;
    s->at = at + bytes;
    return s->message + at;
}

// The most that the message of a body can take.
static uint64_t message_bound(const struct interface *i, size_t body_bytes)
{
    return link_request_head_bytes(i->n_inputs) + (uint64_t)body_bytes * BYTES_PER_BODY_BYTE +
           (i->n_inputs + 2) * (uint64_t)RING_ALIGN;
}

static void describe_tensor(struct link_tensor *to, uint32_t index, const struct tensor *t,
                            const char *message)
{
    *to = (struct link_tensor){.index = index,
                               .dtype = t->dtype,
                               .n_dims = t->n_dims,
                               .offset = (uint64_t)((const char *)t->data - message),
                               .bytes = t->bytes};
    memcpy(to->shape, t->shape, sizeof to->shape);
}

// The message of a request, decoded into `message` (max bytes, RING_ALIGN-aligned offsets). The id is given
// when it is sent.
static int decode(struct call *k, tensors_decode_fn *codec, struct str body, char *message, size_t max,
                  size_t *ret_bytes, struct err *e)
{
    const struct interface *i = k->deployment->interface;
    struct link_request *head = (struct link_request *)message;
    struct message_sink s = {
        .sink = {sink_alloc}, .message = message, .at = link_request_head_bytes(i->n_inputs), .max = max};
    struct arena *scratch = &k->conn->g->arena;
    int rc = codec(body, NULL, i, &s.sink, scratch, &k->request, e);
    if (k->request.counts)
        record_rules(k->deployment, k->request.counts);
    k->request.counts = NULL;
    if (rc)
        return rc;
    *head = (struct link_request){.deadline_mono_ns = k->deadline_ns,
                                  .sent_mono_ns = k->start_ns,
                                  .outputs = k->request.outputs,
                                  .n_rows = i->max_batch_rows ? k->request.n_rows : 0};
    for (uint32_t n = 0; n < i->n_inputs; n++)
        if (k->request.inputs[n].dtype != DTYPE_NONE)
            describe_tensor(&head->tensors[head->n_tensors++], n, &k->request.inputs[n], message);
    k->request.inputs = NULL;
    *ret_bytes = s.at;
    return 0;
}

// ---- life ----

static void memory_free(struct call *k)
{
    struct backend *b = k->deployment->backend;
    if (k->memory) {
        b->g->jobs_bytes -= k->bytes;
        b->waiting_bytes -= k->bytes;
    }
    free(k->memory);
    k->memory = NULL;
}

// Memory for a message of `bytes` bytes while no replica has room for it. One model may have as much as it
// leaves to the others, so that none takes all.
static int memory_take(struct call *k, size_t bytes, struct err *e)
{
    struct backend *b = k->deployment->backend;
    struct gateway *g = b->g;
    if (g->jobs_bytes + bytes > GATEWAY_JOBS_BYTES ||
        b->waiting_bytes + bytes > GATEWAY_JOBS_BYTES - g->jobs_bytes)
        return err_set(e, ERR_BUSY, "too many large requests to model '%s' wait", k->deployment->model);
    k->memory = aligned_alloc(RING_ALIGN, align_up(bytes));
    if (!k->memory)
        return err_set(e, ERR_NOMEM, "no memory for a request");
    k->bytes = bytes;
    g->jobs_bytes += bytes;
    b->waiting_bytes += bytes;
    return 0;
}

// After decoding, when the size is known.
static int memory_shrink(struct call *k, size_t bytes, struct err *e)
{
    struct backend *b = k->deployment->backend;
    b->g->jobs_bytes -= k->bytes - bytes;
    b->waiting_bytes -= k->bytes - bytes;
    k->bytes = bytes;
    if (bytes > LINK_RING_BYTES - RING_ALIGN)
        return err_set(e, ERR_TOO_LARGE,
                       "its tensors take %zu bytes, more than the %d MiB that a replica takes at once", bytes,
                       LINK_RING_BYTES >> 20);
    return 0;
}

static void call_free(struct call *k)
{
    memory_free(k);
    k->deployment->backend->n_calls--;
    deployment_unref(k->deployment);
    free(k->names);
    free(k);
}

// Moves what lies in the turn's arena, or in the connection's buffer, into the call.
static int own_names(struct call *k, struct err *e)
{
    struct str *names[] = {&k->request_id, &k->traceparent, &k->request.id};
    char *to = k->names = malloc(k->request_id.n + k->traceparent.n + k->request.id.n + 1);
    if (!to)
        return err_set(e, ERR_NOMEM, "no memory for a request");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i]->n)
            memcpy(to, names[i]->p, names[i]->n);
        names[i]->p = to;
        to += names[i]->n;
    }
    return 0;
}

static uint64_t hash_of(const struct call *k, const void *message)
{
    const struct link_request *head = message;
    uint64_t h = k->deployment->backend->deployment;
    for (uint32_t i = 0; i < head->n_tensors; i++) {
        const struct link_tensor *t = &head->tensors[i];
        h = quarantine_hash(h, t, sizeof *t);
        h = quarantine_hash(h, (const char *)message + t->offset, t->bytes);
    }
    return h;
}

static int crashed(const struct call *k, struct err *e)
{
    err_set(e, ERR_CRASHED, "the process that runs model '%s' ended each time it computed this request",
            k->deployment->model);
    err_hint(e, "The same request is refused for a minute; others are answered.");
    return ERR_CRASHED;
}

static int check_quarantine(const struct call *k, const void *message, struct err *e)
{
    const struct gateway *g = k->deployment->backend->g;
    uint64_t now = loop_now_ns(g->loop);
    if (quarantine_is_empty(g, now) || !quarantine_has(g, hash_of(k, message), now))
        return 0;
    return crashed(k, e);
}

// Whether one more request would wait too long. At the very edge every answer would be a little late, and
// all computing in vain, so a part of the time is left free.
static int check_queue(const struct gateway *g, const struct deployment *d, uint64_t limit_ns, struct err *e)
{
    const struct backend *b = d->backend;
    if (b->n_calls >= g->settings->max_queue)
        return err_set(e, ERR_BUSY, "%u requests to model '%s' are under way here, which is the limit",
                       b->n_calls, d->model);
    if (b->n_ready && b->n_calls >= b->n_ready && // else it waits for no other
        b->service_ns * b->n_calls * backend_n_in_turn(b) / b->n_ready >
            limit_ns / QUEUE_SHARE_OF * QUEUE_SHARE)
        return err_set(e, ERR_BUSY,
                       "%u requests to model '%s' are under way here, more than can be answered in time",
                       b->n_calls, d->model);
    return 0;
}

// ---- sending ----

// The call's message lies in the link's ring, reserved: publishes it.
static void post(struct call *k, struct link *l, void *message)
{
    struct link_request *head = message;
    struct link_slot *slot = &l->slots[l->next_id % LINK_SLOTS];
    head->id = l->next_id++;
    head->alone = k->alone;
    *slot = (struct link_slot){k, message, k->bytes, ring_commit(&l->end.out, k->bytes)};
    k->state = CALL_SENT;
    k->link = l;
    k->slot = head->id;
    l->posted = true;
}

static void wait_at_end(struct call *k)
{
    struct backend *b = k->deployment->backend;
    k->next = NULL;
    *b->waiting_end = k;
    b->waiting_end = &k->next;
    b->n_waiting++;
}

static void wait_no_more(struct call *k)
{
    struct backend *b = k->deployment->backend;
    struct call **at = &b->waiting;
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    b->n_waiting--;
    if (b->waiting_end == &k->next)
        b->waiting_end = at;
    k->state = CALL_ENDING;
}

void calls_pump(struct backend *b)
{
    struct call *k;
    while ((k = b->waiting)) {
        struct link *l = backend_choose(b);
        void *to = l ? ring_reserve(&l->end.out, k->bytes) : NULL;
        if (!to)
            return;
        wait_no_more(k);
        memcpy(to, k->memory, k->bytes);
        post(k, l, to);
        memory_free(k);
    }
}

static int start(struct call *k, tensors_decode_fn *codec, struct str body, struct err *e)
{
    struct backend *b = k->deployment->backend;
    uint64_t bound = message_bound(k->deployment->interface, body.n);
    struct link *l = b->waiting ? NULL : backend_choose(b); // nobody is overtaken
    char *message = l ? ring_reserve(&l->end.out, bound) : NULL;
    size_t bytes;
    int rc = message ? 0 : memory_take(k, bound, e);
    if (rc == 0)
        rc = decode(k, codec, body, message ? message : k->memory, bound, &bytes, e);
    if (rc == 0 && k->memory)
        rc = memory_shrink(k, bytes, e);
    else if (rc == 0)
        k->bytes = bytes;
    if (rc == 0)
        rc = check_quarantine(k, message ? message : k->memory, e);
    if (rc == 0)
        rc = own_names(k, e);
    if (rc)
        return rc;
    if (k->memory)
        wait_at_end(k);
    else
        post(k, l, message);
    return 0;
}

// How long the request may take: the client may want less than the setting.
static uint64_t limit_of(const struct gateway *g, const struct http1_request *req)
{
    uint64_t most = g->settings->request_timeout_ms;
    return (req->timeout_ms && req->timeout_ms < most ? req->timeout_ms : most) * 1000000u;
}

int call_start(struct conn *c, const struct http1_request *req, const struct route_match *m,
               struct deployment *d, struct str body, struct err *e)
{
    struct gateway *g = c->g;
    bool v2 = m->route->handler == ROUTE_V2_INFER;
    uint64_t limit_ns = limit_of(g, req);
    d->series->arrivals++;
    int rc = check_queue(g, d, limit_ns, e);
    struct call *k = rc ? NULL : calloc(1, sizeof *k);
    if (rc == 0 && !k)
        rc = err_set(e, ERR_NOMEM, "no memory for a request");
    if (rc == 0) {
        *k = (struct call){.conn = c,
                           .deployment = deployment_ref(d),
                           .encode = v2 ? kserve_v2_tensors_encode : kserve_v1_tensors_encode,
                           .old_keep_alive = reply_keeps_alive(req),
                           .request_id = req->request_id,
                           .traceparent = req->traceparent,
                           .start_ns = loop_now_ns(g->loop),
                           .deadline_ns = loop_now_ns(g->loop) + limit_ns};
        d->backend->n_calls++;
        rc = start(k, v2 ? kserve_v2_tensors_decode : kserve_v1_tensors_decode, body, e);
    }
    if (rc) {
        if (k)
            call_free(k);
        record_refused(c, d, err_http_status(rc));
        return rc;
    }
    c->call = k;
    c->state = CONN_WAITING;
    return 0;
}

// ---- answering ----

// The request as reply() needs it.
static struct http1_request request_of(const struct call *k)
{
    return (struct http1_request){.method = HTTP_POST,
                                  .minor_version = !k->old_keep_alive,
                                  .keep_alive = true,
                                  .request_id = k->request_id};
}

// Takes the connection back from the call: NULL when the client left. Answers to what it asked before go
// first, and may find that it left.
static struct conn *release(struct call *k)
{
    if (k->conn)
        predict_finish(k->conn->g);
    struct conn *c = k->conn;
    if (c) {
        c->call = NULL;
        c->state = CONN_READING;
        c->close_after |= c->g->draining && c->in.n == 0;
    }
    k->conn = NULL;
    return c;
}

static void refuse(struct call *k, const struct err *e)
{
    struct http1_request req = request_of(k);
    struct conn *c = release(k);
    if (!c)
        return;
    record_refused(c, k->deployment, err_http_status(e->code));
    reply_error(c, &req, e);
    conn_resume(c);
}

static void put_answer(struct call *k, struct conn *c, const struct tensor *results, struct buf *out)
{
    const struct deployment *d = k->deployment;
    struct gateway *g = c->g;
    size_t body;
    ids_uuid7(&g->ids, gateway_wall_ns(g) / 1000000u, k->id);
    struct tensors_answer a = {.interface = d->interface,
                               .model = str_of(d->model),
                               .version = str_of(d->version),
                               .prediction_id = {k->id, IDS_UUID_SIZE - 1},
                               .results = results};
    struct reply_prediction head = {a.version,      a.prediction_id,   k->request_id,
                                    c->close_after, k->old_keep_alive, k->request.n_warnings};
    buf_clear(out);
    reply_prediction_begin(g, &head, out, &body);
    k->encode(&k->request, &a, out);
    reply_prediction_end(out, body);
}

uint64_t call_share_ns(const struct call *k, const struct link_response *r, uint64_t now_ns)
{
    uint64_t took = now_ns > k->start_ns ? now_ns - k->start_ns : 0;
    uint64_t compute = r->compute_ns < took ? r->compute_ns : took;
    uint32_t n_rows = k->request.n_rows;
    return n_rows && r->batch_rows > n_rows ? compute / r->batch_rows * n_rows : compute;
}

static void learn(struct backend *b, const struct call *k, const struct link_response *r)
{
    uint64_t part = call_share_ns(k, r, loop_now_ns(b->g->loop));
    b->service_ns = b->service_ns ? (b->service_ns * (SERVICE_WEIGHT - 1) + part) / SERVICE_WEIGHT : part;
}

static void answer(struct call *k, const struct link_response *r, const struct tensor *results)
{
    struct conn *c = release(k);
    if (!c)
        return;
    struct gateway *g = c->g;
    put_answer(k, c, results, &g->out);
    if (g->out.failed) { // no memory
        conn_close(c);
        return;
    }
    conn_send(c, buf_str(&g->out));
    record_call(g, k, r, clock_mono_ns());
    conn_answered(c, 1);
    conn_resume(c);
}

// The replica's own word on why it has no result.
static void refuse_as_told(struct call *k, const struct link_response *r, const void *message)
{
    struct err e;
    link_response_error(message, r, &e);
    if (e.code == ERR_REQUEST_TIMEOUT)
        e.code = ERR_DEADLINE;
    err_wrap(&e, "model '%s'", k->deployment->model);
    refuse(k, &e);
}

void call_answered(struct call *k, const void *message, size_t bytes, const struct link_response *r)
{
    struct deployment *d = k->deployment;
    struct gateway *g = d->backend->g;
    struct link_asked asked = {d->interface, k->request.outputs,
                               d->interface->max_batch_rows ? k->request.n_rows : 0};
    struct tensor results[TENSORS_MAX];
    struct err e;
    predict_finish(g); // earlier answers go first
    arena_reset(&g->arena, GATEWAY_TURN_KEEP);
    k->state = CALL_ENDING;
    learn(d->backend, k, r);
    if (r->code) {
        refuse_as_told(k, r, message);
    } else if (link_response_open(message, bytes, r, &asked, &g->arena, results, &e)) {
        err_wrap(&e, "model '%s' does not keep to its interface", d->model);
        refuse(k, &e);
    } else {
        answer(k, r, results);
    }
    call_free(k);
}

// ---- when something ends ----

void call_abandon(struct conn *c)
{
    struct call *k = c->call;
    c->call = NULL;
    k->conn = NULL;
    k->deployment->series->requests[0]++;
    if (k->state == CALL_WAITING) {
        wait_no_more(k);
        call_free(k);
    } else if (k->state == CALL_SENT) { // not worth computing any more
        const struct link_slot *slot = &k->link->slots[k->slot % LINK_SLOTS];
        struct link_request *head = (struct link_request *)(uintptr_t)slot->message;
        __atomic_store_n(&head->deadline_mono_ns, 1, __ATOMIC_RELAXED);
    }
}

// The call's replica ended. Whether it may go to another one; it then has a copy of its message.
static bool survives(struct call *k, const struct link_slot *slot, bool begun)
{
    struct gateway *g = k->deployment->backend->g;
    struct err e;
    k->moves++;
    k->tries += begun;
    k->alone |= begun;
    if (k->tries >= TRIES_MAX)
        quarantine_add(g, hash_of(k, slot->message), loop_now_ns(g->loop));
    if (!k->conn || k->tries >= TRIES_MAX || k->moves > MOVES_MAX || memory_take(k, k->bytes, &e))
        return false;
    memcpy(k->memory, slot->message, k->bytes);
    return true;
}

static bool has(const uint64_t *ids, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static void refuse_lost(struct call *k)
{
    struct err e;
    if (k->tries >= TRIES_MAX)
        crashed(k, &e);
    else
        err_set(&e, ERR_UNAVAILABLE, "the processes that run model '%s' end again and again",
                k->deployment->model);
    refuse(k, &e);
    call_free(k);
}

void calls_lost(struct link *l)
{
    struct backend *b = l->b;
    struct call *moved = NULL, **end = &moved, *lost = NULL;
    uint64_t begun[LINK_BATCH_REQUESTS_MAX];
    size_t n_begun = link_started_get(&l->end.in, begun);
    uint64_t owed = patience_owed(&l->patience, l->hang_ms); // begun if anything ever was
    for (uint64_t id = l->first; id < l->next_id; id++) {
        struct link_slot *slot = &l->slots[id % LINK_SLOTS];
        struct call *k = slot->call;
        if (!k)
            continue;
        slot->call = NULL;
        if (survives(k, slot, id == owed || has(begun, n_begun, id))) {
            k->state = CALL_WAITING;
            b->n_waiting++;
            *end = k;
            end = &k->next;
        } else {
            k->state = CALL_ENDING;
            k->next = lost;
            lost = k;
        }
    }
    if (moved) { // they are older than what waits
        *end = b->waiting;
        if (!b->waiting)
            b->waiting_end = end;
        b->waiting = moved;
    }
    for (struct call *next; lost; lost = next) {
        next = lost->next;
        refuse_lost(lost);
    }
}

static void too_late(struct call *k)
{
    struct err e;
    const struct deployment *d = k->deployment;
    if (d->backend->n_ready == 0)
        err_set(&e, ERR_UNAVAILABLE, "no process that runs model '%s' became ready in time", d->model);
    else
        err_set(&e, ERR_DEADLINE, "model '%s' did not answer in time", d->model);
    err_hint(&e, "The limit is the setting request_timeout, or what Slipway-Timeout-Ms of the request says.");
    refuse(k, &e);
}

void calls_refuse(struct backend *b)
{
    struct call *k;
    struct err e;
    while ((k = b->waiting)) {
        wait_no_more(k);
        err_set(&e, ERR_UNAVAILABLE, "version %s of model '%s' is not served any more",
                k->deployment->version, k->deployment->model);
        refuse(k, &e);
        call_free(k);
    }
}

void calls_sweep(struct backend *b)
{
    uint64_t now = loop_now_ns(b->g->loop);
    for (struct call *k = b->waiting, *next; k; k = next) {
        next = k->next;
        if (k->deadline_ns > now)
            continue;
        wait_no_more(k);
        too_late(k);
        call_free(k);
        next = b->waiting; // answering may have changed the list
    }
    for (struct link *l = b->links; l; l = l->next)
        for (uint64_t id = l->first; id < l->next_id; id++) {
            struct call *k = l->slots[id % LINK_SLOTS].call;
            if (k && k->conn && k->deadline_ns <= now)
                too_late(k); // the slot waits for the replica's answer, which nobody gets
        }
}
