// SPDX-License-Identifier: Apache-2.0
// One admin request: found in its process's table of routes, read, answered. What the routes do is in the
// folders of the controller and of the monitor.
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "os/msg.h"
#include "registry/registry.h"
#include "role/outgoing.h"

#include <stdbool.h>
#include <stdint.h>

struct controller;
struct monitor;
struct peer;

enum { REQUEST_ARGS_MAX = 2, REQUEST_ID_MAX = 128, REQUEST_PAGE_DEFAULT = 100 };

enum request_body {
    REQUEST_BODY_NONE,
    REQUEST_BODY_JSON,   // gathered, at most LIMIT_MANIFEST_BYTES
    REQUEST_BODY_STREAM, // handed on as it comes
};

struct request {
    struct peer *peer;
    union { // whose it is
        void *owner;
        struct controller *c;
        struct monitor *m;
    };
    const struct request_route *route;
    struct str args[REQUEST_ARGS_MAX]; // the path's variable segments, decoded
    struct str query;                  // still encoded
    bool is_head;                      // answered without a body
    bool takes_lines;                  // the caller wants to see what happens as lines of JSON
    char request_id[REQUEST_ID_MAX];
    char *path; // owned; args and query point into it
    struct buf body;
    bool body_done, is_answered, is_over; // is_over: abandoned or wholly sent
    struct buf out;                       // of the answer
    struct buf lines;                     // that go before the answer
    struct outgoing out_sent, lines_sent; // of them; both are empty when all is
    bool has_lines;                       // lines went out already; the answer will be the last one
    bool has_length;                      // the answer's length is known, so that it need not be gathered
    uint64_t length;
    // Appends more of a long answer to out: 1, 0 at its end, -1 when it cannot be completed, which the caller
    // sees as a connection that breaks off. NULL when out is all there is.
    int (*refill)(struct request *r);
    char reason[LIMIT_REASON_BYTES + 1];   // request_reason's
    struct registry_once once;             // key is empty without an Idempotency-Key; texts in once_text
    char *once_text;                       // owned
    bool is_once;                          // its work has begun under its key
    void (*on_drained)(struct request *r); // all lines have been given to the caller; NULL: nobody cares
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
// Sends a line of JSON before the answer, when the caller takes lines: the status is 200 from then on, and
// what request_answer or request_fail say is the last line. The request may be gone after this.
void request_line(struct request *r, struct str json);
// Why, in the words of who asks: kept for the audit.
void request_reason(struct request *r, struct str reason);

// A query parameter; what is not given stays as it is.
struct request_param {
    const char *name;
    bool *flag;       // true or false; or
    uint64_t *number; // up to max; or
    uint64_t max;
    char *text; // (size) with NUL
    size_t size;
};
// Reads the query by its table. ERR_UNKNOWN_FIELD (hint: the nearest name), ERR_DUPLICATE_KEY, ERR_INVALID,
// ERR_TOO_LARGE.
int request_params(const struct request *r, const struct request_param *params, size_t n,
                   struct err *e) ERR_CHECKED;

// The part of a list that is asked for: limit=50&after=120, and more parameters of the route's own.
struct request_page {
    uint64_t limit, after; // after: what "next" of the page before said; 0: from the start
};
int request_page(const struct request *r, struct request_page *ret, const struct request_param *more,
                 size_t n_more, struct err *e) ERR_CHECKED;
