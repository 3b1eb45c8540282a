// SPDX-License-Identifier: Apache-2.0
// Answers: into the gateway's ring of responses, or kept in memory while that is full. A gateway that does
// not read holds up nobody but itself.
#include "base/limits.h"
#include "role/replica/serve.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGE_SLACK = 2 * RING_ALIGN, ERROR_BYTES = 1024, FADE = 64 };

static size_t aligned(size_t n)
{
    return (n + RING_ALIGN - 1) & ~(size_t)(RING_ALIGN - 1);
}

static uint32_t n_of(uint64_t set)
{
    return (uint32_t)__builtin_popcountll(set);
}

// Bytes of an output for so many rows; false when only the computation tells.
static bool size_is_known(const struct tensor_spec *o, uint32_t n_rows, size_t *ret)
{
    size_t n = dtype_size(o->dtype);
    bool known = !o->any_shape && n > 0;
    for (uint32_t k = 0; known && k < o->n_dims; k++) {
        int64_t d = k == 0 && n_rows ? n_rows : o->shape[k];
        known = d >= 0 && !__builtin_mul_overflow(n, (size_t)d, &n) && n <= LINK_RING_BYTES_MAX;
    }
    *ret = n;
    return known;
}

size_t answer_bytes_expected(const struct serve *s, const struct waiting *w)
{
    const struct interface *i = s->model->interface;
    size_t at = aligned(link_response_head_bytes(n_of(w->item.outputs)));
    for (uint64_t left = w->item.outputs; left; left &= left - 1) {
        unsigned k = (unsigned)__builtin_ctzll(left);
        size_t n;
        if (!size_is_known(&i->outputs[k], w->item.n_rows, &n))
            n = s->row_bytes[k] * (w->item.n_rows ? w->item.n_rows : 1);
        at += aligned(n);
    }
    return at > ERROR_BYTES ? at : ERROR_BYTES;
}

// So that the next time its size is expected.
static void learn(struct serve *s, const struct tensor_spec *o, size_t k, size_t bytes, uint32_t n_rows)
{
    size_t n;
    if (size_is_known(o, n_rows, &n))
        return;
    size_t per_row = bytes / (n_rows ? n_rows : 1) + 1, faded = s->row_bytes[k] - s->row_bytes[k] / FADE;
    s->row_bytes[k] = per_row > faded ? per_row : faded;
}

bool answer_has_room(struct peer *p, size_t bytes)
{
    const struct ring_writer *w = &p->end.out;
    if (p->kept)
        return false;
    // Nothing more will become free than all.
    if (w->at == w->freed && p->planned_bytes == 0)
        return true;
    return bytes + p->planned_bytes + MESSAGE_SLACK <= ring_room(w);
}

void *answer_room(struct peer *p, size_t bytes)
{
    return ring_reserve(&p->end.out, bytes);
}

static bool lies_in(const struct tensor *t, const char *to, size_t at, size_t max_bytes)
{
    uintptr_t data = (uintptr_t)t->data, first = (uintptr_t)to + at, end = (uintptr_t)to + max_bytes;
    return data >= first && data <= end && t->bytes <= end - data && (data - (uintptr_t)to) % RING_ALIGN == 0;
}

// The whole message; its size, or 0 when it does not fit. What was computed where the message lies stays in
// its place, the others go behind it.
static size_t put_message(char *to, size_t max_bytes, const struct answer *a, const struct tensor *results)
{
    uint64_t outputs = a->request->item.outputs;
    struct link_response *r = (struct link_response *)to;
    size_t head = link_response_head_bytes(n_of(outputs)), at = head;
    if (head > max_bytes)
        return 0;
    for (uint64_t left = outputs; left; left &= left - 1) {
        const struct tensor *t = &results[__builtin_ctzll(left)];
        size_t end = (size_t)((uintptr_t)t->data + t->bytes - (uintptr_t)to);
        if (lies_in(t, to, head, max_bytes) && end > at)
            at = end;
    }
    uint32_t n = 0;
    for (uint64_t left = outputs; left; left &= left - 1, n++) {
        unsigned k = (unsigned)__builtin_ctzll(left);
        const struct tensor *t = &results[k];
        size_t from = lies_in(t, to, head, max_bytes) ? (size_t)((uintptr_t)t->data - (uintptr_t)to) : at;
        size_t end = link_put_tensor(to, from, max_bytes, t, &r->tensors[n]);
        if (end == 0)
            return 0;
        r->tensors[n].index = k;
        at = end > at ? end : at;
    }
    r->id = a->request->id;
    r->code = 0;
    r->n_tensors = n;
    r->text_bytes = 0;
    r->batch_rows = a->batch_rows;
    r->queue_ns =
        a->started_mono_ns > a->request->since_mono_ns ? a->started_mono_ns - a->request->since_mono_ns : 0;
    r->compute_ns = a->compute_ns;
    return at;
}

