// SPDX-License-Identifier: Apache-2.0
// Events of CloudEvents 1.0 as another JSON library reads them.
#include "wire/cloudevents.h"

#include "unit.h"

#include <string.h>
#include <yyjson.h>

static const uint8_t TRACE[16] = {0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6,
                                  0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36},
                     SPAN[8] = {0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}, NONE[16] = {0};

static struct cloudevent event(void)
{
    return (struct cloudevent){.id = "019a-1",
                               .source = "/slipway/host",
                               .type = "slipway.prediction",
                               .subject = "churn/3",
                               .time = "2026-11-22T10:49:29.123456Z",
                               .data = STR("{\"row\":0}"),
                               .trace = TRACE,
                               .span = SPAN,
                               .is_recorded = true};
}

static yyjson_doc *read_back(const struct cloudevent *ev)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    cloudevent_put(ev, &out);
    ck_assert(!out.failed);
    yyjson_doc *doc = yyjson_read(out.p, out.n, 0);
    ck_assert_ptr_nonnull(doc);
    buf_done(&out);
    return doc;
}

static const char *text(yyjson_doc *doc, const char *name)
{
    return yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), name));
}

START_TEST(all_attributes_are_there_and_the_data_is_a_value)
{
    struct cloudevent ev = event();
    yyjson_doc *doc = read_back(&ev);
    ck_assert_uint_eq(yyjson_obj_size(yyjson_doc_get_root(doc)), 9);
    ck_assert_str_eq(text(doc, "specversion"), "1.0");
    ck_assert_str_eq(text(doc, "id"), ev.id);
    ck_assert_str_eq(text(doc, "source"), ev.source);
    ck_assert_str_eq(text(doc, "type"), ev.type);
    ck_assert_str_eq(text(doc, "subject"), ev.subject);
    ck_assert_str_eq(text(doc, "time"), ev.time);
    ck_assert_str_eq(text(doc, "traceparent"), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    ck_assert_str_eq(text(doc, "datacontenttype"), "application/json");
    ck_assert(yyjson_is_uint(yyjson_doc_ptr_get(doc, "/data/row")));
    yyjson_doc_free(doc);
}
END_TEST

START_TEST(what_is_not_known_is_left_out)
{
    struct cloudevent ev = event();
    ev.subject = "";
    ev.trace = NONE;
    ev.rate = 1;
    yyjson_doc *doc = read_back(&ev);
    ck_assert_ptr_null(text(doc, "subject"));
    ck_assert_ptr_null(text(doc, "traceparent"));
    ck_assert_ptr_null(yyjson_obj_get(yyjson_doc_get_root(doc), "sampledrate"));
    yyjson_doc_free(doc);
    ev.trace = TRACE;
    ev.span = NONE; // not a traceparent that could be read
    doc = read_back(&ev);
    ck_assert_ptr_null(text(doc, "traceparent"));
    yyjson_doc_free(doc);
}
END_TEST

START_TEST(a_rate_and_the_flag_of_a_trace_are_said)
{
    struct cloudevent ev = event();
    ev.rate = 80;
    ev.is_recorded = false;
    yyjson_doc *doc = read_back(&ev);
    ck_assert_uint_eq(yyjson_get_uint(yyjson_obj_get(yyjson_doc_get_root(doc), "sampledrate")), 80);
    ck_assert_str_eq(text(doc, "traceparent") + 53, "00");
    yyjson_doc_free(doc);
}
END_TEST

START_TEST(names_cannot_break_out)
{
    struct cloudevent ev = event();
    ev.subject = "a\",\"id\":\"x\n\xff/1";
    yyjson_doc *doc = read_back(&ev);
    ck_assert_str_eq(text(doc, "subject"), "a\",\"id\":\"x\n\xef\xbf\xbd/1");
    ck_assert_str_eq(text(doc, "id"), ev.id);
    yyjson_doc_free(doc);
}
END_TEST

UNIT_MAIN("wire/cloudevents", all_attributes_are_there_and_the_data_is_a_value, what_is_not_known_is_left_out,
          a_rate_and_the_flag_of_a_trace_are_said, names_cannot_break_out)
