// SPDX-License-Identifier: Apache-2.0
// One HTTP POST at a time to somebody else's server, for a process with a loop: traces to a collector, alerts
// to a receiver. A connection of its own for each. No TLS, no redirects; the answer's body is not read.
#pragma once

#include "base/buf.h"
#include "os/loop.h"

#include <stdbool.h>
#include <sys/socket.h>

enum { HTTP_POST_HOST_BYTES = 256, HTTP_POST_PATH_BYTES = 1024, HTTP_POST_ANSWER_BYTES = 4096 };

// Where to: "http://127.0.0.1:4318/v1/traces". The host is an address or localhost: asking a resolver would
// block the process.
struct http_post_url {
    struct sockaddr_storage address;
    socklen_t address_bytes;
    char host[HTTP_POST_HOST_BYTES], path[HTTP_POST_PATH_BYTES];
};

// `path` is used where the text has none. ERR_INVALID with what was expected.
int http_post_url_parse(struct str text, const char *path, struct http_post_url *ret,
                        struct err *e) ERR_CHECKED;

struct http_post {
    struct loop *loop;
    uint64_t timeout_ms;
    // Called once for each that was begun, from the loop; status 0: no answer, and why. Another may be begun.
    void (*on_done)(struct http_post *p, int status, const struct err *why);
    // private
    bool is_busy;
    struct watch socket;
    struct timer due;
    struct buf out;
    size_t sent, got;
    char answer[HTTP_POST_ANSWER_BYTES];
};

void http_post_init(struct http_post *p, struct loop *l, uint64_t timeout_ms, size_t body_max);
void http_post_done(struct http_post *p); // drops what is under way, without on_done
// Begins; asserts that none is under way. `headers`: lines that end in CRLF, or "". The body is copied.
// ERR_NOMEM, ERR_UNAVAILABLE, ERR_IO: on_done is then not called.
int http_post_begin(struct http_post *p, const struct http_post_url *to, const char *headers, struct str body,
                    struct err *e) ERR_CHECKED;
