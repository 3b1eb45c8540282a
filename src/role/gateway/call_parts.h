// SPDX-License-Identifier: Apache-2.0
// What the files of a call share:
//   call.c           how it begins, is sent and is answered
//   call_message.c   its message
//   call_decode.c    decoding a large body, a slice a turn
//   call_lost.c      what becomes of it when its client, its replica or its time ends
#pragma once

#include "role/gateway/call.h"

enum {
    CALL_MOVES_MAX = 8, // a call that so many replicas left behind unread is given up
    CALL_TRIES_MAX = 2, // a call that so many replicas ended with is refused
};

// ---- call_message.c

struct json_pause;

struct call_body {
    struct str json;
    const struct json_pause *pause; // NULL: in one go
    struct arena *scratch;
};

size_t call_align(size_t n); // to RING_ALIGN
// The most that the message of a body can take.
uint64_t call_bound(const struct interface *i, size_t body_bytes);
// Decodes the body into `message` (max bytes, RING_ALIGN-aligned offsets), of which *ret_bytes are then used.
// The id is given when it is sent. Errors as tensors_decode_fn.
int call_decode(struct call *k, const struct call_body *body, char *message, size_t max, size_t *ret_bytes,
                struct err *e) ERR_CHECKED;
// Memory for a message of `bytes` bytes while no replica has room for it. One model may have as much of
// GATEWAY_JOBS_BYTES as it leaves to all others, so that none takes all. ERR_BUSY, ERR_NOMEM.
int call_memory_take(struct call *k, size_t bytes, struct err *e) ERR_CHECKED;
// After decoding, when the size is known. ERR_TOO_LARGE: no replica takes so much at once.
int call_memory_shrink(struct call *k, size_t bytes, struct err *e) ERR_CHECKED;
void call_memory_free(struct call *k);
// Copies what a shield may need, as far as there is memory for it.
void call_keep_body(struct call *k, struct str body);
void call_drop_body(struct call *k);
// Moves what lies in an arena, or in the connection's buffer, into the call; also a second time.
int call_own_names(struct call *k, struct err *e) ERR_CHECKED;
uint64_t call_hash(const struct call *k, const void *message);
// ERR_CRASHED when this request ended two replicas a moment ago.
int call_check_quarantine(const struct call *k, const void *message, struct err *e) ERR_CHECKED;
int call_crashed(const struct call *k, struct err *e); // fills e and returns its code
void call_free(struct call *k);

// ---- call_decode.c

// The same as decoding it at once, over the following turns; takes over the memory that the body lies in if
// it succeeds. The call has no memory yet. ERR_BUSY, ERR_NOMEM.
int call_decode_later(struct call *k, struct str body, struct err *e) ERR_CHECKED;

// ---- call.c

void call_wait_at_end(struct call *k);  // of its backend's queue
void call_wait_no_more(struct call *k); // leaves it
void call_refuse(struct call *k, const struct err *e);
