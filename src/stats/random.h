// SPDX-License-Identifier: Apache-2.0
// Random numbers for simulation and resampling: the same seed gives the same numbers on every machine with
// the same C library. Not for secrets, and not for routing.
#pragma once

#include <stdint.h>

struct stats_random {
    uint64_t s[4];
};

void stats_random_init(struct stats_random *r, uint64_t seed);
uint64_t stats_random_u64(struct stats_random *r);
double stats_random_unit(struct stats_random *r);        // [0, 1), 53 bits
double stats_random_normal(struct stats_random *r);      // mean 0, deviation 1
double stats_random_exponential(struct stats_random *r); // mean 1
// Successes among n tries of probability p, 0 <= p <= 1. Cost: about sqrt(n p (1 - p)) steps.
uint64_t stats_random_binomial(struct stats_random *r, uint64_t n, double p);
// How many tries until the first success, 1 or more; p > 0.
uint64_t stats_random_tries(struct stats_random *r, double p);
