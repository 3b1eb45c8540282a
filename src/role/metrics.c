// SPDX-License-Identifier: Apache-2.0
// Slots of a shard: whose they are, and numbers in them.
#include "role/metrics.h"

#include "base/assert.h"
#include "wire/exposition.h"

#include <string.h>

uint64_t metrics_key(struct str model, uint32_t version)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < model.n; i++)
        h = (h ^ (unsigned char)model.p[i]) * 1099511628211u;
    return ((h ^ version) * 1099511628211u) | 1; // 0 marks a slot never used
}

struct metrics_series *metrics_slot(struct metrics_shard *shard, unsigned slot)
{
    if (metrics_slots(shard) <= slot)
        __atomic_store_n(&shard->n_slots, slot + 1, __ATOMIC_RELAXED);
    return &shard->series[slot];
}

void metrics_series_claim(struct metrics_series *s, struct str model, uint32_t version)
{
    uint64_t key = metrics_key(model, version);
    if (s->deployment == key)
        return;
    ASSERT(model.n < sizeof s->model);
    // Others may be reading: the slot is nobody's while it changes.
    __atomic_store_n(&s->deployment, 0, __ATOMIC_SEQ_CST);
    memset(s, 0, sizeof *s);
    memcpy(s->model, model.p, model.n);
    s->version = version;
    __atomic_store_n(&s->deployment, key, __ATOMIC_SEQ_CST);
}

void metrics_native_put(const struct hist *h, struct buf *out)
{
    struct hist_native native;
    hist_native(h, &native);
    exposition_native(out, &(struct exposition_native){.schema = HIST_NATIVE_SCHEMA,
                                                       .zero = native.zero,
                                                       .first = HIST_NATIVE_FIRST,
                                                       .n = native.n,
                                                       .n_buckets = HIST_NATIVE_BUCKETS});
}

void metrics_sizes_add(struct metrics_sizes *s, uint64_t rows, uint64_t n_requests)
{
    unsigned i = rows <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(rows - 1);
    s->count += n_requests;
    s->sum += rows * n_requests;
    s->n[i < METRICS_SIZES ? i : METRICS_SIZES - 1] += n_requests;
}
