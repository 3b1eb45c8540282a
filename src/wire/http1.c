// SPDX-License-Identifier: Apache-2.0
// Heads of HTTP/1.1 requests: one pass over the bytes, no allocation, no state.
// A field's name is recognised by its length and a comparison of whole words, so that only unknown names are
// checked byte by byte; values and targets are checked 16 bytes at a time where SSE2 is there. Responses
// are http1_response.c, chunked bodies http1_chunked.c, percent-encoding url.c.
#include "wire/http1_head.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

// What may stand where: a token (field names, methods), a request target, an authority (Host).
enum { T = 1, U = 2, H = 4 };
static const uint8_t char_class[256] = {
    ['!'] = T | U | H, ['#'] = T,         ['$'] = T | U | H,
    ['%'] = T | U | H, ['&'] = T | U | H, ['\''] = T | U | H,
    ['('] = U | H,     [')'] = U | H,     ['*'] = T | U | H,
    ['+'] = T | U | H, [','] = U | H,     ['-'] = T | U | H,
    ['.'] = T | U | H, ['/'] = U,         ['0' ... '9'] = T | U | H,
    [':'] = U | H,     [';'] = U | H,     ['='] = U | H,
    ['?'] = U,         ['@'] = U,         ['A' ... 'Z'] = T | U | H,
    ['['] = U | H,     [']'] = U | H,     ['^'] = T | U,
    ['_'] = T | U | H, ['`'] = T | U,     ['a' ... 'z'] = T | U | H,
    ['{'] = U,         ['|'] = T | U,     ['}'] = U,
    ['~'] = T | U | H,
};

static inline bool is_class(char c, unsigned mask)
{
    return char_class[(unsigned char)c] & mask;
}

static bool all_class(struct str s, unsigned mask)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_class(s.p[i], mask))
            return false;
    return true;
}

static inline bool is_value(char c) // VCHAR, obs-text, SP, HTAB
{
    return ((unsigned char)c >= 0x20 && c != 0x7f) || c == '\t';
}

// ---- scanning: each returns the first byte that does not belong, or end

static inline const char *value_end(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
        __m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
        __m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
        int stop = _mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, control), del));
        if (stop)
            return p + __builtin_ctz((unsigned)stop);
    }
#endif
    while (p < end && is_value(*p))
        p++;
    return p;
}

static inline const char *target_end(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        // Signed: 0x80 and above are below '!' too.
        __m128i bad = _mm_cmplt_epi8(v, _mm_set1_epi8('!'));
        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(_mm_or_si128(v, _mm_set1_epi8(1)), _mm_set1_epi8('#'))); // " #
        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(_mm_or_si128(v, _mm_set1_epi8(2)), _mm_set1_epi8('>'))); // < >
        int stop = _mm_movemask_epi8(bad);
        if (stop)
            return p + __builtin_ctz((unsigned)stop);
    }
#endif
    while (p < end && is_class(*p, U))
        p++;
    return p;
}

static inline const char *colon_find(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        int at = _mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(':')));
        if (at)
            return p + __builtin_ctz((unsigned)at);
    }
#endif
    while (p < end && *p != ':')
        p++;
    return p;
}

// ---- names: equal but for the case of letters, a word at a time

static inline bool word8_is(const char *p, const char *want)
{
    uint64_t have, w;
    memcpy(&have, p, 8);
    memcpy(&w, want, 8);
    // Of what field names are made of only letters have bit 0x40: only they are folded, so '\r' is not '-'.
    return (have | (w & 0x4040404040404040U) >> 1) == w;
}

static inline bool word4_is(const char *p, const char *want)
{
    uint32_t have, w;
    memcpy(&have, p, 4);
    memcpy(&w, want, 4);
    return (have | (w & 0x40404040U) >> 1) == w;
}

// want: lower-case letters, digits and '-', n >= 4 bytes, as long as p's. The last word overlaps.
static inline __attribute__((always_inline)) bool name_is(const char *p, const char *want, size_t n)
{
    if (n < 8)
        return word4_is(p, want) && word4_is(p + n - 4, want + n - 4);
    for (size_t i = 0; i + 8 <= n; i += 8)
        if (!word8_is(p + i, want + i))
            return false;
    return word8_is(p + n - 8, want + n - 8);
}

#define NAME_IS(s, literal)  name_is((s).p, literal, sizeof(literal) - 1) // lengths are equal
#define VALUE_IS(s, literal) ((s).n == sizeof(literal) - 1 && NAME_IS(s, literal))

// ---- one field line

