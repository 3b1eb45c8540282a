// SPDX-License-Identifier: Apache-2.0
// Messages between gateway and replica, written and checked. What the other side could still change is copied
// before it is looked at.
#include "role/link.h"

#include <string.h>

enum { CODE_LAST = ERR_CODE_LIMIT + 1 };

// The compiler must not read `from` a second time in place of the copy.
static void copy_once(void *to, const void *from, size_t n)
{
    memcpy(to, from, n);
    __asm__ volatile("" : : "r"(to) : "memory");
}

static size_t aligned(size_t n)
{
    return (n + RING_ALIGN - 1) & ~(size_t)(RING_ALIGN - 1);
}

int link_open_read(const struct msg *m, struct link_open *ret, struct err *e)
{
    if (m->type != LINK_OPEN || m->n_fds != LINK_FDS || m->payload.n != sizeof *ret)
        return err_set(e, ERR_INVALID, "message %u is not how a link is opened", m->type);
    memcpy(ret, m->payload.p, sizeof *ret);
    uint64_t n = ret->ring_bytes;
    if (ret->protocol != LINK_PROTOCOL || n < RING_BYTES_MIN || n > LINK_RING_BYTES_MAX || (n & (n - 1)))
        return err_set(e, ERR_INVALID, "a link of protocol %u with rings of %llu bytes", ret->protocol,
                       (unsigned long long)n);
    return 0;
}

int link_accept_read(const struct msg *m, struct link_accept *ret, struct err *e)
{
    if (m->type != LINK_ACCEPT || m->n_fds != 0 || m->payload.n != sizeof *ret)
        return err_set(e, ERR_INVALID, "message %u is not how a link is accepted", m->type);
    memcpy(ret, m->payload.p, sizeof *ret);
    return ret->protocol == LINK_PROTOCOL
               ? 0
               : err_set(e, ERR_INVALID, "the replica speaks protocol %u", ret->protocol);
}

size_t link_request_head_bytes(uint32_t n_tensors)
{
    return sizeof(struct link_request) + n_tensors * sizeof(struct link_tensor);
}

size_t link_response_head_bytes(uint32_t n_tensors)
{
    return sizeof(struct link_response) + n_tensors * sizeof(struct link_tensor);
}

size_t link_put_tensor(void *to, size_t at, size_t max_bytes, const struct tensor *t, struct link_tensor *ret)
{
    size_t offset = aligned(at);
    if (offset > max_bytes || t->bytes > max_bytes - offset)
        return 0;
    char *place = (char *)to + offset;
    if (t->bytes && t->data != place)
        memcpy(place, t->data, t->bytes);
    *ret = (struct link_tensor){.dtype = t->dtype, .n_dims = t->n_dims, .offset = offset, .bytes = t->bytes};
    memcpy(ret->shape, t->shape, t->n_dims * sizeof t->shape[0]);
    return offset + t->bytes;
}

// Whether a tensor of this datatype and shape may be what `s` describes.
static bool spec_allows(const struct tensor_spec *s, const struct link_tensor *t)
{
    if (t->dtype != s->dtype || t->n_dims > TENSOR_DIMS_MAX)
        return false;
    if (s->any_shape)
        return true;
    bool fits = t->n_dims == s->n_dims;
    for (uint32_t k = 0; fits && k < s->n_dims; k++)
        fits = s->shape[k] < 0 || t->shape[k] == s->shape[k];
    return fits;
}

