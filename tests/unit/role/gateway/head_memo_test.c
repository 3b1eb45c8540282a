// SPDX-License-Identifier: Apache-2.0
#include "role/gateway/head_memo.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

#define HEAD(target, length, more)                                                                           \
    "POST " target " HTTP/1.1\r\nHost: x\r\nContent-Length: " length "\r\nX-Request-Id: r7\r\n" more "\r\n"
static const char USUAL[] = HEAD("/v1/models/churn:predict", "377", "");

// Parses and routes text, then keeps it. The caller's copy is overwritten, as a read buffer is.
static void keep(struct head_memo *m, const char *text)
{
    struct head h;
    struct err e;
    static char copy[2048];
    memcpy(copy, text, strlen(text));
    ck_assert_int_eq(http1_request_parse(copy, strlen(text), &h.req, &e), 1);
    ck_assert_int_eq(route_find(h.req.method, h.req.path, &h.match, &e), 0);
    head_memo_keep(m, copy, &h);
    memset(copy, '#', sizeof copy);
}

static struct head *find(struct head_memo *m, const char *text)
{
    return head_memo_find(m, text, strlen(text), 1000);
}

START_TEST(the_same_head_with_another_length_is_known)
{
    struct head_memo m = {0};
    ck_assert_ptr_null(find(&m, USUAL));
    keep(&m, USUAL);
    struct head *h = find(&m, HEAD("/v1/models/churn:predict", "912", "") "the body");
    ck_assert_ptr_nonnull(h);
    ck_assert_uint_eq(h->req.content_length, 912);
    ck_assert_uint_eq(h->req.head_bytes, sizeof USUAL - 1);
    ck_assert(h->req.keep_alive && h->match.route->handler == ROUTE_V1_PREDICT);
    ck_assert(str_eq(h->match.model, STR("churn")) && h->match.version.n == 0);
    ck_assert(str_eq(h->req.request_id, STR("r7")) && str_eq(h->req.host, STR("x")));
    ck_assert(str_eq(h->req.path, STR("/v1/models/churn:predict")));
}
END_TEST

START_TEST(a_timeout_is_remembered_and_another_one_is_another_head)
{
    struct head_memo m = {0};
    keep(&m, HEAD("/v1/models/churn:predict", "377", "Slipway-Timeout-Ms: 250\r\n"));
    struct head *h = find(&m, HEAD("/v1/models/churn:predict", "912", "Slipway-Timeout-Ms: 250\r\n"));
    ck_assert_ptr_nonnull(h);
    ck_assert_uint_eq(h->req.timeout_ms, 250);
    ck_assert_ptr_null(find(&m, HEAD("/v1/models/churn:predict", "377", "Slipway-Timeout-Ms: 251\r\n")));
    ck_assert_ptr_null(find(&m, USUAL));
}
END_TEST

START_TEST(an_arm_is_remembered_and_none_is_not_one_that_is_empty)
{
    struct head_memo m = {0};
    keep(&m, HEAD("/v1/models/churn:predict", "377", "Slipway-Arm: canary\r\n"));
    struct head *h = find(&m, HEAD("/v1/models/churn:predict", "912", "Slipway-Arm: canary\r\n"));
    ck_assert_ptr_nonnull(h);
    ck_assert(str_eq(h->req.arm, STR("canary")));
    keep(&m, HEAD("/v1/models/churn:predict", "377", "Slipway-Arm: \r\n"));
    h = find(&m, HEAD("/v1/models/churn:predict", "377", "Slipway-Arm: \r\n"));
    ck_assert_ptr_nonnull(h);
    ck_assert(h->req.arm.p && h->req.arm.n == 0);
    keep(&m, USUAL);
    h = find(&m, USUAL);
    ck_assert_ptr_nonnull(h);
    ck_assert_ptr_null(h->req.arm.p);
}
END_TEST

START_TEST(a_head_that_differs_in_any_byte_is_not_known)
{
    struct head_memo m = {0};
    keep(&m, USUAL);
    for (size_t i = 0; i < sizeof USUAL - 1; i++) {
        char other[sizeof USUAL];
        memcpy(other, USUAL, sizeof USUAL);
        other[i] ^= 0x40; // a digit becomes a letter
        ck_assert_msg(!find(&m, other), "byte %zu", i);
        ck_assert(!head_memo_find(&m, USUAL, i, 1000)); // nor one that is not whole
    }
    ck_assert_ptr_nonnull(find(&m, USUAL));
}
END_TEST

START_TEST(a_length_with_more_digits_or_over_the_limit_is_not_known)
{
    struct head_memo m = {0};
    keep(&m, USUAL);
    ck_assert_ptr_null(find(&m, HEAD("/v1/models/churn:predict", "3770", "")));
    ck_assert_ptr_null(find(&m, HEAD("/v1/models/churn:predict", "37", "")));
    ck_assert_ptr_null(find(&m, HEAD("/v1/models/churn:predict", "-37", "")));
    ck_assert_ptr_null(find(&m, HEAD("/v1/models/churn:predict", " 37", "")));
    ck_assert_ptr_null(head_memo_find(&m, USUAL, sizeof USUAL - 1, 376));
    ck_assert_ptr_nonnull(head_memo_find(&m, USUAL, sizeof USUAL - 1, 377));
}
END_TEST

// What is changed in place, is not a prediction, or wants more than an answer is looked at each time.
START_TEST(only_plain_predict_heads_are_kept)
{
    static const char *const OTHERS[] = {
        HEAD("/v1/models/ch%75rn:predict", "377", ""),
        HEAD("/api/v1/models", "377", ""),
        HEAD("/v1/models/churn:predict", "377", "Expect: 100-continue\r\n"),
        "POST /v1/models/churn:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /v1/models/churn:predict HTTP/1.1\r\nHost: x\r\n\r\n",
    };
    struct head_memo m = {0};
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        keep(&m, OTHERS[i]);
        ck_assert_msg(!find(&m, OTHERS[i]), "%s", OTHERS[i]);
    }
    char text[1024], name[600];
    memset(name, 'a', sizeof name);
    snprintf(text, sizeof text,
             "POST /v1/models/%.600s:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 377\r\n\r\n", name);
    keep(&m, text);
    ck_assert_ptr_null(find(&m, text));
}
END_TEST

UNIT_MAIN("role/gateway/head_memo", the_same_head_with_another_length_is_known,
          a_head_that_differs_in_any_byte_is_not_known,
          a_timeout_is_remembered_and_another_one_is_another_head,
          an_arm_is_remembered_and_none_is_not_one_that_is_empty,
          a_length_with_more_digits_or_over_the_limit_is_not_known, only_plain_predict_heads_are_kept)
