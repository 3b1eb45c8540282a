// SPDX-License-Identifier: Apache-2.0
// The protobuf is read back here by a decoder of its own, which writes the text format again.
#include "wire/exposition_proto.h"

#include "base/num.h"
#include "unit.h"
#include "wire/exposition.h"
#include "wire/protobuf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- decoding

struct field {
    uint32_t number, type;
    uint64_t value;    // types 0 and 1
    struct str inside; // type 2
};

static uint64_t cut_varint(struct str *m)
{
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
        ck_assert(m->n > 0 && shift < 64);
        unsigned char c = (unsigned char)*m->p;
        v |= (uint64_t)(c & 0x7f) << shift;
        *m = (struct str){m->p + 1, m->n - 1};
        if (c < 0x80)
            return v;
    }
}

static struct str cut_bytes(struct str *m, uint64_t n)
{
    ck_assert_uint_le(n, m->n);
    struct str s = {m->p, n};
    *m = (struct str){m->p + n, m->n - n};
    return s;
}

static bool next(struct str *m, struct field *f)
{
    if (m->n == 0)
        return false;
    uint64_t tag = cut_varint(m);
    *f = (struct field){.number = (uint32_t)(tag >> 3), .type = tag & 7};
    if (f->type == 2) {
        f->inside = cut_bytes(m, cut_varint(m));
    } else if (f->type == 1) {
        struct str s = cut_bytes(m, 8);
        for (int i = 7; i >= 0; i--)
            f->value = f->value << 8 | (unsigned char)s.p[i];
    } else {
        ck_assert_uint_eq(f->type, 0);
        f->value = cut_varint(m);
    }
    return true;
}

// Field n of a message that has it once.
static struct field only(struct str m, uint32_t number)
{
    struct field f, found = {0};
    unsigned n = 0;
    while (next(&m, &f))
        if (f.number == number) {
            found = f;
            n++;
        }
    ck_assert_msg(n == 1, "field %u is there %u times", number, n);
    return found;
}

static double as_double(struct field f)
{
    double x;
    ck_assert_uint_eq(f.type, 1);
    memcpy(&x, &f.value, sizeof x);
    return x;
}

static int64_t as_sint(struct field f)
{
    ck_assert_uint_eq(f.type, 0);
    return (int64_t)(f.value >> 1) ^ -(int64_t)(f.value & 1);
}

// ---- writing it as text

struct shown {
    struct buf *out;
    struct str name;
    struct str metric; // whose labels are written
};

static struct exposition begin(const struct shown *s, const char *suffix)
{
    char name[128];
    struct str rest = s->metric;
    struct field f;
    snprintf(name, sizeof name, STR_FMT, STR_ARG(s->name));
    struct exposition x = exposition_begin(s->out, name, suffix);
    while (next(&rest, &f))
        if (f.number == 1) {
            snprintf(name, sizeof name, STR_FMT, STR_ARG(only(f.inside, 1).inside));
            exposition_label(&x, name, only(f.inside, 2).inside);
        }
    return x;
}

static void show_native(const struct shown *s, struct str histogram)
{
    struct str spans = histogram, deltas = histogram;
    struct field f, d;
    int64_t bucket = 0, n = 0;
    ck_assert_double_eq(as_double(only(histogram, 6)), ldexp(1, -128));
    buf_printf(s->out, "# NATIVE %" PRId64 " %" PRIu64, as_sint(only(histogram, 5)),
               only(histogram, 7).value);
    while (next(&spans, &f)) {
        if (f.number != 12)
            continue;
        bucket += as_sint(only(f.inside, 1));
        for (uint64_t k = only(f.inside, 2).value; k > 0; k--, bucket++) {
            do
                ck_assert(next(&deltas, &d));
            while (d.number != 13);
            n += as_sint(d);
            buf_printf(s->out, " %" PRId64 ":%" PRId64, bucket, n);
        }
    }
    while (next(&deltas, &d))
        ck_assert_uint_ne(d.number, 13);
    buf_putc(s->out, '\n');
}

