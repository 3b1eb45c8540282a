// SPDX-License-Identifier: Apache-2.0
// The number that a version has in all shards.
#include "role/metrics.h"

uint64_t metrics_key(struct str model, uint32_t version)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < model.n; i++)
        h = (h ^ (unsigned char)model.p[i]) * 1099511628211u;
    return ((h ^ version) * 1099511628211u) | 1; // 0 marks a slot never used
}
