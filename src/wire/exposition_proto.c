// SPDX-License-Identifier: Apache-2.0
// Line by line, with one family and one metric under construction. The labels of a metric are compared as
// they are encoded, without le.
#include "wire/exposition_proto.h"

#include "base/num.h"
#include "wire/exposition.h"
#include "wire/protobuf.h"

#include <math.h>
#include <string.h>

// Numbers of io/prometheus/client/metrics.proto.
enum family_field { FAMILY_NAME = 1, FAMILY_HELP = 2, FAMILY_TYPE = 3, FAMILY_METRIC = 4 };
enum metric_field { METRIC_LABEL = 1, METRIC_GAUGE = 2, METRIC_COUNTER = 3, METRIC_HISTOGRAM = 7 };
enum label_field { LABEL_NAME = 1, LABEL_VALUE = 2 };
enum { VALUE = 1 }; // of a gauge or counter
enum histogram_field {
    HISTOGRAM_COUNT = 1,
    HISTOGRAM_SUM = 2,
    HISTOGRAM_BUCKET = 3,
    HISTOGRAM_SCHEMA = 5,
    HISTOGRAM_ZERO_THRESHOLD = 6,
    HISTOGRAM_ZERO_COUNT = 7,
    HISTOGRAM_SPAN = 12,
    HISTOGRAM_DELTA = 13,
};
enum bucket_field { BUCKET_COUNT = 1, BUCKET_BOUND = 2 };
enum span_field { SPAN_OFFSET = 1, SPAN_LENGTH = 2 };
enum family_type { COUNTER = 0, GAUGE = 1, HISTOGRAM = 4 };

// What Prometheus' own libraries begin with, so that histograms of both add up without a loss.
#define ZERO_THRESHOLD 0x1p-128

struct state {
    struct buf *out;
    struct str name, help;
    enum family_type type;
    bool in_family;
    struct buf family;            // its fields
    struct buf labels;            // of the line
    struct buf metric, histogram; // of a histogram under construction: labels; buckets, count and sum
    bool in_histogram;
    struct str native; // of the next histogram
    struct buf scratch, text;
};

// ---- texts

// Up to the first blank.
static struct str cut_word(struct str *rest)
{
    return str_split(rest, ' ');
}

static int invalid(struct err *e, const char *what)
{
    return err_set(e, ERR_INVALID, "%s", what);
}

static bool read_double(struct str s, double *ret)
{
    size_t used;
    if (str_eq(s, STR("+Inf")))
        *ret = (double)INFINITY;
    else if (str_eq(s, STR("-Inf")))
        *ret = (double)-INFINITY;
    else if (str_eq(s, STR("NaN")))
        *ret = (double)NAN;
    else
        return s.n && num_parse_double(s.p, s.n, ret, &used) && used == s.n;
    return true;
}

static bool read_count(struct str s, uint64_t *ret)
{
    return str_to_u64(s, UINT64_MAX, ret);
}

static void put_unescaped(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '\\' || i + 1 == s.n)
            buf_putc(out, s.p[i]);
        else
            buf_putc(out, s.p[++i] == 'n' ? '\n' : s.p[i]);
}

// ---- native buckets

// " BUCKET:COUNT" at the front of *rest, in rising order. 0 at its end, 1 for one, or ERR_INVALID.
static int cut_bucket(struct str *rest, int64_t *ret_bucket, uint64_t *ret_n, struct err *e)
{
    enum { BUCKET_MAX = 1 << 20 };
    struct str word = cut_word(rest), bucket = str_split(&word, ':');
    uint64_t at;
    bool below = bucket.n && bucket.p[0] == '-';
    if (below)
        bucket = (struct str){bucket.p + 1, bucket.n - 1};
    if (!str_to_u64(bucket, BUCKET_MAX, &at) || !read_count(word, ret_n))
        return invalid(e, "a native bucket is no BUCKET:COUNT");
    *ret_bucket = below ? -(int64_t)at : (int64_t)at;
    return 0;
}

static void put_span(struct state *s, int64_t offset, uint64_t length)
{
    buf_clear(&s->scratch);
    protobuf_sint(&s->scratch, SPAN_OFFSET, offset);
    protobuf_u64(&s->scratch, SPAN_LENGTH, length);
    protobuf_bytes(&s->histogram, HISTOGRAM_SPAN, buf_str(&s->scratch));
}

// Spans, then deltas: each needs a walk of its own.
static int put_spans(struct state *s, struct str rest, struct err *e)
{
    int64_t bucket, next = 0, offset = 0;
    uint64_t n, length = 0;
    while (rest.n) {
        int rc = cut_bucket(&rest, &bucket, &n, e);
        if (rc || (length && bucket < next))
            return rc ? rc : invalid(e, "native buckets do not rise");
        if (length == 0 || bucket != next) {
            if (length)
                put_span(s, offset, length);
            offset = bucket - next;
            length = 0;
        }
        length++;
        next = bucket + 1;
    }
    if (length)
        put_span(s, offset, length);
    return 0;
}

