// SPDX-License-Identifier: Apache-2.0
// The reference values of the relative-risk profile, and that evidence does not depend on how it came.
#include "rollout/evidence.h"
#include "stats/random.h"

#include "unit.h"

#include <math.h>
#include <string.h>

struct reference {
    struct {
        uint32_t weight;
        uint64_t canary, stable;
    } rows[3];
    double lo, hi, log_above, log_below;
};

static const struct reference REFERENCES[] = {
    {{{100000, 10, 30}}, 0.7900, 8.9718, 1.641493, -3.068785},
    {{{100000, 30, 90}}, 1.3935, 5.9243, 7.370199, -3.953108},
    {{{100000, 100, 900}}, 0.6709, 1.4345, -4.131993, 5.384479},
    {{{10000, 2, 60}, {50000, 6, 110}, {100000, 12, 105}}, 0.4591, 2.2739, -2.645386, -1.255074},
    {{{500000, 40, 60}}, 0.3252, 1.3230, -4.109541, 5.912791},
    {{{100000, 0, 50}}, 0, 0.8343, -3.257230, 6.867427},
};
enum { N_REFERENCES = sizeof REFERENCES / sizeof REFERENCES[0] };

START_TEST(the_reference_profiles_are_reproduced)
{
    for (size_t i = 0; i < N_REFERENCES; i++) {
        const struct reference *want = &REFERENCES[i];
        struct counts c = {0};
        double lo, hi;
        for (int k = 0; k < 3; k++)
            counts_add(&c, want->rows[k].weight, want->rows[k].canary, want->rows[k].stable);
        evidence_interval(&c, 0.05, &lo, &hi);
        ck_assert_double_eq_tol(lo, want->lo, 6e-5);
        // The reference searched on a grid of r that is fine, but not finer than this.
        ck_assert_double_eq_tol(hi, want->hi, 6e-5 + 2.5e-5 * want->hi);
        ck_assert_double_eq_tol(evidence_log_above(&c, 1.1), want->log_above, 6e-7);
        ck_assert_double_eq_tol(evidence_log_below(&c, 1.5), want->log_below, 6e-7);
    }
}
END_TEST

START_TEST(the_reference_rates_are_reproduced)
{
    ck_assert_double_eq_tol(evidence_log_rate_below(0, 700, 0.005), 3.273895, 6e-7);
    ck_assert_double_eq_tol(evidence_log_rate_below(3, 2000, 0.005), 1.650452, 6e-7);
    // What has to be seen to show a rate below 0.5 %, at 5 % and at 2.5 %: errors, then requests.
    const uint64_t table[][3] = {{0, 650, 790}, {1, 1420, 1580}, {2, 1940, 2110}, {5, 3150, 3350}};
    for (int i = 0; i < 4; i++) {
        ck_assert_double_ge(evidence_log_rate_below(table[i][0], table[i][1], 0.005), log(20));
        ck_assert_double_lt(evidence_log_rate_below(table[i][0], table[i][1] - 10, 0.005), log(20));
        ck_assert_double_ge(evidence_log_rate_below(table[i][0], table[i][2], 0.005), log(40));
    }
}
END_TEST

static double balance_of(uint64_t canary, uint64_t stable, uint32_t weight)
{
    struct counts c = {0};
    counts_add(&c, weight, canary, stable);
    return evidence_log_unbalanced(&c);
}

START_TEST(the_reference_sample_ratios_are_reproduced)
{
    ck_assert_double_eq_tol(exp(-balance_of(450, 550, 500000)), .03492097, 1e-8);
    ck_assert_double_eq_tol(fmin(1, exp(-balance_of(110, 890, 100000))), 1, 1e-15);
    ck_assert_double_eq_tol(exp(-balance_of(20, 100, 100000)), .39289401, 1e-8);
    ck_assert_double_eq_tol(balance_of(1200, 8800, 100000), 18.432147, 6e-7);
}
END_TEST

START_TEST(without_events_nothing_is_known)
{
    struct counts c = {0};
    double lo, hi;
    evidence_interval(&c, 0.05, &lo, &hi);
    ck_assert_double_eq(lo, 0);
    ck_assert(isinf(hi) && isnan(evidence_best(&c)));
    ck_assert_double_eq(evidence_log_above(&c, 1.1), 0);
    ck_assert_double_eq(evidence_log_below(&c, 1.5), 0);
    counts_add(&c, 0, 5, 5);
    counts_add(&c, WEIGHT_ONE, 5, 5);
    ck_assert_uint_eq(c.n_rows, 0);
}
END_TEST

START_TEST(the_most_likely_ratio_is_that_of_the_rates)
{
    struct counts c = {0};
    counts_add(&c, 100000, 30, 90);
    ck_assert_double_eq_tol(evidence_best(&c), 3, 1e-9);
    counts_add(&c, 500000, 300, 100);
    ck_assert_double_eq_tol(evidence_best(&c), 3, 1e-9);
    struct counts one_sided = {0};
    counts_add(&one_sided, 100000, 4, 0);
    double lo, hi;
    evidence_interval(&one_sided, 0.05, &lo, &hi);
    ck_assert(isinf(evidence_best(&one_sided)) && isinf(hi) && lo > 1);
}
END_TEST

