// SPDX-License-Identifier: Apache-2.0
// Slowness as an event. At the start of a step the stable version's q-quantile is frozen; from then on a
// stable request that takes longer is an event, and a canary request that takes longer than that by more than
// the tolerance. A canary that is slower by no more than the tolerance then has no more events than the
// stable version, whatever the distribution.
#pragma once

#include "base/hist.h"
#include "rollout/counts.h"

#include <stdbool.h>

struct latency_gate {
    uint64_t limit_ns[ARMS]; // longer is an event
};

// recent: the stable version's last minutes. False, and no event counts, while it holds fewer than ten values
// beyond the quantile.
bool latency_freeze(const struct hist *recent, double q, double tolerance, struct latency_gate *ret);
bool latency_is_slow(const struct latency_gate *g, enum arm arm, uint64_t dur_ns);