static int put_deltas(struct state *s, struct str rest, struct err *e)
{
    uint64_t n, before = 0;
    int64_t bucket;
    while (rest.n) {
        int rc = cut_bucket(&rest, &bucket, &n, e);
        if (rc)
            return rc;
        protobuf_sint(&s->histogram, HISTOGRAM_DELTA, (int64_t)(n - before));
        before = n;
    }
    return 0;
}

static int put_native(struct state *s, struct err *e)
{
    struct str rest = s->native, schema = cut_word(&rest), zero = cut_word(&rest);
    uint64_t number, n_zero;
    s->native = (struct str){0};
    if (!str_to_u64(schema, 8, &number) || !read_count(zero, &n_zero))
        return invalid(e, "a native histogram begins with its schema and its zeros");
    protobuf_sint(&s->histogram, HISTOGRAM_SCHEMA, (int64_t)number);
    protobuf_double(&s->histogram, HISTOGRAM_ZERO_THRESHOLD, ZERO_THRESHOLD);
    protobuf_u64(&s->histogram, HISTOGRAM_ZERO_COUNT, n_zero);
    int rc = put_spans(s, rest, e);
    return rc ? rc : put_deltas(s, rest, e);
}

// ---- what is under construction

static void end_histogram(struct state *s)
{
    if (!s->in_histogram)
        return;
    protobuf_bytes(&s->metric, METRIC_HISTOGRAM, buf_str(&s->histogram));
    protobuf_bytes(&s->family, FAMILY_METRIC, buf_str(&s->metric));
    s->in_histogram = false;
}

// Prometheus takes a family without metrics for a mistake; it is left out, as if it were not on the page.
static void end_family(struct state *s)
{
    end_histogram(s);
    if (s->in_family && s->family.n) {
        buf_clear(&s->metric);
        protobuf_bytes(&s->metric, FAMILY_NAME, s->name);
        buf_clear(&s->text);
        put_unescaped(&s->text, s->help);
        protobuf_bytes(&s->metric, FAMILY_HELP, buf_str(&s->text));
        protobuf_u64(&s->metric, FAMILY_TYPE, s->type);
        protobuf_varint(s->out, s->metric.n + s->family.n);
        buf_put_str(s->out, buf_str(&s->metric));
        buf_put_str(s->out, buf_str(&s->family));
    }
    buf_clear(&s->family);
    s->native = (struct str){0};
    s->in_family = false;
}

static int begin_histogram(struct state *s, struct err *e)
{
    if (s->in_histogram && str_eq(buf_str(&s->labels), buf_str(&s->metric)))
        return 0;
    end_histogram(s);
    buf_clear(&s->metric);
    buf_clear(&s->histogram);
    buf_put_str(&s->metric, buf_str(&s->labels));
    s->in_histogram = true;
    return s->native.n ? put_native(s, e) : 0;
}

// ---- lines

