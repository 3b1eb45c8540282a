// SPDX-License-Identifier: Apache-2.0
// Requests that ended replicas are known by the hash of what they ask, and refused for a minute by every
// gateway: each writes its own list in the shared memory of the metrics (struct quarantine) and reads
// everybody's.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gateway;

// Of a request: what is asked of which deployment.
uint64_t quarantine_hash(uint64_t deployment, const void *bytes, size_t n);
// Whether any gateway holds anything: else nobody needs a hash.
bool quarantine_is_empty(const struct gateway *g, uint64_t now_mono_ns);
bool quarantine_has(const struct gateway *g, uint64_t hash, uint64_t now_mono_ns);
void quarantine_add(struct gateway *g, uint64_t hash, uint64_t now_mono_ns);
