// SPDX-License-Identifier: Apache-2.0
// A job owns its rows and outputs; the ring of jobs takes turns, one slice each. A body above
// GATEWAY_DECODE_BYTES is decoded by a fiber, which pauses after as many bytes; then the rows are computed.
#include "role/gateway/job.h"

#include "base/clock.h"
#include "os/fiber.h"
#include "role/gateway/journal.h"
#include "role/gateway/predict.h"
#include "role/gateway/record.h"
#include "role/gateway/reply.h"
#include "role/gateway/shadow.h"
#include "wire/json_scan.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLICE_ROWS = 512, MIN_SLICE_ROWS = 32 };

struct job {
    struct job *next;
    struct pending p; // request ids copied into memory of the job
    struct rows rows;
    char *outputs;  // (rows.n_rows, n_outputs)
    char *names;    // request id, traceparent, protocol id, one after another
    uint64_t bytes; // its part of the gateway's jobs_bytes
    uint32_t done_rows;
    uint64_t start_ns, compute_ns;
    // While it is being decoded
    struct fiber *fiber; // NULL afterwards
    struct buf body_memory;
    struct str body;
    struct arena scratch; // to the end of the job: the protocol id lies in it
    int rc;               // of the decoding
    struct err err;
};

uint32_t job_threshold(const struct deployment *d)
{
    return d->slice_rows ? d->slice_rows : FIRST_SLICE_ROWS;
}

// Counts what the job holds by now, each row with all that will come of it.
static void count_bytes(struct gateway *g, struct job *j)
{
    uint32_t rows = j->rows.cap_rows > j->rows.n_rows ? j->rows.cap_rows : j->rows.n_rows;
    uint64_t bytes = j->body_memory.cap + rows * j->p.deployment->row_bytes;
    g->jobs_bytes += bytes - j->bytes;
    j->bytes = bytes;
}

static void free_decoding(struct job *j)
{
    fiber_free(j->fiber);
    j->fiber = NULL;
    if (!trial_is_shielded(j->p.part)) // else the baseline may have to read it
        buf_done(&j->body_memory);
}

static void job_free(struct job *j)
{
    fiber_free(j->fiber);
    buf_done(&j->body_memory);
    deployment_unref(j->p.deployment);
    arena_done(&j->scratch);
    rows_done(&j->rows);
    free(j->outputs);
    free(j->names);
    free(j);
}

// Moves what lies in the turn's arena into the job.
static bool own_names(struct job *j)
{
    struct str *names[] = {&j->p.request_id, &j->p.traceparent, &j->p.request.id};
    char *to = j->names = malloc(j->p.request_id.n + j->p.traceparent.n + j->p.request.id.n + 1);
    for (size_t i = 0; to && i < 3; i++) {
        if (names[i]->n)
            memcpy(to, names[i]->p, names[i]->n);
        names[i]->p = to;
        to += names[i]->n;
    }
    return j->names;
}

// Takes the rows from the deployment's batch: the whole matrix when no other request has rows in it.
static bool own_rows(struct job *j, struct deployment *d)
{
    void *to;
    struct err e;
    if (j->p.first_row == 0) {
        j->rows = d->rows;
        rows_init(&d->rows, d->sig->input_dtype, d->sig->n_features, d->rows.max_rows);
        return true;
    }
    rows_init(&j->rows, d->sig->input_dtype, d->sig->n_features, d->rows.max_rows);
    size_t row_bytes = d->sig->n_features * dtype_size(d->sig->input_dtype);
    if (rows_append(&j->rows, j->p.request.n_rows, &to, &e))
        return false;
    memcpy(to, (char *)d->rows.data + j->p.first_row * row_bytes, j->p.request.n_rows * row_bytes);
    rows_truncate(&d->rows, j->p.first_row);
    j->p.first_row = 0;
    return true;
}

// A job for p, which refers to its deployment; NULL without memory.
static struct job *job_new(const struct pending *p)
{
    struct job *j = calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->p = *p;
    deployment_ref(p->deployment);
    if (own_names(j))
        return j;
    job_free(j);
    return NULL;
}

static bool own_outputs(struct job *j)
{
    const struct signature *sig = j->p.deployment->sig;
    size_t bytes = (size_t)j->p.request.n_rows * sig->n_outputs * dtype_size(sig->output_dtype);
    j->outputs = malloc(bytes ? bytes : 1);
    return j->outputs;
}

