// SPDX-License-Identifier: Apache-2.0
#include "monitor/odds.h"
#include "unit.h"

#include <string.h>

enum { BYTES = 2 * ODDS_BYTES_MAX };

static struct odds *make(void)
{
    struct odds *o;
    struct err e;
    ck_assert_int_eq(odds_new(BYTES, &o, &e), 0);
    return o;
}

START_TEST(the_rank_of_the_truth_is_scikit_learns)
{
    // numpy.argsort(p, kind="mergesort")[::-1] is 4 2 0 3 1
    static const float p[] = {0.2f, 0.05f, 0.2f, 0.15f, 0.4f};
    static const unsigned ranks[] = {3, 5, 2, 4, 1};
    double own;
    for (uint32_t i = 0; i < 5; i++) {
        ck_assert_uint_eq(odds_rank(p, sizeof p[0], 5, i, &own), ranks[i]);
        ck_assert_double_eq(own, (double)p[i]);
    }
    double many[40];
    for (int i = 0; i < 40; i++)
        many[i] = 1.0 / 40;
    ck_assert_uint_eq(odds_rank(many, sizeof many[0], 40, 0, &own), ODDS_RANK_MAX);
    ck_assert_uint_eq(odds_rank(many, sizeof many[0], 40, 39, &own), 1);
    ck_assert_double_eq(own, 1.0 / 40);
}
END_TEST

START_TEST(what_was_put_is_there_until_it_is_written_over)
{
    enum { PUT = 5000 };
    static uint32_t places[PUT];
    static size_t sizes[PUT];
    struct odds *o = make();
    char bytes[1000];
    size_t n_gone = 0;
    ck_assert_ptr_null(odds_get(o, 0, 8));
    for (size_t i = 0; i < PUT; i++) {
        sizes[i] = 1 + i * 37 % sizeof bytes;
        memset(bytes, (int)(i % 251), sizes[i]);
        places[i] = odds_put(o, bytes, sizes[i]);
        ck_assert_uint_ne(places[i], 0);
        size_t behind = 0; // from the newest back: all of them are there, until one is not
        for (size_t k = i + 1; k-- > 0 && i - k < 40;) {
            const char *found = odds_get(o, places[k], sizes[k]);
            behind += sizes[k];
            if (!found)
                break;
            for (size_t b = 0; b < sizes[k]; b++)
                ck_assert_int_eq((uint8_t)found[b], (int)(k % 251));
            ck_assert_uint_le(behind, BYTES);
        }
        n_gone += i >= 100 && !odds_get(o, places[i - 100], sizes[i - 100]);
        ck_assert(i < 8 || odds_get(o, places[i - 8], sizes[i - 8])); // 9,000 bytes and what a turn left
    }
    ck_assert_uint_eq(n_gone, PUT - 100);
    ck_assert_uint_eq(odds_put(o, bytes, 0), 0);
    odds_free(o);
}
END_TEST

START_TEST(the_longest_fit_and_longer_ones_are_not_kept)
{
    static char bytes[ODDS_BYTES_MAX + 1];
    struct odds *o = make();
    ck_assert_uint_eq(odds_put(o, bytes, sizeof bytes), 0);
    ck_assert_uint_eq(odds_bytes(o), BYTES);
    for (int i = 0; i < 10; i++) {
        memset(bytes, i, ODDS_BYTES_MAX);
        uint32_t place = odds_put(o, bytes, ODDS_BYTES_MAX);
        ck_assert_mem_eq(odds_get(o, place, ODDS_BYTES_MAX), bytes, ODDS_BYTES_MAX);
        ck_assert_uint_ne(odds_put(o, bytes, 8), 0); // so that the next does not fit behind
    }
    odds_free(o);
}
END_TEST

UNIT_MAIN("monitor/odds", the_rank_of_the_truth_is_scikit_learns,
          what_was_put_is_there_until_it_is_written_over, the_longest_fit_and_longer_ones_are_not_kept)