static int take_comment(struct state *s, struct str line, struct err *e)
{
    struct str kind = cut_word(&line);
    if (str_eq(kind, STR("NATIVE"))) {
        end_histogram(s);
        s->native = line;
        return s->in_family && s->type == HISTOGRAM && line.n ? 0 : invalid(e, "NATIVE is of no histogram");
    }
    if (!str_eq(kind, STR("HELP")) && !str_eq(kind, STR("TYPE")))
        return 0;
    struct str name = cut_word(&line);
    if (str_eq(kind, STR("HELP"))) {
        end_family(s);
        s->name = name;
        s->help = line;
        return 0;
    }
    static const char *const TYPES[] = {[COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"};
    for (int t = 0; t <= HISTOGRAM; t++)
        if (TYPES[t] && str_eq(line, str_of(TYPES[t])) && str_eq(name, s->name) && !s->in_family) {
            s->type = (enum family_type)t;
            s->in_family = true;
            return 0;
        }
    return invalid(e, "TYPE does not follow its HELP, or is none of counter, gauge and histogram");
}

// name="value" at the front of *rest, to s->labels; that of le goes to *ret_le.
static bool take_label(struct state *s, struct str *rest, struct str *ret_le)
{
    struct str name = str_split(rest, '=');
    if (name.n == 0 || rest->n < 2 || rest->p[0] != '"')
        return false;
    size_t n = 1;
    while (n < rest->n && rest->p[n] != '"')
        n += rest->p[n] == '\\' ? 2 : 1;
    if (n >= rest->n)
        return false;
    struct str value = {rest->p + 1, n - 1};
    *rest = (struct str){rest->p + n + 1, rest->n - n - 1};
    if (s->type == HISTOGRAM && str_eq(name, STR("le"))) {
        *ret_le = value;
        return true;
    }
    buf_clear(&s->text);
    put_unescaped(&s->text, value);
    buf_clear(&s->scratch);
    protobuf_bytes(&s->scratch, LABEL_NAME, name);
    protobuf_bytes(&s->scratch, LABEL_VALUE, buf_str(&s->text));
    protobuf_bytes(&s->labels, METRIC_LABEL, buf_str(&s->scratch));
    return true;
}

// {…} at the front of *rest, if there is one.
static int take_labels(struct state *s, struct str *rest, struct str *ret_le, struct err *e)
{
    buf_clear(&s->labels);
    *ret_le = (struct str){0};
    if (rest->n == 0 || rest->p[0] != '{')
        return 0;
    do {
        *rest = (struct str){rest->p + 1, rest->n - 1};
        if (!take_label(s, rest, ret_le))
            return invalid(e, "labels are no name=\"value\"");
    } while (rest->n && rest->p[0] == ',');
    if (rest->n == 0 || rest->p[0] != '}')
        return invalid(e, "labels do not end");
    *rest = (struct str){rest->p + 1, rest->n - 1};
    return 0;
}

static int put_bucket(struct state *s, struct str le, struct str text, struct err *e)
{
    double bound;
    uint64_t n;
    if (!read_double(le, &bound) || !read_count(text, &n))
        return invalid(e, "a bucket without its limit or its count");
    buf_clear(&s->scratch);
    protobuf_u64(&s->scratch, BUCKET_COUNT, n);
    protobuf_double(&s->scratch, BUCKET_BOUND, bound);
    protobuf_bytes(&s->histogram, HISTOGRAM_BUCKET, buf_str(&s->scratch));
    return 0;
}

static int put_histogram_line(struct state *s, struct str suffix, struct str le, struct str text,
                              struct err *e)
{
    double sum;
    uint64_t n;
    int rc = begin_histogram(s, e);
    if (rc)
        return rc;
    if (str_eq(suffix, STR("_bucket")))
        return put_bucket(s, le, text, e);
    if (str_eq(suffix, STR("_sum")) && read_double(text, &sum)) {
        protobuf_double(&s->histogram, HISTOGRAM_SUM, sum);
        return 0;
    }
    if (!str_eq(suffix, STR("_count")) || !read_count(text, &n))
        return invalid(e, "a histogram has buckets, a sum and a count");
    protobuf_u64(&s->histogram, HISTOGRAM_COUNT, n);
    return 0;
}

static int put_number(struct state *s, struct str text, struct err *e)
{
    double x;
    if (!read_double(text, &x))
        return invalid(e, "a sample without a number");
    buf_clear(&s->scratch);
    protobuf_double(&s->scratch, VALUE, x);
    protobuf_bytes(&s->labels, s->type == COUNTER ? METRIC_COUNTER : METRIC_GAUGE, buf_str(&s->scratch));
    protobuf_bytes(&s->family, FAMILY_METRIC, buf_str(&s->labels));
    return 0;
}

static int take_sample(struct state *s, struct str line, struct err *e)
{
    size_t n = 0;
    while (n < line.n && line.p[n] != '{' && line.p[n] != ' ')
        n++;
    struct str name = {line.p, n}, rest = {line.p + n, line.n - n}, le;
    if (!s->in_family || !str_starts(name, s->name))
        return invalid(e, "a sample of no family");
    struct str suffix = {name.p + s->name.n, name.n - s->name.n};
    int rc = take_labels(s, &rest, &le, e);
    if (rc)
        return rc;
    if (rest.n == 0 || rest.p[0] != ' ')
        return invalid(e, "a sample without a number");
    rest = (struct str){rest.p + 1, rest.n - 1};
    if (s->type == HISTOGRAM)
        return put_histogram_line(s, suffix, le, rest, e);
    return suffix.n ? invalid(e, "a sample of no family") : put_number(s, rest, e);
}

int exposition_proto(struct str page, struct buf *out, struct err *e)
{
    struct state s = {.out = out};
    struct buf *const parts[] = {&s.family, &s.labels, &s.metric, &s.histogram, &s.scratch, &s.text};
    enum { PARTS = sizeof parts / sizeof parts[0] };
    int rc = 0;
    for (int i = 0; i < PARTS; i++)
        buf_init(parts[i], out->max);
    for (size_t n = 1; page.n && rc == 0; n++) {
        struct str line = str_split(&page, '\n');
        if (str_starts(line, STR("# ")))
            rc = take_comment(&s, (struct str){line.p + 2, line.n - 2}, e);
        else if (line.n)
            rc = take_sample(&s, line, e);
        if (rc)
            err_wrap(e, "line %zu of the metrics", n);
    }
    end_family(&s);
    for (int i = 0; i < PARTS; i++) {
        out->failed |= parts[i]->failed;
        buf_done(parts[i]);
    }
    return rc;
}