static inline __attribute__((always_inline)) enum http1_field field_next(const char **pp, const char *end,
                                                                         struct str *name, struct str *value)
{
    const char *p = *pp;
    if (p == end)
        return FIELD_MORE;
    if (*p == '\r') {
        *pp = p + 1;
        if (end - p < 2)
            return FIELD_MORE;
        *pp = p + 2;
        return p[1] == '\n' ? FIELD_LAST : FIELD_BAD;
    }
    const char *colon = colon_find(p, end);
    *name = (struct str){p, (size_t)(colon - p)};
    if (colon == end)
        return all_class(*name, T) ? FIELD_MORE : FIELD_BAD;
    const char *v = colon + 1;
    while (v < end && (*v == ' ' || *v == '\t'))
        v++;
    const char *stop = value_end(v, end);
    if (end - stop < 2)
        return (stop == end || *stop == '\r') && all_class(*name, T) ? FIELD_MORE : FIELD_BAD;
    if (stop[0] != '\r' || stop[1] != '\n')
        return FIELD_BAD;
    *pp = stop + 2;
    while (stop > v && (stop[-1] == ' ' || stop[-1] == '\t'))
        stop--;
    *value = (struct str){v, (size_t)(stop - v)};
    return FIELD_ONE;
}

enum http1_field http1_field_next(const char **pp, const char *end, struct str *name, struct str *value)
{
    return field_next(pp, end, name, value);
}

const char *http1_value_end(const char *p, const char *end)
{
    return value_end(p, end);
}

int http1_field_explain(const char *p, const char *end, struct err *e)
{
    if (*p == ' ' || *p == '\t')
        return err_set(e, ERR_BAD_HTTP, "header field continued on a second line (obsolete folding)");
    const char *c = p;
    while (c < end && is_class(*c, T))
        c++;
    if (c == end || *c == '\r' || *c == '\n')
        return err_set(e, ERR_BAD_HTTP, "header line without a colon, or a line not ended by CR LF");
    if (c == p || *c != ':') {
        if (*c == ' ' || *c == '\t')
            return err_set(e, ERR_BAD_HTTP, "space in or after header field name '" STR_FMT "'",
                           (int)(c - p < 64 ? c - p : 64), p);
        return err_set(e, ERR_BAD_HTTP, "byte 0x%02x in a header field name", (unsigned char)*c);
    }
    const char *v = value_end(c + 1, end);
    if (v < end && *v != '\n' && *v != '\r')
        return err_set(e, ERR_BAD_HTTP, "byte 0x%02x in the value of header field '" STR_FMT "'",
                       (unsigned char)*v, (int)(c - p < 64 ? c - p : 64), p);
    return err_set(e, ERR_BAD_HTTP, "bare CR or LF in a header field");
}

int http1_name_check(struct str name, struct err *e)
{
    if (name.n && all_class(name, T))
        return 0;
    return http1_field_explain(name.p, name.p + name.n + 1, e);
}

int http1_more_or_too_large(size_t n, struct err *e)
{
    if (n < LIMIT_HTTP_HEAD_BYTES)
        return 0;
    return err_set(e, ERR_HEADER_TOO_LARGE, "request line and header fields over %d bytes",
                   LIMIT_HTTP_HEAD_BYTES);
}

static inline __attribute__((always_inline)) int field_take(const char **pp, const char *end, size_t n,
                                                            int *n_fields, struct str *name,
                                                            struct str *value, struct err *e)
{
    const char *line = *pp;
    enum http1_field f = field_next(pp, end, name, value);
    if (f == FIELD_LAST)
        return HTTP1_FIELDS_END;
    if (f == FIELD_MORE)
        return http1_more_or_too_large(n, e);
    if (f == FIELD_BAD)
        return http1_field_explain(line, end, e);
    if ((*n_fields)++ == LIMIT_HTTP_HEADERS)
        return err_set(e, ERR_HEADER_TOO_LARGE, "more than %d header fields", LIMIT_HTTP_HEADERS);
    return 1;
}

int http1_field_take(const char **pp, const char *end, size_t n, int *n_fields, struct str *name,
                     struct str *value, struct err *e)
{
    return field_take(pp, end, n, n_fields, name, value, e);
}

// ---- what both heads share: how long the body is and whether the connection http1_stays

int http1_content_length_take(struct http1_framing *f, struct str value, struct err *e)
{
    if (f->length_seen)
        return err_set(e, ERR_BAD_HTTP, "Content-Length given twice");
    f->length_seen = true;
    f->length_text = value;
    if (!str_to_u64(value, INT64_MAX, &f->content_length))
        return err_set(e, ERR_BAD_HTTP, "Content-Length is not one decimal number");
    return 0;
}