static bool has(struct str m, uint32_t number)
{
    struct field f;
    while (next(&m, &f))
        if (f.number == number)
            return true;
    return false;
}

static void show_histogram(const struct shown *s, struct str histogram)
{
    struct str rest = histogram;
    struct field f;
    char le[NUM_TEXT_MAX + 1];
    if (has(histogram, 5))
        show_native(s, histogram);
    while (next(&rest, &f)) {
        if (f.number != 3)
            continue;
        double bound = as_double(only(f.inside, 2));
        struct exposition x = begin(s, "_bucket");
        snprintf(le, sizeof le, isinf(bound) ? "+Inf" : "%.17g", bound);
        exposition_label(&x, "le", str_of(le));
        exposition_end_u64(&x, only(f.inside, 1).value);
    }
    struct exposition x = begin(s, "_sum");
    exposition_end_double(&x, as_double(only(histogram, 2)));
    x = begin(s, "_count");
    exposition_end_u64(&x, only(histogram, 1).value);
}

static void show_family(struct str family, struct buf *out)
{
    static const char *const TYPES[] = {"counter", "gauge", "", "", "histogram"};
    static const uint32_t VALUES[] = {3, 2, 0, 0, 7};
    uint64_t type = only(family, 3).value;
    struct shown s = {.out = out, .name = only(family, 1).inside};
    struct field f;
    ck_assert_uint_lt(type, sizeof TYPES / sizeof TYPES[0]);
    buf_printf(out, "# HELP " STR_FMT " " STR_FMT "\n# TYPE " STR_FMT " %s\n", STR_ARG(s.name),
               STR_ARG(only(family, 2).inside), STR_ARG(s.name), TYPES[type]);
    while (next(&family, &f)) {
        if (f.number != 4)
            continue;
        s.metric = f.inside;
        struct str value = only(f.inside, VALUES[type]).inside;
        if (type == 4) {
            show_histogram(&s, value);
        } else {
            struct exposition x = begin(&s, "");
            exposition_end_double(&x, as_double(only(value, 1)));
        }
    }
}

static void expect_again(const char *page, const char *text)
{
    struct buf proto, out;
    struct err e;
    buf_init(&proto, 1 << 20);
    buf_init(&out, 1 << 20);
    int rc = exposition_proto(str_of(page), &proto, &e);
    ck_assert_msg(rc == 0, "%s", rc ? e.msg : "");
    ck_assert(!proto.failed);
    for (struct str rest = buf_str(&proto); rest.n;)
        show_family(cut_bytes(&rest, cut_varint(&rest)), &out);
    ck_assert_msg(str_eq(buf_str(&out), str_of(text)), "'" STR_FMT "' is not '%s'", STR_ARG(buf_str(&out)),
                  text);
    buf_done(&proto);
    buf_done(&out);
}

// ---- tests

START_TEST(families_come_back_as_they_were)
{
    static const char PAGE[] = "# HELP a_total How many.\n# TYPE a_total counter\na_total 3.0\n"
                               "# HELP b Some \"thing\".\n# TYPE b gauge\n"
                               "b{model=\"m\",version=\"3\"} -0.25\n"
                               "b{model=\"a\\\\b\\\"c\\nd} 9, \xC3\xA4\"} +Inf\n"
                               "b{model=\"\"} -Inf\nb{model=\"x\"} NaN\nb{model=\"y\"} 1e-07\n";
    expect_again(PAGE, PAGE);
    expect_again("", "");
    // A family without samples is as none.
    expect_again(
        "# HELP n No.\n# TYPE n gauge\n# HELP a A.\n# TYPE a gauge\na 1.0\n# HELP z Z.\n# TYPE z histogram\n",
        "# HELP a A.\n# TYPE a gauge\na 1.0\n");
}
END_TEST

