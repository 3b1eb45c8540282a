// SPDX-License-Identifier: Apache-2.0
// Labels whose prediction is not in memory: it may come in a moment, or it went, or this process began after
// it. After a while they are looked for in the prediction log, by a process of its own (role/log_worker.h,
// "find"), which an id tells where to look; those that are found are judged as if their record had come.
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "role/monitor/monitor.h"

enum {
    LATE_AFTER_S = 2,     // in which a record comes that was still under way
    LATE_PAUSE_S = 10,    // between two processes
    LATE_QUEUE = 1 << 18, // labels that wait to be looked for; those before are not, then
};

struct late;

// ERR_NOMEM.
int late_open(struct monitor *m, struct late **ret, struct err *e) ERR_CHECKED;
void late_close(struct late *l); // NULL is fine; what is under way is given up
void late_add(struct late *l, const uint8_t id[16], uint32_t row);
// Once a second: begins to look, one process at a time.
void late_tick(struct late *l, uint64_t now_mono_ns);

struct late_counts {
    uint64_t queued, looked, found; // labels; looked: with what was found
    uint64_t failures;              // of the process, after which its labels are not looked for again
};
void late_count(const struct late *l, struct late_counts *ret);

// For late.c and its tests: a line of the log (predlog/line.h), without newline. Returns how many labels it
// was the prediction of.
unsigned late_take_line(struct late *l, struct str line);
