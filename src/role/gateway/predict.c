// SPDX-License-Identifier: Apache-2.0
// The recipe of a prediction. A turn of the loop reads requests of many connections; predict_gather turns
// each into rows of its deployment's batch, predict_finish computes every batch once and answers in the order
// of arrival. A request too large for one turn becomes a job (job.c).
#include "role/gateway/predict.h"

#include "api/predict.h"
#include "base/clock.h"
#include "role/gateway/call.h"
#include "role/gateway/job.h"
#include "role/gateway/journal.h"
#include "role/gateway/record.h"
#include "role/gateway/reply.h"
#include "role/gateway/shadow.h"
#include "role/gateway/table.h"
#include "role/gateway/token.h"
#include "settings/settings.h"

#include <string.h>

struct codec {
    predict_decode_fn *decode;
    predict_encode_fn *encode;
};

static struct codec codec_of(bool v2)
{
    return v2 ? (struct codec){kserve_v2_decode, kserve_v2_encode}
              : (struct codec){kserve_v1_decode, kserve_v1_encode};
}

// A copy that outlives the read buffer, until the end of the turn; empty when there is no room.
static struct str keep(struct gateway *g, struct str s)
{
    char *p = s.n ? arena_alloc(&g->arena, s.n) : NULL;
    return p ? (struct str){memcpy(p, s.p, s.n), s.n} : (struct str){0};
}

static void touch(struct gateway *g, struct deployment *d)
{
    if (d->touched)
        return;
    d->touched = true;
    d->next_touched = g->touched;
    g->touched = d;
}

uint32_t predict_rows_max(const struct gateway *g, const struct deployment *d)
{
    uint64_t fit = GATEWAY_REQUEST_BYTES / d->row_bytes;
    return fit < g->settings->max_rows_per_request ? (uint32_t)fit : g->settings->max_rows_per_request;
}

// Whether what is gathered should be computed now: as much as one turn should hold.
static bool is_full(const struct gateway *g, const struct deployment *d)
{
    return g->n_pending == GATEWAY_TURN_REQUESTS || d->rows.n_rows >= GATEWAY_TURN_ROWS ||
           g->turn_bytes >= GATEWAY_TURN_BYTES || g->arena.used >= GATEWAY_TURN_ARENA / 2;
}

// Memory that a large request made the batch grow to is given back.
static void trim(struct deployment *d)
{
    size_t bytes = (size_t)d->rows.cap_rows * d->rows.n_features * dtype_size(d->rows.dtype);
    if (d->rows.n_rows == 0 && bytes > 2 * GATEWAY_TURN_BYTES)
        rows_done(&d->rows);
}

void predict_refused(struct conn *c, struct deployment *d, struct str traceparent, int code, struct err *e)
{
    if (code == ERR_TOO_LARGE)
        err_hint(e, "At most %u rows of this model are taken in one request.", predict_rows_max(c->g, d));
    record_refused(c, d, err_http_status(code));
    journal_failure(c->g, d, traceparent, loop_now_ns(c->g->loop), code);
}

// Behind a shield an arm's outputs are looked at before they are answered: computed twice, but the body is
// still there for the baseline.
static __attribute__((noinline, cold)) int check_outputs(struct gateway *g, const struct pending *p,
                                                         struct err *e)
{
    const struct deployment *d = p->deployment;
    size_t n = (size_t)p->request.n_rows * d->sig->n_outputs;
    void *outputs = arena_alloc(&g->arena, n * dtype_size(d->sig->output_dtype));
    if (!outputs)
        return err_set(e, ERR_NOMEM, "no memory for a request");
    d->engine->predict(d->compiled,
                       (const char *)d->rows.data +
                           p->first_row * d->sig->n_features * dtype_size(d->sig->input_dtype),
                       p->request.n_rows, outputs);
    p->part->invalid = !trial_is_sound(p->part, d->sig->output_dtype, outputs, n);
    if (!p->part->invalid)
        return 0;
    return err_set(e, ERR_INTERNAL, "version %s of model '%s' gave values that are not sound", d->version,
                   d->model);
}

