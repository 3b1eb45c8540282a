// SPDX-License-Identifier: Apache-2.0
// Metrics in Prometheus' text format, version 0.0.4: families, labels, values, appended to a buffer. Which
// metrics there are is the business of those who write them.
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

// The two lines that begin a family; type: counter, gauge, histogram.
void exposition_family(struct buf *out, const char *name, const char *type, const char *help);

// One sample: exposition_begin, labels, then one of the ends. The name is put together of two parts because
// those of a histogram have one in common.
struct exposition {
    struct buf *out;
    bool has_labels;
};

struct exposition exposition_begin(struct buf *out, const char *name, const char *suffix);
// Any bytes are taken; what is no UTF-8 becomes U+FFFD, because one such byte would cost the whole page.
void exposition_label(struct exposition *x, const char *name, struct str value);
void exposition_label_u64(struct exposition *x, const char *name, uint64_t value);
void exposition_end_u64(struct exposition *x, uint64_t value);
void exposition_end_double(struct exposition *x, double value); // NaN and infinities too
void exposition_end_ns(struct exposition *x, uint64_t dur_ns);  // written as seconds, every digit

// The buckets of a native histogram, for wire/exposition_proto.h: a line that is a comment in the text
// format. It comes before the lines of the histogram with the same labels.
struct exposition_native {
    int schema;        // bucket i holds what is above 2^((i - 1) / 2^schema) and at most 2^(i / 2^schema)
    uint64_t zero;     // values of 0
    int first;         // n[0] is of this bucket
    const uint64_t *n; // (n_buckets)
    size_t n_buckets;
};
#define EXPOSITION_NATIVE "# NATIVE " // SCHEMA ZERO BUCKET:COUNT …
void exposition_native(struct buf *out, const struct exposition_native *h);
// Removes such lines from the byte at `from` on.
void exposition_without_native(struct buf *page, size_t from);

// Series that depend on what users name, such as one gauge for each feature, are capped: the first
// LIMIT_METRICS_FEATURES of a model's version, in the order of its columns, so that the same ones stay. What
// is left out is counted, for a gauge that says so; all of them are in the API.
struct exposition_cap {
    uint32_t n, n_left_out;
};

// Whether one more may be written.
bool exposition_cap_take(struct exposition_cap *c);
