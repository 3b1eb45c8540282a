// SPDX-License-Identifier: Apache-2.0
// Batches: the next in turn leads, what may join it and is there joins, the model runs, everybody gets his
// part. A batch that fails is computed again one by one, so that nobody gets the error of another.
#include "base/clock.h"
#include "base/limits.h"
#include "role/replica/serve.h"

#include <stdlib.h>
#include <string.h>

enum { KEEP_BYTES = 1 << 20, EXHAUSTED_BYTES = 1 << 20 };

int work_init(struct serve *s, struct err *e)
{
    const struct interface *i = s->model->interface;
    s->inputs = calloc(i->n_inputs + 1, sizeof *s->inputs);
    s->results = calloc(2 * i->n_outputs + 1, sizeof *s->results);
    s->row_bytes = calloc(i->n_outputs + 1, sizeof *s->row_bytes);
    return s->inputs && s->results && s->row_bytes ? 0 : err_set(e, ERR_NOMEM, "no memory to serve");
}

static void scratch_free(struct scratch *m)
{
    free(m->p);
    *m = (struct scratch){0};
}

void work_done(struct serve *s)
{
    scratch_free(&s->in);
    scratch_free(&s->out);
    free(s->inputs);
    free(s->results);
    free(s->row_bytes);
}

void work_trim(struct serve *s)
{
    if (s->in.size > KEEP_BYTES)
        scratch_free(&s->in);
    if (s->out.size > KEEP_BYTES)
        scratch_free(&s->out);
}

static char *scratch_get(struct scratch *m, size_t bytes)
{
    if (bytes <= m->size)
        return m->p;
    size_t size = 2 * m->size > bytes ? 2 * m->size : bytes;
    size = (size + TENSOR_ALIGN - 1) & ~(size_t)(TENSOR_ALIGN - 1);
    free(m->p);
    m->p = aligned_alloc(TENSOR_ALIGN, size);
    m->size = m->p ? size : 0;
    return m->p;
}

static size_t aligned(size_t n)
{
    return (n + TENSOR_ALIGN - 1) & ~(size_t)(TENSOR_ALIGN - 1);
}

// Tells each gateway which of its requests are computed from now on.
static void note_started(struct serve *s, struct waiting *const *batch, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct peer *p = batch[i]->peer;
        p->started[p->n_started++] = batch[i]->id;
    }
    for (struct peer *p = s->peers; p; p = p->next) {
        if (p->is_open)
            link_started_put(&p->end.out, p->started, p->n_started);
        p->n_started = 0;
    }
}

static bool shape_fits(const struct tensor_spec *o, const struct tensor *t)
{
    bool fits = o->any_shape || t->n_dims == o->n_dims;
    for (uint32_t k = 0; fits && k < o->n_dims; k++)
        fits = o->shape[k] < 0 || t->shape[k] == o->shape[k];
    return fits && t->dtype == o->dtype;
}

// What the model gave is what it announced; gateways refuse anything else.
static int check_results(const struct serve *s, uint64_t outputs, struct err *e)
{
    const struct interface *i = s->model->interface;
    for (; outputs; outputs &= outputs - 1) {
        unsigned k = (unsigned)__builtin_ctzll(outputs);
        if (!shape_fits(&i->outputs[k], &s->results[k]))
            return err_set(e, ERR_INTERNAL,
                           "output '" STR_FMT "' came out with another datatype or shape than the model "
                           "declares",
                           STR_ARG(i->outputs[k].name));
    }
    return 0;
}

static int run(struct serve *s, const struct run *r, uint64_t *ret_start, uint64_t *ret_dur, struct err *e)
{
    memset(s->results, 0, s->model->interface->n_outputs * sizeof *s->results);
    *ret_start = clock_mono_ns();
    int code = s->model->runtime->run(s->model->session, r, e);
    s->now_ns = clock_mono_ns();
    *ret_dur = s->now_ns - *ret_start;
    return code ? code : check_results(s, r->outputs, e);
}

// A model that failed for want of memory may have given it back; if not, this process is of no more use.
static void end_if_exhausted(struct serve *s)
{
    void *volatile p = malloc(EXHAUSTED_BYTES); // volatile, lest the compiler takes it for granted
    if (!p) {
        s->exit_code = ROLE_EXIT_MEMORY;
        loop_stop(s->loop);
    }
    free(p);
}