// Inlined twice, so that a request that is in no rollout pays nothing for one.
static inline __attribute__((always_inline)) int gather(struct conn *c, const struct http1_request *req,
                                                        bool v2, struct deployment *d,
                                                        struct trial_part *part, struct str body,
                                                        struct err *e)
{
    struct gateway *g = c->g;
    struct codec codec = codec_of(v2);
    int rc;
    if (d->interface)
        return call_start(c, req, v2, d, part, body, e);
    struct pending *p = &g->pending[g->n_pending];
    *p = (struct pending){.conn = c,
                          .deployment = d,
                          .decode = codec.decode,
                          .encode = codec.encode,
                          .first_row = d->rows.n_rows,
                          .old_keep_alive = reply_keeps_alive(req),
                          .part = part,
                          .request_id = keep(g, req->request_id),
                          .traceparent = keep(g, req->traceparent)};
    if (body.n > GATEWAY_DECODE_BYTES)
        return job_start_decoding(g, p, body, e);
    d->rows.max_rows = d->rows.n_rows + predict_rows_max(g, d);
    rc = codec.decode(body, NULL, d->sig, &d->rows, &g->arena, &p->request, e);
    if (p->request.counts)
        record_rules(d, p->request.counts);
    if (rc) {
        predict_refused(c, d, req->traceparent, rc, e);
        trim(d);
        return rc;
    }
    uint64_t bytes = p->request.n_rows * d->row_bytes;
    bool is_large = p->request.n_rows > job_threshold(d) || bytes > GATEWAY_TURN_BYTES;
    if (part && !is_large && trial_is_shielded(part) && (rc = check_outputs(g, p, e))) {
        rows_truncate(&d->rows, p->first_row);
        predict_refused(c, d, req->traceparent, rc, e);
        return rc;
    }
    g->n_pending++;
    if (is_large) {
        rc = job_start(g, body, e);
        trim(d);
        return rc;
    }
    touch(g, d);
    d->turn_requests++;
    if (part)
        g->n_divided++;
    g->turn_bytes += bytes;
    if (is_full(g, d))
        predict_finish(g);
    return 0;
}

__attribute__((noinline)) int predict_gather_on(struct conn *c, const struct http1_request *req, bool v2,
                                                struct deployment *d, struct trial_part *part,
                                                struct str body, struct err *e)
{
    return gather(c, req, v2, d, part, body, e);
}

// A request of a model that a rollout divides.
static __attribute__((noinline)) int gather_divided(struct conn *c, const struct http1_request *req,
                                                    const struct route_match *m, struct deployment *d,
                                                    struct str body, struct err *e)
{
    bool v2 = m->route->handler == ROUTE_V2_INFER;
    struct trial_part *part = NULL;
    const struct split *split = d->split;
    int rc = trial_begin(c, req, m, body, &d, &part, e);
    if (rc)
        return rc;
    if (part && split->shadow && part->choice.arm == split->n_arms && !part->choice.asked)
        shadow_mirror(c->g, part, split, v2, body);
    rc = predict_gather_on(c, req, v2, d, part, body, e);
    if (rc && trial_shield(part, !part->invalid, &d)) {
        c->counted = false;
        rc = predict_gather_on(c, req, v2, d, part, body, e);
    }
    if (rc)
        trial_refused(c, part);
    return rc;
}

int predict_gather(struct conn *c, const struct http1_request *req, const struct route_match *m,
                   struct str body, struct err *e)
{
    struct deployment *d;
    int rc = table_route(c->g->table, m->model, m->version, &d, e);
    if (rc)
        return rc;
    if (__builtin_expect(d->split != NULL, 0))
        return gather_divided(c, req, m, d, body, e);
    return gather(c, req, m->route->handler == ROUTE_V2_INFER, d, NULL, body, e);
}

void predict_again(struct conn *c, const struct http1_request *req, bool v2, struct deployment *d,
                   struct trial_part *part, struct buf *body)
{
    struct gateway *g = c->g;
    struct err e;
    size_t max = g->body.max;
    predict_finish(g); // what was gathered may be of this connection
    buf_done(&g->body);
    if (c->is_dead) {
        buf_done(body);
        trial_refused(c, part);
        return;
    }
    g->body = *body; // from where conn_take_body takes it
    g->body.max = max;
    buf_init(body, 0);
    c->state = CONN_READING;
    c->counted = false;
    if (predict_gather_on(c, req, v2, d, part, buf_str(&g->body), &e)) {
        trial_refused(c, part);
        reply_error(c, req, &e);
        conn_resume(c);
    } else if (c->state == CONN_READING) {
        predict_finish(g);
        conn_resume(c);
    }
}

static void compute(struct gateway *g, struct deployment *d)
{
    size_t row_bytes = d->sig->n_outputs * dtype_size(d->sig->output_dtype);
    uint64_t start = clock_mono_ns();
    d->outputs = arena_alloc(&g->arena, d->rows.n_rows * row_bytes);
    if (d->outputs)
        d->engine->predict(d->compiled, d->rows.data, d->rows.n_rows, d->outputs);
    d->compute_start_ns = start;
    d->compute_ns = clock_mono_ns() - start;
}

