// SPDX-License-Identifier: Apache-2.0
#include "wire/otlp.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

static struct buf out;

static yyjson_doc *body(const struct otlp_request *r, size_t n)
{
    buf_init(&out, 1 << 20);
    otlp_begin(&out, "1.2.3");
    for (size_t i = 0; i < n; i++)
        otlp_put_request(&out, i == 0, &r[i]);
    otlp_end(&out);
    yyjson_doc *doc = yyjson_read(out.p, out.n, 0);
    ck_assert_msg(doc != NULL, STR_FMT, STR_ARG(buf_str(&out)));
    buf_done(&out);
    return doc;
}

static const char *text(yyjson_doc *doc, const char *pointer)
{
    yyjson_val *v = yyjson_doc_ptr_get(doc, pointer);
    return yyjson_is_str(v) ? yyjson_get_str(v) : "";
}

#define SPANS "/resourceSpans/0/scopeSpans/0/spans"

static const struct otlp_request ONE = {.trace = {0x4b, [15] = 0x36},
                                        .parent = {0, 0xf0, [7] = 0xb7},
                                        .id = {1, 0x9a, [6] = 0x70, [8] = 0x80, [15] = 9},
                                        .wall_ns = 1700000000123456789u,
                                        .latency_ns = 3000000,
                                        .queue_ns = 1000000,
                                        .compute_ns = 1500000,
                                        .model = "a\"b\n",
                                        .arm = "stable",
                                        .version = 7,
                                        .rows = 12,
                                        .status = 200};

START_TEST(a_request_is_three_spans)
{
    yyjson_doc *doc = body(&ONE, 1);
    ck_assert_str_eq(text(doc, "/resourceSpans/0/resource/attributes/0/key"), "service.name");
    ck_assert_str_eq(text(doc, "/resourceSpans/0/resource/attributes/0/value/stringValue"), "slipway");
    ck_assert_str_eq(text(doc, "/resourceSpans/0/resource/attributes/1/value/stringValue"), "1.2.3");
    ck_assert_uint_eq(yyjson_arr_size(yyjson_doc_ptr_get(doc, SPANS)), 3);
    ck_assert_str_eq(text(doc, SPANS "/0/traceId"), "4b000000000000000000000000000036");
    ck_assert_str_eq(text(doc, SPANS "/0/parentSpanId"), "00f00000000000b7");
    ck_assert_str_eq(text(doc, SPANS "/0/name"), "http.server");
    ck_assert_int_eq(yyjson_get_int(yyjson_doc_ptr_get(doc, SPANS "/0/kind")), 2);
    ck_assert_str_eq(text(doc, SPANS "/0/startTimeUnixNano"), "1700000000123456789");
    ck_assert_str_eq(text(doc, SPANS "/0/endTimeUnixNano"), "1700000000126456789");
    ck_assert_str_eq(text(doc, SPANS "/0/attributes/0/value/stringValue"), "a\"b\n");
    ck_assert_str_eq(text(doc, SPANS "/0/attributes/1/value/intValue"), "7");
    ck_assert_str_eq(text(doc, SPANS "/0/attributes/3/value/intValue"), "12");
    ck_assert_str_eq(text(doc, SPANS "/0/attributes/4/key"), "http.response.status_code");
    ck_assert_str_eq(text(doc, SPANS "/0/attributes/4/value/intValue"), "200");
    ck_assert_str_eq(text(doc, SPANS "/0/attributes/5/value/stringValue"),
                     "019a0000-0000-7000-8000-000000000009");
    ck_assert_ptr_null(yyjson_doc_ptr_get(doc, SPANS "/0/status"));
    const char *server = text(doc, SPANS "/0/spanId");
    ck_assert_uint_eq(strlen(server), 16);
    for (int i = 1; i <= 2; i++) {
        char pointer[80];
        snprintf(pointer, sizeof pointer, SPANS "/%d/parentSpanId", i);
        ck_assert_str_eq(text(doc, pointer), server);
        snprintf(pointer, sizeof pointer, SPANS "/%d/traceId", i);
        ck_assert_str_eq(text(doc, pointer), "4b000000000000000000000000000036");
    }
    ck_assert_str_eq(text(doc, SPANS "/1/name"), "queue");
    ck_assert_str_eq(text(doc, SPANS "/1/startTimeUnixNano"), "1700000000123456789");
    ck_assert_str_eq(text(doc, SPANS "/1/endTimeUnixNano"), "1700000000124456789");
    ck_assert_str_eq(text(doc, SPANS "/2/name"), "compute");
    ck_assert_str_eq(text(doc, SPANS "/2/startTimeUnixNano"), "1700000000124456789");
    ck_assert_str_eq(text(doc, SPANS "/2/endTimeUnixNano"), "1700000000125956789");
    ck_assert_int_eq(yyjson_get_int(yyjson_doc_ptr_get(doc, SPANS "/2/kind")), 1);
    ck_assert_str_ne(text(doc, SPANS "/1/spanId"), text(doc, SPANS "/2/spanId"));
    ck_assert_str_ne(text(doc, SPANS "/1/spanId"), server);
    yyjson_doc_free(doc);
}
END_TEST

START_TEST(a_trace_of_its_own_has_no_parent_and_a_failure_a_status)
{
    struct otlp_request two[2] = {ONE, ONE};
    memset(two[1].parent, 0, sizeof two[1].parent);
    two[1].id[15]++;
    two[1].status = 503;
    yyjson_doc *doc = body(two, 2);
    ck_assert_uint_eq(yyjson_arr_size(yyjson_doc_ptr_get(doc, SPANS)), 6);
    ck_assert_ptr_null(yyjson_doc_ptr_get(doc, SPANS "/3/parentSpanId"));
    ck_assert_int_eq(yyjson_get_int(yyjson_doc_ptr_get(doc, SPANS "/3/status/code")), 2);
    ck_assert_str_ne(text(doc, SPANS "/0/spanId"), text(doc, SPANS "/3/spanId"));
    yyjson_doc_free(doc);
}
END_TEST

UNIT_MAIN("wire/otlp", a_request_is_three_spans, a_trace_of_its_own_has_no_parent_and_a_failure_a_status)
