// SPDX-License-Identifier: Apache-2.0
// What one request head costs in our parser and in llhttp: the figure of docs/performance.md, "HTTP parser".
// llhttp is used as a server would: callbacks that note the fields which our parser hands out. Rounds of both
// alternate, and the best round of each counts, so that other work on the machine disturbs little.
#include "http_parse_llhttp.h"

#include "base/clock.h"
#include "wire/http1.h"

#include <stdio.h>
#include <string.h>

static const char small[] = "POST /v1/models/churn:predict HTTP/1.1\r\n"
                            "Host: 127.0.0.1:8080\r\n"
                            "User-Agent: curl/8.5.0\r\n"
                            "Content-Type: application/json\r\n"
                            "Content-Length: 147\r\n\r\n";

static const char client[] = "POST /v2/models/churn/infer HTTP/1.1\r\n"
                             "Host: models.example.internal:8080\r\n"
                             "User-Agent: python-requests/2.32.3\r\n"
                             "Accept-Encoding: gzip, deflate\r\n"
                             "Accept: */*\r\n"
                             "Connection: keep-alive\r\n"
                             "Content-Length: 312\r\n"
                             "Content-Type: application/json\r\n\r\n";

static const char proxied[] = "POST /v1/models/churn/versions/champion:predict HTTP/1.1\r\n"
                              "Host: models.example.internal\r\n"
                              "X-Request-Id: 0191a5b2-7c3d-7e4f-8a9b-0c1d2e3f4a5b\r\n"
                              "X-Forwarded-For: 10.12.13.14, 10.1.2.3\r\n"
                              "X-Forwarded-Proto: https\r\n"
                              "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
                              "Authorization: Bearer 6fJx0m3kq9Zt2cVb8nQw5yLr7hUe1sGd\r\n"
                              "User-Agent: Apache-HttpClient/5.2.1 (Java/17.0.9)\r\n"
                              "Accept: application/json\r\n"
                              "Accept-Encoding: gzip, x-gzip, deflate\r\n"
                              "Content-Type: application/json; charset=UTF-8\r\n"
                              "Content-Length: 1874\r\n\r\n";

static uint64_t ours_ns(const char *head, size_t n, unsigned rounds)
{
    uint64_t start = clock_mono_ns();
    for (unsigned i = 0; i < rounds; i++) {
        struct http1_request r;
        struct err e;
        if (http1_request_parse(head, n, &r, &e) != 1)
            return 0;
        __asm__ volatile("" : : "r"(&r) : "memory");
    }
    return clock_mono_ns() - start;
}

static void measure(const char *name, const char *head, size_t head_bytes)
{
    enum { ROUNDS = 20000, TIMES = 60, BODY = 64 };
    char request[1024];
    memcpy(request, head, head_bytes);
    memset(request + head_bytes, '1', BODY);
    uint64_t ours = UINT64_MAX, theirs = UINT64_MAX, empty = UINT64_MAX;
    for (int t = 0; t < TIMES; t++) {
        uint64_t a = ours_ns(request, head_bytes + BODY, ROUNDS);
        uint64_t b = llhttp_ns(request, head_bytes + BODY, ROUNDS, true);
        uint64_t c = llhttp_ns(request, head_bytes + BODY, ROUNDS, false);
        ours = a < ours ? a : ours;
        theirs = b < theirs ? b : theirs;
        empty = c < empty ? c : empty;
    }
    printf("%-10s %6zu %10.1f %12.1f %22.1f\n", name, head_bytes, (double)ours / ROUNDS,
           (double)theirs / ROUNDS, (double)empty / ROUNDS);
}

int main(void)
{
    printf("%-10s %6s %10s %12s %22s\n", "head", "bytes", "ours, ns", "llhttp, ns", "llhttp bare, ns");
    measure("curl", small, sizeof small - 1);
    measure("requests", client, sizeof client - 1);
    measure("proxied", proxied, sizeof proxied - 1);
    return 0;
}
