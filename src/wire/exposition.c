// SPDX-License-Identifier: Apache-2.0
// Escapes are those of the text format: backslash, quote and line feed in label values.
#include "wire/exposition.h"

#include "base/limits.h"
#include "base/num.h"

#include <math.h>
#include <string.h>

enum { NS_PER_S = 1000000000 };

void exposition_family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

struct exposition exposition_begin(struct buf *out, const char *name, const char *suffix)
{
    buf_puts(out, name);
    buf_puts(out, suffix);
    return (struct exposition){.out = out};
}

static void put_escaped(struct buf *out, struct str s)
{
    while (s.n) {
        size_t n = str_utf8_len(s);
        if (n == 0)
            buf_puts(out, "\xEF\xBF\xBD");
        else if (*s.p == '\\' || *s.p == '"')
            buf_printf(out, "\\%c", *s.p);
        else if (*s.p == '\n')
            buf_puts(out, "\\n");
        else
            buf_put(out, s.p, n);
        n = n ? n : 1;
        s = (struct str){s.p + n, s.n - n};
    }
}

void exposition_label(struct exposition *x, const char *name, struct str value)
{
    buf_printf(x->out, "%c%s=\"", x->has_labels ? ',' : '{', name);
    put_escaped(x->out, value);
    buf_putc(x->out, '"');
    x->has_labels = true;
}

void exposition_label_u64(struct exposition *x, const char *name, uint64_t value)
{
    buf_printf(x->out, "%c%s=\"%llu\"", x->has_labels ? ',' : '{', name, (unsigned long long)value);
    x->has_labels = true;
}

static void end_labels(struct exposition *x)
{
    buf_puts(x->out, x->has_labels ? "} " : " ");
}

void exposition_end_u64(struct exposition *x, uint64_t value)
{
    end_labels(x);
    buf_put_u64(x->out, value);
    buf_putc(x->out, '\n');
}

void exposition_end_double(struct exposition *x, double value)
{
    char text[NUM_TEXT_MAX];
    end_labels(x);
    if (isfinite(value))
        buf_put(x->out, text, num_write_double(value, text));
    else
        buf_puts(x->out, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
    buf_putc(x->out, '\n');
}

void exposition_end_ns(struct exposition *x, uint64_t dur_ns)
{
    end_labels(x);
    buf_printf(x->out, "%llu.%09llu\n", (unsigned long long)(dur_ns / NS_PER_S),
               (unsigned long long)(dur_ns % NS_PER_S));
}

void exposition_native(struct buf *out, const struct exposition_native *h)
{
    buf_printf(out, "%s%d %llu", EXPOSITION_NATIVE, h->schema, (unsigned long long)h->zero);
    for (size_t i = 0; i < h->n_buckets; i++)
        if (h->n[i])
            buf_printf(out, " %d:%llu", h->first + (int)i, (unsigned long long)h->n[i]);
    buf_putc(out, '\n');
}

void exposition_without_native(struct buf *page, size_t from)
{
    if (page->n == from) // there may be no memory yet
        return;
    struct str rest = {page->p + from, page->n - from};
    size_t to = from;
    while (rest.n) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t n = end ? (size_t)(end + 1 - rest.p) : rest.n;
        if (!str_starts(rest, STR(EXPOSITION_NATIVE))) {
            memmove(page->p + to, rest.p, n);
            to += n;
        }
        rest = (struct str){rest.p + n, rest.n - n};
    }
    page->n = to;
}

bool exposition_cap_take(struct exposition_cap *c)
{
    if (c->n < LIMIT_METRICS_FEATURES) {
        c->n++;
        return true;
    }
    c->n_left_out++;
    return false;
}