int http1_transfer_encoding_take(struct http1_framing *f, struct str value, struct err *e)
{
    if (f->chunked)
        return err_set(e, ERR_BAD_HTTP, "Transfer-Encoding given twice");
    if (!VALUE_IS(value, "chunked"))
        return err_set(e, ERR_BAD_HTTP, "Transfer-Encoding other than 'chunked'");
    f->chunked = true;
    return 0;
}

int http1_connection_take(struct http1_framing *f, struct str value)
{
    while (value.n) {
        struct str token = str_trim(str_split(&value, ','));
        if (VALUE_IS(token, "close"))
            f->close = true;
        else if (VALUE_IS(token, "keep-alive"))
            f->keep_alive = true;
    }
    return 0;
}

bool http1_stays(const struct http1_framing *f, int minor_version)
{
    return !f->close && (minor_version == 1 || f->keep_alive);
}

// ---- the request line

static const struct {
    const char *name;
    enum http_method method;
} methods[] = {
    {"GET", HTTP_GET},       {"HEAD", HTTP_HEAD},   {"POST", HTTP_POST},       {"PUT", HTTP_PUT},
    {"DELETE", HTTP_DELETE}, {"PATCH", HTTP_PATCH}, {"OPTIONS", HTTP_OPTIONS},
};

enum { METHOD_BYTES = 32, VERSION_BYTES = 10 }; // VERSION_BYTES: "HTTP/1.1\r\n"

// Each part of the request line returns the bytes it took, 0 for more, or an error.
static int method_take(const char *p, const char *end, struct http1_request *r, struct err *e)
{
    if (end - p >= 5 && memcmp(p, "POST ", 5) == 0) {
        r->method = HTTP_POST;
        return 5;
    }
    const char *c = p;
    while (c < end && is_class(*c, T))
        c++;
    if (c - p > METHOD_BYTES)
        return err_set(e, ERR_BAD_HTTP, "method name over %d bytes", METHOD_BYTES);
    if (c == end)
        return 0;
    if (*c != ' ' || c == p)
        return err_set(e, ERR_BAD_HTTP, "request line does not begin with a method and one space");
    r->method = HTTP_OTHER;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (str_eq(str_of(methods[i].name), (struct str){p, (size_t)(c - p)}))
            r->method = methods[i].method;
    return (int)(c - p) + 1;
}

// absolute-form: the authority goes to host and the path begins behind it; an empty path is the '/' of the
// scheme's "//", so that it too points into the parsed bytes.
static int absolute_form_split(struct str *t, struct http1_request *r, struct err *e)
{
    struct str s = *t;
    size_t scheme = s.n > 7 && name_is(s.p, "http", 4) && memcmp(s.p + 4, "://", 3) == 0 ? 7 : 0;
    if (s.n > 8 && name_is(s.p, "https", 5) && memcmp(s.p + 5, "://", 3) == 0)
        scheme = 8;
    if (!scheme)
        return err_set(e, ERR_BAD_HTTP, "request target is neither a path nor an http URL");
    size_t i = scheme;
    while (i < s.n && is_class(s.p[i], H))
        i++;
    if (i == scheme || (i < s.n && s.p[i] != '/' && s.p[i] != '?'))
        return err_set(e, ERR_BAD_HTTP, "request target with a bad host name");
    r->host = (struct str){s.p + scheme, i - scheme};
    *t = (struct str){s.p + i, s.n - i};
    r->path = (struct str){s.p + scheme - 1, 1};
    return 0;
}

static int target_split(struct str t, struct http1_request *r, struct err *e)
{
    if (t.p[0] != '/') {
        if (t.n == 1 && t.p[0] == '*' && r->method == HTTP_OPTIONS) {
            r->path = t;
            return 0;
        }
        int rc = absolute_form_split(&t, r, e);
        if (rc)
            return rc;
    }
    const char *question = t.n ? memchr(t.p, '?', t.n) : NULL;
    size_t path_bytes = question ? (size_t)(question - t.p) : t.n;
    if (path_bytes)
        r->path = (struct str){t.p, path_bytes};
    if (question)
        r->query = (struct str){question + 1, t.n - path_bytes - 1};
    return 0;
}

static int target_take(const char *p, const char *end, struct http1_request *r, struct err *e)
{
    const char *stop = target_end(p, end);
    if (stop - p > LIMIT_HTTP_TARGET_BYTES)
        return err_set(e, ERR_URI_TOO_LONG, "request target over %d bytes", LIMIT_HTTP_TARGET_BYTES);
    if (stop == end)
        return 0;
    if (*stop != ' ' || stop == p)
        return err_set(e, ERR_BAD_HTTP, "byte 0x%02x in the request target", (unsigned char)*stop);
    int rc = target_split((struct str){p, (size_t)(stop - p)}, r, e);
    return rc ? rc : (int)(stop - p) + 1;
}

