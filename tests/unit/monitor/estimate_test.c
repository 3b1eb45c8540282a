// SPDX-License-Identifier: Apache-2.0
// Estimates without labels against what simulated labels then say.
#include "monitor/estimate.h"

#include "stats/random.h"
#include "unit.h"

#include <math.h>

static struct score_counts counts;
static struct score_map map;

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

// What the labels of the same rows say.
struct realised {
    double right, positives, above, pairs;
    uint64_t n[2][2], by_bin[2][ESTIMATE_BINS];
};

// Rows whose score is meant by a logit of this mean; it is true with the probability that `sharpness` times
// the logit has, so that at 1 the score is calibrated. With ret NULL their labels are counted to learn from.
static void draw(struct stats_random *r, int rows, double mean, double sharpness, struct realised *ret)
{
    for (int i = 0; i < rows; i++) {
        double logit = mean + 1.5 * stats_random_normal(r), score = sigmoid(logit);
        bool truth = stats_random_unit(r) < sigmoid(sharpness * logit);
        if (ret) {
            counts.predicted[estimate_bin(score)]++;
            ret->n[truth][score >= 0.5]++;
            ret->by_bin[truth][estimate_bin(score)]++;
        } else {
            counts.labelled[truth][estimate_bin(score)]++;
        }
    }
}

static double accuracy_of(const struct realised *x)
{
    double right = (double)(x->n[0][0] + x->n[1][1]), wrong = (double)(x->n[0][1] + x->n[1][0]);
    return right / (right + wrong);
}

static double area_of(const struct realised *x)
{
    double below = 0, above = 0, positives = 0;
    for (int i = 0; i < ESTIMATE_BINS; i++) {
        above += (double)x->by_bin[1][i] * (below + (double)x->by_bin[0][i] / 2);
        below += (double)x->by_bin[0][i];
        positives += (double)x->by_bin[1][i];
    }
    return above / (below * positives);
}

START_TEST(of_calibrated_scores_it_is_what_labels_say_within_its_noise)
{
    struct stats_random r;
    int outside = 0;
    stats_random_init(&r, 11);
    score_map_learn(&map, NULL);
    ck_assert_uint_eq(map.labels, 0);
    for (int run = 0; run < 200; run++) {
        struct realised x = {0};
        struct estimate e;
        counts = (struct score_counts){0};
        draw(&r, 2000, -0.5, 1, &x);
        estimate_of(&counts, &map, true, &e);
        ck_assert_uint_eq(e.rows, 2000);
        outside += accuracy_of(&x) < e.low || accuracy_of(&x) > e.high;
        ck_assert_double_eq_tol(e.auc, area_of(&x), 0.05);
        ck_assert_double_eq_tol(e.precision, (double)x.n[1][1] / (double)(x.n[1][1] + x.n[0][1]), 0.1);
        ck_assert_double_eq_tol(e.recall, (double)x.n[1][1] / (double)(x.n[1][1] + x.n[1][0]), 0.1);
        ck_assert_double_eq_tol(e.f1, 2 * e.precision * e.recall / (e.precision + e.recall), 1e-9);
    }
    ck_assert_int_ge(outside, 2); // 5 % of 200 are 10
    ck_assert_int_le(outside, 22);
}
END_TEST

START_TEST(scores_that_are_too_sure_are_read_as_labels_say_also_where_inputs_have_moved)
{
    struct stats_random r;
    struct estimate believed, learned;
    int outside = 0;
    stats_random_init(&r, 12);
    for (int run = 0; run < 60; run++) {
        struct realised x = {0};
        counts = (struct score_counts){0};
        draw(&r, 3000, 0, 0.4, NULL);
        draw(&r, 20000, 1, 0.4, &x); // the inputs are others now
        score_map_learn(&map, &counts);
        ck_assert_uint_eq(map.labels, 3000);
        estimate_of(&counts, &map, true, &learned);
        outside += accuracy_of(&x) < learned.low || accuracy_of(&x) > learned.high;
        score_map_learn(&map, NULL);
        estimate_of(&counts, &map, true, &believed);
        ck_assert_double_gt(believed.low, accuracy_of(&x) + 0.05);
        ck_assert_double_eq_tol(learned.auc, area_of(&x), 0.05);
    }
    ck_assert_int_le(outside, 8); // 5 % of 60 are 3
}
END_TEST

START_TEST(of_several_classes_it_is_the_mean_confidence)
{
    struct estimate e;
    struct score_counts c = {0};
    for (int i = 0; i < 1000; i++)
        c.predicted[estimate_bin(i % 2 ? 0.4 : 0.8)]++;
    score_map_learn(&map, NULL);
    estimate_of(&c, &map, false, &e);
    ck_assert_double_eq_tol(e.accuracy, 0.6, 0.01);
    ck_assert(isnan(e.precision) && isnan(e.auc));
    c = (struct score_counts){0};
    estimate_of(&c, &map, false, &e);
    ck_assert_uint_eq(e.rows, 0);
    ck_assert(isnan(e.accuracy));
}
END_TEST

START_TEST(the_map_rises_and_few_labels_make_none)
{
    struct score_counts c = {0};
    c.labelled[0][estimate_bin(0.9)] = ESTIMATE_LABELS_MIN - 1;
    score_map_learn(&map, &c);
    ck_assert_uint_eq(map.labels, 0);
    ck_assert_double_eq_tol(map.p[estimate_bin(0.9)], 0.9, 0.01);
    c.labelled[1][estimate_bin(0.2)] = 100;
    score_map_learn(&map, &c);
    ck_assert_uint_eq(map.labels, ESTIMATE_LABELS_MIN + 99);
    for (int i = 1; i < ESTIMATE_BINS; i++)
        ck_assert_double_ge(map.p[i], map.p[i - 1]);
    // Between both, where all is put together, a third is true; besides 30 bins have a word each.
    ck_assert_double_eq_tol(map.p[estimate_bin(0.5)], (100 + 30 * 0.55) / (299 + 30), 0.01);
    ck_assert_uint_eq(estimate_bin(0), 0);
    ck_assert_uint_eq(estimate_bin(1), ESTIMATE_BINS - 1);
    ck_assert_uint_eq(estimate_bin(0.5), ESTIMATE_BINS / 2);
    ck_assert_uint_eq(estimate_bin(0.4999999), ESTIMATE_BINS / 2 - 1);
}
END_TEST

UNIT_MAIN("monitor/estimate", of_calibrated_scores_it_is_what_labels_say_within_its_noise,
          scores_that_are_too_sure_are_read_as_labels_say_also_where_inputs_have_moved,
          of_several_classes_it_is_the_mean_confidence, the_map_rises_and_few_labels_make_none)
