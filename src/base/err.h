// SPDX-License-Identifier: Apache-2.0
// Errors: a code that is the same on every wire, a sentence, and for input errors the place and a hint.
// Every function that can fail returns 0 or a negative enum err_code and fills the caller's struct err.
// The table in err.c maps each code to its stable name and its HTTP and gRPC status.
#pragma once

#include <stdbool.h>

enum err_code {
    ERR_OK = 0,
    // What the caller sent.
    ERR_INVALID = -1,         // an argument is wrong in a way no narrower code names
    ERR_BAD_JSON = -2,        // not JSON; msg has the byte offset
    ERR_WRONG_TYPE = -3,      // a value of another JSON type or datatype than expected
    ERR_WRONG_COUNT = -4,     // a row, column or tensor with another number of values than expected
    ERR_OUT_OF_RANGE = -5,    // a number that the input's datatype cannot hold
    ERR_UNKNOWN_FEATURE = -6, // a feature name the model does not have
    ERR_MISSING_FEATURE = -7, // a feature the model needs and the request leaves out or sends as null
    ERR_UNKNOWN_FIELD = -8,   // a field, parameter or setting that is not understood
    ERR_UNKNOWN_OUTPUT = -9,  // a requested output the model does not have
    ERR_DUPLICATE_KEY = -10,  // the same key twice in one JSON object
    ERR_TOO_DEEP = -11,       // nested deeper than the limit
    ERR_TOO_LARGE = -12,      // a body, row count or file over its limit
    ERR_BAD_HTTP = -13,       // not HTTP/1.1 as RFC 9112 demands
    ERR_HEADER_TOO_LARGE = -14,
    ERR_URI_TOO_LONG = -15,
    ERR_LENGTH_REQUIRED = -16,
    ERR_MEDIA_TYPE = -17, // a Content-Type or Content-Encoding that is not served
    ERR_EXPECTATION = -18,
    ERR_HTTP_VERSION = -19,
    ERR_METHOD = -20, // the path exists, the method does not
    ERR_NO_ROUTE = -21,
    ERR_UNKNOWN_MODEL = -22,
    ERR_UNKNOWN_VERSION = -23,
    ERR_NOT_FOUND = -24, // another thing that does not exist
    ERR_CONFLICT = -25,
    ERR_DIGEST = -26,          // bytes do not have the SHA-256 they were announced with
    ERR_REQUEST_TIMEOUT = -27, // the client was too slow to send its request
    // What a model file contains.
    ERR_BAD_MODEL = -28,         // broken: an index, size, count or number is wrong
    ERR_UNSUPPORTED_MODEL = -29, // sound, but of a kind this build does not run; msg names it
    // What we could not do.
    ERR_BUSY = -30,        // over a limit on work; retry after a moment
    ERR_UNAVAILABLE = -31, // a part that is needed is not running; retry
    ERR_NOMEM = -32,
    ERR_IO = -33,
    ERR_NO_SPACE = -34,
    ERR_INTERNAL = -35,         // a bug of ours
    ERR_REFUSED = -36,          // forbidden by policy
    ERR_DEADLINE = -37,         // not answered within the time it may take
    ERR_CRASHED = -38,          // the process that ran the model ended while it computed this request, twice
    ERR_UNKNOWN_CATEGORY = -39, // a category that the model, or its signature, does not have
    ERR_KEY_REUSED = -40,       // an Idempotency-Key that another request had
    ERR_IN_PROGRESS = -41,      // the same request is being worked on
    ERR_READ_ONLY = -42,        // the registry takes no changes until its storage works again
    ERR_NOT_DEPLOYED = -43,     // the version exists, and is not loaded
    ERR_REJECTED = -44,         // a version was tried out and does not do what it should
    ERR_CODE_LIMIT = -45,
};

enum { ERR_MSG_MAX = 320, ERR_PATH_MAX = 128, ERR_HINT_MAX = 160 };

// Filled by the function that fails; on success its content is unspecified. Zero-initialised is "no error".
struct err {
    int code;                // 0 or a negative enum err_code
    char path[ERR_PATH_MAX]; // where in the input, as a JSON path: "$.instances[3].age"; "" where there is
                             // none
    char hint[ERR_HINT_MAX]; // what to do, a full sentence: "Did you mean 'age'?"; "" where none is known
    char msg[ERR_MSG_MAX];   // what is wrong and what was expected; no newline
};

#define ERR_CHECKED __attribute__((warn_unused_result))

// Sets code and message, clears path and hint, returns code, so that "return err_set(e, …)" reads well. e may
// be NULL.
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
// Adds where in the input (JSON path) the error lies; e may be NULL.
void err_at(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// Adds a hint; e may be NULL.
void err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// Prefixes the message on its way up, "load model churn: …"; keeps code, path and hint. Returns e->code.
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// Sets code from errno's value (ENOSPC and EDQUOT become ERR_NO_SPACE, ENOMEM ERR_NOMEM, else ERR_IO) and
// appends its text.
int err_errno(struct err *e, int errno_value, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

// The stable name clients may match on: "unknown_feature".
const char *err_name(int code);
// The HTTP status a code answers with, 400 … 599.
int err_http_status(int code);
// The gRPC status number.
int err_grpc_status(int code);
// Whether the same request may succeed later unchanged.
bool err_retryable(int code);
