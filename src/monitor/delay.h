// SPDX-License-Identifier: Apache-2.0
// How long labels take, after Kaplan and Meier: a prediction that has no label is known to have had none for
// as long as it is old, and what is younger says nothing of longer delays. So a young server does not take
// quick labels for all of them, as the mere shares of those that came would. Pure.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { DELAY_BINS = 24 }; // [0] below 1 s, [i] below 2^i s, the last one all above
unsigned delay_bin(uint64_t seconds);

struct delay_curve {
    double at_risk[DELAY_BINS], labelled[DELAY_BINS];
    double within[DELAY_BINS]; // share of predictions that are labelled within the bin's upper end
    unsigned n;                // bins that are known; the first ones
};

// Predictions of which the youngest is age_s old, by how long their labels took.
void delay_curve_add(struct delay_curve *c, uint64_t predicted, const uint32_t labels[DELAY_BINS],
                     uint64_t age_s);
void delay_curve_finish(struct delay_curve *c); // after all were added
// Below: of a finished one.
// The share of predictions that get a label at all, as far as that is known; NaN without any.
double delay_final(const struct delay_curve *c);
// Of the labels that will come, the share that comes within that time; NaN without any.
double delay_share(const struct delay_curve *c, uint64_t seconds);
// The seconds within which the share q of the labels comes that will come, 0 < q < 1; interpolated between
// 2^i and 2^(i + 1). NaN without any.
double delay_quantile(const struct delay_curve *c, double q);
// The age from which on nine tenths of the labels are there; UINT64_MAX where that is not known: some
// predictions must have been followed for twice as long.
uint64_t delay_maturity_s(const struct delay_curve *c);
