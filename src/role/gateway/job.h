// SPDX-License-Identifier: Apache-2.0
// Large predict requests: computed a slice a turn, so that small requests of others go in between.
#pragma once

#include "role/gateway/conn.h"
#include "role/gateway/table.h"

// Rows from which a request of this deployment is a job.
uint32_t job_threshold(const struct deployment *d);
// Turns the request gathered last into a job; its connection becomes CONN_WAITING. ERR_NOMEM or
// ERR_BUSY, to be answered.
int job_start(struct gateway *g, struct err *e) ERR_CHECKED;
// Computes one slice of the job whose turn it is, answers it when it is done. Called at the end of each turn.
void job_slice(struct gateway *g);
// The client went away.
void job_abandon(struct conn *c);
