// SPDX-License-Identifier: Apache-2.0
// Alerts: readings of what runs are held against rules, once a second; what is breached for long enough
// fires, and is resolved when it has been calm for as long. One alert for each rule and what it is about,
// however often it is read. Pure: readings and time come from the caller; state goes out and comes back as
// JSON. Memory is bounded: LIMIT_ALERTS of them.
//
//    QUIET ──→ PENDING ──→ FIRING ──→ RESOLVED ──→ QUIET   after a day
//      ^──────────┘           ^───────────┘
#pragma once

#include "base/hist.h"
#include "monitor/alert_rule.h"

enum {
    ALERT_SUBJECT_BYTES = 64,
    ALERT_ID_BYTES = 64,
    ALERT_CELLS = HIST_EDGES + 1,
    ALERT_SLOTS = 8,      // of a window
    ALERT_KEPT_S = 86400, // that a resolved one is shown
};

enum alert_state { ALERT_QUIET, ALERT_PENDING, ALERT_FIRING, ALERT_RESOLVED, ALERT_STATES };
const char *alert_state_name(enum alert_state s); // "firing"

// What its receiver knows of it.
enum alert_told { ALERT_TOLD_NOTHING, ALERT_TOLD_FIRING, ALERT_TOLD_ALL };

// What a source says of one thing, such as the requests of a version.
struct alert_reading {
    enum alert_kind kind;
    struct str model; // "": of the server
    uint32_t version;
    struct str subject; // "gateway 0"; ""
    // Counters as they stand. Ratio: bad ones, all. Increase: the one. Quantile: of each edge of base/hist.h
    // how many are at or below it, then all.
    uint64_t cells[ALERT_CELLS];
    double level;     // of ALERT_LEVEL
    uint64_t n;       // of ALERT_QUALITY: labels that it is of
    const char *rule; // of ALERT_QUALITY and ALERT_QUALITY_CHANGE: the one that asked; else NULL
};

struct alert {
    uint64_t fingerprint; // of rule and what it is about; the same after a restart
    char rule[ALERT_NAME_BYTES + 1], model[LIMIT_MODEL_NAME_BYTES + 1], subject[ALERT_SUBJECT_BYTES + 1];
    enum alert_kind kind;
    uint32_t version;
    bool is_critical, is_below;
    char metric[ALERT_METRIC_BYTES + 1]; // of ALERT_QUALITY
    enum alert_state state;
    enum alert_told told;
    double value, limit;                                    // the last that is known
    uint64_t since_wall_ns;                                 // breached from then on
    uint64_t fired_wall_ns, resolved_wall_ns, calm_wall_ns; // calm: 0 while breached
    uint64_t known_wall_ns;                                 // of `value`
    // private
    bool is_read; // in this round
    uint32_t n_slots;
    uint64_t slot_wall_ns[ALERT_SLOTS], slots[ALERT_SLOTS][ALERT_CELLS]; // a ring by n_slots
};

struct alert_book;

// With the built-in rules. ERR_NOMEM.
int alert_book_new(struct alert_book **ret, struct err *e) ERR_CHECKED;
void alert_book_free(struct alert_book *b); // NULL is fine
// Other rules from now on; what fired by one that is gone is resolved.
void alert_book_set_rules(struct alert_book *b, const struct alert_rules *r, uint64_t wall_ns);
const struct alert_rules *alert_book_rules(const struct alert_book *b);

// A round: all readings, then its end, which resolves what is not read any more. Returns how many fired or
// were resolved in it.
void alert_book_begin(struct alert_book *b);
void alert_book_read(struct alert_book *b, const struct alert_reading *r, uint64_t wall_ns);
uint32_t alert_book_end(struct alert_book *b, uint64_t wall_ns);

const struct alert *alert_book_at(const struct alert_book *b, size_t i); // NULL: no more
uint64_t alert_book_n_left_out(const struct alert_book *b); // times that there was no room for one

// The one that its receiver has waited for longest; NULL: it knows everything.
struct alert *alert_book_untold(struct alert_book *b);
uint32_t alert_book_n_untold(const struct alert_book *b);
// The receiver knows how the alert of that time stood; it may have changed meanwhile.
void alert_book_told(struct alert_book *b, uint64_t fingerprint, uint64_t fired_wall_ns, bool is_resolved);
// There is no receiver: what is over need not be told.
void alert_book_forget_resolved(struct alert_book *b);

// The same for the same event: "<fingerprint>-<time it fired>-firing".
void alert_id(const struct alert *a, char ret[ALERT_ID_BYTES]);
// Appends it as a JSON object with a sentence for people.
void alert_put(const struct alert *a, struct buf *out);

// State: what fires or is resolved; windows begin anew. ERR_INVALID: not that; the book is then as new.
void alert_book_save(const struct alert_book *b, struct buf *out);
int alert_book_load(struct alert_book *b, struct str json, struct err *e) ERR_CHECKED;
// For alert_json.c: a copy of one that is not there yet; and none.
int alert_book_take(struct alert_book *b, const struct alert *a, struct err *e) ERR_CHECKED;
void alert_book_clear(struct alert_book *b);
