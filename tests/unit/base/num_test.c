// SPDX-License-Identifier: Apache-2.0
// Reading is compared with the C library's strtod (exact in glibc; the tests run in the C locale), writing by
// reading back. tests/slow/num_roundtrip.c does the same for millions of numbers.
#include "base/num.h"

#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static uint64_t random_bits(uint64_t *state) // SplitMix64
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double double_of(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static float float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static bool same(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static void reads_like_strtod(const char *text)
{
    double got;
    size_t used;
    bool ok = num_parse_double(text, strlen(text), &got, &used) && used == strlen(text);
    if (!ok || !same(got, strtod(text, NULL)))
        ck_abort_msg("%s: got %a, expected %a", text, ok ? got : NAN, strtod(text, NULL));
}

static bool double_comes_back(double v)
{
    char text[NUM_TEXT_MAX + 1];
    size_t used, n = num_write_double(v, text);
    double back;
    return n <= 24 && num_parse_double(text, n, &back, &used) && used == n && same(back, v);
}

static bool float_comes_back(float v)
{
    char text[NUM_TEXT_MAX + 1];
    size_t used, n = num_write_float(v, text);
    double back;
    return n <= 19 && num_parse_double(text, n, &back, &used) && used == n && (float)back == v &&
           signbit((float)back) == signbit(v);
}

START_TEST(hard_numbers_read_like_strtod)
{
    static const char *const TEXTS[] = {
        "0",
        "-0",
        "0.0",
        "-0.0e5",
        "1",
        "-1",
        "0.1",
        "3.14",
        "1e22",
        "1e23",
        "123456789012345678",
        "9007199254740993",
        "9007199254740992.99999999999999999999",
        "9007199254740993.0000000000000000001",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "1e309",
        "1e400",
        "2.2250738585072014e-308",
        "2.2250738585072011e-308",
        "2.225073858507201136057409796709131975934e-308",
        "4.9406564584124654e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "1e-323",
        "1e-400",
        "6631236846766476e-316",
        "3237883913302901289588352197e-333",
        "5e-324",
        "1e-99999999999999999999",
        "0.500000000000000166533453693773481063544750213623046875",
        "3.518437208883201171875e13",
        "62.5364939768271845828",
        "8.10109172351e-10",
        "1.50000000000000011102230246251565404236316680908203125",
        "1.50000000000000011102230246251565404236316680908203124",
        "1.50000000000000011102230246251565404236316680908203126",
        "7.2057594037927933e16",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999e-20",
        "0.00000000000000000000000000000000000000000000000000012345678901234567890123456789",
        "1797693134862315807937289714053034150799341327100378269361737789804449682927647509466490179775872070"
        "96"
        "3302864166928879109465555478519404026306574886715058206819089020007083836762738548458177115317644757"
        "30"
        "270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880",
    };
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++)
        reads_like_strtod(TEXTS[i]);
}
END_TEST

// The midpoint of two doubles written out in full, and its neighbours one digit away.
START_TEST(midpoints_round_to_even_and_their_neighbours_do_not)
{
    uint64_t state = 1;
    for (int i = 0; i < 3000; i++) {
        char text[1200];
        uint64_t bits = random_bits(&state) & ~((uint64_t)1 << 63);
        double low = double_of(bits), high = double_of(bits + 1);
        if (!isfinite(high))
            continue;
        snprintf(text, sizeof text, "%.1100Le", ((long double)low + (long double)high) / 2);
        if (i % 2) // with the zeros that only a slow reader can skip
            reads_like_strtod(text);
        char *e = strchr(text, 'e'), exponent[16];
        snprintf(exponent, sizeof exponent, "%s", e);
        char *last = e;
        while (last[-1] == '0')
            last--;
        snprintf(last, 32, "%s", exponent);
        reads_like_strtod(text);
        snprintf(last, 32, "0000000001%s", exponent);
        reads_like_strtod(text);
        if (last[-1] > '0' && last[-1] <= '9') {
            last[-1]--;
            snprintf(last, 32, "99999%s", exponent);
            reads_like_strtod(text);
        }
    }
}
END_TEST

START_TEST(random_texts_read_like_strtod)
{
    uint64_t state = 2;
    for (int i = 0; i < 200000; i++) {
        char text[64];
        uint64_t a = random_bits(&state), b = random_bits(&state);
        a >>= b % 64;
        int exponent = (int)(b >> 8) % 345;
        if (i % 3 == 0)
            snprintf(text, sizeof text, "%llu.%llue%d", (unsigned long long)(a % 1000), (unsigned long long)b,
                     exponent);
        else if (i % 3 == 1)
            snprintf(text, sizeof text, "-%llu%llue%d", (unsigned long long)a, (unsigned long long)b,
                     -exponent);
        else
            snprintf(text, sizeof text, "%.*g", (int)(b % 20) + 1,
                     double_of((b & ~((uint64_t)0x7ff << 52)) | (uint64_t)(1000 + b % 50) << 52));
        const char *first = text + (text[0] == '-');
        if (first[0] == '0' && first[1] >= '0' && first[1] <= '9')
            continue;
        reads_like_strtod(text);
    }
}
END_TEST

START_TEST(only_json_numbers_are_numbers)
{
    static const char *const WRONG[] = {"",    "-",    "+1", "01",  "-01",   "00",  ".5",
                                        "1.",  "1.e5", "1e", "1e+", "1.5e-", "NaN", "Infinity",
                                        "inf", "--1",  "e5", "-.5", " 1"};
    double d;
    size_t used;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        ck_assert_msg(!num_parse_double(WRONG[i], strlen(WRONG[i]), &d, &used), "%s", WRONG[i]);
    ck_assert(num_parse_double("12,", 3, &d, &used) && used == 2 && d == 12);
    ck_assert(num_parse_double("123", 2, &d, &used) && used == 2 && d == 12);
    ck_assert(num_parse_double("1.5.5", 5, &d, &used) && used == 3 && d == 1.5);
    static const struct {
        const char *text;
        double v;
    } LOOSE[] = {{"+1", 1},     {"01", 1},      {".5", 0.5},      {"5.", 5},
                 {"-.5e1", -5}, {"1e+02", 100}, {"-00.25", -0.25}};
    for (size_t i = 0; i < sizeof LOOSE / sizeof LOOSE[0]; i++)
        ck_assert(num_parse_loose(LOOSE[i].text, strlen(LOOSE[i].text), &d, &used) && d == LOOSE[i].v &&
                  used == strlen(LOOSE[i].text));
    ck_assert(!num_parse_loose("nan", 3, &d, &used) && !num_parse_loose(".", 1, &d, &used) &&
              !num_parse_loose("", 0, &d, &used));
}
END_TEST

START_TEST(texts_have_the_layout_of_python_repr)
{
    static const struct {
        double v;
        const char *text;
    } DOUBLES[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {3, "3.0"},
        {-100, "-100.0"},
        {0.1, "0.1"},
        {0.0001, "0.0001"},
        {0.00001, "1e-05"},
        {1e-7, "1e-07"},
        {1.5e-10, "1.5e-10"},
        {123456.789, "123456.789"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e+16"},
        {12345678901234567890.0, "1.2345678901234567e+19"},
        {1e300, "1e+300"},
        {5e-324, "5e-324"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {9007199254740991, "9007199254740991.0"},
        {2.0 / 3, "0.6666666666666666"},
        {0x1p63, "9.223372036854775808e+18"},
    };
    static const struct {
        float v;
        const char *text;
    } FLOATS[] = {{0.1f, "0.1"},
                  {16777216, "16777216.0"},
                  {3.4028235e38f, "3.4028235e+38"},
                  {1e-45f, "1e-45"},
                  {0.3f, "0.3"},
                  {1.17549435e-38f, "1.1754944e-38"},
                  {-2.5f, "-2.5"},
                  {1e9f, "1000000000.0"},
                  {0.33333334f, "0.33333334"},
                  {-7.0385307e-26f, "-7.0385307e-26"}};
    char text[NUM_TEXT_MAX];
    for (size_t i = 0; i < sizeof DOUBLES / sizeof DOUBLES[0]; i++) {
        size_t n = num_write_double(DOUBLES[i].v, text);
        const char *expected = DOUBLES[i].v == 0x1p63 ? "9.223372036854776e+18" : DOUBLES[i].text;
        ck_assert_msg(n == strlen(expected) && memcmp(text, expected, n) == 0, "%.*s, expected %s", (int)n,
                      text, expected);
    }
    for (size_t i = 0; i < sizeof FLOATS / sizeof FLOATS[0]; i++) {
        size_t n = num_write_float(FLOATS[i].v, text);
        ck_assert_msg(n == strlen(FLOATS[i].text) && memcmp(text, FLOATS[i].text, n) == 0,
                      "%.*s, expected %s", (int)n, text, FLOATS[i].text);
    }
}
END_TEST

// No text with fewer digits reads back to the same number; of those with as many, none is nearer.
static void is_shortest(double v, const char *text, size_t n)
{
    char other[40];
    int n_digits = 0;
    for (size_t i = 0; i < n && text[i] != 'e'; i++)
        n_digits += text[i] >= '0' && text[i] <= '9' && (n_digits > 0 || text[i] != '0');
    for (int k = 1; k <= 17; k++) {
        snprintf(other, sizeof other, "%.*e", k - 1, v);
        if (strtod(other, NULL) == v) {
            char written[40];
            snprintf(written, sizeof written, "%.*s", (int)n, text);
            double mine = strtod(written, NULL);
            ck_assert(mine == v);
            ck_assert_msg(n_digits <= k || (text[n - 1] == '0' && text[n - 2] == '.'), "%.*s but %s", (int)n,
                          text, other);
            return;
        }
    }
}

START_TEST(written_numbers_come_back_and_are_shortest)
{
    uint64_t state = 3;
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = random_bits(&state);
        double d =
            double_of(i % 2 ? bits : (bits & ~((uint64_t)0x7ff << 52)) | (uint64_t)(1000 + bits % 50) << 52);
        float f = float_of((uint32_t)(bits >> 7));
        if (isfinite(d) && !double_comes_back(d))
            ck_abort_msg("%a", d);
        if (isfinite(f) && !float_comes_back(f))
            ck_abort_msg("%a", (double)f);
        if (isfinite(d) && i < 20000) {
            char text[NUM_TEXT_MAX];
            is_shortest(d, text, num_write_double(d, text));
        }
    }
    for (int e = 0; e < 2047; e++) { // powers of two, where the interval is uneven
        ck_assert(double_comes_back(double_of((uint64_t)e << 52)));
        ck_assert(e > 254 || float_comes_back(float_of((uint32_t)e << 23)));
    }
}
END_TEST

START_TEST(integers_are_written_whole)
{
    char text[NUM_TEXT_MAX];
    ck_assert(num_write_i64(0, text) == 1 && text[0] == '0');
    ck_assert(num_write_i64(INT64_MIN, text) == 20 && memcmp(text, "-9223372036854775808", 20) == 0);
    ck_assert(num_write_i64(INT64_MAX, text) == 19 && memcmp(text, "9223372036854775807", 19) == 0);
    ck_assert(num_write_i64(-100, text) == 4 && memcmp(text, "-100", 4) == 0);
}
END_TEST

UNIT_MAIN("base/num", hard_numbers_read_like_strtod, midpoints_round_to_even_and_their_neighbours_do_not,
          random_texts_read_like_strtod, only_json_numbers_are_numbers, texts_have_the_layout_of_python_repr,
          written_numbers_come_back_and_are_shortest, integers_are_written_whole)
