// SPDX-License-Identifier: Apache-2.0
// Bodies of feedback, sound and hostile; what reads them is watched (--wrap).
#include "asker.h"
#include "role/monitor/models.h"
#include "role/monitor/quality.h"
#include "settings/settings.h"
#include "unit.h"

#include <string.h>
#include <yyjson.h>

static struct settings settings;
static struct monitor m = {.log = {-1, LOG_LEVEL_ERROR, "test", -1}};
static size_t n_parsed; // bytes that were given to yyjson since the request began

yyjson_doc *__real_yyjson_read_opts(char *dat, size_t len, yyjson_read_flag flags, const yyjson_alc *alc,
                                    yyjson_read_err *err);
yyjson_doc *__wrap_yyjson_read_opts(char *dat, size_t len, yyjson_read_flag flags, const yyjson_alc *alc,
                                    yyjson_read_err *err);

yyjson_doc *__wrap_yyjson_read_opts(char *dat, size_t len, yyjson_read_flag flags, const yyjson_alc *alc,
                                    yyjson_read_err *err)
{
    n_parsed += len;
    return __real_yyjson_read_opts(dat, len, flags, alc, err);
}

static void start(void)
{
    struct err e;
    settings_init(&settings);
    asker_start(&m, &settings);
    ck_assert_int_eq(models_new(&m.models, &e), 0);
    ck_assert_int_eq(quality_open(&m, &e), 0);
}

static void end(void)
{
    quality_close(&m);
    models_free(m.models);
    asker_stop(&m);
}

// The answer's JSON; the caller frees it.
static yyjson_doc *post(struct str body, int status)
{
    struct answer a;
    n_parsed = 0;
    asker_ask(&m, "POST", "/api/v1/feedback", false, body, &a);
    ck_assert_msg(a.status == status, "%d: %.300s", a.status, a.body.p);
    size_t parsed = n_parsed;
    yyjson_doc *doc = yyjson_read(a.body.p, a.body.n, 0);
    n_parsed = parsed;
    ck_assert_ptr_nonnull(doc);
    buf_done(&a.body);
    return doc;
}

static uint64_t number(yyjson_doc *doc, const char *name)
{
    return yyjson_get_uint(yyjson_obj_get(yyjson_doc_get_root(doc), name));
}

#define ITEM(last, label)                                                                                    \
    "{\"prediction_id\":\"0190b0f2-7c1e-7a35-9d3c-2f1a5be0c00" last "\",\"label\":" label "}"

START_TEST(items_may_stand_in_any_of_the_ways_that_json_knows)
{
    static const char *const BODIES[] = {
        "[" ITEM("1", "1") "," ITEM("2", "2") "]",
        ITEM("1", "1") "\n" ITEM("2", "2") "\n",
        "\r\n\t " ITEM("1", "1") ITEM("2", "2"),
        ITEM("1", "1") " [" ITEM("2", "2") "]\r\n",
        "{\"prediction_id\" :\n \"0190b0f2-7c1e-7a35-9d3c-2f1a5be0c001\"\n,\n\"label\"\n: 1\n}\n\n" ITEM("2",
                                                                                                         "2"),
    };
    start();
    for (size_t i = 0; i < sizeof BODIES / sizeof BODIES[0]; i++) {
        yyjson_doc *doc = post(str_of(BODIES[i]), 200);
        ck_assert_uint_eq(number(doc, "accepted"), 2);
        ck_assert_uint_eq(number(doc, i ? "unchanged" : "waiting"), 2);
        yyjson_doc_free(doc);
    }
    yyjson_doc *doc = post(STR(ITEM("3", "\"}\\\"{[\"") "7\"8\"{\"label\":\"\\\\\"}[9]null"), 200);
    ck_assert_uint_eq(number(doc, "accepted"), 1);
    ck_assert_uint_eq(number(doc, "refused"), 5);
    yyjson_doc_free(doc);
    end();
}
END_TEST

START_TEST(a_body_is_read_once_whatever_stands_in_it)
{
    enum { BYTES = 100000, HEADS = 1024 }; // heads: of request and answer
    static char body[BYTES];
    static const char *const PARTS[] = {"1\n", "1 ", "[]\n", "{}", "\"\"", "\n\n\n\n1"};
    start();
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        for (size_t k = 0; k < BYTES; k++)
            body[k] = PARTS[i][k % strlen(PARTS[i])];
        size_t n = BYTES - BYTES % strlen(PARTS[i]);
        yyjson_doc_free(post((struct str){body, n}, 200));
        ck_assert_msg(n_parsed < n + HEADS, "'%s': %zu bytes were read %zu times", PARTS[i], n, n_parsed / n);
    }
    end();
}
END_TEST

START_TEST(a_request_has_so_many_labels_and_no_more)
{
    enum { LABELS = 100000 };
    static char body[2 * (LABELS + 1)];
    start();
    for (size_t i = 0; i <= LABELS; i++)
        memcpy(body + 2 * i, "1\n", 2);
    yyjson_doc *doc = post((struct str){body, 2 * (size_t)LABELS}, 200);
    ck_assert_uint_eq(number(doc, "refused"), LABELS);
    yyjson_doc_free(doc);
    doc = post((struct str){body, sizeof body}, 413);
    ck_assert_str_eq(yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "code")), "too_large");
    ck_assert_uint_eq(number(doc, "refused"), LABELS);
    yyjson_doc_free(doc);
    body[0] = '[';
    for (size_t i = 1; i < sizeof body - 1; i += 2)
        memcpy(body + i, "1,", 2);
    memcpy(body + sizeof body - 3, "1 ]", 3);
    yyjson_doc_free(post((struct str){body, sizeof body}, 200)); // as many as there may be
    end();
}
END_TEST

START_TEST(what_was_taken_before_an_error_is_told_with_it)
{
    static const struct str BAD[] = {STR(ITEM("1", "1") "\n" ITEM("2", "{}") "\n{]"), STR("\0"),
                                     STR(ITEM("1", "1") "\n\0\n" ITEM("2", "2"))};
    static const unsigned ACCEPTED[] = {1, 0, 1}, RESULTS[] = {2, 0, 1};
    start();
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        yyjson_doc *doc = post(BAD[i], 400);
        yyjson_val *root = yyjson_doc_get_root(doc), *results = yyjson_obj_get(root, "results");
        ck_assert_str_eq(yyjson_get_str(yyjson_obj_get(root, "code")), "bad_json");
        ck_assert(yyjson_is_uint(yyjson_obj_get(root, "accepted")) && yyjson_is_arr(results));
        ck_assert_uint_eq(number(doc, "accepted"), ACCEPTED[i]);
        ck_assert_uint_eq(yyjson_arr_size(results), RESULTS[i]);
        yyjson_doc_free(doc);
    }
    end();
}
END_TEST

UNIT_MAIN("role/monitor/feedback", items_may_stand_in_any_of_the_ways_that_json_knows,
          a_body_is_read_once_whatever_stands_in_it, a_request_has_so_many_labels_and_no_more,
          what_was_taken_before_an_error_is_told_with_it)
