// SPDX-License-Identifier: Apache-2.0
// Simulated weeks of traffic through an observer, for the unit tests and tests/slow.
#pragma once

#include "monitor/observer.h"

struct drift_week {
    uint32_t n_features, n_windows, rows, reference; // rows: of a window
    double shift;                                    // of feature 0 in every window, in standard deviations
    int family; // of the features' distribution: 0 normal, 1 lognormal, 2 whole numbers, 3 categories
};

struct drift_week_result {
    uint32_t n_warned,
        n_alerted;          // findings that arose, of all features and kinds, also those that went again
    uint32_t first_shifted; // the first window after which feature 0 had one; n_windows: none
    uint32_t first_alert;   // the same for the level alert
};

struct drift_week_result drift_week_run(const struct drift_week *w, uint64_t seed);
