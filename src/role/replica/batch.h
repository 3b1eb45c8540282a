// SPDX-License-Identifier: Apache-2.0
// The policy of batches: which requests may be computed together, and how many rows. Pure: no clock, no ring.
// Nothing ever waits for company: a batch is what is there when the last one is done.
#pragma once

#include "tensor/interface.h"

#include <stdbool.h>
#include <stdint.h>

// One request as the policy sees it.
struct batch_item {
    uint64_t outputs; // set of outputs wanted
    uint32_t n_rows;  // 0: of a model that is never batched
    bool alone;
    const struct tensor *inputs; // (n_inputs of the interface)
};

// Whether both may be computed in one batch: neither must be alone, both want the same outputs, have the same
// inputs with the same datatypes, and differ in nothing of the shapes but the rows.
bool batch_may_join(const struct interface *i, const struct batch_item *a, const struct batch_item *b);

// How long batches took, by their size: for each power of two of rows a moving mean. Zeroed is "nothing
// known".
enum { BATCH_SIZES = 24 };

struct batch_profile {
    struct batch_size {
        double rows, dur_ns; // means
        uint32_t n;          // samples, up to a bound; 0: nothing known
        uint64_t noted;      // when, in samples of the profile
    } sizes[BATCH_SIZES];
    uint64_t n_noted;
};

void batch_profile_note(struct batch_profile *p, uint32_t n_rows, uint64_t dur_ns);
// How many rows may be computed together within budget_ns, 1 … max_rows; max_rows when budget_ns is 0. From
// the means, made monotone; beyond what was measured at most twice of it, so that a budget is approached from
// below.
uint32_t batch_rows_within(const struct batch_profile *p, uint32_t max_rows, uint64_t budget_ns);
