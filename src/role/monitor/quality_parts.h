// SPDX-License-Identifier: Apache-2.0
// What quality.c and its parts, quality_*.c, share.
#pragma once

#include "monitor/cohort.h"
#include "monitor/ledger.h"
#include "monitor/odds.h"
#include "role/monitor/label_news.h"
#include "role/monitor/labels.h"
#include "role/monitor/late.h"
#include "role/monitor/outcome.h"
#include "role/monitor/quality.h"

struct alert_rule;

// A version in an arm.
struct subject {
    uint64_t deployment;
    uint32_t version, n; // n: cohorts
    uint8_t arm;
    uint64_t used;                          // when something last happened, for who must go
    struct cohort older;                    // all that are not in the list; hour: of the newest
    struct cohort cohorts[QUALITY_COHORTS]; // ascending by hour
    uint64_t untold[QUALITY_COHORTS];       // predictions that the log does not have
    struct ledger *days;                    // of `older`; NULL before the first
};

// What the labelled predictions of the last hours come to; for alert_quality.c.
struct quality_sum {
    uint64_t deployment, made_mono_ns; // 0: free
    uint32_t hours;
    uint8_t arm;
    unsigned n; // metrics
    uint64_t labelled;
    struct cohort_metric list[COHORT_METRICS_MAX];
};
enum { QUALITY_SUMS = 256 };

struct judge {
    struct labels *labels; // NULL: not open
    struct join *join;
    struct join
        *labelled;     // JUDGED rows that had to leave the join: a label that comes again is known to be one
    struct odds *odds; // of the join's rows
    struct late *late; // labels that the log is asked about (late.c)
    struct subject *subjects[QUALITY_SUBJECTS];
    unsigned n_subjects, n_cohorts;
    struct subject *last; // the one of the prediction before, and the place of its cohort; NULL: none
    uint32_t last_cohort;
    uint64_t clock;                         // for `used`
    uint64_t unusable, unreadable, damaged; // labels; rows; entries of the log
    uint64_t told_mono_ns;
    uint64_t snapshot_seq; // of the log: what the snapshot has
    bool is_failing;
    struct buf gauges; // quality_put_metrics
    struct label_news *news;
    struct quality_sum sums[QUALITY_SUMS];
    struct quality_changes *changes; // quality_changes.c
};

// The subject, made where there is none; NULL without memory.
struct subject *quality_subject(struct judge *j, uint64_t deployment, uint32_t version, uint8_t arm);
// Its cohort of a time; older where the hour is not kept any more.
struct cohort *quality_cohort(struct subject *s, uint64_t wall_ns);
// A row of the join, or of those that left it; NULL. And one more, as join_add has it.
struct join_row *quality_row(const struct judge *j, const uint8_t id[16], uint32_t row);
struct join_row *quality_row_add(struct judge *j, const uint8_t id[16], uint32_t row, enum join_state state);
// One row's label counted; sign -1 takes it back.
int quality_count_label(struct judge *j, const struct join_row *row, int sign, struct err *e) ERR_CHECKED;

// The version of that number, served or not; NULL: not known.
const struct version *quality_version(const struct models *ms, uint64_t deployment);
void quality_forget(struct judge *j); // all that was counted

// The prediction of a label that waits was found in the log: row `at` of `from`. Whether there was one.
bool quality_found(struct monitor *m, const struct version *v, const uint8_t id[16], uint32_t row,
                   const struct outcomes *from, uint32_t at);

// quality_ledger.c: hours that are not kept one by one any more count in their days. All it needs is memory,
// without which it knows less.
void quality_ledger_fold(struct subject *s, const struct cohort *c);
void quality_ledger_label(struct subject *s, const struct join_row *row, int sign);
void quality_ledger_predicted(struct subject *s, uint64_t wall_ns, uint64_t rows);
// What is known of times: the days, then the hours, ascending; a day may still have hours of its own.
enum { QUALITY_UNITS = LEDGER_DAYS + QUALITY_COHORTS };
unsigned quality_units(const struct subject *s, struct ledger_unit ret[QUALITY_UNITS]);
// How long labels take; finished.
void quality_delays(const struct ledger_unit *units, unsigned n, uint64_t wall_ns, struct delay_curve *ret);

// quality_changes.c: detectors of changes (monitor/shiryaev_roberts.h), one for each rule of the kind
// quality_change and each version in an arm, in state/feedback/changes.
int quality_changes_open(struct judge *j, struct err *e) ERR_CHECKED; // ERR_NOMEM
void quality_changes_close(struct judge *j);
int quality_changes_load(struct judge *j, struct err *e) ERR_CHECKED; // ERR_DIGEST: it begins anew
// What the rule's limit is held against; NaN: not known yet. Labels are taken in every ten seconds.
double quality_changes_read(struct judge *j, const struct alert_rule *rule, const struct subject *s,
                            uint64_t mono_ns, uint64_t wall_ns);
int quality_changes_save(struct judge *j, struct err *e) ERR_CHECKED; // where something changed
size_t quality_changes_bytes(const struct judge *j);
// Appends a JSON array.
void quality_changes_put(const struct judge *j, const struct subject *s, struct buf *out);

// quality_state.c
// The bytes of a snapshot without their checksum; false: damaged, and what was taken is to be forgotten.
bool quality_take_snapshot(struct judge *j, struct str bytes);
int quality_load(struct judge *j, struct err *e) ERR_CHECKED; // the snapshot, then the log
int quality_save(struct judge *j, struct err *e) ERR_CHECKED;

// quality_gauges.c
void quality_make_gauges(struct monitor *m);
