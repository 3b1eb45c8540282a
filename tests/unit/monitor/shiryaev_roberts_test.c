// SPDX-License-Identifier: Apache-2.0
// The reference is the paper's formula in NumPy, 40,000 runs: with 0.1 against 0.2 and A = 1000 an alarm
// comes after 1,287 labels (standard error 6) without a change, and after 77.9 with one.
#include "monitor/shiryaev_roberts.h"

#include "base/crc32c.h"
#include "stats/random.h"
#include "unit.h"

#include <math.h>
#include <string.h>

static const struct shiryaev_rule STATED = {.expected = 0.1, .ratio = 2, .limit = 1000};
static const struct shiryaev_rule LEARNED = {.ratio = 2, .limit = 1000, .reference = 500};

static uint64_t wrong_of(struct stats_random *r, uint64_t labels, double rate)
{
    return stats_random_binomial(r, labels, rate);
}

// Labels until the alarm, on average; in batches of so many. Those that a rate is learned from do not count.
static double mean_run(const struct shiryaev_rule *rule, double rate, uint64_t batch, int runs)
{
    struct stats_random r;
    double sum = 0;
    stats_random_init(&r, 20);
    for (int i = 0; i < runs; i++) {
        struct shiryaev_roberts d = {0};
        while (rule->reference && d.p0 <= 0)
            shiryaev_roberts_add(&d, rule, batch, wrong_of(&r, batch, 0.1), stats_random_u64(&r));
        while (d.peak < rule->limit && d.labels < 100000)
            shiryaev_roberts_add(&d, rule, batch, wrong_of(&r, batch, rate), stats_random_u64(&r));
        sum += (double)d.labels;
    }
    return sum / runs;
}

START_TEST(label_by_label_it_has_the_run_length_and_the_delay_of_the_reference)
{
    ck_assert_double_eq_tol(mean_run(&STATED, 0.1, 1, 4000), 1287, 60);
    ck_assert_double_eq_tol(mean_run(&STATED, 0.2, 1, 4000), 78, 3);
}
END_TEST

START_TEST(in_batches_it_is_late_by_a_batch_and_no_more_often_wrong)
{
    double quiet = mean_run(&STATED, 0.1, 50, 2000), found = mean_run(&STATED, 0.2, 50, 2000);
    ck_assert_double_ge(quiet, 1200);
    ck_assert_double_le(quiet, 1287 + 50 + 100);
    ck_assert_double_ge(found, 78);
    ck_assert_double_le(found, 78 + 50);
}
END_TEST

START_TEST(a_learned_rate_keeps_the_run_length_and_finds_the_change)
{
    ck_assert_double_ge(mean_run(&LEARNED, 0.1, 50, 500), 1287);
    ck_assert_double_le(mean_run(&LEARNED, 0.25, 50, 500), 200);
    struct shiryaev_roberts d = {0};
    shiryaev_roberts_add(&d, &LEARNED, 499, 50, 1);
    ck_assert(d.p0 <= 0 && d.labels == 0);
    shiryaev_roberts_add(&d, &LEARNED, 1, 0, 2);
    ck_assert_double_eq_tol(d.p0, 0.1294219096319401, 1e-12); // of 50 in 500
    ck_assert_double_eq_tol(d.p1, 2 * d.p0, 1e-12);
    ck_assert_uint_eq(d.labels, 0);
}
END_TEST

START_TEST(after_a_long_change_it_is_over_some_hundred_right_labels_later)
{
    struct shiryaev_roberts d = {0};
    uint64_t quiet = 0;
    shiryaev_roberts_add(&d, &STATED, 100000, 30000, 3);
    ck_assert(isfinite(d.m) && d.m <= SHIRYAEV_CAP * STATED.limit);
    while (d.m >= STATED.limit) {
        shiryaev_roberts_add(&d, &STATED, 10, 1, quiet);
        quiet += 10;
    }
    ck_assert_uint_ge(quiet, 100);
    ck_assert_uint_le(quiet, 400);
    ck_assert_uint_eq(d.labels, 100000 + quiet);
    ck_assert_uint_eq(d.wrong, 30000 + quiet / 10);
}
END_TEST

