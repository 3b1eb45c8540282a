// SPDX-License-Identifier: Apache-2.0
// What may be alerted on, and the rules that users write: a file of JSON over built-in ones. Pure.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

// What a rule holds against its limit.
enum alert_measure {
    ALERT_RATIO,    // of what was counted in the window, the share that is bad
    ALERT_QUANTILE, // of the durations in the window
    ALERT_INCREASE, // of a counter over the window
    ALERT_LEVEL,    // the present value
};

// X(KIND, name, measure, limit, for_s, window_s, at_least, is_of_model, what): a row for each kind; its
// built-in rule has the same name, and there is none where the limit is NaN. at_least: requests in the
// window, or labels; fewer say nothing. Of quality_change: labels that `expected` is learned from.
#define ALERT_KINDS(X)                                                                                       \
    X(ERRORS, "errors", ALERT_RATIO, 0.01, 60, 300, 20, true, "share of predictions answered with 5xx")      \
    X(LATENCY, "latency", ALERT_QUANTILE, 1, 300, 300, 20, true, "seconds that predictions take at most")    \
    X(LOG_DROPS, "log_drops", ALERT_INCREASE, 0, 0, 300, 0, false, "records that the log lost")              \
    X(REPLICA_FAILED, "replica_failed", ALERT_LEVEL, 0, 0, 0, 0, true,                                       \
      "replicas that are not started again")                                                                 \
    X(REPLICA_RESTARTS, "replica_restarts", ALERT_INCREASE, 2, 0, 900, 0, true, "restarts of replicas")      \
    X(PROCESS_RESTARTS, "process_restarts", ALERT_INCREASE, 2, 0, 900, 0, false, "restarts of a process")    \
    X(DRIFT, "drift", ALERT_LEVEL, 1, 0, 0, 0, true, "level of the worst drift (1 warns, 2 alerts)")         \
    X(QUALITY, "quality", ALERT_LEVEL, (double)NAN, 0, 86400, 100, true, "of labelled predictions")          \
    X(QUALITY_CHANGE, "quality_change", ALERT_LEVEL, 1e6, 0, 0, 1000, true,                                  \
      "evidence that more predictions are wrong than before")

#define ALERT_KIND_NAME(KIND, ...) ALERT_##KIND,
enum alert_kind { ALERT_KINDS(ALERT_KIND_NAME) ALERT_N_KINDS };

enum { ALERT_NAME_BYTES = 64, ALERT_METRIC_BYTES = 24, ALERT_QUALITY_HOURS_MAX = 72 };

struct alert_rule {
    char name[ALERT_NAME_BYTES + 1];
    char model[LIMIT_MODEL_NAME_BYTES + 1]; // "": all models for which no rule of this kind is written
    enum alert_kind kind;
    double limit;                        // breached above it
    bool is_below;                       // of ALERT_QUALITY: breached below it
    char metric[ALERT_METRIC_BYTES + 1]; // of ALERT_QUALITY (monitor/cohort.h)
    double quantile;                     // of ALERT_QUANTILE
    double expected, ratio;              // of ALERT_QUALITY_CHANGE (monitor/shiryaev_roberts.h)
    uint64_t for_ns, window_ns;
    uint64_t at_least;
    bool is_critical; // else a warning
};

struct alert_rules {
    struct alert_rule list[LIMIT_ALERT_RULES];
    uint32_t n;
};

struct alert_kind_info {
    const char *name, *what;
    enum alert_measure measure;
    bool is_of_model; // else of the whole server, or of one process
};
const struct alert_kind_info *alert_kind_info(enum alert_kind k);

// The built-in ones: a rule for each kind that needs to be told nothing.
void alert_rules_init(struct alert_rules *r);
// Adds what a file says:
//   {"rules": [{"name": "churn-errors", "kind": "errors", "model": "churn", "above": 0.05, "for": "5m", …}]}
// A rule with the name of one that is there changes what it says of it; "off": true takes it away.
// ERR_BAD_JSON, ERR_UNKNOWN_FIELD, ERR_WRONG_TYPE, ERR_OUT_OF_RANGE, ERR_INVALID, ERR_TOO_LARGE with the
// place in e->path; the rules are then partly changed.
int alert_rules_read(struct alert_rules *r, struct str json, struct err *e) ERR_CHECKED;
const struct alert_rule *alert_rules_find(const struct alert_rules *r, const char *name); // NULL: none
// Whether a rule is for what is read of a model ("": of the server).
bool alert_rules_apply(const struct alert_rules *r, const struct alert_rule *rule, enum alert_kind kind,
                       struct str model);
// Appends a JSON array of them.
void alert_rules_put(const struct alert_rules *r, struct buf *out);
// "90s", "5m", "2h", "100ms", "0s", at most 30 days. False: not that.
bool alert_duration_read(struct str text, uint64_t *ret_ns);
