// SPDX-License-Identifier: Apache-2.0
// The life of a call: decoded, sent, answered; or moved when its replica ends. The bytes of a sent call stay
// in our ring until it is answered, so that nothing needs to be copied unless a replica ends.
#include "role/gateway/call_parts.h"

#include "base/clock.h"
#include "role/gateway/journal.h"
#include "role/gateway/predict.h"
#include "role/gateway/record.h"
#include "role/gateway/reply.h"
#include "role/gateway/shadow.h"
#include "role/gateway/token.h"
#include "settings/settings.h"

#include <stdlib.h>
#include <string.h>

enum {
    SERVICE_WEIGHT = 8, // of the past in the mean cost of a request, to one part of the present
    QUEUE_SHARE = 3,    // of QUEUE_SHARE_OF parts of its time, what a request may have to wait
    QUEUE_SHARE_OF = 4
};

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

void call_wait_at_end(struct call *k)
{
    struct backend *b = k->deployment->backend;
    k->next = NULL;
    *b->waiting_end = k;
    b->waiting_end = &k->next;
    b->n_waiting++;
}

void call_wait_no_more(struct call *k)
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
        call_wait_no_more(k);
        memcpy(to, k->memory, k->bytes);
        post(k, l, to);
        call_memory_free(k);
    }
}