static void assert_equal_bits(const struct counts *a, const struct counts *b)
{
    double x[EVIDENCE_GRID], y[EVIDENCE_GRID], above[2];
    evidence_curve(a, x);
    evidence_curve(b, y);
    ck_assert_mem_eq(x, y, sizeof x);
    above[0] = evidence_log_above(a, 1.1);
    above[1] = evidence_log_above(b, 1.1);
    ck_assert_mem_eq(&above[0], &above[1], sizeof(double));
    ck_assert_uint_eq(evidence_digest(a), evidence_digest(b));
}

// Ticks of random sizes and weights: whole, split in two threads, in single events backwards, and through
// checkpoints at random times.
START_TEST(splitting_merging_and_restarting_change_no_bit)
{
    const uint32_t weights[] = {10000, 50000, 100000, 250000, 500000};
    struct stats_random r;
    stats_random_init(&r, 77);
    for (int run = 0; run < 200; run++) {
        struct counts whole = {0}, threads[2] = {{0}, {0}}, single = {0}, restarted = {0};
        for (int tick = 0; tick < 40; tick++) {
            uint32_t w = weights[stats_random_u64(&r) % 5];
            uint64_t canary = stats_random_u64(&r) % 7, stable = stats_random_u64(&r) % 50;
            uint64_t part = stats_random_u64(&r) % (canary + 1);
            counts_add(&whole, w, canary, stable);
            counts_add(&threads[0], w, part, 0);
            counts_add(&threads[1], w, canary - part, stable);
            for (uint64_t i = 0; i < stable; i++)
                counts_add(&single, w, 0, 1);
            for (uint64_t i = 0; i < canary; i++)
                counts_add(&single, w, 1, 0);
            counts_add(&restarted, w, canary, stable);
            if (stats_random_u64(&r) % 5 == 0) {
                struct buf b;
                struct err e;
                buf_init(&b, 1 << 16);
                counts_encode(&restarted, &b);
                memset(&restarted, 0xaa, sizeof restarted);
                ck_assert_int_eq(counts_decode(buf_str(&b), &restarted, &e), 0);
                buf_done(&b);
            }
        }
        counts_merge(&threads[1], &threads[0]);
        assert_equal_bits(&whole, &threads[1]);
        assert_equal_bits(&whole, &single);
        assert_equal_bits(&whole, &restarted);
    }
}
END_TEST

START_TEST(a_checkpoint_is_read_strictly)
{
    const char *const bad[] = {"",
                               "{}",
                               "[[1,2]]",
                               "[[1,2,3,4]]",
                               "[[0,1,1]]",
                               "[[1000000,1,1]]",
                               "[[5,0,0]]",
                               "[[5,-1,1]]",
                               "[[5,1.0,1]]",
                               "[[5,1,1],[5,1,1]]",
                               "[[6,1,1],[5,1,1]]",
                               "[[5,1,18446744073709551615]]",
                               "[[5,1,1]] x"};
    struct counts c;
    struct err e;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(counts_decode(str_of(bad[i]), &c, &e) != 0, "%s", bad[i]);
    ck_assert_int_eq(counts_decode(STR("[[5,1,1],[6,0,1]]"), &c, &e), 0);
    ck_assert_uint_eq(c.n_rows, 2);
    ck_assert_int_eq(counts_decode(STR("[]"), &c, &e), 0);
}
END_TEST

START_TEST(more_weights_than_there_are_rows_count_as_the_nearest)
{
    struct counts c = {0};
    for (uint32_t i = 1; i <= 3000; i++)
        counts_add(&c, i * 300, 1, 2);
    ck_assert_uint_eq(c.n_rows, COUNTS_WEIGHTS);
    ck_assert_uint_eq(counts_of(&c, ARM_CANARY), 3000);
    ck_assert_uint_eq(counts_of(&c, ARM_STABLE), 6000);
    ck_assert_uint_eq(c.rows[COUNTS_WEIGHTS - 1].n[ARM_CANARY], 3000 - COUNTS_WEIGHTS + 1);
    counts_add(&c, 301, 10, 0);
    ck_assert_uint_eq(c.rows[0].n[ARM_CANARY], 11);
}
END_TEST

UNIT_MAIN("rollout/evidence", the_reference_profiles_are_reproduced, the_reference_rates_are_reproduced,
          the_reference_sample_ratios_are_reproduced, without_events_nothing_is_known,
          the_most_likely_ratio_is_that_of_the_rates, splitting_merging_and_restarting_change_no_bit,
          a_checkpoint_is_read_strictly, more_weights_than_there_are_rows_count_as_the_nearest)