START_TEST(rates_at_the_ends_stay_rates_and_a_huge_batch_is_sampled)
{
    struct shiryaev_rule none = LEARNED;
    struct shiryaev_roberts all = {0}, few = {0}, huge = {0};
    shiryaev_roberts_add(&all, &none, 500, 500, 1);
    ck_assert(all.p0 < 1 && all.p1 > all.p0 && all.p1 < 1);
    shiryaev_roberts_add(&few, &none, 500, 0, 1);
    ck_assert(few.p0 > 0 && few.p0 < 0.01);
    shiryaev_roberts_add(&few, &none, 0, 0, 1);
    ck_assert(few.m <= 0);
    shiryaev_roberts_add(&huge, &STATED, UINT64_C(1) << 40, UINT64_C(1) << 36,
                         1); // a sixteenth: fewer than p0
    ck_assert_double_lt(huge.m, STATED.limit);
    const struct shiryaev_rule patient = {.expected = 0.1, .ratio = 1.002, .limit = 1000};
    struct shiryaev_roberts slow = {0}; // each of these says little
    shiryaev_roberts_add(&slow, &patient, 20000, 20000, 1);
    ck_assert_double_eq_tol(slow.m, SHIRYAEV_CAP * patient.limit, 1e-6);
    ck_assert_uint_eq(huge.labels, UINT64_C(1) << 40);
}
END_TEST

static int decode(const struct buf *b, struct shiryaev_kept *ret, uint32_t max, uint32_t *n)
{
    struct err e;
    return shiryaev_decode(buf_str(b), ret, max, n, &e);
}

// Makes the checksum right again.
static void seal(struct buf *b)
{
    uint32_t crc = crc32c(0, b->p, b->n - sizeof crc);
    memcpy(b->p + b->n - sizeof crc, &crc, sizeof crc);
}

START_TEST(detectors_come_back_from_their_file_and_damaged_ones_do_not)
{
    struct shiryaev_kept list[2] = {{.deployment = 7, .rule = 9, .arm = 1}, {.deployment = 8}}, again[2];
    struct buf b;
    uint32_t n;
    shiryaev_roberts_add(&list[0].state, &STATED, 1000, 130, 5);
    list[0].state.until = 490000;
    buf_init(&b, 1 << 16);
    shiryaev_encode(list, 2, &b);
    ck_assert_int_eq(decode(&b, again, 2, &n), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_mem_eq(again, list, sizeof list);
    ck_assert_int_eq(decode(&b, again, 1, &n), ERR_DIGEST);
    b.p[40] ^= 1;
    ck_assert_int_eq(decode(&b, again, 2, &n), ERR_DIGEST);
    b.p[40] ^= 1;
    b.n--;
    ck_assert_int_eq(decode(&b, again, 2, &n), ERR_DIGEST);
    buf_clear(&b);
    list[1].state.m = (double)NAN;
    shiryaev_encode(list, 2, &b);
    ck_assert_int_eq(decode(&b, again, 2, &n), ERR_DIGEST);
    b.p[0] = 'X';
    seal(&b);
    ck_assert_int_eq(decode(&b, again, 2, &n), ERR_DIGEST);
    buf_done(&b);
}
END_TEST

UNIT_MAIN("monitor/shiryaev_roberts", label_by_label_it_has_the_run_length_and_the_delay_of_the_reference,
          in_batches_it_is_late_by_a_batch_and_no_more_often_wrong,
          a_learned_rate_keeps_the_run_length_and_finds_the_change,
          after_a_long_change_it_is_over_some_hundred_right_labels_later,
          rates_at_the_ends_stay_rates_and_a_huge_batch_is_sampled,
          detectors_come_back_from_their_file_and_damaged_ones_do_not)