static int start(struct call *k, struct str body, struct err *e)
{
    struct backend *b = k->deployment->backend;
    uint64_t bound = call_bound(k->deployment->interface, body.n);
    struct link *l = b->waiting ? NULL : backend_choose(b); // nobody is overtaken
    char *message = l ? ring_reserve(&l->end.out, bound) : NULL;
    struct call_body whole = {.json = body, .scratch = &k->conn->g->arena};
    size_t bytes;
    int rc = message ? 0 : call_memory_take(k, bound, e);
    if (rc == 0)
        rc = call_decode(k, &whole, message ? message : k->memory, bound, &bytes, e);
    if (rc == 0 && k->memory)
        rc = call_memory_shrink(k, bytes, e);
    else if (rc == 0)
        k->bytes = bytes;
    if (rc == 0)
        rc = call_check_quarantine(k, message ? message : k->memory, e);
    if (rc == 0)
        rc = call_own_names(k, e);
    if (rc)
        return rc;
    if (trial_is_shielded(k->part))
        call_keep_body(k, body);
    if (k->memory)
        call_wait_at_end(k);
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

int call_start(struct conn *c, const struct http1_request *req, bool v2, struct deployment *d,
               struct trial_part *part, struct str body, struct err *e)
{
    struct gateway *g = c->g;
    uint64_t most_ns = limit_of(g, req), limit_ns = trial_is_shielded(part) ? most_ns / 2 : most_ns;
    d->series->arrivals++;
    int rc = check_queue(g, d, limit_ns, e);
    struct call *k = rc ? NULL : calloc(1, sizeof *k);
    if (rc == 0 && !k)
        rc = err_set(e, ERR_NOMEM, "no memory for a request");
    if (rc == 0) {
        *k = (struct call){.conn = c,
                           .deployment = deployment_ref(d),
                           .decode = v2 ? kserve_v2_tensors_decode : kserve_v1_tensors_decode,
                           .encode = v2 ? kserve_v2_tensors_encode : kserve_v1_tensors_encode,
                           .old_keep_alive = reply_keeps_alive(req),
                           .request_id = req->request_id,
                           .traceparent = req->traceparent,
                           .part = part,
                           .start_ns = loop_now_ns(g->loop),
                           .deadline_ns = loop_now_ns(g->loop) + limit_ns,
                           .most_ns = loop_now_ns(g->loop) + most_ns};
        d->backend->n_calls++;
        rc = body.n > GATEWAY_DECODE_BYTES ? call_decode_later(k, body, e) : start(k, body, e);
    }
    if (rc) {
        if (k) {
            k->part = NULL;
            call_free(k);
        }
        record_refused(c, d, err_http_status(rc));
        journal_failure(g, d, req->traceparent, loop_now_ns(g->loop), rc);
        return rc;
    }
    c->call = k;
    c->state = CONN_WAITING;
    return 0;
}

int call_mirror(struct deployment *d, bool v2, struct str body, struct mirror *m, struct arena *scratch,
                struct err *e)
{
    struct gateway *g = d->backend->g;
    struct link *l = backend_choose(d->backend);
    uint64_t bound = call_bound(d->interface, body.n);
    char *message = l ? ring_reserve(&l->end.out, bound) : NULL;
    struct call *k = message ? calloc(1, sizeof *k) : NULL;
    if (!k)
        return err_set(e, ERR_BUSY, "no replica of a shadow has room");
    *k = (struct call){.deployment = deployment_ref(d),
                       .decode = v2 ? kserve_v2_tensors_decode : kserve_v1_tensors_decode,
                       .is_mirrored = true,
                       .start_ns = loop_now_ns(g->loop),
                       .deadline_ns =
                           loop_now_ns(g->loop) + g->settings->request_timeout_ms * UINT64_C(1000000)};
    d->backend->n_calls++;
    d->backend->n_mirrored++;
    struct call_body whole = {.json = body, .scratch = scratch};
    int rc = call_decode(k, &whole, message, bound, &k->bytes, e);
    if (rc == 0)
        rc = call_check_quarantine(k, message, e);
    if (rc) {
        call_free(k);
        return rc == ERR_BUSY ? ERR_TOO_LARGE : rc;
    }
    k->mirror = m;
    post(k, l, message);
    return 0;
}

// ---- answering ----

// The request as reply() needs it.
static struct http1_request request_of(const struct call *k)
{
    return (struct http1_request){.method = HTTP_POST,
                                  .minor_version = !k->old_keep_alive,
                                  .keep_alive = true,
                                  .request_id = k->request_id,
                                  .traceparent = k->traceparent};
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

// The shadow has said what it has to say, or that it cannot.
static void mirror_answered(struct call *k, const struct tensor *results)
{
    struct mirror *m = k->mirror;
    k->mirror = NULL;
    shadow_done(m, k->deployment, results);
}

// Asks the baseline instead, when a shield stands before the arm that failed, in what is left of the time.
static bool fall_back(struct call *k, bool is_error)
{
    struct http1_request req = request_of(k);
    struct trial_part *part = k->part;
    struct deployment *d;
    uint64_t now = clock_mono_ns();
    if (!k->conn || !k->body.n || k->body.failed || now >= k->most_ns || !trial_shield(part, is_error, &d))
        return false;
    struct conn *c = release(k);
    if (!c)
        return true;
    req.timeout_ms = (k->most_ns - now + 999999) / 1000000;
    record_refused(c, k->deployment, err_http_status(ERR_INTERNAL));
    struct buf body = k->body;
    buf_init(&k->body, 0);
    call_drop_body(k);
    k->part = NULL;
    predict_again(c, &req, k->decode == kserve_v2_tensors_decode, d, part, &body);
    return true;
}

void call_refuse(struct call *k, const struct err *e)
{
    struct http1_request req = request_of(k);
    if (k->mirror)
        mirror_answered(k, NULL);
    if (fall_back(k, true))
        return;
    struct conn *c = release(k);
    if (!c)
        return;
    trial_refused(c, k->part);
    k->part = NULL;
    record_refused(c, k->deployment, err_http_status(e->code));
    journal_failure(c->g, k->deployment, k->traceparent, k->start_ns, e->code);
    reply_error(c, &req, e);
    conn_resume(c);
}

static void put_answer(struct call *k, struct conn *c, const struct tensor *results, struct buf *out)
{
    const struct deployment *d = k->deployment;
    struct gateway *g = c->g;
    size_t body;
    uint8_t id[16];
    ids_uuid7_raw(&g->ids, gateway_wall_ns(g) / 1000000u, k->id, id);
    bool is_promised = journal_promises(g, d, k->part, id);
    if (is_promised)
        journal_hold(g, c);
    struct tensors_answer a = {.interface = d->interface,
                               .model = str_of(d->model),
                               .version = str_of(d->version),
                               .prediction_id = {k->id, IDS_UUID_SIZE - 1},
                               .results = results};
    struct str token = g->tokens ? token_of_call(g, k, results) : (struct str){0};
    bool in_body = token_is_in_body(g);
    struct reply_prediction head = {a.version,          a.prediction_id,   k->request_id,
                                    c->close_after,     k->old_keep_alive, k->request.n_warnings,
                                    trial_arm(k->part), is_promised,       in_body ? (struct str){0} : token};
    buf_clear(out);
    reply_prediction_begin(g, &head, out, &body);
    k->encode(&k->request, &a, out);
    if (in_body)
        token_put_field(token, k->encode == kserve_v2_tensors_encode, out);
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

// Whether what a request of a rollout got is sound: of models of tensors the numbers that may have a
// fraction.
static bool is_sound(const struct call *k, const struct tensor *results)
{
    const struct interface *i = k->deployment->interface;
    bool is_sound = true;
    for (uint32_t n = 0; k->part && n < i->n_outputs; n++)
        if (results[n].dtype == DTYPE_FP32 || results[n].dtype == DTYPE_FP64)
            is_sound &= trial_is_sound(k->part, results[n].dtype, results[n].data,
                                       results[n].bytes / dtype_size(results[n].dtype));
    return is_sound;
}

// Of the first output of numbers its first row.
static void take_score(struct call *k, const struct tensor *results)
{
    const struct interface *i = k->deployment->interface;
    for (uint32_t n = 0; n < i->n_outputs; n++) {
        const struct tensor *t = &results[n];
        uint64_t n_rows = t->n_dims ? (uint64_t)t->shape[0] : 1;
        bool is_number = t->dtype == DTYPE_FP32 || t->dtype == DTYPE_FP64 || t->dtype == DTYPE_INT64 ||
                         t->dtype == DTYPE_INT32;
        if (!is_number || n_rows == 0 || t->bytes == 0)
            continue;
        trial_scored(k->part, t->dtype, t->data, t->bytes / dtype_size(t->dtype) / n_rows);
        return;
    }
}

// What it asked lies in our ring until it is answered.
static void log_call(struct call *k, const struct link_response *r, const struct tensor *results,
                     uint64_t end)
{
    const struct link_slot *slot = &k->link->slots[k->slot % LINK_SLOTS];
    journal_call(k->deployment->backend->g, k, slot->message, slot->bytes, r, results, end);
}

static void answer(struct call *k, const struct link_response *r, const struct tensor *results)
{
    struct trial_outcome outcome = {.invalid = !is_sound(k, results)};
    if (outcome.invalid && fall_back(k, false))
        return;
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
    outcome.end_ns = clock_mono_ns();
    if (k->part)
        take_score(k, results);
    if (k->part)
        shadow_answered_tensors(k->part->mirror, k->deployment, results, k->id);
    record_call(g, k, r, outcome.end_ns);
    log_call(k, r, results, outcome.end_ns);
    trial_end(k->part, &outcome);
    k->part = NULL;
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
    call_refuse(k, &e);
}

// Its strings are copied before they are looked at.
static void answer_too_large(const struct deployment *d, struct err *e)
{
    err_set(e, ERR_TOO_LARGE, "the strings of the answer of model '%s' take more than the %d MiB that fit",
            d->model, GATEWAY_TURN_ARENA >> 20);
    err_hint(e, "Send fewer rows in one request, or ask for fewer outputs.");
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
        if (e.code == ERR_NOMEM)
            answer_too_large(d, &e);
        else
            err_wrap(&e, "model '%s' does not keep to its interface", d->model);
        call_refuse(k, &e);
    } else if (k->mirror) {
        mirror_answered(k, results);
    } else {
        answer(k, r, results);
    }
    call_free(k);
}