static void done(struct waiting *w)
{
    w->next = w->peer->free;
    w->peer->free = w;
}

static void keep(struct peer *p, struct kept *k)
{
    k->next = NULL;
    *p->kept_last = k;
    p->kept_last = &k->next;
    p->is_full = true;
}

static struct kept *kept_new(struct serve *s, size_t bytes)
{
    struct kept *k = malloc(sizeof *k + bytes);
    if (k) {
        k->bytes = bytes;
    } else {
        s->exit_code = ROLE_EXIT_MEMORY;
        loop_stop(s->loop);
    }
    return k;
}

void answer_error(const struct answer *a, const struct err *error)
{
    struct waiting *w = a->request;
    struct peer *p = w->peer;
    struct link_response head = {
        .id = w->id,
        .batch_rows = a->batch_rows,
        .queue_ns = a->started_mono_ns > w->since_mono_ns ? a->started_mono_ns - w->since_mono_ns : 0,
        .compute_ns = a->compute_ns};
    void *to = p->kept ? NULL : ring_reserve(&p->end.out, ERROR_BYTES);
    struct kept *k = to ? NULL : kept_new(p->serve, ERROR_BYTES);
    if (to)
        ring_commit(&p->end.out, link_put_error(to, ERROR_BYTES, &head, error));
    if (k) {
        k->bytes = link_put_error(k->message, ERROR_BYTES, &head, error);
        keep(p, k);
    }
    done(w);
}

static void too_large(const struct answer *a, size_t bytes)
{
    struct err e;
    err_set(&e, ERR_TOO_LARGE, "the answer takes %zu bytes, more than the %zu that fit", bytes,
            a->request->peer->end.out.size - RING_ALIGN);
    err_hint(&e, "Send fewer rows in one request, or ask for fewer outputs.");
    answer_error(a, &e);
}

static size_t message_bytes(const struct answer *a, const struct tensor *results)
{
    size_t n = aligned(link_response_head_bytes(n_of(a->request->item.outputs)));
    for (uint64_t left = a->request->item.outputs; left; left &= left - 1)
        n += aligned(results[__builtin_ctzll(left)].bytes);
    return n;
}

void answer_results(const struct answer *a, const struct tensor *results)
{
    struct waiting *w = a->request;
    struct peer *p = w->peer;
    struct ring_writer *out = &p->end.out;
    const struct interface *i = p->serve->model->interface;
    for (uint64_t left = w->item.outputs; left; left &= left - 1) {
        unsigned k = (unsigned)__builtin_ctzll(left);
        learn(p->serve, &i->outputs[k], k, results[k].bytes, w->item.n_rows);
    }
    // What lies in the room already may leave gaps in it; then it takes the room as it was reserved.
    size_t bytes = message_bytes(a, results),
           max = bytes > out->reserved ? bytes : out->reserved - RING_ALIGN;
    if (bytes > out->size - RING_ALIGN) {
        too_large(a, bytes);
        return;
    }
    char *to = p->kept ? NULL : ring_reserve(out, max);
    size_t n = to ? put_message(to, max, a, results) : 0;
    struct kept *k = to && n ? NULL : kept_new(p->serve, bytes);
    if (n)
        ring_commit(out, n);
    if (k) {
        k->bytes = put_message(k->message, bytes, a, results);
        keep(p, k);
    }
    done(w);
}

bool answer_flush(struct peer *p)
{
    struct ring_writer *out = &p->end.out;
    while (p->kept) {
        struct kept *k = p->kept;
        void *to = ring_reserve(out, k->bytes);
        if (!to)
            return false;
        memcpy(to, k->message, k->bytes);
        ring_commit(out, k->bytes);
        p->kept = k->next;
        if (!p->kept)
            p->kept_last = &p->kept;
        free(k);
        answer_wake(p);
    }
    return true;
}

void answer_drop(struct peer *p)
{
    while (p->kept) {
        struct kept *k = p->kept;
        p->kept = k->next;
        free(k);
    }
    p->kept_last = &p->kept;
}

void answer_wake(struct peer *p)
{
    if (ring_must_wake(&p->end.in))
        link_end_wake_other(&p->end);
}
