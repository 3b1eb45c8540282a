// SPDX-License-Identifier: Apache-2.0
// The connection to the controller that says what is served. While the controller is away, what was known
// stays, and a new connection is tried.
#pragma once

#include "role/monitor/monitor.h"

// Connects, now or as soon as the controller is there. ERR_NOMEM.
int served_start(struct monitor *m, struct err *e) ERR_CHECKED;
// Says something to the controller; false, and nothing was said, while it is away or does not read.
bool served_tell(struct served *k, uint16_t type, struct str payload); // NULL is fine
void served_free(struct served *k);                                    // NULL is fine
