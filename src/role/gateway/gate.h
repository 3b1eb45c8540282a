// SPDX-License-Identifier: Apache-2.0
// The one gate all requests pass: route, rule, limits; then to what answers. Nothing reaches a handler around
// it.
#pragma once

#include "api/routes.h"
#include "role/gateway/conn.h"

// Looks at a request's head, each time bytes of the request arrive: route, rule, sizes. Returns 1 and *ret to
// go on, or an error to answer and close with. body_began: bytes of the body are here. A request for the
// controller that has a body turns the connection to CONN_WAITING: what follows the head belongs to
// gate_forward.
int gate_head(struct conn *c, const struct http1_request *req, bool body_began, struct route_match *ret,
              struct err *e) ERR_CHECKED;
// A whole request. Answers it now, or gathers it for the end of the turn, or starts work that answers later.
// The names in match are decoded where they stand.
void gate_request(struct conn *c, const struct http1_request *req, struct route_match *match,
                  struct str body);

// The body of a forwarded request: bytes that arrived. Returns how many were taken.
size_t gate_forward(struct conn *c, struct str bytes);
// What was answered so far of a forwarded request is written.
void gate_written(struct conn *c);
// The client of a CONN_WAITING request went away.
void gate_abandon(struct conn *c);
int gate_body_too_large(const struct gateway *g, uint64_t bytes, struct err *e) ERR_CHECKED;
