// SPDX-License-Identifier: Apache-2.0
// The error table and the few functions that fill a struct err. Texts for users are written where the error
// is found.
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct err_row {
    const char *name;
    short http, grpc;
    bool retryable;
};

// gRPC: 3 INVALID_ARGUMENT, 4 DEADLINE_EXCEEDED, 5 NOT_FOUND, 7 PERMISSION_DENIED, 8 RESOURCE_EXHAUSTED,
// 9 FAILED_PRECONDITION, 10 ABORTED, 12 UNIMPLEMENTED, 13 INTERNAL, 14 UNAVAILABLE.
static const struct err_row TABLE[] = {
    [-ERR_OK] = {"ok", 200, 0, false},
    [-ERR_INVALID] = {"invalid_argument", 400, 3, false},
    [-ERR_BAD_JSON] = {"bad_json", 400, 3, false},
    [-ERR_WRONG_TYPE] = {"wrong_type", 400, 3, false},
    [-ERR_WRONG_COUNT] = {"wrong_count", 400, 3, false},
    [-ERR_OUT_OF_RANGE] = {"out_of_range", 400, 3, false},
    [-ERR_UNKNOWN_FEATURE] = {"unknown_feature", 400, 3, false},
    [-ERR_MISSING_FEATURE] = {"missing_feature", 400, 3, false},
    [-ERR_UNKNOWN_FIELD] = {"unknown_field", 400, 3, false},
    [-ERR_UNKNOWN_OUTPUT] = {"unknown_output", 400, 3, false},
    [-ERR_DUPLICATE_KEY] = {"duplicate_key", 400, 3, false},
    [-ERR_TOO_DEEP] = {"too_deep", 400, 3, false},
    [-ERR_TOO_LARGE] = {"too_large", 413, 8, false},
    [-ERR_BAD_HTTP] = {"bad_http", 400, 3, false},
    [-ERR_HEADER_TOO_LARGE] = {"header_too_large", 431, 8, false},
    [-ERR_URI_TOO_LONG] = {"uri_too_long", 414, 3, false},
    [-ERR_LENGTH_REQUIRED] = {"length_required", 411, 3, false},
    [-ERR_MEDIA_TYPE] = {"unsupported_media_type", 415, 3, false},
    [-ERR_EXPECTATION] = {"expectation_failed", 417, 3, false},
    [-ERR_HTTP_VERSION] = {"http_version_not_supported", 505, 12, false},
    [-ERR_METHOD] = {"method_not_allowed", 405, 12, false},
    [-ERR_NO_ROUTE] = {"no_such_route", 404, 12, false},
    [-ERR_UNKNOWN_MODEL] = {"unknown_model", 404, 5, false},
    [-ERR_UNKNOWN_VERSION] = {"unknown_version", 404, 5, false},
    [-ERR_NOT_FOUND] = {"not_found", 404, 5, false},
    [-ERR_CONFLICT] = {"conflict", 409, 9, false},
    [-ERR_DIGEST] = {"digest_mismatch", 400, 3, false},
    [-ERR_REQUEST_TIMEOUT] = {"request_timeout", 408, 4, true},
    [-ERR_BAD_MODEL] = {"bad_model", 422, 3, false},
    [-ERR_UNSUPPORTED_MODEL] = {"unsupported_model", 422, 12, false},
    [-ERR_BUSY] = {"busy", 429, 8, true},
    [-ERR_UNAVAILABLE] = {"unavailable", 503, 14, true},
    [-ERR_NOMEM] = {"out_of_memory", 503, 8, true},
    [-ERR_IO] = {"io_error", 500, 13, true},
    [-ERR_NO_SPACE] = {"no_space", 507, 8, true},
    [-ERR_INTERNAL] = {"internal", 500, 13, false},
    [-ERR_REFUSED] = {"refused", 403, 7, false},
    [-ERR_DEADLINE] = {"deadline_exceeded", 504, 4, true},
    [-ERR_CRASHED] = {"model_crashed", 500, 13, false},
    [-ERR_UNKNOWN_CATEGORY] = {"unknown_category", 400, 3, false},
    [-ERR_KEY_REUSED] = {"idempotency_key_reused", 422, 3, false},
    [-ERR_IN_PROGRESS] = {"idempotency_in_progress", 409, 10, true},
    [-ERR_READ_ONLY] = {"registry_read_only", 503, 14, true},
    [-ERR_NOT_DEPLOYED] = {"version_not_deployed", 503, 14, true},
    [-ERR_REJECTED] = {"rejected", 422, 9, false},
};
_Static_assert(sizeof TABLE / sizeof TABLE[0] == -ERR_CODE_LIMIT, "every error code has its row");

static const struct err_row *row_of(int code)
{
    return code <= 0 && code > ERR_CODE_LIMIT ? &TABLE[-code] : &TABLE[-ERR_INTERNAL];
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    if (!e)
        return code;
    e->code = code;
    e->path[0] = e->hint[0] = '\0';
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    return code;
}

void err_at(struct err *e, const char *fmt, ...)
{
    if (!e)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->path, sizeof e->path, fmt, ap);
    va_end(ap);
}

void err_hint(struct err *e, const char *fmt, ...)
{
    if (!e)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->hint, sizeof e->hint, fmt, ap);
    va_end(ap);
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    if (!e)
        return ERR_INTERNAL;
    char inner[ERR_MSG_MAX];
    memcpy(inner, e->msg, sizeof inner);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof e->msg - 2) {
        size_t at = (size_t)n;
        memcpy(e->msg + at, ": ", 2);
        size_t room = sizeof e->msg - at - 3, len = strnlen(inner, sizeof inner);
        len = len < room ? len : room;
        memcpy(e->msg + at + 2, inner, len);
        e->msg[at + 2 + len] = '\0';
    }
    return e->code;
}

int err_errno(struct err *e, int errno_value, const char *fmt, ...)
{
    int code = errno_value == ENOSPC || errno_value == EDQUOT ? ERR_NO_SPACE
               : errno_value == ENOMEM                        ? ERR_NOMEM
                                                              : ERR_IO;
    if (!e)
        return code;
    err_set(e, code, "%s", strerrordesc_np(errno_value) ? strerrordesc_np(errno_value) : "unknown error");
    char what[ERR_MSG_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return err_wrap(e, "%s", what);
}

const char *err_name(int code)
{
    return row_of(code)->name;
}

int err_http_status(int code)
{
    return row_of(code)->http;
}

int err_grpc_status(int code)
{
    return row_of(code)->grpc;
}

bool err_retryable(int code)
{
    return row_of(code)->retryable;
}
