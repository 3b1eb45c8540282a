// SPDX-License-Identifier: Apache-2.0
// Large predict requests: decoded and computed a slice a turn, so that small requests of others go in
// between.
#pragma once

#include "role/gateway/conn.h"
#include "role/gateway/predict.h"
#include "role/gateway/table.h"

// Rows from which a request of this deployment is a job.
uint32_t job_threshold(const struct deployment *d);
// Turns the request gathered last, whose body that was, into a job; its connection becomes CONN_WAITING.
// ERR_NOMEM or ERR_BUSY, to be answered.
int job_start(struct gateway *g, struct str body, struct err *e) ERR_CHECKED;
// Makes a job of a request whose body is not decoded yet; p is not gathered. Takes over the memory that the
// body lies in, also on failure when it returns ERR_BUSY or ERR_NOMEM.
int job_start_decoding(struct gateway *g, const struct pending *p, struct str body,
                       struct err *e) ERR_CHECKED;
// Decodes or computes one slice of the job whose turn it is, answers it when it is done. Called at the end of
// each turn.
void job_slice(struct gateway *g);
// The client went away.
void job_abandon(struct conn *c);
