// SPDX-License-Identifier: Apache-2.0
// What an observer knows, as JSON.
#pragma once

#include "monitor/observer.h"

// Appends members of an object (without its braces), of the newest window, or of up to n_windows that ended
// after from_wall_ns, added up. Findings are always those of the newest.
void observer_put(struct observer *o, uint64_t from_wall_ns, uint32_t n_windows, struct buf *out);
// Appends the array of findings:
// {"column","role","kind","level","effect","threshold","noise","since","text"}.
void observer_put_findings(const struct observer *o, struct buf *out);
enum finding_level observer_level(const struct observer *o); // of the worst finding
