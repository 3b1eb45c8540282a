// SPDX-License-Identifier: Apache-2.0
// What events say of r, the canary's rate of something bad relative to the stable version's. Given that a bad
// event happened, the odds that it was the canary's are w r : 1 - w, whatever the rate itself is and however
// it moves; so only events count, and the base rate cancels (after Lindon and Malek, arXiv 2011.03567). Each
// result is an e-value: if its hypothesis holds, the probability that it ever reaches 1 / alpha is at most
// alpha, however often one looks. docs/rollouts.md explains it. Pure; a few microseconds for each weight.
#pragma once

#include "rollout/counts.h"

// r = 2^(-6 + 12 i / 128)
enum { EVIDENCE_GRID = 129 };

// The log-likelihood of r, up to a constant that is the same for all r. r > 0.
double evidence_ell(const struct counts *events, double r);
void evidence_curve(const struct counts *events, double ret_ell[EVIDENCE_GRID]);

// ln of the e-value against "r <= at": the canary is worse than that. at is within (1/64, 64).
double evidence_log_above(const struct counts *events, double at);
// ln of the e-value against "r >= at": the canary is better than that.
double evidence_log_below(const struct counts *events, double at);
// Both at once, which costs as much as one.
void evidence_tests(const struct counts *events, double above, double below, double *ret_above,
                    double *ret_below);
// The most likely r: 0 without canary events, infinity without stable ones, NaN without any.
double evidence_best(const struct counts *events);
// The r that are not refuted at alpha: an interval that holds at all times at once; [0, infinity] at first.
void evidence_interval(const struct counts *events, double alpha, double *ret_lo, double *ret_hi);
// A number that is equal for equal curves, to compare a replay with a record.
uint64_t evidence_digest(const struct counts *events);

// One sample: ln of the e-value against "the rate is at least p0" after k bad ones of n. 1e-6 < p0 < 0.5.
double evidence_log_rate_below(uint64_t k, uint64_t n, double p0);

// Whether the router does what it says: ln of the e-value against "each request went to the canary with its
// weight's probability", from requests by weight. Alarm at ln 1000.
double evidence_log_unbalanced(const struct counts *requests);
