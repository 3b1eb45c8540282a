// SPDX-License-Identifier: Apache-2.0
// One test per rule of RFC 9112 and 9110 that the head parser keeps.
#include "wire/http1.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct http1_request req;
static struct err e;

static int parse(const char *head)
{
    return http1_request_parse(head, strlen(head), &req, &e);
}

// A request for / with the given field lines behind a Host.
static int with(const char *fields)
{
    static char head[1024]; // what is parsed points into it
    int n = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", fields);
    return http1_request_parse(head, (size_t)n, &req, &e);
}

#define ck_str(s, literal) ck_assert_msg(str_eq(s, STR(literal)), "'" STR_FMT "'", STR_ARG(s))

START_TEST(typical_prediction_request)
{
    const char *head =
        "POST /v1/models/churn:predict?a=1&b=2 HTTP/1.1\r\nHost: localhost:8080\r\n"
        "User-Agent: curl/8.5.0\r\nAccept: */*\r\nContent-Type: application/json\r\n"
        "Content-Length: 137\r\nAccept-Encoding: gzip, deflate\r\nAuthorization: Bearer abc\r\n"
        "traceparent: 00-1-2-01\r\nslipway-ARM: canary\r\nSlipway-Arm: stable\r\nX-Request-Id: "
        "r-1\r\nInference-Header-Content-Length: 42\r\n"
        "X-Unknown: v\r\n\r\n";
    char both[1024];
    int n = snprintf(both, sizeof both, "%sBODY", head);
    ck_assert_int_eq(http1_request_parse(both, (size_t)n, &req, &e), 1);
    ck_assert_uint_eq(req.head_bytes, strlen(head));
    ck_assert_int_eq(req.method, HTTP_POST);
    ck_str(req.path, "/v1/models/churn:predict");
    ck_str(req.query, "a=1&b=2");
    ck_assert_int_eq(req.minor_version, 1);
    ck_assert(req.keep_alive && !req.chunked && !req.expect_continue);
    ck_assert_uint_eq(req.content_length, 137);
    ck_str(req.host, "localhost:8080");
    ck_str(req.user_agent, "curl/8.5.0");
    ck_str(req.accept, "*/*");
    ck_str(req.content_type, "application/json");
    ck_str(req.accept_encoding, "gzip, deflate");
    ck_str(req.authorization, "Bearer abc");
    ck_str(req.traceparent, "00-1-2-01");
    ck_str(req.arm, "canary");
    ck_str(req.request_id, "r-1");
    ck_str(req.inference_header_length, "42");
}
END_TEST

START_TEST(a_timeout_is_a_whole_number_of_milliseconds)
{
    static const struct {
        const char *value;
        uint64_t ms; // 0: refused
    } CASES[] = {{"1", 1},   {"250", 250}, {"3600000", 3600000}, {"0", 0}, {"3600001", 0},
                 {"-1", 0},  {"1.5", 0},   {"1e3", 0},           {"", 0},  {"18446744073709551617", 0},
                 {"5 s", 0}, {"0x10", 0}};
    char head[200];
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        int n = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: h\r\nslipway-TIMEOUT-ms: %s\r\n\r\n",
                         CASES[i].value);
        int rc = http1_request_parse(head, (size_t)n, &req, &e);
        ck_assert_msg(rc == (CASES[i].ms ? 1 : ERR_BAD_HTTP), "'%s': %d", CASES[i].value, rc);
        ck_assert(rc < 0 ? strstr(e.msg, "Slipway-Timeout-Ms") != NULL : req.timeout_ms == CASES[i].ms);
    }
    static const char TWICE[] =
        "GET / HTTP/1.1\r\nHost: h\r\nSlipway-Timeout-Ms: 5\r\nSlipway-Timeout-Ms: 5\r\n\r\n";
    ck_assert_int_eq(http1_request_parse(TWICE, sizeof TWICE - 1, &req, &e), ERR_BAD_HTTP);
}
END_TEST

