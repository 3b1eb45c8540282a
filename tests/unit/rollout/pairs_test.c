// SPDX-License-Identifier: Apache-2.0
#include "rollout/pairs.h"

#include "unit.h"

#include <math.h>
#include <string.h>
#include <yyjson.h>

static struct pairs p;

static void add(uint32_t n_rows, uint32_t n_values, const double *a, const double *b, const char *id)
{
    struct pairs_answer stable = {n_rows, n_values, a, NULL}, shadow = {n_rows, n_values, b, NULL};
    pairs_add(&p, &stable, &shadow, id);
}

START_TEST(rows_that_decide_differently_are_counted)
{
    add(3, 1, (double[]){0.4, 0.6, 0.49}, (double[]){0.45, 0.4, 0.5}, "x");
    ck_assert(p.n == 1 && p.rows == 3 && p.disagree == 2);
    ck_assert(p.confusion[0][0] == 1 && p.confusion[1][0] == 1 && p.confusion[0][1] == 1);
    add(1, 3, (double[]){0.1, 0.7, 0.2}, (double[]){0.1, 0.3, 0.6}, "y");
    ck_assert(p.n == 2 && p.disagree == 3 && p.confusion[1][2] == 1);
}
END_TEST

START_TEST(classes_that_are_named_decide)
{
    struct pairs_answer a = {2, 1, (double[]){0.1, 0.9}, (int64_t[]){7, 99}},
                        b = {2, 1, (double[]){0.9, 0.1}, (int64_t[]){7, 98}};
    pairs_add(&p, &a, &b, "x");
    ck_assert(p.rows == 2 && p.disagree == 1 && p.confusion[7][7] == 1);
    ck_assert_uint_eq(p.confusion[PAIRS_CLASSES - 1][PAIRS_CLASSES - 1], 1); // others, though not the same
}
END_TEST

START_TEST(differences_have_quantiles)
{
    for (int i = 1; i <= 100; i++)
        add(1, 1, (double[]){0}, (double[]){i / 100.0}, "x");
    ck_assert_double_ge(pairs_quantile(&p, 0.5), 0.5);
    ck_assert_double_le(pairs_quantile(&p, 0.5), 0.5 * 1.19);
    ck_assert_double_ge(pairs_quantile(&p, 0.99), 0.99);
    ck_assert_double_le(pairs_quantile(&p, 0.99), 0.99 * 1.19);
    p = (struct pairs){0};
    add(4, 1, (double[]){1, 2, 3, 4}, (double[]){1, 2, 3, 5}, "x");
    ck_assert(pairs_quantile(&p, 0.75) == 0 && pairs_quantile(&p, 1) >= 1);
    ck_assert_uint_eq(p.n_worst, 1); // rows without a difference are no worst ones
    p = (struct pairs){0};
    ck_assert(pairs_quantile(&p, 0.5) == 0);
}
END_TEST

START_TEST(the_worst_rows_are_kept_in_order)
{
    for (int i = 0; i < 20; i++)
        add(1, 2, (double[]){0, 1}, (double[]){0, 1 + (i * 7 % 20)}, "x");
    ck_assert_uint_eq(p.n_worst, PAIRS_WORST);
    for (int i = 0; i < PAIRS_WORST; i++)
        ck_assert(p.worst[i].difference == 19 - i && p.worst[i].stable == 1 && p.worst[i].shadow == 20 - i);
    add(2, 1, (double[]){1, 1}, (double[]){1, (double)NAN}, "nan");
    ck_assert(isnan(p.worst[0].difference) && p.worst[0].row == 1 && strcmp(p.worst[0].id, "nan") == 0);
    ck_assert(p.n_worst == PAIRS_WORST && p.worst[1].difference == 19);
}
END_TEST