// A view of the tensor that *t describes, after the checks that do not read its memory.
static int open_tensor(const char *message, size_t bytes, const struct link_tensor *t,
                       const struct tensor_spec *s, uint32_t n_rows, struct tensor *ret, struct err *e)
{
    if (ret->dtype != DTYPE_NONE || !spec_allows(s, t))
        return err_set(e, ERR_INVALID, "tensor '" STR_FMT "' is not as the model has it", STR_ARG(s->name));
    if (n_rows && (t->n_dims == 0 || t->shape[0] != n_rows))
        return err_set(e, ERR_INVALID, "tensor '" STR_FMT "' does not have %u rows", STR_ARG(s->name),
                       n_rows);
    if (t->offset > bytes || t->offset % RING_ALIGN || t->bytes > bytes - t->offset)
        return err_set(e, ERR_INVALID, "tensor '" STR_FMT "' lies outside of its message", STR_ARG(s->name));
    *ret = (struct tensor){.name = s->name,
                           .dtype = s->dtype,
                           .n_dims = t->n_dims,
                           .data = message + t->offset,
                           .bytes = (size_t)t->bytes};
    memcpy(ret->shape, t->shape, t->n_dims * sizeof t->shape[0]);
    return 0;
}

static int open_inputs(const char *message, size_t bytes, const struct interface *i,
                       const struct link_request *r, struct tensor *inputs, struct err *e)
{
    for (uint32_t k = 0; k < r->n_tensors; k++) {
        struct link_tensor t;
        copy_once(&t, message + link_request_head_bytes(k), sizeof t);
        if (t.index >= i->n_inputs)
            return err_set(e, ERR_INVALID, "there is no input %u", t.index);
        struct tensor *in = &inputs[t.index];
        int code = open_tensor(message, bytes, &t, &i->inputs[t.index], r->n_rows, in, e);
        if (code == 0 && tensor_check(in, e))
            code = err_set(e, ERR_INVALID, "tensor '" STR_FMT "' is broken", STR_ARG(in->name));
        if (code)
            return code;
    }
    for (uint32_t k = 0; k < i->n_inputs; k++)
        if (inputs[k].dtype == DTYPE_NONE && !i->inputs[k].optional)
            return err_set(e, ERR_INVALID, "input '" STR_FMT "' is missing", STR_ARG(i->inputs[k].name));
    return 0;
}

static uint64_t all_of(uint32_t n)
{
    return n >= 64 ? UINT64_MAX : (1ull << n) - 1;
}

int link_request_open(const void *message, size_t bytes, const struct interface *i,
                      struct link_request *request, struct tensor *inputs, struct err *e)
{
    memset(request, 0, sizeof *request);
    if (bytes < sizeof *request)
        return err_set(e, ERR_INVALID, "a request of %zu bytes", bytes);
    copy_once(request, message, sizeof *request);
    if (request->n_tensors > i->n_inputs || link_request_head_bytes(request->n_tensors) > bytes)
        return err_set(e, ERR_INVALID, "a request with %u tensors", request->n_tensors);
    if (request->outputs == 0 || request->outputs & ~all_of(i->n_outputs))
        return err_set(e, ERR_INVALID, "a request for outputs that the model has not");
    memset(inputs, 0, i->n_inputs * sizeof *inputs);
    return open_inputs(message, bytes, i, request, inputs, e);
}

static int broke_protocol(struct err *e)
{
    (void)err_wrap(e, "the replica broke the protocol");
    return e->code = ERR_INTERNAL;
}

static bool code_is_known(int32_t code)
{
    return code <= 0 && code >= CODE_LAST;
}

int link_response_head(const void *message, size_t bytes, struct link_response *ret, struct err *e)
{
    if (bytes < sizeof *ret)
        return err_set(e, ERR_INTERNAL, "the replica broke the protocol: a response of %zu bytes", bytes);
    copy_once(ret, message, sizeof *ret);
    bool counts_fit = ret->n_tensors <= TENSORS_MAX && link_response_head_bytes(ret->n_tensors) <= bytes &&
                      ret->text_bytes <= bytes - sizeof *ret;
    bool one_kind = ret->code ? ret->n_tensors == 0 : ret->text_bytes == 0;
    if (!code_is_known(ret->code) || !counts_fit || !one_kind)
        return err_set(
            e, ERR_INTERNAL,
            "the replica broke the protocol: a response with code %d, %u tensors, %u bytes of text",
            (int)ret->code, ret->n_tensors, ret->text_bytes);
    return 0;
}