START_TEST(every_prefix_asks_for_more)
{
    const char *head = "\r\nPUT /a?b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nA: \t b \r\n\r\n";
    for (size_t n = 0; n < strlen(head); n++) {
        char *exact = malloc(n ? n : 1); // so that a sanitizer sees a read past the end
        memcpy(exact, head, n);
        ck_assert_int_eq(http1_request_parse(exact, n, &req, &e), 0);
        free(exact);
    }
    ck_assert_int_eq(parse(head), 1);
    ck_assert(req.chunked);
}
END_TEST

START_TEST(methods_have_names)
{
    for (enum http_method m = HTTP_GET; m < HTTP_OTHER; m++) {
        char head[64];
        snprintf(head, sizeof head, "%s / HTTP/1.1\r\nHost: h\r\n\r\n", http_method_name(m));
        ck_assert_int_eq(parse(head), 1);
        ck_assert_int_eq(req.method, m);
    }
    ck_assert_int_eq(parse("get / HTTP/1.1\r\nHost: h\r\n\r\n"), 1);
    ck_assert_int_eq(req.method, HTTP_OTHER);
}
END_TEST

START_TEST(request_line_is_exact)
{
    const char *bad[] = {
        "GET  / HTTP/1.1\r\n", "GET /  HTTP/1.1\r\n",        "GET / HTTP/1.1 \r\n",  " GET / HTTP/1.1\r\n",
        "GET\t/ HTTP/1.1\r\n", "GET / HTTP/1.1\n",           "GET / HTTP/1.1\r\r",   "GET /\r\n",
        "GET / http/1.1\r\n",  "G@T / HTTP/1.1\r\n",         "GET / HTTP/1,1\r\n",   "\nGET / HTTP/1.1\r\n",
        "GET / HTTP/11\r\n",   "\r\n\r\nGET / HTTP/1.1\r\n", "\rGET / HTTP/1.1\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char head[256];
        snprintf(head, sizeof head, "%sHost: h\r\n\r\n", bad[i]);
        ck_assert_msg(parse(head) == ERR_BAD_HTTP, "accepted: %s", bad[i]);
    }
}
END_TEST

START_TEST(endless_method_is_refused)
{
    ck_assert_int_eq(parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), ERR_BAD_HTTP);
}
END_TEST

START_TEST(one_empty_line_before_a_request_is_passed_over)
{
    ck_assert_int_eq(parse("\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n"), 1);
    ck_str(req.path, "/x");
    ck_assert_uint_eq(req.head_bytes, 30);
}
END_TEST