START_TEST(what_cannot_be_compared_is_unlike)
{
    struct pairs_answer two = {2, 1, (double[]){1, 2}, NULL}, wide = {2, 2, (double[]){1, 2, 3, 4}, NULL},
                        one = {1, 1, (double[]){1}, NULL}, named = {2, 0, NULL, (int64_t[]){1, 2}};
    pairs_add(&p, &two, &one, "x");
    pairs_add(&p, &two, &wide, "x");
    pairs_add(&p, &named, &wide, "x");
    ck_assert(p.n == 3 && p.unlike == 3 && p.rows == 0);
    pairs_add(&p, &named, &named, "x");
    ck_assert(p.unlike == 3 && p.rows == 2 && p.n_worst == 0);
}
END_TEST

static struct pairs read_back(const struct pairs *from)
{
    struct buf json;
    struct pairs ret;
    struct err e;
    buf_init(&json, 1 << 20);
    pairs_encode(from, &json);
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    ck_assert_msg(doc != NULL, STR_FMT, STR_ARG(buf_str(&json)));
    ck_assert_int_eq(pairs_read(yyjson_doc_get_root(doc), &ret, &e), 0);
    yyjson_doc_free(doc);
    buf_done(&json);
    return ret;
}

START_TEST(text_and_sums_lose_nothing)
{
    add(3, 1, (double[]){0.4, 0.6, 0.49}, (double[]){0.45, 0.4, (double)NAN}, "a \"quoted\" id");
    p.dropped = 5;
    p.shadow_failed = 2;
    struct pairs again = read_back(&p), twice = p;
    ck_assert(isnan(again.worst[0].difference));
    // Field by field: what lies between them has no value.
    ck_assert(again.n == p.n && again.rows == p.rows && again.disagree == p.disagree &&
              again.unlike == p.unlike);
    ck_assert(again.dropped == p.dropped && again.shadow_failed == p.shadow_failed &&
              again.stable_failed == p.stable_failed);
    ck_assert_mem_eq(again.differences, p.differences, sizeof p.differences);
    ck_assert_mem_eq(again.confusion, p.confusion, sizeof p.confusion);
    ck_assert_uint_eq(again.n_worst, p.n_worst);
    for (uint32_t i = 0; i < p.n_worst; i++) {
        ck_assert(again.worst[i].row == p.worst[i].row && strcmp(again.worst[i].id, p.worst[i].id) == 0);
        ck_assert(i == 0 ||
                  (again.worst[i].difference == p.worst[i].difference &&
                   again.worst[i].stable == p.worst[i].stable && again.worst[i].shadow == p.worst[i].shadow));
    }
    pairs_merge(&twice, &again);
    ck_assert(twice.n == 2 && twice.rows == 6 && twice.disagree == 2 * p.disagree && twice.dropped == 10);
    ck_assert(twice.shadow_failed == 4 && twice.confusion[1][0] == 2 && twice.n_worst == 6);
    ck_assert(twice.differences[PAIRS_BUCKETS - 1] == 2);
}
END_TEST

START_TEST(other_texts_are_refused)
{
    static const char *const BAD[] = {
        "[]",
        "{\"n\":-1}",
#define HEAD                                                                                                 \
    "{\"n\":1,\"stable_failed\":0,\"shadow_failed\":0,\"unlike\":0,\"dropped\":0,\"rows\":1,\"disagree\":0,"
        HEAD "\"differences\":[[256,1]],\"confusion\":[],\"worst\":[]}",
        HEAD "\"differences\":[],\"confusion\":[[0,16,1]],\"worst\":[]}",
        HEAD "\"differences\":[],\"confusion\":[],\"worst\":[{\"row\":0}]}",
        HEAD "\"differences\":[],\"confusion\":[]}",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct err e;
        struct pairs ret;
        yyjson_doc *doc = yyjson_read(BAD[i], strlen(BAD[i]), 0);
        ck_assert_msg(pairs_read(yyjson_doc_get_root(doc), &ret, &e) == ERR_INVALID, "accepted: %s", BAD[i]);
        yyjson_doc_free(doc);
    }
}
END_TEST

UNIT_MAIN("rollout/pairs", rows_that_decide_differently_are_counted, classes_that_are_named_decide,
          differences_have_quantiles, the_worst_rows_are_kept_in_order, what_cannot_be_compared_is_unlike,
          text_and_sums_lose_nothing, other_texts_are_refused)
