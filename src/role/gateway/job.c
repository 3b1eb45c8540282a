// SPDX-License-Identifier: Apache-2.0
// A job owns its rows and outputs; the ring of jobs takes turns, one slice each.
#include "role/gateway/job.h"

#include "base/clock.h"
#include "role/gateway/predict.h"
#include "role/gateway/record.h"
#include "role/gateway/reply.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLICE_ROWS = 512, MIN_SLICE_ROWS = 32 };

struct job {
    struct job *next;
    struct pending p; // request ids copied into memory of the job
    struct rows rows;
    char *outputs; // (rows.n_rows, n_outputs)
    char *names;   // request id, traceparent, protocol id, one after another
    uint32_t done_rows;
    uint64_t start_ns, compute_ns;
};

uint32_t job_threshold(const struct deployment *d)
{
    return d->slice_rows ? d->slice_rows : FIRST_SLICE_ROWS;
}

static uint64_t job_bytes(const struct job *j)
{
    return j->p.request.n_rows * j->p.deployment->row_bytes;
}

static void job_free(struct job *j)
{
    deployment_unref(j->p.deployment);
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

int job_start(struct gateway *g, struct err *e)
{
    const struct pending *p = &g->pending[--g->n_pending];
    struct deployment *d = p->deployment;
    uint32_t first_row = p->first_row;
    if (g->jobs && g->jobs_bytes + p->request.n_rows * d->row_bytes > GATEWAY_JOBS_BYTES) {
        rows_truncate(&d->rows, first_row);
        return err_set(e, ERR_BUSY, "too many large requests are being computed");
    }
    struct job *j = calloc(1, sizeof *j);
    if (j) {
        j->p = g->pending[g->n_pending];
        deployment_ref(d);
        size_t out_bytes = (size_t)j->p.request.n_rows * d->sig->n_outputs * dtype_size(d->sig->output_dtype);
        j->outputs = malloc(out_bytes ? out_bytes : 1);
    }
    if (!j || !j->outputs || !own_names(j) || !own_rows(j, d)) {
        if (j)
            job_free(j);
        rows_truncate(&d->rows, first_row);
        return err_set(e, ERR_NOMEM, "no memory for a request of this size; send fewer rows");
    }
    j->start_ns = loop_now_ns(g->loop);
    struct job **end = &g->jobs;
    while (*end)
        end = &(*end)->next;
    *end = j;
    g->jobs_bytes += job_bytes(j);
    j->p.conn->state = CONN_WAITING;
    conn_want_input(j->p.conn, false);
    loop_set_busy(g->loop, true);
    return 0;
}

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
    predict_finish(g); // earlier answers go first
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
    c->state = CONN_READING;
    conn_answered(c, 1);
    conn_resume(c);
}

void job_slice(struct gateway *g)
{
    struct job *j = g->jobs;
    if (!j)
        return;
    g->jobs = j->next;
    j->next = NULL;
    struct deployment *d = j->p.deployment;
    const struct signature *sig = d->sig;
    uint32_t left = j->rows.n_rows - j->done_rows, n = job_threshold(d) < left ? job_threshold(d) : left;
    uint64_t start = clock_mono_ns();
    if (j->p.conn)
        d->engine->predict(
            d->compiled,
            (char *)j->rows.data + (size_t)j->done_rows * sig->n_features * dtype_size(sig->input_dtype), n,
            j->outputs + (size_t)j->done_rows * sig->n_outputs * dtype_size(sig->output_dtype));
    uint64_t took = clock_mono_ns() - start;
    adapt(d, n, took);
    j->compute_ns += took;
    j->done_rows += n;
    if (j->p.conn && j->done_rows < j->rows.n_rows) {
        struct job **end = &g->jobs;
        while (*end)
            end = &(*end)->next;
        *end = j;
        return;
    }
    if (j->p.conn)
        answer(g, j);
    g->jobs_bytes -= job_bytes(j);
    job_free(j);
    loop_set_busy(g->loop, g->jobs != NULL);
}

void job_abandon(struct conn *c)
{
    for (struct job *j = c->g->jobs; j; j = j->next)
        if (j->p.conn == c)
            j->p.conn = NULL;
}
