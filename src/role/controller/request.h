// SPDX-License-Identifier: Apache-2.0
// One admin request: found in the table of routes (request.c), read, answered. What the routes do is in
// blobs.c, models.c and versions.c.
#pragma once

#include "base/buf.h"
#include "role/controller/controller.h"

enum { REQUEST_ARGS_MAX = 2, REQUEST_ID_MAX = 128 };

enum request_body {
    REQUEST_BODY_NONE,
    REQUEST_BODY_JSON,   // gathered, at most LIMIT_MANIFEST_BYTES
    REQUEST_BODY_STREAM, // handed on as it comes
};

struct request {
    struct peer *peer;
    struct controller *c;
    const struct request_route *route;
    struct str args[REQUEST_ARGS_MAX]; // the path's variable segments, decoded
    struct str query;                  // still encoded
    bool is_head;                      // answered without a body
    char request_id[REQUEST_ID_MAX];
    char *path; // owned; args and query point into it
    struct buf body;
    bool body_done, is_answered, is_over; // is_over: abandoned or wholly sent
    struct buf out;                       // of the answer, not yet sent
    bool has_length;                      // the answer's length is known, so that it need not be gathered
    uint64_t length;
    // Appends more of a long answer to out: 1, 0 at its end, -1 when it cannot be completed, which the caller
    // sees as a connection that breaks off. NULL when out is all there is.
    int (*refill)(struct request *r);
    void *state;                           // of the route
    void (*state_free)(struct request *r); // also stops what works for it
};

// A row of the table of routes. Handlers return 0 when they have answered or will, or a negative code that
// is then answered with e. After they have answered they do not touch the request any more.
struct request_route {
    const char *method, *pattern; // {} takes one segment
    enum request_body body;
    int (*start)(struct request *r, struct err *e);                  // STREAM: before the first byte
    int (*take)(struct request *r, struct str bytes, struct err *e); // STREAM: bytes of the body
    int (*handle)(struct request *r, struct err *e);                 // the body is whole
};

// For peer.c.
int request_start(struct peer *p, struct str payload, struct err *e) ERR_CHECKED;
int request_message(struct request *r, const struct msg *m, struct err *e) ERR_CHECKED;
void request_pump(struct request *r);    // sends more of the answer
void request_abandon(struct request *r); // the caller has gone
void request_free(struct request *r);    // NULL is fine

// Answers with what out holds, as JSON or, with another content type, as that.
void request_answer(struct request *r, int status, const char *content_type);
void request_fail(struct request *r, const struct err *e);
// The same with more members of the error object: "\"changes\":{…}".
void request_fail_with(struct request *r, const struct err *e, struct str members);
// Who asks, for the audit.
struct registry_cause request_cause(const struct request *r);
// The boolean query parameter `name`, the only one allowed. ERR_UNKNOWN_FIELD, ERR_INVALID.
int request_flag(const struct request *r, const char *name, bool *ret, struct err *e) ERR_CHECKED;

int blob_put_start(struct request *r, struct err *e);
int blob_put_take(struct request *r, struct str bytes, struct err *e);
int blob_put(struct request *r, struct err *e);
int blob_get(struct request *r, struct err *e);
int models_list(struct request *r, struct err *e);
int model_show(struct request *r, struct err *e);
int model_delete(struct request *r, struct err *e);
int version_show(struct request *r, struct err *e);
int version_delete(struct request *r, struct err *e);
int version_create(struct request *r, struct err *e);
int alias_put(struct request *r, struct err *e);
int upgrade_start(struct request *r, struct err *e);
int status_show(struct request *r, struct err *e);
