// SPDX-License-Identifier: Apache-2.0
// The histogram's error of 1.6 % moves both limits alike, so it costs no validity.
#include "rollout/latency.h"

#include <math.h>

bool latency_freeze(const struct hist *recent, double q, double tolerance, struct latency_gate *ret)
{
    const double beyond_min = 10; // values beyond the quantile
    if ((double)recent->count * (1 - q) < beyond_min)
        return false;
    double limit = (double)hist_quantile(recent, q);
    ret->limit_ns[ARM_STABLE] = (uint64_t)limit;
    ret->limit_ns[ARM_CANARY] = (uint64_t)ceil(limit * (1 + tolerance));
    return true;
}

bool latency_is_slow(const struct latency_gate *g, enum arm arm, uint64_t dur_ns)
{
    return dur_ns > g->limit_ns[arm];
}