START_TEST(versions)
{
    ck_assert_int_eq(parse("GET / HTTP/1.0\r\n\r\n"), 1);
    ck_assert_int_eq(req.minor_version, 0);
    ck_assert_int_eq(parse("GET / HTTP/1.2\r\nHost: h\r\n\r\n"), ERR_HTTP_VERSION);
    ck_assert_int_eq(parse("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), ERR_HTTP_VERSION);
    ck_assert_int_eq(parse("GET / HTTP/0.9\r\nHost: h\r\n\r\n"), ERR_HTTP_VERSION);
    ck_assert_int_eq(parse("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ERR_BAD_HTTP); // '*' is for OPTIONS
}
END_TEST

START_TEST(target_characters)
{
    for (int c = 1; c < 256; c++) {
        // Long and short, so that the block-wise and the byte-wise scan both see it.
        for (int pad = 0; pad <= 16; pad += 16) {
            char head[128];
            int n = snprintf(head, sizeof head, "GET /%c%.*s HTTP/1.1\r\nHost: h\r\n\r\n", c, pad,
                             "abcdefghijklmnop");
            bool good = c > 0x20 && c < 0x7f && !strchr("\"#<>\\", c);
            int rc = http1_request_parse(head, (size_t)n, &req, &e);
            ck_assert_msg((rc == 1) == good && (good || rc == ERR_BAD_HTTP), "byte 0x%02x: %d", c, rc);
        }
    }
}
END_TEST

START_TEST(absolute_form_replaces_host)
{
    ck_assert_int_eq(parse("GET http://a.example:81/p/q?z HTTP/1.1\r\nHost: other\r\n\r\n"), 1);
    ck_str(req.host, "a.example:81");
    ck_str(req.path, "/p/q");
    ck_str(req.query, "z");
    ck_assert_int_eq(parse("GET HTTPS://[::1]:81 HTTP/1.1\r\nHost: other\r\n\r\n"), 1);
    ck_str(req.host, "[::1]:81");
    ck_str(req.path, "/");
    ck_assert_int_eq(parse("GET http://a?x=/ HTTP/1.1\r\nHost: other\r\n\r\n"), 1);
    ck_str(req.path, "/");
    ck_str(req.query, "x=/");
    ck_assert_int_eq(parse("GET http://a/ HTTP/1.1\r\n\r\n"), ERR_BAD_HTTP); // Host still required
}
END_TEST

START_TEST(other_target_forms_are_refused)
{
    const char *bad[] = {"a",        "http://", "http:///p", "http:/a", "ftp://a/",  "a:443", "http://u@h/p",
                         "https://", "//a",     "*",         "?q",      "http://a@b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char head[128];
        snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", bad[i]);
        bool path = bad[i][0] == '/'; // "//a" is a path with an empty first segment
        ck_assert_msg(parse(head) == (path ? 1 : ERR_BAD_HTTP), "%s", bad[i]);
    }
}
END_TEST

START_TEST(asterisk_is_for_options)
{
    ck_assert_int_eq(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), 1);
    ck_str(req.path, "*");
    ck_assert_int_eq(parse("POST * HTTP/1.1\r\nHost: h\r\n\r\n"), ERR_BAD_HTTP);
    ck_assert_int_eq(parse("OPTIONS ** HTTP/1.1\r\nHost: h\r\n\r\n"), ERR_BAD_HTTP);
}
END_TEST

START_TEST(target_has_a_limit)
{
    char *head = malloc(8192);
    int n = snprintf(head, 8192, "GET /");
    memset(head + n, 'a', LIMIT_HTTP_TARGET_BYTES);
    n += LIMIT_HTTP_TARGET_BYTES;
    n += snprintf(head + n, 64, " HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert_int_eq(http1_request_parse(head, (size_t)n, &req, &e), ERR_URI_TOO_LONG);
    ck_assert_int_eq(http1_request_parse(head, LIMIT_HTTP_TARGET_BYTES + 6, &req, &e), ERR_URI_TOO_LONG);
    memmove(head + 4, head + 5, (size_t)n - 5); // one less, still a path
    head[4] = '/';
    ck_assert_int_eq(http1_request_parse(head, (size_t)n - 1, &req, &e), 1);
    ck_assert_uint_eq(req.path.n, LIMIT_HTTP_TARGET_BYTES);
    free(head);
}
END_TEST

START_TEST(head_has_a_limit)
{
    size_t n = LIMIT_HTTP_HEAD_BYTES + 64;
    char *head = malloc(n);
    memset(head, 'a', n);
    memcpy(head, "GET / HTTP/1.1\r\nHost: h\r\nA: ", 28);
    memcpy(head + LIMIT_HTTP_HEAD_BYTES - 4, "\r\n\r\n", 4); // exactly at the limit
    ck_assert_int_eq(http1_request_parse(head, n, &req, &e), 1);
    ck_assert_uint_eq(req.head_bytes, LIMIT_HTTP_HEAD_BYTES);
    memcpy(head + LIMIT_HTTP_HEAD_BYTES - 4, "a\r\n\r\n", 5); // one over
    ck_assert_int_eq(http1_request_parse(head, n, &req, &e), ERR_HEADER_TOO_LARGE);
    ck_assert_int_eq(http1_request_parse(head, LIMIT_HTTP_HEAD_BYTES, &req, &e), ERR_HEADER_TOO_LARGE);
    ck_assert_int_eq(http1_request_parse(head, LIMIT_HTTP_HEAD_BYTES - 1, &req, &e), 0);
    free(head);
}
END_TEST

START_TEST(number_of_fields_has_a_limit)
{
    for (int extra = 0; extra < 2; extra++) {
        char head[4096];
        int n = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: h\r\n");
        for (int i = 1; i < LIMIT_HTTP_HEADERS + extra; i++)
            n += snprintf(head + n, 64, "a: b\r\n");
        n += snprintf(head + n, 64, "\r\n");
        ck_assert_int_eq(http1_request_parse(head, (size_t)n, &req, &e), extra ? ERR_HEADER_TOO_LARGE : 1);
    }
}
END_TEST

START_TEST(host_is_needed_once_and_is_a_name)
{
    ck_assert_int_eq(parse("GET / HTTP/1.1\r\n\r\n"), ERR_BAD_HTTP);
    ck_assert_int_eq(with("Host: h\r\n"), ERR_BAD_HTTP);
    ck_assert_int_eq(parse("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), ERR_BAD_HTTP);
    ck_assert_int_eq(parse("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 1);
    ck_assert_int_eq(parse("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), ERR_BAD_HTTP);
    ck_assert_int_eq(parse("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), ERR_BAD_HTTP);
    ck_assert_int_eq(parse("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n"), ERR_BAD_HTTP);
}
END_TEST

START_TEST(content_length_is_one_number)
{
    ck_assert_int_eq(with("content-LENGTH:\t7 \r\n"), 1);
    ck_assert_uint_eq(req.content_length, 7);
    ck_assert_int_eq(with("Content-Length: 9223372036854775807\r\n"), 1);
    const char *bad[] = {"Content-Length: 5\r\nContent-Length: 5\r\n",
                         "Content-Length: 5, 5\r\n",
                         "Content-Length: +5\r\n",
                         "Content-Length: -5\r\n",
                         "Content-Length: 0x5\r\n",
                         "Content-Length: 5 5\r\n",
                         "Content-Length:\r\n",
                         "Content-Length: 9223372036854775808\r\n",
                         "Content-Length: 99999999999999999999999\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(with(bad[i]) == ERR_BAD_HTTP, "accepted: %s", bad[i]);
}
END_TEST

START_TEST(transfer_encoding_is_chunked_alone)
{
    ck_assert_int_eq(with("Transfer-Encoding: Chunked\r\n"), 1);
    ck_assert(req.chunked);
    ck_assert_uint_eq(req.content_length, 0);
    const char *bad[] = {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                         "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                         "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                         "Transfer-Encoding: gzip, chunked\r\n",
                         "Transfer-Encoding: chunked, identity\r\n",
                         "Transfer-Encoding: identity\r\n",
                         "Transfer-Encoding: xchunked\r\n",
                         "Transfer-Encoding: \"chunked\"\r\n",
                         "Transfer-Encoding:\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(with(bad[i]) == ERR_BAD_HTTP, "accepted: %s", bad[i]);
    ck_assert_int_eq(parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), ERR_BAD_HTTP);
}
END_TEST

START_TEST(field_lines_are_strict)
{
    const char *bad[] = {"A : b\r\n",
                         " A: b\r\n",
                         "A: b\r\n c\r\n",
                         "A: b\r\n\tc\r\n",
                         "A: b\n",
                         "A: b\rc\r\n",
                         "A: b\r\r\n",
                         "A: b\x01\r\n",
                         "A: b\x7f\r\n",
                         "A\x80: b\r\n",
                         ": b\r\n",
                         "A b: c\r\n",
                         "A\r\n",
                         "A\r\nB: c\r\n",
                         "\nA: b\r\n",
                         "Host\r: h\r\n",
                         "Content\rLength: 5\r\n",
                         "(A): b\r\n",
                         "A\t: b\r\n",
                         ("A: bbbbbbbbbbbbbbbbbbbbbbbbbbb\x02"
                          "ccccccccccccccccccccccccccccccccccc\r\n"),
                         "Content-Length : 5\r\n",
                         "\rA: b\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(with(bad[i]) == ERR_BAD_HTTP, "accepted: %s", bad[i]);
        ck_assert(e.msg[0]);
    }
    char nul[] = "GET / HTTP/1.1\r\nHost: h\r\nA: b?c\r\n\r\n";
    *strchr(nul, '?') = '\0';
    ck_assert_int_eq(http1_request_parse(nul, sizeof nul - 1, &req, &e), ERR_BAD_HTTP);
}
END_TEST

START_TEST(value_characters)
{
    for (int c = 1; c < 256; c++) {
        for (int pad = 0; pad <= 32; pad += 32) { // block-wise and byte-wise
            char head[128];
            int n = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: h\r\nA: b%c%.*s\r\n\r\n", c, pad,
                             "abcdefghijklmnopabcdefghijklmnop");
            bool good = (c >= 0x20 && c != 0x7f) || c == '\t';
            int rc = http1_request_parse(head, (size_t)n, &req, &e);
            ck_assert_msg(rc == (good ? 1 : ERR_BAD_HTTP), "byte 0x%02x: %d", c, rc);
        }
    }
}
END_TEST

START_TEST(line_without_colon_is_refused_at_once)
{
    ck_assert_int_eq(parse("GET / HTTP/1.1\r\nHost h\r\n"), ERR_BAD_HTTP);
}
END_TEST

START_TEST(values_are_trimmed_and_may_be_empty_or_latin)
{
    ck_assert_int_eq(with("User-Agent: \t a\tb \xe9 \t\r\nX:\r\n"), 1);
    ck_str(req.user_agent, "a\tb \xe9");
}
END_TEST

START_TEST(names_fold_only_letters)
{
    ck_assert_int_eq(with("CONTENT-TYPE: a\r\n"), 1);
    ck_str(req.content_type, "a");
    ck_assert_int_eq(with("Content_Type: a\r\n"), 1);
    ck_assert_uint_eq(req.content_type.n, 0);
}
END_TEST

START_TEST(keep_alive_rules)
{
    ck_assert(with("") == 1 && req.keep_alive);
    ck_assert(with("Connection: close\r\n") == 1 && !req.keep_alive);
    ck_assert(with("Connection: foo , CLOSE,bar\r\n") == 1 && !req.keep_alive);
    ck_assert(with("Connection: foo\r\nConnection: close\r\n") == 1 && !req.keep_alive);
    ck_assert(with("Connection: closed\r\n") == 1 && req.keep_alive);
    ck_assert(parse("GET / HTTP/1.0\r\n\r\n") == 1 && !req.keep_alive);
    ck_assert(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n") == 1 && req.keep_alive);
    ck_assert(parse("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n") == 1 && !req.keep_alive);
}
END_TEST

START_TEST(expectations)
{
    ck_assert(with("Expect: 100-Continue\r\n") == 1 && req.expect_continue);
    ck_assert(with("Expect:\r\n") == 1 && !req.expect_continue);
    ck_assert(with("Expect:\r\nExpect: 100-continue\r\n") == 1 && req.expect_continue);
    ck_assert_int_eq(with("Expect: 200-ok\r\n"), ERR_EXPECTATION);
    ck_assert(parse("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n") == 1 && !req.expect_continue);
}
END_TEST

START_TEST(content_codings)
{
    const struct {
        const char *fields;
        enum http_coding want;
    } cases[] = {
        {"", HTTP_CODING_NONE},
        {"Content-Encoding:\r\n", HTTP_CODING_NONE},
        {"Content-Encoding: identity\r\n", HTTP_CODING_NONE},
        {"Content-Encoding: GZIP\r\n", HTTP_CODING_GZIP},
        {"Content-Encoding: x-gzip\r\n", HTTP_CODING_GZIP},
        {"Content-Encoding: zstd\r\n", HTTP_CODING_ZSTD},
        {"Content-Encoding: br\r\n", HTTP_CODING_UNKNOWN},
        {"Content-Encoding: gzip, zstd\r\n", HTTP_CODING_UNKNOWN},
        {"Content-Encoding: gzip\r\nContent-Encoding: zstd\r\n", HTTP_CODING_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_int_eq(with(cases[i].fields), 1);
        ck_assert_msg(req.content_encoding == cases[i].want, "%s", cases[i].fields);
    }
}
END_TEST

START_TEST(fields_that_decide_are_given_once)
{
    ck_assert_int_eq(with("Content-Type: a\r\nContent-Type: a\r\n"), ERR_BAD_HTTP);
    ck_assert_int_eq(with("Authorization: a\r\nAuthorization: b\r\n"), ERR_BAD_HTTP);
    ck_assert_int_eq(with("Inference-Header-Content-Length: 1\r\nInference-Header-Content-Length: 1\r\n"),
                     ERR_BAD_HTTP);
    ck_assert_int_eq(with("Accept: a\r\nAccept: b\r\n"), 1);
    ck_str(req.accept, "a");
}
END_TEST

static struct http1_response a;

static int answer(const char *head)
{
    return http1_response_parse(head, strlen(head), &a, &e);
}

START_TEST(response_heads)
{
    ck_assert_int_eq(
        answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: a/b\r\n"
               "Slipway-Model-Version: 7\r\nSlipway-Prediction-Id: p\r\nX-Request-Id: q\r\n\r\nhello"),
        1);
    ck_assert_int_eq(a.status, 200);
    ck_assert(a.keep_alive && !a.chunked);
    ck_assert_uint_eq(a.content_length, 5);
    ck_str(a.content_type, "a/b");
    ck_str(a.model_version, "7");
    ck_str(a.prediction_id, "p");
    ck_str(a.request_id, "q");
    ck_assert_int_eq(answer("HTTP/1.1 404 \r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"), 1);
    ck_assert(a.status == 404 && a.chunked && !a.keep_alive);
    ck_assert_int_eq(answer("HTTP/1.1 200\r\n\r\n"), 1);
    ck_assert(a.content_length == UINT64_MAX && !a.keep_alive);
    ck_assert_int_eq(answer("HTTP/1.1 204 No Content\r\n\r\n"), 1);
    ck_assert(a.content_length == 0 && a.keep_alive);
    ck_assert_int_eq(answer("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), 1);
    ck_assert(!a.keep_alive);
}
END_TEST

START_TEST(broken_responses_are_refused)
{
    const char *bad[] = {"HTTP/1.1 20 OK\r\n\r\n",
                         "HTTP/1.1 2000 OK\r\n\r\n",
                         "HTTP/1.1 099 OK\r\n\r\n",
                         "HTTP/2.0 200 OK\r\n\r\n",
                         "HTTP/1.1 200 OK\n\r\n",
                         "HTTP/1.1 200OK\r\n\r\n",
                         "SSH-2.0-x\r\n",
                         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                         "HTTP/1.1 200 OK\r\nA : 1\r\n\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(answer(bad[i]) == ERR_BAD_HTTP, "accepted: %s", bad[i]);
}
END_TEST

START_TEST(response_prefixes_ask_for_more)
{
    const char *head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    for (size_t n = 0; n < strlen(head); n++) {
        char *exact = malloc(n ? n : 1);
        memcpy(exact, head, n);
        ck_assert_int_eq(http1_response_parse(exact, n, &a, &e), 0);
        free(exact);
    }
}
END_TEST

START_TEST(every_error_status_has_a_reason)
{
    for (int code = ERR_CODE_LIMIT + 1; code < 0; code++)
        ck_assert_str_ne(http_status_reason(err_http_status(code)), "Unknown");
    ck_assert_str_eq(http_status_reason(404), "Not Found");
    ck_assert_str_eq(http_status_reason(299), "Unknown");
}
END_TEST

UNIT_MAIN("wire/http1", typical_prediction_request, a_timeout_is_a_whole_number_of_milliseconds,
          every_prefix_asks_for_more, methods_have_names, request_line_is_exact, endless_method_is_refused,
          one_empty_line_before_a_request_is_passed_over, versions, target_characters,
          absolute_form_replaces_host, other_target_forms_are_refused, asterisk_is_for_options,
          target_has_a_limit, head_has_a_limit, number_of_fields_has_a_limit,
          host_is_needed_once_and_is_a_name, content_length_is_one_number, transfer_encoding_is_chunked_alone,
          field_lines_are_strict, value_characters, line_without_colon_is_refused_at_once,
          values_are_trimmed_and_may_be_empty_or_latin, names_fold_only_letters, keep_alive_rules,
          expectations, content_codings, fields_that_decide_are_given_once, response_heads,
          broken_responses_are_refused, response_prefixes_ask_for_more, every_error_status_has_a_reason)
