// SPDX-License-Identifier: Apache-2.0
// Watches the rows of one version: counts them by windows, compares each window with the baseline, keeps what
// was found. Without a baseline the first window becomes one. Pure: rows and time come from the caller, state
// goes out and comes back as bytes. Memory is bounded by the columns: see observer_bytes.
//
// A window ends when it has lasted long enough and has rows enough, whichever is later. Its columns are then
// compared one at a time (observer_work), so that no turn of the caller's loop takes long.
// Of more rows than values_per_s / columns a second every k-th is taken; k follows the second
// before.
#pragma once

#include "monitor/finding.h"
#include "monitor/profile_build.h"

enum {
    OBSERVER_VALUES_PER_S = 50000, // unless the spec says otherwise
    OBSERVER_WINDOWS = 24,         // closed ones that are kept in full, fewer where they would take more than
    OBSERVER_WINDOW_BYTES = 16 << 20, // this together; never fewer than OBSERVER_WINDOWS_MIN
    OBSERVER_WINDOWS_MIN = 4,
    OBSERVER_HISTORY = 168, // windows of which the effects are kept
};

struct observer_column {
    struct str name;
    bool is_output, is_category;
    bool is_coarse; // its values are rounded ones: compared with those of windows here, and of nothing else
};

struct observer_window {
    uint64_t from_wall_ns, to_wall_ns;
    uint64_t n_seen, n_rows;        // rows that came, and those of them that were taken
    uint64_t n_requests, n_refused; // requests, and those refused for what stood in them
    struct tally *tallies;          // (n_columns)
    uint64_t *cells;                // of all tallies
};

struct observer_state {
    struct observer_column column;
    const struct profile_column *reference; // NULL: the baseline has none of this
    uint32_t first_cell;
    struct finding findings[FINDING_KINDS];
    struct verdict last;             // of the last closed window
    float history[OBSERVER_HISTORY]; // its effects, a ring; NaN: none
};

struct observer {
    uint64_t window_ns;
    uint32_t window_rows, values_per_s;
    uint32_t n_columns, n_cells;
    struct observer_state *columns; // (n_names), of which n_columns are watched: all, or without memory none
    uint32_t n_names;
    struct profile *profile;          // NULL while the first window goes on
    bool is_own_profile;              // made here, of live windows
    struct profile_builder *builders; // (n_columns) while there is no profile
    struct observer_window now;
    struct observer_window *closed; // (n_kept) a ring
    uint32_t n_kept;
    uint64_t n_closed;         // windows ever; the newest lies at (n_closed - 1) % n_kept
    struct drift_rate refused; // of the last closed window
    struct finding refused_finding;
    uint32_t stride, skip;         // every stride-th row is taken
    uint64_t n_tick, n_taken_tick; // rows that came, and were taken, since the last tick
    uint32_t to_compare;           // columns of the newest window that are not compared yet
    struct stats_random random;
};

struct observer_spec {
    const struct observer_column *columns; // (n_columns) inputs, then outputs; names are copied
    uint32_t n_columns;                    // at most LIMIT_PROFILE_COLUMNS are watched
    uint64_t window_ns;
    uint32_t window_rows;
    uint32_t values_per_s;   // 0: OBSERVER_VALUES_PER_S
    struct profile *profile; // taken, also on failure; NULL: the first window becomes the baseline
    bool is_own_profile;     // made here, of live windows
    uint64_t wall_ns;
};

// ERR_NOMEM.
int observer_new(const struct observer_spec *spec, struct observer **ret, struct err *e) ERR_CHECKED;
void observer_free(struct observer *o); // NULL is fine

// A row came: whether its values are wanted. Then each of them, by the column's number.
bool observer_row(struct observer *o);
void observer_number(struct observer *o, uint32_t column, double v); // NaN is missing
void observer_text(struct observer *o, uint32_t column, struct str text);
// A request was answered, or refused for its values.
void observer_request(struct observer *o, bool refused);

// Once a second. True when a window was closed.
bool observer_tick(struct observer *o, uint64_t wall_ns);
// Compares one column, at most a few milliseconds. False: there is nothing left to do.
bool observer_work(struct observer *o);

// For observer_state.c: the newest window's verdict on a column.
void observer_compare(struct observer *o, uint32_t column);

// The last n windows, or those that ended after from_wall_ns, whichever is fewer, added up: how many they
// are. To be given back with observer_sum_done unless it is 0: there is none, or no memory.
uint32_t observer_sum(struct observer *o, uint32_t n, uint64_t from_wall_ns, struct observer_window *ret);
void observer_sum_done(struct observer_window *w);
// Such windows become the baseline; findings begin anew. ERR_CONFLICT when there are none,
// or too few rows in them; ERR_NOMEM, after which nothing may be watched any more.
int observer_rebase(struct observer *o, uint32_t n, uint64_t from_wall_ns, struct str source,
                    struct err *e) ERR_CHECKED;
const struct observer_window *observer_last(const struct observer *o); // the newest closed; NULL before
size_t observer_bytes(const struct observer *o);

// State: counts, history and findings, of a window that goes on, too. Not the profile, which is
// profile_encode's where is_own_profile.
void observer_save(const struct observer *o, struct buf *out);
// Into a new observer of the same columns and profile; also what builds wrote whose counts had 32 bits.
// ERR_INVALID: not that, or damaged; the observer is as new then. ERR_NOMEM.
int observer_load(struct observer *o, struct str bytes, struct err *e) ERR_CHECKED;