static void compute_alone(struct serve *s, struct waiting *w)
{
    struct peer *p = w->peer;
    struct err e;
    size_t bytes = answer_bytes_expected(s, w);
    size_t head = aligned(link_response_head_bytes((uint32_t)__builtin_popcountll(w->item.outputs)));
    char *to = answer_room(p, bytes);
    struct run r = {.inputs = w->item.inputs,
                    .outputs = w->item.outputs,
                    .room = to ? to + head : NULL,
                    .room_bytes = to ? bytes - head : 0,
                    .results = s->results};
    struct answer a = {.request = w, .batch_rows = w->item.n_rows};
    int code = run(s, &r, &a.started_mono_ns, &a.compute_ns, &e);
    if (code == 0 && s->args->batch_budget_us)
        batch_profile_note(&s->profile, w->item.n_rows, a.compute_ns);
    if (code == 0)
        answer_results(&a, s->results);
    else
        answer_error(&a, &e);
    answer_wake(p);
    if (code == ERR_NOMEM)
        end_if_exhausted(s);
}

// All requests' rows, one after another, for each input.
static bool join_inputs(struct serve *s, uint32_t n_rows)
{
    const struct interface *i = s->model->interface;
    size_t total = 0;
    for (uint32_t k = 0; k < i->n_inputs; k++) {
        size_t bytes = 0;
        for (size_t b = 0; b < s->n_batch; b++)
            bytes += s->batch[b]->item.inputs[k].bytes;
        total += aligned(bytes);
    }
    char *at = scratch_get(&s->in, total);
    if (!at)
        return false;
    for (uint32_t k = 0; k < i->n_inputs; k++) {
        struct tensor *t = &s->inputs[k];
        *t = s->batch[0]->item.inputs[k];
        if (t->dtype == DTYPE_NONE)
            continue;
        t->shape[0] = n_rows;
        t->data = at;
        t->bytes = 0;
        for (size_t b = 0; b < s->n_batch; b++) {
            const struct tensor *part = &s->batch[b]->item.inputs[k];
            memcpy(at + t->bytes, part->data, part->bytes);
            t->bytes += part->bytes;
        }
        at += aligned(t->bytes);
    }
    return true;
}

// Bytes of the first n_rows rows of *t.
static size_t rows_bytes(const struct tensor *t, uint32_t n_rows)
{
    size_t row = dtype_size(t->dtype);
    for (uint32_t k = 1; k < t->n_dims; k++)
        row *= (size_t)t->shape[k];
    if (t->dtype != DTYPE_BYTES)
        return row * n_rows;
    size_t n = n_rows, at = 0;
    for (uint32_t k = 1; k < t->n_dims; k++)
        n *= (size_t)t->shape[k];
    for (; n > 0; n--) {
        uint32_t length;
        memcpy(&length, (const char *)t->data + at, sizeof length);
        at += sizeof length + length;
    }
    return at;
}

// Each request's rows of the results.
static void hand_out(struct serve *s, const struct answer *batch)
{
    uint32_t n_outputs = s->model->interface->n_outputs;
    struct tensor *rest = s->results, *own = s->results + n_outputs;
    for (size_t b = 0; b < s->n_batch; b++) {
        struct answer a = *batch;
        a.request = s->batch[b];
        uint32_t n_rows = a.request->item.n_rows;
        for (uint64_t left = a.request->item.outputs; left; left &= left - 1) {
            unsigned k = (unsigned)__builtin_ctzll(left);
            own[k] = rest[k];
            own[k].shape[0] = n_rows;
            own[k].bytes = rows_bytes(&rest[k], n_rows);
            rest[k].data = (const char *)rest[k].data + own[k].bytes;
        }
        struct peer *p = a.request->peer;
        answer_results(&a, own);
        p->planned_bytes = 1; // to be woken
    }
}

// Whether every result has the batch's rows and all its bytes.
static bool can_be_split(const struct serve *s, uint64_t outputs, uint32_t n_rows)
{
    struct err ignored;
    for (; outputs; outputs &= outputs - 1) {
        const struct tensor *t = &s->results[__builtin_ctzll(outputs)];
        if (t->n_dims == 0 || t->shape[0] != n_rows || tensor_check(t, &ignored))
            return false;
    }
    return true;
}

// False when that did not work; nobody is answered then.
static bool compute_together(struct serve *s, uint32_t n_rows)
{
    struct err e;
    size_t room = 0;
    for (size_t b = 0; b < s->n_batch; b++)
        room += answer_bytes_expected(s, s->batch[b]);
    if (room > LIMIT_REPLICA_BATCH_BYTES)
        room = LIMIT_REPLICA_BATCH_BYTES;
    char *to = scratch_get(&s->out, room);
    if (!join_inputs(s, n_rows))
        return false;
    uint64_t outputs = s->batch[0]->item.outputs;
    struct run r = {.inputs = s->inputs,
                    .outputs = outputs,
                    .room = to,
                    .room_bytes = to ? room : 0,
                    .results = s->results};
    struct answer a = {.batch_rows = n_rows};
    if (run(s, &r, &a.started_mono_ns, &a.compute_ns, &e) || !can_be_split(s, outputs, n_rows))
        return false;
    if (s->args->batch_budget_us)
        batch_profile_note(&s->profile, n_rows, a.compute_ns);
    for (struct peer *p = s->peers; p; p = p->next)
        p->planned_bytes = 0;
    hand_out(s, &a);
    for (struct peer *p = s->peers; p; p = p->next)
        if (p->planned_bytes && p->is_open)
            answer_wake(p);
    return true;
}

