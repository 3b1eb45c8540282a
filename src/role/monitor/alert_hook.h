// SPDX-License-Identifier: Apache-2.0
// Tells a receiver what fired and what was resolved: one signed POST for each, oldest first, again until it
// is taken. What waits is not a queue of its own but the alerts that the receiver does not know yet: bounded,
// and the same after a restart.
#pragma once

#include "base/buf.h"
#include "role/monitor/monitor.h"

struct alert_hook;

// ERR_NOMEM.
int alert_hook_new(struct monitor *m, struct alert_hook **ret, struct err *e) ERR_CHECKED;
void alert_hook_free(struct alert_hook *h); // NULL is fine
// Sends what waits, if it is time.
void alert_hook_tick(struct alert_hook *h, uint64_t now_mono_ns);
// Appends a JSON object: url, counts, the last failure.
void alert_hook_put(const struct alert_hook *h, struct buf *out);
void alert_hook_metrics_put(const struct alert_hook *h, struct buf *out);

enum { ALERT_SIGNATURE_BYTES = 96 };
// "t=1700000000,v1=…": HMAC-SHA256 of "<t>.<body>" under the secret, in hexadecimal.
void alert_hook_sign(struct str secret, uint64_t unix_s, struct str body, char ret[ALERT_SIGNATURE_BYTES]);