// Lengths inside the memory are checked and used later: that must be memory that stays.
static int keep_lengths(struct tensor *t, struct arena *arena, struct err *e)
{
    enum { ARENA_ALIGN_SLACK = TENSOR_ALIGN };
    char *own = arena_alloc(arena, t->bytes + ARENA_ALIGN_SLACK);
    if (!own)
        return err_set(e, ERR_NOMEM, "no room for %zu bytes of tensor '" STR_FMT "'", t->bytes,
                       STR_ARG(t->name));
    own += -(uintptr_t)own % TENSOR_ALIGN;
    copy_once(own, t->data, t->bytes);
    t->data = own;
    return 0;
}

int link_response_open(const void *message, size_t bytes, const struct link_response *head,
                       const struct link_asked *asked, struct arena *arena, struct tensor *results,
                       struct err *e)
{
    const struct interface *i = asked->interface;
    uint64_t missing = asked->outputs;
    memset(results, 0, i->n_outputs * sizeof *results);
    for (uint32_t k = 0; k < head->n_tensors; k++) {
        struct link_tensor t;
        copy_once(&t, (const char *)message + link_response_head_bytes(k), sizeof t);
        if (t.index >= i->n_outputs || !(missing >> t.index & 1))
            return err_set(e, ERR_INTERNAL, "the replica broke the protocol: output %u was not asked for",
                           t.index);
        struct tensor *out = &results[t.index];
        if (open_tensor(message, bytes, &t, &i->outputs[t.index], asked->n_rows, out, e))
            return broke_protocol(e);
        int code = t.dtype == DTYPE_BYTES ? keep_lengths(out, arena, e) : 0;
        if (code)
            return code;
        if (tensor_check(out, e))
            return broke_protocol(e);
        missing &= ~(1ull << t.index);
    }
    return missing
               ? err_set(e, ERR_INTERNAL, "the replica broke the protocol: a response without all outputs")
               : 0;
}

// An error's text: message, path and hint, each ended by NUL.
size_t link_put_error(void *to, size_t max_bytes, const struct link_response *head, const struct err *error)
{
    const char *const parts[] = {error->msg, error->path, error->hint};
    size_t at = sizeof *head, n;
    if (max_bytes < at)
        return 0;
    struct link_response r = *head;
    for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++, at += n) {
        n = strlen(parts[k]) + 1;
        if (n > max_bytes - at)
            break;
        memcpy((char *)to + at, parts[k], n);
    }
    r.code = error->code;
    r.n_tensors = 0;
    r.text_bytes = (uint32_t)(at - sizeof r);
    memcpy(to, &r, sizeof r);
    return at;
}

// The next part of the text: at most size - 1 bytes of it, printable.
static const char *take_part(const char *at, const char *end, char *ret, size_t size)
{
    size_t n = 0;
    for (; at < end; at++) {
        unsigned char c = *(const volatile unsigned char *)at;
        if (c == 0) {
            at++;
            break;
        }
        if (n + 1 < size)
            ret[n++] = (char)(c < 0x20 || c == 0x7f ? ' ' : c);
    }
    ret[n] = 0;
    return at;
}

void link_response_error(const void *message, const struct link_response *head, struct err *ret)
{
    const char *at = (const char *)message + sizeof *head, *end = at + head->text_bytes;
    ret->code = head->code;
    at = take_part(at, end, ret->msg, sizeof ret->msg);
    at = take_part(at, end, ret->path, sizeof ret->path);
    (void)take_part(at, end, ret->hint, sizeof ret->hint);
}

void link_started_put(struct ring_writer *responses, const uint64_t *ids, size_t n)
{
    ring_note(responses, ids, n);
}

size_t link_started_get(const struct ring_reader *responses, uint64_t ret[LINK_BATCH_REQUESTS_MAX])
{
    return ring_noted(responses, ret);
}
