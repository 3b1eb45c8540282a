// SPDX-License-Identifier: Apache-2.0
// Drift in the monitor: an observer (monitor/observer.h) for each version that is served, fed by the records,
// kept over restarts in state/monitor/. The answers are in drift_routes.c.
#pragma once

#include "role/monitor/monitor.h"

struct buf;
struct observer;
struct record;
struct version;

enum { DRIFT_SAVE_MS = 10000, DRIFT_GAUGES = 200 };

struct drift;
int drift_start(struct monitor *m, struct err *e) ERR_CHECKED; // ERR_NOMEM, ERR_IO
void drift_free(struct drift *d);                              // NULL is fine

void drift_record(struct monitor *m, const struct record *r);
void drift_models_changed(struct monitor *m);
void drift_tick(struct monitor *m);
// Saves everything.
void drift_stop(struct monitor *m);
// Appends the families slipway_feature_drift and slipway_feature_missing_ratio of the models' default
// versions, the first DRIFT_GAUGES columns of all of them together; and how many there are beyond.
void drift_put_metrics(struct monitor *m, struct buf *out);

// The observer of a version; NULL: there is no memory to watch it.
struct observer *drift_observer(struct monitor *m, const struct version *v);
// Appends ,"unwatched":[…]: its columns that privacy keeps out of the log, and so out of here.
void drift_put_unwatched(struct monitor *m, const struct version *v, struct buf *out);
// Saves a baseline that was just set, before it is answered for. ERR_IO, ERR_NO_SPACE.
int drift_keep_baseline(struct monitor *m, const struct version *v, struct err *e) ERR_CHECKED;
