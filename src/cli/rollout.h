// SPDX-License-Identifier: Apache-2.0
// Private to `slipway rollout`: the request that its flags make, and how the server's answers read.
#pragma once

#include "cli/args.h"

#include <yyjson.h>

// Appends the rollout that `start` and `plan` mean, as JSON: of --file, or of words and flags. ERR_INVALID,
// ERR_IO, ERR_TOO_LARGE; usage errors name the flag.
int rollout_request_put(const struct args *a, struct buf *out, struct err *e) ERR_CHECKED;

// Appends what the server says: a rollout, a list, records, a forecast.
void rollout_view_put(yyjson_val *rollout, struct buf *out);
int rollout_list_put(yyjson_val *answer, struct buf *out, struct err *e) ERR_CHECKED;
void rollout_events_put(yyjson_val *answer, struct buf *out);
void rollout_forecast_put(yyjson_val *answer, struct buf *out);