static int version_take(const char *p, const char *end, int *ret_minor, struct err *e)
{
    static const char want[] = "HTTP/";
    size_t n = (size_t)(end - p);
    if (n >= VERSION_BYTES && memcmp(p, "HTTP/1.1\r\n", VERSION_BYTES) == 0) {
        *ret_minor = 1;
        return VERSION_BYTES;
    }
    if (memcmp(p, want, n < 5 ? n : 5) != 0)
        return err_set(e, ERR_BAD_HTTP, "request line does not end in one space, 'HTTP/1.1' and CR LF");
    for (size_t i = 5; i < n && i < VERSION_BYTES; i++) {
        bool digit = p[i] >= '0' && p[i] <= '9';
        if (i == 6 ? p[i] != '.' : i == 8 ? p[i] != '\r' : i == 9 ? p[i] != '\n' : !digit)
            return err_set(e, ERR_BAD_HTTP, "request line does not end in one space, 'HTTP/1.1' and CR LF");
    }
    if ((n > 5 && p[5] != '1') || (n > 7 && p[7] > '1'))
        return err_set(e, ERR_HTTP_VERSION, "HTTP/1.1 and HTTP/1.0 are served on this connection");
    if (n < VERSION_BYTES)
        return 0;
    *ret_minor = p[7] - '0';
    return VERSION_BYTES;
}

static int request_line_take(const char *p, const char *end, struct http1_request *r, struct err *e)
{
    const char *start = p;
    int n = method_take(p, end, r, e);
    if (n <= 0)
        return n;
    p += n;
    n = target_take(p, end, r, e);
    if (n <= 0)
        return n;
    p += n;
    n = version_take(p, end, &r->minor_version, e);
    return n <= 0 ? n : (int)(p + n - start);
}

// ---- request fields

struct request_seen {
    struct http1_framing framing;
    struct str host, expect;
    bool host_seen, coding_seen;
};

static int once(struct str *field, struct str value, const char *name, struct err *e)
{
    if (field->p)
        return err_set(e, ERR_BAD_HTTP, "%s given twice", name);
    *field = value;
    return 0;
}

static int first(struct str *field, struct str value)
{
    if (!field->p)
        *field = value;
    return 0;
}

static int host_take(struct request_seen *s, struct str value, struct err *e)
{
    if (s->host_seen)
        return err_set(e, ERR_BAD_HTTP, "Host given twice");
    s->host_seen = true;
    s->host = value;
    return all_class(value, H) ? 0 : err_set(e, ERR_BAD_HTTP, "Host is not a host name");
}

static int coding_take(struct request_seen *s, struct http1_request *r, struct str value)
{
    enum http_coding coding = HTTP_CODING_UNKNOWN;
    if (value.n == 0 || VALUE_IS(value, "identity"))
        coding = HTTP_CODING_NONE;
    else if (VALUE_IS(value, "gzip") || VALUE_IS(value, "x-gzip"))
        coding = HTTP_CODING_GZIP;
    else if (VALUE_IS(value, "zstd"))
        coding = HTTP_CODING_ZSTD;
    // Two field lines are one list: two codings, which is more than we undo.
    r->content_encoding = s->coding_seen ? HTTP_CODING_UNKNOWN : coding;
    s->coding_seen = true;
    return 0;
}

static int timeout_take(struct http1_request *r, struct str value, struct err *e)
{
    if (r->timeout_ms)
        return err_set(e, ERR_BAD_HTTP, "Slipway-Timeout-Ms given twice");
    if (!str_to_u64(value, LIMIT_TIMEOUT_MS, &r->timeout_ms) || r->timeout_ms == 0)
        return err_set(e, ERR_BAD_HTTP, "Slipway-Timeout-Ms is not a whole number from 1 to %d",
                       LIMIT_TIMEOUT_MS);
    return 0;
}

