// SPDX-License-Identifier: Apache-2.0
// Which arm a request belongs to. A keyed hash of the request's sticky key gives it a bucket for the whole
// rollout; an arm owns buckets from 0 up. So the answer is the same in every gateway and after every restart,
// and when the canary's weight grows nobody leaves it. Another rollout has another salt, so that the same
// users are not always first.
#pragma once

#include "base/siphash.h"

enum { SPLIT_BUCKETS = 10000 }; // one is a basis point of the traffic

// The bucket 0 … 9999 of a key.
uint32_t split_bucket(struct siphash_key salt, struct str key);
// The same for the n-th request that has no key: a draw that can be repeated from the log.
uint32_t split_draw(struct siphash_key salt, uint64_t n);
// The arm that owns the bucket, when arm i has weights_bp[i] basis points in this order and the baseline the
// rest; n_arms (the baseline) when none does. The sum is at most 10,000.
uint32_t split_arm(uint32_t bucket, const uint32_t *weights_bp, uint32_t n_arms);
