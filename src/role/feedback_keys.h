// SPDX-License-Identifier: Apache-2.0
// The keys that feedback tokens are sealed by (role/feedback_token.h): made and renewed by the controller,
// which keeps them in data_dir/state/feedback.keys and tells them to gateways and monitor. Text, a line for
// each, the newest first:
//
//   3 1763850000 <64 hex digits>        its number, when it was made (seconds since 1970), the key
//
// Pure: time and randomness are parameters.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum { FEEDBACK_KEYS_MAX = 8, FEEDBACK_KEY_BYTES = 32, FEEDBACK_KEYS_TEXT_MAX = FEEDBACK_KEYS_MAX * 100 };

struct feedback_key {
    uint64_t made_s;
    uint8_t number; // which of those that are kept; another has it when it has long gone
    uint8_t bytes[FEEDBACK_KEY_BYTES];
};

struct feedback_keys {
    uint32_t n;
    struct feedback_key list[FEEDBACK_KEYS_MAX];
};

// ERR_INVALID: not as above, too many, or two of one number.
int feedback_keys_read(struct str text, struct feedback_keys *ret, struct err *e) ERR_CHECKED;
void feedback_keys_write(const struct feedback_keys *k, struct buf *out);
// Adds `fresh` when the newest has sealed for life_s, which is also how long a token is good, and lets those
// go whose tokens have all expired. Whether that changed anything.
bool feedback_keys_renew(struct feedback_keys *k, uint64_t now_s, uint64_t life_s,
                         const uint8_t fresh[FEEDBACK_KEY_BYTES]);