START_TEST(histograms_come_back_with_both_kinds_of_buckets)
{
    static const char PAGE[] =
        "# HELP h H.\n# TYPE h histogram\n"
        "# NATIVE 3 7 -239:1 -238:18446744073709 -200:2 -199:1 -197:3 0:4 82:1\n"
        "h_bucket{model=\"m\",le=\"0.5\"} 7\nh_bucket{model=\"m\",le=\"1\"} 9007199254740993\n"
        "h_bucket{model=\"m\",le=\"+Inf\"} 18446744073709551615\n"
        "h_sum{model=\"m\"} 0.25\nh_count{model=\"m\"} 18446744073709551615\n"
        "# NATIVE 0 0\n"
        "h_bucket{model=\"n\",le=\"+Inf\"} 0\nh_sum{model=\"n\"} 0.0\nh_count{model=\"n\"} 0\n"
        "h_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\n"
        "# HELP i I.\n# TYPE i histogram\n"
        "# NATIVE 0 0 0:5 13:1\ni_bucket{le=\"+Inf\"} 6\ni_sum 9000.0\ni_count 6\n";
    expect_again(PAGE, PAGE);
}
END_TEST

START_TEST(what_is_no_page_is_refused_with_its_line)
{
    static const struct {
        const char *page, *why;
    } CASES[] = {
        {"a 1\n", "line 1 of"},
        {"# HELP a A.\na 1\n", "line 2 of"},
        {"# HELP a A.\n# TYPE b gauge\n", "line 2 of"},
        {"# HELP a A.\n# TYPE a summary\n", "line 2 of"},
        {"# TYPE a gauge\n", "line 1 of"},
        {"# HELP a A.\n# TYPE a gauge\na x\n", "line 3 of"},
        {"# HELP a A.\n# TYPE a gauge\na\n", "line 3 of"},
        {"# HELP a A.\n# TYPE a gauge\nab 1\n", "line 3 of"},
        {"# HELP a A.\n# TYPE a gauge\na{b=\"c\" 1\n", "line 3 of"},
        {"# HELP a A.\n# TYPE a gauge\na{b=\"c\\\"} 1\n", "line 3 of"},
        {"# HELP a A.\n# TYPE a gauge\na{b} 1\n", "line 3 of"},
        {"# HELP a A.\n# TYPE a gauge\n# NATIVE 3 0\n", "line 3 of"},
        {"# HELP a A.\n# TYPE a histogram\na 1\n", "line 3 of"},
        {"# HELP a A.\n# TYPE a histogram\na_count -1\n", "line 3 of"},
        {"# HELP a A.\n# TYPE a histogram\na_bucket 1\n", "line 3 of"},
        {"# HELP a A.\n# TYPE a histogram\na_bucket{le=\"x\"} 1\n", "line 3 of"},
        {"# HELP a A.\n# TYPE a histogram\n# NATIVE x\na_count 1\n", "line 4 of"},
        {"# HELP a A.\n# TYPE a histogram\n# NATIVE 3 0 1:1 1:1\na_count 1\n", "line 4 of"},
        {"# HELP a A.\n# TYPE a histogram\n# NATIVE 3 0 1\na_count 1\n", "line 4 of"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct buf out;
        struct err e = {0};
        buf_init(&out, 1 << 20);
        ck_assert_msg(exposition_proto(str_of(CASES[i].page), &out, &e) == ERR_INVALID, "%s", CASES[i].page);
        ck_assert_msg(strstr(e.msg, CASES[i].why) != NULL, "%s: %s", CASES[i].page, e.msg);
        buf_done(&out);
    }
}
END_TEST

START_TEST(what_does_not_fit_is_said)
{
    struct buf out;
    struct err e;
    buf_init(&out, 16);
    ck_assert_int_eq(exposition_proto(STR("# HELP a A long text for this.\n# TYPE a gauge\na 1\n"), &out, &e),
                     0);
    ck_assert(out.failed);
    buf_done(&out);
}
END_TEST

START_TEST(numbers_are_written_as_the_format_has_them)
{
    struct buf out;
    buf_init(&out, 1 << 10);
    protobuf_u64(&out, 1, 300);
    protobuf_sint(&out, 13, -2);
    protobuf_sint(&out, 13, INT64_MIN);
    protobuf_double(&out, 2, -2);
    protobuf_bytes(&out, 16, STR("ab"));
    ck_assert(str_eq(buf_str(&out), STR("\x08\xAC\x02"
                                        "\x68\x03"
                                        "\x68\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"
                                        "\x11\x00\x00\x00\x00\x00\x00\x00\xC0"
                                        "\x82\x01\x02"
                                        "ab")));
    buf_done(&out);
}
END_TEST

START_TEST(lines_of_native_histograms_are_removed_from_a_text)
{
    static const uint64_t N[] = {0, 5, 0, 1};
    struct buf out;
    buf_init(&out, 1 << 10);
    buf_puts(&out, "# NATIVE stays\n");
    size_t from = out.n;
    exposition_native(
        &out, &(struct exposition_native){.schema = 3, .zero = 2, .first = -2, .n = N, .n_buckets = 4});
    ck_assert(str_eq(buf_str(&out), STR("# NATIVE stays\n# NATIVE 3 2 -1:5 1:1\n")));
    buf_puts(&out, "a 1\n");
    exposition_native(&out, &(struct exposition_native){.n = N});
    exposition_native(&out, &(struct exposition_native){.n = N});
    buf_puts(&out, "# NATIVES\nb 2");
    exposition_without_native(&out, from);
    ck_assert(str_eq(buf_str(&out), STR("# NATIVE stays\na 1\n# NATIVES\nb 2")));
    exposition_without_native(&out, out.n);
    ck_assert_uint_eq(out.n, 32);
    buf_done(&out);
}
END_TEST

#define PROTO "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"

START_TEST(the_format_is_the_one_that_is_asked_for)
{
    static const struct {
        const char *accept;
        bool is_proto;
    } CASES[] = {
        {"", false},
        {"*/*", false},
        {"application/*", false},
        {"text/plain", false},
        {PROTO, true},
        {PROTO ";q=0.01", true},
        {PROTO ";q=0", false},
        {PROTO ";q=2", false},
        {PROTO ";q=", false},
        {PROTO "; q = 1 , */*;q=0.1", true},
        {"text/plain, " PROTO, false}, // as much: text is the default
        {PROTO ", */*", false},
        {PROTO ";q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
               "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,"
               "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
         true},
        {"application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5," PROTO
         ";q=0.4,*/*;q=0.1",
         false},
        {PROTO ";q=0.2,text/plain;q=0.1,text/plain;q=0.3", false},
        {PROTO ";q=0.2,text/plain;q=0.1,*/*;q=1", true}, // the range that says most of the text counts
        {PROTO ";q=0.2,text/*;q=0.3", false},
        {PROTO ";q=0.5,text/plain;q=x", true},
        {"Application/VND.google.protobuf ; Encoding=\"delimited\"; "
         "proto=\"io.prometheus.client.MetricFamily\"",
         true},
        {"application/vnd.google.protobuf", false},
        {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", false},
        {"application/vnd.google.protobuf;encoding=delimited;proto=other", false},
        {";;,,=;q=1", false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        ck_assert_msg(exposition_proto_is_asked(str_of(CASES[i].accept)) == CASES[i].is_proto, "%s",
                      CASES[i].accept);
}
END_TEST

UNIT_MAIN("wire/exposition_proto", families_come_back_as_they_were,
          histograms_come_back_with_both_kinds_of_buckets, what_is_no_page_is_refused_with_its_line,
          what_does_not_fit_is_said, numbers_are_written_as_the_format_has_them,
          lines_of_native_histograms_are_removed_from_a_text, the_format_is_the_one_that_is_asked_for)