static bool is_late(const struct serve *s, const struct waiting *w)
{
    return w->deadline_mono_ns && s->now_ns >= w->deadline_mono_ns;
}

static void answer_late(struct serve *s, struct peer *p)
{
    struct err e;
    struct waiting *w = peer_unqueue(p, &p->first);
    err_set(&e, ERR_DEADLINE, "the request waited longer than it may take");
    struct answer a = {.request = w, .started_mono_ns = s->now_ns};
    answer_error(&a, &e);
    answer_wake(p);
}

// Whether the first of its queue can be computed now.
static bool has_next(struct serve *s, struct peer *p)
{
    p->planned_bytes = 0;
    while (p->is_open && !p->is_full && p->first) {
        if (!answer_has_room(p, answer_bytes_expected(s, p->first)))
            p->is_full = true;
        else if (is_late(s, p->first))
            answer_late(s, p);
        else
            return true;
    }
    return false;
}

static struct peer *after(struct serve *s, struct peer *p)
{
    return p && p->next ? p->next : s->peers;
}

struct room {
    uint32_t rows;
    size_t bytes;
};

// Moves the next request of p that may join into the batch; false when there is none.
static bool join_next(struct serve *s, struct peer *p, struct room *left)
{
    const struct interface *i = s->model->interface;
    for (struct waiting *w; p->is_open && !p->is_full && (w = *p->at); p->at = &w->next) {
        size_t bytes = 0, answer = answer_bytes_expected(s, w);
        if (w->item.n_rows > left->rows || is_late(s, w) || !batch_may_join(i, &s->batch[0]->item, &w->item))
            continue;
        for (uint32_t k = 0; k < i->n_inputs; k++)
            bytes += w->item.inputs[k].bytes;
        if (bytes > left->bytes || !answer_has_room(p, answer))
            continue;
        left->bytes -= bytes;
        left->rows -= w->item.n_rows;
        p->planned_bytes += answer + RING_ALIGN;
        s->batch[s->n_batch++] = peer_unqueue(p, p->at);
        return true;
    }
    return false;
}

// Fills the batch behind its first, one request of each gateway in turn.
static void gather(struct serve *s, struct peer *lead, uint32_t max_rows)
{
    const struct batch_item *first = &s->batch[0]->item;
    struct room left = {.bytes = LIMIT_REPLICA_BATCH_BYTES};
    if (first->alone || first->n_rows == 0 || first->n_rows >= max_rows)
        return;
    left.rows = max_rows - first->n_rows;
    for (struct peer *p = s->peers; p; p = p->next) {
        p->at = &p->first;
        p->planned_bytes = 0;
    }
    lead->planned_bytes = answer_bytes_expected(s, s->batch[0]) + RING_ALIGN;
    struct peer *p = after(s, lead);
    for (unsigned without = 0; without < s->n_peers; p = after(s, p)) {
        if (left.rows == 0 || s->n_batch == LINK_BATCH_REQUESTS_MAX)
            return;
        without = join_next(s, p, &left) ? 0 : without + 1;
    }
}

static uint32_t max_rows(const struct serve *s)
{
    uint32_t max = s->model->interface->max_batch_rows;
    return max ? batch_rows_within(&s->profile, max, (uint64_t)s->args->batch_budget_us * 1000) : 0;
}

static void compute(struct serve *s)
{
    uint32_t n_rows = 0;
    for (size_t b = 0; b < s->n_batch; b++)
        n_rows += s->batch[b]->item.n_rows;
    note_started(s, s->batch, s->n_batch);
    if (s->n_batch > 1 && compute_together(s, n_rows))
        return;
    for (size_t b = 0; b < s->n_batch; b++) {
        if (s->n_batch > 1)
            note_started(s, &s->batch[b], 1);
        compute_alone(s, s->batch[b]);
    }
}

bool work_next(struct serve *s)
{
    struct peer *lead = s->turn ? s->turn : s->peers;
    unsigned looked = 0;
    while (looked < s->n_peers && !has_next(s, lead)) {
        lead = after(s, lead);
        looked++;
    }
    if (looked == s->n_peers)
        return false;
    s->n_batch = 1;
    s->batch[0] = peer_unqueue(lead, &lead->first);
    if (lead->first || s->n_peers > 1)
        gather(s, lead, max_rows(s));
    s->turn = after(s, lead);
    compute(s);
    return true;
}
