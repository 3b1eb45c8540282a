// SPDX-License-Identifier: Apache-2.0
#include "wire/exposition.h"

#include "base/limits.h"
#include "unit.h"

#include <math.h>

static struct buf out;

static void expect(const char *text)
{
    ck_assert_msg(str_eq(buf_str(&out), str_of(text)), "'" STR_FMT "' is not '%s'", STR_ARG(buf_str(&out)),
                  text);
    buf_clear(&out);
}

START_TEST(a_family_and_its_samples)
{
    buf_init(&out, 1 << 20);
    exposition_family(&out, "a_total", "counter", "How many.");
    struct exposition x = exposition_begin(&out, "a", "_total");
    exposition_end_u64(&x, UINT64_MAX);
    x = exposition_begin(&out, "a", "_total");
    exposition_label(&x, "model", STR("m"));
    exposition_label_u64(&x, "version", 3);
    exposition_end_u64(&x, 0);
    expect("# HELP a_total How many.\n# TYPE a_total counter\na_total 18446744073709551615\n"
           "a_total{model=\"m\",version=\"3\"} 0\n");
    buf_done(&out);
}
END_TEST

START_TEST(values_are_written_whole)
{
    const struct {
        double value;
        const char *text;
    } cases[] = {{0.1, "a 0.1\n"},     {-2, "a -2.0\n"},       {1.0 / 3, "a 0.3333333333333333\n"},
                 {NAN, "a NaN\n"},     {INFINITY, "a +Inf\n"}, {-INFINITY, "a -Inf\n"},
                 {1e300, "a 1e+300\n"}};
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct exposition x = exposition_begin(&out, "a", "");
        exposition_end_double(&x, cases[i].value);
        expect(cases[i].text);
    }
    struct exposition x = exposition_begin(&out, "a", "_sum");
    exposition_end_ns(&x, 12345678901234567u);
    expect("a_sum 12345678.901234567\n");
    x = exposition_begin(&out, "a", "_sum");
    exposition_end_ns(&x, 7);
    expect("a_sum 0.000000007\n");
    buf_done(&out);
}
END_TEST

START_TEST(no_label_value_breaks_the_page)
{
    buf_init(&out, 1 << 20);
    struct exposition x = exposition_begin(&out, "a", "");
    exposition_label(&x, "feature", STR("a\\b\"c\nd} 9\n\xC3\xA4\xFF\xC3"));
    exposition_end_u64(&x, 1);
    expect("a{feature=\"a\\\\b\\\"c\\nd} 9\\n\xC3\xA4\xEF\xBF\xBD\xEF\xBF\xBD\"} 1\n");
    buf_done(&out);
}
END_TEST

START_TEST(the_cap_takes_the_first_and_counts_the_rest)
{
    struct exposition_cap c = {0};
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_int_eq(exposition_cap_take(&c), i < LIMIT_METRICS_FEATURES);
    ck_assert_uint_eq(c.n, 200);
    ck_assert_uint_eq(c.n_left_out, 800);
}
END_TEST

UNIT_MAIN("wire/exposition", a_family_and_its_samples, values_are_written_whole,
          no_label_value_breaks_the_page, the_cap_takes_the_first_and_counts_the_rest)
