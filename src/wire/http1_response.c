// SPDX-License-Identifier: Apache-2.0
// Heads of HTTP/1.1 responses, as our own clients read them, and the reasons of status codes. Not on the
// predict path: plainer than the request parser, and as strict.
#include "wire/http1_head.h"

// "HTTP/1.1 200 OK\r\n"; the reason may be empty and so may the space before it.
static int status_line_take(const char *p, const char *end, struct http1_response *r, int *ret_minor,
                            struct err *e)
{
    static const char shape[] = "HTTP/1.d ddd";
    for (size_t i = 0; i < sizeof shape - 1; i++) {
        if (p + i == end)
            return 0;
        if (shape[i] == 'd' ? p[i] < '0' || p[i] > '9' : p[i] != shape[i])
            return err_set(e, ERR_BAD_HTTP, "the answer is not HTTP/1.1");
    }
    *ret_minor = p[7] - '0';
    r->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    if (r->status < 100 || *ret_minor > 1)
        return err_set(e, ERR_BAD_HTTP, "the answer is not HTTP/1.1");
    const char *stop = http1_value_end(p + 12, end);
    if (end - stop < 2)
        return stop == end || *stop == '\r' ? 0 : err_set(e, ERR_BAD_HTTP, "bad status line");
    if (stop[0] != '\r' || stop[1] != '\n' || (stop > p + 12 && p[12] != ' '))
        return err_set(e, ERR_BAD_HTTP, "bad status line");
    return (int)(stop + 2 - p);
}

static int first(struct str *field, struct str value)
{
    if (!field->p)
        *field = value;
    return 0;
}

static int response_field(struct http1_response *r, struct http1_framing *f, struct str name,
                          struct str value, struct err *e)
{
    if (str_eq_nocase(name, STR("content-length")))
        return http1_content_length_take(f, value, e);
    if (str_eq_nocase(name, STR("transfer-encoding")))
        return http1_transfer_encoding_take(f, value, e);
    if (str_eq_nocase(name, STR("connection")))
        return http1_connection_take(f, value);
    if (str_eq_nocase(name, STR("content-type")))
        return first(&r->content_type, value);
    if (str_eq_nocase(name, STR("x-request-id")))
        return first(&r->request_id, value);
    if (str_eq_nocase(name, STR("slipway-model-version")))
        return first(&r->model_version, value);
    if (str_eq_nocase(name, STR("slipway-prediction-id")))
        return first(&r->prediction_id, value);
    return http1_name_check(name, e);
}

int http1_response_parse(const char *p, size_t n, struct http1_response *ret, struct err *e)
{
    struct http1_framing framing = {0};
    const char *start = p, *end = p + (n < LIMIT_HTTP_HEAD_BYTES ? n : LIMIT_HTTP_HEAD_BYTES);
    int minor = 0;
    *ret = (struct http1_response){0};
    int used = status_line_take(p, end, ret, &minor, e);
    if (used <= 0)
        return used < 0 ? used : http1_more_or_too_large(n, e);
    p += used;
    struct str name = {0}, value = {0};
    int rc, n_fields = 0;
    while ((rc = http1_field_take(&p, end, n, &n_fields, &name, &value, e)) == 1) {
        rc = response_field(ret, &framing, name, value, e);
        if (rc)
            return rc;
    }
    if (rc != HTTP1_FIELDS_END)
        return rc;
    if (framing.chunked && framing.length_seen)
        return err_set(e, ERR_BAD_HTTP, "Transfer-Encoding with Content-Length");
    bool bodyless = ret->status < 200 || ret->status == 204 || ret->status == 304;
    ret->chunked = framing.chunked && !bodyless;
    ret->content_length = bodyless || framing.chunked ? 0
                          : framing.length_seen       ? framing.content_length
                                                      : UINT64_MAX;
    ret->keep_alive = http1_stays(&framing, minor) && ret->content_length != UINT64_MAX;
    ret->head_bytes = (size_t)(p - start);
    return 1;
}

const char *http_status_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {100, "Continue"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}
