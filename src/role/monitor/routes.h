// SPDX-License-Identifier: Apache-2.0
// The handlers of the monitor's admin requests (role/request.h); the table is in routes.c.
#pragma once

#include "role/monitor/monitor.h"
#include "role/request.h"

int baseline_put(struct request *r, struct err *e);
int drift_show(struct request *r, struct err *e);
int alerts_show(struct request *r, struct err *e);
int feedback_take(struct request *r, struct err *e);
int quality_show(struct request *r, struct err *e);
// log_query.c
int log_status(struct request *r, struct err *e);
int log_lines(struct request *r, struct err *e);
int log_manifest(struct request *r, struct err *e);
int log_verify(struct request *r, struct err *e);
