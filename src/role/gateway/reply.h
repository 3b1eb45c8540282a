// SPDX-License-Identifier: Apache-2.0
// Answers: status line, headers, body. Replies keep the order of requests: gathered predictions are answered
// first.
#pragma once

#include "role/gateway/conn.h"

// Answers with a body of any type. req NULL: the request could not be read.
void reply(struct conn *c, const struct http1_request *req, int status, struct str content_type,
           struct str body);
enum { REPLY_CHUNKED = -1 };
// The head of an answer whose body, of `length` bytes, follows through conn_send; then conn_answered. With
// length REPLY_CHUNKED the body comes in chunks (reply_chunk), the last one empty.
void reply_begin(struct conn *c, const struct http1_request *req, int status, struct str content_type,
                 uint64_t length);
void reply_chunk(struct conn *c, struct str bytes);
// Answers with the error body of the JSON protocols and the status of its code.
void reply_error(struct conn *c, const struct http1_request *req, const struct err *e);

// What stands in a prediction's head.
struct reply_prediction {
    struct str version, prediction_id, request_id;
    bool close, keep_alive; // whether the answer says so
    uint32_t n_warnings;    // values that break a rule of the signature and were taken
    struct str arm;         // of the rollout that it is part of; empty: none
    bool is_committed;      // its record is durable when the answer goes out (journal.h)
    struct str token;       // of feedback (token.h); empty: none
};
// An HTTP/1.0 client keeps the connection only when the answer says so too.
bool reply_keeps_alive(const struct http1_request *req);
// Begins a prediction's answer in `out`: the head with room for the length. reply_prediction_end fills that
// in when the body has been appended. *ret_body: where the body begins in out.
void reply_prediction_begin(struct gateway *g, const struct reply_prediction *p, struct buf *out,
                            size_t *ret_body);
void reply_prediction_end(struct buf *out, size_t body);
