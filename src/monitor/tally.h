// SPDX-License-Identifier: Apache-2.0
// What came in of one column within a window, counted in the bins of its baseline; and how far that is from
// the baseline. Counts add. Whether it is a finding is for several windows to say (finding.h).
#pragma once

#include "monitor/profile.h"
#include "stats/random.h"

struct tally {
    uint64_t n, n_missing;     // values, and missing ones besides
    uint64_t n_below, n_above; // beyond the range of the baseline; they count in the outer bins
    uint64_t n_unseen;         // values of a category that the baseline knows all of, and not these
    uint64_t n_wrong;          // fractions where there were whole numbers; infinities
    double sum, min, max;      // of finite numbers; min and max only once there was one
    bool has_range;
    uint64_t *cells; // (profile_cells) borrowed; NULL without a baseline
};

// c NULL: a column that the baseline does not have; then only n, n_missing and sum are kept.
void tally_number(struct tally *t, const struct profile_column *c, double v); // NaN is missing
void tally_text(struct tally *t, const struct profile_column *c, struct str text);
void tally_merge(struct tally *into, const struct tally *from, uint32_t n_cells);

// Shares of values that are amiss, and what they may be by chance.
enum drift_share { DRIFT_MISSING, DRIFT_OUTSIDE, DRIFT_UNSEEN, DRIFT_WRONG, DRIFT_SHARES };
struct drift_rate {
    double now, before; // shares, 0 to 1
    double z;           // of the difference
    double noise;       // what the difference exceeds by chance with probability DRIFT_ALPHA
};
#define DRIFT_ALPHA 1e-3

struct verdict {
    uint64_t n, n_missing;
    // Of the distribution. NaN where there is none: no baseline, or too few values.
    double effect; // of numbers w1, of categories js
    double noise;  // what it exceeds by chance; NaN where the effect is too small to ask
    double w1;     // Wasserstein distance in units of the baseline's spread
    double psi, js, ks;
    double mean, median; // of numbers
    struct drift_rate rates[DRIFT_SHARES];
};

enum { VERDICT_VALUES_MIN = 100, VERDICT_COARSE_BINS = 20 };
// ask_from: the noise of a distance is computed when the effect is at least so large, as that is what costs.
void verdict_of(const struct tally *t, const struct profile_column *c, double ask_from,
                struct stats_random *random, struct verdict *ret);
// The cell whose share changed most, and the shares; false without any.
bool verdict_largest_change(const struct tally *t, const struct profile_column *c, uint32_t *ret_cell,
                            double *ret_before, double *ret_now);
