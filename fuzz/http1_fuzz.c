// SPDX-License-Identifier: Apache-2.0
// Heads of requests and responses against llhttp: what we accept, llhttp must read the same way, from the
// method to the last byte of a chunked body. We are stricter, and that is not compared: Host needed once and
// a host name, a Content-Length that is repeated, unsafe bytes in targets, other versions than 1.0 and 1.1,
// limits. Methods that we do not serve are HTTP_OTHER here and mostly errors in llhttp: not compared either.
#include "fuzz.h"
#include "http1_llhttp.h"

#include "wire/http1.h"

#include <string.h>

static void expect_inside(struct str s, const char *p, size_t n)
{
    EXPECT(s.n == 0 || (s.p >= p && s.p + s.n <= p + n));
}

static void expect_slices_inside(const struct http1_request *r, const char *p)
{
    const struct str all[] = {
        r->path, r->query,      r->content_type, r->accept,     r->accept_encoding,        r->authorization,
        r->host, r->user_agent, r->traceparent,  r->request_id, r->inference_header_length};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        expect_inside(all[i], p, r->head_bytes);
    EXPECT(r->timeout_ms <= LIMIT_TIMEOUT_MS);
    EXPECT(r->path.n > 0 && (r->path.p[0] == '/' || r->path.p[0] == '*'));
}

// Decodes the chunked body and compares where it ends and what it says.
static void compare_body(const char *p, size_t n, const struct oracle *o)
{
    struct http1_chunked k = {0};
    struct err e;
    char *copy = malloc(n ? n : 1);
    size_t used, payload;
    memcpy(copy, p, n);
    int rc = http1_chunked_decode(&k, copy, n, &used, &payload, &e);
    EXPECT(used <= n && payload <= used);
    // llhttp refuses framing fields among the trailer fields; we drop all trailer fields unread.
    bool framing_in_trailer = !o->message_complete && o->reason &&
                              (strstr(o->reason, "Content-Length") || strstr(o->reason, "Transfer-Encoding"));
    if (rc == 1 && !framing_in_trailer) {
        if (!o->message_complete)
            fprintf(stderr, "llhttp: %s\n", o->reason);
        EXPECT(o->message_complete);
        EXPECT(o->message_bytes == o->head_bytes + used);
        EXPECT(o->body_bytes == payload && memcmp(o->body, copy, payload) == 0);
    }
    free(copy);
}

static void request(const char *p, size_t n, char *room)
{
    struct http1_request r, again;
    struct err e;
    int rc = http1_request_parse(p, n, &r, &e);
    if (rc < 0)
        return;
    size_t whole = rc == 1 ? r.head_bytes : n;
    for (size_t k = 0; k < whole && k < 512; k++) // a part of a good head is not yet wrong
        EXPECT(http1_request_parse(p, k, &again, &e) == 0);
    if (rc == 0)
        return;
    expect_slices_inside(&r, p);
    EXPECT(!r.chunked || r.content_length == 0);
    if (r.method == HTTP_OTHER)
        return;
    struct oracle o = {.body = room};
    oracle_read(p, n, true, &o);
    if (!o.head_complete)
        fprintf(stderr, "llhttp: %s\n", o.reason);
    EXPECT(o.head_complete);
    EXPECT(o.head_bytes == r.head_bytes);
    EXPECT(strcmp(o.method, http_method_name(r.method)) == 0);
    EXPECT(o.minor_version == r.minor_version);
    EXPECT(o.chunked == r.chunked && o.content_length == r.content_length);
    EXPECT(r.query.n == 0 || r.query.p + r.query.n == o.target.p + o.target.n);
    EXPECT(o.target.p[0] != '/' || r.path.p == o.target.p);
    // llhttp lets keep-alive win over close in HTTP/1.0; closing is the safe reading.
    EXPECT(o.keep_alive == r.keep_alive || (r.minor_version == 0 && o.keep_alive));
    if (r.chunked)
        compare_body(p + r.head_bytes, n - r.head_bytes, &o);
}

static void response(const char *p, size_t n, char *room)
{
    struct http1_response r, again;
    struct err e;
    int rc = http1_response_parse(p, n, &r, &e);
    if (rc < 0)
        return;
    size_t whole = rc == 1 ? r.head_bytes : n;
    for (size_t k = 0; k < whole && k < 512; k++)
        EXPECT(http1_response_parse(p, k, &again, &e) == 0);
    if (rc == 0)
        return;
    struct oracle o = {.body = room};
    oracle_read(p, n, false, &o);
    if (!o.head_complete)
        fprintf(stderr, "llhttp: %s\n", o.reason);
    EXPECT(o.head_complete);
    EXPECT(o.head_bytes == r.head_bytes && o.status == r.status);
    if (r.chunked)
        compare_body(p + r.head_bytes, n - r.head_bytes, &o);
    else if (r.content_length && r.content_length != UINT64_MAX)
        EXPECT(o.content_length == r.content_length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *room = malloc(n ? n : 1);
    request((const char *)data, n, room);
    response((const char *)data, n, room);
    free(room);
    return 0;
}
