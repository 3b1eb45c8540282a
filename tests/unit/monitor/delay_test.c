// SPDX-License-Identifier: Apache-2.0
// Delays of labels as they are known while most are still to come; and days of labels.
#include "monitor/delay.h"

#include "monitor/ledger.h"
#include "stats/random.h"
#include "unit.h"

#include <math.h>

enum { HOUR_S = 3600, DAY_S = 24 * HOUR_S };

START_TEST(bins_double)
{
    ck_assert_uint_eq(delay_bin(0), 0);
    ck_assert_uint_eq(delay_bin(1), 1);
    ck_assert_uint_eq(delay_bin(2), 2);
    ck_assert_uint_eq(delay_bin(3), 2);
    ck_assert_uint_eq(delay_bin(4), 3);
    ck_assert_uint_eq(delay_bin(UINT64_MAX), DELAY_BINS - 1);
}
END_TEST

// Of 100 predictions 20 are labelled within a second; of those that are two seconds old or more, which are
// 60, 12 more in the next: of the 48 that were left of these a quarter.
START_TEST(the_curve_is_kaplan_and_meiers)
{
    struct delay_curve c = {0};
    delay_curve_add(&c, 40, (const uint32_t[DELAY_BINS]){8}, 1);
    delay_curve_add(&c, 60, (const uint32_t[DELAY_BINS]){12, 12}, 2);
    delay_curve_add(&c, 1000, (const uint32_t[DELAY_BINS]){500}, 0); // too young to say anything
    delay_curve_finish(&c);
    ck_assert_uint_eq(c.n, 2);
    ck_assert_double_eq_tol(c.within[0], 0.2, 1e-12);
    ck_assert_double_eq_tol(c.within[1], 1 - 0.8 * 0.75, 1e-12);
    ck_assert_double_eq_tol(delay_final(&c), 0.4, 1e-12);
    ck_assert_double_eq_tol(delay_share(&c, 1), 0.5, 1e-12);
    ck_assert_double_eq_tol(delay_share(&c, 0), 0, 1e-12);
    ck_assert_double_eq_tol(delay_quantile(&c, 0.25), 0.5, 1e-12);
    ck_assert_double_eq_tol(delay_quantile(&c, 0.75), sqrt(2), 1e-12); // half way from 1 to 2, as times go
    ck_assert_uint_eq(delay_maturity_s(&c), UINT64_MAX);
}
END_TEST

START_TEST(nothing_is_known_of_nothing_and_all_of_all)
{
    struct delay_curve none = {0}, all = {0};
    delay_curve_finish(&none);
    ck_assert(isnan(delay_final(&none)) && isnan(delay_share(&none, 10)) &&
              isnan(delay_quantile(&none, 0.5)));
    ck_assert_uint_eq(delay_maturity_s(&none), UINT64_MAX);
    delay_curve_add(&all, 10, (const uint32_t[DELAY_BINS]){0, 0, 10}, 5);
    delay_curve_finish(&all);
    ck_assert_double_eq_tol(delay_final(&all), 1, 1e-12);
    ck_assert_uint_eq(delay_maturity_s(&all), 4); // nothing is left that could come
}
END_TEST

// Hours of 200 predictions, of which 80 % get a label: three in ten of those at once, the others a day later.
static void watch(uint64_t hours, struct delay_curve *ret)
{
    struct stats_random r;
    stats_random_init(&r, 6);
    *ret = (struct delay_curve){0};
    for (uint64_t h = 0; h < hours; h++) {
        uint64_t age_s = (hours - 1 - h) * HOUR_S;
        uint32_t labels[DELAY_BINS] = {0};
        for (int i = 0; i < 200; i++) {
            double u = stats_random_unit(&r), wait = stats_random_unit(&r);
            uint64_t delay_s = (uint64_t)(u < 0.24 ? 300 * wait : DAY_S - 4 * HOUR_S + 8 * HOUR_S * wait);
            if (u < 0.8 && delay_s <= age_s + (uint64_t)(stats_random_unit(&r) * HOUR_S))
                labels[delay_bin(delay_s)]++;
        }
        delay_curve_add(ret, 200, labels, age_s);
    }
    delay_curve_finish(ret);
}

START_TEST(labels_that_are_to_come_are_expected_from_those_before)
{
    struct delay_curve c;
    watch(5 * 24, &c);
    ck_assert_double_eq_tol(delay_final(&c), 0.8, 0.01);
    ck_assert_double_eq_tol(delay_share(&c, 2 * HOUR_S), 0.3, 0.02);
    ck_assert_uint_eq(delay_maturity_s(&c),
                      1 << 17); // a day and a half; the shares of those that came say less
    ck_assert_double_gt(delay_quantile(&c, 0.5), 16 * HOUR_S);
    ck_assert_double_lt(delay_quantile(&c, 0.5), 28 * HOUR_S);
    ck_assert_double_lt(delay_quantile(&c, 0.1), 300);
    ck_assert_double_lt(delay_quantile(&c, 0.9), 1 << 17);
}
END_TEST

START_TEST(a_day_is_one_however_its_hours_come)
{
    static struct ledger l;
    struct ledger_unit *u = ledger_day(&l, 49);
    ck_assert_int_eq(u->hour, 48);
    ledger_unit_label(u, 3, true, true, 1);
    ledger_unit_label(ledger_day(&l, 71), 3, true, false, 1);
    ledger_unit_label(ledger_day(&l, 71), 3, false, true, 1);
    ck_assert_int_eq(ledger_day(&l, 10)->hour, 0);
    ck_assert_int_eq(ledger_day(&l, 100)->hour, 96);
    ck_assert_uint_eq(l.n, 3);
    u = &l.days[1];
    ck_assert_uint_eq(u->judged, 2);
    ck_assert_uint_eq(u->wrong, 1);
    ck_assert_uint_eq(u->delays[2], 3);
    ledger_unit_label(u, 3, true, true, -1);
    ck_assert(u->judged == 1 && u->wrong == 0 && u->delays[2] == 2);
    ledger_unit_label(u, 100, true, true, -1); // of an older build
    ck_assert(u->judged == 0 && u->wrong == 0 && u->delays[7] == 0);
    ck_assert_uint_eq(ledger_unit_age_s(u, UINT64_C(72) * HOUR_S * 1000000000), 0);
    ck_assert_uint_eq(ledger_unit_age_s(u, UINT64_C(73) * HOUR_S * 1000000000), HOUR_S);
    for (int day = 5; day < LEDGER_DAYS + 5; day++)
        ck_assert_ptr_nonnull(ledger_day(&l, day * 24));
    ck_assert_uint_eq(l.n, LEDGER_DAYS);
    ck_assert_int_eq(l.days[0].hour, 5 * 24);
    ck_assert_ptr_null(ledger_day(&l, 96));
}
END_TEST

UNIT_MAIN("monitor/delay", bins_double, the_curve_is_kaplan_and_meiers,
          nothing_is_known_of_nothing_and_all_of_all, labels_that_are_to_come_are_expected_from_those_before,
          a_day_is_one_however_its_hours_come)
