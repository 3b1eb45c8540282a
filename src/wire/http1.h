// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 requests and responses: bytes <-> structs (RFC 9112), pure functions without state or I/O.
// Strict where leniency means request smuggling: one way to give a body's length, no bare LF, no spaces
// before colons, no obs-fold, no repeated Content-Length, Host required once.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS,
    HTTP_OTHER
};
enum http_coding { HTTP_CODING_NONE, HTTP_CODING_GZIP, HTTP_CODING_ZSTD, HTTP_CODING_UNKNOWN };

// All slices point into the parsed bytes.
struct http1_request {
    enum http_method method;
    struct str path, query; // of the target, still percent-encoded; query without '?'
    int minor_version;      // 0 or 1
    bool keep_alive;
    bool expect_continue;
    bool chunked;            // else content_length says the body's size
    uint64_t content_length; // bytes; 0 without a body
    struct str length_text;  // its digits as they stand in the head; empty when absent
    enum http_coding content_encoding;
    struct str content_type, accept, accept_encoding, authorization, host, user_agent, traceparent,
        request_id;                     // empty when absent
    struct str origin;                  // set by browsers
    struct str inference_header_length; // Inference-Header-Content-Length
    struct str idempotency_key;         // empty when absent
    struct str arm;                     // Slipway-Arm; without bytes to point to when absent
    uint64_t timeout_ms;                // Slipway-Timeout-Ms; 0 when absent
    size_t head_bytes;                  // bytes up to and with the empty line
    struct str fields;                  // the field lines and the empty line, for http1_field_find
};

// Parses one request head at the start of p. Returns 1 when ret is filled, 0 when more bytes are needed, or
// an error: ERR_BAD_HTTP, ERR_HEADER_TOO_LARGE, ERR_URI_TOO_LONG, ERR_HTTP_VERSION, ERR_EXPECTATION: answer
// it, then close.
int http1_request_parse(const char *p, size_t n, struct http1_request *ret, struct err *e) ERR_CHECKED;

// The value of the first field of this name, which is compared as names are; false when there is none.
bool http1_field_find(const struct http1_request *r, struct str name, struct str *ret);

// A chunked body, decoded as bytes arrive. Zero-initialise; keep between calls.
struct http1_chunked {
    uint64_t left; // bytes left of the current chunk
    uint8_t state;
    uint16_t line_bytes;
};
// Consumes up to n bytes at p and moves the payload to its front (in place). *ret_used: bytes consumed,
// *ret_payload: payload bytes now at p. Returns 1 at the end of the body, 0 for more, or ERR_BAD_HTTP /
// ERR_HEADER_TOO_LARGE.
int http1_chunked_decode(struct http1_chunked *c, char *p, size_t n, size_t *ret_used, size_t *ret_payload,
                         struct err *e) ERR_CHECKED;

struct http1_response { // parsed by clients (src/cli)
    int status;
    bool keep_alive, chunked;
    uint64_t content_length; // UINT64_MAX when absent and not chunked: until close
    struct str content_type, model_version, prediction_id, request_id;
    size_t head_bytes;
};
// As http1_request_parse, for a response head.
int http1_response_parse(const char *p, size_t n, struct http1_response *ret, struct err *e) ERR_CHECKED;

const char *http_status_reason(int status); // "Not Found"; "Unknown" for others
const char *http_method_name(enum http_method m);
