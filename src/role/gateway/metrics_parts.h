// SPDX-License-Identifier: Apache-2.0
// The parts that /metrics is put together of. For the files metrics_*.c only.
#pragma once

#include "base/hist.h"
#include "base/limits.h"
#include "role/gateway/gateway.h"
#include "wire/exposition.h"

struct deployment;

// A version on the page.
struct metrics_entry {
    uint64_t key;
    unsigned slot;
    const struct deployment *d; // NULL: not served any more
    const char *arm;            // of the rollout that it is part of now: "canary", "shadow"; else "stable"
    uint32_t version;
    char model[LIMIT_MODEL_NAME_BYTES + 1];
};

struct metrics_page {
    struct gateway *g;
    struct buf *out;
    bool has_native; // native histograms beside the classic ones, for the protobuf format
    size_t n;        // ordered by model, then version
    struct metrics_entry entries[METRICS_SERIES]; //
    struct hist sum;                              // of the gateways; scratch
};

// Series of the entry in shard i, or NULL while that gateway has not counted anything for it.
const struct metrics_series *metrics_series_of(const struct metrics_page *p, unsigned i,
                                               const struct metrics_entry *x);
// A number of the series, `offset` bytes into struct metrics_series, added up over the gateways.
uint64_t metrics_sum(const struct metrics_page *p, const struct metrics_entry *x, size_t offset);
// Adds a histogram of the entry, over the gateways, to p->sum.
void metrics_hist_add(struct metrics_page *p, const struct metrics_entry *x, size_t offset);

// Other names for what the page has, by the setting metrics_aliases.
void metrics_aliases_put(struct metrics_page *p);
// Replicas and what they are scaled by; connections; processes.
void metrics_replicas_put(struct metrics_page *p);
void metrics_server_put(struct metrics_page *p);
// Buckets, sum and count of p->sum as `name`; x has the labels of each line in `labels`.
void metrics_hist_put(struct metrics_page *p, const char *name,
                      void (*put_labels)(struct exposition *, const struct metrics_entry *),
                      const struct metrics_entry *x);
void metrics_labels_put(struct exposition *x, const struct metrics_entry *entry); // model, version, arm
