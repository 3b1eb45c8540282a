// SPDX-License-Identifier: Apache-2.0
// The routes that say what is there: health, models, metadata, metrics.
#pragma once

#include "api/routes.h"
#include "role/gateway/conn.h"

// Answers, or returns an error for the caller to answer: ERR_UNKNOWN_MODEL, ERR_UNKNOWN_VERSION,
// ERR_UNAVAILABLE.
int describe_answer(struct conn *c, const struct http1_request *req, const struct route_match *m,
                    struct err *e) ERR_CHECKED;
