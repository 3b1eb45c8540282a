// SPDX-License-Identifier: Apache-2.0
#include "rollout/segments.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <yyjson.h>

static struct segments all, again;

static uint32_t place(const char *value)
{
    return segments_place(&all, str_of(value));
}

static void add(const char *value, double difference)
{
    struct pairs_answer stable = {1, 1, (double[]){0}, NULL}, shadow = {1, 1, &difference, NULL};
    pairs_add(segments_at(&all, place(value)), &stable, &shadow, value);
}

START_TEST(each_value_has_a_place_until_there_is_none_left)
{
    char text[SEGMENT_BYTES + 2];
    ck_assert_uint_eq(place(""), SEGMENT_ABSENT);
    memset(text, 'x', sizeof text);
    text[SEGMENT_BYTES + 1] = '\0';
    ck_assert_uint_eq(place(text), SEGMENT_OTHERS); // too long
    ck_assert_uint_eq(place("\xff"), SEGMENT_OTHERS);
    ck_assert_uint_eq(segments_place(&all, (struct str){"a\0b", 3}), SEGMENT_OTHERS);
    ck_assert_uint_eq(all.n, 0);
    text[SEGMENT_BYTES] = '\0';
    ck_assert_uint_eq(place(text), 0);
    ck_assert_uint_eq(place("\xc3\xa9"), 1);
    for (int i = 2; i < SEGMENTS_MAX + 3; i++) {
        snprintf(text, sizeof text, "%d", i);
        ck_assert_uint_eq(place(text), i < SEGMENTS_MAX ? (uint32_t)i : SEGMENT_OTHERS);
    }
    ck_assert_uint_eq(place("\xc3\xa9"), 1);
    ck_assert_ptr_eq(segments_at(&all, SEGMENT_OTHERS), &all.others);
    ck_assert_ptr_eq(segments_at(&all, SEGMENT_ABSENT), &all.absent);
    segments_clear(&all);
    ck_assert_uint_eq(place("2"), 2); // places stay
}
END_TEST

static int read_text(const char *text, size_t n)
{
    struct err e;
    yyjson_doc *doc = yyjson_read(text, n, 0);
    ck_assert_ptr_nonnull(doc);
    int rc = segments_read(yyjson_doc_get_root(doc), &again, &e);
    yyjson_doc_free(doc);
    return rc;
}

START_TEST(text_and_sums_lose_nothing)
{
    struct buf json;
    add("DE", 1);
    add("FR", 2);
    add("DE", 3);
    add("", 4);
    (void)place("IT"); // nothing came of it
    all.others.dropped = 5;
    buf_init(&json, 1 << 20);
    segments_encode(&all, &json);
    ck_assert_int_eq(read_text(json.p, json.n), 0);
    buf_done(&json);
    ck_assert(again.n == 2 && strcmp(again.of[1].value, "FR") == 0);
    ck_assert(again.of[0].pairs.n == 2 && again.of[0].pairs.worst[0].difference == 3);
    ck_assert(again.absent.n == 1 && again.others.n == 0 && again.others.dropped == 5);
    // The other order of places.
    memset(&all, 0, sizeof all);
    add("FR", 7);
    segments_merge(&all, &again);
    ck_assert(all.n == 2 && all.of[0].pairs.n == 2 && all.of[1].pairs.n == 2 && all.absent.n == 1);
    ck_assert(all.of[0].pairs.worst[0].difference == 7 && all.of[0].pairs.worst[1].difference == 2);
    ck_assert_uint_eq(all.others.dropped, 5);
}
END_TEST

START_TEST(what_has_no_place_in_the_sum_is_among_the_others)
{
    char text[16];
    for (int i = 0; i < SEGMENTS_MAX; i++) {
        snprintf(text, sizeof text, "%d", i);
        add(text, 1);
    }
    again.n = 1;
    snprintf(again.of[0].value, sizeof again.of[0].value, "new");
    again.of[0].pairs.n = 3;
    segments_merge(&all, &again);
    ck_assert(all.n == SEGMENTS_MAX && all.others.n == 3);
}
END_TEST

START_TEST(other_texts_are_refused)
{
#define PAIRS                                                                                                \
    "{\"n\":1,\"stable_failed\":0,\"shadow_failed\":0,\"unlike\":0,\"dropped\":0,\"rows\":0,\"disagree\":0," \
    "\"differences\":[],\"confusion\":[],\"worst\":[]}"
#define DE "{\"value\":\"DE\",\"pairs\":" PAIRS "}"
    static const char *const BAD[] = {
        "[]",
        "{\"of\":{}}",
        "{\"of\":[{\"value\":\"\",\"pairs\":" PAIRS "}]}",
        "{\"of\":[{\"value\":7,\"pairs\":" PAIRS "}]}",
        "{\"of\":[{\"value\":\"DE\"}]}",
        "{\"of\":[" DE "," DE "]}",
        "{\"of\":[],\"others\":[]}",
        "{\"of\":[],\"absent\":{\"n\":-1}}",
    };
    static const char GOOD[] = "{\"of\":[" DE "],\"others\":" PAIRS "}";
    ck_assert_int_eq(read_text(GOOD, strlen(GOOD)), 0);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        ck_assert_msg(read_text(BAD[i], strlen(BAD[i])) == ERR_INVALID, "accepted: %s", BAD[i]);
}
END_TEST

UNIT_MAIN("rollout/segments", each_value_has_a_place_until_there_is_none_left, text_and_sums_lose_nothing,
          what_has_no_place_in_the_sum_is_among_the_others, other_texts_are_refused)