void predict_encode(struct gateway *g, struct pending *p, bool last, struct buf *out)
{
    const struct deployment *d = p->deployment;
    size_t row_bytes = d->sig->n_outputs * dtype_size(d->sig->output_dtype), body;
    ids_uuid7_raw(&g->ids, gateway_wall_ns(g) / 1000000u, p->id, p->raw_id);
    struct predict_answer a = {.sig = d->sig,
                               .model = str_of(d->model),
                               .version = str_of(d->version),
                               .prediction_id = {p->id, IDS_UUID_SIZE - 1},
                               .outputs = d->outputs + p->first_row * row_bytes,
                               .n_rows = p->request.n_rows};
    bool is_promised = journal_promises(g, d, p->part, p->raw_id);
    if (is_promised)
        journal_hold(g, p->conn);
    struct str token = g->tokens ? token_of_rows(g, p) : (struct str){0};
    bool in_body = token.n && token_is_in_body(g);
    struct reply_prediction head = {a.version,
                                    a.prediction_id,
                                    p->request_id,
                                    last && p->conn->close_after,
                                    p->old_keep_alive,
                                    p->request.n_warnings,
                                    p->part ? trial_arm(p->part) : (struct str){0},
                                    is_promised,
                                    in_body ? (struct str){0} : token};
    reply_prediction_begin(g, &head, out, &body);
    p->encode(&p->request, &a, out);
    if (in_body)
        token_put_field(token, p->encode == kserve_v2_encode, out);
    reply_prediction_end(out, body);
}

// Answers the requests from *i on that belong to one connection, with one write.
static void answer_conn(struct gateway *g, uint32_t *i)
{
    struct conn *c = g->pending[*i].conn;
    uint32_t n = 0;
    bool failed = false;
    c->close_after |= g->draining && c->in.n == 0;
    buf_clear(&g->out);
    for (; *i < g->n_pending && g->pending[*i].conn == c; ++*i, n++) {
        struct pending *p = &g->pending[*i];
        failed |= !p->deployment->outputs;
        if (!failed)
            predict_encode(g, p, n + 1 == c->unanswered, &g->out);
    }
    if (failed || g->out.failed) { // no memory: the connection's answers would be out of step
        conn_close(c);
        return;
    }
    conn_send(c, buf_str(&g->out));
    conn_answered(c, n);
}

// Ends the parts of those that are in a rollout.
static __attribute__((noinline)) void finish_divided(struct gateway *g, uint64_t end)
{
    for (uint32_t i = 0; i < g->n_pending; i++) {
        const struct pending *p = &g->pending[i];
        const struct deployment *d = p->deployment;
        if (!p->part)
            continue;
        struct trial_outcome o = {.failed = !d->outputs, .end_ns = end};
        size_t row_values = d->sig->n_outputs, row_bytes = row_values * dtype_size(d->sig->output_dtype);
        o.invalid = d->outputs &&
                    !trial_is_sound(p->part, d->sig->output_dtype, d->outputs + p->first_row * row_bytes,
                                    p->request.n_rows * row_values);
        if (d->outputs)
            trial_scored(p->part, d->sig->output_dtype, d->outputs + p->first_row * row_bytes, row_values);
        if (d->outputs)
            shadow_answered_rows(p->part->mirror, d, d->outputs + p->first_row * row_bytes, p->request.n_rows,
                                 p->id);
        trial_end(p->part, &o);
    }
    g->n_divided = 0;
}

void predict_finish(struct gateway *g)
{
    if (g->n_pending == 0)
        return;
    for (struct deployment *d = g->touched; d; d = d->next_touched)
        compute(g, d);
    for (uint32_t i = 0; i < g->n_pending;)
        answer_conn(g, &i);
    uint64_t end = clock_mono_ns();
    for (uint32_t i = 0; i < g->n_pending && g->settings->log_requests; i++)
        record_answer(g, &g->pending[i], loop_now_ns(g->loop), end);
    for (uint32_t i = 0; i < g->n_pending; i++)
        journal_prediction(g, &g->pending[i], g->pending[i].deployment->rows.data, loop_now_ns(g->loop), end);
    if (__builtin_expect(g->n_divided > 0, 0))
        finish_divided(g, end);
    for (struct deployment *d = g->touched; d; d = d->next_touched) {
        record_batch(d, d->turn_requests, d->rows.n_rows, loop_now_ns(g->loop), end);
        d->touched = false;
        d->turn_requests = 0;
        rows_truncate(&d->rows, 0);
        trim(d);
    }
    g->touched = NULL;
    g->n_pending = 0;
    g->turn_bytes = 0;
    arena_reset(&g->arena, GATEWAY_TURN_KEEP);
}