static void append(struct gateway *g, struct job *j)
{
    struct job **end = &g->jobs;
    while (*end)
        end = &(*end)->next;
    *end = j;
}

static void begin(struct gateway *g, struct job *j)
{
    j->start_ns = loop_now_ns(g->loop);
    append(g, j);
    count_bytes(g, j);
    j->p.conn->state = CONN_WAITING;
    conn_want_input(j->p.conn, false);
    gateway_set_busy(g);
}

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for a request of this size; send fewer rows");
}

static int too_many(struct err *e)
{
    return err_set(e, ERR_BUSY, "too many large requests are being computed");
}

// What a shield needs; without memory there is none.
static void keep_body(struct job *j, struct str body)
{
    buf_init(&j->body_memory, body.n);
    buf_put_str(&j->body_memory, body);
    j->body = buf_str(&j->body_memory);
}

int job_start(struct gateway *g, struct str body, struct err *e)
{
    const struct pending *p = &g->pending[--g->n_pending];
    struct deployment *d = p->deployment;
    uint32_t first_row = p->first_row;
    if (g->jobs && g->jobs_bytes + p->request.n_rows * d->row_bytes > GATEWAY_JOBS_BYTES) {
        rows_truncate(&d->rows, first_row);
        return too_many(e);
    }
    struct job *j = job_new(p);
    if (!j || !own_outputs(j) || !own_rows(j, d)) {
        if (j)
            job_free(j);
        rows_truncate(&d->rows, first_row);
        return no_memory(e);
    }
    if (trial_is_shielded(j->p.part))
        keep_body(j, body);
    begin(g, j);
    return 0;
}

// The request as replies and the baseline need it.
static struct http1_request request_of(const struct job *j)
{
    return (struct http1_request){.method = HTTP_POST,
                                  .request_id = j->p.request_id,
                                  .traceparent = j->p.traceparent,
                                  .keep_alive = true,
                                  .minor_version = !j->p.old_keep_alive};
}

// Asks the baseline instead, when a shield stands before the arm that failed.
static bool fall_back(struct job *j, bool is_error)
{
    struct http1_request req = request_of(j);
    struct trial_part *part = j->p.part;
    struct deployment *d;
    if (!j->body.n || j->body_memory.failed || !trial_shield(part, is_error, &d))
        return false;
    buf_consume(&j->body_memory, (size_t)(j->body.p - j->body_memory.p));
    j->body_memory.n = j->body.n;
    j->p.part = NULL;
    predict_again(j->p.conn, &req, j->p.decode == kserve_v2_decode, d, part, &j->body_memory);
    return true;
}

// ---- decoding

static void pause_decoding(void *ctx)
{
    struct job *j = ctx;
    fiber_pause(j->fiber);
}

static void decode(void *ctx)
{
    struct job *j = ctx;
    const struct json_pause pause = {pause_decoding, j, GATEWAY_DECODE_BYTES};
    j->rc = j->p.decode(j->body, &pause, j->p.deployment->sig, &j->rows, &j->scratch, &j->p.request, &j->err);
}

int job_start_decoding(struct gateway *g, const struct pending *p, struct str body, struct err *e)
{
    const struct deployment *d = p->deployment;
    if (g->jobs && g->jobs_bytes + body.n > GATEWAY_JOBS_BYTES)
        return too_many(e);
    struct job *j = job_new(p);
    if (!j || arena_init(&j->scratch, GATEWAY_TURN_ARENA, e) || fiber_new(decode, j, &j->fiber, e)) {
        if (j)
            job_free(j);
        return no_memory(e);
    }
    j->p.first_row = 0;
    rows_init(&j->rows, d->sig->input_dtype, d->sig->n_features, predict_rows_max(g, d));
    j->body = body;
    j->body_memory = conn_take_body(p->conn, body);
    begin(g, j);
    return 0;
}

// Answers the error that ended the decoding.
static void refuse(struct gateway *g, struct job *j, struct err *e)
{
    struct conn *c = j->p.conn;
    struct http1_request req = request_of(j);
    predict_finish(g); // earlier answers go first
    predict_refused(c, j->p.deployment, j->p.traceparent, e->code, e);
    if (fall_back(j, true))
        return;
    trial_refused(c, j->p.part);
    j->p.part = NULL;
    c->state = CONN_READING;
    reply_error(c, &req, e);
    conn_resume(c);
}

