// SPDX-License-Identifier: Apache-2.0
// Requests that change or read the registry, or what is watched: forwarded to the process that they belong to
// (admin_owner.h) over a connection of their own, their bodies as they arrive, so that an upload is never
// held in memory here.
#pragma once

#include "role/gateway/conn.h"

// Forwards the head; the connection becomes CONN_WAITING. Returns 1, or ERR_UNAVAILABLE when that process
// is not there, ERR_NOMEM.
int admin_start(struct conn *c, const struct http1_request *req, struct err *e) ERR_CHECKED;
// Forwards body bytes; returns how many were taken (all, while the body lasts).
size_t admin_body(struct conn *c, struct str bytes);
// The client took what was answered so far.
void admin_written(struct conn *c);
// The client went away: so does the request.
void admin_abandon(struct conn *c);
