// SPDX-License-Identifier: Apache-2.0
// When a dead child is replaced: at once the first time, a little later each time after, not at all when it
// dies too often. A pure function of the deaths and of now.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    RESTART_INTENSITY = 5,        // so many deaths …
    RESTART_WINDOW_S = 30,        // … in so many seconds end it
    RESTART_BACKOFF_STEP_MS = 40, // 0, 40, 80, 120: even the last is within the 200 ms that we promise
};

// Zero-initialised: no death yet.
struct restart {
    uint64_t deaths_mono_ns[RESTART_INTENSITY]; // the oldest first, those in the window only
    unsigned n_deaths;
};

// Counts a death at now_mono_ns. True: start a successor after *ret_delay_ns. False: give up.
bool restart_after_death(struct restart *r, uint64_t now_mono_ns, uint64_t *ret_delay_ns);
