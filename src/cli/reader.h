// SPDX-License-Identifier: Apache-2.0
// Responses out of the bytes of one connection, as they arrive: head, then a body by length, in chunks or
// until the end. No I/O: both the blocking client and the pipelined one of `predict` feed it.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "wire/http1.h"

struct reader {
    struct buf in;   // bytes received and not yet consumed; append to it
    struct buf body; // of the response being read
    struct http1_response head;
    struct http1_chunked chunked;
    uint64_t left; // bytes of the body still to come; UINT64_MAX: until the end
    char model_version[32];
    bool in_body, taken;
    // Takes the bodies of answers with status 200 as they come, in place of `body`; NULL: none. What it
    // returns but 0 ends the reading.
    int (*sink)(void *ctx, const char *p, size_t n, struct err *e);
    void *sink_ctx;
};

struct reply {
    int status;
    bool keep_alive;
    struct str body;           // borrowed until the next call on the reader
    const char *model_version; // "" when the server named none
};

void reader_init(struct reader *r);
void reader_done(struct reader *r);
// Forgets everything received: a new connection begins.
void reader_reset(struct reader *r);
// Takes the next whole response. `end`: nothing more will come. `no_body`: it answers a HEAD request.
// 1 taken, 0 more bytes are needed; ERR_BAD_HTTP, ERR_TOO_LARGE, ERR_UNAVAILABLE when the connection ended
// inside a response or before one, ERR_NOMEM. Interim answers (1xx) are passed over.
int reader_take(struct reader *r, bool end, bool no_body, struct reply *ret, struct err *e) ERR_CHECKED;
