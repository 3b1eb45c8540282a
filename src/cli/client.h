// SPDX-License-Identifier: Apache-2.0
// The blocking HTTP client of the verbs: one connection, kept alive, opened when first needed. What the
// server says when it refuses becomes a struct err with its message, place and hint.
#pragma once

#include "base/err.h"
#include "cli/args.h"
#include "cli/reader.h"

#include <stdint.h>
#include <yyjson.h>

struct client {
    char url[300]; // "http://127.0.0.1:8080", without a slash at its end
    char host[256], port[6];
    int fd; // -1: not connected
    uint64_t timeout_ms;
    bool used; // the connection carried a request already: the server may have closed it since
    struct reader reader;
};

// Body of a request that is read while it is sent.
struct client_upload {
    int fd;        // at its start
    uint64_t size; // bytes
    void (*on_sent)(void *ctx, uint64_t bytes);
    void *ctx;
};

struct client_request {
    const char *method; // "GET"
    const char *path;   // begins with '/', already encoded
    const char *content_type;
    const char *idempotency_key; // NULL: none
    const char *accept;          // NULL: application/json
    struct str body;
    const struct client_upload *upload; // in place of body; NULL: none
    uint64_t timeout_ms;                // of the answer; 0: the client's
};

// Reads --url, SLIPWAY_URL and --timeout; does not connect. ERR_INVALID for a URL that is not
// http://HOST[:PORT].
int client_init(struct client *c, const struct args *a, struct err *e) ERR_CHECKED;
int client_init_url(struct client *c, const char *url, uint64_t timeout_ms, struct err *e) ERR_CHECKED;
void client_done(struct client *c);

// A new connection, blocking, with the client's timeouts set; the caller closes it. ERR_UNAVAILABLE with how
// to start the server when nothing answers.
int client_connect(const struct client *c, int *ret_fd, struct err *e) ERR_CHECKED;
// The message for a server that is not there.
int client_unreachable(const struct client *c, int errno_value, struct err *e);

// Sends a request and waits for its answer, whatever its status. ERR_UNAVAILABLE, ERR_REQUEST_TIMEOUT,
// ERR_BAD_HTTP, ERR_IO.
int client_call(struct client *c, const struct client_request *q, struct reply *ret,
                struct err *e) ERR_CHECKED;
// Gets a body that may be of any size, piece by piece. ERR_NOT_FOUND and others, made by client_refusal; what
// the sink returns; as client_call. After a failure the sink may have had a part of it.
int client_download(struct client *c, const char *path,
                    int (*sink)(void *ctx, const char *p, size_t n, struct err *e), void *ctx,
                    struct err *e) ERR_CHECKED;
// As client_call, for a JSON answer with a status below 300; another status is an error, made by
// client_refusal. *ret is freed by the caller with yyjson_doc_free; NULL when the answer is empty.
int client_json(struct client *c, const struct client_request *q, yyjson_doc **ret,
                struct err *e) ERR_CHECKED;
// As client_json, but that *ret is also the object of a refusal, where there is one: freed by the caller in
// any case.
int client_ask(struct client *c, const struct client_request *q, yyjson_doc **ret, struct err *e) ERR_CHECKED;
// Makes an error of a refusing answer: code by its name or status, message, path, hint.
int client_refusal(const struct reply *r, struct err *e);

// Appends a path segment, percent-encoded.
void client_put_segment(struct str segment, struct buf *out);
// The path's text with a NUL: "/api/v1/models/churn/versions/3". Segments are encoded, fixed parts are not:
// client_path(b, "/api/v1/models/", model, "/versions/", version, NULL). Borrowed from b; "" without memory.
const char *client_path(struct buf *b, ...) __attribute__((sentinel));