// 0, or an error; an unknown name must be a token.
static inline int request_field(struct http1_request *r, struct request_seen *s, struct str name,
                                struct str value, struct err *e)
{
    switch (name.n) {
    case 4:
        if (NAME_IS(name, "host"))
            return host_take(s, value, e);
        break;
    case 6:
        if (NAME_IS(name, "accept"))
            return first(&r->accept, value);
        if (NAME_IS(name, "expect"))
            return value.n ? once(&s->expect, value, "Expect", e) : 0; // some C++ clients send it empty
        if (NAME_IS(name, "origin"))
            return first(&r->origin, value);
        break;
    case 10:
        if (NAME_IS(name, "connection"))
            return http1_connection_take(&s->framing, value);
        if (NAME_IS(name, "user-agent"))
            return first(&r->user_agent, value);
        break;
    case 11:
        if (NAME_IS(name, "traceparent"))
            return first(&r->traceparent, value);
        if (NAME_IS(name, "slipway-arm"))
            return first(&r->arm, value);
        break;
    case 12:
        if (NAME_IS(name, "content-type"))
            return once(&r->content_type, value, "Content-Type", e);
        if (NAME_IS(name, "x-request-id"))
            return first(&r->request_id, value);
        break;
    case 13:
        if (NAME_IS(name, "authorization"))
            return once(&r->authorization, value, "Authorization", e);
        break;
    case 14:
        if (NAME_IS(name, "content-length"))
            return http1_content_length_take(&s->framing, value, e);
        break;
    case 15:
        if (NAME_IS(name, "idempotency-key"))
            return once(&r->idempotency_key, value, "Idempotency-Key", e);
        if (NAME_IS(name, "accept-encoding"))
            return first(&r->accept_encoding, value);
        break;
    case 16:
        if (NAME_IS(name, "content-encoding"))
            return coding_take(s, r, value);
        break;
    case 17:
        if (NAME_IS(name, "transfer-encoding"))
            return http1_transfer_encoding_take(&s->framing, value, e);
        break;
    case 18:
        if (NAME_IS(name, "slipway-timeout-ms"))
            return timeout_take(r, value, e);
        break;
    case 31:
        if (NAME_IS(name, "inference-header-content-length"))
            return once(&r->inference_header_length, value, "Inference-Header-Content-Length", e);
        break;
    }
    return http1_name_check(name, e);
}

// The rules that need the whole head.
static int request_finish(struct http1_request *r, const struct request_seen *s, struct err *e)
{
    const struct http1_framing *f = &s->framing;
    if (r->minor_version == 1 && !s->host_seen)
        return err_set(e, ERR_BAD_HTTP, "Host is missing");
    if (f->chunked && (f->length_seen || r->minor_version == 0))
        return err_set(e, ERR_BAD_HTTP, "Transfer-Encoding with %s",
                       f->length_seen ? "Content-Length" : "HTTP/1.0");
    if (s->expect.n && r->minor_version == 1) {
        if (!VALUE_IS(s->expect, "100-continue"))
            return err_set(e, ERR_EXPECTATION, "Expect other than '100-continue'");
        r->expect_continue = true;
    }
    if (!r->host.p) // an absolute target's authority replaces Host (RFC 9112 section 3.2.2)
        r->host = s->host;
    r->chunked = f->chunked;
    r->content_length = f->content_length;
    r->length_text = f->length_text;
    r->keep_alive = http1_stays(f, r->minor_version);
    return 1;
}

int http1_request_parse(const char *p, size_t n, struct http1_request *ret, struct err *e)
{
    struct request_seen seen = {0};
    const char *start = p, *end = p + (n < LIMIT_HTTP_HEAD_BYTES ? n : LIMIT_HTTP_HEAD_BYTES);
    *ret = (struct http1_request){0};
    // One empty line before a request is passed over: old clients send it after a body (RFC 9112
    // section 2.2).
    if (p < end && *p == '\r') {
        if (end - p == 1)
            return 0;
        if (p[1] != '\n')
            return err_set(e, ERR_BAD_HTTP, "CR without LF before the request line");
        p += 2;
    }
    int used = p == end ? 0 : request_line_take(p, end, ret, e);
    if (used <= 0)
        return used < 0 ? used : http1_more_or_too_large(n, e);
    p += used;
    const char *fields = p;
    struct str name = {0}, value = {0};
    int rc, n_fields = 0;
    while ((rc = field_take(&p, end, n, &n_fields, &name, &value, e)) == 1) {
        rc = request_field(ret, &seen, name, value, e);
        if (rc)
            return rc;
    }
    if (rc != HTTP1_FIELDS_END)
        return rc;
    ret->head_bytes = (size_t)(p - start);
    ret->fields = (struct str){fields, (size_t)(p - fields)};
    return request_finish(ret, &seen, e);
}

bool http1_field_find(const struct http1_request *r, struct str name, struct str *ret)
{
    const char *p = r->fields.p, *end = p + r->fields.n;
    struct str have;
    while (p && http1_field_next(&p, end, &have, ret) == FIELD_ONE)
        if (str_eq_nocase(have, name))
            return true;
    return false;
}

const char *http_method_name(enum http_method m)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (methods[i].method == m)
            return methods[i].name;
    return "OTHER";
}
