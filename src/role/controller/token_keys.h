// SPDX-License-Identifier: Apache-2.0
// Keys of feedback tokens (role/feedback_keys.h): in data_dir/state/feedback.keys, readable by its owner
// only. Made where the setting feedback_tokens asks for tokens, renewed as feedback_token_life says, and told
// to gateways and monitor with the routes. Where the setting is off those that are there still open tokens.
#pragma once

#include "base/buf.h"

struct controller;

// Keys that cannot be had, as on a full disk, are tried again after a minute; until then answers have no
// token.
void token_keys_open(struct controller *c);
void token_keys_close(struct controller *c);
// Adds the member "tokens" to the object that `out` ends with, an IPC_ROUTES; nothing without keys.
void token_keys_put(const struct controller *c, struct buf *out);
