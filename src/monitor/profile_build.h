// SPDX-License-Identifier: Apache-2.0
// A column of a profile, made in one pass over values whose range is not known. Counts in bins are exact for
// up to k values and else right to KLL_RANK_ERROR / k of them; those of a category while no more than its
// table holds occur.
#pragma once

#include "monitor/distinct.h"
#include "monitor/kll.h"
#include "monitor/profile.h"
#include "monitor/tops.h"

enum { PROFILE_BUILD_K = 4096, PROFILE_BUILD_K_LIVE = 512 };

struct profile_builder {
    bool is_category; // declared; numbers with few different values become categories, too
    bool is_whole;    // so far
    uint64_t n, n_missing;
    double min, max, mean, squares;
    struct kll kll;   // of numbers
    struct tops tops; // of categories; of numbers the first few
    struct distinct distinct;
};

// k: PROFILE_BUILD_…. false without memory.
bool profile_builder_init(struct profile_builder *b, bool is_category, uint32_t k);
void profile_builder_done(struct profile_builder *b); // zeroed is fine
// NaN is missing; infinities count as the largest numbers.
void profile_builder_number(struct profile_builder *b, double v);
// The same of a category that has a name besides.
void profile_builder_named(struct profile_builder *b, double v, struct str label);
void profile_builder_text(struct profile_builder *b, struct str text); // of categories only
void profile_builder_missing(struct profile_builder *b);
size_t profile_builder_bytes(const struct profile_builder *b); // of memory
// Ends it: fills c, whose name and role are the caller's. Its memory is p's. False without memory.
bool profile_builder_end(struct profile_builder *b, struct profile *p, struct profile_column *c);
