// SPDX-License-Identifier: Apache-2.0
#include "monitor/quality.h"

#include "monitor/sketch.h"
#include "stats/random.h"
#include "unit.h"

#include <math.h>
#include <string.h>

static const double SCORES[10] = {.1, .4, .35, .8, .2, .9, .65, .5, .7, .3};
static const bool LABELS[10] = {0, 0, 1, 1, 0, 1, 1, 0, 1, 0};

static struct quality quality;

static void add_all(struct quality *q, int sign)
{
    for (int i = 0; i < 10; i++)
        quality_add(q, SCORES[i], LABELS[i], 0.5, sign);
}

START_TEST(classification_reproduces_the_reference)
{
    add_all(&quality, 1);
    ck_assert_uint_eq(quality.n[1][1], 4);
    ck_assert_uint_eq(quality.n[0][1], 1);
    ck_assert_uint_eq(quality.n[1][0], 1);
    ck_assert_uint_eq(quality.n[0][0], 4);
    ck_assert_double_eq_tol(quality_auc(&quality), .92, 1e-12);
    ck_assert_double_eq_tol(quality_log_loss(&quality), .4054935867, 6e-11);
    ck_assert_double_eq_tol(quality_brier(&quality), .1235, 1e-12);
    ck_assert_double_eq_tol(quality_accuracy(&quality), .8, 1e-15);
    ck_assert_double_eq_tol(quality_precision(&quality), .8, 1e-15);
    ck_assert_double_eq_tol(quality_recall(&quality), .8, 1e-15);
    ck_assert_double_eq_tol(quality_specificity(&quality), .8, 1e-15);
    ck_assert_double_eq_tol(quality_f1(&quality), .8, 1e-15);
    ck_assert_double_eq_tol(quality_auc_error(.85, 100, 900), .0245941, 6e-8);
    ck_assert_double_eq_tol(quality_auc_error(.9, 50, 50), .0321239, 6e-8);
}
END_TEST

START_TEST(a_corrected_label_leaves_no_trace)
{
    static struct quality before;
    add_all(&quality, 1);
    before = quality;
    quality_add(&quality, 0.77, false, 0.5, 1);
    quality_add(&quality, 0.77, false, 0.5, -1);
    ck_assert_mem_eq(quality.n, before.n, sizeof before.n);
    ck_assert_mem_eq(quality.by_score, before.by_score, sizeof before.by_score);
    ck_assert_double_eq_tol(quality.log_loss, before.log_loss, 1e-12);
    ck_assert_double_eq_tol(quality.calibration_score[7], before.calibration_score[7], 1e-12);
    static struct quality half;
    add_all(&half, 1);
    quality_merge(&half, &before);
    ck_assert_uint_eq(quality_count(&half), 20);
    ck_assert_double_eq_tol(quality_log_loss(&half), .4054935867, 6e-11);
}
END_TEST

START_TEST(what_is_not_defined_is_not_a_number)
{
    ck_assert(isnan(quality_auc(&quality)) && isnan(quality_precision(&quality)) &&
              isnan(quality_brier(&quality)));
    quality_add(&quality, 0, true, 0.5, 1);
    quality_add(&quality, 1, false, 0.5, 1);
    ck_assert_double_eq_tol(quality_log_loss(&quality), -log(1e-15), 1e-3);
    ck_assert_double_eq(quality_auc(&quality), 0);
    ck_assert_double_eq_tol(quality_calibration_error(&quality), 1, 1e-12);
}
END_TEST

START_TEST(the_area_is_right_for_rare_positives_near_zero)
{
    enum { N = 20000 };
    static double scores[2][N];
    struct stats_random r;
    size_t n[2] = {0};
    double above = 0;
    stats_random_init(&r, 31);
    for (int i = 0; i < N; i++) {
        bool label = stats_random_unit(&r) < 0.02;
        double logit = -6 + (label ? 1.5 : 0) + stats_random_normal(&r), score = 1 / (1 + exp(-logit));
        scores[label][n[label]++] = score;
        quality_add(&quality, score, label, 0.5, 1);
    }
    for (size_t i = 0; i < n[1]; i++)
        for (size_t k = 0; k < n[0]; k++)
            above += scores[1][i] > scores[0][k] ? 1 : scores[1][i] == scores[0][k] ? 0.5 : 0;
    ck_assert_double_eq_tol(quality_auc(&quality), above / ((double)n[0] * (double)n[1]), 1e-4);
}
END_TEST

START_TEST(errors_of_a_regression_add_up)
{
    struct quality_errors e = {0};
    quality_error_add(&e, 3, 1, 1);
    quality_error_add(&e, 1, 4, 1);
    quality_error_add(&e, 100, 0, 1);
    quality_error_add(&e, 100, 0, -1);
    ck_assert_uint_eq(e.n, 2);
    ck_assert_double_eq(e.sum, -1);
    ck_assert_double_eq(e.absolute, 5);
    ck_assert_double_eq(e.squares, 13);
    ck_assert_double_eq(e.over_squares, 4);
}
END_TEST

START_TEST(a_loss_of_a_quantile_follows_from_the_sums)
{
    struct quality_errors e = {0}, half = {0};
    double squares;
    ck_assert(isnan(quality_quantile_loss(&e, 0.9, &squares)) && isnan(squares));
    quality_error_add(&e, 3, 1, 1);
    quality_error_add(&half, 1, 4, 1);
    quality_error_merge(&e, &half);
    // 0.1 * 2 for the one above, 0.9 * 3 for the one below
    ck_assert_double_eq_tol(quality_quantile_loss(&e, 0.9, &squares), (0.2 + 2.7) / 2, 1e-12);
    ck_assert_double_eq_tol(squares, (0.04 + 7.29) / 2, 1e-12);
}
END_TEST

START_TEST(a_size_is_known_within_its_bucket)
{
    double error = (exp2(1.0 / SKETCH_PER_DOUBLING) - 1) / (exp2(1.0 / SKETCH_PER_DOUBLING) + 1) + 1e-9;
    for (double size = 1e-6; size < 1e9; size *= 1.0037)
        ck_assert_double_le(fabs(sketch_middle(sketch_bucket(size)) / size - 1), error);
    ck_assert_int_eq(sketch_bucket(0), -1);
    ck_assert_int_eq(sketch_bucket(1e-300), -1);
    ck_assert_int_eq(sketch_bucket(1e300), SKETCH_BUCKETS - 1);
}
END_TEST

UNIT_MAIN("monitor/quality", classification_reproduces_the_reference, a_corrected_label_leaves_no_trace,
          what_is_not_defined_is_not_a_number, the_area_is_right_for_rare_positives_near_zero,
          errors_of_a_regression_add_up, a_loss_of_a_quantile_follows_from_the_sums,
          a_size_is_known_within_its_bucket)