// One slice of the decoding. Returns whether there is more to do for the job.
static bool decode_slice(struct gateway *g, struct job *j)
{
    bool more = fiber_resume(j->fiber);
    if (!more) {
        free_decoding(j);
        if (j->p.request.counts)
            record_rules(j->p.deployment, j->p.request.counts);
    }
    count_bytes(g, j);
    if (more && g->jobs && g->jobs_bytes > GATEWAY_JOBS_BYTES) { // j is not in the list
        j->rc = too_many(&j->err);
        more = false;
    } else if (!more && j->rc == 0 && !own_outputs(j)) {
        j->rc = no_memory(&j->err);
    }
    if (j->rc == 0)
        return true;
    refuse(g, j, &j->err);
    return false;
}

// ---- computing

static void adapt(struct deployment *d, uint32_t rows, uint64_t took_ns)
{
    uint64_t fit = (uint64_t)rows * GATEWAY_SLICE_NS / (took_ns ? took_ns : 1);
    d->slice_rows = fit < MIN_SLICE_ROWS      ? MIN_SLICE_ROWS
                    : fit > GATEWAY_TURN_ROWS ? GATEWAY_TURN_ROWS
                                              : (uint32_t)fit;
}

static void answer(struct gateway *g, struct job *j)
{
    struct deployment *d = j->p.deployment;
    struct conn *c = j->p.conn;
    struct trial_outcome outcome = {0};
    predict_finish(g); // earlier answers go first
    if (j->p.part) {
        size_t n = (size_t)j->rows.n_rows * d->sig->n_outputs;
        outcome.invalid = !trial_is_sound(j->p.part, d->sig->output_dtype, j->outputs, n);
    }
    if (outcome.invalid && fall_back(j, false))
        return;
    d->outputs = j->outputs;
    d->compute_start_ns = j->start_ns;
    d->compute_ns = j->compute_ns;
    c->close_after |= g->draining && c->in.n == 0;
    buf_clear(&g->out);
    predict_encode(g, &j->p, c->close_after, &g->out);
    if (g->out.failed) {
        conn_close(c);
        return;
    }
    conn_send(c, buf_str(&g->out));
    uint64_t end = clock_mono_ns();
    record_batch(d, 1, j->rows.n_rows, j->start_ns, end);
    record_answer(g, &j->p, j->start_ns, end);
    journal_prediction(g, &j->p, j->rows.data, j->start_ns, end);
    trial_scored(j->p.part, d->sig->output_dtype, j->outputs, d->sig->n_outputs);
    if (j->p.part)
        shadow_answered_rows(j->p.part->mirror, d, j->outputs, j->p.request.n_rows, j->p.id);
    outcome.end_ns = end;
    trial_end(j->p.part, &outcome);
    j->p.part = NULL;
    c->state = CONN_READING;
    conn_answered(c, 1);
    conn_resume(c);
}

// One slice of the computation. Returns whether there is more to do.
static bool compute_slice(struct gateway *g, struct job *j)
{
    struct deployment *d = j->p.deployment;
    const struct signature *sig = d->sig;
    uint32_t left = j->rows.n_rows - j->done_rows, n = job_threshold(d) < left ? job_threshold(d) : left;
    uint64_t start = clock_mono_ns();
    d->engine->predict(d->compiled,
                       (char *)j->rows.data +
                           (size_t)j->done_rows * sig->n_features * dtype_size(sig->input_dtype),
                       n, j->outputs + (size_t)j->done_rows * sig->n_outputs * dtype_size(sig->output_dtype));
    uint64_t took = clock_mono_ns() - start;
    if (n)
        adapt(d, n, took);
    j->compute_ns += took;
    j->done_rows += n;
    if (j->done_rows < j->rows.n_rows)
        return true;
    answer(g, j);
    return false;
}

void job_slice(struct gateway *g)
{
    struct job *j = g->jobs;
    if (!j)
        return;
    g->jobs = j->next;
    j->next = NULL;
    if (j->p.conn && (j->fiber ? decode_slice(g, j) : compute_slice(g, j))) {
        append(g, j);
        return;
    }
    g->jobs_bytes -= j->bytes;
    trial_end(j->p.part, &(struct trial_outcome){.is_gone = true});
    job_free(j);
    gateway_set_busy(g);
}

void job_abandon(struct conn *c)
{
    for (struct job *j = c->g->jobs; j; j = j->next)
        if (j->p.conn == c)
            j->p.conn = NULL;
}
