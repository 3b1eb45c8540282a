// SPDX-License-Identifier: Apache-2.0
// Predictions and labels of longer ago than is kept hour by hour (cohort.h): a few numbers for each day of
// the predictions, for what needs to know how old they are, which is the delay of labels and whether all of a
// day have come. Pure.
#pragma once

#include "monitor/delay.h"

#include <stddef.h>

enum { LEDGER_DAYS = 120, LEDGER_DAY_HOURS = 24 };

struct ledger_unit {
    int64_t hour;           // the first, since 1970
    uint32_t hours;         // how many
    uint32_t judged, wrong; // of the labels those that say right or wrong, and the latter
    uint64_t predicted;
    uint32_t delays[DELAY_BINS];
};

struct ledger {
    uint32_t n;
    struct ledger_unit days[LEDGER_DAYS]; // ascending
};

// The day of an hour, begun where it is not there, for which the oldest goes; NULL: it is too old.
struct ledger_unit *ledger_day(struct ledger *l, int64_t hour);
// Adds counts, not times.
void ledger_unit_merge(struct ledger_unit *into, const struct ledger_unit *from);
// One label; sign -1 takes back what was added, or does nothing where nothing was.
void ledger_unit_label(struct ledger_unit *u, uint64_t delay_s, bool is_judged, bool is_wrong, int sign);
// Seconds since the end of its last prediction; 0 before.
uint64_t ledger_unit_age_s(const struct ledger_unit *u, uint64_t wall_ns);
