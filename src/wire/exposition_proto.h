// SPDX-License-Identifier: Apache-2.0
// Prometheus' protobuf format: io.prometheus.client.MetricFamily messages, each after its length. Made of a
// page in the text format (exposition.h), so that what metrics there are is said in one place; only the
// native histograms, which the text format has none of, are lines of our own.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>

#define EXPOSITION_PROTO_TYPE                                                                                \
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

// Whether an Accept field (RFC 9110, 12.5.1) prefers that format to the text: it names it, with a weight
// above what it gives text/plain.
bool exposition_proto_is_asked(struct str accept);

// Appends the page to out. As our pages are, # HELP and # TYPE come before the samples of a family, which is
// there once; the lines of a histogram with the same labels follow each other. ERR_INVALID for what is no
// such page, with the number of the line. When out->failed is set, it did not fit.
int exposition_proto(struct str page, struct buf *out, struct err *e) ERR_CHECKED;
