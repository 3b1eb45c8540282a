// SPDX-License-Identifier: Apache-2.0
// The message of a call: decoded into a ring or into memory of its own, which is counted; what is known of
// its content.
#include "role/gateway/call_parts.h"

#include "role/gateway/quarantine.h"
#include "role/gateway/record.h"
#include "role/gateway/shadow.h"
#include "wire/json_scan.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES_PER_BODY_BYTE = 4 }; // "0," becomes eight bytes

size_t call_align(size_t n)
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
    size_t at = call_align(s->at);
    if (at > s->max || bytes > s->max - at)
        return NULL;
    s->at = at + bytes;
    return s->message + at;
}

uint64_t call_bound(const struct interface *i, size_t body_bytes)
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

int call_decode(struct call *k, const struct call_body *body, char *message, size_t max, size_t *ret_bytes,
                struct err *e)
{
    const struct interface *i = k->deployment->interface;
    struct link_request *head = (struct link_request *)message;
    struct message_sink s = {
        .sink = {sink_alloc}, .message = message, .at = link_request_head_bytes(i->n_inputs), .max = max};
    int rc = k->decode(body->json, body->pause, i, &s.sink, body->scratch, &k->request, e);
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

void call_memory_free(struct call *k)
{
    struct backend *b = k->deployment->backend;
    if (k->memory) {
        b->g->jobs_bytes -= k->bytes;
        b->waiting_bytes -= k->bytes;
    }
    free(k->memory);
    k->memory = NULL;
}

int call_memory_take(struct call *k, size_t bytes, struct err *e)
{
    struct backend *b = k->deployment->backend;
    struct gateway *g = b->g;
    if (g->jobs_bytes > GATEWAY_JOBS_BYTES || bytes > GATEWAY_JOBS_BYTES - g->jobs_bytes ||
        b->waiting_bytes + bytes > GATEWAY_JOBS_BYTES - g->jobs_bytes)
        return err_set(e, ERR_BUSY, "too many large requests to model '%s' wait", k->deployment->model);
    k->memory = aligned_alloc(RING_ALIGN, call_align(bytes));
    if (!k->memory)
        return err_set(e, ERR_NOMEM, "no memory for a request");
    k->bytes = bytes;
    g->jobs_bytes += bytes;
    b->waiting_bytes += bytes;
    return 0;
}

int call_memory_shrink(struct call *k, size_t bytes, struct err *e)
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

void call_keep_body(struct call *k, struct str body)
{
    struct gateway *g = k->deployment->backend->g;
    if (g->jobs_bytes > GATEWAY_JOBS_BYTES || body.n > GATEWAY_JOBS_BYTES - g->jobs_bytes)
        return;
    buf_init(&k->body, body.n);
    buf_put_str(&k->body, body);
    k->kept_bytes = k->body.n;
    g->jobs_bytes += k->kept_bytes;
}

void call_drop_body(struct call *k)
{
    buf_done(&k->body);
    k->deployment->backend->g->jobs_bytes -= k->kept_bytes;
    k->kept_bytes = 0;
}

void call_free(struct call *k)
{
    trial_end(k->part, &(struct trial_outcome){.is_gone = true});
    if (k->mirror)
        shadow_lost(k->mirror);
    k->deployment->backend->n_mirrored -= k->is_mirrored;
    call_drop_body(k);
    call_memory_free(k);
    k->deployment->backend->n_calls--;
    deployment_unref(k->deployment);
    free(k->names);
    free(k);
}

int call_own_names(struct call *k, struct err *e)
{
    struct str *names[] = {&k->request_id, &k->traceparent, &k->request.id};
    char *before = k->names, *to = malloc(k->request_id.n + k->traceparent.n + k->request.id.n + 1);
    if (!to)
        return err_set(e, ERR_NOMEM, "no memory for a request");
    k->names = to;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i]->n)
            memcpy(to, names[i]->p, names[i]->n);
        names[i]->p = to;
        to += names[i]->n;
    }
    free(before);
    return 0;
}

uint64_t call_hash(const struct call *k, const void *message)
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

int call_crashed(const struct call *k, struct err *e)
{
    err_set(e, ERR_CRASHED, "the process that runs model '%s' ended each time it computed this request",
            k->deployment->model);
    err_hint(e, "The same request is refused for a minute; others are answered.");
    return ERR_CRASHED;
}

int call_check_quarantine(const struct call *k, const void *message, struct err *e)
{
    const struct gateway *g = k->deployment->backend->g;
    uint64_t now = loop_now_ns(g->loop);
    if (quarantine_is_empty(g, now) || !quarantine_has(g, call_hash(k, message), now))
        return 0;
    return call_crashed(k, e);
}
