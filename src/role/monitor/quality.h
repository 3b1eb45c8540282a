// SPDX-License-Identifier: Apache-2.0
// Live quality: predictions and labels meet by prediction id (monitor/join.h) and are counted by version, arm
// and hour of the prediction (monitor/cohort.h). What follows from labels is made anew of their log
// (labels.h) when the process begins.
#pragma once

#include "monitor/join.h"
#include "role/monitor/models.h"
#include "role/monitor/monitor.h"

#include <stdbool.h>
#include <stdint.h>

struct feedback_token;
struct record;
struct judge;

enum {
    QUALITY_JOIN_ROWS = 1 << 19,
    QUALITY_LABELLED_ROWS = 1 << 18, // and of those that are judged, so many more
    QUALITY_ODDS_BYTES = 32 << 20,
    QUALITY_COHORTS = 72,       // of a subject, an hour each; those before are one
    QUALITY_COHORTS_ALL = 4096, // of all subjects
    QUALITY_SUBJECTS = 512,     // versions in an arm
};

// A quality that cannot be opened is tried again each second; feedback is refused until then. ERR_NOMEM.
int quality_open(struct monitor *m, struct err *e) ERR_CHECKED;
void quality_close(struct monitor *m); // writes what is pending
void quality_record(struct monitor *m, const struct record *r);
void quality_tick(struct monitor *m, uint64_t now_mono_ns);

enum quality_verdict {
    QUALITY_JOINED,    // counted
    QUALITY_WAITING,   // kept until its prediction comes
    QUALITY_CORRECTED, // the label before it is taken back
    QUALITY_UNCHANGED, // it was here already
};
// One label; durable only after quality_commit. `model`: that it must belong to, or empty. ERR_INVALID,
// ERR_CONFLICT (of another model), ERR_BUSY, ERR_UNAVAILABLE, ERR_NOMEM.
int quality_label(struct monitor *m, const uint8_t id[16], uint32_t row, const struct label *label,
                  struct str model, enum quality_verdict *ret, struct err *e) ERR_CHECKED;
// The same of a prediction that brings what it was: nothing needs to be known of it here.
int quality_label_sealed(struct monitor *m, const struct feedback_token *token, uint32_t row,
                         const struct label *label, struct str model, enum quality_verdict *ret,
                         struct err *e) ERR_CHECKED;
int quality_commit(struct monitor *m, struct err *e) ERR_CHECKED;

// For guardrails: labelled predictions of a version in an arm since a time, and how many of them were wrong;
// false where none are, or where the task is a regression.
struct quality_wrong {
    uint64_t labelled, wrong;
};
bool quality_wrong(const struct monitor *m, uint64_t deployment, uint8_t arm, uint64_t since_wall_ns,
                   struct quality_wrong *ret);
// Appends the answer of GET /api/v1/models/M/quality: of one version, or of all where `only` is NULL.
struct quality_query {
    struct str model;
    const struct version *only;
    uint64_t hours; // of predictions, back from now; 0: all
};
int quality_put(const struct monitor *m, const struct quality_query *q, struct buf *out,
                struct err *e) ERR_CHECKED;
// Appends the families slipway_label_coverage_ratio and slipway_quality of the versions that are served, for
// predictions of the last 24 hours, at most QUALITY_GAUGES versions in an arm; made anew every ten seconds.
enum { QUALITY_GAUGES = 64 };
void quality_put_metrics(const struct monitor *m, struct buf *out);
