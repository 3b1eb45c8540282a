// SPDX-License-Identifier: Apache-2.0
// Predictions: decoded as they arrive, computed together at the end of the turn, answered in order.
#pragma once

#include "api/routes.h"
#include "role/gateway/conn.h"

// Decodes one predict request and gathers its rows. An error is to be answered by the caller.
int predict_gather(struct conn *c, const struct http1_request *req, const struct route_match *m, struct str body,
                   struct err *e) ERR_CHECKED;
// Computes and answers all that is gathered. Called at the end of each turn, and before any answer of another kind.
void predict_finish(struct gateway *g);
// Computes one slice of the large requests, if there are any.
void predict_slice(struct gateway *g);
// The client of a large request went away.
void predict_abandon(struct conn *c);
